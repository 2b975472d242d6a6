"""Calls into synchronous plugins: in threads of their own, bounded in number and in time.

There is one pool for each plugin and endpoint, so that a cloud that hangs uses up nobody's threads but its own. A few
threads of each pool are kept for urgent calls (deletions). A thread cannot be cancelled: a call past its deadline is
abandoned, and what it answers later still reaches whoever asked, through `late`. Threads are daemons and end when
they have been idle for a while, so a quiet service has none.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from imframework.api.errors import CloudUnavailable, OutcomeUnknown

T = TypeVar("T")

IDLE_SECONDS = 5.0


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    late: Callable[[Any, BaseException | None], None] | None
    started: threading.Event = field(default_factory=threading.Event)
    abandoned: bool = False

    def finish(self, result: Any, error: BaseException | None) -> None:
        """Deliver the outcome; on the event loop."""
        if self.abandoned:
            if self.late is not None:
                self.late(result, error)
        elif not self.future.done():
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)


class CallPool:
    """Threads for one plugin and endpoint: `size` for all calls and `reserve` more for urgent ones."""

    def __init__(self, name: str, size: int, reserve: int = 2) -> None:
        self._name = name
        self._lanes = {False: _Lane(name, size), True: _Lane(name + "-urgent", reserve)}

    async def call(
        self,
        function: Callable[[], T],
        timeout: float,
        *,
        urgent: bool = False,
        late: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> T:
        """Run `function` in a thread and return its result.

        Raises:
            CloudUnavailable: no thread was free within `timeout` seconds; the function has not been called.
            OutcomeUnknown: it was called and has not returned in time. `late` is called on the event loop with its
                result or error whenever it does.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, loop.create_future(), loop, late)
        lane = self._lanes[False]
        if urgent and lane.busy:
            lane = self._lanes[True]
        lane.submit(call)
        try:
            async with asyncio.timeout(timeout):
                return await call.future  # type: ignore[no-any-return]
        except TimeoutError:
            call.abandoned = True
            if call.started.is_set():
                raise OutcomeUnknown(f"{self._name} did not answer within {timeout:g} s.") from None
            raise CloudUnavailable(f"All connections to {self._name} are busy.") from None
        except asyncio.CancelledError:
            call.abandoned = True
            raise


class _Lane:
    """A bounded set of threads that serve one queue."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._queue: queue.Queue[_Call] = queue.Queue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    @property
    def busy(self) -> bool:
        """Whether a new call would have to wait."""
        with self._lock:
            return self._idle <= self._queue.qsize() and self._threads >= self._size

    def submit(self, call: _Call) -> None:
        self._queue.put(call)
        with self._lock:
            if self._idle < self._queue.qsize() and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                call = self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    self._idle -= 1
                    if self._queue.empty():
                        self._threads -= 1
                        return
                continue
            with self._lock:
                self._idle -= 1
            if call.abandoned:
                continue
            call.started.set()
            result: Any = None
            error: BaseException | None = None
            try:
                result = call.function()
            except BaseException as caught:  # noqa: BLE001 - handed to the caller, whatever it is
                error = caught
            try:
                call.loop.call_soon_threadsafe(call.finish, result, error)
            except RuntimeError:
                return  # the loop is closed: the service is going down
            del call, result, error


class Bulkheads:
    """The pools, by plugin and endpoint; made when first needed."""

    def __init__(self, size: int, reserve: int = 2) -> None:
        self._size = size
        self._reserve = reserve
        self._pools: dict[tuple[str, str], CallPool] = {}

    def pool(self, plugin: str, endpoint: str) -> CallPool:
        """The pool for calls of this plugin to this endpoint."""
        key = (plugin, endpoint)
        if key not in self._pools:
            self._pools[key] = CallPool(f"{plugin} {endpoint}".strip(), self._size, self._reserve)
        return self._pools[key]
