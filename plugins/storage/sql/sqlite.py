"""What is particular to SQLite: a file that must be there and private, its pragmas, the meaning of its errors.

Durable means that the data are on the disk when a commit returns: write-ahead log, `synchronous=FULL`. A database
file is as private as the service's own memory (mode 0600); SQLite gives its companions ``-wal`` and ``-shm`` the
mode of the database.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from imframework.api.data_url import DataUrl
from imframework.api.errors import StorageError, StorageUnavailable

logger = logging.getLogger("imframework.storage.sql")

#: Connections kept open, and how many more there may be when many threads read at once.
POOL, OVERFLOW = 8, 24

#: Size of the smallest page, in bytes: no database is smaller, unless it is empty.
_SMALLEST = 512

#: Held while a file is made, so that no connection of another thread is on it yet when it is closed.
_creating = threading.Lock()

_PRAGMAS = (
    "PRAGMA foreign_keys=ON",
    "PRAGMA synchronous=FULL",
    "PRAGMA journal_size_limit=67108864",
)

#: Results after which the same call may well succeed later. SQLite has rolled the transaction back.
_PASSING = {
    sqlite3.SQLITE_BUSY: "The database is locked by another program.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another program.",
    sqlite3.SQLITE_FULL: "There is no space left for the database.",
    sqlite3.SQLITE_IOERR: "The disk of the database does not work.",
    sqlite3.SQLITE_NOMEM: "There is no memory left for the database.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened.",
    sqlite3.SQLITE_READONLY: "The database file cannot be written.",
}

#: Results that only the operator can do something about.
_LASTING = {
    sqlite3.SQLITE_NOTADB: "The database file is not an SQLite database.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged.",
    sqlite3.SQLITE_TOOBIG: "A value is too large for the database.",
}

#: While opening, these mean that the place is wrong.
_MISPLACED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


class Sqlite:
    """A database in a file. Only one transaction at a time can write, so writers of this process queue up here."""

    def __init__(self, url: DataUrl, patience: float) -> None:
        """`patience` is how long, in seconds, a writer waits for another one (of any process)."""
        if url.path is None:  # the grammar of `DataUrl` gives every URL of this scheme a path
            raise StorageError(f"DATA_DB: {url} names no file.")
        if url.query:
            raise StorageError(f"DATA_DB: options after '?' are not known for an SQLite file: {url.query}")
        self._path = url.path.absolute()
        self._patience = patience
        self._writers = threading.Lock()

    def connect(self) -> Engine:
        """Make sure of the file and return an engine for it.

        Raises:
            StorageError: there can be no database at this place.
            StorageUnavailable: there could be, later.
        """
        self._find_file()
        engine = create_engine(
            URL.create("sqlite+pysqlite", database=str(self._path)),
            connect_args={"isolation_level": None, "timeout": self._patience, "check_same_thread": False},
            pool_size=POOL,
            max_overflow=OVERFLOW,
            pool_timeout=self._patience,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        try:
            with engine.connect() as connection:  # outside of a transaction, as long as nothing listens to "begin"
                connection.exec_driver_sql("PRAGMA schema_version")  # fails unless it is a database
                self._make_private()
                mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
        except SQLAlchemyError as error:
            engine.dispose()
            raise self.opening_error(error) from error
        if mode != "wal":
            engine.dispose()
            raise StorageError(f"{self._path}: its file system cannot hold a database in WAL mode.")
        event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Wait until no other thread of ours writes; SQLite itself would poll, and favour nobody."""
        if not self._writers.acquire(timeout=self._patience):
            raise StorageUnavailable("The database is busy.")
        try:
            yield
        finally:
            self._writers.release()

    def error(self, error: SQLAlchemyError) -> StorageError:
        """What an error of the driver means. Its text holds no values and no path."""
        code = _result(error)
        if (text := _PASSING.get(code)) is not None:
            return StorageUnavailable(text)
        return StorageError(_LASTING.get(code) or f"The database refused an operation: {_plain(error)}.")

    def opening_error(self, error: SQLAlchemyError) -> StorageError:
        """The same for an error before the database was first used: for the operator, so it names the file."""
        meaning = self.error(error)
        kind = StorageError if _result(error) in _MISPLACED else type(meaning)
        return kind(f"{self._path}: {meaning}")

    # --- the file ------------------------------------------------------------------------------------------

    def _find_file(self) -> None:
        """Make the file if there is none, and see to it that it can be used.

        A file that exists is not opened here: closing it again would drop the locks that SQLite holds on it for other
        connections of this process.
        """
        directory = self._path.parent
        try:
            if not directory.is_dir():
                raise StorageError(f"{self._path}: the directory {directory} does not exist.")
            if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
                raise StorageError(f"{self._path}: the directory {directory} is not writable.")
            with _creating, suppress(FileExistsError):
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            status = self._path.stat()
        except OSError as error:
            raise self._place_error(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"{self._path}: is not a file.")
        if not os.access(self._path, os.R_OK | os.W_OK, effective_ids=True):
            raise StorageError(f"{self._path}: the file is not writable.")
        if 0 < status.st_size < _SMALLEST:  # SQLite would overwrite it
            raise StorageError(f"{self._path}: {_LASTING[sqlite3.SQLITE_NOTADB]}")

    def _make_private(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            file = f"{self._path}{suffix}"
            with suppress(FileNotFoundError):
                mode = stat.S_IMODE(os.stat(file).st_mode)
                if mode & 0o077 == 0:
                    continue
                try:
                    os.chmod(file, mode & 0o700)
                except PermissionError:
                    logger.warning("%s belongs to somebody else and can be read by others", file)
                else:
                    logger.warning("%s could be read by others; its mode is now %04o", file, mode & 0o700)

    def _place_error(self, error: OSError) -> StorageError:
        reason = error.strerror or "cannot be opened"
        passing = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM)
        return (StorageUnavailable if passing else StorageError)(f"{self._path}: {reason}.")


def _prepare(connection: Any, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    """Take the write lock at once where it will be needed: a reader that turns writer can fail in the middle."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _result(error: SQLAlchemyError) -> int:
    """The primary result code of SQLite; the extended ones carry it in their low byte."""
    original = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return int(code) & 0xFF


def _plain(error: SQLAlchemyError) -> str:
    original = error.orig if isinstance(error, DBAPIError) else None
    return str(original or type(error).__name__).rstrip(".")
