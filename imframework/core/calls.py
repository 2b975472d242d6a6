"""Calls into synchronous plugins: in threads of their own, bounded in number and in time.

There is one pool for each plugin and endpoint, so that a cloud that hangs uses up nobody's threads but its own. A few
threads of each pool are kept for urgent calls (deletions). A thread cannot be cancelled: a call past its deadline is
abandoned, and what it answers later still reaches whoever asked, through `late`. Threads are daemons and end when
they have been idle for a while, so a quiet service has none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from imframework.api.errors import CloudUnavailable, OutcomeUnknown

T = TypeVar("T")

IDLE_SECONDS = 5.0


class CallAbandoned(OutcomeUnknown):
    """A call that did not answer in time. Unlike other lost answers it goes on, and may yet have its effect."""


class CallLeft(asyncio.CancelledError):
    """Whoever waited for a call was cancelled. The call goes on, and may yet have its effect."""


class _Stage(Enum):
    """How far a call has come. It is started or given up first, never both at once."""

    WAITING = auto()
    STARTED = auto()
    ABANDONED = auto()  #: before or after its start; if after, the answer goes to `late`


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    answers: _Answers
    late: Callable[[Any, BaseException | None], None] | None
    stage: _Stage = _Stage.WAITING
    started_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    timer: asyncio.TimerHandle | None = None

    def start(self) -> bool:
        """Claim it for a thread; False if nobody wants it any more."""
        with self.lock:
            if self.stage is _Stage.ABANDONED:
                return False
            self.stage, self.started_at = _Stage.STARTED, time.monotonic()
            return True

    def expire(self, timeout: float) -> float:
        """Give it up unless it was started less than `timeout` seconds ago; the seconds it still has."""
        with self.lock:
            left = self.started_at + timeout - time.monotonic() if self.stage is _Stage.STARTED else 0.0
            if left <= 0:
                self.stage = _Stage.ABANDONED
            return max(0.0, left)

    def perform(self) -> None:
        """Call the function, and have the outcome delivered on the event loop."""
        result: Any = None
        error: Exception | None = None
        try:
            result = self.function()
        except Exception as caught:  # noqa: BLE001 - handed to the caller, whatever it is
            error = caught
        except BaseException as caught:  # noqa: BLE001 - would end the event loop, or be taken for a cancellation
            error = RuntimeError(f"{type(caught).__name__}: {caught}")
        if isinstance(error, StopIteration):  # a future refuses it
            error = RuntimeError("StopIteration")
        self.answers.put(self, result, error)

    def finish(self, result: Any, error: Exception | None) -> None:
        """Hand the outcome to whoever waits for it; on the event loop."""
        if self.stage is _Stage.ABANDONED:
            if self.late is not None:
                self.late(result, error)
        elif not self.future.done():
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)


class _Answers:
    """Outcomes on their way from the threads to the event loop, which is woken once for all that are there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[_Call, Any, Exception | None]] = deque()
        self._announced = False

    def put(self, call: _Call, result: Any, error: Exception | None) -> None:
        """In a thread: have an outcome delivered. Raises `RuntimeError` if the event loop is closed."""
        self._waiting.append((call, result, error))
        if not self._announced:
            self._announced = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._announced = False  # before looking: what comes now is seen below, or announced again
        try:
            while self._waiting:
                call, result, error = self._waiting.popleft()
                call.finish(result, error)
        finally:
            if self._waiting:  # whoever was told of one has raised something; the others get theirs all the same
                self.loop.call_soon(self._deliver)


class CallPool:
    """Threads for one plugin and endpoint: `size` for all calls and `reserve` more for urgent ones."""

    def __init__(self, name: str, size: int, reserve: int = 2) -> None:
        self._name = name
        self._ordinary, self._urgent = _Lane(name, size), _Lane(f"{name} urgent", reserve)
        self._answers: _Answers | None = None

    @property
    def idle(self) -> bool:
        """Whether it has no threads, and nothing waits for one."""
        return self._ordinary.idle and self._urgent.idle

    async def call(
        self,
        function: Callable[[], T],
        timeout: float,
        *,
        urgent: bool = False,
        late: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> T:
        """Run `function` in a thread and return its result.

        It may wait `timeout` seconds for a thread, and then take as long.

        Raises:
            CloudUnavailable: no thread was free; the function has not been called and never will be.
            CallAbandoned: it was called and has not returned in time. `late` is called on the event loop with its
                result or error whenever it does.
            CallLeft: the caller was cancelled after it was called and before it has returned; `late` as above.
        """
        loop = asyncio.get_running_loop()
        if self._answers is None or self._answers.loop is not loop:
            self._answers = _Answers(loop)
        call = _Call(function, loop.create_future(), loop, self._answers, late)
        lane = self._urgent if urgent and self._ordinary.busy else self._ordinary
        call.timer = loop.call_later(timeout, self._overdue, call, timeout)
        lane.submit(call)
        try:
            return await call.future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            call.expire(0.0)
            if call.started_at and call.future.cancelled():
                raise CallLeft from None
            raise
        finally:
            call.timer.cancel()  # the one it has by now

    def _overdue(self, call: _Call, timeout: float) -> None:
        if left := call.expire(timeout):
            call.timer = call.loop.call_later(left, self._overdue, call, timeout)
        elif not call.future.done():
            if call.started_at:
                call.future.set_exception(CallAbandoned(f"{self._name} did not answer within {timeout:g} s."))
            else:
                call.future.set_exception(CloudUnavailable(f"All connections to {self._name} are busy."))


class _Lane:
    """A bounded set of threads that serve one queue."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._threads = 0
        self._resting = 0  #: threads that wait for a call; one that was notified still counts, and so does its call

    @property
    def idle(self) -> bool:
        """Whether it has no threads, and nothing waits for one."""
        with self._changed:
            return not self._threads and not self._waiting

    @property
    def busy(self) -> bool:
        """Whether a new call would have to wait."""
        with self._changed:
            return self._resting <= len(self._waiting) and self._threads >= self._size

    def submit(self, call: _Call) -> None:
        """Have a call made as soon as a thread is free."""
        with self._changed:
            self._waiting.append(call)
            if self._resting < len(self._waiting) and self._threads < self._size:
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
                self._threads += 1
            else:
                self._changed.notify()

    def _take(self) -> _Call | None:
        """The next call; None, and the thread is not counted any more, if there is none for a while."""
        with self._changed:
            self._resting += 1
            try:
                if self._changed.wait_for(lambda: self._waiting, IDLE_SECONDS):
                    return self._waiting.popleft()
                self._threads -= 1
                return None
            finally:
                self._resting -= 1

    def _serve(self) -> None:
        while (call := self._take()) is not None:
            if call.start():
                try:
                    call.perform()
                except RuntimeError:  # the event loop is closed: the service is going down
                    with self._changed:
                        self._threads -= 1
                    return
            del call


class Bulkheads:
    """The pools, by plugin and endpoint; made when first needed.

    Endpoints are what users write into their credentials, so there is no end of them: beyond `limit` pools, those
    that have no threads are forgotten.
    """

    def __init__(self, size: int, reserve: int = 2, limit: int = 1024) -> None:
        self._size = size
        self._reserve = reserve
        self._limit = limit
        self._pools: OrderedDict[tuple[str, str], CallPool] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pools)

    def pool(self, plugin: str, endpoint: str, most: int | None = None) -> CallPool:
        """The pool for calls of this plugin to this endpoint; for at most so many at a time, if it says so."""
        key = (plugin, endpoint)
        if (pool := self._pools.get(key)) is not None:
            self._pools.move_to_end(key)
            return pool
        if len(self._pools) >= self._limit and (idle := next((k for k, v in self._pools.items() if v.idle), None)):
            del self._pools[idle]
        pool = self._pools[key] = CallPool(
            f"{plugin} {endpoint}".strip(), min(self._size, most or self._size), self._reserve
        )
        return pool
