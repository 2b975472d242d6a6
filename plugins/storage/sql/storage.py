"""The operations of `imframework.api.storage` in SQL.

Everything that is written has its final form before the transaction begins, so that others wait only for the disk.
A batch of commits costs a few statements: one for each kind of thing that is written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.sql.dml import Insert

from imframework.api.errors import StorageError, StorageUnavailable
from imframework.api.model import AuditRecord, Event
from imframework.api.plugin import PluginInfo
from imframework.api.storage import Commit, Head, Lease, Row, Storage, Stored, Table
from imframework_plugins.storage.sql import audit as audit_records
from imframework_plugins.storage.sql import info, numbers, schema
from imframework_plugins.storage.sql.bulk import insert_all
from imframework_plugins.storage.sql.changes import Change
from imframework_plugins.storage.sql.database import Database
from imframework_plugins.storage.sql.heads import KnownOwners, grouped, write_heads
from imframework_plugins.storage.sql.upsert import upsert

#: Infrastructures removed in one transaction by `purge`, which keeps it short for those who wait.
PURGED_AT_ONCE = 50

_heads = schema.infrastructures.c

_DELETE_ROW = delete(schema.rows).where(
    schema.rows.c.infrastructure == bindparam("of_infrastructure"),
    schema.rows.c.tab == bindparam("of_tab"),
    schema.rows.c.key == bindparam("of_key"),
)
_DELETE_ALL = tuple(
    delete(table).where(table.c.infrastructure == bindparam("of_infrastructure"))
    for table in (schema.rows, schema.events, schema.log)
)
_RELEASE = update(schema.infrastructures).where(_heads.holder == bindparam("of_holder")).values(lease_expires=0.0)
_HEAD = select(
    _heads.id, _heads.created, _heads.deleted, _heads.due, _heads.data, _heads.version, _heads.updated
)  # fmt: skip
_EVENT = select(schema.events)
_INSERT_EVENT = insert(schema.events)
_INSERT_LOG = insert(schema.log)
_OWNER = select(schema.owners.c.infrastructure, schema.owners.c.owner)


class SqlStorage(Storage):
    """Infrastructures in a relational database."""

    info: ClassVar[PluginInfo] = info

    #: How long a call waits for a lock that another program holds, in seconds.
    patience: ClassVar[float] = 5.0

    def __init__(self, url: str, options: Mapping[str, object]) -> None:
        """`url` is DATA_DB as the operator wrote it."""
        super().__init__(url, options)
        self._opened: Database | None = None
        self._upsert_row: Insert
        self._known_owners = KnownOwners()

    # --- life ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and bring the schema up to date; nothing to do when open already."""
        if self._opened is None:
            database = Database(self.url, self.patience)
            self._upsert_row = upsert(schema.rows, database.dialect)
            self._opened = database

    def close(self) -> None:
        """Give back all connections; nothing to do when not open."""
        database, self._opened = self._opened, None
        if database is not None:
            database.close()

    def ping(self) -> None:
        """Raise `StorageUnavailable` if the database does not answer."""
        with self._database.reading() as connection:
            connection.execute(select(_heads.id).limit(1)).all()

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StorageUnavailable("The database is not open.")
        return self._opened

    # --- writing -------------------------------------------------------------------------------------------

    def commit(self, commits: Sequence[Commit], audit: Sequence[AuditRecord] = ()) -> Sequence[StorageError | None]:
        """Apply commits of different infrastructures in one durable transaction; see `Storage.commit`."""
        changes = [Change(commit) for commit in commits]
        entries = audit_records.Entries(audit)
        with self._database.writing() as connection:
            answers = write_heads(connection, changes, time.time(), self._known_owners)
            written = [change for change, answer in zip(changes, answers, strict=True) if answer is None]
            emptied = [{"of_infrastructure": change.infrastructure} for change in written if change.anew]
            for statement in _DELETE_ALL:
                _execute(connection, statement, emptied)
            _execute(connection, _DELETE_ROW, [item for change in written for item in change.deletes])
            insert_all(connection, self._upsert_row, [item for change in written for item in change.upserts])
            insert_all(connection, _INSERT_LOG, [item for change in written for item in change.log])
            if events := [item for change in written for item in change.events]:
                positions = numbers.take(connection, numbers.EVENTS, len(events))
                numbered = [{**item, "position": number} for item, number in zip(events, positions, strict=True)]
                insert_all(connection, _INSERT_EVENT, numbered)
            entries.write(connection)
        self._known_owners.written(written)
        return answers

    def purge(self, before: float) -> int:
        """Remove for good the deleted infrastructures last written before an instant; how many. See `Storage.purge`."""
        with self._database.writing() as connection:
            audit_records.purge(connection, before)
        old = select(_heads.id).where(_heads.deleted.is_(True), _heads.updated < before).limit(PURGED_AT_ONCE)
        purged = 0
        while True:
            with self._database.writing() as connection:
                ids = connection.scalars(old).all()
                if not ids:
                    return purged
                connection.execute(delete(schema.infrastructures).where(_heads.id.in_(ids)))
            purged += len(ids)

    # --- leases --------------------------------------------------------------------------------------------

    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        """Take or renew the lease; None while somebody else's is alive, and for an unknown infrastructure."""
        expires = now + duration
        mine = _heads.holder == holder
        take = (
            update(schema.infrastructures)
            .where(_heads.id == infrastructure, or_(mine, _heads.lease_expires <= now))
            .ordered_values(  # the fence first: MySQL goes on with the new values
                (_heads.fence, _heads.fence + case((mine, 0), else_=1)),
                (_heads.holder, holder),
                (_heads.lease_expires, expires),
            )
        )
        with self._database.writing() as connection:
            if connection.execute(take).rowcount == 0:
                return None
            fence = connection.scalars(select(_heads.fence).where(_heads.id == infrastructure)).one()
        return Lease(infrastructure, holder, fence, expires)

    def renew(self, holder: str, now: float, duration: float) -> None:
        """Prolong all leases of the holder that are still alive."""
        alive = update(schema.infrastructures).where(_heads.holder == holder, _heads.lease_expires > now)
        with self._database.writing() as connection:
            connection.execute(alive.values(lease_expires=now + duration))

    def release(self, holder: str, infrastructures: Sequence[str] | None = None) -> None:
        """Give up leases (None: all of the holder's)."""
        with self._database.writing() as connection:
            if infrastructures is None:
                connection.execute(_RELEASE, {"of_holder": holder})
            else:
                one = _RELEASE.where(_heads.id == bindparam("of_id"))
                _execute(connection, one, [{"of_holder": holder, "of_id": id} for id in infrastructures])

    # --- reading -------------------------------------------------------------------------------------------

    def load(self, infrastructure: str) -> Stored | None:
        """One infrastructure with all its rows; deleted ones too."""
        rows = schema.rows.c
        with self._database.reading() as connection:
            head = connection.execute(_HEAD.where(_heads.id == infrastructure)).one_or_none()
            if head is None:
                return None
            owners = connection.execute(_OWNER.where(schema.owners.c.infrastructure == infrastructure)).all()
            found = connection.execute(
                select(rows.tab, rows.key, rows.data).where(rows.infrastructure == infrastructure)
            ).all()
        return Stored(
            _head(head, frozenset(owner for _, owner in owners)),
            tuple(Row(Table(tab), key, json.loads(data)) for tab, key, data in found),
        )

    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        """The heads, newest first, of these owners (None: of all); deleted ones only if asked for."""
        heads, pairs = _HEAD, _OWNER
        if owners is not None:
            theirs = select(schema.owners.c.infrastructure).where(schema.owners.c.owner.in_(owners))
            heads = heads.where(_heads.id.in_(theirs))
            pairs = pairs.where(schema.owners.c.infrastructure.in_(theirs))
        if not deleted:
            heads = heads.where(_heads.deleted.is_(False))
        with self._database.reading() as connection:
            found = connection.execute(heads.order_by(_heads.created.desc(), _heads.id.desc())).all()
            by_id = grouped(connection.execute(pairs).all())
        return [_head(row, frozenset(by_id[row.id])) for row in found]

    def find(self, infrastructures: Sequence[str]) -> Sequence[Head]:
        """The heads of these infrastructures, deleted ones too; those that are unknown are left out."""
        with self._database.reading() as connection:
            found = connection.execute(_HEAD.where(_heads.id.in_(infrastructures))).all()
            by_id = grouped(connection.execute(_OWNER.where(schema.owners.c.infrastructure.in_(infrastructures))).all())
        return [_head(row, frozenset(by_id[row.id])) for row in found]

    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        """Infrastructures whose `due` has come and that no other holder has a live lease on, oldest first."""
        free = or_(_heads.holder == holder, _heads.lease_expires <= now)
        query = select(_heads.id).where(_heads.due <= now, free).order_by(_heads.due, _heads.id).limit(limit)
        with self._database.reading() as connection:
            return connection.scalars(query).all()

    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        """Events with a sequence above `after`, ascending."""
        column = schema.events.c
        query = (
            _EVENT.where(column.infrastructure == infrastructure, column.sequence > after)
            .order_by(column.sequence)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_event(row) for row in connection.execute(query).all()]

    def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        """Events of all infrastructures of these owners (None: of all) after a position, deleted ones too."""
        column = schema.events.c
        query = _EVENT.where(column.position > after).order_by(column.position).limit(limit)
        if owners is not None:
            theirs = select(schema.owners.c.infrastructure).where(schema.owners.c.owner.in_(owners))
            query = query.where(column.infrastructure.in_(theirs))
        with self._database.reading() as connection:
            return [_event(row) for row in connection.execute(query).all()]

    def last_position(self) -> int:
        """The highest position given so far, 0 if none was."""
        with self._database.reading() as connection:
            return numbers.highest(connection, numbers.EVENTS)

    def audit(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
        """Audit records with an id above `after`, ascending; only those with one of these owner keys (None: all)."""
        with self._database.reading() as connection:
            return audit_records.read(connection, owners, after, limit)

    def log(self, infrastructure: str) -> Mapping[str, str]:
        """All log text, by stream."""
        column = schema.log.c
        query = select(column.stream, column.text).where(column.infrastructure == infrastructure).order_by(column.seq)
        with self._database.reading() as connection:
            chunks = grouped(connection.execute(query).all())
        return {stream: "".join(texts) for stream, texts in chunks.items()}


def _execute(connection: Connection, statement: Any, parameters: list[dict[str, Any]]) -> None:
    if parameters:
        connection.execute(statement, parameters)


def _head(row: Any, owners: frozenset[str]) -> Head:
    return Head(row.id, owners, row.created, row.deleted, row.due, json.loads(row.data), row.version, row.updated)


def _event(row: Any) -> Event:
    return Event(row.infrastructure, row.sequence, row.time, row.type, json.loads(row.data), row.position)
