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
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imframework.api.errors import CloudError, IMError, StorageConflict
from imframework.api.hooks import InfrastructureSummary, MachineSummary
from imframework.api.model import Credential, Event, Observation, Phase
from imframework.core.clouds import Account
from imframework.core.configuring import Configuring
from imframework.core.entities import VM, Entry, Operation, OperationKind, Status
from imframework.core.graph import Graph
from imframework.core.infrastructure import Infrastructure
from imframework.core.launching import Launching
from imframework.core.ledger import POLL_FIRST, POLL_LONGEST, Ledger
from imframework.core.powering import Powering

if TYPE_CHECKING:
    from imframework.core.engine import Engine

logger = logging.getLogger("imframework.worker")

#: A worker whose next work is further away than this ends, and is woken when it is due.
NAP = 2.0


class Worker:
    """The activities of one infrastructure, and the bookkeeping they share."""

    def __init__(self, engine: Engine, infra: Infrastructure) -> None:
        self.engine = engine
        self.infra = infra
        self.graph = Graph(infra)
        self.ledger = Ledger(self)
        self.launching = Launching(self)
        self.powering = Powering(self)
        self.configuring = Configuring(self)
        self.refresh_wanted = False
        self._changed = asyncio.Event()
        self._activities: set[asyncio.Task[None]] = set()
        self._single: dict[str, asyncio.Task[None]] = {}
        self._saving: asyncio.Task[None] | None = None
        self._late: list[tuple[Entry, Observation]] = []
        self._sweeps = {key for key, entry in infra.entries.items() if entry.sweep_at}
        self._resting_until = 0.0
        self.done = False
        self._poll_pause = POLL_FIRST
        self._poll_at = 0.0
        self._unreadable: dict[str, int] = {}
        self._stopping = False
        self.attend()

    # --- life ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed: look again."""
        self._changed.set()

    def attend(self) -> None:
        """The levels were changed from outside: look at everything again."""
        self.graph.rebuild()
        self.settling = {vm.number for vm in self.infra.vms.values() if vm.settling}
        self.launching.attend()
        self.powering.attend()
        self.configuring.attend()
        for vm in list(self.infra.vms.values()):
            if not vm.wanted and vm.alive:
                self._bury(vm)
        self._changed.set()

    async def run(self) -> None:
        """Work until there is nothing left to do now."""
        faults = 0
        while not self.infra.lost and not self._stopping:
            self._changed.clear()
            try:
                next_at = self._decide()
                faults = 0
            except Exception:
                logger.exception("infrastructure %s: fault of the engine", self.infra.id)
                faults += 1
                next_at = time.time() + min(2**faults, 60)
            if self.infra.due is None and (self.graph.busy or self.infra.operations or self.infra.runs):
                # Stored together with the first thing that is done: whoever comes after a crash must find it.
                self.infra.due = time.time()
                self.infra.touch()
            if self._activities or self._changed.is_set():
                self._keep_saving()
                await self._pause(next_at)
                continue
            if next_at is None or next_at - time.time() > NAP:
                if self.infra.due != next_at:
                    self.infra.due = next_at
                    self.infra.touch()
                if self.infra.pending:
                    self._keep_saving()
                    await self._pause(None)
                    continue
                break
            self._keep_saving()
            await self._pause(next_at)
        self.done = True

    async def stop(self) -> None:
        """End all activities; what they were doing is on record and goes on when somebody looks again."""
        self._stopping = True
        for task in list(self._activities):
            task.cancel()
        if self._activities:
            await asyncio.wait(list(self._activities))
        self._changed.set()

    async def _pause(self, until: float | None) -> None:
        timeout = None if until is None else max(0.0, until - time.time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)

    def _start(self, activity: Coroutine[Any, Any, None], key: str | None = None) -> asyncio.Task[None]:
        if key is not None:
            self.graph.busy.add(key)
            self.graph.evaluate(key)
        task = asyncio.get_running_loop().create_task(activity)
        self._activities.add(task)
        task.add_done_callback(lambda done: self._ended(done, key))
        return task

    def _ended(self, task: asyncio.Task[None], key: str | None) -> None:
        self._activities.discard(task)
        if key is not None:
            self.graph.busy.discard(key)
            self.graph.evaluate(key)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, StorageConflict):
            logger.error("infrastructure %s: an activity failed", self.infra.id, exc_info=error)
            self._resting_until = time.time() + self.engine.options.retry_delay
            if key is not None and (entry := self.infra.entries.get(key)) is not None:
                self.put_entry(replace(entry, not_before=time.time() + self.engine.options.retry_delay))
        self._changed.set()

    def single(self, name: str, activity: Coroutine[Any, Any, None]) -> None:
        """Start an activity of which there is never more than one."""
        if name in self._single:
            activity.close()
            return
        task = self._start(activity)
        self._single[name] = task
        task.add_done_callback(lambda _: self._single.pop(name, None))

    def running(self, name: str) -> bool:
        """Whether such an activity is under way."""
        return name in self._single

    def cancel(self, name: str) -> None:
        """End such an activity."""
        if (task := self._single.get(name)) is not None:
            task.cancel()

    # --- deciding ------------------------------------------------------------------------------------------

    def _decide(self) -> float | None:
        """Start everything that can be started; the instant at which time alone makes something else possible."""
        now = time.time()
        if now < self._resting_until:
            return self._resting_until
        later: list[float] = []
        self._take_late()
        if not self.infra.wanted:
            self.cancel("plan")
        graph = self.graph
        for key, reason in list(graph.hopeless.items()):
            self.ledger.give_up(key, reason)
        slots = self.engine.options.max_launches - len(graph.busy)
        for queue, verb in (
            (graph.deletable, self.ledger.delete),
            (graph.uncertain, self.ledger.resolve),
            (graph.unfinished, self.ledger.advance),
            (graph.creatable, self.ledger.create),
        ):
            chosen: list[str] = []
            for key in queue:
                if len(chosen) >= slots:
                    break
                not_before = self.infra.entries[key].not_before
                if not_before > now:
                    later.append(not_before)
                else:
                    chosen.append(key)
            slots -= len(chosen)
            for key in chosen:
                self._start(verb(key), key)
        later.extend(self._sweep(now))
        later.extend(self._read(now))
        if self.infra.wanted:
            self.launching.decide()
        self.powering.decide()
        later.extend(self.configuring.decide(now))
        self._finish()
        return min(later, default=None)

    def _sweep(self, now: float) -> Iterable[float]:
        for key in list(self._sweeps):
            entry = self.infra.entries.get(key)
            if entry is None or not entry.sweep_at:
                self._sweeps.discard(key)
            elif key in self.graph.busy:
                continue
            elif entry.sweep_at > now:
                yield entry.sweep_at
            elif entry.present:
                self._start(self.ledger.sweep(key), key)

    def _read(self, now: float) -> Iterable[float]:
        keys = list(self.graph.unsettled)
        if self.refresh_wanted:
            self.refresh_wanted = False
            self.infra.read_at = time.monotonic()
            keys = list({*keys, *(key for key, entry in self.infra.entries.items() if _machine_to_read(entry))})
            self._poll_at = 0.0
        if not keys or self.running("read"):
            return
        if now < self._poll_at:
            yield self._poll_at
            return
        self._poll_pause = min(self._poll_pause * 1.5, POLL_LONGEST)
        self._poll_at = now + self._poll_pause
        self.single("read", self.ledger.read(keys))

    # --- records -------------------------------------------------------------------------------------------

    def put_vm(self, vm: VM) -> None:
        """Replace a machine's record; tells the world if its state changed."""
        states = self.infra.vm_states()
        before = states.get(vm.number)
        self.infra.put(vm)
        now = vm.state()
        if now != before:
            self.infra.emit("state", vm=vm.number, state=now.value)
            self.announce_state()
        if not vm.settling:
            self.settling.discard(vm.number)
        self.powering.changed(vm)
        self.configuring.changed(vm)

    def announce_state(self) -> None:
        """Emit an event if the aggregated state changed."""
        state = self.infra.state()
        if state != self.infra.announced:
            self.infra.announced = state
            self.infra.emit("state", state=state.value)

    def put_entry(self, entry: Entry) -> None:
        """Replace a line of the ledger, and pass on what it means to the machines."""
        before = self.infra.entries.get(entry.key)
        self.infra.put(entry)
        if before is None or before.owners != entry.owners:
            self.graph.added(entry.key)
        self.graph.changed(entry.key)
        if entry.sweep_at:
            self._sweeps.add(entry.key)
        if before is not None and before.status != entry.status:
            self._poll_pause, self._poll_at = POLL_FIRST, 0.0
        if len(entry.owners) == 1 and (
            before is None
            or (before.status, before.phase, before.attributes) != (entry.status, entry.phase, entry.attributes)
        ):
            self._machine_facts(next(iter(entry.owners)))

    def drop_entry(self, entry: Entry) -> None:
        """Remove a line: its resource is certainly gone, or was never made."""
        self.infra.drop(entry)
        self.graph.dropped(entry)
        for owner in entry.owners:
            vm = self.infra.vms.get(owner)
            if vm is not None and not vm.wanted and vm.alive:
                self._bury(vm)
        if not self.launching.idle:
            self.launching.attend()

    def _machine_facts(self, number: int) -> None:
        """Bring a machine's record up to date with the resources that are its own."""
        vm = self.infra.vms.get(number)
        if vm is None or not vm.alive:
            return
        facts: dict[str, Any] = dict(vm.planned)
        launched, phase = vm.launched, vm.phase
        for entry in self.graph.own(number):
            if entry.present:
                facts.update(entry.attributes.get("facts", {}))
                if entry.machine == number:
                    launched, phase = True, entry.phase
                    facts["instance_id"] = entry.provider_id
        if (facts, launched, phase) != (vm.facts, vm.launched, vm.phase):
            self.put_vm(replace(vm, facts=facts, launched=launched, phase=phase))
            if launched and not vm.launched:
                self.observe_launched(number, "")

    def give_up(self, number: int) -> None:
        """The launch of a machine has failed for good (in this generation)."""
        vm = self.infra.vms.get(number)
        if vm is None or vm.failure or not vm.alive or not vm.wanted:
            return
        text = "\n".join(vm.attempts)
        failure = (
            f"Error launching the VMs of type {vm.system} to cloud ID {vm.cloud} of type {vm.cloud_type}. {text}"
            if vm.cloud
            else text
        )
        self.put_vm(replace(vm, failure=failure))
        self.infra.log(failure + "\n", number)
        self.graph.machine_changed(number)
        self.observe_launched(number, failure)

    def _bury(self, vm: VM) -> None:
        """A machine nobody wants is destroyed once nothing of its own is left."""
        if not self.graph.own(vm.number):
            self.put_vm(replace(vm, destroyed=True))

    # --- clouds --------------------------------------------------------------------------------------------

    def account(self, name: str) -> Account:
        """The account behind a credential id. Raises `IMError` if there is no (usable) credential."""
        return self.engine.clouds.account(self.credential(name))

    def credential(self, name: str) -> Credential:
        """The stored credential of that id."""
        for credential in self.engine.vault.credentials(self.infra):
            if credential.id == name:
                return credential
        raise CloudError(f"No auth data for cloud with ID: {name}")

    def late(self, entry: Entry, answer: Observation | None) -> None:
        """An answer to a call that was given up: whatever it made is entered in the ledger."""
        if answer is not None and answer.phase != Phase.ABSENT:
            self.engine.late(self.infra.id, entry, answer)

    def take_late_answer(self, entry: Entry, answer: Observation) -> None:
        """Have a late answer looked at."""
        self._late.append((entry, answer))
        self.wake()

    def _take_late(self) -> None:
        late, self._late = self._late, []
        for entry, answer in late:
            if entry.key in self.graph.busy:
                self._late.append((entry, answer))
            else:
                self.ledger.made(entry, answer)

    def unreadable(self, entries: Sequence[Entry], error: IMError) -> None:
        """A bulk read failed: states are kept for a while, then unknown."""
        account = entries[0].account
        self._unreadable[account] = failures = self._unreadable.get(account, 0) + 1
        logger.warning("infrastructure %s: cannot read %d resources: %s", self.infra.id, len(entries), error)
        give_up = self.infra.force and failures >= self.engine.options.max_vm_fails
        overdue = time.monotonic() - self.infra.answered_at > self.engine.options.grace_period
        for entry in entries:
            current = self.infra.entries.get(entry.key)
            if current is None:
                continue
            if give_up and current.status == Status.DELETING:
                reason = f"{entry.kind} {entry.name} may still exist: {error}"
                self.put_entry(replace(current, status=Status.LOST, error=reason, owners=frozenset()))
            elif overdue and current.machine is not None and current.status == Status.READY:
                self.put_entry(replace(current, phase=Phase.UNKNOWN, error=str(error)))

    def readable(self, entries: Sequence[Entry]) -> None:
        """A bulk read succeeded."""
        self._unreadable.pop(entries[0].account, None)
        self.infra.answered_at = time.monotonic()

    # --- operations ----------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Settle the requests whose outcome is known by now."""
        for operation in list(self.infra.operations.values()):
            outcome = self._outcome(operation)
            if outcome is not None:
                self.finish(operation, outcome)
        if self.infra.wanted or self.infra.deleted:
            return
        if self.graph.busy or self.graph.deletable:
            return
        remaining = [entry for entry in self.infra.entries.values() if entry.status != Status.LOST]
        lost = len(self.infra.entries) - len(remaining)
        if not remaining and not self._busy_configuring() and (not lost or self.infra.force):
            for vm in list(self.infra.alive()):
                self.put_vm(replace(vm, destroyed=True))
            self.infra.deleted = True
            self.engine.vault.forget(self.infra, keep=bool(lost))
            self.infra.touch()
            self.infra.emit("deleted", left=[entry.error for entry in self.infra.entries.values()])
            for operation in list(self.infra.operations.values()):
                gone = operation.kind in (OperationKind.DESTROY, OperationKind.REMOVE)
                self.finish(operation, "" if gone else "Deleted infrastructure.")

    def _busy_configuring(self) -> bool:
        return self.running("configure") or bool(self.infra.runs)

    def _outcome(self, operation: Operation) -> str | None:
        """None while it is open, empty text if it succeeded, else what went wrong."""
        vms = self.infra.vms
        match operation.kind:
            case OperationKind.LAUNCH:
                if not self.settling.isdisjoint(operation.vms):
                    return None
                failures = [vms[number].failure for number in operation.vms if vms[number].failure]
                if failures and len(failures) == len(operation.vms):
                    self.launching.all_failed(operation)
                    return "\n".join(dict.fromkeys(failures))
                return ""
            case OperationKind.REMOVE:
                if all(vms[number].destroyed for number in operation.vms):
                    return ""
                return self._stuck(operation)
            case OperationKind.DESTROY:
                return self._stuck(operation)
        return None

    def _stuck(self, operation: Operation) -> str | None:
        """What cannot be deleted although it was tried as often as it should be, once all else has been tried."""
        if self.graph.busy:
            return None
        survivors = []
        for entry in self.infra.entries.values():
            if entry.status == Status.LOST:
                survivors.append(entry.error)
            elif (
                entry.status in (Status.DELETING, Status.INTENDED)
                and entry.attempts >= self.engine.options.max_vm_fails
            ):
                survivors.append(f"{entry.kind} {entry.name}: {entry.error}")
            elif (
                entry.key in self.graph.deletable
                or entry.key in self.graph.unsettled
                or entry.key in self.graph.uncertain
            ):
                return None
        if not survivors or (self.infra.force and operation.kind == OperationKind.DESTROY):
            return None
        return "; ".join(survivors)

    def finish(self, operation: Operation, error: str) -> None:
        """Close a request and tell whoever waits for it, once that is stored."""
        self.infra.drop(operation)
        self.infra.emit("operation", operation=operation.kind, id=operation.id, error=error)
        if error:
            self.infra.log(error)
        self._start(self._tell(operation.id, error))

    async def _tell(self, id: str, error: str) -> None:
        await self.save()
        self.engine.settle(id, error)

    # --- storing -------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Return when all that was changed so far is stored for good."""
        await self.engine.repository.save(self.infra)

    def _keep_saving(self) -> None:
        if self._saving is None and self.infra.pending:
            self._saving = asyncio.get_running_loop().create_task(self.save())
            self._saving.add_done_callback(self._saved)

    def _saved(self, task: asyncio.Task[None]) -> None:
        self._saving = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("infrastructure %s: %s", self.infra.id, error)
        self._changed.set()

    # --- hooks ---------------------------------------------------------------------------------------------

    def summary(self) -> InfrastructureSummary:
        """What hooks may know of the infrastructure."""
        infra = self.infra
        return InfrastructureSummary(infra.id, infra.name, infra.owner_names, infra.state())

    def machine(self, number: int) -> MachineSummary:
        """What hooks may know of a machine."""
        vm = self.infra.vms[number]
        facts = {name: value for name, value in vm.facts.items() if "credentials" not in name}
        return MachineSummary(number, vm.system, vm.cloud, vm.state(), vm.image, vm.flavour, facts)

    def observe_launch(self, number: int) -> None:
        """Tell hooks that a machine is about to be made."""
        hooks = self.engine.hooks
        if hooks.active("imframework_before_launch"):
            hooks.observe("imframework_before_launch", infrastructure=self.summary(), machine=self.machine(number))

    def observe_launched(self, number: int, error: str) -> None:
        """Tell hooks how a launch ended."""
        hooks = self.engine.hooks
        if hooks.active("imframework_after_launch"):
            hooks.observe(
                "imframework_after_launch", infrastructure=self.summary(), machine=self.machine(number), error=error
            )

    def observe_events(self, events: Sequence[Event]) -> None:
        """Tell hooks what is now stored as having happened."""
        hooks = self.engine.hooks
        if hooks.active("imframework_event"):
            summary = self.summary()
            for event in events:
                hooks.observe("imframework_event", infrastructure=summary, event=event)


def _machine_to_read(entry: Entry) -> bool:
    return entry.machine is not None and entry.status == Status.READY and bool(entry.provider_id)
