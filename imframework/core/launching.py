"""Planning as an activity: machines without a cloud get one, and the ledger the resources they need.

The outcome is stored in one commit before anything is made, and never worked out again for the same machines: after a
crash the resources in the ledger are the plan.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imframework.api.errors import CloudError, CloudRefused, IMError, Vetoed
from imframework.api.model import Candidate, Machine, Resource
from imframework.core import callbacks, planning
from imframework.core.documents import parsed
from imframework.core.entities import VM, Entry, Status
from imframework.core.planning import Choice, Lot
from imframework.core.workbench import Workbench
from imframework.languages import radl


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was found for machines that have no cloud yet: by position of a lot the choice, by machine the fields of its
    record, by account the resources. `obstacles` have the place of something planned, and are on their way out;
    `error` is why the whole cannot be carried out."""

    lots: Sequence[Lot]
    choices: Mapping[int, Choice | IMError]
    placements: Mapping[int, Mapping[str, Any]]
    resources: Mapping[str, Sequence[Resource]]
    obstacles: Sequence[Entry]
    error: IMError | None

    def refusals(self) -> Mapping[int, IMError]:
        """Machines for which there is nothing, and why."""
        refused = {
            number: choice
            for position, lot in enumerate(self.lots)
            if isinstance(choice := self.choices[position], IMError)
            for number in lot.vms
        }
        if self.error is not None:
            refused.update(dict.fromkeys(self.placements, self.error))
        return refused


class Launching:
    """Plans for one infrastructure."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._unplanned: list[int] = []
        self._blocked = False  #: a plan waits for something of the same name to be gone
        self._retry_at = 0.0
        bench.on_drop.append(self._dropped)
        bench.on_entry.append(self._entry_changed)

    def attend(self) -> None:
        """Look which machines have no plan yet."""
        self._unplanned = [vm.number for vm in self._infra.vms.values() if vm.settling and not vm.cloud]

    def _dropped(self, entry: Entry) -> None:
        self._blocked = False

    def _entry_changed(self, before: Entry | None, entry: Entry) -> None:
        if self.is_stuck(entry):
            self._blocked = False

    def is_stuck(self, entry: Entry) -> bool:
        """Whether it should be gone and will not go."""
        return entry.status == Status.DELETING and entry.attempts >= self._bench.options.max_vm_fails

    def decide(self, now: float) -> Iterable[float]:
        """Start planning if there is something to plan."""
        if not self._unplanned or self._blocked:
            return
        if now < self._retry_at:
            yield self._retry_at
        else:
            self._bench.activities.single("plan", self._plan)

    async def _plan(self) -> None:
        infra = self._infra
        proposal = await self.propose(
            infra.vms[number]
            for number in self._unplanned
            if infra.vms[number].settling and not infra.vms[number].cloud
        )
        for number, refusal in proposal.refusals().items():
            self._refuse(number, refusal)
        if proposal.error is not None:
            self.attend()
            return
        if proposal.obstacles:
            self._blocked = True
            return
        self.enter(proposal)
        await asyncio.sleep(0)  # the plan is complete; who has waited for so long may come in between
        self._bench.graph.rebuild()
        self.attend()
        # Stored together with the first intents, and so before anything is made.

    async def propose(self, vms: Iterable[VM]) -> Proposal:
        """Clouds and resources for machines. Nothing is changed, made or entered."""
        bench = self._bench
        lots, choices = await self.choose(vms)
        placements: dict[int, Mapping[str, Any]] = {}
        for position, lot in enumerate(lots):
            choice = choices[position]
            if isinstance(choice, Choice):
                placements.update(dict.fromkeys(lot.vms, self.placement(choice)))
        planned: dict[str, tuple[Resource, ...]] = {}
        obstacles: list[Entry] = []
        error: IMError | None = None
        try:
            if bench.tools.hooks.active("imframework_approve_plan"):
                await self.approve(self._placed(placements))
            by_account: defaultdict[str, list[VM]] = defaultdict(list)
            for vm in self._placed(placements):
                by_account[vm.cloud].append(vm)
            planned = {name: await self.resources(name, group) for name, group in by_account.items()}
            obstacles = [entry for name in planned for entry in self.obstacles(name, planned[name])]
            for entry in obstacles:
                if self.is_stuck(entry):
                    raise CloudError(f"{entry.kind} {entry.name} is still to be deleted: {entry.error}")
        except IMError as failure:
            error = failure
        return Proposal(lots, choices, placements, planned, obstacles, error)

    async def choose(self, vms: Iterable[VM]) -> tuple[list[Lot], Mapping[int, Choice | IMError]]:
        """Machines that are alike, and the cloud for each such lot, or why there is none."""
        bench = self._bench
        lots = self.lots(vms)
        accounts = bench.tools.clouds.accounts(bench.keyring.credentials(self._infra))
        return lots, await planning.choose(lots, accounts, self._pins(), bench.options.defaults)

    def enter(self, proposal: Proposal) -> None:
        """Put what was proposed into the ledger and the records of the machines."""
        for name, resources in proposal.resources.items():
            self._enter(name, resources)
        for vm in self._placed(proposal.placements):
            self._bench.put_vm(vm)

    async def approve(self, vms: Iterable[VM]) -> None:
        bench = self._bench
        machines = [replace(bench.machine(vm.number), cloud=vm.cloud, image=vm.image, flavour=vm.flavour) for vm in vms]
        await bench.tools.hooks.veto("imframework_approve_plan", infrastructure=bench.summary(), machines=machines)

    def _placed(self, placements: Mapping[int, Mapping[str, Any]]) -> list[VM]:
        """The machines as planned, on top of whatever has been asked of them meanwhile; some may not be wanted now."""
        vms = self._infra.vms
        return [replace(vms[number], **placement) for number, placement in placements.items() if vms[number].settling]

    def placement(self, choice: Choice) -> Mapping[str, Any]:
        """What a choice means for a machine, as fields of its record."""
        candidate = choice.candidate
        account = self._bench.account(choice.account)
        facts = {
            "provider.type": account.type,
            **({"provider.host": account.server} if account.server else {}),
            **candidate.facts,
        }
        if candidate.image:
            facts["disk.0.image.url"] = candidate.image
        if candidate.flavour:
            facts.setdefault("instance_type", candidate.flavour)
        return {
            "cloud": choice.account,
            "cloud_type": account.type,
            "cloud_server": account.server,
            "image": candidate.image,
            "flavour": candidate.flavour,
            "price": candidate.price,
            "why": candidate.why,
            "planned": dict(facts),
            "attempts": (),
        }

    def _refuse(self, number: int, error: IMError) -> None:
        """A machine cannot be planned: for good, or until the next attempt."""
        vm = self._infra.vms[number]
        if not vm.settling:
            return
        if isinstance(error, Vetoed):
            self._bench.vetoed.add(number)
        attempt = len(vm.attempts) + 1
        text = f"Attempt {attempt}: {error}" if error.retryable or vm.attempts else str(error)
        self._bench.put_vm(replace(vm, attempts=(*vm.attempts, text)))
        self._infra.emit("launch", vm=number, attempt=attempt, error=str(error))
        if error.retryable and attempt < self._bench.options.max_vm_fails:
            self._retry_at = time.time() + self._bench.options.retry_delay
        else:
            self._bench.give_up(number)

    # --- lots, machines, resources -------------------------------------------------------------------------

    def lots(self, vms: Iterable[VM]) -> list[Lot]:
        """Machines that are alike, put together; in the order of their first machine."""
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for vm in vms:
            groups[vm.definition, vm.cloud_forced].append(vm.number)
        return [
            lot_of(self._infra.documents[name].text, forced, tuple(numbers))
            for (name, forced), numbers in groups.items()
        ]

    def _pins(self) -> dict[str, str]:
        """Private networks that already have machines, with their cloud."""
        pins: dict[str, str] = {}
        for lot in self.lots(vm for vm in self._infra.alive() if vm.cloud and vm.wanted and not vm.failure):
            cloud = self._infra.vms[lot.vms[0]].cloud
            pins.update(dict.fromkeys(lot.private, cloud))
        return pins

    async def resources(self, name: str, added: Iterable[VM]) -> tuple[Resource, ...]:
        """The plan of one account: for the machines it has and for those that are added."""
        infra, bench = self._infra, self._bench
        vms = {
            vm.number: vm
            for vm in infra.alive()
            if vm.cloud == name and vm.wanted and not vm.failure and not vm.foreign
        }
        vms.update((vm.number, vm) for vm in added)
        lots = self.lots(vms.values())
        options = bench.options
        public_key = bench.keyring.key_pair(infra).public
        tags = options.tags(infra.id, infra.owner_names)
        document = parsed(infra.radl)
        machines: list[Machine] = []
        for lot in lots:
            user_data = planning.user_data(document, lot.system.id)
            candidates = {number: _candidate(vms[number]) for number in lot.vms}
            alike = planning.machines(lot, candidates, public_key, user_data, tags, options.defaults)
            machines.extend(map(self._asking, alike) if self._needs_tunnels(document, lot) else alike)
        machines.sort(key=lambda machine: machine.number)
        existing = {
            entry.name_in_plan: entry.handle(infra.entries)
            for entry in infra.entries.values()
            if entry.account == name and entry.provider_id and entry.resolved is not None and not entry.lasting
        }
        deployment = planning.deployment(infra.id, infra.name, machines, lots, existing)
        resources = tuple(await bench.account(name).plan(deployment))
        _check(name, resources, {vm.number for vm in vms.values()})
        return resources

    def _needs_tunnels(self, document: radl.Document, lot: Lot) -> bool:
        """Whether machines can be reached through another one only, and know where to ask how."""
        options = self._bench.options
        return (
            bool(options.public_url)
            and options.reverse_tunnels
            and callbacks.is_linux(lot.system)
            and not _is_public(lot.system, document)
            and any(_is_public(system, document) for system in document.systems.values())
        )

    def _asking(self, machine: Machine) -> Machine:
        """The machine, told to ask how it is to be reached."""
        infra, bench = self._infra, self._bench
        url = callbacks.command_url(bench.options.public_url, infra.id, machine.number)
        secret = callbacks.secret(infra, machine.number, bench.keyring)
        return replace(machine, user_data=callbacks.asking(machine.user_data, url, secret))

    def obstacles(self, name: str, resources: Iterable[Resource]) -> Iterable[Entry]:
        """What has the place of something planned, and is on its way out."""
        for resource in resources:
            entry = self._infra.entries.get(f"{name}/{resource.key}")
            if entry is not None and (
                entry.status == Status.DELETING
                or (entry.status == Status.FAILED and entry.provider_id and not self._bench.graph.wanted(entry))
            ):
                yield entry

    def _enter(self, name: str, resources: Sequence[Resource]) -> None:
        """Put what is new into the ledger; what is there gets the new owners, and a new chance if it had failed."""
        infra = self._infra
        for resource, token in zip(resources, _tokens(len(resources)), strict=True):
            fresh = Entry.planned(name, resource, token, infra.generation)
            present = infra.entries.get(fresh.key)
            if present is None or (present.status == Status.FAILED and not present.provider_id):
                infra.put(fresh)
            elif present.owners != fresh.owners:
                infra.put(replace(present, owners=present.owners | fresh.owners))


def lot_of(definition: str, forced: str, vms: tuple[int, ...]) -> Lot:
    """The lot of a machine definition: a document with one system and the networks it uses."""
    document = parsed(definition)
    system = next(iter(document.systems.values()))
    connections = set(system.connections().values())
    private = frozenset(
        network.id for network in document.networks.values() if network.id in connections and not network.is_public
    )
    return Lot(document, system, forced, vms, private)


def _is_public(system: radl.System, document: radl.Document) -> bool:
    """Whether machines of a system are on a public network."""
    networks = (document.networks.get(id) for id in system.connections().values())
    return any(network is not None and network.is_public for network in networks)


def _candidate(vm: VM) -> Candidate:
    """What was chosen for a machine."""
    return Candidate(vm.image, vm.flavour, dict(vm.planned), vm.price)


def _tokens(count: int) -> Iterable[str]:
    """Fresh tokens. The system is asked once: each time, other threads would go first, and a plan can be large."""
    randomness = os.urandom(16 * count)
    return (randomness[start : start + 16].hex() for start in range(0, len(randomness), 16))


def _check(account: str, resources: Iterable[Resource], machines: Iterable[int]) -> None:
    """Refuse a plan that cannot be carried out: that is a fault of the connector, found before anything is made."""
    by_key: Mapping[str, Resource] = {resource.key: resource for resource in resources}
    missing = set(machines) - {resource.machine for resource in by_key.values()}
    if missing:
        raise CloudRefused(f"The plan of cloud {account} has no resource for machines {sorted(missing)}.")
    for resource in by_key.values():
        for dependency in resource.depends_on:
            if dependency.resource not in by_key:
                raise CloudRefused(
                    f"The plan of cloud {account} lacks {dependency.resource}, which {resource.key} waits for."
                )
    done: set[str] = set()
    for key in by_key:
        stack = [(key, iter(by_key[key].depends_on))]
        path = {key}
        while stack:
            current, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                stack.pop()
                path.discard(current)
                done.add(current)
            elif step.resource in path:
                raise CloudRefused(f"The plan of cloud {account} has a cycle through {step.resource}.")
            elif step.resource not in done:
                path.add(step.resource)
                stack.append((step.resource, iter(by_key[step.resource].depends_on)))
