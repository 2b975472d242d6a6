"""The nouns that the core and the plugins share. All of them are immutable; none of them does I/O.

Units: sizes are bytes, times are seconds (instants: seconds since the epoch), prices are per hour. Features carry
the names of RADL (`cpu.count`, `net_interface.0.ip`, …) so that what a connector says about a machine needs no
translation before a client reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

#: What JSON can hold. (Recursive in truth; typed loosely so that mypy stays readable.)
JSON: TypeAlias = Any


class VMState(StrEnum):
    """State of one machine as clients see it."""

    PENDING = "pending"
    RUNNING = "running"
    CONFIGURED = "configured"
    UNCONFIGURED = "unconfigured"
    STOPPED = "stopped"
    OFF = "off"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DELETING = "deleting"


class Phase(StrEnum):
    """What a cloud says about one resource, reduced to what the core acts on."""

    ABSENT = "absent"  #: the cloud has no such thing: it was never made, or it is gone
    CREATING = "creating"
    UPDATING = "updating"  #: a further step is due: `update` is called until it answers something else
    READY = "ready"  #: usable; for a machine: powered on
    STOPPED = "stopped"  #: machines only: powered off or suspended, can be started again
    DELETING = "deleting"
    FAILED = "failed"  #: the cloud has given up on it; it still exists and must be deleted
    UNKNOWN = "unknown"


class Condition(StrEnum):
    """What a resource waits for in another one before it may be made."""

    EXISTS = "exists"
    READY = "ready"
    CONFIGURED = "configured"  #: the machine behind it has finished its configuration


class Action(StrEnum):
    """What can be asked of a machine besides being made and deleted."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"


class Recognition(StrEnum):
    """How a repeated create is recognised after an answer was lost; each kind of a connector has one."""

    TOKEN = "token"  # noqa: S105  #: the cloud takes a client token: repeating the call returns the first thing
    NAME = "name"  #: names are unique: `find` sees the thing at once
    TAG = "tag"  #: the thing carries a tag that `find` sees after at most `Kind.window` seconds
    NONE = "none"  #: nothing recognises it; an unknown outcome is kept as "may be left"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource that a connector handles.

    `window` is the time in seconds after which whatever a lost call may still do has happened and is visible to
    `find`. `lag` is the time after a create during which `read` may answer ABSENT for a thing that exists.
    """

    name: str
    recognised_by: Recognition
    window: float = 0.0
    lag: float = 0.0
    updatable: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """One item of the caller's credential list (see `docs/reference/auth.md`).

    `repr` never shows values. Keys other than `id` and `type` are in `fields`, as text, exactly as given.
    """

    id: str
    type: str
    fields: Mapping[str, str] = field(repr=False)

    def get(self, key: str, default: str = "") -> str:
        """The value of a key, or `default`."""
        return self.fields.get(key, default)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an accepted InfrastructureManager item belongs to.

    `subject` identifies the user for ever (for a password user: name and password, as the specification has it);
    it is secret material and leaves the process only as a keyed hash.
    """

    username: str
    subject: str = field(repr=False)
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of numbers in base units; None means unbounded."""

    minimum: float | int | None = None
    maximum: float | int | None = None

    def admits(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    @property
    def value(self) -> float | int | None:
        """The number one would take if one had to: the low end, else the high end."""
        return self.minimum if self.minimum is not None else self.maximum


#: A requested feature: text, an interval of numbers, a list of texts, or a list of groups (applications).
FeatureValue: TypeAlias = str | Interval | tuple[str, ...] | tuple[Mapping[str, JSON], ...]

#: A feature with its value settled: what a machine has.
Fact: TypeAlias = str | int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a system or a network, as requested."""

    name: str
    values: Mapping[str, FeatureValue] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A text feature, or `default`; the first one of a list of texts."""
        value = self.values.get(name, default)
        if isinstance(value, str):
            return value
        if isinstance(value, tuple) and value and isinstance(value[0], str):
            return value[0]
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """A text feature as a list of alternatives; empty if absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            return (value,)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()

    def interval(self, name: str) -> Interval:
        """A numeric feature; unbounded if absent."""
        value = self.values.get(name)
        return value if isinstance(value, Interval) else Interval()

    def flag(self, name: str) -> bool:
        """Whether a yes/no feature says yes, in any case."""
        return self.text(name).lower() in ("yes", "true", "1")

    def indices(self, prefix: str) -> Iterator[int]:
        """The numbers n for which some feature `<prefix>.<n>.…` exists, ascending."""
        start = prefix + "."
        found = {rest[0] for key in self.values if key.startswith(start) and (rest := key[len(start) :].split("."))}
        yield from sorted(int(text) for text in found if text.isdecimal())


@dataclass(frozen=True, slots=True)
class PortRule:
    """One rule of `outports`. For a range, `remote` and `local` are its two ends."""

    remote: int
    local: int
    protocol: str = "tcp"
    is_range: bool = False
    cidr: str = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A network of the document that machines of this deployment use."""

    features: Features
    ports: tuple[PortRule, ...] = ()

    @property
    def id(self) -> str:
        """Its id in the document."""
        return self.features.name

    @property
    def public(self) -> bool:
        """Whether machines get public addresses on it."""
        return self.features.flag("outbound")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way in which a cloud can realise a system: everything that is decided before anything is made.

    `facts` are features the machine will have (`cpu.count`, `memory.size`, `instance_type`,
    `disk.0.os.credentials.username`, `provider.type`, `provider.host` …). `why` tells a person what decided.
    `applications` are what the image brings: name to version.
    """

    image: str
    flavour: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    price: float | None = None
    applications: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cloud cannot realise a system with one image."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a cloud, as listed for users."""

    uri: str
    name: str


@dataclass(frozen=True, slots=True)
class Quota:
    """Use and limit of something an account has; a limit of -1 means unlimited."""

    used: float
    limit: float


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether a cloud supports a feature; `reason` says why not."""

    feature: str
    supported: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a deployment: what was asked, and the candidate chosen for it.

    `public_key` is the OpenSSH key to authorise for the first log-in; `user_data` the cloud-init text, if any.
    """

    number: int
    system: Features
    candidate: Candidate
    public_key: str = ""
    user_data: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ref:
    """In the spec of a resource: an attribute of another one, filled in when that one has it.

    The attribute ``id`` is the provider id.
    """

    resource: str
    attribute: str = "id"


@dataclass(frozen=True, slots=True)
class Dependency:
    """That a resource waits for another one."""

    resource: str
    condition: Condition = Condition.READY


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that must exist in a cloud.

    `key` is unique in the infrastructure and account, and stable from plan to plan (``network/net``,
    ``instance/3``). `spec` is JSON, with `Ref` wherever a value is known only later. `owners` are the numbers of
    the machines that need it: it is deleted when none of them is wanted any more. `machine` is set for the one
    resource that *is* the machine. `goes_with` names a resource whose deletion takes this one along: that one is
    deleted first, and this one only if it is still there then. Adopted things were there before: used, never made,
    never deleted; their `provider_id` is given by the plan.
    """

    key: str
    kind: str
    name: str
    spec: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    owners: frozenset[int] = frozenset()
    depends_on: tuple[Dependency, ...] = ()
    machine: int | None = None
    goes_with: str = ""
    adopted: bool = False
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Handle:
    """A resource that has been made (or may have been), as the verbs after `create` get it.

    The spec of `resource` has its references filled in with the values used at creation.
    """

    resource: Resource
    token: str
    provider_id: str
    attributes: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """All machines of one infrastructure that one account has to hold from now on, those that exist included.

    A connector plans the whole every time and gives things that stay the same the same `Resource.key`; the core
    keeps what exists, makes what is new and deletes what nobody owns any more. `existing` is what has been made so
    far, by key: a choice that was free then (an address range, a pool, a zone) is taken over from there.
    """

    infrastructure: str
    name: str
    machines: tuple[Machine, ...]
    networks: Mapping[str, NetworkRequest] = field(default_factory=dict)
    existing: Mapping[str, Handle] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a cloud answered about one resource.

    `attributes` are merged into the stored ones by name; None removes one. What others refer to goes there. Two names
    have a meaning for the core: ``facts`` (features of the machine: addresses as ``net_interface.N.ip``, sizes,
    ``disk.N.device`` …; those of every resource that has one owner go to that machine) and ``access`` (how the
    machine is reached, the fields of `Access`).
    """

    phase: Phase
    provider_id: str = ""
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """How a machine is reached for its configuration.

    `host_key` pins the machine (one line as in known_hosts, without the host part); where the cloud cannot tell,
    the first key seen is pinned. `private_key` and `password` are secrets. An unprivileged machine cannot become
    root: plays that need it are skipped, with a note.
    """

    address: str
    port: int = 22
    user: str = ""
    host_key: str = ""
    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    ssh_options: Mapping[str, str] = field(default_factory=dict)
    privileged: bool = True
    operating_system: str = "linux"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an infrastructure. `sequence` counts from 1 within the infrastructure.

    `position` orders the events of all infrastructures; it is given by the storage, and 0 before an event is stored.

    `type` is one of a small set of words (``state``, ``launch``, ``resource``, ``power``, ``operation``, ``step``,
    ``log``, ``drift``, ``deleted``); `data` is JSON without secrets. `docs/reference/events.md` has them all.
    """

    infrastructure: str
    sequence: int
    time: float
    type: str
    data: Mapping[str, JSON]
    position: int = 0


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, when, from where, and how it ended. `id` is given by the storage and ascends.

    `users` are names; `owner_keys` are the opaque keys by which a caller finds their own records, and are never shown.
    `operation` is a method of `imframework.api.service.Service`, ``authenticate`` for a log-in that was refused, or
    ``read`` for an attempt to read what belongs to others.
    `target` is an infrastructure, with a machine as ``<id>/<number>``, or a cloud. `result` is ``ok`` or the code of an
    error. Nothing in it is secret.
    """

    time: float
    users: tuple[str, ...]
    address: str
    operation: str
    target: str = ""
    result: str = "ok"
    message: str = ""
    front_end: str = ""
    owner_keys: frozenset[str] = field(default=frozenset(), repr=False)
    id: int = 0

    def shown(self) -> dict[str, JSON]:
        """It as JSON, without what is never shown."""
        return {
            "time": round(self.time, 3),
            "users": list(self.users),
            "address": self.address,
            "front_end": self.front_end,
            "operation": self.operation,
            "target": self.target,
            "result": self.result,
            "message": self.message,
        }
