"""A service in a process of its own, killed at will, and the questions asked of what it leaves behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imframework.api.storage import Lease
from imframework.core.entities import Status
from imframework.core.imports import UNFINISHED
from imframework.core.infrastructure import Infrastructure
from imframework_plugins.connectors.dummy.cloud import DummyCloud
from imframework_plugins.storage.sql.storage import SqlStorage

VICTIM = Path(__file__).with_name("victim.py")


class Mother:
    """The process that bears those which are killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(VICTIM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def bear(self, directory: Path, mode: str, fatal: int) -> int:
        """A new process; its id."""
        return self._ask([str(directory), mode, fatal])

    def exit_code(self, pid: int) -> int:
        """What a process that has ended, has ended with; negative for a signal."""
        return self._ask(pid)

    def _ask(self, order: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """No more births."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Victim:
    """One service with its database and its simulated cloud, in a directory."""

    def __init__(self, directory: Path, mother: Mother) -> None:
        self.directory = directory
        self._mother = mother

    def move(self) -> None:
        """Begin anew somewhere else."""
        self.directory = self.directory.with_name(str(int(self.directory.name) + 1))
        self.directory.mkdir()

    def prepare(self, requests: Sequence[Mapping[str, object]], **setup: object) -> None:
        """Write down what the service is going to be asked, and what its cloud is like."""
        (self.directory / "requests.json").write_text(json.dumps({"requests": requests, **setup}))

    def run(self, mode: str, fatal: int = 0, timeout: float = 60) -> bool:
        """Run it to its end, whatever that is; whether it was killed.

        `fatal` is the commit after which (negative: instead of which) it kills itself.
        """
        ended, code = self._live(mode, fatal, timeout)
        output = (self.directory / "output").read_text()
        if not ended:
            pytest.fail(f"the service did not come to rest within {timeout} s:\n{output}\n{self.describe()}")
        if code not in (0, -signal.SIGKILL):
            pytest.fail(f"the service failed:\n{output}")
        if "Traceback" in output:
            pytest.fail(f"the service has faults:\n{output}")
        return code != 0

    def run_for(self, seconds: float, mode: str = "live") -> bool:
        """Let it live for so long, then kill it; whether it was killed before its end."""
        return self._live(mode, 0, seconds)[1] != 0

    def _live(self, mode: str, fatal: int, seconds: float) -> tuple[bool, int]:
        """Whether a process ended by itself within so many seconds, and its exit code."""
        pid = self._mother.bear(self.directory, mode, fatal)
        handle = os.pidfd_open(pid)
        try:
            ended = bool(select.select([handle], [], [], seconds)[0])
            if not ended:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
        return ended, self._mother.exit_code(pid)

    def infrastructures(self) -> list[Infrastructure]:
        """What the database holds, deleted ones included."""
        storage = SqlStorage(f"sqlite://{self.directory}/im.db", {})
        storage.open()
        try:
            heads = storage.heads(None, deleted=True)
            loaded = [storage.load(head.id) for head in heads]
        finally:
            storage.close()
        return [Infrastructure.restore(stored, Lease(stored.head.id, "", 0, 0.0)) for stored in loaded if stored]

    def inventory(self) -> Counter[str]:
        """What exists in the cloud, by kind and id."""
        cloud = DummyCloud(self.directory / "cloud.db")
        return Counter(f"{entry.kind} {entry.provider_id}" for entry in cloud.inventory())

    def calls(self, verb: str) -> int:
        """How many requests of a verb have reached the cloud."""
        return sum(call.verb == verb for call in DummyCloud(self.directory / "cloud.db").calls())

    def describe(self) -> str:
        """Everything there is to know, for a failed test."""
        lines = []
        for infra in self.infrastructures():
            lines.append(f"{infra.id}: wanted={infra.wanted} deleted={infra.deleted} due={infra.due}")
            lines += [f"  {vm}" for vm in infra.vms.values()]
            lines += [f"  {entry}" for entry in infra.entries.values()]
            lines += [f"  {record}" for record in (*infra.operations.values(), *infra.runs.values())]
        return "\n".join([*lines, f"cloud: {sorted(self.inventory())}"])

    def check(self, *, unrecognised: int = 0) -> None:
        """What must hold once it has come to rest without anybody's help.

        `unrecognised` is how many things the cloud may have that nothing tells from somebody else's: each must be on
        record as one that may be left.
        """
        ledger: Counter[str] = Counter()
        specs = {thing.provider_id: thing.spec for thing in DummyCloud(self.directory / "cloud.db").inventory()}
        lost = 0
        for infra in self.infrastructures():
            assert infra.due is None, self.describe()
            assert not infra.operations, self.describe()
            assert not infra.runs, self.describe()
            lost += sum(entry.status == Status.LOST for entry in infra.entries.values())
            assert infra.deleted == (not infra.wanted or infra.exported) or lost, self.describe()
            for entry in infra.entries.values():
                if infra.exported and not entry.provider_id:
                    lost += entry.status == Status.INTENDED  # whoever imports it finds out
                elif not entry.adopted and entry.status != Status.LOST:
                    assert entry.status == Status.READY or infra.exported, self.describe()
                    assert infra.exported or not (entry.outdated or entry.left is not None), self.describe()
                    assert specs.get(entry.provider_id, entry.resolved) == entry.resolved, self.describe()
                    ledger[f"{entry.kind} {entry.provider_id}"] += 1
            if not infra.exported:
                assert not [name for name in infra.documents if name.startswith("alteration/")], self.describe()
            for vm in infra.vms.values() if not infra.exported else ():
                assert not vm.alteration, self.describe()
                if vm.wanted:
                    size = specs[str(vm.facts["instance_id"])]["cpu"]
                    assert size == vm.planned["cpu.count"] == vm.facts["cpu.count"], self.describe()
                if not vm.wanted:
                    assert vm.destroyed, self.describe()
                elif vm.power_on:
                    assert vm.state() == "configured" or vm.config_error == UNFINISHED, self.describe()
                else:
                    assert vm.state() == "stopped", self.describe()
            unrecognised += sum(infra.exported and entry.status == Status.INTENDED for entry in infra.entries.values())
        assert lost <= unrecognised, self.describe()
        assert not ledger - self.inventory(), self.describe()
        assert (self.inventory() - ledger).total() <= lost, self.describe()
        self.check_tasks()
        self.check_events()

    def check_events(self) -> None:
        """Of the events of an infrastructure none is missing; and all that happened in the cloud was our doing."""
        storage = SqlStorage(f"sqlite://{self.directory}/im.db", {})
        storage.open()
        try:
            told = [storage.events(head.id, 0, 1_000_000) for head in storage.heads(None, deleted=True)]
        finally:
            storage.close()
        for events in told:
            sequences = [event.sequence for event in events]
            assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), self.describe()
            positions = [event.position for event in events]
            assert positions == sorted(set(positions)), self.describe()
            assert not [event for event in events if event.type == "drift"], self.describe()

    def check_tasks(self) -> None:
        """No task that was recorded has ever run again."""
        recorded = set()
        log = self.directory / "tasks.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            word, _, task = line.partition(" ")
            if word == "recorded":
                recorded.add(task)
            elif word == "ran":
                assert task not in recorded, f"{task} ran again after it was recorded"


@pytest.fixture(scope="session")
def mother() -> Iterator[Mother]:
    """One for all tests of a process."""
    mother = Mother()
    yield mother
    mother.close()


@pytest.fixture
def victim(mother: Mother) -> Iterator[Victim]:
    """A service that may be killed. It lives in memory if possible: what a process leaves there outlives it as well."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        home = Path(directory, "0")
        home.mkdir()
        yield Victim(home, mother)


@pytest.fixture
def wait_until():
    """Wait for something that a process brings about; bounded."""

    def wait(condition, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.01)

    return wait
