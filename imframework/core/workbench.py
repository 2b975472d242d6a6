"""What the activities of one infrastructure share: its records with what they mean to each other, and the tools.

Changing a record here has its consequences drawn at once: the graph is brought up to date, a machine learns the facts
of its resources, changes of state become events, and whoever keeps books of its own (`on_vm`, `on_drop`) is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from imframework.api.errors import CloudError
from imframework.api.hooks import InfrastructureSummary, MachineSummary
from imframework.api.model import Credential, Observation, Phase
from imframework.core.abandoned import Abandoned
from imframework.core.activities import Activities
from imframework.core.clouds import Account, Clouds
from imframework.core.entities import VM, Entry, OperationKind, Secret
from imframework.core.graph import Graph
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.options import EngineOptions
from imframework.core.ports import Configurator, Hooks
from imframework.core.repository import Repository

#: What a machine is switched by.
_SWITCHING = (OperationKind.START, OperationKind.STOP, OperationKind.REBOOT, OperationKind.ALTER)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the engine hands to every workbench."""

    repository: Repository
    clouds: Clouds
    configurator: Configurator
    keyring: Keyring
    options: EngineOptions
    hooks: Hooks
    late: Callable[[str, Entry, Observation | None], None]  #: a call that was given up has answered after all
    abandoned: Abandoned = field(default_factory=Abandoned)


class Workbench:
    """The records of one infrastructure under work."""

    def __init__(self, infra: Infrastructure, tools: Tools, activities: Activities) -> None:
        self.infra = infra
        self.tools = tools
        self.options = tools.options
        self.keyring = tools.keyring
        self.activities = activities
        self.graph = Graph(infra)
        self._accounts: dict[str, Account] = {}
        self._accounts_of: Secret | None = None  #: the credentials that these are of
        self.on_vm: list[Callable[[VM], None]] = []
        self.on_entry: list[Callable[[Entry | None, Entry], None]] = []
        self.on_drop: list[Callable[[Entry], None]] = []
        self.vetoed: set[int] = set()  #: machines whose launch a hook has refused
        self.settling: set[int] = set()  #: machines whose launch has neither succeeded nor been given up

    def attend(self) -> None:
        """The levels were changed from outside: look at everything again."""
        self.graph.rebuild()
        self.settling = {vm.number for vm in self.infra.vms.values() if vm.settling}
        for vm in list(self.infra.vms.values()):
            self.bury(vm)

    # --- records -------------------------------------------------------------------------------------------

    def put_vm(self, vm: VM) -> None:
        """Replace a machine's record."""
        self.infra.put(vm)
        if not vm.settling:
            self.settling.discard(vm.number)
        for listener in self.on_vm:
            listener(vm)

    def put_entry(self, entry: Entry) -> None:
        """Replace a line of the ledger, and pass on what it means to the machines."""
        before = self.infra.entries.get(entry.key)
        self.infra.put(entry)
        if before is None or before.owners != entry.owners:
            self.graph.added(entry.key)
        elif before.needed and not entry.needed:
            self.graph.updated(before)
        self.graph.changed(entry.key)
        for listener in self.on_entry:
            listener(before, entry)
        if len(entry.owners) == 1 and (
            before is None
            or (before.status, before.phase, before.attributes) != (entry.status, entry.phase, entry.attributes)
        ):
            self.refresh_facts(next(iter(entry.owners)))

    def drop_entry(self, entry: Entry) -> None:
        """Remove a line: its resource is certainly gone, or was never made."""
        self.infra.drop(entry)
        self.graph.dropped(entry)
        for owner in entry.owners:
            if (vm := self.infra.vms.get(owner)) is not None:
                self.bury(vm)
        for listener in self.on_drop:
            listener(entry)

    def refresh_facts(self, number: int) -> None:
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
                    if (access := entry.access()) is not None:
                        facts["ssh.port"] = access.port
                        facts |= {"ssh.host_key": access.host_key} if access.host_key else {}
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

    def refuse_alteration(self, number: int, error: str) -> None:
        """A part of a machine's alteration is not to be had: nothing more of it is done."""
        vm = self.infra.vms[number]
        if not vm.alteration_error:
            self.put_vm(replace(vm, alteration_error=error))
            self.graph.machine_changed(number)

    def follow_power(self, entry: Entry, phase: Phase) -> None:
        """If a machine has left its power level without our doing, that is its level from now on, until somebody asks.

        What we have asked for is our doing until it has ended, and so is what a crash has interrupted.
        """
        vm = self.infra.vms.get(entry.machine) if entry.machine is not None else None
        if vm is None or not vm.wanted or vm.alteration or entry.outdated:
            return
        level, other = (Phase.READY, Phase.STOPPED) if vm.power_on else (Phase.STOPPED, Phase.READY)
        if phase != other or entry.phase not in (level, Phase.UNKNOWN) or self._may_be_switching(vm):
            return
        found = "stopped" if vm.power_on else "running"
        self.infra.emit("drift", resource=entry.name_in_plan, kind=entry.kind, found=found)
        self.infra.log(f"{entry.kind} {entry.name} is {found}, which nobody has asked us for. It is left so.")
        self.put_vm(replace(vm, power_on=not vm.power_on))

    def _may_be_switching(self, vm: VM) -> bool:
        """Whether something that we were asked for may be switching a machine now."""
        return time.time() < vm.switched_at + self.options.wait_running or any(
            operation.kind in _SWITCHING and vm.number in operation.vms for operation in self.infra.operations.values()
        )

    def unwant(self, number: int) -> None:
        """A machine is to go away again."""
        self.put_vm(replace(self.infra.vms[number], wanted=False))
        self.graph.machine_changed(number)
        self.bury(self.infra.vms[number])

    def bury(self, vm: VM) -> None:
        """A machine nobody wants is destroyed once nothing of its own is left."""
        if not vm.wanted and vm.alive and not self.graph.own(vm.number):
            self.put_vm(replace(vm, destroyed=True))

    async def save(self) -> None:
        """Return when all that was changed so far is stored for good."""
        await self.tools.repository.save(self.infra)

    # --- clouds --------------------------------------------------------------------------------------------

    def account(self, name: str) -> Account:
        """The account behind a credential id. Raises `IMError` if there is no (usable) credential."""
        credentials = self.keyring.sealed_credentials(self.infra)
        if self._accounts_of is not credentials:
            self._accounts_of, self._accounts = credentials, {}
        if (account := self._accounts.get(name)) is None:
            account = self._accounts[name] = self.tools.clouds.account(self.credential(name))
        return account

    def credential(self, name: str) -> Credential:
        """The stored credential of that id."""
        for credential in self.keyring.credentials(self.infra):
            if credential.id == name:
                return credential
        raise CloudError(f"No auth data for cloud with ID: {name}")

    def late(self, entry: Entry, answer: Observation | None) -> None:
        """A call that was given up has ended: whatever it made is to be entered in the ledger."""
        self.tools.abandoned.ended(self.infra.id, entry.key)
        self.tools.late(self.infra.id, entry, answer)

    # --- hooks ---------------------------------------------------------------------------------------------

    def summary(self) -> InfrastructureSummary:
        """What hooks may know of the infrastructure."""
        return summary(self.infra)

    def machine(self, number: int) -> MachineSummary:
        """What hooks may know of a machine."""
        vm = self.infra.vms[number]
        facts = {name: value for name, value in vm.facts.items() if "credentials" not in name}
        return MachineSummary(number, vm.system, vm.cloud, vm.state(), vm.image, vm.flavour, facts)

    def observe_launch(self, number: int) -> None:
        """Tell hooks that a machine is about to be made."""
        hooks = self.tools.hooks
        if hooks.active("imframework_before_launch"):
            hooks.observe("imframework_before_launch", infrastructure=self.summary(), machine=self.machine(number))

    def observe_launched(self, number: int, error: str) -> None:
        """Tell hooks how a launch ended."""
        hooks = self.tools.hooks
        if hooks.active("imframework_after_launch"):
            hooks.observe(
                "imframework_after_launch", infrastructure=self.summary(), machine=self.machine(number), error=error
            )


def summary(infra: Infrastructure) -> InfrastructureSummary:
    """What hooks may know of an infrastructure."""
    return InfrastructureSummary(infra.id, infra.name, infra.owner_names, infra.state())
