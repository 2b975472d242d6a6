"""POST of infrastructures of one machine at a steady rate, whether or not the service keeps up.

A request is due at its instant and its latency counts from there, so a service that falls behind is not spared. What
is answered is durable; afterwards it is measured how long it takes until everything that was accepted is configured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import load
import service
from figures import Figure, table

RATE = 200
#: Seconds of load; fewer of them, by the environment, for a quick look.
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
#: Most seconds from the last answer until all are configured.
DRAINED = 10


def measure() -> Iterator[Figure]:
    with service.running() as real:
        client = real.client()
        body = service.cluster(1)
        request = load.Request(real.port, "/infrastructures?async=true", service.CREDENTIALS, "POST", body)
        load.run(request, 4, 1.0)  # warms up
        service.waiting(lambda: client.busy() == 0)
        before = real.processor_seconds()
        with load.probe([request], RATE) as results:
            time.sleep(SECONDS)
        client = real.client()  # a connection that is idle for so long is closed
        backlog = client.busy()
        drained = service.waiting(lambda: client.busy() == 0)
        cost = real.processor_seconds() - before
        posted = results[0]
        ids = created(client)
        if len(ids) < posted.count:
            raise SystemExit(f"{posted.count} POSTs were answered, {len(ids)} infrastructures are there")
        wrong = [id for id in ids[:: max(1, len(ids) // 500)] if client.state(id) != "configured"]
        if wrong:
            raise SystemExit(f"not configured: {wrong}")
        yield Figure(
            f"POST of one machine, {RATE}/s, open loop, p99", posted.p99, "ms", 150,
            detail=f"{posted.count} in {SECONDS:g} s, p50 {posted.p50:.0f}, worst {posted.worst:.0f} ms, no error",
        )  # fmt: skip
        yield Figure(
            "until all of these are configured", drained, "s", DRAINED, detail=f"{backlog} were not at the end"
        )
        yield Figure("processor time for each of these", cost / posted.count * 1000, "ms")
        yield Figure("memory after that", real.resident(), "MB")


def created(client: service.Client) -> list[str]:
    """The ids of all infrastructures."""
    status, listed = client.ask("GET", "/infrastructures")
    if status != 200:
        raise SystemExit(f"GET /infrastructures: {status}")
    return [line.rpartition("/")[2] for line in listed.decode().splitlines()]


if __name__ == "__main__":
    print(table(measure()))
