"""One infrastructure in memory: its records, what of them is not yet stored, and the cheap questions about it.

The aggregate is changed on the event loop only. Changing it means replacing a record with `put` (or `drop`); what
was replaced is remembered until the repository takes it with `take_pending` and writes it. Counts by state are kept
up to date on the way, so that asking for the state of a thousand machines costs nothing.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from imframework.api.model import JSON, Event, VMState
from imframework.api.storage import Head, Lease, LogChunk, Row, Stored, Table
from imframework.core.entities import RECORDS, VM, DocumentText, Entry, Operation, Record, Run, Secret, Step
from imframework.core.tally import Tally

R = TypeVar("R", bound=Record)

#: From the state that decides most to the one that decides least.
SEVERITY = (
    VMState.FAILED,
    VMState.UNKNOWN,
    VMState.PENDING,
    VMState.RUNNING,
    VMState.UNCONFIGURED,
    VMState.STOPPED,
    VMState.OFF,
    VMState.CONFIGURED,
)

#: Most characters of log text in one event; readers of events hold one at a time.
LOG_PIECE = 16 * 1024


@dataclass(slots=True)
class Pending:
    """What has changed since the last commit. Records are immutable, so another thread may turn them into rows."""

    records: dict[tuple[Table, str], Record | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    log: list[LogChunk] = field(default_factory=list)
    head: bool = False
    anew: bool = False  #: nothing that was stored before is kept

    def __bool__(self) -> bool:
        return bool(self.records or self.events or self.log or self.head)


class Infrastructure:
    """The aggregate. Reading attributes is free; writing goes through the methods."""

    def __init__(self, id: str, owners: frozenset[str], created: float, lease: Lease) -> None:
        self.id = id
        self.owners = owners
        self.created = created
        self.lease = lease
        self.version = 0
        self.deleted = False
        self.due: float | None = None
        self.name = ""
        self.wanted = True
        self.force = False
        self.generation = 1
        self.config_generation = 0
        self.next_vm = 0
        self.sequence = 0
        self.planned = False  #: it is not there until its plan is carried out
        self.failed = False  #: the infrastructure as a whole could not be made (spec: configured flag false)
        self.owner_names: tuple[str, ...] = ()
        self.title = ""  #: what its TOSCA template is called
        self.exported = False  #: deleted here by its export: its machines go on, and this is what the export says
        self.request = ""  #: digest of the document of a creation that may be repeated
        self.refusal: tuple[str, ...] = ()  #: code and text of the error that such a creation ended with
        self.tally = Tally()

        self.documents: dict[str, DocumentText] = {}
        self.secrets: dict[str, Secret] = {}
        self.vms: dict[int, VM] = {}
        self.entries: dict[str, Entry] = {}
        self.operations: dict[str, Operation] = {}
        self.steps: dict[tuple[int, str], Step] = {}
        self.runs: dict[str, Run] = {}

        self.refreshed_with: object = None  #: the credential list last compared with the stored one
        self.unsealed: dict[str, JSON] = {}  #: secrets in the open; never stored, never shown
        self.pending = Pending()
        self.lost = False  #: somebody else holds it now; nothing may be written any more
        self.revision = 0  #: grows with each change in memory
        self.view = secrets.token_hex(4)  #: tells revisions of this view from those of others
        self.was_tagged = ""  #: the tag that this content had while it was in memory only
        self.leaving = ""  #: who waits for it to come to rest, so that it can be handed over
        self.read_at = 0.0  #: when the clouds were last asked about the machines (monotonic clock)
        self.answered_at: dict[str, float] = {}  #: by account, when it last answered about its machines (monotonic)
        self.taken_up = time.monotonic()  #: when this view was made (monotonic clock) …
        self.taken_up_at = 0.0  #: … and the instant at which it was taken over from the database (0: it was not)
        self.cached: dict[tuple[object, ...], tuple[VM, str]] = {}
        self._states: dict[int, VMState] = {}
        self._counts: Counter[VMState] = Counter()
        self.announced = self.state()  #: the aggregated state the last event spoke of

    # --- stored form ---------------------------------------------------------------------------------------

    @classmethod
    def restore(cls, stored: Stored, lease: Lease) -> Infrastructure:
        """The aggregate of what the database holds."""
        head = stored.head
        infra = cls(head.id, head.owners, head.created, lease)
        infra.version = head.version
        infra.deleted = head.deleted
        infra.due = head.due
        for name, value in head.data.items():
            if name != "tally":  # that follows from the machines
                setattr(infra, name, tuple(value) if isinstance(value, list) else value)
        for row in stored.rows:
            infra._index(RECORDS[row.table].from_data(row.data))
        infra.pending.head = False
        infra.announced = infra.state()
        infra.taken_up_at = time.time()
        return infra

    def copy(self) -> Infrastructure:
        """Documents, secrets, machines and resources as they are, to try changes on; a copy is never stored."""
        copy = Infrastructure(self.id, self.owners, self.created, self.lease)
        for name, value in self.head().data.items():
            if name != "tally":
                setattr(copy, name, tuple(value) if isinstance(value, list) else value)
        copy.deleted = self.deleted
        for table in (self.documents, self.secrets, self.vms, self.entries):
            for record in table.values():  # shared: records do not change
                copy._index(record)
        copy.unsealed = dict(self.unsealed)
        copy.announced = copy.state()
        return copy

    def head(self) -> Head:
        """The searchable part, as it is now."""
        data: dict[str, JSON] = {
            "name": self.name,
            "wanted": self.wanted,
            "force": self.force,
            "generation": self.generation,
            "config_generation": self.config_generation,
            "next_vm": self.next_vm,
            "sequence": self.sequence,
            "failed": self.failed,
            "planned": self.planned,
            "owner_names": list(self.owner_names),
            "title": self.title,
            "tally": self.tally.to_data(),
        }
        rare: dict[str, JSON] = {"exported": self.exported, "request": self.request, "refusal": list(self.refusal)}
        data.update((name, value) for name, value in rare.items() if value)
        return Head(self.id, self.owners, self.created, self.deleted, self.due, data, self.version)

    def take_pending(self) -> Pending:
        """Everything to be written, taken over by the caller."""
        pending, self.pending = self.pending, Pending()
        return pending

    # --- changing ------------------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Replace (or add) a record; it will be stored with the next commit. A change of state is an event."""
        before = self._states.get(record.number) if isinstance(record, VM) else None
        self._index(record)
        self.pending.records[record.table, record.key] = record
        self.revision += 1
        if isinstance(record, VM) and (now := record.state()) != before and (record.alive or before is not None):
            self.emit("state", vm=record.number, state=now.value)
            self.announce()

    def drop(self, record: Record) -> None:
        """Remove a record; it will be gone with the next commit."""
        match record:
            case Entry():
                self.entries.pop(record.key, None)
            case Operation():
                self.operations.pop(record.id, None)
            case Step():
                self.steps.pop((record.vm, record.task), None)
            case Run():
                self.runs.pop(record.id, None)
            case Secret():
                self.secrets.pop(record.name, None)
            case DocumentText():
                self.documents.pop(record.name, None)
            case _:
                raise TypeError(f"{type(record).__name__} records are kept")
        self.pending.records[record.table, record.key] = None
        self.revision += 1

    def touch(self) -> None:
        """Note that one of the head's own fields was changed."""
        self.pending.head = True
        self.revision += 1

    def announce(self) -> None:
        """Emit an event if the aggregated state changed."""
        state = self.state()
        if state != self.announced:
            self.announced = state
            self.emit("state", state=state.value)

    def emit(self, type: str, **data: JSON) -> None:
        """Append an event."""
        self.sequence += 1
        self.pending.events.append(Event(self.id, self.sequence, time.time(), type, data))
        self.pending.head = True

    def log(self, text: str, vm: int | None = None) -> None:
        """Append to the configuration log, of the whole or of one machine. Lines of the whole get a date."""
        if vm is None:
            date = time.strftime("%Y-%m-%d %H:%M:%S: ")
            text = "".join(f"{date}{line}\n" if line else "\n" for line in text.splitlines())
        if not text.isascii():  # the output of programs may hold what is no text
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        about: dict[str, JSON] = {} if vm is None else {"vm": vm}
        for begin in range(0, len(text), LOG_PIECE):
            self.emit("log", **about, text=text[begin : begin + LOG_PIECE])
        self.pending.log.append(LogChunk("" if vm is None else str(vm), text))

    def _index(self, record: Record) -> None:
        match record:
            case VM():
                if self.tally.replace(self.vms.get(record.number), record):
                    self.pending.head = True
                self.vms[record.number] = record
                self._count(record)
            case Entry():
                self.entries[record.key] = record
            case Operation():
                self.operations[record.id] = record
            case Step():
                self.steps[record.vm, record.task] = record
            case Run():
                self.runs[record.id] = record
            case DocumentText():
                self.documents[record.name] = record
            case Secret():
                self.secrets[record.name] = record

    def _count(self, vm: VM) -> None:
        before = self._states.get(vm.number)
        now = vm.state()
        if before == now and vm.alive:
            return
        if before is not None:
            self._counts[before] -= 1
        if vm.alive:
            self._counts[now] += 1
            self._states[vm.number] = now
        else:
            self._states.pop(vm.number, None)

    # --- asking --------------------------------------------------------------------------------------------

    def vm_states(self) -> Mapping[int, VMState]:
        """State of each machine that is not deleted, by number."""
        return self._states

    def state(self) -> VMState:
        """The aggregated state: the one of the highest severity that some machine has."""
        if not self.wanted:
            return VMState.DELETING
        for state in SEVERITY:
            if self._counts[state] > 0:
                return state
        if self._counts[VMState.DELETING] > 0:
            return VMState.RUNNING
        return VMState.FAILED if self.failed else VMState.PENDING

    def alive(self) -> Iterable[VM]:
        """Machines that are not destroyed, by number."""
        return (vm for _, vm in sorted(self.vms.items()) if vm.alive)

    def record(self, table: Table, key: str) -> Record | None:
        """The record under a key, as it is now."""
        match table:
            case Table.DOCUMENT:
                return self.documents.get(key)
            case Table.SECRET:
                return self.secrets.get(key)
            case Table.VM:
                return self.vms.get(int(key))
            case Table.RESOURCE:
                return self.entries.get(key)
        raise LookupError(f"{table.value} records are not looked up by key")

    @property
    def radl(self) -> str:
        """The stored document."""
        return self._document("radl")

    @property
    def template(self) -> str:
        """The stored TOSCA document with what belongs to it, as JSON; empty if there is none."""
        return self._document("tosca")

    def _document(self, name: str) -> str:
        record = self.documents.get(name)
        return record.text if record else ""

    def rows(self, pending: Pending) -> tuple[tuple[Row, ...], tuple[tuple[Table, str], ...]]:
        """Pending records as rows to write and keys to delete."""
        upserts = tuple(record.to_row() for record in pending.records.values() if record is not None)
        deletes = tuple(key for key, record in pending.records.items() if record is None)
        return upserts, deletes
