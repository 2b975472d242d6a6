"""Clients that hold connections and hardly use them: how the others are served meanwhile, and what each costs.

200 send a byte a second, 5,000 are idle, 2,000 read event streams. While all of them are there, and the infrastructure
that is read about changes all the time, others ask for its state, its machine and the list, some 100 times a second.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack

import load
import service
from crowd import Report, crowd
from figures import Figure, table

SLOW, IDLE, READERS = 200, 5_000, 2_000
RATE = 100
SECONDS = 15.0
#: Most milliseconds that the others wait, in 99 of 100 cases.
TARGET = 100


def measure() -> Iterator[Figure]:
    # The limit on how long a request may take is longer than the bench.
    with service.running({"REQUEST_TIMEOUT": 3600}) as real, ExitStack() as crowds:
        client = real.client()
        id = client.create(service.cluster(1))
        client.until(id, "configured")
        path = f"/infrastructures/{id}"
        asked = [
            load.Request(real.port, what, service.CREDENTIALS)
            for what in (f"{path}/state", f"{path}/vms/0", "/infrastructures")
        ]
        with load.probe(asked, RATE) as alone:
            time.sleep(SECONDS / 3)
        stream = load.Request(real.port, f"{path}/events", service.CREDENTIALS, accept="text/event-stream")
        gathered: dict[str, list[Report]] = {}
        crowd_of = {
            "idle": (asked[0], IDLE),
            "slow": (asked[0], SLOW),
            "reader": (stream, READERS if has_streams(stream) else 0),
        }
        for kind, (request, count) in crowd_of.items():
            if not count:
                print(f"no {kind} clients: the service does not have what they ask for")
                continue
            before = real.resident()
            gathered[kind] = crowds.enter_context(crowd(kind, request, count))
            time.sleep(1.0)
            cost = (real.resident() - before) / count * 1024
            yield Figure(f"memory for each {kind} connection", cost, "KB", detail=f"{count} of them")
        with load.probe(asked, RATE) as results:
            until = time.perf_counter() + SECONDS
            while time.perf_counter() < until:
                for verb in ("stop", "start"):
                    status, body = client.ask("PUT", f"{path}/{verb}")
                    if status != 200:
                        raise SystemExit(f"{verb}: {status} {body.decode()}")
                    time.sleep(1.0)
        resident = real.resident()
        crowds.close()
        reports = {kind: found[0] for kind, found in gathered.items()}
        check(reports)
        yield Figure(
            "GETs of others with all of these connections, p99", results[0].p99, "ms", TARGET,
            detail=f"p50 {results[0].p50:.1f}, worst {results[0].worst:.0f} ms, {told(reports)}; "
            f"without them p99 {alone[0].p99:.1f} ms",
        )  # fmt: skip
        yield Figure("memory with all of these connections", resident, "MB")


def has_streams(request: load.Request) -> bool:
    """Whether there are events to follow."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port)
    connection.request("GET", request.path, headers={"Authorization": request.credentials, "Accept": request.accept})
    status = connection.getresponse().status
    connection.close()
    return status == 200


def check(reports: dict[str, Report]) -> None:
    """Nobody may have been thrown out, and no reader may have missed anything."""
    for kind, report in reports.items():
        if report.left < report.count or set(report.statuses) - {"200"} or report.disordered:
            raise SystemExit(f"{kind}: {report}")
    if (readers := reports.get("reader")) is not None and readers.events % readers.count:
        raise SystemExit(f"not all readers have seen the same: {readers}")


def told(reports: dict[str, Report]) -> str:
    """The crowd in words."""
    texts = [f"{report.count} {kind}" for kind, report in reports.items()]
    if (readers := reports.get("reader")) is not None:
        texts.append(f"{readers.events // readers.count} events to each reader")
    return ", ".join(texts)


if __name__ == "__main__":
    print(table(measure()))
