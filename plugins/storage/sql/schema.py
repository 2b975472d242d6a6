"""The tables, in SQL that SQLite, PostgreSQL and MySQL/MariaDB all understand.

Whoever changes a table adds a migration and sets `REVISION` to it; a test compares the two ways to the same schema.

Keys are compared byte by byte everywhere, which MySQL does only when told so. Tables that are read by infrastructure
are clustered by it where the database can do that.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

#: The newest migration, which a database must be at.
REVISION = "0002"

metadata = MetaData(naming_convention={"fk": "fk_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"})


def _key(length: int = 255) -> String:
    return String(length).with_variant(String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _text() -> Text:
    return Text().with_variant(Text(2**32 - 1), "mysql", "mariadb")


def _number() -> BigInteger:
    """A key of ascending numbers: in SQLite the row id itself, by which the rows are then stored."""
    return BigInteger().with_variant(Integer, "sqlite")


def _infrastructure() -> Column[str]:
    return Column(
        "infrastructure", _key(), ForeignKey("infrastructures.id", ondelete="CASCADE"), primary_key=True, nullable=False
    )


infrastructures = Table(
    "infrastructures",
    metadata,
    Column("id", _key(), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("holder", _key(), nullable=False),
    Column("lease_expires", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("deleted", Boolean(create_constraint=False), nullable=False),
    Column("due", Double),
    Column("data", _text(), nullable=False),
    Index("ix_infrastructures_created", "created", "id"),
    Index("ix_infrastructures_due", "due", "id"),
    Index("ix_infrastructures_holder", "holder"),
)

owners = Table(
    "owners",
    metadata,
    _infrastructure(),
    Column("owner", _key(), primary_key=True),
    Index("ix_owners_owner", "owner"),
    sqlite_with_rowid=False,
)

rows = Table(
    "rows",
    metadata,
    _infrastructure(),
    Column("tab", _key(32), primary_key=True),
    Column("key", _key(), primary_key=True),
    Column("data", _text(), nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("position", _number(), primary_key=True, autoincrement=False),
    Column("infrastructure", _key(), ForeignKey("infrastructures.id", ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("time", Double, nullable=False),
    Column("type", _key(32), nullable=False),
    Column("data", _text(), nullable=False),
    Index("ix_events_infrastructure", "infrastructure", "sequence", unique=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("data", _text(), nullable=False),
)

#: Without more indexes than reading needs: there is a record for each request that changes something.
audit_owners = Table(
    "audit_owners",
    metadata,
    Column("owner", _key(), primary_key=True, nullable=False),
    Column("audit", _number(), primary_key=True, nullable=False, autoincrement=False),
    sqlite_with_rowid=False,
)

#: The highest number given so far, by what is numbered: see `imframework_plugins.storage.sql.numbers`.
counters = Table(
    "counters",
    metadata,
    Column("name", _key(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

log = Table(
    "log",
    metadata,
    Column("seq", _number(), primary_key=True, autoincrement=True),
    Column("infrastructure", _key(), ForeignKey("infrastructures.id", ondelete="CASCADE"), nullable=False),
    Column("stream", _key(32), nullable=False),
    Column("text", _text(), nullable=False),
    Index("ix_log_infrastructure", "infrastructure", "seq"),
)
