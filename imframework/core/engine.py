"""The engine: the workers of all infrastructures that have something to do, and who waits for them.

Infrastructures come to it by `wake` (a request), from the database at start and by a slow poll (work that a crash or
another instance has left), and by timers. A quiet service has no worker, no task but the poll, and no thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from imframework.api.errors import Conflict, DeadlineExceeded, IMError, StorageError
from imframework.api.model import Event, Observation
from imframework.core.clouds import Clouds
from imframework.core.entities import Entry
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.options import EngineOptions
from imframework.core.places import Places
from imframework.core.ports import Configurator, Hooks, NoHooks
from imframework.core.repository import Repository
from imframework.core.workbench import Tools, summary
from imframework.core.worker import Worker

logger = logging.getLogger("imframework.engine")

STOPPING = "The service is being stopped; the work goes on afterwards."


class Engine:
    """Keeps infrastructures at their desired state."""

    def __init__(
        self,
        repository: Repository,
        clouds: Clouds,
        configurator: Configurator,
        keyring: Keyring,
        options: EngineOptions,
        hooks: Hooks | None = None,
    ) -> None:
        self.repository = repository
        self.clouds = clouds
        self.vault = keyring
        self.options = options
        self._hooks: Hooks = hooks or NoHooks()
        self.tools = Tools(repository, clouds, configurator, keyring, options, self._hooks, self.late)
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._places = Places()
        self._waiters: defaultdict[str, set[asyncio.Future[IMError | str | None]]] = defaultdict(set)
        self._poll: asyncio.Task[None] | None = None
        self._stopping = False

    # --- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up whatever is unfinished, and keep looking for more."""
        await self._take_up()
        self._poll = asyncio.get_running_loop().create_task(self._keep_polling())

    async def stop(self) -> None:
        """End all work in progress. What was begun is on record and goes on at the next start."""
        self._stopping = True
        self._places.close()
        for timer in self._timers.values():
            timer.cancel()
        if self._poll is not None:
            self._poll.cancel()
        workers = list(self._workers.values())
        if workers:
            await asyncio.gather(*(worker.stop() for worker in workers), return_exceptions=True)
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._disappoint(list(self._waiters), DeadlineExceeded(STOPPING))

    async def _keep_polling(self) -> None:
        pause = self.repository.lease_duration / 3
        while True:
            await asyncio.sleep(pause)
            try:
                await self.repository.renew()
                await self._take_up()
            except StorageError as error:
                logger.warning("cannot look for unfinished work: %s", error)
            except Exception:
                # Without this task leases expire and nobody takes up what others left.
                logger.exception("cannot look for unfinished work")

    async def _take_up(self) -> None:
        for id in await self.repository.due():
            if id in self._workers or self._stopping:
                continue
            try:
                infra = await self.repository.get(id)
            except (Conflict, StorageError) as error:
                logger.info("infrastructure %s is not ours to work on: %s", id, error)
                continue
            except Exception:
                # One row that cannot be read must not keep the others from being looked after.
                logger.exception("infrastructure %s cannot be loaded", id)
                continue
            if infra is not None:
                self.wake(infra)

    # --- workers -------------------------------------------------------------------------------------------

    def wake(self, infra: Infrastructure) -> Worker:
        """The levels of an infrastructure may have changed: have it looked at."""
        worker = self._workers.get(infra.id)
        if worker is not None and not worker.done and worker.infra is infra:
            worker.attend()
            if self._is_awaited(infra):
                self._places.hurry(infra.id)
            return worker
        return self._employ(infra)

    def _employ(self, infra: Infrastructure) -> Worker:
        if (former := self._workers.get(infra.id)) is not None:
            former.wake()  # its view is void: it is to notice now, and not when a cloud answers it
        worker = self._workers[infra.id] = Worker(infra, self.tools, self.settle)
        if self._stopping:
            return worker
        if (timer := self._timers.pop(infra.id, None)) is not None:
            timer.cancel()
        self.repository.pin(infra.id, True)
        task = self._tasks[infra.id] = asyncio.get_running_loop().create_task(self._work(worker))
        task.add_done_callback(lambda done: self._ended(worker, done))
        return worker

    def _is_awaited(self, infra: Infrastructure) -> bool:
        return any(self._waiters.get(operation) for operation in infra.operations)

    async def _work(self, worker: Worker) -> None:
        """Have a worker begin when it is its turn. It is at once, if somebody waits for what comes of it."""
        infra = worker.infra
        if self._is_awaited(infra):
            await worker.run()
            return
        place = await self._places.take(infra.owners, infra.id)
        try:
            await worker.run()
        finally:
            place.leave()

    def _ended(self, worker: Worker, task: asyncio.Task[None]) -> None:
        infra = worker.infra
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("infrastructure %s: worker failed", infra.id, exc_info=error)
        if infra.lost:
            self._disappoint(
                [*infra.operations, infra.leaving],
                Conflict("Another instance of the service has taken over; the work goes on there."),
            )
        if self._workers.get(infra.id) is not worker:
            return
        del self._workers[infra.id]
        del self._tasks[infra.id]
        self.repository.pin(infra.id, False)
        if infra.due is not None and not self._stopping and not infra.lost:
            delay = max(0.0, infra.due - time.time())
            self._timers[infra.id] = asyncio.get_running_loop().call_later(delay, self._due, infra.id)

    def _due(self, id: str) -> None:
        self._timers.pop(id, None)
        asyncio.get_running_loop().create_task(self._revive(id)).add_done_callback(_log_failure)

    async def _revive(self, id: str, entry: Entry | None = None, answer: Observation | None = None) -> None:
        infra = await self.repository.get(id)
        if infra is None or self._stopping:
            return
        worker = self.wake(infra)
        if entry is not None and answer is not None:
            worker.take_late_answer(entry, answer)

    def late(self, id: str, entry: Entry, answer: Observation | None) -> None:
        """A call that was given up has ended; with what it has made, if anything."""
        worker = self._workers.get(id)
        if worker is not None and not worker.done and not worker.infra.lost:
            if answer is not None:
                worker.take_late_answer(entry, answer)
            worker.wake()
        elif not self._stopping:
            asyncio.get_running_loop().create_task(self._revive(id, entry, answer)).add_done_callback(_log_failure)

    def refresh(self, infra: Infrastructure, *, forced: bool = False) -> None:
        """Ask the clouds about the machines in the background, if that was last done too long ago (or is `forced`)."""
        recent = time.monotonic() - infra.read_at < self.options.update_frequency
        if (recent and not forced) or infra.deleted:
            return
        infra.read_at = time.monotonic()
        worker = self._workers.get(infra.id)
        if worker is None or worker.done or worker.infra is not infra:
            worker = self._employ(infra)
        worker.refresh_wanted = True
        worker.wake()

    def observe_events(self, infra: Infrastructure, events: Sequence[Event]) -> None:
        """Events are stored: tell the hooks."""
        if self._hooks.active("imframework_event"):
            about = summary(infra)
            for event in events:
                self._hooks.observe("imframework_event", infrastructure=about, event=event)

    @property
    def busy(self) -> int:
        """How many infrastructures are being worked on."""
        return len(self._workers)

    def works_on(self, id: str) -> bool:
        """Whether an infrastructure is being worked on at this moment."""
        return id in self._workers

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, now or at some later time that is known."""
        return not self._workers and not self._timers

    # --- waiting -------------------------------------------------------------------------------------------

    def expect(self, operation: str) -> asyncio.Future[IMError | str | None]:
        """A future for the outcome of an operation: None, what went wrong, or its answer. Call it before `wake`."""
        waiter: asyncio.Future[IMError | str | None] = asyncio.get_running_loop().create_future()
        if self._stopping:  # nobody begins to work on it here
            waiter.set_exception(DeadlineExceeded(STOPPING))
            waiter.exception()  # whoever does not wait after all is no fault
            return waiter
        self._waiters[operation].add(waiter)
        waiter.add_done_callback(lambda done: self._forget(operation, done))
        return waiter

    def _forget(self, operation: str, waiter: asyncio.Future[IMError | str | None]) -> None:
        waiters = self._waiters[operation]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[operation]

    def _disappoint(self, operations: Iterable[str], error: IMError) -> None:
        """Let those who wait for the outcome of operations know that they will not hear of it here."""
        for operation in list(operations):
            for waiter in list(self._waiters.get(operation, ())):
                if not waiter.done():
                    waiter.set_exception(error)

    def settle(self, operation: str, error: IMError | None, answer: str = "") -> None:
        """The outcome of an operation is stored."""
        for waiter in list(self._waiters.get(operation, ())):
            if not waiter.done():
                waiter.set_result(answer or None if error is None else error)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("background work failed: %s", error)
