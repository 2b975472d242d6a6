"""The one statement for which SQL has no common form: insert, or replace what is there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.sql.dml import Insert


def upsert(table: Table, dialect: Dialect) -> Insert:
    """An insert that replaces the columns outside the primary key of a row that exists."""
    mysql = dialect.name in ("mysql", "mariadb")
    # Each dialect has an Insert class of its own; they share no base that has these methods.
    insert: Any = import_module(f"sqlalchemy.dialects.{'mysql' if mysql else dialect.name}").insert(table)
    others = [column.name for column in table.columns if not column.primary_key]
    statement: Insert
    if mysql:
        statement = insert.on_duplicate_key_update({name: insert.inserted[name] for name in others})
    else:
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: insert.excluded[name] for name in others}
        )
    return statement
