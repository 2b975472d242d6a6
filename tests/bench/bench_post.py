"""POST of infrastructures of one machine, asynchronous and durable when answered, for some time without a pause.

Afterwards, how long it takes until all of them are configured: what was accepted faster than it could be carried out.
"""

from __future__ import annotations

from collections.abc import Iterator

import load
import service
from figures import Figure, table

CLIENTS = 16
SECONDS = 12.0


def measure() -> Iterator[Figure]:
    with service.running() as real:
        client = real.client()
        body = service.cluster(1)
        request = load.Request(real.port, "/infrastructures?async=true", service.CREDENTIALS, "POST", body)
        load.run(request, CLIENTS, 1.0)
        service.waiting(lambda: client.busy() == 0)
        posted = load.run(request, CLIENTS, SECONDS)
        drained = service.waiting(lambda: client.busy() == 0)
        status, listed = client.ask("GET", "/infrastructures")
        ids = [line.rpartition("/")[2] for line in listed.decode().splitlines()]
        if status != 200 or len(ids) < posted.count:
            raise SystemExit(f"{posted.count} POSTs were answered, {len(ids)} infrastructures are there")
        wrong = [id for id in ids[:: max(1, len(ids) // 200)] if client.state(id) != "configured"]
        if wrong:
            raise SystemExit(f"not configured: {wrong}")
        yield Figure(
            "POST of one machine", posted.rate, "/s", 150, at_least=True, incumbent="17/s",
            detail=f"{CLIENTS} clients, {SECONDS:g} s, p50 {posted.p50:.0f} ms, p99 {posted.p99:.0f} ms",
        )  # fmt: skip
        yield Figure("until all of these are configured", drained, "s", detail=f"{posted.count} infrastructures")


if __name__ == "__main__":
    print(table(measure()))
