"""Older schemas become the present one, whole or not at all; newer ones are left alone."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from imframework.api.errors import StorageError, StorageUnavailable
from imframework.api.storage import Commit
from imframework.testing.storage import birth, head, row, stored, write
from imframework.testing.storage import event as happening
from imframework_plugins.storage.sql import migrations, schema
from imframework_plugins.storage.sql.storage import SqlStorage

Make = Callable[[object], SqlStorage]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path}/scratch.db")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def description(connection: Connection) -> dict[str, object]:
    """Everything SQLite knows about the tables, in a form that does not depend on how they were written down."""
    found: dict[str, object] = {}
    for name, sql in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all():
        indexes = connection.exec_driver_sql(f"PRAGMA index_list({name})").all()
        found[name] = (
            connection.exec_driver_sql(f"PRAGMA table_xinfo({name})").all(),
            sorted(connection.exec_driver_sql(f"PRAGMA foreign_key_list({name})").all()),
            {(i[1], i[2]): connection.exec_driver_sql(f"PRAGMA index_xinfo({i[1]})").all() for i in indexes},
            "WITHOUT ROWID" in sql,
            {word for word in sql.replace("(", " ").split() if word.startswith(("pk_", "fk_", "uq_"))},
        )
    return found


def test_the_migrations_and_the_tables_give_the_same_schema(connection: Connection, tmp_path: Path) -> None:
    migrations.upgrade(connection, None)
    context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
    assert compare_metadata(context, schema.metadata) == []
    engine = create_engine(f"sqlite:///{tmp_path}/direct.db")
    with engine.connect() as direct:
        migrations.create(direct)
        assert description(connection) == description(direct)
    engine.dispose()


def test_the_revision_of_the_tables_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [schema.REVISION]


def test_a_migrated_database_can_be_used(make: Make, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, None)
    engine.dispose()
    storage = make(path)
    storage.open()
    write(storage, birth(head("i"), upserts=(row("1", 1),)))
    assert stored(storage, "i").head.version == 1


def test_a_newer_schema_is_refused_and_left_alone(make: Make, storage: SqlStorage, path: Path) -> None:
    storage.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE schema_revision SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"9999.*newer") as caught:
        make(path).open()
    assert not isinstance(caught.value, StorageUnavailable)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT version_num FROM schema_revision").fetchall() == [("9999",)]


def test_events_of_the_first_schema_get_positions_in_their_order(make: Make, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, None, "0001")
        for id in ("i", "j"):
            connection.exec_driver_sql(
                "INSERT INTO infrastructures VALUES (?, 1, 1, 'me', 0.0, 0.0, 0.0, 0, NULL, '{}')", (id,)
            )
        for event in (("i", 1, 5.0), ("i", 2, 4.0), ("j", 1, 4.5), ("j", 2, 9.0), ("i", 3, 7.0)):  # a clock set back
            connection.exec_driver_sql("INSERT INTO events VALUES (?, ?, ?, 'state', '{\"a\":1}')", event)
    engine.dispose()
    storage = make(path)
    storage.open()
    found = storage.account_events(None, 0, 10)
    assert [(item.infrastructure, item.sequence) for item in found] == [
        ("j", 1), ("i", 1), ("i", 2), ("i", 3), ("j", 2),
    ]  # fmt: skip
    assert [item.position for item in found] == [1, 2, 3, 4, 5]
    assert storage.last_position() == 5
    write(storage, Commit("i", 1, 1, events=(happening("i", 4),)))
    assert [(item.sequence, item.position) for item in storage.events("i", 2, 10)] == [(3, 4), (4, 6)]


# --- the next version of the software -----------------------------------------------------------------------


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretends that the software is one migration further; takes the body of its `upgrade`."""

    def install(body: str) -> None:
        copy = tmp_path / "migrations"
        shutil.copytree(Path(migrations.__file__).parent, copy)
        (copy / "versions" / "next.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision = 'next'\ndown_revision = '{schema.REVISION}'\ndef upgrade():\n    {body}\n"
        )
        monkeypatch.setattr(migrations, "__file__", str(copy / "__init__.py"))
        monkeypatch.setattr(migrations, "REVISION", "next")

    return install


def columns(path: Path) -> tuple[list[str], list[tuple[str]]]:
    with closing(sqlite3.connect(path)) as raw:
        names = [found[1] for found in raw.execute("PRAGMA table_info(log)")]
        return names, raw.execute("SELECT version_num FROM schema_revision").fetchall()


ADD_A_COLUMN = "op.add_column('log', sa.Column('colour', sa.Text))"


def test_an_older_database_is_migrated_when_it_is_opened(
    make: Make, storage: SqlStorage, path: Path, next_version: Callable[[str], None]
) -> None:
    write(storage, birth(head("i"), upserts=(row("1", "kept"),)))
    storage.close()
    next_version(ADD_A_COLUMN)
    again = make(path)
    again.open()
    names, revision = columns(path)
    assert "colour" in names
    assert revision == [("next",)]
    assert [item.data for item in stored(again, "i").rows] == [{"value": "kept"}]


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    make: Make, storage: SqlStorage, path: Path, next_version: Callable[[str], None]
) -> None:
    write(storage, birth(head("i")))
    storage.close()
    before = columns(path)
    next_version(ADD_A_COLUMN + "; op.drop_table('nowhere')")
    with pytest.raises(StorageError, match="nowhere"):
        make(path).open()
    assert columns(path) == before
