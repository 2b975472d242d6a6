"""What the statistics say of the machines of an infrastructure, kept up to date with each change of one.

It is stored with the head, so that statistics over thousands of infrastructures cost one query and no rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from imframework.api.model import JSON
from imframework.core.entities import VM

MEGABYTE = 10**6


class Tally:
    """Sums over all machines that an infrastructure has ever had."""

    def __init__(self) -> None:
        self._machines = 0
        self._cpus = 0
        self._memory = 0
        self._servers: Counter[str] = Counter()
        self._first: VM | None = None

    def replace(self, former: VM | None, now: VM) -> bool:
        """Count a machine as it is now, and no longer as it was; whether that makes a difference."""
        if former is not None and _source(former) == _source(now):
            return False
        before = self.to_data()
        if former is not None:
            self._count(former, -1)
        self._count(now, 1)
        if self._first is None or now.number <= self._first.number:
            self._first = now
        return before != self.to_data()

    def _count(self, vm: VM, sign: int) -> None:
        self._machines += sign
        self._cpus += sign * _number(vm, "cpu.count")
        self._memory += sign * _number(vm, "memory.size")
        self._servers[vm.cloud_server] += sign

    def to_data(self) -> Mapping[str, JSON]:
        """The part of a record of the statistics that is about machines."""
        first = self._first
        here = first.cloud_server if first is not None else ""
        return {
            "vm_count": self._machines,
            "cpu_count": self._cpus,
            "memory_size": self._memory // MEGABYTE,
            "cloud_type": first.cloud_type if first is not None else "",
            "cloud_host": here,
            "hybrid": any(number > 0 and server != here for server, number in self._servers.items() if server),
        }


def _source(vm: VM) -> tuple[object, ...]:
    """What the sums depend on; facts are replaced and never changed, so it is enough that they are the same objects."""
    return id(vm.planned), id(vm.facts), vm.cloud_server, vm.cloud_type


def _number(vm: VM, feature: str) -> int:
    """A feature of a machine, as known or as planned; 0 where there is none."""
    value = vm.facts.get(feature, vm.planned.get(feature, 0))
    return int(value) if isinstance(value, int | float) else 0
