"""Tasks of one worker: started, counted, ended together, and each end noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any


class Activities:
    """A set of running tasks. `changed` is set whenever one of them ends, or by `wake`."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told of every exception that an activity did not expect."""
        self.changed = asyncio.Event()
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet: set[asyncio.Task[None]] = set()
        self._single: dict[str, asyncio.Task[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def at_work(self) -> bool:
        """Whether any is running that can give rise to more work: one that is not quiet."""
        return len(self._tasks) > len(self._quiet)

    def wake(self) -> None:
        """Something changed: whoever waits is to look again."""
        self.changed.set()

    def start(
        self, activity: Coroutine[Any, Any, None], ended: Callable[[], None] | None = None, *, quiet: bool = False
    ) -> asyncio.Task[None]:
        """Run an activity; `ended` is called when it is over, however that came. A `quiet` one changes nothing."""

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._quiet.discard(task)
            if ended is not None:
                ended()
            if not task.cancelled() and (error := task.exception()) is not None:
                self._failed(error)
            self.changed.set()

        task = asyncio.get_running_loop().create_task(activity)
        self._tasks.add(task)
        if quiet:
            self._quiet.add(task)
        task.add_done_callback(over)
        return task

    def single(self, name: str, activity: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start an activity of which there is never more than one."""
        if name not in self._single:
            self._single[name] = self.start(activity(), partial(self._forget, name))

    def _forget(self, name: str) -> None:
        del self._single[name]

    def running(self, name: str) -> bool:
        """Whether such an activity is under way."""
        return name in self._single

    def cancel(self, name: str) -> None:
        """End such an activity."""
        if (task := self._single.get(name)) is not None:
            task.cancel()

    async def stop(self) -> None:
        """End all of them, and wait until they have."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.changed.set()
