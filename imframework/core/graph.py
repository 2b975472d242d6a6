"""What can be done next with the resources of one infrastructure.

The ledger as a graph: who waits for whom. Built once from the entries, then kept up to date entry by entry, so that a
step costs the same whether there are ten machines or a thousand. Nothing is decided here about time, numbers or
retries; that is the worker's business.
"""

from __future__ import annotations

from collections import defaultdict

from imframework.api.model import Condition, Phase
from imframework.core.entities import Alteration, Entry, Status
from imframework.core.infrastructure import Infrastructure


class Graph:
    """Ordered sets of keys: `creatable`, `deletable`, `uncertain`, `unfinished` (a further step of `update` is due),
    `outdated` (to be brought to another spec), `unsettled` (to be read until they change), `hopeless` (what they wait
    for will never come, with the reason).

    `busy` are the keys that a call is under way for; they are in none of the sets.
    """

    def __init__(self, infra: Infrastructure) -> None:
        self._infra = infra
        self.busy: set[str] = set()
        self.accepted: set[str] = set()  #: deletions the cloud has accepted, to be verified
        self.waiting: set[str] = set()  #: wanted, and not usable yet
        self.rebuild()

    def rebuild(self) -> None:
        """Forget everything derived and look at all entries again."""
        self.creatable: dict[str, None] = {}
        self.deletable: dict[str, None] = {}
        self.uncertain: dict[str, None] = {}
        self.unfinished: dict[str, None] = {}
        self.outdated: dict[str, None] = {}
        self.unsettled: dict[str, None] = {}
        self.hopeless: dict[str, str] = {}
        self.appeared: list[str] = []  #: what has become unsettled; emptied by whoever reads it
        self.waiting = {key for key in self.busy if key in self.waiting}
        self._owned: defaultdict[int, set[str]] = defaultdict(set)
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._holding: defaultdict[str, set[str]] = defaultdict(set)  #: children that must be gone first
        self._leaving: defaultdict[int, set[str]] = defaultdict(set)  #: by machine, what it loses by an alteration
        self._conditional: set[str] = set()  #: those that wait for the configuration of a machine
        for key, entry in self._infra.entries.items():
            self._link(key, entry)
        for key in list(self._infra.entries):
            self.evaluate(key)

    def _link(self, key: str, entry: Entry) -> None:
        host = f"{entry.account}/{entry.goes_with}" if entry.goes_with else ""
        if host:
            self._children[host].add(key)
        for dependency, condition in entry.dependencies():
            self._children[dependency].add(key)
            if condition is Condition.CONFIGURED:
                self._conditional.add(key)
        if entry.status != Status.LOST:
            for used in entry.in_use() - {host}:
                self._holding[used].add(key)
        for owner in entry.owners:
            self._owned[owner].add(key)
        if entry.left is not None:
            self._leaving[entry.left].add(key)

    # --- changes -------------------------------------------------------------------------------------------

    def changed(self, key: str) -> None:
        """An entry was put: look again at it and at what waits for it."""
        if self._infra.entries[key].status == Status.LOST:
            self._release(key)
        self.evaluate(key)
        for child in self._children.get(key, ()):
            self.evaluate(child)

    def added(self, key: str) -> None:
        """An entry was put that was not there before, or that has new owners."""
        self._link(key, self._infra.entries[key])
        self.evaluate(key)

    def updated(self, before: Entry) -> None:
        """An entry has got its new spec: what it needed before, and does not now, may go."""
        for used in before.in_use() - self._infra.entries[before.key].in_use():
            self._holding[used].discard(before.key)
            self.evaluate(used)

    def dropped(self, entry: Entry) -> None:
        """An entry is gone: what it depended on may go now."""
        key = entry.key
        self._discard(key)
        self.accepted.discard(key)
        self.waiting.discard(key)
        self._conditional.discard(key)
        for owner in entry.owners:
            self._owned[owner].discard(key)
        for dependency, _ in entry.dependencies():
            self._children[dependency].discard(key)
        for used in entry.in_use():
            self._holding[used].discard(key)
            self.evaluate(used)
        if entry.goes_with:
            self._children[f"{entry.account}/{entry.goes_with}"].discard(key)
        for child in self._children.get(key, ()):
            self.evaluate(child)
        if entry.left is not None:
            self._leaving[entry.left].discard(key)
            self.machine_changed(entry.left)

    def _release(self, key: str) -> None:
        """What may be left for ever keeps nothing else from being deleted."""
        for used in self._infra.entries[key].in_use():
            if key in self._holding[used]:
                self._holding[used].discard(key)
                self.evaluate(used)

    def machine_changed(self, number: int) -> None:
        """The levels of a machine changed, or it was configured: look at all that belongs to it."""
        for key in list(self._owned[number]):
            self.evaluate(key)
        for entry in self.own(number):  # what waits for a shared thing does not wait for this machine
            for child in self._children.get(entry.key, ()):
                self.evaluate(child)

    # --- asking --------------------------------------------------------------------------------------------

    def own(self, number: int) -> list[Entry]:
        """The entries that belong to one machine alone, by key."""
        found = (self._infra.entries.get(key) for key in sorted(self._owned[number]))
        return [entry for entry in found if entry is not None and len(entry.owners) == 1]

    def machine(self, number: int) -> Entry | None:
        """The entry that is a machine, if it is planned."""
        return next((entry for entry in self.own(number) if entry.machine == number), None)

    def leaving(self, number: int) -> list[Entry]:
        """What a machine loses by an alteration, and is not gone yet."""
        return [self._infra.entries[key] for key in sorted(self._leaving.get(number, ()))]

    def held(self) -> set[str]:
        """What cannot be made before some machine is configured, directly or through something else."""
        entries = self._infra.entries
        found: set[str] = set()
        rest = [
            key
            for key in self._conditional
            if key in self.waiting
            and any(
                condition is Condition.CONFIGURED and not self._met(dependency, condition)
                for dependency, condition in entries[key].dependencies()
            )
        ]
        while rest:
            key = rest.pop()
            if key not in found and entries[key].status == Status.PLANNED:
                found.add(key)
                rest.extend(self._children.get(key, ()))
        return found

    # --- evaluation ----------------------------------------------------------------------------------------

    def wanted(self, entry: Entry) -> bool:
        """Whether some machine that is wanted, and not given up, needs it."""
        if entry.lasting:
            return self._infra.wanted
        vms = self._infra.vms
        return any(
            (vm := vms.get(owner)) is not None and vm.wanted and vm.alive and not vm.failure for owner in entry.owners
        )

    def evaluate(self, key: str) -> None:
        """Put a key in the sets it belongs to."""
        self._discard(key)
        entry = self._infra.entries.get(key)
        if entry is None or key in self.busy:
            return
        match entry.status:
            case Status.LOST:
                self.waiting.discard(key)
            case Status.INTENDED:
                self.uncertain[key] = None
                self._await(key, entry, self.wanted(entry))
            case Status.DELETING:
                self.waiting.discard(key)
                if key in self.accepted:
                    self._unsettle(key)
                else:
                    self.deletable[key] = None
            case _:
                self._evaluate_settled(key, entry)

    def _await(self, key: str, entry: Entry, wanted: bool = True) -> None:
        """Note whether something that is wanted is not usable yet. Nothing waits for snapshots."""
        (self.waiting.add if wanted and not entry.lasting else self.waiting.discard)(key)

    def _evaluate_settled(self, key: str, entry: Entry) -> None:
        if self._holding.get(key) and entry.status == Status.READY and not entry.outdated:
            # Something depends on it and it is usable: whether it is wanted can wait until that is gone.
            self.waiting.discard(key)
            return
        if not self.wanted(entry):
            self.waiting.discard(key)
            if not self._holding.get(key) and not self._goes_along(entry):
                self.deletable[key] = None
            return
        if entry.outdated and (entry.status == Status.READY or entry.phase == Phase.UPDATING):
            self.waiting.discard(key)
            if self._may_change(entry) and all(self._met(*pair) for pair in entry.dependencies()):
                self.outdated[key] = None
            return
        if entry.status == Status.READY or entry.status == Status.FAILED:
            self.waiting.discard(key)
            return
        self._await(key, entry)
        if entry.status == Status.EXISTS:
            if entry.phase == Phase.UPDATING:
                self.unfinished[key] = None
            else:
                self._unsettle(key)
            return
        unmet = [pair for pair in entry.dependencies() if not self._met(*pair)]
        reason = next(filter(None, (self._never(*pair) for pair in unmet)), "")
        if reason:
            self.hopeless[key] = f"{entry.kind} {entry.name} cannot be made: {reason}"
        elif not unmet and self._may_change(entry):
            self.creatable[key] = None

    def _may_change(self, entry: Entry) -> bool:
        """Whether nothing of an alteration keeps it from being made or updated.

        What a machine loses is gone before it gets other things, unless that is still in use by what stays. And once
        something of an alteration is refused, nothing more of it is done.
        """
        for owner in entry.owners:
            vm = self._infra.vms.get(owner)
            if vm is not None and vm.alteration == Alteration.CHANGING and vm.alteration_error:
                return False
            if len(entry.owners) == 1 and any(not self._is_in_use(key) for key in self._leaving.get(owner, ())):
                return False
        return True

    def _is_in_use(self, key: str) -> bool:
        """Whether something that stays uses it, directly or through things that go."""
        return any(
            (user := self._infra.entries.get(holder)) is not None and (self.wanted(user) or self._is_in_use(holder))
            for holder in self._holding.get(key, ())
        )

    def _unsettle(self, key: str) -> None:
        self.unsettled[key] = None
        self.appeared.append(key)

    def _goes_along(self, entry: Entry) -> bool:
        """Whether something that is going takes this one along."""
        target = self._infra.entries.get(f"{entry.account}/{entry.goes_with}") if entry.goes_with else None
        if target is None or target.status == Status.LOST:
            return False
        return target.may_exist and not self.wanted(target)

    def _met(self, key: str, condition: Condition) -> bool:
        entry = self._infra.entries.get(key)
        if entry is None:
            return False
        if condition is Condition.EXISTS:
            return entry.present
        if condition is Condition.READY:
            return entry.status == Status.READY and not entry.outdated
        vm = self._infra.vms.get(entry.machine) if entry.machine is not None else None
        return vm is not None and vm.configured is True and vm.config_done >= vm.config_wanted

    def _never(self, key: str, condition: Condition) -> str:
        """Why a condition that is not met will never be; empty if it may."""
        entry = self._infra.entries.get(key)
        if entry is None:
            return "what it needs does not exist any more."
        if not self.wanted(entry) or entry.status in (Status.FAILED, Status.LOST):
            return f"{entry.kind} {entry.name}, which it needs, is not to be had."
        vm = self._infra.vms.get(entry.machine) if entry.machine is not None else None
        if condition is Condition.CONFIGURED and (
            vm is None or (vm.configured is False and vm.config_done >= vm.config_wanted)
        ):
            return f"{entry.kind} {entry.name}, which it waits for, is not configured."
        return ""

    def _discard(self, key: str) -> None:
        self.creatable.pop(key, None)
        self.deletable.pop(key, None)
        self.uncertain.pop(key, None)
        self.unfinished.pop(key, None)
        self.outdated.pop(key, None)
        self.unsettled.pop(key, None)
        self.hopeless.pop(key, None)
