"""Exported documents read: those of ours, and those of the Infrastructure Manager 1.x and 2.0.

A document is input like any other: nothing in it is believed before it is checked, down to the types of single fields,
and what is wrong is said with the place where it stands. What is found goes into the records of a new infrastructure.

Of a document that is not ours only the machines are known. They become machines with an instance in the ledger, and
`foreign`: no plan is ever made for them, so that nothing is added that they have already.
"""

from __future__ import annotations

import json
import math
import re
import time
import types
import typing
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any, NoReturn, TypeVar

from imframework.api.errors import InvalidDocument, InvalidRequest
from imframework.api.model import JSON, Condition, Credential, Phase, VMState
from imframework.api.storage import LogChunk, Table
from imframework.core import documents
from imframework.core.at_rest import SEALED
from imframework.core.changes import MAX_MACHINES
from imframework.core.definitions import text_of
from imframework.core.entities import RECORDS, VM, DocumentText, Entry, Record, Status, Step
from imframework.core.exports import FORMAT, HEAD, OURS, is_exported
from imframework.core.infrastructure import Infrastructure
from imframework.languages import radl, tosca

R = TypeVar("R", bound=Record)

#: Deepest nesting of values in a record.
DEEPEST = 32
#: Numbers beyond this are none that we could have written.
LARGEST = 2**53
#: Longest key of a record in characters.
LONGEST_KEY = 255

UNFINISHED = "The configuration was not finished when the infrastructure was exported."
NEVER_MADE = "It was not made yet when the infrastructure was exported."
PARTLY_KNOWN = (
    "Imported from another manager: its machines are known here, and what else was made for them is not. "
    "Networks, addresses and volumes of theirs have to be deleted in the cloud."
)

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_FEATURE = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,254}")
_ADDRESS = re.compile(r"[0-9A-Za-z:][0-9A-Za-z.:%-]{0,254}")
_USER = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.@$-]{0,254}")
#: The members of `access` that a document may say; what else there is comes from the cloud, or not at all.
_ACCESS: Mapping[str, type] = {
    "address": str,
    "port": int,
    "user": str,
    "host_key": str,
    "private_key": str,
    "password": str,
    "privileged": bool,
    "operating_system": str,
}
_PHASE_OF_STATE: Mapping[str, Phase] = {
    VMState.RUNNING: Phase.READY,
    VMState.CONFIGURED: Phase.READY,
    VMState.UNCONFIGURED: Phase.READY,
    VMState.STOPPED: Phase.STOPPED,
    VMState.PENDING: Phase.CREATING,
}


@dataclass(slots=True)
class Draft:
    """What a document says, checked."""

    id: str
    created: float
    head: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    private_key: str = field(default="", repr=False)
    note: str = ""

    def enter(self, infra: Infrastructure, credentials: Sequence[Credential]) -> None:
        """Put everything into the records of a new infrastructure, whose clouds are those of the credentials."""
        for name, value in self.head.items():
            setattr(infra, name, value)
        names = _placed([record for record in self.records if isinstance(record, VM)], credentials)
        for record in self.records:
            infra.put(_at_rest(_moved(record, names)))
        infra.pending.log += [LogChunk(stream, text) for stream, text in self.logs.items() if text]
        if self.note:
            infra.log(self.note)
        infra.touch()


def read(text: str) -> Draft:
    """What a document says. It may take a while.

    Raises:
        InvalidRequest: it is no such document; the text says what is wrong, and where.
    """
    try:
        return _Reader(_decoded(text, "the document", encodings=2)).draft()
    except RecursionError:
        raise _wrong("the document", "it is nested too deeply") from None


def _wrong(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"Error importing the infrastructure, incorrect data: {where}: {what}")


def _fail(where: str, what: str) -> NoReturn:
    raise _wrong(where, what)


# --- JSON ------------------------------------------------------------------------------------------------------


def _decoded(value: JSON, where: str, encodings: int = 1) -> dict[str, JSON]:
    """An object, or the object that a text holds as JSON; clients that save what they get as JSON encode it again."""
    while isinstance(value, str) and encodings:
        encodings -= 1
        try:
            value = json.loads(value, parse_constant=lambda name: _fail(where, f"{name} is no number"))
        except json.JSONDecodeError as error:
            _fail(where, f"it is not JSON: line {error.lineno}, column {error.colno}: {error.msg}")
        except ValueError:  # a number of thousands of digits
            _fail(where, "it is not JSON that can be read")
    if not isinstance(value, dict):
        _fail(where, f"it must be an object, and is {_sort(value)}")
    return value


def _sort(value: JSON) -> str:
    """What a value is, for people."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


class _Object:
    """An object of the document, and where it stands."""

    def __init__(self, data: Mapping[str, JSON], where: str) -> None:
        self._data = data
        self._where = where

    def at(self, name: str) -> str:
        """Where a member stands."""
        return f"{self._where}{name}"

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def value(self, name: str) -> JSON:
        """A member as it is; None if it is missing."""
        return self._data.get(name)

    def text(self, name: str) -> str:
        """A text; empty if it is missing. Numbers count as their text."""
        value = self._data.get(name)
        if value is None:
            return ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            _fail(self.at(name), f"it must be a text, and is {_sort(value)}")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean, or None."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, bool | int):
            _fail(self.at(name), f"it must be true or false, and is {_sort(value)}")
        return None if value is None else bool(value)

    def number(self, name: str, default: float = 0) -> float:
        """A number within reason."""
        value = self._data.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            _fail(self.at(name), "it must be a number within reason")
        return value

    def items(self, name: str) -> list[JSON]:
        """A list; empty if it is missing."""
        value = self._data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            _fail(self.at(name), f"it must be a list, and is {_sort(value)}")
        return value

    def object(self, name: str) -> _Object:
        """An object, as such or as JSON text; empty if it is missing."""
        value = self._data.get(name)
        return _Object({} if value in (None, "") else _decoded(value, self.at(name)), f"{self.at(name)}: ")


# --- documents -------------------------------------------------------------------------------------------------


class _Reader:
    """Reads one document."""

    def __init__(self, document: Mapping[str, JSON]) -> None:
        self._document = _Object(document, "")

    def draft(self) -> Draft:
        """What it says."""
        document = self._document
        id = document.text("id")
        if not _ID.fullmatch(id):
            _fail("id", "it must have 1 to 64 letters, digits and hyphens")
        if "vm_list" not in document and OURS not in document:
            _fail("vm_list", "it is missing")
        created = min(max(0.0, document.number("creation_date")), time.time())
        draft = Draft(id, created, logs={"": document.text("cont_out")})
        machines = [
            _Object(_decoded(item, f"vm_list[{position}]"), f"vm_list[{position}]: ")
            for position, item in enumerate(document.items("vm_list"))
        ]
        if len(machines) > MAX_MACHINES:
            _fail("vm_list", f"an infrastructure can have at most {MAX_MACHINES} machines")
        for position, machine in enumerate(machines):
            draft.logs[str(int(machine.number("im_id", position)))] = machine.text("cont_out")
        if OURS in document:
            _Ours(document.object(OURS)).read(draft)
        else:
            _Theirs(document, machines).read(draft)
        return draft


class _Ours:
    """Reads what we have written."""

    def __init__(self, data: _Object) -> None:
        self._data = data

    def read(self, draft: Draft) -> None:
        """Fill a draft."""
        data = self._data
        if data.value("format") != FORMAT:
            _fail(data.at("format"), f"this version of the service reads format {FORMAT}")
        self._head(draft, data.object("head"))
        draft.private_key = data.text("private_key")
        for position, item in enumerate(data.items("records")):
            draft.records.append(self._record(item, f"{OURS}: records[{position}]"))
        _check(draft)

    @staticmethod
    def _head(draft: Draft, head: _Object) -> None:
        for name in HEAD:
            if name in ("name", "title"):
                draft.head[name] = head.text(name)
            elif name == "failed":
                draft.head[name] = bool(head.flag(name))
            else:
                draft.head[name] = max(0, int(head.number(name)))

    @staticmethod
    def _record(item: JSON, where: str) -> Record:
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], dict)):
            _fail(where, "it must be a list of a table and an object")
        tables = {table.value: table for table in (Table.DOCUMENT, Table.VM, Table.RESOURCE, Table.STEP)}
        if item[0] not in tables:
            _fail(where, "there is no such table")
        return _typed_record(RECORDS[tables[item[0]]], item[1], where)


def _typed_record(kind: type[R], data: Mapping[str, JSON], where: str) -> R:
    """A record of fields that have the types they must have."""
    hints: Mapping[str, tuple[Any, bool]] = _hints(kind)  # type: ignore[arg-type]
    for name, (hint, needed) in hints.items():
        if name in data:
            _check_type(hint, data[name], f"{where}: {name}")
        elif needed:
            _fail(where, f"{name} is missing")
    return kind.from_data({name: value for name, value in data.items() if name in hints})


@cache
def _hints(kind: type[Record]) -> Mapping[str, tuple[Any, bool]]:
    """The fields of a record: their types, and whether they must be given."""
    types_of = typing.get_type_hints(kind)
    return {
        item.name: (types_of[item.name], item.default is MISSING and item.default_factory is MISSING)
        for item in fields(kind)  # type: ignore[arg-type]
    }


def _check_type(hint: Any, value: JSON, where: str) -> None:
    """That a value is what a type hint says, as JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is not None:
            _check_type(next(each for each in arguments if each is not type(None)), value, where)
    elif origin in (tuple, frozenset):
        if not isinstance(value, list):
            _fail(where, f"it must be a list, and is {_sort(value)}")
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                _fail(where, f"it must have {len(arguments)} items")
            each_of = arguments
        else:
            each_of = (arguments[0],) * len(value)
        for position, (each, item) in enumerate(zip(each_of, value, strict=True)):
            _check_type(each, item, f"{where}[{position}]")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            _fail(where, f"it must be an object, and is {_sort(value)}")
        _check_value(value, where, DEEPEST)
    elif hint is float or hint is int:
        allowed = (int, float) if hint is float else (int,)
        if isinstance(value, bool) or not isinstance(value, allowed) or not abs(value) <= LARGEST:
            _fail(where, "it must be a number within reason")
    elif not isinstance(value, hint):
        _fail(where, f"it must be {_sort(hint())}, and is {_sort(value)}")


def _check_value(value: JSON, where: str, depth: int) -> None:
    """That a value of whatever sort is harmless: not too deep, and nothing in it that has a meaning to us alone."""
    if depth == 0:
        _fail(where, "it is nested too deeply")
    if isinstance(value, dict):
        if SEALED in value:
            _fail(where, f"{SEALED} must not be used")
        reference = value.get("$ref")
        if "$ref" in value and not (
            isinstance(reference, list) and len(reference) == 2 and all(isinstance(part, str) for part in reference)
        ):
            _fail(where, "$ref must be a list of two texts")
        for name, item in value.items():
            _check_value(item, f"{where}.{name[:40]}", depth - 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_value(item, f"{where}[{position}]", depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        _fail(where, "it must be a number within reason")


def _check(draft: Draft) -> None:
    """That the records of a draft make sense together; what must not be believed is taken out of them."""
    where = f"{OURS}: records"
    records = draft.records
    keys = [(record.table, record.key) for record in records]
    if len(set(keys)) < len(keys):
        _fail(where, "two have the same key")
    if any(len(key) > LONGEST_KEY for _, key in keys):
        _fail(where, f"a key has more than {LONGEST_KEY} characters")
    texts = {record.name: record.text for record in records if isinstance(record, DocumentText)}
    numbers = {record.number for record in records if isinstance(record, VM)}
    if len(numbers) > MAX_MACHINES or any(not 0 <= number < LARGEST for number in numbers):
        _fail(where, f"there must be at most {MAX_MACHINES} machines, with numbers from 0")
    draft.head["next_vm"] = max(draft.head["next_vm"], max(numbers, default=-1) + 1)
    for position, record in enumerate(records):
        place = f"{where}[{position}]"
        match record:
            case DocumentText():
                _check_text(record, place)
            case VM():
                if record.definition not in texts or not record.definition.startswith("definition/"):
                    _fail(place, "there is no such definition")
                if record.phase not in set(Phase):
                    _fail(place, "there is no such phase")
                _check_facts(record.planned, f"{place}: planned")
                _check_facts(record.facts, f"{place}: facts")
                # An alteration under way is completed by the entries; the way back is not in a document.
                records[position] = replace(
                    record, switched_at=0.0, definition_wanted="", alteration="", alteration_error=""
                )
            case Entry():
                records[position] = _checked_entry(record, numbers, place)
            case Step():
                if record.vm not in numbers:
                    _fail(place, "there is no such machine")
    if template := texts.get("tosca"):
        draft.head["title"] = draft.head["title"] or documents.title(template)


def _check_text(record: DocumentText, where: str) -> None:
    if not is_exported(record):
        _fail(where, "there is no document of that name")
    if record.name == "tosca":
        data = _decoded(record.text, where)
        if not (isinstance(data.get("text"), str) and isinstance(data.get("suffix"), str)):
            _fail(where, "it is not a TOSCA document as we store it")
        for name in ("special", "imports"):
            members = data.get(name, {})
            if not isinstance(members, dict) or not all(isinstance(item, str) for item in members.values()):
                _fail(f"{where}: {name}", "it must be an object of texts")
        return
    document = _radl(record.text, where)
    if record.name != "radl" and len(document.systems) != 1:
        _fail(where, "a definition must have one system")


def _checked_entry(entry: Entry, numbers: set[int], where: str) -> Entry:
    """An entry that can be acted on."""
    if entry.status not in set(Status) or entry.phase not in set(Phase):
        _fail(where, "there is no such status or phase")
    if not entry.owners <= numbers or (entry.machine is not None and entry.machine not in numbers):
        _fail(where, "there is no such machine")
    if not all(condition in set(Condition) for _, condition in entry.depends_on):
        _fail(where, "there is no such condition")
    if entry.resolved is None and entry.may_exist and not entry.adopted:
        _fail(f"{where}: resolved", "it is missing, though the resource may exist")
    attributes = dict(entry.attributes)
    _check_facts(attributes.get("facts", {}), f"{where}: attributes.facts")
    if attributes.get("access") is not None:
        attributes["access"] = _checked_access(attributes["access"], f"{where}: attributes.access")
    return replace(entry, attributes=attributes, left=None)


def _check_facts(facts: JSON, where: str) -> None:
    """That facts are features of a machine, each with one value."""
    if not isinstance(facts, dict):
        _fail(where, f"it must be an object, and is {_sort(facts)}")
    for name, value in facts.items():
        texts = value if isinstance(value, list) else [value]
        if not _FEATURE.fullmatch(name):
            _fail(where, "there is a name that no feature can have")
        if isinstance(value, bool) or not (
            isinstance(value, int | float) or (texts and all(isinstance(text, str) for text in texts))
        ):
            _fail(f"{where}.{name}", f"it must be a text, a number or a list of texts, and is {_sort(value)}")


def _checked_access(access: JSON, where: str) -> Mapping[str, JSON]:
    """How a machine is reached, without options: these would be carried out by programs on our side."""
    if not isinstance(access, dict):
        _fail(where, "it must be an object")
    for name, value in access.items():
        if name in _ACCESS and type(value) is not _ACCESS[name]:
            _fail(f"{where}.{name}", f"it must be {_sort(_ACCESS[name]())}, and is {_sort(value)}")
    if not _ADDRESS.fullmatch(access.get("address", "")):
        _fail(f"{where}.address", "it is not an address")
    options = access.get("ssh_options")
    user = options.get("User", "") if isinstance(options, dict) else ""
    for name in (user, access.get("user", "")):
        if name and not (isinstance(name, str) and _USER.fullmatch(name)):
            _fail(where, "it has no user name that could be used")
    if "\n" in access.get("host_key", ""):
        _fail(f"{where}.host_key", "it must be one line")
    allowed = {name: value for name, value in access.items() if name in _ACCESS}
    return {**allowed, "ssh_options": {"User": user}} if user else allowed


def _radl(text: str, where: str) -> radl.Document:
    """A RADL document, in either form."""
    try:
        return radl.parse_json(text) if text.lstrip().startswith("[") else radl.parse(text)
    except InvalidDocument as error:
        _fail(where, str(error.problems[0]))


# --- documents of others ---------------------------------------------------------------------------------------


class _Theirs:
    """Reads what the Infrastructure Manager has written."""

    def __init__(self, document: _Object, machines: Sequence[_Object]) -> None:
        self._document = document
        self._machines = machines

    def read(self, draft: Draft) -> None:
        """Fill a draft."""
        document = self._document
        whole = _radl(document.text("radl"), "radl")
        draft.records.append(DocumentText("radl", radl.dumps(whole)))
        title = self._template(draft)
        numbers: set[int] = set()
        for position, machine in enumerate(self._machines):
            number = int(machine.number("im_id", position))
            if number in numbers or not 0 <= number < LARGEST:
                _fail(machine.at("im_id"), "it must be a number of its own, from 0")
            numbers.add(number)
            draft.records += self._machine(machine, number, draft)
        draft.records = list({(record.table, record.key): record for record in draft.records}.values())
        draft.head = {
            "name": whole.name or "",
            "title": title,
            "generation": 1,
            "config_generation": 1,
            "next_vm": max(numbers, default=-1) + 1,
            "failed": document.flag("configured") is False and not numbers,
        }
        draft.note = PARTLY_KNOWN if numbers else ""

    def _template(self, draft: Draft) -> str:
        """Take over the TOSCA document, if there is one; what it is called."""
        value = self._document.object("extra_info").value("TOSCA")
        if not value:
            return ""
        if isinstance(value, str):
            try:
                inner = json.loads(value)
            except ValueError:
                inner = value  # YAML as such
            value = inner if isinstance(inner, str) else value
        text = value if isinstance(value, str) else json.dumps(value)
        if documents.metadata(text) is None:
            _fail("extra_info: TOSCA", "it is not a TOSCA document")
        stored = documents.template_text(tosca.Stored(text, ""))
        draft.records.append(DocumentText("tosca", stored))
        return documents.title(stored)

    def _machine(self, machine: _Object, number: int, draft: Draft) -> Iterator[Record]:
        shown, asked = (_radl(machine.text(name), machine.at(name)) for name in ("info", "requested_radl"))
        if not shown.systems and not asked.systems:
            _fail(machine.at("info"), "it has no system")
        system = next(iter((shown.systems or asked.systems).values()))
        source = asked if system.id in asked.systems else shown if shown.systems else asked
        definition = text_of(source, source.systems.get(system.id, system).id)
        yield definition
        cloud = machine.object("cloud")
        account, server = cloud.text("id") or cloud.text("type"), cloud.text("server")
        destroyed = bool(machine.flag("destroy"))
        provider_id = machine.text("id")
        state = machine.text("state")
        phase = _PHASE_OF_STATE.get(state, Phase.UNKNOWN)
        facts = dict(_facts(system))
        created = machine.number("creation_date", draft.created)
        configured = machine.flag("configured")
        there = bool(provider_id) and not destroyed
        key = facts.get("disk.0.os.credentials.private_key")
        draft.private_key = draft.private_key or (key if isinstance(key, str) else "")
        yield VM(
            number=number,
            system=system.id,
            definition=definition.name,
            generation=1,
            created=created,
            wanted=not destroyed and not machine.flag("deleting"),
            power_on=state != VMState.STOPPED,
            config_wanted=1,
            config_done=1,
            configured=bool(configured),
            config_error="" if configured is not None else UNFINISHED,
            cloud=account,
            cloud_type=cloud.text("type"),
            cloud_server=server,
            image=str(facts.get("disk.0.image.url", "")),
            flavour=str(facts.get("instance_type", "")),
            planned=facts,
            facts={**facts, "instance_id": provider_id} if there else facts,
            phase=phase if there else Phase.ABSENT,
            launched=there,
            failure="" if there or destroyed else machine.text("error_msg") or NEVER_MADE,
            message=machine.text("error_msg"),
            destroyed=destroyed,
            foreign=True,
        )
        if there:
            if not account:
                _fail(machine.at("cloud"), "it has no id and no type")
            yield Entry(
                account=account,
                name_in_plan=f"instance/{number}",
                kind="instance",
                name=str(facts.get("instance_name", system.id)),
                token=uuid.uuid4().hex,
                generation=1,
                owners=frozenset({number}),
                machine=number,
                status=Status.READY,
                phase=phase,
                provider_id=provider_id,
                resolved={},
                intended_at=created,
                made_at=created,
            )


def _facts(system: radl.System) -> Iterator[tuple[str, JSON]]:
    """The features of a machine that have one value."""
    for name, _ in system.features.items():
        value = system.value(name)
        if value is not None and name not in ("state", "instance_id", "launch_time"):
            yield name, list(value) if isinstance(value, tuple) else value


# --- into the records ------------------------------------------------------------------------------------------


def _placed(machines: Sequence[VM], credentials: Sequence[Credential]) -> dict[str, str]:
    """The credentials that accounts of a document go by from now on, where they have other ids than there.

    An account keeps its name if there is a credential of that id and type, or none that could be meant.
    """
    accounts = {vm.cloud: (vm.cloud_type.lower(), vm.cloud_server) for vm in machines if vm.cloud}
    given = {item.id: item.type.lower() for item in credentials}
    names: dict[str, str] = {}
    for account, (type, server) in accounts.items():
        if given.get(account) == type:
            continue
        taken = {*accounts, *names.values()}
        fitting = [
            item.id
            for item in credentials
            if item.type.lower() == type and item.id not in taken and server in item.get("host")
        ]
        if fitting:
            names[account] = fitting[0]
    return names


def _moved(record: Record, names: Mapping[str, str]) -> Record:
    match record:
        case VM() if record.cloud in names or record.cloud_forced in names:
            forced = names.get(record.cloud_forced, record.cloud_forced)
            return replace(record, cloud=names.get(record.cloud, record.cloud), cloud_forced=forced)
        case Entry() if record.account in names:
            return replace(record, account=names[record.account])
    return record


def _at_rest(record: Record) -> Record:
    """A machine whose configuration was going on is not configured: nobody goes on with it unasked."""
    if isinstance(record, VM) and record.launched and record.alive and record.config_done < record.config_wanted:
        return replace(
            record,
            configured=False,
            config_done=record.config_wanted,
            config_error=record.config_error or UNFINISHED,
        )
    return record
