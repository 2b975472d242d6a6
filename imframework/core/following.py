"""Events told to those who follow them: one reader of the database, a window of what is recent, many followers.

All that is told was read from the database, in the order of positions: it is stored for good, and what other instances
of the service have written comes by the same way. The reader works only while somebody waits; it is woken when
something is stored here, and looks now and then by itself for what others store.

A follower keeps numbers, no events. Who has read everything waits for news of their topic (an infrastructure, an owner,
or everything) and finds them in the window. Who is further behind reads pages, which are shared, and kept only while
there is room: a reader that takes its time finds its place again by its number.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from imframework.api.errors import StorageError
from imframework.api.model import Event
from imframework.core.repository import Repository

logger = logging.getLogger("imframework.following")

#: Seconds between two looks for what other instances have stored.
POLL = 2.0
#: Seconds without anybody who waits, after which the reader stops.
IDLE = 30.0
#: Seconds between two questions whether a follower still may.
RECHECK = 60.0
#: Seconds for which a page that was read is used by others.
FRESH = 10.0
#: Events read at a time: of everything by the reader, and of one topic for a page.
READ, PAGE = 500, 100
#: Most events in the window; most characters in the window, and in all pages together.
WINDOW, ROOM = 4096, 8 * 1024 * 1024
#: Followers woken before others get a turn.
PORTION = 100

#: What a follower is interested in, as a key: everything, the infrastructures of an owner, one infrastructure.
Topic = tuple[str, str]
EVERYTHING: Topic = ("everything", "")


@dataclass(frozen=True, slots=True)
class Interest:
    """What a follower wants to be told: one infrastructure, or those of some owners (None: of all)."""

    infrastructure: str = ""
    owners: frozenset[str] | None = field(default=None, repr=False)

    @property
    def topics(self) -> Sequence[Topic]:
        """Where its news come from."""
        if self.infrastructure:
            return (("infrastructure", self.infrastructure),)
        if self.owners is None:
            return (EVERYTHING,)
        return [("owner", key) for key in self.owners]

    def number(self, event: Event) -> int:
        """What its followers count by."""
        return event.sequence if self.infrastructure else event.position


@dataclass(slots=True)
class _Page:
    """Events after a number. If it is not `full`, they are all there were, up to position `reached`.

    `read` is when that was (monotonic clock), `weight` its size as `weight` has it.
    """

    events: Sequence[Event]
    full: bool
    reached: int
    read: float
    weight: int


class _Window:
    """The latest events: all with a position above `begin`, up to `end`."""

    def __init__(self) -> None:
        self.begin = self.end = 0
        self._events: deque[tuple[Event, Sequence[Topic]]] = deque()
        self._by_topic: dict[Topic, deque[Event]] = {}
        self._weight = 0

    def reset(self, position: int) -> None:
        """Begin again, with nothing, after a position."""
        self.begin = self.end = position
        self._events.clear()
        self._by_topic.clear()
        self._weight = 0

    def append(self, event: Event, topics: Sequence[Topic]) -> None:
        """The next event."""
        self._events.append((event, topics))
        for topic in topics:
            self._by_topic.setdefault(topic, deque()).append(event)
        self._weight += weight(event)
        self.end = event.position
        while len(self._events) > WINDOW or self._weight > ROOM:
            oldest, its_topics = self._events.popleft()
            for topic in its_topics:
                events = self._by_topic[topic]
                events.popleft()
                if not events:
                    del self._by_topic[topic]
            self._weight -= weight(oldest)
            self.begin = oldest.position

    def after(self, topics: Sequence[Topic], position: int) -> Event | None:
        """The first event of some topics after a position."""
        first: Event | None = None
        for topic in topics:
            events = self._by_topic.get(topic)
            if events is None or events[-1].position <= position:
                continue
            event = events[bisect_right(events, position, key=_position)]
            if first is None or event.position < first.position:
                first = event
        return first


class Hub:
    """Tells events to followers."""

    def __init__(self, repository: Repository, *, poll: float = POLL, recheck: float = RECHECK) -> None:
        """`poll` and `recheck` are in seconds: see `POLL` and `RECHECK`."""
        self._repository = repository
        self._poll = poll
        self._recheck = recheck
        self._window = _Window()
        self._pages: OrderedDict[tuple[Interest, int], _Page] = OrderedDict()
        self._pages_weight = 0
        self._reads: dict[tuple[Interest, int], asyncio.Task[_Page]] = {}
        self._waiters: dict[Topic, set[asyncio.Future[int]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._events_stored = asyncio.Event()
        self._audit_stored = asyncio.Event()
        self.closed = False
        repository.subscribe(self._ring)

    def _ring(self, audit: bool) -> None:
        if audit:
            self._audit_stored.set()
            self._audit_stored = asyncio.Event()
        else:
            self._events_stored.set()

    async def close(self) -> None:
        """End all followers."""
        self.closed = True
        self._audit_stored.set()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        await self._wake(list(self._waiters), 0)

    # --- followers -----------------------------------------------------------------------------------------

    async def follow(
        self, interest: Interest, after: int, check: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[Event]:
        """Events after a number, then those to come, until the infrastructure is gone or the hub is closed.

        `check` is asked at first and now and then: it raises if the follower may not, and answers whether there will
        be no more than what is stored.
        """
        over, checked = await check(), time.monotonic()
        cursor = place = after
        #: Up to here everything has been told. Unknown while pages are read.
        position: int | None = None
        topics = interest.topics
        while not self.closed:
            if time.monotonic() - checked > self._recheck:
                over, checked = await check(), time.monotonic()
                if over:  # the window may not have come to the end yet
                    position, place = None, cursor
            await self._started()
            if position is None or position < self._window.begin:
                page = await self._page(interest, place, checked if over else 0.0)
                event = next((each for each in page.events if interest.number(each) > cursor), None)
                if event is None and not page.full:
                    if over:
                        return
                    position = page.reached
                    continue
                if event is None:
                    place = cursor
                    continue
                position = None
            else:
                event = self._window.after(topics, position)
                if event is None:
                    position = self._window.end
                    if over:
                        return
                    position = max(position, await self._news(topics))
                    continue
                position = event.position
            if (number := interest.number(event)) > cursor:
                cursor = number
                place = cursor if position is not None else place
                yield event
                if interest.infrastructure and event.type == "deleted":
                    return

    async def audit_stored(self, since: asyncio.Event) -> None:
        """Wait until audit records have been stored after `audit_mark` was asked for, or may have been elsewhere."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await since.wait()

    @property
    def audit_mark(self) -> asyncio.Event:
        """For `audit_stored`; to be asked for before one looks."""
        return self._audit_stored

    async def _news(self, topics: Sequence[Topic]) -> int:
        """Wait for events of some topics; the position up to which there were none."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        for topic in topics:
            self._waiters.setdefault(topic, set()).add(waiter)
        try:
            return await waiter
        finally:
            for topic in topics:
                waiters = self._waiters.get(topic)
                if waiters is not None:
                    waiters.discard(waiter)
                    if not waiters:
                        del self._waiters[topic]

    # --- pages ---------------------------------------------------------------------------------------------

    async def _page(self, interest: Interest, place: int, since: float) -> _Page:
        """The events after a number; if that is not a full page, it was read after an instant (monotonic clock)."""
        key = interest, place
        page = self._pages.get(key)
        while page is None or not self._usable(page, since):
            reading = self._reads.get(key)
            if reading is None:
                reading = self._reads[key] = asyncio.create_task(self._read_page(interest, place))
                reading.add_done_callback(lambda _: self._reads.pop(key, None))
            page = await asyncio.shield(reading)
        if key in self._pages:
            self._pages.move_to_end(key)
        return page

    def _usable(self, page: _Page, since: float) -> bool:
        if time.monotonic() - page.read >= FRESH:
            return False
        return page.full or (page.read >= since and page.reached >= self._window.begin)

    async def _read_page(self, interest: Interest, place: int) -> _Page:
        began = time.monotonic()
        reached = self._window.end  # everything up to there is stored already
        if interest.infrastructure:
            events = await self._repository.events(interest.infrastructure, place, PAGE)
        else:
            events = await self._repository.account_events(interest.owners, place, PAGE)
        if events:
            reached = max(reached, events[-1].position)
        page = _Page(events, len(events) == PAGE, reached, began, 500 + sum(map(weight, events)))
        if (former := self._pages.pop((interest, place), None)) is not None:
            self._pages_weight -= former.weight
        self._pages[interest, place] = page
        self._pages_weight += page.weight
        while self._pages_weight > ROOM and len(self._pages) > 1:
            self._pages_weight -= self._pages.popitem(last=False)[1].weight
        return page

    # --- the reader ----------------------------------------------------------------------------------------

    async def _started(self) -> None:
        """Have the reader running, and the window somewhere."""
        if self._reader is None or self._reader.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._reader = asyncio.create_task(self._read(self._ready))
        if self._ready is not None and not self._ready.done():
            await asyncio.shield(self._ready)

    async def _read(self, ready: asyncio.Future[None]) -> None:
        """Keep the window at the end of what is stored, as long as somebody waits."""
        waited = swept = time.monotonic()
        while True:
            self._events_stored.clear()
            try:
                await self._advance(jump=not ready.done())
                if not ready.done():
                    ready.set_result(None)
            except StorageError as error:
                logger.warning("events cannot be read: %s", error)
            except Exception as error:  # followers would wait for ever
                logger.exception("events cannot be read")
                if not ready.done():
                    ready.set_exception(error)
                    return
            now = time.monotonic()
            if now - swept > self._recheck:
                swept = now
                await self._wake(list(self._waiters), self._window.end)
            if self._waiters:
                waited = now
            elif now - waited > IDLE:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._events_stored.wait()

    async def _advance(self, *, jump: bool) -> None:
        """Take in what was stored since; with `jump` nothing of that if it is much."""
        window = self._window
        if jump:
            last = await self._repository.last_position()
            if window.end == 0 or last - window.end > READ:
                window.reset(last)
                await self._wake(list(self._waiters), 0)
        while True:
            events = await self._repository.account_events(None, window.end, READ)
            if not events:
                return
            heads = await self._repository.find(list({event.infrastructure for event in events}))
            owners = {head.id: [("owner", key) for key in head.owners] for head in heads}
            before = window.end
            touched: dict[Topic, None] = {}
            for event in events:
                topics = [EVERYTHING, ("infrastructure", event.infrastructure), *owners.get(event.infrastructure, ())]
                window.append(event, topics)
                touched.update(dict.fromkeys(topics))
            await self._wake(touched, before)
            if len(events) < READ:
                return

    async def _wake(self, topics: Iterable[Topic], position: int) -> None:
        """Let those who wait for topics go on, not all at once."""
        woken = 0
        for topic in topics:
            for waiter in list(self._waiters.get(topic, ())):
                if not waiter.done():
                    waiter.set_result(position)
                    woken += 1
                    if woken % PORTION == 0:
                        await asyncio.sleep(0)


def weight(event: Event) -> int:
    """About how much memory an event takes, in characters."""
    text = event.data.get("text")
    return 500 + (len(text) if isinstance(text, str) else 0)


def _position(event: Event) -> int:
    return event.position
