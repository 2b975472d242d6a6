"""The façade that front ends are handed: every operation of the service, with documents in and out as text.

All methods are coroutines; all raise errors of `imframework.api.errors` only. A `Caller` comes from `authenticate`
and is good for one request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol

from imframework.api.errors import Problem
from imframework.api.model import JSON, AuditRecord, Credential, Event, Identity, Image, Quota


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
    #: Changes of an infrastructure are made only while one of these is its `Service.tag`; empty: whatever it is.
    expects: frozenset[str] = frozenset()
    #: Name of the front end that was asked; set by the service.
    front_end: str = ""

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
class Template:
    """A TOSCA template of the catalogue: the name of its file, and its metadata, each a text or several."""

    name: str
    metadata: Mapping[str, Sequence[str]]


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

    async def create(
        self, caller: Caller, document: Document, *, asynchronous: bool = False, idempotency_key: str = ""
    ) -> str:
        """Make an infrastructure and return its id: when it is stored (asynchronous), or when all launches answered.

        The same caller's repeated call with one idempotency key (1 to 255 visible ASCII characters) makes one
        infrastructure and has the same outcome: its id, also when it has been deleted, or the error of its launches.

        Raises:
            IdempotencyMismatch: the key was used with another document.
        """

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

    async def alter(self, caller: Caller, infrastructure: str, vm: int, document: Document) -> None:
        """Change a machine to what the system of its name in a document says: size, disks, public address.

        Returns when the cloud has done it. What the cloud refuses leaves the machine as it was.

        Raises:
            InvalidRequest: the document has no system of the machine's name, or asks for what cannot be changed.
            CloudError: the cloud refuses; the machine has its former size.
        """

    async def snapshot(
        self, caller: Caller, infrastructure: str, vm: int, disk: int, name: str, *, auto_delete: bool = False
    ) -> str:
        """Make an image of a disk of a machine; its URL. With `auto_delete` it goes with the infrastructure."""

    async def owners(self, caller: Caller, infrastructure: str) -> Sequence[str]:
        """Names of the owners, in the order in which they became such."""

    async def change_owners(
        self, caller: Caller, infrastructure: str, owner: Mapping[str, str], *, overwrite: bool = False
    ) -> None:
        """Add an owner, given as an InfrastructureManager item, or have that one instead of all others.

        Raises:
            InvalidRequest: nobody, or nobody acceptable.
        """

    async def export_document(self, caller: Caller, infrastructure: str, *, delete: bool = False) -> str:
        """An infrastructure as a JSON document that `import_document` takes, here or elsewhere.

        With `delete` all work on it is ended and it is deleted here, while its machines go on. Asked so again, the
        document is given again, until the infrastructure is purged or imported.

        Raises:
            Conflict: it is being deleted or handed over, or a call to make something has not ended yet.
        """

    async def import_document(self, caller: Caller, text: str) -> str:
        """Take over an exported infrastructure, of ours or of the Infrastructure Manager 1.x or 2.0; its id.

        It keeps its id and becomes the caller's. One of that id that was deleted here gives way to it, if it belonged
        to the caller or the document is its export.

        Raises:
            InvalidRequest: not such a document (the text says what is wrong and where), or its id is in use here.
        """

    async def command(
        self, caller: Caller | None, infrastructure: str, creation: int, step: int, secret: str, base_url: str = ""
    ) -> str:
        """What a machine without reachable address is to do to be reached; `creation` is its creation number.

        Asked by the machine itself, with its own secret, or by an owner. Step 1 is a script that asks for step 2 at the
        public URL of the service or, where the operator has set none, at `base_url`; step 2 is ``wait``, ``true``, or
        the commands that open the way.

        Raises:
            Unauthenticated: neither a caller nor the secret of this machine.
        """

    async def tag(self, caller: Caller, infrastructure: str) -> str:
        """An opaque text (letters, digits and hyphens) that changes whenever anything of the infrastructure does.

        What has changed and is not stored yet has a tag of its own, with which `Caller.expects` is still met after it
        was stored. As asking for the state does, this has the clouds asked for news in the background.
        """

    async def images(self, caller: Caller, cloud: str, filters: Mapping[str, str]) -> Sequence[Image]:
        """The images of a cloud of the caller's, by the id of its credential."""

    async def quotas(self, caller: Caller, cloud: str) -> Mapping[str, Quota]:
        """What the caller's account at a cloud has used and may use, by the id of its credential."""

    async def stats(
        self, caller: Caller, since: date | None = None, until: date | None = None
    ) -> Sequence[Mapping[str, JSON]]:
        """A record for each infrastructure of the caller's, deleted ones too, created in ``since <= day < until``."""

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

    async def account_events(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """What happened to all infrastructures of the caller's after a position (`Event.position`), ascending."""

    def follow(self, caller: Caller, infrastructure: str | None = None, after: int = 0) -> AsyncGenerator[Event]:
        """The events after a number (of all infrastructures of the caller's: after a position), and then those to come.

        It ends when the infrastructure is deleted and that has been told, or the service ends. It holds no memory for
        a reader that is slow. The first `Event` asked for raises what `events` raises.
        """

    async def audit(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[AuditRecord]:
        """Who did what, ascending by `AuditRecord.id`: everything for an administrator, else the caller's own."""

    def follow_audit(self, caller: Caller, after: int = 0) -> AsyncGenerator[AuditRecord]:
        """The audit records after a number, and then those to come."""

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

    async def templates(self) -> Sequence[Template]:
        """The TOSCA templates that the service offers to everybody, by name. Those that cannot be read are left out."""

    def version(self) -> str:
        """Version of the service."""

    async def health(self) -> Mapping[str, str]:
        """Component to ``ok`` or what is wrong; used by readiness probes."""

    def metrics(self) -> bytes:
        """Metrics in the Prometheus text format."""

    def plugins(self) -> Sequence[PluginReport]:
        """All installed plugins and how they are."""
