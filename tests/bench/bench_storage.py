"""How fast the SQLite storage is, and how much of that is SQLite and the disk.

Run it as ``python tests/bench/bench_storage.py [DIRECTORY]``; the database is made in a new folder there (default: the
system's temporary folder; a folder in memory would make every figure too good). Each figure is the best of a few
rounds. A small commit is two rows and two events of one infrastructure, durable when it returns.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from figures import Figure

from imframework.api.errors import StorageError
from imframework.api.model import Event
from imframework.api.storage import Commit, Head, Lease, Row, Table
from imframework_plugins.storage.sql.storage import SqlStorage

ROUNDS = 3
SECONDS = 1.0


def rate(work: Callable[[], int]) -> float:
    """How often per second; `work` does some of it and says how much."""
    best = 0.0
    for _ in range(ROUNDS):
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < SECONDS:
            done += work()
        best = max(best, done / elapsed)
    return best


def duration(work: Callable[[], object]) -> float:
    """Milliseconds."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1000


class Writer:
    """Makes the commits of a number of infrastructures, one version after the other."""

    def __init__(self, storage: SqlStorage, prefix: str, count: int, due: float | None = None) -> None:
        self.storage = storage
        self.version = 1
        self.due = due
        self.ids = [f"{prefix}-{number:06}" for number in range(count)]
        for start in range(0, count, 100):
            expect_no_conflict(storage.commit([self.birth(id, start) for id in self.ids[start : start + 100]]))

    def birth(self, id: str, created: float) -> Commit:
        return Commit(id, 0, 1, head=self.head(id, created), lease=Lease(id, "bench", 1, 0.0))

    def head(self, id: str, created: float = 0.0) -> Head:
        data = {"name": id, "wanted": True, "generation": 1, "next_vm": 2, "sequence": 2 * self.version}
        return Head(id, frozenset({f"owner-{hash(id) % 100}"}), created, False, self.due, data)

    def write(self, *, heads: bool) -> int:
        """One batch: one commit of each infrastructure."""
        version = self.version
        self.version += 1
        commits = [
            Commit(
                id,
                version,
                1,
                head=self.head(id) if heads else None,
                upserts=(vm_row(1, version), resource_row(1, 0, version)),
                events=(state_event(id, 2 * version), state_event(id, 2 * version + 1)),
            )
            for id in self.ids
        ]
        expect_no_conflict(self.storage.commit(commits))
        return len(commits)


def expect_no_conflict(answers: Sequence[StorageError | None]) -> None:
    if any(answers):
        raise SystemExit(f"a commit conflicts: {answers}")


def vm_row(number: int, version: int) -> Row:
    facts = {"net_interface.0.ip": "10.0.0.1", "cpu.count": 2, "memory.size": 2147483648, "state": "running"}
    return Row(Table.VM, str(number), {"number": number, "system": "wn", "version": version, "facts": facts})


def resource_row(machine: int, kind: int, version: int) -> Row:
    data = {"state": "ready", "token": "t" * 32, "provider_id": "p" * 36, "version": version, "spec": {"size": "small"}}
    return Row(Table.RESOURCE, f"0/{('instance', 'port', 'volume')[kind]}/{machine}", data)


def state_event(id: str, sequence: int) -> Event:
    return Event(id, sequence, 1.7e9, "state", {"vm": 1, "from": "pending", "state": "running"})


def bare_commits(path: Path) -> float:
    """What SQLite itself does on this disk, for scale: one row and one commit, durable."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")

    def one() -> int:
        connection.execute("INSERT INTO t (v) VALUES (?)", ("x" * 300,))
        return 1

    try:
        return rate(one)
    finally:
        connection.close()


def import_cost(path: Path) -> str:
    """Time and memory of a process that opens an existing database and does nothing else."""
    program = (
        "import sys, time; import imframework.api.storage\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "before, start = resident(), time.perf_counter()\n"
        "from imframework_plugins.storage.sql.storage import SqlStorage\n"
        "imported = time.perf_counter(); storage = SqlStorage(sys.argv[1], {}); storage.open()\n"
        "opened = time.perf_counter()\n"
        "print(f'import {1000 * (imported - start):.0f} ms, open {1000 * (opened - imported):.0f} ms, '"
        "f'{resident() - before:.0f} MB')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def large(storage: SqlStorage) -> str:
    """One infrastructure of 1,000 machines with 3,000 resources."""
    rows = [vm_row(number, 1) for number in range(1000)]
    rows += [resource_row(number, kind, 1) for number in range(1000) for kind in range(3)]
    head = Head("large", frozenset({"owner"}), 0.0, False, None, {})
    expect_no_conflict(
        storage.commit([Commit("large", 0, 1, head=head, upserts=tuple(rows), lease=Lease("large", "bench", 1, 0.0))])
    )
    return "large"


def measure() -> Iterator[Figure]:
    """How much of SQLite's own speed is kept; these have no targets, but explain other figures."""
    with tempfile.TemporaryDirectory(prefix="imframework-bench-") as folder:
        bare = bare_commits(Path(folder) / "bare.db")
        storage = SqlStorage(f"{folder}/bench.db", {})
        storage.open()
        one, twenty = Writer(storage, "one", 1), Writer(storage, "twenty", 20)
        yield Figure("small durable commits, alone", rate(lambda: one.write(heads=True)), "/s",
                     detail=f"two rows, two events, head; bare SQLite {bare:.0f}/s of one row")  # fmt: skip
        yield Figure("small durable commits, in batches of 20", rate(lambda: twenty.write(heads=True)), "/s")
        storage.close()


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        path = Path(folder) / "bench.db"
        storage = SqlStorage(str(path), {})
        storage.open()
        one, twenty = Writer(storage, "one", 1), Writer(storage, "twenty", 20)
        print(f"bare SQLite, one row, WAL, synchronous FULL  {bare_commits(Path(folder) / 'bare.db'):8.0f} commits/s")
        print(f"one small commit                             {rate(lambda: one.write(heads=False)):8.0f} commits/s")
        print(f"one small commit with its head               {rate(lambda: one.write(heads=True)):8.0f} commits/s")
        print(f"batches of 20 small commits                  {rate(lambda: twenty.write(heads=False)):8.0f} commits/s")
        print(f"batches of 20 small commits with their heads {rate(lambda: twenty.write(heads=True)):8.0f} commits/s")
        id = large(storage)
        print(f"load 1,000 machines and 3,000 resources      {duration(lambda: storage.load(id)):8.1f} ms")
        Writer(storage, "many", 10_000, due=5.0)
        owner = frozenset({"owner-7"})
        print("with 10,000 infrastructures:")
        print(
            f"  due, 1,000 of 10,000                       {duration(lambda: storage.due(9.0, 'bench', 1000)):8.1f} ms"
        )
        print(
            f"  due, nothing                               {duration(lambda: storage.due(1.0, 'bench', 1000)):8.1f} ms"
        )
        print(f"  heads of one owner of 100                  {duration(lambda: storage.heads(owner)):8.1f} ms")
        print(f"  all heads                                  {duration(storage.heads):8.1f} ms")
        print(f"  load a small one                           {duration(lambda: storage.load('many-005000')):8.1f} ms")
        print(f"  one small commit                           {rate(lambda: one.write(heads=True)):8.0f} commits/s")
        storage.close()
        print(f"opening it in a new process: {import_cost(path)}")


if __name__ == "__main__":
    main()
