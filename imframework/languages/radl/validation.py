"""The check stage: do the names exist, and do the known features have sensible values?

What is known is one table per class of aspect: feature → rule. Features that are in no table are free; they are kept,
printed and sent on, whatever their value. Syntax, duplicates and contradictions were found when the document was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from typing import Final, Protocol

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.document import AnsibleNode, Configure, Contextualize, Document, Network, System
from imframework.languages.radl.features import (
    Bound,
    Collection,
    Feature,
    Features,
    Group,
    Number,
    Text,
    TextList,
    is_index,
    is_secret,
    kind_of,
)
from imframework.languages.radl.lexical import MAX_DEPTH, MAX_PROBLEMS, name_problem, shortened, text_problem
from imframework.languages.radl.outports import parse_outports
from imframework.languages.radl.reading import Reading
from imframework.languages.radl.recipes import recipe_problems
from imframework.languages.radl.units import is_size_unit


def check(document: Document, *, boot_disk_required: bool = True) -> None:
    """Validate `document`; references are taken on trust.

    Raises InvalidDocument with all its problems (at most 50), in the order networks, Ansible nodes, systems, deploys,
    recipes, contextualize, and last what a program may have built that no text can say. Without `boot_disk_required`,
    as for documents translated from TOSCA, data disks need no ``disk.0`` beside them.
    """
    problems = tuple(islice(_problems(document, boot_disk_required), MAX_PROBLEMS))
    if problems:
        raise InvalidDocument(problems)


def all_problems(reading: Reading) -> tuple[Problem, ...]:
    """What was wrong with reading a document and what is wrong with the part of it that was read, at most 50 each.

    Nothing is said about what may merely be missing from that part.
    """
    document = _trusting(reading.document) if reading.lost else reading.document
    found = islice(_problems(document, boot_disk_required=True, partial=reading.partial), MAX_PROBLEMS)
    return (*reading.problems, *found)


_NONE: Final[frozenset[tuple[str, str]]] = frozenset()


def _problems(
    document: Document, boot_disk_required: bool, partial: frozenset[tuple[str, str]] = _NONE
) -> Iterator[Problem]:
    for network in document.networks.values():
        if not network.reference:
            problems = _feature_problems(network.features, NETWORK_RULES, document)
            yield from _named(network, problems)
    for node in document.ansibles.values():
        whole = ("ansible", node.id) not in partial
        yield from _named(node, _ansible_problems(node, document, whole))
    for system in document.systems.values():
        if not system.reference:
            whole = ("system", system.id) not in partial
            yield from _named(system, _system_problems(system, document, boot_disk_required, whole))
    yield from _deploy_problems(document)
    yield from recipe_problems(document)
    if document.contextualize is not None:
        yield from _contextualize_problems(document.contextualize, document)
    yield from _unwritable(document)


def _trusting(document: Document) -> Document:
    """The document, with a reference for each name that it uses and does not define."""
    result = document.copy()
    for system in document.systems.values():
        for network in system.connections().values():
            result.networks.setdefault(network, Network(network, reference=True))
        host = system.text("ansible_host")
        if host is not None and host not in result.ansibles:
            credentials = {"host": "", "credentials.username": "", "credentials.password": ""}
            result.ansibles[host] = node = AnsibleNode(host)
            for name, value in credentials.items():
                node.set(name, value)
    items = () if document.contextualize is None else document.contextualize.items.values()
    for name in (*(deploy.system for deploy in document.deploys), *(item.system for item in items)):
        result.systems.setdefault(name, System(name, reference=True))
    for item in items:
        result.configures.setdefault(item.configure, Configure(item.configure, reference=True))
    return result


def _named(aspect: AnsibleNode | Network | System, problems: Iterator[Problem]) -> Iterator[Problem]:
    """The problems, naming the aspect when no line says where they are (as in documents that came as JSON)."""
    kinds = {AnsibleNode: "ansible", Network: "network", System: "system"}
    where = f"{kinds[type(aspect)]} '{shortened(aspect.id)}'"
    for problem in problems:
        yield problem if problem.line is not None else replace(problem, message=f"{where}: {problem.message}")


# --- rules -------------------------------------------------------------------------------------------------


class Rule(Protocol):
    """What a known feature may be."""

    def problems(self, name: str, feature: Feature, document: Document) -> Iterator[Problem]:
        """What is wrong with `feature`, which is called `name`."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """A text: one of `choices` in any case, or the id of an aspect of the class `names`, or one without `fault`.

    `fault` says what is wrong with a text; an empty string if nothing is.
    """

    choices: tuple[str, ...] = ()
    names: str = ""
    fault: Callable[[str], str] | None = None
    any_operator: bool = False
    or_list: bool = False

    def problems(self, name: str, feature: Feature, document: Document) -> Iterator[Problem]:
        if isinstance(feature, TextList) and self.or_list:
            return
        if not isinstance(feature, Text):
            wanted = "a text or a list of texts" if self.or_list else "a text"
            yield _wrong_type(name, feature, wanted)
            return
        if feature.op != "=" and not self.any_operator:
            yield _problem(feature, "wrong-operator", f"{name} is compared with {feature.op}", "only = is allowed")
        value = feature.value
        shown = "this value" if is_secret(name) else f"'{shortened(value)}'"
        if self.choices and value.lower() not in self.choices:
            allowed = ", ".join(self.choices)
            yield _problem(feature, "wrong-value", f"{name} cannot be {shown}", f"allowed: {allowed}")
        if self.names:
            known = document.networks if self.names == "network" else document.ansibles
            if value not in known:
                message = f"{name} names {shown}, but the document has no such {self.names}"
                hint = _similar(value, known) or f"every {self.names} that is used must be in the document"
                yield _problem(feature, "wrong-value", message, hint)
        if self.fault is not None:
            fault = self.fault(value)
            if fault:
                yield _problem(feature, "wrong-value", f"{name} cannot be {shown}", fault)


@dataclass(frozen=True, slots=True)
class NumberRule:
    """A number that is not negative, without unit unless `units` are given, in which case one of them is needed."""

    units: tuple[str, ...] = ()
    size: bool = False
    whole: bool = False

    def problems(self, name: str, feature: Feature, document: Document) -> Iterator[Problem]:
        if not isinstance(feature, Number):
            yield _wrong_type(name, feature, "a number")
            return
        for bound in feature.bounds:
            if self.whole and isinstance(bound.value, float):
                yield _problem(bound, "wrong-type", f"{name} must be a whole number", "use a smaller unit")
            elif not self._allows_unit(bound.unit):
                wrong = f"cannot have the unit '{shortened(bound.unit)}'" if bound.unit else "needs a unit"
                yield _problem(bound, "wrong-unit", f"{name} {wrong}", self._units_hint())
            elif bound.value < 0:
                yield _problem(bound, "wrong-value", f"{name} cannot be negative")

    def _allows_unit(self, unit: str) -> bool:
        if self.size:
            return is_size_unit(unit)
        return unit.upper() in self.units if self.units else not unit

    def _units_hint(self) -> str:
        if self.size:
            return "allowed: B, K, M, G, T, and Ki, Mi, Gi, Ti, each with or without a B"
        return f"one of {', '.join(self.units)}" if self.units else "write the number alone"


@dataclass(frozen=True, slots=True)
class CollectionRule:
    """A collection (``contains``), the fields of whose elements have rules; `required` ones must be there."""

    fields: Mapping[str, Rule]
    required: tuple[str, ...] = ()

    def problems(self, name: str, feature: Feature, document: Document) -> Iterator[Problem]:
        if not isinstance(feature, Collection):
            yield _wrong_type(name, feature, "a collection (contains)")
            return
        for element in feature:
            for missing in self.required:
                if missing not in element:
                    yield _problem(feature, "wrong-value", f"an element of {name} has no {missing}")
            yield from _feature_problems(element, self.fields, document)


def _outports_fault(text: str) -> str:
    try:
        parse_outports(text)
    except InvalidDocument as error:
        return str(error)
    return ""


def _password_fault(password: str) -> str:
    strong = (
        len(password) > 6
        and any(character.isupper() for character in password)
        and any(character.isdigit() for character in password)
        and any(not character.isalnum() for character in password)
    )
    return "" if strong else "it needs more than 6 characters with an upper-case letter, a digit and a symbol"


def _version_fault(version: str) -> str:
    matches = re.fullmatch(r"([0-9]+(\.[0-9]+)*+)?", version)
    return "" if matches else "a version is empty, or numbers joined by dots"


_FREE_TEXT: Final = TextRule()
_YES_NO: Final = TextRule(choices=("yes", "no"))
_SIZE: Final = NumberRule(size=True)
_NOT_EMPTY: Final = TextRule(fault=lambda text: "" if text else "it must not be empty")
_VERSION: Final = TextRule(fault=_version_fault, any_operator=True)

NETWORK_RULES: Final[Mapping[str, Rule]] = {
    "outbound": _YES_NO,
    "outports": TextRule(fault=_outports_fault),
    "provider_id": _FREE_TEXT,
}

ANSIBLE_RULES: Final[Mapping[str, Rule]] = {
    "host": _FREE_TEXT,
    "credentials.username": _FREE_TEXT,
    "credentials.password": _FREE_TEXT,
    "credentials.private_key": _FREE_TEXT,
}

SYSTEM_RULES: Final[Mapping[str, Rule]] = {
    "cpu.count": NumberRule(),
    "cpu.arch": TextRule(
        choices=(
            *("i386", "i486", "i586", "i686", "x86_64", "amd64"),
            *("arm64", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64"),
        )
    ),
    "cpu.performance": NumberRule(units=("ECU", "GCEU", "HRZ")),
    "memory.size": NumberRule(size=True, whole=True),
    "price": NumberRule(),
    "spot": _YES_NO,
    "image_type": TextRule(choices=("vmdk", "qcow", "qcow2", "raw")),
    "ansible_host": TextRule(names="ansible"),
}

#: Features ``net_interface.N.…``
INTERFACE_RULES: Final[Mapping[str, Rule]] = {
    "connection": TextRule(names="network"),
    "ip": _FREE_TEXT,
    "dns_name": _FREE_TEXT,
}

#: Features ``disk.N.…``
DISK_RULES: Final[Mapping[str, Rule]] = {
    "image.url": TextRule(or_list=True, any_operator=True),
    "image.name": _FREE_TEXT,
    "size": _SIZE,
    "free_size": _SIZE,
    "type": _FREE_TEXT,
    "device": _FREE_TEXT,
    "mount_path": _FREE_TEXT,
    "fstype": _FREE_TEXT,
    "os.name": TextRule(choices=("linux", "windows", "mac os x")),
    "os.flavour": _FREE_TEXT,
    "os.version": _VERSION,
    "os.credentials.username": _FREE_TEXT,
    "os.credentials.password": _FREE_TEXT,
    "os.credentials.public_key": _FREE_TEXT,
    "os.credentials.private_key": _FREE_TEXT,
    "os.credentials.new.password": TextRule(fault=_password_fault),
    "applications": CollectionRule(
        {"name": _NOT_EMPTY, "version": _VERSION, "path": _NOT_EMPTY, "preinstalled": _YES_NO}, required=("name",)
    ),
}

_NUMBERED: Final = {"net_interface": INTERFACE_RULES, "disk": DISK_RULES}


# --- aspects -----------------------------------------------------------------------------------------------


def _feature_problems(features: Features, rules: Mapping[str, Rule], document: Document) -> Iterator[Problem]:
    for name, feature in features.items():
        rule = rules.get(name)
        if rule is not None:
            yield from rule.problems(name, feature, document)


def _ansible_problems(node: AnsibleNode, document: Document, whole: bool) -> Iterator[Problem]:
    yield from _feature_problems(node.features, ANSIBLE_RULES, document)
    if not whole:
        return
    subject = "an Ansible node must have"
    if "host" not in node.features:
        yield Problem(f"{subject} a host", node.line, node.column, "ansible-no-host", "give host = '…'")
    if "credentials.username" not in node.features:
        hint = "give credentials.username = '…'"
        yield Problem(f"{subject} a user", node.line, node.column, "ansible-no-user", hint)
    if "credentials.password" not in node.features and "credentials.private_key" not in node.features:
        hint = "give credentials.password or credentials.private_key"
        yield Problem(f"{subject} a secret", node.line, node.column, "ansible-no-secret", hint)


@dataclass(slots=True)
class _Indices:
    """The disks or interfaces that a system mentions through known features: number → the first such feature."""

    prefix: str
    first: dict[int, Feature] = field(default_factory=dict)

    def gap(self) -> Problem | None:
        """The problem if their numbers are not 0, 1, 2 …"""
        for expected, number in enumerate(sorted(self.first)):
            if number != expected:
                message = f"{self.prefix}.{number} is described, but not {self.prefix}.{expected}"
                hint = f"{self.prefix} is numbered from 0 without gaps"
                return _problem(self.first[number], "index-gap", message, hint)
        return None


def _system_problems(system: System, document: Document, boot_disk_required: bool, whole: bool) -> Iterator[Problem]:
    interfaces, disks = _Indices("net_interface"), _Indices("disk")
    yield from _system_feature_problems(system.features, document, (interfaces, disks))
    if not whole:
        return
    if disks.first and not boot_disk_required:
        disks.first.setdefault(0, next(iter(disks.first.values())))
    for indices in (interfaces, disks):
        gap = indices.gap()
        if gap is not None:
            yield gap
    for number, feature in interfaces.first.items():
        if f"net_interface.{number}.connection" not in system.features:
            message = f"net_interface.{number} has no connection"
            hint = f"give net_interface.{number}.connection = 'id of a network'"
            yield _problem(feature, "interface-without-connection", message, hint)


def _system_feature_problems(
    features: Features, document: Document, numbered: tuple[_Indices, ...]
) -> Iterator[Problem]:
    """Problems of single features; soft groups are held to the same rules, but need not be complete."""
    for name, feature in features.items():
        prefix, dot, rest = name.partition(".")
        if dot and prefix in _NUMBERED:
            index, _, rest = rest.partition(".")
            if not is_index(index):
                hint = f"write {prefix}.0.{shortened(rest or index)}"
                yield _problem(feature, "index-not-a-number", f"{shortened(name)} has no number after {prefix}", hint)
                continue
            rule = _NUMBERED[prefix].get(rest)
            if rule is not None:
                for indices in numbered:
                    if indices.prefix == prefix:
                        indices.first.setdefault(int(index), feature)
        else:
            rule = SYSTEM_RULES.get(name)
        if rule is not None:
            yield from rule.problems(name, feature, document)
    for soft in features.softs:
        yield from _system_feature_problems(soft.features, document, ())


def _deploy_problems(document: Document) -> Iterator[Problem]:
    for deploy in document.deploys:
        if deploy.system not in document.systems:
            message = f"there is no system '{shortened(deploy.system)}' to deploy"
            hint = _similar(deploy.system, document.systems)
            yield Problem(message, deploy.line, deploy.column, "deploy-unknown-system", hint)
        if deploy.count < 0:
            message = f"system '{shortened(deploy.system)}' cannot be deployed {deploy.count} times"
            yield Problem(message, deploy.line, deploy.column, "deploy-negative", "the number is 0 or more")


def _contextualize_problems(contextualize: Contextualize, document: Document) -> Iterator[Problem]:
    for item in contextualize.items.values():
        if item.system not in document.systems:
            message = f"contextualize names the unknown system '{shortened(item.system)}'"
            hint = _similar(item.system, document.systems)
            yield Problem(message, item.line, item.column, "contextualize-unknown-system", hint)
        if item.configure not in document.configures:
            message = f"contextualize names the unknown recipe '{shortened(item.configure)}'"
            hint = _similar(item.configure, document.configures)
            yield Problem(message, item.line, item.column, "contextualize-unknown-configure", hint)
        if item.step < 0:
            yield Problem(f"{item.step} is not a step", item.line, item.column, "bad-step", "steps are 0 or more")
    if contextualize.max_time < 0 or isinstance(contextualize.max_time, float):
        message = f"{contextualize.max_time} is not a time limit"
        yield Problem(message, kind="bad-max-time", hint="give whole seconds, 0 or more")


# --- what no text can say ----------------------------------------------------------------------------------


def _unwritable(document: Document) -> Iterator[Problem]:
    """What could not be stored: documents that were read have none of this, built ones might."""
    described = [
        *((document.description,) if document.description is not None else ()),
        *document.ansibles.values(),
        *document.networks.values(),
        *document.systems.values(),
    ]
    for aspect in [*described, *document.configures.values()]:
        yield from _bad_name(aspect.id, aspect.line, aspect.column)
    for aspect in described:
        yield from _unwritable_features(aspect.features)
    for deploy in document.deploys:
        if wrong := text_problem(deploy.cloud or ""):
            yield Problem(f"a cloud id {wrong}", deploy.line, deploy.column, "wrong-value")
    if document.contextualize is not None:
        for item in document.contextualize.items.values():
            if item.tool is not None:
                yield from _bad_name(item.tool, item.line, item.column)
        yield from _unwritable_features(document.contextualize.options)
        for name, option in document.contextualize.options.items():
            with_unit = isinstance(option, Number) and any(bound.unit for bound in option.bounds)
            if with_unit or not isinstance(option, Text | Number):
                message = f"the option {shortened(name)} is neither a text nor a number without unit"
                yield _problem(option, "wrong-type", message)


def _unwritable_features(features: Features, depth: int = 1) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(f"groups are nested more than {MAX_DEPTH} deep", kind="too-deep")
        return
    for name, feature in features.items():
        yield from _bad_name(name, feature.line, feature.column)
        match feature:
            case Text():
                texts: tuple[str, ...] = (feature.value,)
            case TextList():
                texts = feature.values
            case Number():
                texts = ()
                for bound in feature.bounds:
                    if bound.unit:
                        yield from _bad_name(bound.unit, bound.line, bound.column)
            case Collection():
                texts = ()
                for element in feature:
                    yield from _unwritable_features(element, depth + 1)
            case Group():
                texts = ()
                yield from _unwritable_features(feature.features, depth + 1)
        for text in texts:
            if wrong := text_problem(text):
                yield _problem(feature, "wrong-value", f"{shortened(name)} {wrong}")
    for soft in features.softs:
        yield from _unwritable_features(soft.features, depth + 1)


def _bad_name(name: str, line: int | None, column: int | None) -> Iterator[Problem]:
    if wrong := name_problem(name):
        yield Problem(f"'{shortened(name)}' is not a name", line, column, "bad-name", wrong)


# --- wording -----------------------------------------------------------------------------------------------


def _problem(at: Feature | Bound, kind: str, message: str, hint: str = "") -> Problem:
    return Problem(message, at.line, at.column, kind, hint)


def _wrong_type(name: str, feature: Feature, wanted: str) -> Problem:
    hint = ""
    if isinstance(feature, Number) and wanted.startswith("a text"):
        hint = "write the value in single quotes"
    elif isinstance(feature, Text) and wanted == "a number":
        hint = "write the number without quotes"
    elif wanted.startswith("a collection"):
        hint = f"write {name} contains (name = '…')"
    return _problem(feature, "wrong-type", f"{name} must be {wanted}, not {kind_of(feature)}", hint)


def _similar(name: str, known: Mapping[str, object]) -> str:
    similar = get_close_matches(name, known, 1) if len(name) < 100 and len(known) < 100 else []
    return f"did you mean '{similar[0]}'?" if similar else ""
