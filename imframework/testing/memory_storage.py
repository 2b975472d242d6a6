"""A storage in memory: correct, fast, and gone with the process. For tests, and an example for plugin authors.

Storages made for one `MemoryDatabase` share it, as replicas of a service share a server.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from imframework.api.errors import StorageConflict, StorageError, StorageUnavailable
from imframework.api.model import JSON, AuditRecord, Event
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.api.storage import Commit, Head, Lease, Row, Storage, Stored, Table
from imframework.api.version import __version__


@dataclass(slots=True)
class _Infrastructure:
    """All that is known of one infrastructure. Documents are kept as JSON text: nobody else holds a part of them."""

    head: Head
    data: str
    lease: Lease
    rows: dict[tuple[Table, str], str] = field(default_factory=dict)
    events: list[tuple[Event, str]] = field(default_factory=list)
    log: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class MemoryDatabase:
    """What the storages share: infrastructures by id, audit records, the last numbers given, and the lock for all."""

    infrastructures: dict[str, _Infrastructure] = field(default_factory=dict)
    audit: list[AuditRecord] = field(default_factory=list)
    last_position: int = 0
    last_audit: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStorage(Storage):
    """Infrastructures in a `MemoryDatabase`."""

    info: ClassVar[PluginInfo] = PluginInfo(
        name="memory",
        kind=PluginKind.STORAGE,
        version=__version__,
        api_version=(0, 1),
        title="Memory",
        url_schemes=("memory",),
        opt_in=True,
    )

    def __init__(
        self,
        url: str = "memory://",
        options: Mapping[str, object] | None = None,
        database: MemoryDatabase | None = None,
    ) -> None:
        """`database` is a new one if not given; the URL has no meaning."""
        super().__init__(url, options or {})
        self._database = database or MemoryDatabase()
        self._open = False

    # --- life ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """From now on it answers."""
        self._open = True

    def close(self) -> None:
        """It answers no more; the database stays."""
        self._open = False

    def ping(self) -> None:
        """Raise `StorageUnavailable` if it is closed."""
        self._check_open()

    def _check_open(self) -> None:
        if not self._open:
            raise StorageUnavailable("The database is not open.")

    # --- writing -------------------------------------------------------------------------------------------

    def commit(self, commits: Sequence[Commit], audit: Sequence[AuditRecord] = ()) -> Sequence[StorageError | None]:
        """Apply commits of different infrastructures, append audit records; see `Storage.commit`."""
        self._check_open()
        changes = [_Change(commit) for commit in commits]  # what can fail fails here, before anything is written
        with self._database.lock:
            for record in audit:
                self._database.last_audit += 1
                self._database.audit.append(replace(record, id=self._database.last_audit))
            return [self._apply(change) for change in changes]

    def _apply(self, change: _Change) -> StorageConflict | None:
        commit = change.commit
        infra = self._database.infrastructures.get(commit.infrastructure)
        if commit.lease is not None and commit.head is not None and infra is None:
            infra = _Infrastructure(commit.head, "{}", commit.lease)
            self._database.infrastructures[commit.infrastructure] = infra
        elif (
            infra is None
            or commit.lease is not None
            or (infra.head.version, infra.lease.fence) != (commit.version, commit.fence)
        ):
            return StorageConflict(f"Infrastructure {commit.infrastructure} is not what this commit is based on.")
        if commit.head is not None:
            infra.head, infra.data = commit.head, change.data
        infra.head = replace(infra.head, version=commit.version + 1, updated=time.time(), data={})
        if commit.anew:
            infra.rows.clear()
            infra.events.clear()
            infra.log.clear()
        for key in commit.deletes:
            infra.rows.pop(key, None)
        infra.rows.update(change.rows)
        for event, text in change.events:
            self._database.last_position += 1
            infra.events.append((replace(event, position=self._database.last_position), text))
        for chunk in commit.log:
            infra.log[chunk.stream].append(chunk.text)
        return None

    def purge(self, before: float) -> int:
        """Remove for good the deleted infrastructures last written before an instant; how many. See `Storage.purge`."""
        self._check_open()
        with self._database.lock:
            all_of_them = self._database.infrastructures
            old = [id for id, infra in all_of_them.items() if infra.head.deleted and infra.head.updated < before]
            for id in old:
                del all_of_them[id]
            self._database.audit = [record for record in self._database.audit if record.time >= before]
        return len(old)

    # --- leases --------------------------------------------------------------------------------------------

    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        """Take or renew the lease; None while somebody else's is alive, and for an unknown infrastructure."""
        self._check_open()
        with self._database.lock:
            infra = self._database.infrastructures.get(infrastructure)
            if infra is None or not _free(infra.lease, holder, now):
                return None
            fence = infra.lease.fence + (infra.lease.holder != holder)
            infra.lease = Lease(infrastructure, holder, fence, now + duration)
            return infra.lease

    def renew(self, holder: str, now: float, duration: float) -> None:
        """Prolong all leases of the holder that are still alive."""
        self._check_open()
        with self._database.lock:
            for infra in self._database.infrastructures.values():
                if infra.lease.holder == holder and infra.lease.expires > now:
                    infra.lease = replace(infra.lease, expires=now + duration)

    def release(self, holder: str, infrastructures: Sequence[str] | None = None) -> None:
        """Give up leases (None: all of the holder's)."""
        self._check_open()
        with self._database.lock:
            known = self._database.infrastructures
            for infra in known.values() if infrastructures is None else filter(None, map(known.get, infrastructures)):
                if infra.lease.holder == holder:
                    infra.lease = replace(infra.lease, expires=0.0)

    # --- reading -------------------------------------------------------------------------------------------

    def load(self, infrastructure: str) -> Stored | None:
        """One infrastructure with all its rows; deleted ones too."""
        self._check_open()
        with self._database.lock:
            infra = self._database.infrastructures.get(infrastructure)
            if infra is None:
                return None
            rows = tuple(Row(table, key, json.loads(text)) for (table, key), text in infra.rows.items())
            return Stored(_head(infra), rows)

    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        """The heads, newest first, of these owners (None: of all); deleted ones only if asked for."""
        self._check_open()
        with self._database.lock:
            found = [
                _head(infra)
                for infra in self._database.infrastructures.values()
                if (deleted or not infra.head.deleted) and (owners is None or owners & infra.head.owners)
            ]
        return sorted(found, key=lambda head: (head.created, head.id), reverse=True)

    def find(self, infrastructures: Sequence[str]) -> Sequence[Head]:
        """The heads of these infrastructures, deleted ones too; those that are unknown are left out."""
        self._check_open()
        with self._database.lock:
            return [_head(infra) for infra in filter(None, map(self._database.infrastructures.get, infrastructures))]

    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        """Infrastructures whose `due` has come and that no other holder has a live lease on, oldest first."""
        self._check_open()
        with self._database.lock:
            found = [
                (infra.head.due, id)
                for id, infra in self._database.infrastructures.items()
                if infra.head.due is not None and infra.head.due <= now and _free(infra.lease, holder, now)
            ]
        return [id for _, id in sorted(found)[:limit]]

    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        """Events with a sequence above `after`, ascending."""
        self._check_open()
        with self._database.lock:
            infra = self._database.infrastructures.get(infrastructure)
            found = [] if infra is None else [item for item in infra.events if item[0].sequence > after]
        found.sort(key=lambda item: item[0].sequence)
        return [replace(event, data=json.loads(text)) for event, text in found[:limit]]

    def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        """Events of all infrastructures of these owners (None: of all) after a position, deleted ones too."""
        self._check_open()
        with self._database.lock:
            found = [
                item
                for infra in self._database.infrastructures.values()
                if owners is None or owners & infra.head.owners
                for item in infra.events
                if item[0].position > after
            ]
        found.sort(key=lambda item: item[0].position)
        return [replace(event, data=json.loads(text)) for event, text in found[:limit]]

    def last_position(self) -> int:
        """The highest position given so far, 0 if none was."""
        self._check_open()
        with self._database.lock:
            return self._database.last_position

    def audit(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
        """Audit records with an id above `after`, ascending; only those with one of these owner keys (None: all)."""
        self._check_open()
        with self._database.lock:
            found = [
                record
                for record in self._database.audit
                if record.id > after and (owners is None or owners & record.owner_keys)
            ]
        return found[:limit]

    def log(self, infrastructure: str) -> Mapping[str, str]:
        """All log text, by stream."""
        self._check_open()
        with self._database.lock:
            infra = self._database.infrastructures.get(infrastructure)
            return {} if infra is None else {stream: "".join(texts) for stream, texts in infra.log.items()}


class _Change:
    """A commit with its JSON made."""

    def __init__(self, commit: Commit) -> None:
        if commit.lease is not None and commit.head is None:
            raise ValueError("a commit that creates an infrastructure must have its head")
        self.commit = commit
        self.data = "{}" if commit.head is None else _text(commit.head.data)
        self.rows = {(row.table, row.key): _text(row.data) for row in commit.upserts}
        self.events = [(replace(event, data={}), _text(event.data)) for event in commit.events]


def _text(data: Mapping[str, JSON]) -> str:
    return json.dumps(dict(data))


def _head(infra: _Infrastructure) -> Head:
    return replace(infra.head, data=json.loads(infra.data))


def _free(lease: Lease, holder: str, now: float) -> bool:
    return lease.holder == holder or lease.expires <= now
