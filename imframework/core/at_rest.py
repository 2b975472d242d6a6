"""Secrets in rows, sealed on the way to the database and opened on the way back.

A user's documents are sealed whole, since anything can stand in them. Of machines and resources only the values whose
names say that they are secret (passwords, keys, tokens: see `imframework.languages.radl.is_secret`), so that the rest
can still be read by an operator. Credentials and keys of ours are sealed before they become records (`keyring`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from imframework.api.model import JSON
from imframework.api.storage import Row, Table
from imframework.core.secrets import SecretBox
from imframework.languages.radl import is_secret

#: Name of the one member of an object that stands in the place of a sealed value.
SEALED = "$sealed"
#: The fields of machines and resources that hold what users and clouds have said.
_FIELDS: Mapping[Table, tuple[str, ...]] = {
    Table.VM: ("planned", "facts"),
    Table.RESOURCE: ("spec", "resolved", "attributes"),
}
#: What may hold secrets anywhere in it.
_WHOLE = frozenset({"user_data"})
_is_secret = lru_cache(4096)(is_secret)
#: Sealed texts remembered: rows are written several times with the same password.
_REMEMBERED = 2048


class AtRest:
    """Seals and opens rows. `seal` is called by one thread only."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box
        self._sealed: OrderedDict[tuple[str, str], str] = OrderedDict()

    def seal(self, infrastructure: str, row: Row) -> Row:
        """The row as it is to be stored."""
        if row.table is Table.DOCUMENT:
            return replace(row, data={**row.data, "text": {SEALED: self._box.seal(row.data["text"], infrastructure)}})
        changed = {
            name: sealed
            for name in _FIELDS.get(row.table, ())
            if (value := row.data.get(name)) and (sealed := self._sealed_within(infrastructure, value)) is not value
        }
        return replace(row, data={**row.data, **changed}) if changed else row

    def open(self, infrastructure: str, row: Row) -> Row:
        """The row as it was before it was sealed."""
        if row.table is not Table.DOCUMENT and row.table not in _FIELDS:
            return row
        return replace(row, data=self._opened(infrastructure, row.data))

    def _sealed_within(self, infrastructure: str, value: JSON) -> JSON:
        """The value with its secrets sealed; the very same object if it has none."""
        if isinstance(value, list | tuple):
            items = [self._sealed_within(infrastructure, item) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if not isinstance(value, Mapping):
            return value
        changed = {}
        for name, item in value.items():
            if item and (name in _WHOLE or _is_secret(name)) and not (isinstance(item, Mapping) and "$ref" in item):
                changed[name] = {SEALED: self._seal(infrastructure, item)}
            elif isinstance(item, Mapping | list | tuple):
                sealed = self._sealed_within(infrastructure, item)
                if sealed is not item:
                    changed[name] = sealed
        return {**value, **changed} if changed else value

    def _seal(self, infrastructure: str, value: JSON) -> str:
        if not isinstance(value, str):
            return self._box.seal(value, infrastructure)
        key = (infrastructure, value)
        sealed = self._sealed.get(key)
        if sealed is None:
            sealed = self._sealed[key] = self._box.seal(value, infrastructure)
            if len(self._sealed) > _REMEMBERED:
                self._sealed.popitem(last=False)
        return sealed

    def _opened(self, infrastructure: str, value: JSON) -> JSON:
        if isinstance(value, Mapping):
            if SEALED in value:
                return self._box.open(value[SEALED], infrastructure)
            return {name: self._opened(infrastructure, item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._opened(infrastructure, item) for item in value]
        return value
