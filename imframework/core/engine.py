"""The engine: the workers of all infrastructures that have something to do, and who waits for them.

Infrastructures come to it by `wake` (a request), from the database at start and by a slow poll (work that a crash or
another instance has left), and by timers. A quiet service has no worker, no task but the poll, and no thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imframework.api.errors import Conflict, IMError, StorageError
from imframework.api.model import Credential, Event, Observation
from imframework.core.clouds import Account, Clouds
from imframework.core.entities import Entry
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.planning import Defaults, usable
from imframework.core.ports import Configurator, Hooks, NoHooks
from imframework.core.repository import Repository
from imframework.core.worker import Worker

logger = logging.getLogger("imframework.engine")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of im.cfg that the engine works by. Times in seconds."""

    max_launches: int = 1
    max_vm_fails: int = 3
    retry_delay: float = 5.0
    update_frequency: float = 10.0
    grace_period: float = 120.0
    wait_running: float = 1800.0
    wait_ssh: float = 300.0
    wait_public_ip: float = 90.0
    delete_grace: float = 20.0
    max_configuration_time: float = 7200.0
    playbook_retries: int = 1
    defaults: Defaults = field(default_factory=Defaults)
    tag_names: Mapping[str, str] = field(default_factory=dict)

    def tags(self, infrastructure: str, owners: Sequence[str]) -> dict[str, str]:
        """The tags that every machine gets, by the names the operator chose for them (VM_TAG_*)."""
        values = {
            "VM_TAG_USERNAME": owners[0] if owners else "",
            "VM_TAG_INF_ID": infrastructure,
            "VM_TAG_IM": "es.upv.grycap.im",
        }
        return {
            self.tag_names[option]: value for option, value in values.items() if self.tag_names.get(option) and value
        }


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
        self.configurator = configurator
        self.vault = keyring
        self.options = options
        self.hooks: Hooks = hooks or NoHooks()
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiters: dict[str, asyncio.Future[str]] = {}
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
        for timer in self._timers.values():
            timer.cancel()
        if self._poll is not None:
            self._poll.cancel()
        workers = list(self._workers.values())
        if workers:
            await asyncio.gather(*(worker.stop() for worker in workers), return_exceptions=True)
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for waiter in self._waiters.values():
            waiter.cancel()

    async def _keep_polling(self) -> None:
        pause = self.repository.lease_duration / 3
        while True:
            await asyncio.sleep(pause)
            try:
                await self.repository.renew()
                await self._take_up()
            except StorageError as error:
                logger.warning("cannot look for unfinished work: %s", error)

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
            return worker
        return self._employ(infra)

    def _employ(self, infra: Infrastructure) -> Worker:
        worker = self._workers[infra.id] = Worker(self, infra)
        if self._stopping:
            return worker
        if (timer := self._timers.pop(infra.id, None)) is not None:
            timer.cancel()
        self.repository.pin(infra.id, True)
        task = self._tasks[infra.id] = asyncio.get_running_loop().create_task(worker.run())
        task.add_done_callback(lambda done: self._ended(worker, done))
        return worker

    def _ended(self, worker: Worker, task: asyncio.Task[None]) -> None:
        infra = worker.infra
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("infrastructure %s: worker failed", infra.id, exc_info=error)
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

    def late(self, id: str, entry: Entry, answer: Observation) -> None:
        """A call that was given up has answered after all."""
        worker = self._workers.get(id)
        if worker is not None and not worker.done:
            worker.take_late_answer(entry, answer)
        elif not self._stopping:
            asyncio.get_running_loop().create_task(self._revive(id, entry, answer)).add_done_callback(_log_failure)

    def refresh(self, infra: Infrastructure) -> None:
        """Ask the clouds about the machines in the background, if that was last done too long ago."""
        if time.monotonic() - infra.read_at < self.options.update_frequency or infra.deleted:
            return
        infra.read_at = time.monotonic()
        worker = self._workers.get(infra.id)
        if worker is None or worker.done:
            worker = self._employ(infra)
        worker.refresh_wanted = True
        worker.wake()

    def observe_events(self, infra: Infrastructure, events: Sequence[Event]) -> None:
        """Events are stored: tell the hooks."""
        worker = self._workers.get(infra.id)
        if worker is not None:
            worker.observe_events(events)

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

    def expect(self, operation: str) -> asyncio.Future[str]:
        """A future for the outcome of an operation: empty text, or what went wrong. Call it before `wake`."""
        waiter = self._waiters[operation] = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(lambda _: self._waiters.pop(operation, None))
        return waiter

    def settle(self, operation: str, error: str) -> None:
        """The outcome of an operation is stored."""
        waiter = self._waiters.get(operation)
        if waiter is not None and not waiter.done():
            waiter.set_result(error)

    # --- accounts ------------------------------------------------------------------------------------------

    def accounts(self, credentials: Iterable[Credential]) -> dict[str, Account | IMError]:
        """The clouds of a credential list, in its order; an error in the place of one that cannot be used."""
        found: dict[str, Account | IMError] = {}
        for credential in usable(credentials):
            try:
                found[credential.id] = self.clouds.account(credential)
            except IMError as error:
                found[credential.id] = error
        return found


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("background work failed: %s", error)
