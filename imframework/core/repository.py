"""Between the aggregates and the database: leases, views in memory, and commits written in groups.

One thread writes. Whatever aggregates want stored while it is writing goes together into its next transaction, so
that a thousand machines or a hundred requests a second cost few disk flushes. Reading goes through a few threads.

A view in memory is the truth while our lease on it lives, since nobody else can write. After that it is checked by
its version before it is used again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from imframework.api.errors import Conflict, StorageConflict, StorageError, StorageUnavailable
from imframework.api.model import JSON, AuditRecord, Event
from imframework.api.storage import Commit, Head, Lease, Storage, Stored
from imframework.core.at_rest import AtRest
from imframework.core.documents import template
from imframework.core.infrastructure import Infrastructure, Pending

logger = logging.getLogger("imframework.repository")
T = TypeVar("T")

#: Most commits that go into one transaction.
GROUP = 64
#: Seconds between attempts to write while the database does not answer.
RETRY_DELAY = 1.0
#: Seconds that audit records wait for a transaction that is made anyhow, before one is made for them.
AUDIT_DELAY = 0.25
#: Audit records kept while the database does not answer; the oldest give way. All are in the log as well.
AUDIT_BACKLOG = 10_000
#: Most audit records that go into one transaction.
AUDIT_GROUP = 500


@dataclass(slots=True)
class _Write:
    """One aggregate's changes on their way to the writer thread."""

    infra: Infrastructure
    pending: Pending
    head: Head
    version: int
    lease: Lease | None
    flushed: asyncio.Future[None]
    tag: str

    def commit(self, at_rest: AtRest | None) -> Commit:
        upserts, deletes = self.infra.rows(self.pending)
        if at_rest is not None:
            upserts = tuple(at_rest.seal(self.infra.id, row) for row in upserts)
        return Commit(
            infrastructure=self.infra.id,
            version=self.version,
            fence=self.infra.lease.fence,
            head=self.head if self.pending.head or self.lease else None,
            upserts=upserts,
            deletes=deletes,
            events=tuple(self.pending.events),
            log=tuple(self.pending.log),
            lease=self.lease,
            anew=self.pending.anew,
        )


class _Nudge:
    """In place of changes: there are audit records to write."""


class Repository:
    """The only place of the core that talks to storage."""

    def __init__(
        self,
        storage: Storage,
        holder: str,
        *,
        lease_duration: float = 30.0,
        views: int = 4096,
        on_events: Callable[[Infrastructure, Sequence[Event]], None] = lambda infra, events: None,
    ) -> None:
        self._storage = storage
        self._at_rest: AtRest | None = None
        self.holder = holder
        self.lease_duration = lease_duration
        self._limit = views
        self._on_events = on_events
        self._views: dict[str, Infrastructure] = {}
        self._pinned: set[str] = set()
        self._unpinned: OrderedDict[str, None] = OrderedDict()  #: views that may be dropped, longest unused first
        self._loading: dict[str, asyncio.Future[Infrastructure | None]] = {}
        self._flushing: dict[Infrastructure, asyncio.Future[None]] = {}
        self._queue: queue.SimpleQueue[_Write | _Nudge | None] = queue.SimpleQueue()
        self._audit: deque[AuditRecord] = deque(maxlen=AUDIT_BACKLOG)
        self._audit_timer: asyncio.TimerHandle | None = None
        self._subscribers: list[Callable[[bool], None]] = []
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="storage")
        self._writer = threading.Thread(target=self._write_loop, name="storage-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = False
        self._closing = threading.Event()
        #: Why changes cannot be written at the moment; empty if they can, as far as is known.
        self.trouble = ""

    # --- life ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the database and start writing."""
        self._loop = asyncio.get_running_loop()
        await self._read(self._storage.open)
        self._writer.start()
        self._accepting = True

    def seal_with(self, at_rest: AtRest) -> None:
        """Seal secrets in what is written from now on, and open them in what is read."""
        self._at_rest = at_rest

    def subscribe(self, told: Callable[[bool], None]) -> None:
        """Have `told` called whenever events are stored, or, with True, audit records."""
        self._subscribers.append(told)

    async def close(self) -> None:
        """Write what is pending, give up the leases and close the database; nobody waits for one that is away."""
        if self._writer.is_alive():
            self._closing.set()
            saves = [self.save(infra) for infra in self._views.values() if infra.pending and not infra.lost]
            for error in await asyncio.gather(*saves, return_exceptions=True):
                if error is not None:
                    logger.warning("not stored before the end: %s", error)
            self._accepting = False
            self._queue.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._writer.join)
            try:
                await self._read(self._storage.release, self.holder)
            except StorageError as error:
                logger.warning("the leases could not be given up, and will expire: %s", error)
        await self._read(self._storage.close)
        self._readers.shutdown(wait=False)

    async def _read(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    async def ping(self) -> None:
        """Raise `StorageUnavailable` if the database does not answer."""
        await self._read(self._storage.ping)

    @property
    def size(self) -> int:
        """How many infrastructures are held in memory."""
        return len(self._views)

    @property
    def backlog(self) -> int:
        """How many changes wait for the writer."""
        return self._queue.qsize()

    # --- views ---------------------------------------------------------------------------------------------

    def cached(self, id: str) -> Infrastructure | None:
        """The view in memory, if it is certainly true; costs nothing."""
        infra = self._views.get(id)
        if infra is None or infra.lost or infra.lease.expires <= time.time():
            return None
        if id in self._unpinned:
            self._unpinned.move_to_end(id)
        return infra

    async def get(self, id: str) -> Infrastructure | None:
        """The infrastructure with a live lease of ours; None if there is none of that id.

        Raises:
            Conflict: another service instance is working on it.
        """
        if (infra := self.cached(id)) is not None:
            return infra
        if (loading := self._loading.get(id)) is None:
            loading = self._loading[id] = asyncio.ensure_future(self._load(id))
            loading.add_done_callback(lambda _: self._loading.pop(id, None))
        return await asyncio.shield(loading)

    async def _load(self, id: str) -> Infrastructure | None:
        lease = await self._read(self._storage.acquire, id, self.holder, time.time(), self.lease_duration)
        if lease is None:
            stored = await self._read(self._load_rows, id)
            if stored is None:
                return None
            raise Conflict("Another instance of the service is working on this infrastructure.")
        infra = self._views.get(id)
        if infra is not None and not infra.lost and infra.lease.fence == lease.fence:
            infra.lease = lease
            return infra
        if infra is not None:
            infra.lost = True  # somebody else has held it meanwhile
        stored = await self._read(self._load_rows, id)
        if stored is None:
            return None
        infra = Infrastructure.restore(stored, lease)
        self._remember(infra)
        return infra

    def _load_rows(self, id: str) -> Stored | None:
        stored = self._storage.load(id)
        if stored is None or self._at_rest is None:
            return stored
        return replace(stored, rows=tuple(self._at_rest.open(id, row) for row in stored.rows))

    def _remember(self, infra: Infrastructure) -> None:
        self._views[infra.id] = infra
        if infra.id not in self._pinned:
            self._unpinned[infra.id] = None
            self._unpinned.move_to_end(infra.id)
        self._drop_some()

    def _drop_some(self) -> None:
        """Drop views that nobody works on while there are too many."""
        dropped: list[Infrastructure] = []
        for id in self._unpinned:
            if len(self._views) - len(dropped) <= self._limit:
                break
            infra = self._views[id]
            if not infra.pending and infra not in self._flushing:
                dropped.append(infra)
        for infra in dropped:
            self.forget(infra)

    def tag(self, infra: Infrastructure) -> str:
        """What tells this content of an infrastructure from every other; once stored, the same in all instances."""
        if infra.pending or infra in self._flushing:
            return f"{infra.version}-{infra.view}-{infra.revision}"
        return str(infra.version)

    def has_tag(self, infra: Infrastructure, tags: frozenset[str]) -> bool:
        """Whether one of these is the tag of an infrastructure, or was that of its content before it was stored."""
        tag = self.tag(infra)
        return tag in tags or (tag == str(infra.version) and infra.was_tagged in tags)

    def pin(self, id: str, pinned: bool) -> None:
        """Keep a view in memory (and its lease alive) while somebody works on it."""
        if pinned:
            self._pinned.add(id)
            self._unpinned.pop(id, None)
        else:
            self._pinned.discard(id)
            if id in self._views:
                self._unpinned[id] = None
                self._drop_some()

    def forget(self, infra: Infrastructure) -> None:
        """Drop the view; the next use loads it."""
        if self._views.get(infra.id) is infra:
            del self._views[infra.id]
            self._unpinned.pop(infra.id, None)

    async def renew(self) -> None:
        """Prolong the leases of what is being worked on."""
        now = time.time()
        if not self._pinned:
            return
        await self._read(self._storage.renew, self.holder, now, self.lease_duration)
        for infra in self._views.values():
            if infra.lease.expires > now and not infra.lost:
                infra.lease = replace(infra.lease, expires=now + self.lease_duration)

    # --- writing -------------------------------------------------------------------------------------------

    def new_lease(self, id: str) -> Lease:
        """The lease of an infrastructure that does not exist yet."""
        return Lease(id, self.holder, 1, time.time() + self.lease_duration)

    async def create(self, infra: Infrastructure) -> None:
        """Store a new infrastructure, for good.

        Raises:
            StorageConflict: there is one of that id.
        """
        if infra.id in self._views:
            raise StorageConflict(f"Infrastructure {infra.id} exists already.")
        flushing = self._flush(infra, infra.lease)
        self._remember(infra)  # before it can be found in the database: there must not be two views of it
        await asyncio.shield(flushing)

    async def supersede(self, former: Infrastructure, infra: Infrastructure) -> None:
        """Store an infrastructure in the place of one of its id; nothing that was stored of that one stays.

        Raises:
            StorageConflict: the former one was changed meanwhile, or is somebody else's to change.
        """
        await self.save(former)
        if former.lost or not former.deleted:
            raise StorageConflict(f"Infrastructure {infra.id} is in use.")
        infra.version, infra.lease = former.version, former.lease
        infra.sequence += former.sequence  # whoever follows its events has seen these
        infra.pending.events = [
            replace(event, sequence=event.sequence + former.sequence) for event in infra.pending.events
        ]
        infra.pending.anew = infra.pending.head = True
        former.lost = True
        self._remember(infra)
        await self.save(infra)

    async def save(self, infra: Infrastructure) -> None:
        """Return when everything changed up to now is stored for good.

        Raises:
            StorageConflict: somebody else has taken the infrastructure over; our view is void.
        """
        waited = False
        while infra.pending or infra in self._flushing or infra.lost:
            if infra.lost:
                raise StorageConflict("Another instance of the service has taken over this infrastructure.")
            flushing = self._flushing.get(infra)
            if flushing is None:
                await asyncio.shield(self._flush(infra))
                return
            # What is pending after one flush was waited for may be newer than what is to be stored here.
            mine = bool(infra.pending) and not waited
            await asyncio.shield(flushing)
            if not mine:
                return
            waited = True

    def _flush(self, infra: Infrastructure, lease: Lease | None = None) -> asyncio.Future[None]:
        """Hand what is pending to the writer, once everybody who is about to change something has done so."""
        assert self._loop is not None, "the repository is not open"  # noqa: S101
        flushed = self._flushing[infra] = self._loop.create_future()
        self._loop.call_soon(self._submit, infra, lease, flushed)
        return flushed

    def _submit(self, infra: Infrastructure, lease: Lease | None, flushed: asyncio.Future[None]) -> None:
        if self._accepting:
            tag = self.tag(infra)
            self._queue.put(_Write(infra, infra.take_pending(), infra.head(), infra.version, lease, flushed, tag))
        else:
            del self._flushing[infra]
            flushed.set_exception(StorageUnavailable("The service is being stopped."))

    def record(self, record: AuditRecord) -> None:
        """Have an audit record stored soon; nobody waits for it."""
        if not self._accepting or self._loop is None:
            return
        self._audit.append(record)
        if self._audit_timer is None:
            self._audit_timer = self._loop.call_later(AUDIT_DELAY, self._nudge)

    def _nudge(self) -> None:
        self._audit_timer = None
        if self._audit:
            self._queue.put(_Nudge())

    def _written(self, group: Sequence[_Write], errors: Sequence[StorageError | None], audited: bool) -> None:
        """The writer has done its work: everybody who waits for it learns how it went."""
        for write, error in zip(group, errors, strict=True):
            del self._flushing[write.infra]
            if error is None:
                write.infra.version += 1
                write.infra.was_tagged = write.tag
                write.flushed.set_result(None)
            else:
                write.infra.lost = True
                self.forget(write.infra)
                write.flushed.set_exception(error)
        happened = False
        for write, error in zip(group, errors, strict=True):
            if error is None and write.pending.events:
                happened = True
                self._on_events(write.infra, write.pending.events)
        for told in self._subscribers:
            if happened:
                told(False)
            if audited:
                told(True)

    def _write_loop(self) -> None:
        stop = False
        while not stop:
            item = self._queue.get()
            group: list[_Write] = []
            while True:
                if isinstance(item, _Write):
                    group.append(item)
                stop = item is None
                if stop or len(group) == GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            records = self._take_records()
            if group or records:
                self._write(group, records)
        while records := self._take_records():
            self._write([], records)

    def _take_records(self) -> list[AuditRecord]:
        records: list[AuditRecord] = []
        while self._audit and len(records) < AUDIT_GROUP:
            records.append(self._audit.popleft())
        return records

    def _write(self, group: list[_Write], records: Sequence[AuditRecord]) -> None:
        assert self._loop is not None  # noqa: S101
        commits = [write.commit(self._at_rest) for write in group]
        audit = (records,) if records else ()
        while True:
            try:
                results = self._storage.commit(commits, *audit)
                self.trouble = ""
                break
            except StorageUnavailable as error:
                self.trouble = str(error)
                if self._closing.is_set():
                    results = [StorageUnavailable("The database does not answer, and the service ends.")] * len(group)
                    if records:
                        logger.warning("%d audit records are not stored before the end", len(records))
                    break
                waiting = len(commits) + len(records)
                logger.warning("the database does not answer; %d changes wait: %s", waiting, error)
                self._closing.wait(RETRY_DELAY)
            except Exception as error:
                if len(group) + len(audit) > 1:  # one that cannot be written must not void the others
                    for write in group:
                        self._write([write], ())
                    if records:
                        self._write([], records)
                    return
                if not isinstance(error, StorageError):
                    logger.exception("the storage plugin failed")
                    error = StorageError("The storage plugin failed; the log has the details.")
                if records:
                    logger.error("%d audit records are not stored: %s", len(records), error)
                results = [error] * len(group)
                break
        self._loop.call_soon_threadsafe(self._written, group, results, bool(records))

    # --- questions that go to the database -----------------------------------------------------------------

    async def heads(self, owners: frozenset[str] | None, *, deleted: bool = False) -> Sequence[Head]:
        """See `Storage.heads`."""
        return await self._read(lambda: self._storage.heads(owners, deleted=deleted))

    async def glance(self, id: str) -> Infrastructure | None:
        """An infrastructure to look at, whoever works on it; None if there is none of that id."""
        if (infra := self.cached(id)) is not None:
            return infra
        stored = await self._read(self._load_rows, id)
        return Infrastructure.restore(stored, Lease(id, "", 0, 0.0)) if stored is not None else None

    async def documents(self, id: str) -> str | None:
        """RADL and TOSCA of an infrastructure, whoever works on it; None if there is none of that id."""
        infra = await self.glance(id)
        if infra is None:
            return None
        return f"{infra.radl}\n{template(infra.template).text}" if infra.template else infra.radl

    async def tally(self, id: str) -> Mapping[str, JSON]:
        """What statistics say of the machines of an infrastructure that was stored without that."""
        infra = await self.glance(id)
        return infra.tally.to_data() if infra is not None else {}

    async def due(self, limit: int = 1000) -> Sequence[str]:
        """See `Storage.due`."""
        return await self._read(self._storage.due, time.time(), self.holder, limit)

    async def run_ids(self) -> set[str] | None:
        """The configuration runs in progress; None if an infrastructure that may have one cannot be read."""
        ids: set[str] = set()
        complete = True
        for id in await self.due(1_000_000):
            try:
                infra = await self.get(id)
            except Conflict:
                continue  # another instance's, as its runs are
            except Exception:
                logger.exception("infrastructure %s cannot be loaded", id)
                complete = False
                continue
            if infra is not None:
                ids.update(infra.runs)
        return ids if complete else None

    async def events(self, id: str, after: int, limit: int) -> Sequence[Event]:
        """See `Storage.events`."""
        return await self._read(self._storage.events, id, after, limit)

    async def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        """See `Storage.account_events`."""
        return await self._read(self._storage.account_events, owners, after, limit)

    async def last_position(self) -> int:
        """See `Storage.last_position`."""
        return await self._read(self._storage.last_position)

    async def find(self, ids: Sequence[str]) -> Sequence[Head]:
        """See `Storage.find`."""
        return await self._read(self._storage.find, ids)

    async def audit(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
        """See `Storage.audit`."""
        return await self._read(self._storage.audit, owners, after, limit)

    async def logs(self, id: str) -> dict[str, str]:
        """See `Storage.log`."""
        return dict(await self._read(self._storage.log, id))
