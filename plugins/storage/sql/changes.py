"""A `Commit` in the form in which it is written: parameters of statements, its JSON made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from imframework.api.model import JSON
from imframework.api.storage import Commit

Parameters = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Change:
    """What one commit writes. Making it needs no database; names with ``of_`` say which row is meant."""

    __slots__ = ("anew", "deletes", "events", "guard", "head", "infrastructure", "lease", "log", "owners", "upserts")

    def __init__(self, commit: Commit) -> None:
        id = commit.infrastructure
        head = commit.head
        self.infrastructure = id
        self.anew = commit.anew
        self.lease: Parameters | None = None
        if commit.lease is not None:
            if head is None:
                raise ValueError("a commit that creates an infrastructure must have its head")
            lease = commit.lease
            self.lease = {"holder": lease.holder, "fence": lease.fence, "lease_expires": lease.expires}
        self.guard: Parameters = {"of_id": id, "of_version": commit.version, "of_fence": commit.fence}
        self.head: Parameters = {}
        self.owners: frozenset[str] | None = None
        if head is not None:
            self.owners = head.owners
            self.head = {
                "created": head.created,
                "deleted": head.deleted,
                "due": head.due,
                "data": _json(head.data),
            }
        self.deletes = [
            {"of_infrastructure": id, "of_tab": table.value, "of_key": key} for table, key in commit.deletes
        ]
        self.upserts = [
            {"infrastructure": id, "tab": row.table.value, "key": row.key, "data": _json(row.data)}
            for row in commit.upserts
        ]
        self.events = [
            {
                "infrastructure": id,
                "sequence": event.sequence,
                "time": event.time,
                "type": event.type,
                "data": _json(event.data),
            }
            for event in commit.events
        ]
        self.log = [
            {"infrastructure": id, "stream": chunk.stream, "text": _storable(chunk.text)} for chunk in commit.log
        ]


def _json(data: Mapping[str, JSON]) -> str:
    return _encode(dict(data))


def _storable(text: str) -> str:
    """The output of programs may hold bytes that are no text (lone surrogates); a database refuses them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
