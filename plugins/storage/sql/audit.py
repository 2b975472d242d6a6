"""Audit records in SQL: the record as JSON, and beside it what it is searched by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from imframework.api.model import AuditRecord
from imframework_plugins.storage.sql import numbers, schema
from imframework_plugins.storage.sql.bulk import insert_all

_encode = json.JSONEncoder(separators=(",", ":")).encode
_audit, _owners = schema.audit.c, schema.audit_owners.c
_INSERT = insert(schema.audit)
_INSERT_OWNER = insert(schema.audit_owners)


class Entries:
    """Records in the form in which they are written, but for their numbers."""

    def __init__(self, records: Sequence[AuditRecord]) -> None:
        self._records = [(record.time, _encode(_data(record)), record.owner_keys) for record in records]

    def write(self, connection: Connection) -> None:
        """Append them."""
        if not self._records:
            return
        ids = numbers.take(connection, numbers.AUDIT, len(self._records))
        rows, owners = [], []
        for id, (time, data, keys) in zip(ids, self._records, strict=True):
            rows.append({"id": id, "time": time, "data": data})
            owners += [{"owner": key, "audit": id} for key in keys]
        insert_all(connection, _INSERT, rows)
        insert_all(connection, _INSERT_OWNER, owners)


def read(connection: Connection, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
    """See `Storage.audit`."""
    query = select(_audit.id, _audit.time, _audit.data).where(_audit.id > after).order_by(_audit.id).limit(limit)
    if owners is not None:
        query = query.where(
            _audit.id.in_(select(_owners.audit).where(_owners.owner.in_(owners), _owners.audit > after))
        )
    return [_record(row) for row in connection.execute(query).all()]


def purge(connection: Connection, before: float) -> None:
    """Remove the records from before an instant."""
    old = select(_audit.id).where(_audit.time < before)
    connection.execute(delete(schema.audit_owners).where(_owners.audit.in_(old)))
    connection.execute(delete(schema.audit).where(_audit.time < before))


def _data(record: AuditRecord) -> dict[str, Any]:
    return {
        "users": list(record.users),
        "address": record.address,
        "operation": record.operation,
        "target": record.target,
        "result": record.result,
        "message": record.message,
        "front_end": record.front_end,
        "owner_keys": sorted(record.owner_keys),
    }


def _record(row: Any) -> AuditRecord:
    data = json.loads(row.data)
    users, keys = tuple(data.pop("users")), frozenset(data.pop("owner_keys"))
    return AuditRecord(row.time, users, owner_keys=keys, id=row.id, **data)
