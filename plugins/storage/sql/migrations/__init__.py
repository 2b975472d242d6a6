"""The schema of a database, made or brought up to date when it is opened.

An empty database gets the present tables at once; an older one is taken through the steps in `versions` by Alembic,
which is imported only then. Tables of others in the same database (the predecessor's, for example) are left alone.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, String, Table, inspect, select

from imframework.api.errors import StorageError
from imframework_plugins.storage.sql.numbers import make_counters
from imframework_plugins.storage.sql.schema import REVISION, metadata

#: Where Alembic keeps the schema's revision. Not its default name, which another program may use in the same database.
VERSION_TABLE = "schema_revision"
_bookkeeping = MetaData()
_version = Table(
    VERSION_TABLE,
    _bookkeeping,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def bring_up_to_date(reading: Engine, writing: Engine) -> None:
    """Make or migrate the schema, whole or not at all. `writing` takes the write lock when a transaction begins.

    Raises:
        StorageError: the schema is newer than this software, or the tables are not ours.
    """
    with reading.connect() as connection:
        if _revision(connection) == REVISION:
            return
    with writing.begin() as connection:
        revision = _revision(connection)  # again: another process may have been faster
        if revision == REVISION:
            return
        if revision is None:
            create(connection)
        else:
            upgrade(connection, revision)


def create(connection: Connection) -> None:
    """Make the present schema in a database without one."""
    taken = sorted(set(metadata.tables).intersection(inspect(connection).get_table_names()))
    if taken:
        raise StorageError(f"The database has tables of another program with our names: {', '.join(taken)}.")
    metadata.create_all(connection, checkfirst=False)
    make_counters(connection)
    _bookkeeping.create_all(connection)
    connection.execute(_version.insert(), {"version_num": REVISION})


def upgrade(connection: Connection, revision: str | None, to: str = "head") -> None:
    """Run all migrations after `revision` (None: from nothing), up to one of them."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    if revision is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(revision)
        except CommandError as error:
            raise StorageError(
                f"The schema of the database ({revision}) is newer than this version of the software ({REVISION})."
            ) from error
    command.upgrade(config, to)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()
