"""Altering machines: their definition as a level.

A machine is ASKED to have another definition. Its cloud plans anew with that, and the difference between the plans
before and after is entered in the ledger: things to be made, to be updated, to be deleted. From then on it is CHANGING,
and the ledger does the rest. What of this is refused for good ends the alteration: it is RETURNING, and the ledger is
made to say again what it said before. All of that is on record, with what it takes to return, so that a crash changes
nothing.

Nothing is configured afterwards: that is for the user to ask for.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imframework.api.errors import (
    CloudError,
    CloudRefused,
    IMError,
    NoCandidate,
    NotFound,
    NotSupported,
    PluginUnavailable,
    Vetoed,
)
from imframework.api.model import Phase, Resource
from imframework.core import planning
from imframework.core.definitions import SIZE
from imframework.core.entities import VM, Alteration, DocumentText, Entry, OperationKind, Status
from imframework.core.launching import Launching, lot_of
from imframework.core.ledger import Ledger
from imframework.core.operations import Operations
from imframework.core.planning import Choice, Lot
from imframework.core.workbench import Workbench
from imframework.languages.radl import System

#: The fields of a machine's record that change with its definition.
_PLACEMENT = ("definition", "image", "flavour", "price", "why", "planned")


@dataclass(frozen=True, slots=True)
class _Change:
    """What an alteration comes to: fields of the machine's record, and the plans without and with it."""

    placement: Mapping[str, Any]
    before: Mapping[str, Resource]
    after: Mapping[str, Resource]


class Altering:
    """Alters machines of one infrastructure."""

    def __init__(self, bench: Workbench, ledger: Ledger, launching: Launching, operations: Operations) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._ledger = ledger
        self._launching = launching
        self._operations = operations
        self._failures: dict[int, int] = {}
        self._retry_at = 0.0
        self._blocked: set[int] = set()  #: plans that wait for something of the same name to be gone
        self._altered: set[int] = set()
        bench.on_vm.append(self.changed)
        bench.on_drop.append(lambda entry: self._blocked.clear())
        bench.on_entry.append(self._entry_changed)

    def attend(self) -> None:
        """Look which machines are to be altered."""
        self._altered = {vm.number for vm in self._infra.vms.values() if vm.alteration}

    def changed(self, vm: VM) -> None:
        """A machine's record changed."""
        (self._altered.add if vm.alteration else self._altered.discard)(vm.number)

    def _entry_changed(self, before: Entry | None, entry: Entry) -> None:
        if self._is_stuck(entry):
            self._blocked.clear()

    def decide(self, now: float) -> Iterable[float]:
        """Take the next step with each machine that is to be altered, and settle the requests that are met."""
        for number in sorted(self._altered):
            vm = self._infra.vms[number]
            if not vm.wanted or not vm.alive or vm.failure:
                self._abandon(vm)
            elif vm.alteration == Alteration.ASKED:
                yield from self._begin(vm, now)
            elif not self._is_busy(vm.number):
                self._go_on(vm)
        for operation in list(self._infra.operations.values()):
            if operation.kind == OperationKind.ALTER and not self._infra.vms[operation.vms[0]].alteration:
                self._operations.finish(operation, None)

    # --- asked ---------------------------------------------------------------------------------------------

    def _begin(self, vm: VM, now: float) -> Iterable[float]:
        """Have it planned, unless something has to come to its end first."""
        if vm.settling or vm.number in self._blocked or self._bench.activities.running("plan"):
            return
        if self._is_configured_now(vm.number):
            return
        if now < self._retry_at:
            yield self._retry_at
        else:
            self._bench.activities.single("plan", lambda: self._plan(vm.number))

    async def _plan(self, number: int) -> None:
        await self._bench.save()  # what has been asked for may turn out not to be stored
        vm = self._infra.vms[number]
        try:
            change = await self._planned(vm)
            current = self._infra.vms[number]
            if self._is_asked(current, vm) and not self._is_blocked(current, change):
                self._enter(current, change)
                self._failures.pop(number, None)
        except IMError as error:
            if self._is_asked(self._infra.vms[number], vm):
                self._not_planned(number, error)

    @staticmethod
    def _is_asked(vm: VM, before: VM) -> bool:
        """Whether a machine is still to get the definition that it was to get before."""
        return (vm.alteration, vm.definition_wanted) == (Alteration.ASKED, before.definition_wanted)

    def _not_planned(self, number: int, error: IMError) -> None:
        failures = self._failures[number] = self._failures.get(number, 0) + 1
        if error.retryable and failures < self._bench.options.max_vm_fails:
            self._retry_at = time.time() + self._bench.options.retry_delay
        else:
            self._end(self._infra.vms[number], error)

    async def _planned(self, vm: VM) -> _Change:
        """What the machine's cloud makes of its new definition.

        Raises:
            CloudError: that it cannot be, or why.
        """
        bench = self._bench
        if vm.foreign:
            raise NotSupported("it was made by another manager, and nothing is known of its parts.")
        account = bench.account(vm.cloud)
        can = next((item for item in await account.capabilities() if item.feature == "alter"), None)
        if can is None or not can.supported:
            reason = f": {can.reason}" if can is not None and can.reason else ""
            raise NotSupported(f"{account.type} cannot alter machines{reason}.")
        placement: dict[str, Any] = {"definition": vm.definition_wanted}
        if (choice := await self._choice(vm)) is not None:
            chosen = self._launching.placement(choice)
            placement |= {name: chosen[name] for name in _PLACEMENT if name in chosen}
        altered = replace(vm, **placement)
        await self._launching.approve([altered])
        before = _by_key(await self._launching.resources(vm.cloud, ()))
        after = _by_key(await self._launching.resources(vm.cloud, (altered,)))
        for key, resource in after.items():
            changes = resource.machine == vm.number and key in before and resource.spec != before[key].spec
            if changes and not account.kind(resource.kind).updatable:
                raise NotSupported(f"{account.type} cannot change a {resource.kind}.")
        return _Change(placement, before, after)

    async def _choice(self, vm: VM) -> Choice | None:
        """The size that its cloud chooses for it, with the image it has; None if it has that size.

        Raises:
            NoCandidate: the cloud cannot realise such a machine.
        """
        bench, defaults = self._bench, self._bench.options.defaults
        former, wanted = self._lot(vm, vm.definition), self._lot(vm, vm.definition_wanted)
        same = _asked(former.system) == _asked(wanted.system)
        wanted.system.features.discard("disk.0.image.url")
        wanted.system.set("disk.0.image.url", vm.image)
        answers = await bench.account(vm.cloud).candidates(planning.requested(wanted.system, defaults))
        best = planning.best(wanted.system, answers)
        if isinstance(best, NoCandidate):
            raise best
        choice = Choice(vm.cloud, best.candidate)
        planned = self._launching.placement(choice)["planned"]
        # Another price is no other size.
        return None if same or all(planned.get(name) == vm.planned.get(name) for name in SIZE) else choice

    def _lot(self, vm: VM, definition: str) -> Lot:
        return lot_of(self._infra.documents[definition].text, vm.cloud_forced, (vm.number,))

    def _is_blocked(self, vm: VM, change: _Change) -> bool:
        """Whether something on its way out has the place of something that is planned.

        Raises:
            CloudError: it does not go away.
        """
        mine = [resource for resource in change.after.values() if vm.number in resource.owners]
        for entry in self._launching.obstacles(vm.cloud, mine):
            self._blocked.add(vm.number)
            if self._is_stuck(entry):
                raise CloudError(f"{entry.kind} {entry.name} is still to be deleted: {entry.error}")
        return vm.number in self._blocked

    def _enter(self, vm: VM, change: _Change) -> None:
        """Put the difference between the plans into the ledger, and with it what it takes to return."""
        infra, number = self._infra, vm.number
        account = self._bench.account(vm.cloud)
        kept: dict[str, Any] = {}
        added: list[str] = []
        left: dict[str, Any] = {}
        for key, resource in change.after.items():
            if number not in resource.owners:
                continue
            fresh = Entry.planned(vm.cloud, resource, uuid.uuid4().hex, infra.generation)
            present, former = infra.entries.get(fresh.key), change.before.get(key)
            if present is None or (present.status == Status.FAILED and not present.provider_id):
                infra.put(fresh)
                added.append(fresh.key)
            elif former is None or number not in former.owners:
                infra.put(replace(present, owners=present.owners | {number}, left=None))
                added.append(fresh.key)
            elif (former.spec, former.depends_on) != (resource.spec, resource.depends_on):
                updatable = account.kind(resource.kind).updatable and not resource.adopted
                if updatable:
                    kept[fresh.key] = {"spec": present.spec, "depends_on": present.depends_on}
                    infra.put(_outdated(present, fresh.spec, fresh.depends_on))
        for key, former in change.before.items():
            entry = infra.entries.get(f"{vm.cloud}/{key}")
            if entry is None or number not in entry.owners or number not in former.owners:
                continue
            if key not in change.after or number not in change.after[key].owners:
                left[entry.key] = entry.to_row().data
                infra.put(_without(entry, number))
        record = {"vm": {name: getattr(vm, name) for name in _PLACEMENT}, "kept": kept, "added": added, "left": left}
        self._remember(number, record)
        self._bench.put_vm(replace(vm, **change.placement, alteration=Alteration.CHANGING))
        self._bench.graph.rebuild()
        self._bench.activities.wake()

    # --- changing and returning ------------------------------------------------------------------------------

    def _go_on(self, vm: VM) -> None:
        """Return if something was refused; end it when everything is as it should be.

        What should be gone and does not go is left to the ledger, which goes on trying, unless it is in the way.
        """
        record, leaving = self._record(vm.number), self._bench.graph.leaving(vm.number)
        stuck = [entry for entry in leaving if self._is_stuck(entry)]
        gone = len(stuck) == len(leaving)
        if vm.alteration == Alteration.CHANGING:
            if vm.alteration_error:
                self._return(vm, record)
            elif self._is_done(vm, (*record["kept"], *record["added"])):
                if gone:
                    self._finish(vm)
            elif stuck:
                self._bench.refuse_alteration(vm.number, f"{stuck[0].kind} {stuck[0].name}: {stuck[0].error}")
                self._return(self._infra.vms[vm.number], record)
        elif record["left"] and self._restore(vm.number, record):
            self._bench.graph.rebuild()
            self._bench.activities.wake()
        elif gone and not record["left"] and self._is_done(vm, (*record["kept"], *record["restored"])):
            self._finish(vm)
        elif any(self._is_hard(entry) for entry in self._entries(record["kept"])):
            self._tell(vm, CloudError(vm.alteration_error))  # it goes on, but nobody should wait for that

    def _is_done(self, vm: VM, keys: Iterable[str]) -> bool:
        """Whether what was entered is as it should be, and the machine is on or off as it should be."""
        for entry in self._entries(keys):
            if entry.outdated or entry.status not in (Status.READY, Status.FAILED):
                return False
        machine = self._bench.graph.machine(vm.number)
        return (
            machine is None
            or not machine.present
            or vm.phase
            not in (
                Phase.UPDATING,
                Phase.CREATING,
                Phase.STOPPED if vm.power_on else Phase.READY,
            )
        )

    def _is_stuck(self, entry: Entry) -> bool:
        """Whether it should be gone and will not go."""
        return entry.status in (Status.DELETING, Status.INTENDED) and entry.attempts >= self._bench.options.max_vm_fails

    def _is_hard(self, entry: Entry) -> bool:
        return entry.outdated and entry.attempts >= self._bench.options.max_vm_fails

    def _return(self, vm: VM, record: dict[str, Any]) -> None:
        """Have the ledger say again what it said before."""
        infra, number = self._infra, vm.number
        for key, former in record["kept"].items():
            if (entry := infra.entries.get(key)) is None:
                continue
            untouched = entry.outdated and not entry.midway
            depends_on = tuple((need, condition) for need, condition in former["depends_on"])
            back = _outdated(entry, former["spec"], depends_on)
            if untouched or entry.resolved is None:
                infra.put(replace(back, outdated=False, needed=()))
            else:
                present = Status.EXISTS if entry.status == Status.FAILED else entry.status
                phase = Phase.UPDATING if entry.status == Status.FAILED else entry.phase
                infra.put(replace(back, midway=True, status=present, phase=phase))
        for entry in self._entries(record["added"]):
            infra.put(_without(entry, number))
        record = {**record, "restored": []}
        self._bench.put_vm(replace(vm, **record["vm"], alteration=Alteration.RETURNING))
        self._infra.log(f"VM {number} cannot be altered, and returns to what it was: {vm.alteration_error}")
        self._remember(number, record)
        self._restore(number, record)
        self._bench.graph.rebuild()
        self._bench.activities.wake()

    def _restore(self, number: int, record: dict[str, Any]) -> bool:
        """Have back what was taken away, and is still there; then, anew, what is gone. Whether there was any of it."""
        infra, waiting, restored = self._infra, dict(record["left"]), list(record["restored"])
        for entry in list(self._entries(record["left"])):
            if entry.status != Status.DELETING:
                infra.put(replace(entry, owners=entry.owners | {number}, left=None))
                restored.append(entry.key)
            elif self._is_stuck(entry):
                infra.put(replace(entry, left=None))
                infra.log(f"VM {number} is without its {entry.kind} {entry.name}, which is still to be deleted.")
            else:
                continue
            del waiting[entry.key]
        if not any(True for _ in self._entries(waiting)):  # they may need each other
            for key, data in waiting.items():
                former = Entry.from_data(data)
                infra.put(former if former.adopted else _anew(former, number))
                restored.append(key)
            waiting = {}
        if progress := len(waiting) < len(record["left"]):
            self._remember(number, {**record, "left": waiting, "restored": restored})
        return progress

    # --- the end -------------------------------------------------------------------------------------------

    def _finish(self, vm: VM) -> None:
        self._bench.activities.single(f"alter/{vm.number}", lambda: self._finished(vm.number))

    async def _finished(self, number: int) -> None:
        """Have a look at the machine as it is now; then that is it."""
        machine = self._bench.graph.machine(number)
        if machine is not None:
            await self._ledger.read([machine.key])
        vm = self._infra.vms[number]
        if vm.alteration in (Alteration.CHANGING, Alteration.RETURNING):
            self._end(vm, CloudError(vm.alteration_error) if vm.alteration_error else None)

    def _abandon(self, vm: VM) -> None:
        """The machine is to go away, or has failed: what it was to become does not matter any more."""
        if not self._infra.wanted:
            self._end(vm, NotFound("Deleted infrastructure."))
        elif not vm.wanted or not vm.alive:
            self._end(vm, CloudRefused("it is being deleted."))
        else:
            self._end(vm, CloudRefused(vm.failure))

    def _end(self, vm: VM, error: IMError | None) -> None:
        """Nothing more is to be done for a machine's alteration."""
        self._tell(vm, error)
        if (record := self._infra.documents.get(_name(vm.number))) is not None:
            self._infra.drop(record)
        self._failures.pop(vm.number, None)
        self._blocked.discard(vm.number)
        self._bench.put_vm(replace(vm, definition_wanted="", alteration="", alteration_error=""))
        for entry in self._bench.graph.leaving(vm.number):  # it does not go: from now on it is nobody's
            self._infra.put(replace(entry, left=None))
        self._bench.graph.rebuild()
        if vm.alive:
            self._bench.refresh_facts(vm.number)

    def _tell(self, vm: VM, error: IMError | None) -> None:
        """Answer those who asked for it."""
        for operation in list(self._infra.operations.values()):
            if operation.kind == OperationKind.ALTER and operation.vms == (vm.number,):
                text = f"Error modifying the information about the VM {vm.number}: {error}"
                self._operations.finish(operation, _again(error, text) if error is not None else None)

    # --- records -------------------------------------------------------------------------------------------

    def _record(self, number: int) -> dict[str, Any]:
        """What it takes to return, as `_enter` has put it."""
        record: dict[str, Any] = json.loads(self._infra.documents[_name(number)].text)
        return record

    def _remember(self, number: int, record: Mapping[str, Any]) -> None:
        self._infra.put(DocumentText(_name(number), json.dumps(record)))

    def _entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        return (self._infra.entries[key] for key in keys if key in self._infra.entries)

    def _is_busy(self, number: int) -> bool:
        """Whether a call is under way for something that the alteration is about."""
        running = self._bench.activities.running
        if running("plan") or running(f"alter/{number}") or self._is_configured_now(number):
            return True
        record = self._record(number)
        return not self._bench.graph.busy.isdisjoint((*record["kept"], *record["added"], *record["left"]))

    def _is_configured_now(self, number: int) -> bool:
        """Whether a configuration is under way on a machine, which is not touched then."""
        return any(number in run.vms for run in self._infra.runs.values())


def _name(number: int) -> str:
    """The name under which it is kept what it takes to return."""
    return f"alteration/{number}"


def _by_key(resources: Sequence[Resource]) -> dict[str, Resource]:
    return {resource.key: resource for resource in resources}


def _asked(system: System) -> Mapping[str, object]:
    """What a system says about its size."""
    return {name: system.features.get(name) for name in SIZE}


def _outdated(entry: Entry, spec: Mapping[str, Any], depends_on: tuple[tuple[str, str], ...]) -> Entry:
    """A thing that is to have another spec. If it is not made yet, it will be made with that."""
    made = entry.resolved is not None
    needed = tuple(dict.fromkeys((*entry.needed, *(key for key, _ in entry.depends_on)))) if made else ()
    chances = {"attempts": 0, "error": "", "not_before": 0.0, "busy_since": 0.0}
    return replace(entry, spec=spec, depends_on=depends_on, outdated=made, needed=needed, **chances)  # type: ignore[arg-type]


def _without(entry: Entry, number: int) -> Entry:
    """A thing that a machine does not have any more."""
    owners = entry.owners - {number}
    return replace(entry, owners=owners, left=None if owners else number)


def _anew(former: Entry, number: int) -> Entry:
    """A thing that is gone, to be made again."""
    fresh = Entry(
        account=former.account,
        name_in_plan=former.name_in_plan,
        kind=former.kind,
        name=former.name,
        token=uuid.uuid4().hex,
        generation=former.generation,
    )
    return replace(
        fresh,
        spec=former.spec,
        owners=frozenset({number}),
        depends_on=former.depends_on,
        machine=former.machine,
        goes_with=former.goes_with,
    )


def _again(error: IMError, text: str) -> IMError:
    """The error with another text."""
    kind = type(error) if isinstance(error, CloudError | NotFound | PluginUnavailable | Vetoed) else CloudError
    return kind(text)
