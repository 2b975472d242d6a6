"""The process itself: memory, threads, start and end, without infrastructures and with a thousand.

Ready is the first answer to GET /version after the program was started. Memory with a thousand infrastructures is
measured twice: in the process that made them, and in one that was started on them and asked for the state of each.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

import load
import service
from figures import Figure, table

INFRASTRUCTURES = 1000
STARTS = 5


def restarted(real: service.Service) -> tuple[Figure, list[float]]:
    """Start and end a service a few times: how soon it is ready, and the seconds to be gone."""
    ready, used, gone = [], [], []
    for _ in range(STARTS):
        gone.append(real.stop())
        ready.append(real.start().ready_seconds)
        used.append(real.processor_seconds())
    what = f"{seconds(ready)}; processor time {statistics.median(used):.2f} s"
    return Figure("ready", statistics.median(ready), "s", 1.5, detail=what), gone


def measure() -> Iterator[Figure]:
    with service.running() as real:
        ready, gone = restarted(real)
        yield replace(ready, name="ready, empty")
        real.client().ask("GET", "/infrastructures")
        yield Figure("memory, idle", real.resident(), "MB", 100, incumbent="111 MB", detail=f"{real.threads()} threads")
        client = real.client()
        while (missing := INFRASTRUCTURES - count(client)) > 0:
            for _ in range(missing):
                client.create(service.cluster(1))
        service.waiting(lambda: client.busy() == 0)
        made = real.resident()
        again, gone_too = restarted(real)
        client = real.client()
        ids = [line.rpartition("/")[2] for line in client.ask("GET", "/infrastructures")[1].decode().splitlines()]
        for id in ids:
            if client.state(id) != "configured":
                raise SystemExit(f"{id} is {client.state(id)}")
        service.waiting(lambda: client.busy() == 0)
        yield Figure(
            "memory, 1,000 infrastructures", max(made, real.resident()), "MB", 130, incumbent="272 MB",
            detail=f"having made them {made:.0f} MB; started on them {real.resident():.0f}; {real.threads()} threads",
        )  # fmt: skip
        yield replace(again, name="ready, 1,000 infrastructures")
        request = load.Request(real.port, f"/infrastructures/{ids[0]}/state", service.CREDENTIALS)
        load.run(request, 8, 0.5)
        gone += [*gone_too, real.stop()]
        yield Figure("SIGTERM to exit", max(gone), "s", 2, incumbent="7 s", detail=f"the longest of {seconds(gone)}")


def count(client: service.Client) -> int:
    return len(client.ask("GET", "/infrastructures")[1].decode().splitlines())


def seconds(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) + " s"


if __name__ == "__main__":
    print(table(measure()))
