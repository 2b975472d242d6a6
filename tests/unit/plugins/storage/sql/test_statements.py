"""The SQL: few statements, found by indexes, and portable where that matters."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from imframework.api.storage import Commit, LogChunk
from imframework.testing.storage import birth, head, record, row, write
from imframework.testing.storage import event as happening
from imframework_plugins.storage.sql import bulk, schema
from imframework_plugins.storage.sql.storage import SqlStorage
from imframework_plugins.storage.sql.upsert import upsert

Statements = list[tuple[str, Any]]


@pytest.fixture
def statements(storage: SqlStorage) -> Iterator[Statements]:
    """The statements that reach the driver, with their parameters, without those that begin transactions."""
    seen: Statements = []

    def listen(
        _connection: object, _cursor: object, text: str, parameters: object, _context: object, _many: bool
    ) -> None:
        if not text.startswith("BEGIN"):
            seen.append((text, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    yield seen
    event.remove(Engine, "before_cursor_execute", listen)


def test_a_batch_costs_one_statement_for_each_kind_of_thing(storage: SqlStorage, statements: Statements) -> None:
    ids = [f"i-{number}" for number in range(16)]
    write(storage, *(birth(head(id)) for id in ids))
    statements.clear()
    write(
        storage,
        *(
            Commit(
                id, 1, 1, upserts=(row("1", 1), row("2", 2)),
                events=(happening(id, 1), happening(id, 2)), log=(LogChunk("", "x"),),
            )
            for id in ids
        ),
    )  # fmt: skip
    kinds = [text.split()[0] for text, _ in statements if "SAVEPOINT" not in text]
    assert kinds == ["UPDATE", "INSERT", "INSERT", "UPDATE", "INSERT"]


def test_a_batch_with_a_conflict_costs_a_statement_for_each_head(storage: SqlStorage, statements: Statements) -> None:
    ids = [f"i-{number}" for number in range(4)]
    write(storage, *(birth(head(id)) for id in ids))
    statements.clear()
    answers = storage.commit([Commit(id, 1 if id != "i-3" else 7, 1, upserts=(row("1", 1),)) for id in ids])
    assert [answer is None for answer in answers] == [True, True, True, False]
    kinds = [text.split()[0] for text, _ in statements if "SAVEPOINT" not in text]
    assert kinds == ["UPDATE", *["UPDATE"] * 4, *["INSERT"] * 2]
    assert all(len(storage.load(id).rows) == (id != "i-3") for id in ids)  # type: ignore[union-attr]


def test_owners_that_stay_are_not_written_again(storage: SqlStorage, statements: Statements) -> None:
    write(storage, birth(head("i", owners=("a", "b"))))
    statements.clear()
    write(storage, Commit("i", 1, 1, head=head("i", owners=("b", "a"), due=5.0)))
    write(storage, Commit("i", 2, 1, upserts=(row("1", 1),)))
    write(storage, Commit("i", 3, 1, head=head("i", owners=("b", "a"))))
    assert [text.split()[0] for text, _ in statements] == ["UPDATE", "UPDATE", "INSERT", "UPDATE"]


def test_owners_that_others_have_written_are_looked_at_again(
    storage: SqlStorage, make: Callable[[object], SqlStorage], path: Path, statements: Statements
) -> None:
    other = make(path)
    other.open()
    write(storage, birth(head("i", owners=("a",))))
    write(other, Commit("i", 1, 1, head=head("i", owners=("b",))))
    statements.clear()
    write(storage, Commit("i", 2, 1, head=head("i", owners=("a",))))
    assert [text.split()[0] for text, _ in statements] == ["UPDATE", "SELECT", "DELETE", "INSERT"]
    assert storage.load("i").head.owners == {"a"}  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
def test_any_number_of_rows_is_written_whole(storage: SqlStorage, count: int) -> None:
    ids = [f"i-{number}" for number in range(count)]
    write(storage, *(birth(head(id)) for id in ids))
    rows = tuple(row(str(number), number) for number in range(count))
    write(storage, *(Commit(id, 1, 1, head=head(id, due=0.1), upserts=rows if id == "i-0" else ()) for id in ids))
    stored = storage.load("i-0")
    assert stored is not None
    assert sorted(stored.rows, key=lambda one: int(one.key)) == list(rows)
    assert {(one.version, one.due) for one in storage.heads()} == {(2, 0.1)}


def test_databases_without_update_from_get_a_statement_for_each_head(
    storage: SqlStorage, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"i-{number}" for number in range(3)]
    write(storage, *(birth(head(id)) for id in ids))
    monkeypatch.setattr(bulk, "_UPDATE_FROM", (99, 0))
    statements.clear()
    write(storage, *(Commit(id, 1, 1, upserts=(row("1", 1),)) for id in ids))
    assert not any("FROM" in text for text, _ in statements)
    assert {one.version for one in storage.heads()} == {2}


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        (lambda storage: storage.load("i"), {"infrastructures", "owners", "rows"}),
        (lambda storage: storage.heads(frozenset({"a", "b"})), {"infrastructures", "owners"}),
        (lambda storage: storage.due(1.0, "me", 10), {"infrastructures"}),
        (lambda storage: storage.events("i", 5, 10), {"events"}),
        (lambda storage: storage.account_events(None, 5, 10), {"events"}),
        (lambda storage: storage.account_events(frozenset({"a"}), 5, 10), {"events", "owners"}),
        (lambda storage: storage.last_position(), {"counters"}),
        (lambda storage: storage.audit(None, 0, 10), {"audit"}),
        (lambda storage: storage.audit(frozenset({"a"}), 0, 10), {"audit", "audit_owners"}),
        (lambda storage: storage.find(["i", "j"]), {"infrastructures", "owners"}),
        (lambda storage: storage.log("i"), {"log"}),
        (lambda storage: storage.renew("me", 1.0, 1.0), {"infrastructures"}),
        (lambda storage: storage.release("me"), {"infrastructures"}),
        (lambda storage: storage.acquire("i", "me", 1.0, 1.0), {"infrastructures"}),
    ],
    ids=[
        "load",
        "heads",
        "due",
        "events",
        "account_events of all",
        "account_events",
        "last_position",
        "audit of all",
        "audit",
        "find",
        "log",
        "renew",
        "release",
        "acquire",
    ],
)
def test_frequent_questions_search_indexes_and_read_no_whole_table(
    storage: SqlStorage,
    statements: Statements,
    path: Path,
    question: Callable[[SqlStorage], object],
    tables: set[str],
) -> None:
    storage.commit([birth(head("i"))], [record(1, "a")])
    statements.clear()
    question(storage)
    with closing(sqlite3.connect(path)) as raw:
        steps = [
            str(step[3])
            for text, parameters in statements
            for step in raw.execute(f"EXPLAIN QUERY PLAN {text}", parameters)
        ]
    assert {step.split()[1] for step in steps if step.startswith("SEARCH")} == tables
    assert not [step for step in steps if step.startswith("SCAN")]


def test_listing_everything_reads_the_heads_in_order(storage: SqlStorage, statements: Statements, path: Path) -> None:
    storage.heads()
    with closing(sqlite3.connect(path)) as raw:
        [plan] = raw.execute(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1]).fetchall()
    assert plan[3] == "SCAN infrastructures USING INDEX ix_infrastructures_created"


@pytest.mark.parametrize(
    ("dialect", "clause"),
    [
        (sqlite.dialect(), 'ON CONFLICT (infrastructure, tab, "key") DO UPDATE SET data = excluded.data'),
        (postgresql.dialect(), "ON CONFLICT (infrastructure, tab, key) DO UPDATE SET data = excluded.data"),
        (mysql.dialect(), "ON DUPLICATE KEY UPDATE data = VALUES(data)"),
    ],
    ids=["sqlite", "postgresql", "mysql"],
)
def test_a_row_is_replaced_in_the_words_of_each_database(dialect: Any, clause: str) -> None:
    assert clause in str(upsert(schema.rows, dialect).compile(dialect=dialect)).replace("\n", "")


def test_keys_are_compared_byte_by_byte_where_that_is_not_the_default() -> None:
    text = str(CreateTable(schema.owners).compile(dialect=mysql.dialect()))
    assert text.count("COLLATE utf8mb4_bin") == 2
    assert "COLLATE" not in str(CreateTable(schema.owners).compile(dialect=postgresql.dialect()))
