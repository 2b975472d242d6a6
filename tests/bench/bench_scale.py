"""One infrastructure of 10, 100 and 1,000 simulated machines: how long until all are configured, then gone.

The cloud has no latency and keeps its inventory in a file, ten calls may be under way at once, and nothing is to be
configured: what is left is the engine and its database. Time is taken from before the POST or DELETE until a poll says
``configured`` or that there is no such infrastructure; that nothing is left is checked in the cloud's own inventory.
Meanwhile somebody else polls another infrastructure, at a steady rate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import load
import service
from figures import Figure, table

from imframework_plugins.connectors.dummy.cloud import DummyCloud

SIZES = (10, 100, 1000)
#: Requests per second on the other infrastructure, state and machine information in turn.
PROBES = 50


def measure() -> Iterator[Figure]:
    with service.running() as real:
        client = real.client()
        other = client.create(service.cluster(3))
        client.until(other, "configured")
        kept = len(DummyCloud(real.cloud).inventory())
        paths = (f"/infrastructures/{other}/state", f"/infrastructures/{other}/vms/0")
        requests = [load.Request(real.port, path, service.CREDENTIALS) for path in paths]
        launched: dict[int, float] = {}
        destroyed: dict[int, float] = {}
        processor: dict[int, float] = {}
        for size in SIZES:
            with load.probe(requests, PROBES) as probed:
                used = real.processor_seconds()
                began = time.perf_counter()
                id = client.create(service.cluster(size))
                client.until(id, "configured")
                launched[size] = time.perf_counter() - began
                began = time.perf_counter()
                status, body = client.ask("DELETE", f"/infrastructures/{id}?async=true")
                if status != 200:
                    raise SystemExit(f"DELETE: {status} {body.decode()}")
                client.until(id, "")
                destroyed[size] = time.perf_counter() - began
                processor[size] = real.processor_seconds() - used
            left = len(DummyCloud(real.cloud).inventory()) - kept
            if left:
                raise SystemExit(f"{left} things are left of {size} machines")
    yield Figure(
        "1,000 machines configured", launched[1000], "s", 8, incumbent="130 s",
        detail="; ".join(f"{size}: {seconds:.2f} s" for size, seconds in launched.items()),
    )  # fmt: skip
    yield Figure(
        "1,000 machines destroyed and verified", destroyed[1000], "s", 6, incumbent="87 s",
        detail="; ".join(f"{size}: {seconds:.2f} s" for size, seconds in destroyed.items()),
    )  # fmt: skip
    yield Figure(
        "processor time per machine, 1,000 against 100", processor[1000] / processor[100] / 10, "",
        detail="; ".join(f"{size}: {1000 * seconds / size:.1f} ms each" for size, seconds in processor.items()),
    )  # fmt: skip
    (answers,) = probed
    yield Figure(
        "GETs on another infrastructure meanwhile, p99", answers.p99, "ms", 50,
        detail=f"{answers.count} requests, p50 {answers.p50:.1f} ms, worst {answers.worst:.0f} ms",
    )  # fmt: skip


if __name__ == "__main__":
    print(table(measure()))
