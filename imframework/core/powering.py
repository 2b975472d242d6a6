"""Power as a level: machines that are on and should be off, and the other way round. And reboot, which is an edge.

A machine that leaves its level by itself is none of this: the level follows it (`Workbench.follow_power`). So it is on
record while something we have asked for may still switch a machine: until that has ended, the level decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from imframework.api.errors import CloudBusy, CloudError, IMError, OutcomeUnknown
from imframework.api.model import Action, Phase
from imframework.core.entities import VM, Entry, Operation, OperationKind
from imframework.core.ledger import Ledger
from imframework.core.operations import Operations
from imframework.core.workbench import Workbench

_GERUND = {OperationKind.STOP: "stopping", OperationKind.START: "starting", OperationKind.REBOOT: "rebooting"}


class Powering:
    """Turns machines on and off of one infrastructure."""

    def __init__(self, bench: Workbench, ledger: Ledger, operations: Operations) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._ledger = ledger
        self._operations = operations
        bench.on_vm.append(self.changed)
        self._wrong: set[int] = set()
        self._errors: dict[int, str] = {}
        self._running: set[int] = set()

    def attend(self) -> None:
        """Look which machines are not at the level wanted."""
        self._wrong = {vm.number for vm in self._infra.vms.values() if self._is_wrong(vm)}

    def changed(self, vm: VM) -> None:
        """A machine's record changed."""
        (self._wrong.add if self._is_wrong(vm) else self._wrong.discard)(vm.number)

    @staticmethod
    def _is_wrong(vm: VM) -> bool:
        if not (vm.wanted and vm.launched and vm.alive) or vm.failure:
            return False
        return vm.phase == (Phase.STOPPED if vm.power_on else Phase.READY)

    def decide(self) -> None:
        """Start what is needed, and settle the requests that are met."""
        for number in sorted(self._wrong - self._running):
            if len(self._running) >= self._bench.options.max_launches:
                break
            self._running.add(number)
            self._bench.activities.single(f"power/{number}", partial(self._power, number))
        for operation in list(self._infra.operations.values()):
            if operation.kind == OperationKind.REBOOT:
                self._bench.activities.single(f"reboot/{operation.id}", partial(self._reboot, operation))
            elif operation.kind in (OperationKind.START, OperationKind.STOP):
                self._settle(operation)

    def _settle(self, operation: Operation) -> None:
        vms = [self._infra.vms[number] for number in operation.vms]
        if any(self._is_open(vm) for vm in vms):
            return
        errors = [error for vm in vms if (error := self._verdict(vm, OperationKind(operation.kind)))]
        gerund = _GERUND[OperationKind(operation.kind)]
        what = f"the VM: {errors[0]}" if len(vms) == 1 and errors else f"the infrastructure: {'; '.join(errors)}"
        self._operations.finish(operation, CloudError(f"Error {gerund} {what}") if errors else None)

    def _is_open(self, vm: VM) -> bool:
        """Whether a machine may still get to where it is wanted."""
        if vm.number in self._wrong or vm.number in self._running or vm.settling or vm.alteration:
            return True
        if not vm.wanted or vm.failure or vm.phase not in (Phase.CREATING, Phase.UPDATING):
            return False
        entry = self._bench.graph.machine(vm.number)
        return entry is not None and not entry.error  # it has one if it takes too long

    def _verdict(self, vm: VM, kind: OperationKind) -> str:
        """Why a machine is not where a request wanted it; empty if it is."""
        if error := self._errors.pop(vm.number, ""):
            return error
        if not vm.wanted:
            return f"VM {vm.number} is being deleted."
        if vm.phase == (Phase.READY if kind == OperationKind.START else Phase.STOPPED):
            return ""
        if vm.phase in (Phase.READY, Phase.STOPPED):
            return f"VM {vm.number} is {vm.state()}: another request has come after this one."
        return f"VM {vm.number} is {vm.state()}."

    async def _power(self, number: int) -> None:
        """Bring one machine to its level; after the last failure the level is what the machine has."""
        bench, options = self._bench, self._bench.options
        attempt, patience = 0, time.monotonic() + options.wait_running
        pending = self._infra.vms[number].switched_at
        try:
            self._note(number, time.time())
            await bench.save()  # what has been asked for may turn out not to be stored
            while True:
                vm = self._infra.vms[number]
                if not self._is_wrong(vm) or (entry := bench.graph.machine(number)) is None:
                    break
                action, goal = (Action.START, Phase.READY) if vm.power_on else (Action.STOP, Phase.STOPPED)
                try:
                    await self._switch(number, entry, action, goal)
                    pending = 0.0
                    break
                except IMError as error:
                    await self._ledger.read([entry.key])  # it may have happened all the same
                    if self._infra.vms[number].phase == goal:
                        pending = 0.0
                        break
                    if isinstance(error, OutcomeUnknown):
                        pending = time.time()
                    if not isinstance(error, CloudBusy) or time.monotonic() > patience:
                        attempt += 1
                        self._infra.emit("power", vm=number, action=action.value, attempt=attempt, error=str(error))
                        if attempt >= options.max_vm_fails or not error.retryable:
                            self._resign(number, action, str(error))
                            break
                await asyncio.sleep(options.retry_delay)
            self._note(number, pending)
        finally:
            self._running.discard(number)

    def _resign(self, number: int, action: Action, error: str) -> None:
        """The machine stays as it is, unless somebody wants it otherwise by now."""
        vm = self._infra.vms[number]
        if vm.power_on == (action is Action.START):
            self._errors[number] = error
            self._bench.put_vm(replace(vm, power_on=not vm.power_on))

    def _note(self, number: int, instant: float) -> None:
        """Have it on record that something may be switching a machine since an instant (0: nothing is)."""
        vm = self._infra.vms[number]
        if vm.switched_at != instant:
            self._bench.put_vm(replace(vm, switched_at=instant))

    async def _switch(self, number: int, entry: Entry, action: Action, goal: Phase) -> None:
        """Have a machine switched, and see it done.

        Raises:
            OutcomeUnknown: it may still happen.
            IMError: it will not.
        """
        await self._bench.account(entry.account).act(entry.handle(self._infra.entries), action)
        await self._reached(number, goal)

    async def _reached(self, number: int, goal: Phase) -> None:
        """Wait until a machine is in a phase, or not wanted any more. Raises `OutcomeUnknown` if it takes too long."""
        pause = 0.02
        deadline = time.monotonic() + self._bench.options.wait_running
        while (entry := self._bench.graph.machine(number)) is not None:
            await self._ledger.read([entry.key])
            vm = self._infra.vms[number]
            if vm.phase == goal or not vm.wanted:
                return
            if time.monotonic() > deadline:
                raise OutcomeUnknown(f"{entry.name} is still {vm.phase}")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5.0)

    async def _reboot(self, operation: Operation) -> None:
        """Reboot once: an attempt that a crash interrupted is reported, never repeated."""
        bench = self._bench
        (number,) = operation.vms
        vm, entry = self._infra.vms[number], bench.graph.machine(number)
        if operation.attempted:
            error = "The service was restarted while the VM was being rebooted; whether it was is not known."
        elif entry is None or vm.phase != Phase.READY or not vm.wanted:
            error = f"VM {number} is not running."
        else:
            bench.infra.put(replace(operation, attempted=True))
            self._note(number, time.time())
            await bench.save()
            error = await self._rebooted(number, entry)
        current = self._infra.operations.get(operation.id)
        if current is not None:
            self._operations.finish(current, CloudError(f"Error rebooting the VM: {error}") if error else None)

    async def _rebooted(self, number: int, entry: Entry) -> str:
        try:
            await self._switch(number, entry, Action.REBOOT, Phase.READY)
        except OutcomeUnknown as error:
            return str(error)
        except IMError as error:
            self._note(number, 0.0)
            return str(error)
        self._note(number, 0.0)
        return "" if self._infra.vms[number].wanted else f"VM {number} is being deleted."


def affected(vms: Iterable[VM]) -> tuple[int, ...]:
    """The machines of these that power can be applied to."""
    return tuple(vm.number for vm in vms if vm.wanted and vm.alive and not vm.failure)
