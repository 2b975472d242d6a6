"""Databases. A storage plugin keeps heads, rows, logs and events, and knows nothing of what they mean.

An infrastructure is one *head* (the few columns that are searched) and *rows*: one for each machine, resource,
operation, configuration step and so on, each a JSON document under a key. All of an infrastructure's changes come in
a `Commit`, applied whole or not at all, and only if the writer still holds the lease (`fence`) and has seen the last
commit (`version`). That check and the writing are one transaction.

Events are also one sequence over all infrastructures, and audit records are a sequence of their own. Readers go on
after the last number that they have seen, so numbers must become visible in ascending order: whoever sees one can see
all lower ones. Numbers of a sequence of the database or an auto-increment do not promise that, since a transaction
that took a lower number may commit later; nor does ``max + 1``, since the newest may be purged. A row that counts,
raised in the writing transaction and so locked until that commits, does.

Storage plugins are synchronous; the host calls them from its own threads, several at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from imframework.api.errors import StorageError
from imframework.api.model import JSON, AuditRecord, Event
from imframework.api.plugin import Plugin


class Table(StrEnum):
    """What a row is about."""

    DOCUMENT = "document"
    VM = "vm"
    RESOURCE = "resource"
    OPERATION = "operation"
    STEP = "step"
    RUN = "run"
    SECRET = "secret"  # noqa: S105 - the name of a table; its rows hold ciphertext only


@dataclass(frozen=True, slots=True)
class Row:
    """One document. `key` is unique within infrastructure and table."""

    table: Table
    key: str
    data: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Head:
    """The searchable part of an infrastructure.

    `owners` are opaque keys (hashes) of those who may see it. `due` is the instant at which the engine wants to look
    at it again, None when it has nothing to do. `data` is what else belongs to the infrastructure as a whole. `version`
    and `updated` (the instant of the last commit) are set by the storage and ignored when written.
    """

    id: str
    owners: frozenset[str]
    created: float
    deleted: bool
    due: float | None
    data: Mapping[str, JSON]
    version: int = 0
    updated: float = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """That `holder` alone may write an infrastructure until `expires`. `fence` grows with each change of holder.

    A holder is one process: whoever uses a name again must know that its former bearer is dead. A lease that expired
    goes on until somebody else takes it, since nobody can have written meanwhile.
    """

    infrastructure: str
    holder: str
    fence: int
    expires: float


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Text to append to a log of the infrastructure. `stream` is ``""`` (the whole) or a machine number as text."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change of one infrastructure. `version` is the one it is based on; the write makes it one higher.

    `head` is None when the head's own columns do not change. Only rows that changed are in `upserts`.
    With a `lease` the commit creates the infrastructure (version 0 becomes 1), leased from its birth; that conflicts
    if the id exists. One that is `anew` begins an existing infrastructure again: all rows, events and log that it had
    are removed first, and what is in the commit takes their place.
    """

    infrastructure: str
    version: int
    fence: int
    head: Head | None = None
    upserts: tuple[Row, ...] = ()
    deletes: tuple[tuple[Table, str], ...] = ()
    events: tuple[Event, ...] = ()
    log: tuple[LogChunk, ...] = ()
    lease: Lease | None = None
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """An infrastructure as loaded: everything except logs and events."""

    head: Head
    rows: tuple[Row, ...] = field(default=())


class Storage(Plugin, ABC):
    """A database that holds the infrastructures of one service."""

    synchronous = (
        "open", "close", "ping", "commit", "load", "heads", "due", "acquire", "renew", "release",
        "find", "events", "account_events", "last_position", "audit", "log", "purge",
    )  # fmt: skip

    def __init__(self, url: str, options: Mapping[str, object]) -> None:
        """`url` is DATA_DB as the operator wrote it. Must not connect."""
        self.url = url
        self.options = options

    @abstractmethod
    def open(self) -> None:
        """Connect, and bring the schema up to date.

        Raises:
            imframework.api.errors.StorageUnavailable: the database cannot be reached (the host tries again).
            imframework.api.errors.StorageError: it never will be: wrong URL, newer schema, not writable.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back all connections."""

    @abstractmethod
    def ping(self) -> None:
        """Raise `StorageUnavailable` if the database does not answer."""

    @abstractmethod
    def commit(self, commits: Sequence[Commit], audit: Sequence[AuditRecord] = ()) -> Sequence[StorageError | None]:
        """Apply commits of different infrastructures in one durable transaction, and append audit records.

        One that conflicts (`StorageConflict` in its place of the answer) is left out; the others, and the audit
        records, are written. Events get their `position` and records their `id` here, each higher than all given
        before; later events of an infrastructure have higher positions. Whoever sees one sees all lower ones.

        Raises:
            imframework.api.errors.StorageUnavailable: nothing was written.
        """

    @abstractmethod
    def load(self, infrastructure: str) -> Stored | None:
        """One infrastructure with all its rows; deleted ones too."""

    @abstractmethod
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        """The heads, newest first, of these owners (None: of all); deleted ones only if asked for."""

    @abstractmethod
    def find(self, infrastructures: Sequence[str]) -> Sequence[Head]:
        """The heads of these infrastructures, deleted ones too, in any order; those that are unknown are left out."""

    @abstractmethod
    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        """Infrastructures whose `due` has come and that no other holder has a live lease on, oldest first."""

    @abstractmethod
    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        """Take or renew the lease; None while somebody else's is alive. A change of holder raises the fence."""

    @abstractmethod
    def renew(self, holder: str, now: float, duration: float) -> None:
        """Prolong all leases of the holder that are still alive."""

    @abstractmethod
    def release(self, holder: str, infrastructures: Sequence[str] | None = None) -> None:
        """Give up leases (None: all of the holder's)."""

    @abstractmethod
    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        """Events with a sequence above `after`, ascending."""

    @abstractmethod
    def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        """Events of all infrastructures of these owners (None: of all), deleted ones too, by ascending position.

        Only those with a position above `after`.
        """

    @abstractmethod
    def last_position(self) -> int:
        """The highest position given so far, 0 if none was; all events up to it can be read."""

    @abstractmethod
    def audit(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
        """Audit records with an id above `after`, ascending; only those with one of these owner keys (None: all)."""

    @abstractmethod
    def log(self, infrastructure: str) -> Mapping[str, str]:
        """All log text, by stream."""

    @abstractmethod
    def purge(self, before: float) -> int:
        """Remove for good the deleted infrastructures last written before an instant; how many.

        Audit records from before that instant go too: they hold names and addresses of people.
        """
