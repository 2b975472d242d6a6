"""Threads for the calls to one plugin: in order, bounded in number, and never waited for longer than wanted.

A thread cannot be cancelled. A call that hangs keeps its lane, and what is offered to the lane meanwhile waits up to
its limit; everybody else goes on. Threads are daemons, so a call that never returns does not keep the program alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("imframework.hooks")


@dataclass(frozen=True, slots=True)
class _Call:
    what: str
    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Lane:
    """Runs calls one after the other in a thread that starts with the first of them.

    `limit` is the number of calls that may wait.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._running: tuple[str, float] | None = None
        self._started = False
        self._closed = False

    def offer(self, what: str, function: Callable[[], Any]) -> Future[Any] | None:
        """Have a function called; `what` names it. None if too many calls wait, or the lane is closed."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._limit:
                return None
            return self._append(_Call(what, function))

    def close(self, what: str, function: Callable[[], Any]) -> Future[Any]:
        """Take no more calls, and make this one after those that wait."""
        with self._changed:
            self._closed = True
            return self._append(_Call(what, function))

    @property
    def waiting(self) -> int:
        """How many calls wait; the running one is not counted."""
        return len(self._waiting)

    def overdue(self, patience: float) -> str:
        """What has been running for more than `patience` seconds; empty if nothing has."""
        running = self._running
        return running[0] if running and time.monotonic() - running[1] > patience else ""

    def _append(self, call: _Call) -> Future[Any]:
        self._waiting.append(call)
        if not self._started:
            self._started = True
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._changed.notify()
        return call.future

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                self._running = (call.what, time.monotonic())
                try:
                    result = call.function()
                except BaseException as error:  # noqa: BLE001 - nothing that a plugin raises may end its thread
                    call.future.set_exception(error)
                else:
                    call.future.set_result(result)
                self._running = None
