"""One infrastructure being brought to its desired state.

A worker exists while there is something to do and no longer. It looks at the levels wanted and at what is recorded,
starts whatever can be started as activities (tasks), and looks again whenever one of them ends. A new request, a
timer, a restart after a crash, a lease taken over: all enter here, by `wake`. There is no other recovery code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from imframework.api.errors import IMError, StorageConflict, StorageError
from imframework.api.model import Observation
from imframework.core.activities import Activities
from imframework.core.altering import Altering
from imframework.core.configuring import Configuring
from imframework.core.entities import Entry, Status
from imframework.core.infrastructure import Infrastructure
from imframework.core.launching import Launching
from imframework.core.ledger import POLL_FIRST, POLL_LONGEST, Ledger
from imframework.core.operations import Operations
from imframework.core.powering import Powering
from imframework.core.schedule import Schedule
from imframework.core.snapshots import Snapshots
from imframework.core.workbench import Tools, Workbench

logger = logging.getLogger("imframework.worker")
Verb = Callable[[str], Coroutine[Any, Any, None]]

#: A worker whose next work is further away than this ends, and is woken when it is due.
NAP = 2.0
#: Longest time in seconds that calls of clouds are given to end when the service ends.
FAREWELL = 1.0


class Worker:
    """Decides what is done next with one infrastructure, until nothing is left to do."""

    def __init__(self, infra: Infrastructure, tools: Tools, settle: Callable[[str, IMError | None, str], None]) -> None:
        self.infra = infra
        self.activities = Activities(self._failed)
        self.bench = Workbench(infra, tools, self.activities)
        self.ledger = Ledger(self.bench)
        self.operations = Operations(self.bench, settle)
        self.launching = Launching(self.bench)
        self.powering = Powering(self.bench, self.ledger, self.operations)
        self.altering = Altering(self.bench, self.ledger, self.launching, self.operations)
        self.snapshots = Snapshots(self.bench, self.operations)
        self.configuring = Configuring(self.bench)
        self.bench.on_entry.append(self._entry_changed)
        self.refresh_wanted = False
        self.done = False
        self._saving: asyncio.Task[None] | None = None
        self._late: list[tuple[Entry, Observation]] = []
        self._deleting: set[str] = set()
        self._verbs: set[asyncio.Task[None]] = set()
        self._sweeps = {key for key, entry in infra.entries.items() if entry.sweep_at}
        self._resting_until = 0.0
        self._polls = Schedule()
        self._stopping = False
        self._resting = False  #: nothing is under way but what stores and tells
        self.attend()

    # --- life ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed: look again."""
        self.activities.wake()

    def attend(self) -> None:
        """The levels were changed from outside: look at everything again."""
        self.bench.attend()
        self.launching.attend()
        self.powering.attend()
        self.altering.attend()
        self.configuring.attend()
        self.wake()

    async def run(self) -> None:
        """Work until there is nothing left to do now."""
        infra, changed = self.infra, self.activities.changed
        faults = 0
        while not infra.lost and not self._stopping:
            changed.clear()
            try:
                next_at = self._decide()
                faults = 0
            except Exception:
                logger.exception("infrastructure %s: fault of the engine", infra.id)
                faults += 1
                next_at = time.time() + min(2**faults, 60)
            if infra.due is None and not infra.exported and (self.bench.graph.busy or infra.operations or infra.runs):
                # Stored together with the first thing that is done: whoever comes after a crash must find it.
                infra.due = time.time()
                infra.touch()
            # Who waits is told once the outcome is stored; that nothing is left to do goes into the same commit.
            resting = self._resting = not self.activities.at_work and not changed.is_set()
            if resting and (next_at is None or next_at - time.time() > NAP):
                if infra.due != next_at:
                    infra.due = next_at
                    infra.touch()
                if not infra.pending and not self.activities:
                    break
                next_at = None
            self._keep_saving()
            await self._pause(next_at)
        if infra.lost:
            await self.activities.stop()
        self.done = True

    async def stop(self) -> None:
        """End all activities; what they were doing is on record and goes on when somebody looks again.

        What has been asked of a cloud is given a moment to be answered: otherwise it has to be found out later, and
        not every cloud can tell.
        """
        self._stopping = self.ledger.closing = True
        self.wake()
        if self._verbs:
            await asyncio.wait(self._verbs, timeout=FAREWELL)
        await self.activities.stop()

    async def _pause(self, until: float | None) -> None:
        await asyncio.sleep(0)  # if there is something to do already, others come first all the same
        timeout = None if until is None else max(0.0, until - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.activities.changed.wait()

    def _keep_saving(self) -> None:
        if self._saving is None and self.infra.pending:
            self._saving = asyncio.get_running_loop().create_task(self.bench.save())
            self._saving.add_done_callback(self._saved)

    def _saved(self, task: asyncio.Task[None]) -> None:
        self._saving = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("infrastructure %s: %s", self.infra.id, error)
        if self._resting or self.infra.lost or self._stopping:
            self.wake()
        else:
            self._keep_saving()  # nothing of what is decided depends on what is stored

    def _start(self, verb: Verb, key: str) -> None:
        """Start an activity on one resource, which nothing else touches meanwhile."""
        graph = self.bench.graph

        def ended() -> None:
            self._deleting.discard(key)
            graph.busy.discard(key)
            graph.evaluate(key)

        graph.busy.add(key)
        if verb == self.ledger.delete:
            self._deleting.add(key)
        graph.evaluate(key)
        task = self.activities.start(verb(key), ended)
        self._verbs.add(task)
        task.add_done_callback(self._verbs.discard)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, StorageConflict):
            return  # somebody else goes on with it
        if isinstance(error, StorageError):
            logger.warning("infrastructure %s: %s", self.infra.id, error)
        else:
            logger.error("infrastructure %s: an activity failed", self.infra.id, exc_info=error)
            self._resting_until = time.time() + self.bench.options.retry_delay

    # --- deciding ------------------------------------------------------------------------------------------

    def _decide(self) -> float | None:
        """Start everything that can be started; the instant at which time alone makes something else possible."""
        now = time.time()
        if now < self._resting_until:
            return self._resting_until
        later: list[float] = []
        if self.infra.exported:
            return None
        self._take_late()
        if not self.infra.wanted or self.infra.leaving:
            self.activities.cancel("plan")
        if self.infra.leaving:
            return self._come_to_rest(now)
        graph = self.bench.graph
        for key, reason in list(graph.hopeless.items()):
            self.ledger.give_up(key, reason)
        most = self.bench.options.max_launches
        # Deletions have places of their own: they do not wait for a cloud that hangs in making things.
        later.extend(self._fill(most - len(self._deleting), now, (graph.deletable, self.ledger.delete)))
        later.extend(
            self._fill(
                most - len(graph.busy - self._deleting),
                now,
                (graph.uncertain, self.ledger.resolve),
                (graph.unfinished, self.ledger.advance),
                (graph.outdated, self.ledger.update),
                (graph.creatable, self.ledger.create),
            )
        )
        later.extend(self._sweep(now))
        later.extend(self._read(now))
        if self.infra.wanted:
            later.extend(self.launching.decide(now))
        self.powering.decide()
        later.extend(self.altering.decide(now))
        self.snapshots.decide()
        later.extend(self.configuring.decide(now))
        later.extend(self.operations.decide(now))
        return min(later, default=None)

    def _come_to_rest(self, now: float) -> float | None:
        """Begin nothing any more, end what can be ended, and hand the infrastructure over when nothing goes on."""
        later = list(self.configuring.decide(now)) if self.infra.runs else []
        if not self.infra.runs and not self.activities:
            self.operations.hand_over()
        return min(later, default=None)

    def _fill(self, places: int, now: float, *queues: tuple[Iterable[str], Verb]) -> Iterable[float]:
        """Start the verbs of some queues, as many as there are places; when others could be started."""
        for queue, verb in queues:
            chosen: list[str] = []
            for key in queue:
                if len(chosen) >= places:
                    break
                not_before = self.infra.entries[key].not_before
                if not_before > now:
                    yield not_before
                else:
                    chosen.append(key)
            places -= len(chosen)
            for key in chosen:
                self._start(verb, key)

    def _sweep(self, now: float) -> Iterable[float]:
        for key in list(self._sweeps):
            entry = self.infra.entries.get(key)
            if entry is None or not entry.sweep_at:
                self._sweeps.discard(key)
            elif key in self.bench.graph.busy:
                continue
            elif entry.sweep_at > now:
                yield entry.sweep_at
            elif entry.present:
                self._start(self.ledger.sweep, key)

    def _read(self, now: float) -> Iterable[float]:
        graph, polls, entries = self.bench.graph, self._polls, self.infra.entries
        for key in graph.appeared:
            if key not in polls:
                polls.set(key, now)
        graph.appeared.clear()
        if self.activities.running("read"):
            return
        keys = [key for key in polls.take(now) if key in graph.unsettled]
        for key in keys:
            entry = entries[key]
            age = now - max(entry.intended_at, entry.made_at)
            polls.set(key, now + min(max(POLL_FIRST, age / 4), POLL_LONGEST))
        if self.refresh_wanted:
            self.refresh_wanted = False
            self.infra.read_at = time.monotonic()
            keys = list(dict.fromkeys((*keys, *(key for key, entry in entries.items() if _machine_to_read(entry)))))
        if keys:
            self.activities.single("read", lambda: self.ledger.read(keys))
        elif (next_at := polls.next()) is not None:
            yield next_at

    def _entry_changed(self, before: Entry | None, entry: Entry) -> None:
        if entry.sweep_at:
            self._sweeps.add(entry.key)
        if before is not None and before.status != entry.status:
            self._polls.set(entry.key, time.time())

    # --- late answers --------------------------------------------------------------------------------------

    def take_late_answer(self, entry: Entry, answer: Observation) -> None:
        """Have a late answer looked at."""
        self._late.append((entry, answer))
        self.wake()

    def _take_late(self) -> None:
        late, self._late = self._late, []
        for entry, answer in late:
            if entry.key in self.bench.graph.busy:
                self._late.append((entry, answer))
            else:
                self.ledger.made(entry, answer)


def _machine_to_read(entry: Entry) -> bool:
    return entry.machine is not None and entry.status == Status.READY and bool(entry.provider_id)
