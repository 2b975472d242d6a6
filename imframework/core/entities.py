"""What the engine remembers of an infrastructure, one immutable record for each row of the database.

A record is never changed: the aggregate replaces it. `to_data` and `from_data` are its JSON form; fields that have
their default are left out, so that rows stay small and a new field needs no migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Self

from imframework.api.model import (
    JSON,
    Access,
    Condition,
    Handle,
    Phase,
    Ref,
    Resource,
    VMState,
)
from imframework.api.storage import Row, Table


class Record:
    """Base of all records; a subclass is a frozen dataclass with JSON-able fields."""

    table: ClassVar[Table]
    __slots__ = ()

    @property
    def key(self) -> str:
        """Identity among the records of this table."""
        raise NotImplementedError

    def to_row(self) -> Row:
        """The row that stores this record."""
        data: dict[str, JSON] = {}
        for name, default in _defaults(type(self)):
            value = getattr(self, name)
            if value != default:
                data[name] = sorted(value) if isinstance(value, frozenset) else value
        return Row(self.table, self.key, data)

    @classmethod
    def from_data(cls, data: Mapping[str, JSON]) -> Self:
        """The record stored in a row."""
        known = {name for name, _ in _defaults(cls)}
        return cls(**{name: cls.restore(name, value) for name, value in data.items() if name in known})

    @classmethod
    def restore(cls, name: str, value: JSON) -> Any:
        """Turn the JSON form of one field back into its type (lists that are tuples or sets here)."""
        return tuple(value) if isinstance(value, list) else value


_DEFAULTS: dict[type[Record], tuple[tuple[str, object], ...]] = {}


def _defaults(cls: type[Record]) -> tuple[tuple[str, object], ...]:
    """Field names with their defaults; an object equal to nothing where there is none."""
    if cls in _DEFAULTS:
        return _DEFAULTS[cls]
    found: list[tuple[str, object]] = []
    for item in fields(cls):  # type: ignore[arg-type]
        if item.default is not MISSING:
            found.append((item.name, item.default))
        elif item.default_factory is not MISSING:
            found.append((item.name, item.default_factory()))
        else:
            found.append((item.name, MISSING))
    _DEFAULTS[cls] = tuple(found)
    return _DEFAULTS[cls]


@dataclass(frozen=True, slots=True)
class DocumentText(Record):
    """A text that belongs to the infrastructure: its RADL, its TOSCA, or a machine definition (by digest)."""

    table: ClassVar[Table] = Table.DOCUMENT

    name: str
    text: str

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Secret(Record):
    """Something sealed: credentials, owners, log-in keys. `name` says which; `sealed` is ciphertext."""

    table: ClassVar[Table] = Table.SECRET

    name: str
    sealed: str

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class VM(Record):
    """One machine: what is wanted of it, and what is known.

    Levels wanted: `wanted` (presence), `power_on`, `config_wanted` (a generation of the configuration; 0 for never).
    Recorded: `phase`, `facts`, `configured` (None until a configuration has ended), `config_done`.
    `definition` names the `DocumentText` with the networks and the system it was launched with; `asks` is the
    operation that made it. `failure` is why its launch was given up. `destroyed` machines stay, to keep numbers.
    `foreign` ones were made by another manager: the instance is all that is known of them, and nothing is planned for
    them.

    `switched_at` is when its cloud was last asked to switch it, while what became of that is not known (0: it is).

    `definition_wanted` names the definition that an alteration is to give it; `alteration` is how far that has come,
    and `alteration_error` why it is not to be had (see `core/altering.py`).
    """

    table: ClassVar[Table] = Table.VM

    number: int
    system: str
    definition: str
    generation: int
    created: float
    wanted: bool = True
    power_on: bool = True
    config_wanted: int = 0
    cloud_forced: str = ""
    cloud: str = ""
    cloud_type: str = ""
    cloud_server: str = ""
    image: str = ""
    flavour: str = ""
    why: str = ""
    price: float | None = None
    planned: Mapping[str, JSON] = field(default_factory=dict)
    user_data: str = ""
    phase: str = Phase.ABSENT
    launched: bool = False
    facts: Mapping[str, JSON] = field(default_factory=dict)
    configured: bool | None = None
    config_done: int = 0
    config_error: str = ""
    attempts: tuple[str, ...] = ()
    failure: str = ""
    message: str = ""
    destroyed: bool = False
    foreign: bool = False
    switched_at: float = 0.0
    definition_wanted: str = ""
    alteration: str = ""
    alteration_error: str = ""

    @property
    def key(self) -> str:
        return str(self.number)

    @property
    def alive(self) -> bool:
        """Whether it still counts as a machine of the infrastructure."""
        return not self.destroyed

    @property
    def host(self) -> str:
        """What people know it by: its address, or what it is if it has none."""
        return str(self.facts.get("net_interface.0.ip") or self.system)

    @property
    def settling(self) -> bool:
        """Whether it is wanted and its launch has neither succeeded nor been given up."""
        return self.wanted and not self.destroyed and not self.failure and not self.launched

    def state(self) -> VMState:
        """The state clients see."""
        if self.destroyed:
            return VMState.OFF
        if not self.wanted:
            return VMState.DELETING
        if self.failure:
            return VMState.FAILED
        if self.phase == Phase.READY:
            if self.config_done < self.config_wanted or self.configured is None:
                return VMState.RUNNING
            return VMState.CONFIGURED if self.configured else VMState.UNCONFIGURED
        return _STATE_OF_PHASE[self.phase] if self.launched else VMState.PENDING


_STATE_OF_PHASE: Mapping[str, VMState] = {
    Phase.ABSENT: VMState.OFF,
    Phase.CREATING: VMState.PENDING,
    Phase.UPDATING: VMState.PENDING,
    Phase.STOPPED: VMState.STOPPED,
    Phase.DELETING: VMState.DELETING,
    Phase.FAILED: VMState.FAILED,
    Phase.UNKNOWN: VMState.UNKNOWN,
}


class Alteration(StrEnum):
    """How far the alteration of a machine has come."""

    ASKED = "asked"  #: nothing is done yet
    CHANGING = "changing"  #: the ledger has what is to be; the machine has its new definition
    RETURNING = "returning"  #: it was refused: the ledger has what was before, and so has the machine


class Status(StrEnum):
    """Where a resource stands in the ledger."""

    PLANNED = "planned"
    INTENDED = "intended"  #: about to be made, or being made: the cloud may have it
    EXISTS = "exists"  #: the cloud has it, not yet usable
    READY = "ready"
    FAILED = "failed"  #: given up; if it has a provider id the cloud still has it
    DELETING = "deleting"  #: about to be deleted, or being deleted: the cloud may still have it
    LOST = "lost"  #: made perhaps, and nothing recognises it: kept as a thing that may be left


@dataclass(frozen=True, slots=True)
class Entry(Record):
    """One line of the ledger: a resource of the plan, and what has become of it.

    `account` is the id of the credential it is made with. `attempts` counts the failures of the present verb in this
    `generation`; `error` is the last one. `intended_at` is the instant of the intent, `made_at` when the cloud
    answered that it exists, `sweep_at` when to look for duplicates (0: never), `not_before` the earliest next try,
    `busy_since` when the cloud first said that it cannot do it now (0: it did not).

    An `outdated` one is to be brought to its present `spec`; until then `needed` (keys of the plan) are what it still
    uses of former dependencies, and it is `midway` from when that has been asked for: it may be anywhere between
    `resolved` and `spec`. One that an alteration takes from a machine has no owners any more: `left` is that machine.
    Snapshots belong to no machine: they are wanted while `lasting`, as long as the infrastructure is.
    """

    table: ClassVar[Table] = Table.RESOURCE

    account: str
    name_in_plan: str
    kind: str
    name: str
    token: str
    generation: int
    spec: Mapping[str, JSON] = field(default_factory=dict)
    owners: frozenset[int] = frozenset()
    depends_on: tuple[tuple[str, str], ...] = ()
    machine: int | None = None
    goes_with: str = ""
    adopted: bool = False
    status: str = Status.PLANNED
    phase: str = Phase.ABSENT
    provider_id: str = ""
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    resolved: Mapping[str, JSON] | None = None
    attempts: int = 0
    error: str = ""
    intended_at: float = 0.0
    made_at: float = 0.0
    sweep_at: float = 0.0
    not_before: float = 0.0
    busy_since: float = 0.0
    outdated: bool = False
    midway: bool = False
    needed: tuple[str, ...] = ()
    left: int | None = None
    lasting: bool = False

    @property
    def key(self) -> str:
        return f"{self.account}/{self.name_in_plan}"

    @classmethod
    def restore(cls, name: str, value: JSON) -> Any:
        if name == "owners":
            return frozenset(value)
        if name == "depends_on":
            return tuple((key, condition) for key, condition in value)
        return tuple(value) if name == "needed" else value

    @classmethod
    def planned(cls, account: str, resource: Resource, token: str, generation: int) -> Entry:
        """The line for a resource that a plan asks for and the ledger does not have."""
        return cls(
            account=account,
            name_in_plan=resource.key,
            kind=resource.kind,
            name=resource.name,
            token=token,
            generation=generation,
            spec=_encode(resource.spec),
            owners=resource.owners,
            depends_on=tuple((dependency.resource, dependency.condition.value) for dependency in resource.depends_on),
            machine=resource.machine,
            goes_with=resource.goes_with,
            adopted=resource.adopted,
            provider_id=resource.provider_id,
        )

    @property
    def may_exist(self) -> bool:
        """Whether the cloud has it, or may have it."""
        return bool(self.provider_id) or self.status in (Status.INTENDED, Status.LOST)

    @property
    def present(self) -> bool:
        """Whether it is made and not on its way out."""
        return self.status in (Status.EXISTS, Status.READY)

    def observed(self, attributes: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """The attributes after an observation: merged by name, None removes one."""
        if not attributes:
            return self.attributes
        merged = {**self.attributes, **attributes}
        return {name: value for name, value in merged.items() if value is not None}

    def dependencies(self) -> list[tuple[str, Condition]]:
        """The keys (in the ledger) of what it waits for, with the condition awaited."""
        return [(f"{self.account}/{key}", Condition(condition)) for key, condition in self.depends_on]

    def in_use(self) -> set[str]:
        """The keys (in the ledger) of what must not be deleted before it."""
        return {f"{self.account}/{key}" for key in (*self.needed, *(key for key, _ in self.depends_on))}

    def resource(self, entries: Mapping[str, Entry], *, updated: bool = False) -> Resource:
        """The resource with its references filled in, from `resolved` once it has been made, unless `updated`.

        Raises:
            LookupError: a reference whose value is not known.
        """
        spec = self.resolved
        if spec is None or updated:
            spec = {name: self._fill(value, entries) for name, value in self.spec.items()}
        return Resource(
            key=self.name_in_plan,
            kind=self.kind,
            name=self.name,
            spec=spec,
            owners=self.owners,
            machine=self.machine,
            goes_with=self.goes_with,
            adopted=self.adopted,
            provider_id=self.provider_id,
        )

    def handle(self, entries: Mapping[str, Entry]) -> Handle:
        """What the verbs after `create` are given."""
        return Handle(self.resource(entries), self.token, self.provider_id, self.attributes)

    def _fill(self, value: JSON, entries: Mapping[str, Entry]) -> JSON:
        if isinstance(value, dict):
            if _REF in value:
                key, attribute = value[_REF]
                target = entries[f"{self.account}/{key}"]
                return target.provider_id if attribute == "id" else target.attributes[attribute]
            return {name: self._fill(item, entries) for name, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, entries) for item in value]
        return value

    def access(self) -> Access | None:
        """How the machine is reached, if this is one and it is known."""
        data = self.attributes.get("access")
        return Access(**data) if data else None


_REF = "$ref"


def _encode(value: JSON) -> JSON:
    """A spec as JSON, references included."""
    if isinstance(value, Ref):
        return {_REF: [value.resource, value.attribute]}
    if isinstance(value, Mapping):
        return {name: _encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


class OperationKind(StrEnum):
    """What a caller can be waiting for."""

    LAUNCH = "launch"
    REMOVE = "remove"
    DESTROY = "destroy"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    ALTER = "alter"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Operation(Record):
    """A request whose outcome is awaited. The levels it changed are in the machines; this row only remembers who
    to tell. Reboot is the exception: an edge, `attempted` is written before the cloud is asked, and an attempt
    whose outcome is unknown is never repeated. A snapshot of a `disk` called `name` is a resource (of that key, once it
    is known), which the infrastructure keeps if it is to go with it."""

    table: ClassVar[Table] = Table.OPERATION

    id: str
    kind: str
    created: float
    generation: int
    vms: tuple[int, ...] = ()
    attempted: bool = False
    creates: bool = False
    force: bool = False
    removing: bool = False
    disk: int = 0
    name: str = ""
    keep: bool = False
    resource: str = ""

    @property
    def key(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Step(Record):
    """A configuration task that is done for a machine and never runs again in this configuration generation."""

    table: ClassVar[Table] = Table.STEP

    vm: int
    task: str
    generation: int

    @property
    def key(self) -> str:
        return f"{self.vm}/{self.task}"


@dataclass(frozen=True, slots=True)
class Run(Record):
    """The configuration run in progress. `seen` is the last report that is recorded. One that is `superseded` is ended
    without a result, as its machines are to be configured anew."""

    table: ClassVar[Table] = Table.RUN

    id: str
    generation: int
    started: float
    deadline: float
    vms: tuple[int, ...]
    failed: tuple[int, ...] = ()
    seen: int = 0
    ended: bool = False
    superseded: bool = False

    @property
    def key(self) -> str:
        return self.id


RECORDS: Mapping[Table, type[Record]] = {
    record.table: record for record in (DocumentText, Secret, VM, Entry, Operation, Step, Run)
}
