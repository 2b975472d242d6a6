"""What requests change of an infrastructure: its documents, and the levels wanted of its machines.

Everything here happens in memory and at once; storing it and waking the engine is left to the caller, so that the same
change can be tried on a copy (`core/plans.py`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imframework.api.errors import Conflict, InvalidRequest
from imframework.core import definitions
from imframework.core.entities import VM, Alteration, DocumentText, Operation, OperationKind
from imframework.core.infrastructure import Infrastructure
from imframework.core.reading import Reading
from imframework.languages import radl

#: Most machines that one request may ask for, and that an infrastructure may have.
MAX_MACHINES = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """Machines that a change adds, removes, and has configured again."""

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    configured: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.configured)


def apply(infra: Infrastructure, read: Reading, *, context: bool, creates: bool = False) -> Change:
    """Make an infrastructure what a document says: machines added and removed, the others configured again.

    If machines come or go, all the others are configured again, as their recipes may be about those; else only those
    whose recipes have changed. Without `context` nobody is.

    Raises:
        InvalidRequest: too many machines.
    """
    check_number(sum(deploy.count for deploy in read.whole.deploys), sum(1 for _ in infra.alive()))
    deploys = [deploy for deploy in read.whole.deploys if deploy.count]
    removals = read.removals or {}
    keep(infra, read)
    if deploys or removals:
        infra.generation += 0 if creates else 1
        again = list(infra.vms)
    else:
        touched = infra.vms.values() if read.touched is None else _of(infra, read.touched)
        again = [vm.number for vm in touched]
    if removals:
        remove(infra, removals)
    if context and (deploys or again):
        infra.config_generation += 1
    configured = configure_again(infra, again) if context else ()
    added = _launch(infra, read.whole, deploys, infra.config_generation if context else 0)
    infra.touch()
    return Change(added, tuple(removals), configured)


def _of(infra: Infrastructure, systems: Iterable[str]) -> list[VM]:
    wanted = set(systems)
    return [vm for vm in infra.vms.values() if vm.system in wanted]


def keep(infra: Infrastructure, read: Reading) -> None:
    """Have a document as that of the infrastructure."""
    for record in (DocumentText("radl", read.text), DocumentText("tosca", read.template)):
        if record.text and infra.documents.get(record.name) != record:
            infra.put(record)
    infra.name = read.whole.name or infra.name
    infra.title = read.title or infra.title


def _launch(
    infra: Infrastructure, document: radl.Document, deploys: Iterable[radl.Deploy], config_wanted: int
) -> tuple[int, ...]:
    """Enter the machines that deploys ask for."""
    numbers = []
    now = time.time()
    for deploy in deploys:
        definition = definitions.text_of(document, deploy.system)
        if definition.name not in infra.documents:
            infra.put(definition)
        for _ in range(deploy.count):
            numbers.append(infra.next_vm)
            infra.put(
                VM(
                    number=infra.next_vm,
                    system=deploy.system,
                    definition=definition.name,
                    generation=infra.generation,
                    created=now,
                    config_wanted=config_wanted,
                    cloud_forced=deploy.cloud or "",
                )
            )
            infra.next_vm += 1
    return tuple(numbers)


def remove(infra: Infrastructure, numbers: Iterable[int]) -> None:
    """Want machines no longer, and give what could not be deleted so far a new chance."""
    for number in numbers:
        infra.put(replace(infra.vms[number], wanted=False))
    forgive(infra)


def forgive(infra: Infrastructure) -> None:
    """A new request is a new chance for whatever could not be deleted so far."""
    for entry in list(infra.entries.values()):
        if entry.attempts or entry.not_before:
            infra.put(replace(entry, attempts=0, not_before=0.0, busy_since=0.0, generation=infra.generation))


def configure_again(infra: Infrastructure, numbers: Iterable[int]) -> tuple[int, ...]:
    """Want machines configured in the present generation; those of them for which that makes sense."""
    found = []
    for number in numbers:
        vm = infra.vms[number]
        if vm.wanted and vm.alive and not vm.failure:
            infra.put(replace(vm, config_wanted=infra.config_generation))
            found.append(number)
    return tuple(found)


def supersede_runs(infra: Infrastructure, numbers: Iterable[int]) -> None:
    """End the configuration in progress of machines that are to be configured anew."""
    concerned = set(numbers)
    for run in list(infra.runs.values()):
        if not concerned.isdisjoint(run.vms):
            infra.put(replace(run, superseded=True))
            infra.log("The configuration in progress is ended: a new one is asked for.")


def alter(infra: Infrastructure, number: int, definition: DocumentText) -> Operation | None:
    """Want a machine to have another definition; None if it has that.

    Raises:
        Conflict: another one is wanted of it already.
    """
    vm = infra.vms[number]
    if vm.alteration and (vm.alteration == Alteration.RETURNING or vm.definition_wanted != definition.name):
        raise Conflict(f"Error modifying the information about the VM {number}: another change of it is under way.")
    if not vm.alteration:
        if vm.definition == definition.name:
            return None
        if definition.name not in infra.documents:
            infra.put(definition)
        infra.put(replace(vm, definition_wanted=definition.name, alteration=Alteration.ASKED, alteration_error=""))
    return operation(infra, OperationKind.ALTER, [number])


def operation(
    infra: Infrastructure,
    kind: OperationKind,
    vms: Sequence[int],
    *,
    creates: bool = False,
    force: bool = False,
    **about: Any,
) -> Operation:
    """Enter a request whose outcome is awaited; `about` are further fields of its record."""
    record = Operation(
        id=uuid.uuid4().hex,
        kind=kind,
        created=time.time(),
        generation=infra.generation,
        vms=tuple(vms),
        creates=creates,
        force=force,
        **about,
    )
    infra.put(record)
    infra.emit("operation", operation=record.kind, id=record.id, status="begun", vms=list(record.vms))
    infra.due = time.time()
    infra.touch()
    return record


def operations(infra: Infrastructure, change: Change, *, creates: bool = False) -> list[Operation]:
    """Enter what is awaited of a change: that machines are there, and that others are gone."""
    entered = []
    if change.removed:
        entered.append(operation(infra, OperationKind.REMOVE, change.removed))
    if change.added:
        entered.append(operation(infra, OperationKind.LAUNCH, change.added, creates=creates))
    return entered


def check_number(asked: int, present: int = 0) -> None:
    """Refuse more machines than an infrastructure can have."""
    if asked + present > MAX_MACHINES:
        raise InvalidRequest(f"An infrastructure can have at most {MAX_MACHINES} machines; {asked} are asked for.")
