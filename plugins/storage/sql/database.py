"""Transactions on the database of a URL, and its schema brought up to date.

What is particular to one database product is in a module of its own (`sqlite`); this one picks it by the scheme.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from imframework.api.data_url import DataUrl
from imframework.api.errors import StorageError, StorageUnavailable
from imframework_plugins.storage.sql.migrations import bring_up_to_date
from imframework_plugins.storage.sql.sqlite import Sqlite

_BACKENDS = {"sqlite": Sqlite}


class Database:
    """An open database. All errors of the driver leave it as `StorageError` or `StorageUnavailable`."""

    def __init__(self, url: str, patience: float) -> None:
        """Connect and migrate; `patience` is how long to wait for a lock, in seconds."""
        try:
            place = DataUrl.parse(url)
        except ValueError as error:
            raise StorageError(f"DATA_DB: {error}.") from error
        backend = _BACKENDS.get(place.scheme)
        if backend is None:
            raise StorageError(f"DATA_DB: the storage plugin 'sql' knows {', '.join(_BACKENDS)}, not {place.scheme}.")
        self._backend = backend(place, patience)
        self._engine: Engine = self._backend.connect()
        self._writing_engine = self._engine.execution_options(writing=True)
        try:
            bring_up_to_date(self._engine, self._writing_engine)
        except SQLAlchemyError as error:
            self.close()
            raise self._backend.opening_error(error) from error
        except StorageError:
            self.close()
            raise

    @property
    def dialect(self) -> Dialect:
        """Of the database behind the URL."""
        return self._engine.dialect

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on the disk when the block ends, and undone when it raises."""
        with self._backend.exclusively(), self._translated(), self._writing_engine.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolExhausted as error:
            raise StorageUnavailable("Too many threads wait for the database.") from error
        except SQLAlchemyError as error:
            raise self._backend.error(error) from error
