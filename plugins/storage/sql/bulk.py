"""Many rows with one statement.

During each statement a driver lets other threads go on, and for `executemany` SQLite's does so for each row; afterwards
it has to wait for its turn. In a busy process a thousand rows would wait a thousand times. So the rows go into one
statement, as a list of VALUES, a piece at a time: pieces come in few sizes, so that few statements are prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.dml import Insert, Update

from imframework_plugins.storage.sql.changes import Parameters

#: Most rows of one statement: old SQLite takes no more than 999 parameters.
PIECE = 64
#: The first SQLite with UPDATE … FROM.
_UPDATE_FROM = (3, 33)


def insert_all(connection: Connection, statement: Insert, rows: Sequence[Parameters]) -> None:
    """Insert rows that all have the same columns; values must be of types that the driver knows."""
    if not rows:
        return
    if not connection.dialect.positional:
        connection.execute(statement, rows)
        return
    columns = tuple(rows[0])
    for piece in _pieces(rows):
        text, order = _insert(statement, connection.dialect, columns, len(piece))
        connection.exec_driver_sql(text, tuple(row[name] for row in piece for name in order))


def update_all(connection: Connection, statement: Update, keys: Sequence[str], rows: Sequence[Parameters]) -> int:
    """Update rows that all set the same columns; how many were found.

    `statement` does the same for one row. Its parameters are those of `keys` with ``of_`` before their names, which
    say the row, and the columns to set; one of them, the version, goes up by one.
    """
    dialect: Any = connection.dialect
    if dialect.name != "sqlite" or dialect.dbapi.sqlite_version_info < _UPDATE_FROM:
        return connection.execute(statement, rows).rowcount
    columns = tuple(rows[0])
    found = 0
    for piece in _pieces(rows):
        text = _update(statement.table.description, tuple(keys), columns, len(piece))
        found += connection.exec_driver_sql(text, tuple(row[name] for row in piece for name in columns)).rowcount
    return found


def _pieces(rows: Sequence[Parameters]) -> Iterator[Sequence[Parameters]]:
    """The rows in pieces whose sizes are powers of two."""
    start = 0
    while start < len(rows):
        size = min(PIECE, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=256)
def _insert(statement: Insert, dialect: Dialect, columns: tuple[str, ...], size: int) -> tuple[str, Sequence[str]]:
    """The text for so many rows, and the order of their columns."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns))
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    row = f"({', '.join([mark] * len(columns))})"
    before, values, after = compiled.string.partition(f"VALUES {row}")
    assert values, compiled.string  # noqa: S101
    return f"{before}VALUES {', '.join([row] * size)}{after}", compiled.positiontup


@lru_cache(maxsize=64)
def _update(table: str, keys: tuple[str, ...], columns: tuple[str, ...], size: int) -> str:
    value = {name: f"new.column{number}" for number, name in enumerate(columns, 1)}
    wanted = " AND ".join(f"{table}.{key} = {value[f'of_{key}']}" for key in keys)
    settings = "".join(f", {name} = {value[name]}" for name in columns if not name.startswith("of_"))
    row = f"({', '.join('?' * len(columns))})"
    rows = ", ".join([row] * size)
    raised = f"version = {table}.version + 1"
    return f"UPDATE {table} SET {raised}{settings} FROM (VALUES {rows}) AS new WHERE {wanted}"  # noqa: S608 - own names
