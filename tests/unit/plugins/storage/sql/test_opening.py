"""What `open` makes of a DATA_DB and of the file it finds there."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from imframework.api.errors import StorageError, StorageUnavailable
from imframework.testing.storage import birth, head, stored, write
from imframework_plugins.storage.sql.storage import SqlStorage

Make = Callable[[object], SqlStorage]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lasting(storage: SqlStorage) -> str:
    """The error with which opening fails for good."""
    with pytest.raises(StorageError) as caught:
        storage.open()
    assert not isinstance(caught.value, StorageUnavailable)
    return str(caught.value)


# --- the forms of DATA_DB -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sqlite://{}", "sqlite:///{}", "file://{}", "file:///{}", "{}", "SQLITE://{}"])
def test_every_form_of_data_db_names_the_same_file(make: Make, path: Path, form: str) -> None:
    make(form.format(path)).open()
    assert [entry.name for entry in path.parent.glob("*.dat")] == ["inf.dat"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM infrastructures").fetchall() == [(0,)]


def test_a_bare_relative_path_starts_at_the_working_directory(
    make: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    make("inf.dat").open()
    assert path.is_file()


def test_strange_file_names_are_file_names(make: Make, tmp_path: Path) -> None:
    for name in (":memory:", "file:x", "a b%20#é.db", "q?mode=memory"):
        make(tmp_path / name).open()
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    "url", ["mysql://im:hunter2@host/im", "postgresql://im:hunter2@host/im", "mongodb://im:hunter2@host/im"]
)
def test_other_databases_are_refused_without_showing_the_password(make: Make, url: str) -> None:
    message = lasting(make(url))
    assert "sqlite" in message
    assert url.partition(":")[0] in message
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["", "sqlite:/x", "sqlite://", "sqlite://host/x", "sqlite:///x?mode=ro", "://"])
def test_malformed_urls_are_refused(make: Make, url: str) -> None:
    assert lasting(make(url)).startswith("DATA_DB: ")


# --- the place ----------------------------------------------------------------------------------------------


def test_a_missing_directory_is_named(make: Make, tmp_path: Path) -> None:
    assert str(tmp_path / "missing") in lasting(make(tmp_path / "missing" / "inf.dat"))
    assert not (tmp_path / "missing").exists()


def test_what_is_no_file_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for wrong in (tmp_path / "directory", tmp_path / "fifo", tmp_path / "file" / "inf.dat"):
        assert str(wrong) in lasting(make(wrong))


@pytest.fixture
def for_nobody(storage: SqlStorage) -> Iterator[Path]:
    """A directory that everybody can reach. (The storage is there to have everything imported.)"""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be an unprivileged user for a while; those who are anyway stay who they are."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_directory_that_is_not_writable_is_named(make: Make, for_nobody: Path) -> None:
    for_nobody.chmod(0o555)
    with as_nobody():
        message = lasting(make(for_nobody / "inf.dat"))
    assert f"{for_nobody} is not writable" in message
    assert list(for_nobody.iterdir()) == []


def test_a_file_that_is_not_writable_is_named(make: Make, for_nobody: Path) -> None:
    path = for_nobody / "inf.dat"
    path.touch(0o444)
    for_nobody.chmod(0o777)
    with as_nobody():
        assert lasting(make(path)) == f"{path}: the file is not writable."


def test_a_directory_that_cannot_be_entered_is_an_error_and_no_crash(make: Make, for_nobody: Path) -> None:
    (for_nobody / "closed").mkdir(mode=0o600)
    with as_nobody():
        assert str(for_nobody / "closed") in lasting(make(for_nobody / "closed" / "inf.dat"))
        assert str(for_nobody / "closed") in lasting(make(for_nobody / "closed" / "below" / "inf.dat"))


# --- the file -----------------------------------------------------------------------------------------------


def test_the_database_and_its_companions_are_private(storage: SqlStorage, path: Path) -> None:
    write(storage, birth(head("i")))
    assert {entry.name: mode(entry) for entry in path.parent.glob("inf.dat*")} == {
        "inf.dat": 0o600, "inf.dat-wal": 0o600, "inf.dat-shm": 0o600,
    }  # fmt: skip
    storage.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["inf.dat"]


def test_a_database_that_others_can_read_is_made_private(
    make: Make, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.touch(0o664)
    path.chmod(0o664)
    make(path).open()
    assert mode(path) == 0o600
    assert f"{path} could be read by others" in caplog.text


@pytest.mark.parametrize("content", [b"just some text, longer than the header of a database\n" * 100, b"x"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(make: Make, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o644)
    message = lasting(make(path))
    assert str(path) in message
    assert "not an SQLite database" in message
    assert (path.read_bytes(), mode(path)) == (content, 0o644)


def test_a_damaged_database_is_refused(make: Make, path: Path) -> None:
    storage = make(path)
    storage.open()
    storage.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 3996 + content[4096:])
    assert "damaged" in lasting(make(path))


def test_the_settings_that_make_it_durable_hold_on_every_connection(storage: SqlStorage, path: Path) -> None:
    write(storage, birth(head("i")))
    with storage._database.reading() as one, storage._database.reading() as two:
        for connection in (one, two):
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
            assert found == ["wal", 2, 1]


def test_a_second_storage_on_the_file_leaves_the_locks_of_the_first_alone(
    make: Make, storage: SqlStorage, path: Path
) -> None:
    """POSIX locks end when *any* descriptor of the file is closed, and without them others may remove the log."""
    inode = f":{path.stat().st_ino} "
    write(storage, birth(head("i")))
    assert inode in Path("/proc/locks").read_text()
    second = make(path)
    second.open()
    second.close()
    assert inode in Path("/proc/locks").read_text()


def test_opening_twice_is_opening_once(storage: SqlStorage) -> None:
    write(storage, birth(head("i")))
    storage.open()
    assert stored(storage, "i").head.version == 1


# --- company ------------------------------------------------------------------------------------------------


def test_tables_of_the_predecessor_in_the_same_file_are_left_alone(make: Make, path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE inf_list (id VARCHAR(255) PRIMARY KEY, deleted INTEGER, date, data TEXT, auth TEXT)")
        raw.execute("INSERT INTO inf_list VALUES ('old', 0, '2024-01-01', '{}', '[]')")
        before = raw.execute("SELECT * FROM inf_list").fetchall()
        definition = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'inf_list'").fetchall()
    storage = make(path)
    storage.open()
    write(storage, birth(head("new", deleted=True)))
    assert storage.load("old") is None
    storage.purge(1e12)
    storage.close()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT * FROM inf_list").fetchall() == before
        assert raw.execute("SELECT sql FROM sqlite_master WHERE name = 'inf_list'").fetchall() == definition


def test_tables_of_another_program_with_our_names_are_refused_and_left_alone(make: Make, path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE events (what TEXT)")
    assert "events" in lasting(make(path))
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("events",)]


def test_a_locked_database_can_be_opened_later(make: Make, path: Path) -> None:
    storage = make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE inf_list (id)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailable, match="locked") as caught:
            storage.open()
        assert str(path) in str(caught.value)
        other.execute("COMMIT")
    storage.open()
    storage.ping()


def test_two_that_open_a_new_database_at_the_same_time_share_it(path: Path) -> None:
    program = (
        "import sys; from imframework_plugins.storage.sql.storage import SqlStorage\n"
        "storage = SqlStorage(sys.argv[1], {}); sys.stdin.read(1); storage.open(); storage.ping(); print('open')\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["open\n"] * 2


# --- cost ---------------------------------------------------------------------------------------------------


def test_declaring_imports_no_database_and_opening_imports_no_alembic(path: Path) -> None:
    program = (
        "import sys; from imframework_plugins.storage.sql import declaration\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "from imframework_plugins.storage.sql.storage import SqlStorage\n"
        "for _ in range(2):\n"
        "    storage = SqlStorage(sys.argv[1], {}); storage.open(); storage.close()\n"
        "assert 'alembic' not in sys.modules and 'sqlalchemy.orm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)
