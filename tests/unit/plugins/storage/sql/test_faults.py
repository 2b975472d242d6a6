"""Full disks, locks, kills and odd values: nothing is half written, and errors say what they mean."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from imframework.api.errors import StorageError, StorageUnavailable
from imframework.api.model import Event
from imframework.api.storage import Commit, LogChunk, Table
from imframework.testing.storage import birth, event, head, row, stored, values, write
from imframework_plugins.storage.sql import schema
from imframework_plugins.storage.sql.storage import SqlStorage

Make = Callable[[object], SqlStorage]


def test_while_another_program_writes_nothing_is_written_and_reading_goes_on(storage: SqlStorage, path: Path) -> None:
    write(storage, birth(head("i"), upserts=(row("1", "old"),)))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):
            storage.commit([Commit("i", 1, 1, upserts=(row("1", "new"),))])
        with pytest.raises(StorageUnavailable, match="locked"):
            storage.acquire("i", "second", 2e9, 1)
        assert values(storage, "i") == {(Table.VM, "1"): "old"}
        other.execute("COMMIT")
    write(storage, Commit("i", 1, 1, upserts=(row("1", "new"),)))


def test_an_error_of_the_database_shows_no_values(storage: SqlStorage) -> None:
    write(storage, birth(head("i"), events=(event("i", 1),)))
    with pytest.raises(StorageError) as caught:
        storage.commit([Commit("i", 1, 1, events=(Event("i", 1, 1.0, "state", {"password": "hunter2"}),))])
    told: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        told.append(str(error))
        error = error.__cause__ or error.__context__
    assert "UNIQUE" in told[0]
    assert not any("hunter2" in text for text in told)
    assert stored(storage, "i").head.version == 1


def test_log_output_that_is_no_text_is_kept_readable(storage: SqlStorage) -> None:
    output = b"caf\xe9 \xff\n".decode("utf-8", "surrogateescape")
    write(storage, birth(head("i", data={"name": output}), log=(LogChunk("1", output),)))
    assert storage.log("i")["1"] == "caf\\udce9 \\udcff\n"
    assert stored(storage, "i").head.data == {"name": output}


# --- full disks ---------------------------------------------------------------------------------------------

FILLING = """
import resource, sys
from imframework.api.errors import StorageUnavailable
from imframework.api.storage import Commit, LogChunk
from imframework.testing.storage import birth, everything, head, row, write
from imframework_plugins.storage.sql.storage import SqlStorage

path, limited = sys.argv[1], sys.argv[2] == "limited"
storage = SqlStorage(path, {})
storage.open()
write(storage, birth(head("i"), upserts=(row("1", "old"),)), birth(head("j")))
before = everything(storage, "i"), everything(storage, "j")
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    big = "x" * 3_000_000
    storage.commit([
        Commit("j", 1, 1, upserts=(row("1", "new"),)),
        Commit("i", 1, 1, head=head("i", owners=("new",)), upserts=(row("1", big),), log=(LogChunk("", big),)),
    ])
except StorageUnavailable as error:
    print("unavailable:", error)
assert (everything(storage, "i"), everything(storage, "j")) == before
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(storage, Commit("i", 1, 1, upserts=(row("1", "small"),)))
storage.close()
again = SqlStorage(path, {})
again.open()
assert again.load("i").head.version == 2 and everything(again, "j") == before[1]
print("whole")
"""


def fill(path: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path), how], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a file system")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_on_a_full_disk_a_commit_writes_nothing_and_later_ones_succeed(small_disk: Path) -> None:
    assert fill(small_disk / "inf.dat", "full").split("\n") == [
        "unavailable: There is no space left for the database.", "whole", "",
    ]  # fmt: skip


def test_at_the_limit_of_file_sizes_a_commit_writes_nothing_and_later_ones_succeed(path: Path) -> None:
    told, whole, _ = fill(path, "limited").split("\n")
    assert told.startswith("unavailable: ")
    assert whole == "whole"


def test_a_full_disk_at_the_start_can_be_tried_again(make: Make, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError):
        ballast.write_bytes(b"x" * 2**20)
    storage = make(small_disk / "inf.dat")
    with pytest.raises(StorageUnavailable):
        storage.open()
    ballast.unlink()
    storage.open()
    write(storage, birth(head("i")))


# --- kill -9 ------------------------------------------------------------------------------------------------

NURSERY = """
import os, sys
from imframework.api.storage import Commit, LogChunk, Table
from imframework.testing.storage import birth, event, head, row, stored, write
from imframework_plugins.storage.sql.storage import SqlStorage

def first(id):
    return birth(head(id), upserts=(row("n1", 1), row("n", 1)), events=(event(id, 1),), log=(LogChunk("", "1 "),))

def following(id, n):
    return Commit(
        id, n - 1, 1, head=head(id, owners=(f"owner-{n}",), data={"n": n}),
        upserts=(row(f"n{n}", n), row("n", n), row("ballast", "x" * (n % 7) * 3000)),
        deletes=((Table.VM, f"n{n - 1}"),), events=(event(id, n),), log=(LogChunk("", f"{n} "),),
    )

def write_until_killed():
    storage = SqlStorage(sys.argv[1], {})
    storage.open()
    if storage.load("a") is None:
        write(storage, first("a"), first("b"))
    n = stored(storage, "a").head.version
    while True:
        n += 1
        write(storage, following("a", n), following("b", n))
        os.write(1, f"{n}\\n".encode())

while sys.stdin.readline():
    child = os.fork()
    if child == 0:
        write_until_killed()
    os.write(1, f"pid {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"end\\n")
"""


def test_after_kills_at_random_moments_there_are_whole_commits_only_and_none_is_lost(path: Path) -> None:
    chance = random.Random(20)
    command = [sys.executable, "-c", NURSERY, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(20):
            print(file=nursery.stdin, flush=True)
            told = [nursery.stdout.readline(), nursery.stdout.readline()]  # the writer's pid and its first commit
            time.sleep(chance.uniform(0, 0.05))
            [writer] = [int(line.split()[1]) for line in told if line.startswith("pid")]
            os.kill(writer, signal.SIGKILL)
            told += iter(nursery.stdout.readline, "end\n")
            check_whole(path, max(int(line) for line in told if not line.startswith("pid")))


def check_whole(path: Path, acknowledged: int) -> None:
    storage = SqlStorage(str(path), {})
    storage.open()
    try:
        version = stored(storage, "a").head.version
        assert version in (acknowledged, acknowledged + 1)
        for id in "ab":
            found = stored(storage, id).head
            assert found.version == version
            assert found.data == {"n": version}
            assert found.owners == {f"owner-{version}"}
            rows = {key: value for (_, key), value in values(storage, id).items()}
            assert rows == {"n": version, f"n{version}": version, "ballast": "x" * (version % 7) * 3000}
            assert [item.sequence for item in storage.events(id, 0, 10**6)] == list(range(1, version + 1))
            assert storage.log(id)[""].split() == [str(number) for number in range(1, version + 1)]
    finally:
        storage.close()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


# --- purging -------------------------------------------------------------------


def test_purging_leaves_no_row_of_any_table_behind(storage: SqlStorage) -> None:
    write(
        storage,
        birth(head("i", deleted=True), upserts=(row("1", 1),), events=(event("i", 1),), log=(LogChunk("", "x"),)),
    )
    storage.purge(stored(storage, "i").head.updated + 1)
    with storage._database.reading() as connection:
        for table in set(schema.metadata.sorted_tables) - {schema.counters}:
            assert connection.execute(select(table)).all() == []
