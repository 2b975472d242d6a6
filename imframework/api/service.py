"""The façade that front ends are handed: every operation of the service, with documents in and out as text.

All methods are coroutines; all raise errors of `imframework.api.errors` only. A `Caller` comes from `authenticate`
and is good for one request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from imframework.api.errors import Problem
from imframework.api.model import JSON, Credential, Event, Identity


class Language(StrEnum):
    """The forms a document can have."""

    RADL = "radl"
    RADL_JSON = "radl-json"
    TOSCA = "tosca"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it came in."""

    text: str
    language: Language = Language.RADL


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and with which cloud credentials."""

    identities: tuple[Identity, ...]
    owner_keys: frozenset[str] = field(repr=False)
    credentials: tuple[Credential, ...] = field(repr=False)
    address: str = ""
    #: The bearer token that was given, for documents that ask for it.
    token: str | None = field(default=None, repr=False)

    @property
    def admin(self) -> bool:
        """Whether the caller may see and operate everything."""
        return any(identity.admin for identity in self.identities)


@dataclass(frozen=True, slots=True)
class StateReport:
    """State of an infrastructure and of each machine that is not deleted."""

    state: str
    vm_states: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs of an infrastructure, None where there is no value (yet); `missing` are the reasons, by output."""

    values: Mapping[str, JSON]
    missing: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class PluginReport:
    """One line of `imframework plugins list`."""

    kind: str
    name: str
    distribution: str
    version: str
    api_version: str
    enabled: bool
    health: str
    reason: str = ""


class Service(Protocol):
    """The operations. `infrastructure` is an id; machine numbers are ints."""

    async def authenticate(self, credentials: str | Sequence[Mapping[str, str]], address: str = "") -> Caller:
        """Who a credential list belongs to.

        `credentials` is the value of an Authorization header in any of its forms, or a list of items.

        Raises:
            Unauthenticated: nobody, or nobody acceptable.
        """

    async def list(self, caller: Caller, pattern: str | None = None) -> Sequence[str]:
        """Ids of the caller's infrastructures whose RADL or TOSCA matches a regular expression."""

    async def create(self, caller: Caller, document: Document, *, asynchronous: bool = False) -> str:
        """Make an infrastructure and return its id: when it is stored (asynchronous), or when all launches answered."""

    async def machines(self, caller: Caller, infrastructure: str) -> Sequence[int]:
        """Numbers of the machines that are not deleted, ascending."""

    async def add(
        self, caller: Caller, infrastructure: str, document: Document, *, context: bool = True
    ) -> Sequence[int]:
        """Add machines; their numbers."""

    async def remove(self, caller: Caller, infrastructure: str, vms: Sequence[int], *, context: bool = True) -> int:
        """Remove machines; how many."""

    async def reconfigure(
        self, caller: Caller, infrastructure: str, document: Document | None = None, vms: Sequence[int] | None = None
    ) -> None:
        """Configure again, with changed recipes if a document is given; all machines or the listed ones."""

    async def start(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        """Start one machine, or all."""

    async def stop(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        """Stop one machine, or all."""

    async def reboot(self, caller: Caller, infrastructure: str, vm: int) -> None:
        """Reboot a machine."""

    async def destroy(
        self, caller: Caller, infrastructure: str, *, force: bool = False, asynchronous: bool = False
    ) -> None:
        """Delete everything; verified, unless forced. What a forced deletion may have left stays on record."""

    async def state(self, caller: Caller, infrastructure: str) -> StateReport:
        """The aggregated state and those of the machines."""

    async def vm_info(self, caller: Caller, infrastructure: str, vm: int, language: Language) -> str:
        """Networks and system of a machine with its present values, as RADL or RADL JSON text (a JSON list)."""

    async def vm_property(self, caller: Caller, infrastructure: str, vm: int, name: str) -> JSON:
        """One feature of a machine (text, number, or list of groups). `NotFound` if it has none of that name."""

    async def contmsg(
        self, caller: Caller, infrastructure: str, vm: int | None = None, *, header_only: bool = False
    ) -> str:
        """The configuration log: whole, the part before the machines' blocks, or one machine's."""

    async def radl(self, caller: Caller, infrastructure: str) -> str:
        """The stored document as RADL."""

    async def events(self, caller: Caller, infrastructure: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """What happened after an event number."""

    async def tosca(self, caller: Caller, infrastructure: str) -> str:
        """The stored TOSCA document. `Forbidden` if there is none."""

    async def outputs(self, caller: Caller, infrastructure: str) -> Outputs:
        """The outputs of the stored TOSCA document with the machines as they are. `Forbidden` if there is none."""

    async def estimate(self, caller: Caller, document: Document) -> JSON:
        """What creating this document would use, by cloud id; nothing is stored or made."""

    async def validate(self, caller: Caller, document: Document) -> Sequence[Problem]:
        """What is wrong with a document: all of it, by position, at most 50; nothing if it is sound.

        Whether there are clouds and machines for it is for `plan` to say.
        """

    async def plan(self, caller: Caller, document: Document, infrastructure: str | None = None) -> JSON:
        """What creating an infrastructure of this document would do, or sending it to one that exists.

        Nothing is made. The plan is kept under the ``id`` in the answer, and can be carried out as it is with `apply`.
        """

    async def apply(self, caller: Caller, plan: str, *, asynchronous: bool = False) -> str:
        """Carry out a plan; the id of the infrastructure.

        Raises:
            NotFound: no such plan, or it has been carried out.
            Conflict: it was made for another state of the infrastructure, or cannot be carried out; the text says why.
        """

    def version(self) -> str:
        """Version of the service."""

    async def health(self) -> Mapping[str, str]:
        """Component to ``ok`` or what is wrong; used by readiness probes."""

    def metrics(self) -> bytes:
        """Metrics in the Prometheus text format."""

    def plugins(self) -> Sequence[PluginReport]:
        """All installed plugins and how they are."""
