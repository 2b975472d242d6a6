"""Ascending numbers that become visible in their order: positions of events, ids of audit records.

A counter is a row. Raising it locks that row until the transaction ends, so that of two writers the one with the higher
numbers commits later. The lock is taken last in a transaction, so it is short, and no two writers wait for each other.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from imframework_plugins.storage.sql import schema

EVENTS, AUDIT = "events", "audit"

_of = schema.counters.c.name == bindparam("of_name")
_RAISE = update(schema.counters).where(_of).values(value=schema.counters.c.value + bindparam("amount"))
_READ = select(schema.counters.c.value).where(_of)
_INSERT = insert(schema.counters)


def make_counters(connection: Connection) -> None:
    """Begin to count, in a new database."""
    connection.execute(_INSERT, [{"name": name, "value": 0} for name in (EVENTS, AUDIT)])


def take(connection: Connection, name: str, amount: int) -> range:
    """The next numbers, for this transaction."""
    raised = {"of_name": name, "amount": amount}
    if connection.dialect.update_returning:
        last = connection.scalars(_RAISE.returning(schema.counters.c.value), raised).one()
    else:
        connection.execute(_RAISE, raised)
        last = highest(connection, name)
    return range(last - amount + 1, last + 1)


def highest(connection: Connection, name: str) -> int:
    """The highest number given so far, 0 if none was."""
    return connection.scalars(_READ, {"of_name": name}).one()
