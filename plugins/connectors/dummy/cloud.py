"""The simulated cloud itself: what exists in which account, kept in one SQLite file (or in memory).

It does what real clouds do and a connector has to live with: names and tokens that are or are not unique, things that
`find` sees late, things that take a while to come and to go, quotas, and refusals to delete what is in use. It knows
nothing of the verbs' outcome being lost on the way: that is `faults`. Every change is one committed transaction, so
that what was done survives the death of the process, and several processes may look at it at once.

Tests look at the truth with ``DummyCloud(path).inventory()``.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import stamina

from imframework.api.errors import CloudBusy, CloudError, CloudRefused, CloudUnavailable, QuotaExceeded
from imframework.api.model import JSON, Phase, Recognition
from imframework_plugins.connectors.dummy.behaviour import (
    IMAGE,
    INSTANCE,
    KEY_PAIR,
    NETWORK,
    PUBLIC_IP,
    PUBLIC_IP_ATTACHMENT,
    SECURITY_GROUP,
    VOLUME,
)

_PREFIXES = {
    KEY_PAIR: "key",
    NETWORK: "net",
    SECURITY_GROUP: "sg",
    VOLUME: "vol",
    INSTANCE: "i",
    PUBLIC_IP: "ip",
    PUBLIC_IP_ATTACHMENT: "att",
    IMAGE: "img",
}
_KIND_OF_PREFIX = {prefix: kind for kind, prefix in _PREFIXES.items()}
_ID = re.compile(rf"({'|'.join(_KIND_OF_PREFIX)})-(\d{{6,18}})")

#: The fields of a spec that hold ids of other things: these must be ready, and cannot be deleted before their user.
_USES: Mapping[str, tuple[str, ...]] = {
    SECURITY_GROUP: ("network",),
    INSTANCE: ("key_pair", "networks", "security_groups", "volumes"),
    PUBLIC_IP_ATTACHMENT: ("public_ip", "instance"),
    IMAGE: ("instance",),
}
#: Those of them that may name something which is none of this cloud's: what a document gives is taken on trust.
_GIVEN = frozenset({"network", "networks", "volumes"})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS thing (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, token TEXT NOT NULL, spec TEXT NOT NULL,
    created REAL NOT NULL, found_from REAL NOT NULL, read_from REAL NOT NULL, ready_at REAL NOT NULL, gone_at REAL,
    steps INTEGER NOT NULL, broken INTEGER NOT NULL, stopped INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS thing_token ON thing (account, kind, token);
CREATE INDEX IF NOT EXISTS thing_name ON thing (account, kind, name);
CREATE INDEX IF NOT EXISTS thing_going ON thing (gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS uses (user INTEGER NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (user, used)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uses_used ON uses (used);
CREATE TRIGGER IF NOT EXISTS thing_gone AFTER DELETE ON thing BEGIN DELETE FROM uses WHERE user = OLD.serial; END;
CREATE TABLE IF NOT EXISTS call (
    time REAL NOT NULL, account TEXT NOT NULL, verb TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    provider_id TEXT NOT NULL, outcome TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS fault (id TEXT PRIMARY KEY, calls INTEGER NOT NULL, fired INTEGER NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "serial, account, kind, name, token, spec, created, ready_at, gone_at, steps, broken, stopped"
#: Made and not gone; and what will be or is so, requests still under way included.
_LASTING = "(gone_at IS NULL OR gone_at > :now)"
_EXISTS = f"created <= :now AND {_LASTING}"
#: With a plus, so that no index of accounts is used: these are found by their serial numbers.
_OF_ACCOUNT = "+account = :account"
_LISTED = "IN (SELECT value FROM json_each(:serials))"
_INSERT_USES = "INSERT INTO uses SELECT ?, value FROM json_each(?)"
_USERS = "IN (SELECT user FROM uses WHERE used IN (SELECT value FROM json_each(:serials)))"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that exists in the simulated cloud."""

    provider_id: str
    account: str
    kind: str
    name: str
    token: str
    spec: Mapping[str, JSON]
    phase: Phase
    created: float

    @property
    def serial(self) -> int:
        """A number that no other thing of this cloud has, or ever had."""
        return int(self.provider_id.rpartition("-")[2])


@dataclass(frozen=True, slots=True)
class Call:
    """A request to change something, as the cloud saw it.

    `outcome` is ``done``, ``repeated`` (known by its token), ``absent``, or why it was refused.
    """

    time: float
    account: str
    verb: str
    kind: str
    name: str
    provider_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Order:
    """How a thing is to be made.

    Times are seconds: `in_flight` until it is made at all, the others from then on, until `find` finds it, `read`
    sees it, and it is ready. `steps` are the updates it needs to get ready; `quota` is the most of its kind that the
    account may have; `largest` are the most that fields of its spec may say.
    """

    recognition: Recognition = Recognition.TOKEN
    in_flight: float = 0.0
    found_after: float = 0.0
    read_after: float = 0.0
    ready_after: float = 0.0
    steps: int = 0
    broken: bool = False
    quota: int | None = None
    largest: Mapping[str, float] = field(default_factory=dict)


class DummyCloud:
    """One simulated cloud. Its methods may be called from any thread, and its file opened by several processes."""

    def __init__(self, path: Path | str | None = None, clock: Callable[[], float] = time.time) -> None:
        """`path` is the file of the inventory, made when first needed; None keeps it in memory."""
        self._path = str(path) if path else ":memory:"
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    # --- what a cloud offers -------------------------------------------------------------------------------

    def create(
        self, account: str, kind: str, name: str, token: str, spec: Mapping[str, JSON], order: Order | None = None
    ) -> Entry:
        """Make one thing.

        Raises:
            CloudRefused: the name is taken (kinds recognised by name), or something it needs is missing or not ready.
            QuotaExceeded: the account has as many as it may.
        """
        order = order or Order()
        with self._change("create", account, kind, name) as change:
            if order.recognition is Recognition.TOKEN and token:
                same = f"account = :account AND kind = :kind AND token = :token AND {_LASTING}"
                if made := change.select(same, account=account, kind=kind, token=token):
                    change.outcome, change.provider_id = "repeated", made[0].provider_id
                    return made[0]
            if order.recognition is Recognition.NAME:
                same = f"account = :account AND kind = :kind AND name = :name AND {_LASTING}"
                if change.select(same, account=account, kind=kind, name=name):
                    raise CloudRefused(f"A {kind} named {name} exists already.")
            if order.quota is not None and _count(change.connection, account, kind, change.time) >= order.quota:
                raise QuotaExceeded(f"Quota exceeded: the account may have {order.quota} of kind {kind}.")
            _check_size(spec, order)
            used = _needs(change, account, kind, spec)
            created = change.time + order.in_flight
            ready_at, text = created + order.ready_after, json.dumps(spec)
            serial = change.connection.execute(
                "INSERT INTO thing"
                " (account, kind, name, token, spec, created, found_from, read_from, ready_at, steps, broken)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    account, kind, name, token, text, created,
                    created + order.found_after, created + order.read_after, ready_at, order.steps, order.broken,
                ),
            ).lastrowid or 0  # fmt: skip
            if used and kind != IMAGE:  # it needs its instance now, and outlives it
                change.connection.execute(_INSERT_USES, (serial, json.dumps(used)))
            change.provider_id = _provider_id(kind, serial)
            made_row = (serial, account, kind, name, token, text, created, ready_at, None, order.steps, order.broken, 0)
            return _entry(made_row, change.time)

    def find(self, account: str, kind: str, *, token: str = "", name: str = "") -> list[Entry]:
        """Things with this token, as far as a search sees them yet; or things with this name, which shows at once."""
        condition = "name = :name" if name else "token = :token AND found_from <= :now"
        with self._session() as connection:
            return _select(
                connection, f"account = :account AND kind = :kind AND {condition} AND {_EXISTS}", self._clock(),
                account=account, kind=kind, token=token, name=name,
            )  # fmt: skip

    def read(self, account: str, provider_ids: Sequence[str]) -> dict[str, Entry]:
        """What is seen to exist of these, by provider id."""
        with self._session() as connection:
            found = _by_serial(connection, account, _serials(provider_ids), self._clock(), "AND read_from <= :now")
        return {entry.provider_id: entry for entry in found}

    def attachments(self, account: str, instances: Iterable[str]) -> dict[str, list[Entry]]:
        """The attachments of public addresses to these instances, by the instance's provider id."""
        with self._session() as connection:
            found = _select(
                connection,
                f"{_OF_ACCOUNT} AND +kind = '{PUBLIC_IP_ATTACHMENT}' AND {_EXISTS} AND serial {_USERS}",
                self._clock(),
                account=account,
                serials=json.dumps(_serials(instances)),
            )
        result: dict[str, list[Entry]] = {}
        for entry in found:
            result.setdefault(entry.spec["instance"], []).append(entry)
        return result

    def update(self, account: str, provider_id: str, spec: Mapping[str, JSON], order: Order | None = None) -> Entry:
        """Give a thing another spec, from when on it needs the `steps` of the order; or take its next step.

        Raises:
            CloudRefused: there is no such thing, or what it is to use is missing or not ready.
            QuotaExceeded: it would be larger than the account may have.
        """
        order = order or Order()
        with self._change("update", account, provider_id=provider_id) as change:
            entry = change.existing(account)
            _check_size(spec, order)
            used = _needs(change, account, entry.kind, spec)
            change.connection.execute("UPDATE thing SET spec = ? WHERE serial = ?", (json.dumps(spec), entry.serial))
            change.connection.execute("DELETE FROM uses WHERE user = ?", (entry.serial,))
            change.connection.executemany("INSERT INTO uses VALUES (?, ?)", ((entry.serial, other) for other in used))
            begins = entry.spec != spec and entry.phase is not Phase.UPDATING
            change.connection.execute(
                "UPDATE thing SET steps = iif(?, ?, max(steps - 1, 0)) WHERE serial = ?",
                (begins, order.steps, entry.serial),
            )
            return change.existing(account)

    def power(self, account: str, provider_id: str, verb: str, *, on: bool) -> None:
        """Switch an instance on or off (`verb` is what is journaled: start, stop or reboot).

        Raises:
            CloudBusy: it is not running yet.
            CloudRefused: there is no such instance, or it is broken or being deleted.
        """
        with self._change(verb, account, provider_id=provider_id) as change:
            entry = change.existing(account)
            if entry.kind != INSTANCE:
                raise CloudRefused(f"{provider_id} is a {entry.kind}: only instances can be switched.")
            if entry.phase not in (Phase.READY, Phase.STOPPED):
                error = CloudBusy if entry.phase in (Phase.CREATING, Phase.UPDATING) else CloudRefused
                raise error(f"Instance {provider_id} cannot {verb} while it is {entry.phase}.")
            change.connection.execute("UPDATE thing SET stopped = ? WHERE serial = ?", (not on, entry.serial))

    def delete(self, account: str, provider_id: str, *, gone_after: float = 0.0) -> None:
        """Delete a thing; it is gone `gone_after` seconds later. Nothing to do if there is none.

        The attachments of addresses to an instance go with it.

        Raises:
            CloudBusy: something else uses it.
        """
        with self._change("delete", account, provider_id=provider_id) as change:
            found = change.select(f"account = :account AND serial = :serial AND {_LASTING}",
                                  account=account, serial=serial_of(provider_id))  # fmt: skip
            if not found:
                change.outcome = "absent"
                return
            change.kind, change.name, serial = found[0].kind, found[0].name, found[0].serial
            users = change.users(serial)
            for user in users:
                if (change.kind, user.kind) != (INSTANCE, PUBLIC_IP_ATTACHMENT):
                    raise CloudBusy(f"{change.kind} {provider_id} is in use by {user.kind} {user.provider_id}.")
            change.connection.executemany(
                "UPDATE thing SET gone_at = min(coalesce(gone_at, 1e300), ?) WHERE serial = ?",
                [(change.time + gone_after, going) for going in (serial, *(user.serial for user in users))],
            )
            change.connection.execute("DELETE FROM thing WHERE gone_at <= ?", (change.time,))

    # --- what only tests and the connector's faults ask ----------------------------------------------------

    def inventory(self, account: str | None = None) -> list[Entry]:
        """Everything that exists, being deleted included, oldest first; of one account or of all."""
        mine = "" if account is None else "account = :account AND "
        with self._session() as connection:
            return _select(connection, f"{mine}{_EXISTS} ORDER BY serial", self._clock(), account=account)

    def count(self, account: str, kind: str) -> int:
        """How many things of a kind an account has."""
        with self._session() as connection:
            return _count(connection, account, kind, self._clock())

    def calls(self, account: str | None = None) -> list[Call]:
        """All requests to change something that reached this cloud, oldest first."""
        query = "SELECT * FROM call WHERE ?1 IS NULL OR account = ?1 ORDER BY rowid"
        with self._session() as connection:
            return [Call(*row) for row in connection.execute(query, (account,))]

    def vanish(self, account: str, provider_id: str) -> None:
        """Remove a thing behind everybody's back, as somebody at the cloud's console would, whatever uses it."""
        with self._change("vanish", account, provider_id=provider_id) as change:
            entry = change.existing(account)
            gone = [entry.serial, *(user.serial for user in change.users(entry.serial) if entry.kind == INSTANCE)]
            change.connection.executemany("DELETE FROM thing WHERE serial = ?", ((serial,) for serial in gone))

    def strike(self, fault: str, decide: Callable[[int, int], bool]) -> bool:
        """Count a call that a fault concerns, for good, and answer whether it happens.

        `decide` gets the number of such calls, this one included, and how often the fault has happened before.
        """
        with self._transaction() as connection:
            row = connection.execute("SELECT calls, fired FROM fault WHERE id = ?", (fault,)).fetchone()
            calls, fired = row or (0, 0)
            happens = decide(calls + 1, fired)
            connection.execute("INSERT OR REPLACE INTO fault VALUES (?, ?, ?)", (fault, calls + 1, fired + happens))
            return happens

    def fired(self, fault: str) -> int:
        """How often a fault has happened."""
        with self._session() as connection:
            row = connection.execute("SELECT fired FROM fault WHERE id = ?", (fault,)).fetchone()
        return int(row[0]) if row else 0

    # --- inside --------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone. Trouble with the file is trouble with the cloud."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _open(self._path)
                    weakref.finalize(self, self._connection.close)
                yield self._connection
            except sqlite3.Error as error:
                raise CloudUnavailable(f"The inventory of the simulated cloud cannot be used: {error}.") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._session() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _change(
        self, verb: str, account: str, kind: str = "", name: str = "", provider_id: str = ""
    ) -> Iterator[_Change]:
        """One request: a transaction that also writes the journal, whether the request is granted or refused."""
        refusal: CloudError | None = None
        with self._transaction() as connection:
            change = _Change(connection, self._clock(), kind, name, provider_id)
            try:
                yield change
            except CloudError as error:  # every refusal comes before the first write, so there is nothing to undo
                refusal, change.outcome = error, str(error)
            connection.execute(
                "INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?)",
                (change.time, account, verb, change.kind, change.name, change.provider_id, change.outcome),
            )
        if refusal is not None:
            raise refusal


@dataclass(slots=True)
class _Change:
    """A request being carried out: the transaction, its instant, and what the journal will say of it."""

    connection: sqlite3.Connection
    time: float
    kind: str
    name: str
    provider_id: str
    outcome: str = "done"

    def select(self, condition: str, **values: object) -> list[Entry]:
        """Entries for which a condition holds."""
        return _select(self.connection, condition, self.time, **values)

    def users(self, serial: int) -> list[Entry]:
        """What uses a thing."""
        return self.select(f"serial {_USERS} AND {_LASTING}", serials=json.dumps([serial]))

    def existing(self, account: str) -> Entry:
        """The thing the request is about."""
        found = _by_serial(self.connection, account, _serials([self.provider_id]), self.time)
        if not found:
            raise CloudRefused(f"The cloud has no {self.provider_id or 'such thing'}.")
        self.kind, self.name = found[0].kind, found[0].name
        return found[0]


def _check_size(spec: Mapping[str, JSON], order: Order) -> None:
    for name, most in order.largest.items():
        if spec.get(name, 0) > most:
            raise QuotaExceeded(f"Quota exceeded: {name} is {spec[name]:g}, and the account may have {most:g}.")


def _needs(change: _Change, account: str, kind: str, spec: Mapping[str, JSON]) -> list[int]:
    """The serial numbers of what a spec uses."""
    wanted: dict[int, str] = {}
    for name in _USES.get(kind, ()):
        value = spec.get(name)
        for provider_id in value if isinstance(value, list | tuple) else (value,):
            if not provider_id:
                continue
            if (serial := serial_of(str(provider_id))) is not None:
                wanted[serial] = provider_id
            elif name not in _GIVEN:
                raise CloudRefused(f"The {kind} needs {provider_id}, which does not exist.")
    found = {entry.serial: entry.phase for entry in _by_serial(change.connection, account, list(wanted), change.time)}
    for serial, provider_id in wanted.items():
        if serial not in found:
            raise CloudRefused(f"The {kind} needs {provider_id}, which does not exist.")
        if found[serial] not in (Phase.READY, Phase.STOPPED):
            raise CloudRefused(f"The {kind} needs {provider_id}, which is {found[serial]}.")
    return list(wanted)


def _select(connection: sqlite3.Connection, condition: str, now: float, **values: object) -> list[Entry]:
    query = f"SELECT {_COLUMNS} FROM thing WHERE {condition}"  # noqa: S608 - made of this module's own texts
    return [_entry(row, now) for row in connection.execute(query, {**values, "now": now})]


def _by_serial(
    connection: sqlite3.Connection, account: str, serials: Sequence[int], now: float, and_also: str = ""
) -> list[Entry]:
    if not serials:
        return []
    condition = f"{_OF_ACCOUNT} AND {_EXISTS} AND serial {_LISTED} {and_also}"
    return _select(connection, condition, now, account=account, serials=json.dumps(serials))


def _count(connection: sqlite3.Connection, account: str, kind: str, now: float) -> int:
    query = f"SELECT count(*) FROM thing WHERE account = :account AND kind = :kind AND {_LASTING}"  # noqa: S608
    row = connection.execute(query, {"account": account, "kind": kind, "now": now}).fetchone()
    return int(row[0])


@stamina.retry(on=sqlite3.OperationalError, attempts=5, wait_initial=0.02, wait_max=0.5, timeout=10.0)
def _open(path: str) -> sqlite3.Connection:
    """Open an inventory and make its tables. Two processes doing so at once can lock each other out for a moment."""
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    try:
        # What is committed has to outlive this process, not a power failure: hence NORMAL.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _entry(row: Sequence[Any], now: float) -> Entry:
    serial, account, kind, name, token, spec, created, ready_at, gone_at, steps, broken, stopped = row
    if gone_at is not None:
        phase = Phase.DELETING
    elif now < ready_at:
        phase = Phase.CREATING
    elif broken:
        phase = Phase.FAILED
    elif steps:
        phase = Phase.UPDATING
    else:
        phase = Phase.STOPPED if stopped else Phase.READY
    return Entry(_provider_id(kind, serial), account, kind, name, token, json.loads(spec), phase, created)


def _provider_id(kind: str, serial: int) -> str:
    return f"{_PREFIXES[kind]}-{serial:06d}"


def serial_of(provider_id: str) -> int | None:
    """The serial number in an id of this cloud; None for any other text."""
    match = _ID.fullmatch(provider_id)
    return int(match[2]) if match else None


def _serials(provider_ids: Iterable[str]) -> list[int]:
    return [serial for provider_id in provider_ids if (serial := serial_of(provider_id)) is not None]


_shared: weakref.WeakValueDictionary[tuple[int, str], DummyCloud] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()
_in_memory = DummyCloud()


def shared_cloud(path: Path | str | None) -> DummyCloud:
    """The simulated cloud of a file, the same for everybody in this process; without a file, the one in memory."""
    if not path:
        return _in_memory
    key = (os.getpid(), os.path.realpath(path))  # an SQLite connection must not be carried across a fork
    with _shared_lock:
        cloud = _shared.get(key)
        if cloud is None:
            cloud = _shared[key] = DummyCloud(path)
        return cloud
