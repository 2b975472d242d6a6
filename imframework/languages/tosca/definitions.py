"""What type definitions say, as objects: properties, attributes, operations, requirements, artifacts.

Made from the YAML of the normative definitions, of imported files and of the documents themselves; inheritance is added
by `types`. All objects are immutable: they are shared by every document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.source import Map, Mark, invalid, key_mark, own_mark, value_mark

LIFECYCLE: Final = ("create", "configure", "start", "stop", "delete")
RELATIONSHIP_OPERATIONS: Final = (
    "pre_configure_source",
    "pre_configure_target",
    "post_configure_source",
    "post_configure_target",
    "add_target",
    "add_source",
    "target_changed",
    "remove_target",
)
INTERFACES: Final = ("Standard", "Configure")

CONSTRAINTS: Final = (
    *("equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal", "in_range", "valid_values"),
    *("length", "min_length", "max_length", "pattern"),
)

#: Schemas inside schemas (lists of lists of …).
_MAX_NESTING: Final = 10


@dataclass(frozen=True, slots=True)
class Constraint:
    """One condition on a value: an operator of `CONSTRAINTS`, and what it compares with."""

    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Property:
    """A property, an attribute, an input or the entries of a list or map: its type and what it must satisfy."""

    name: str
    type: str
    required: bool = True
    default: Any = None
    constraints: tuple[Constraint, ...] = ()
    entry: Property | None = None
    mark: Mark = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an interface; `implementation` is None where it is only declared.

    `mark` says where the implementation stands; `inputs` are not evaluated yet.
    """

    name: str
    implementation: str | None
    inputs: Map
    mark: Mark = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a node, or its type, names. `file` may be a function."""

    name: str
    type: str
    file: Any
    repository: str
    deploy_path: Any
    properties: Map
    mark: Mark = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a node type needs: how often, and through which relationship."""

    name: str
    relationship: str
    lowest: int


def property_of(name: str, raw: object, mark: Mark = None, depth: int = 0) -> Property:
    """The definition that `raw` gives, which may also be the mere name of a type. Raises InvalidDocument."""
    if depth > _MAX_NESTING:
        raise invalid(f"the schema of {shortened(name)} is nested too deep", mark, "too-deep")
    if isinstance(raw, str):
        return Property(name, raw, mark=mark)
    if not isinstance(raw, Map):
        raise invalid(f"the definition of {shortened(name)} must be a mapping with a type", mark, "bad-definition")
    type_ = raw.get("type")
    if not isinstance(type_, str):
        raise invalid(f"the definition of {shortened(name)} has no type", own_mark(raw, mark), "missing-type")
    entry = raw.get("entry_schema")
    return Property(
        name=name,
        type=type_,
        required=raw.get("required") is not False,
        default=raw.get("default"),
        constraints=tuple(constraints_of(name, raw)),
        entry=None if entry is None else property_of(name, entry, value_mark(raw, "entry_schema"), depth + 1),
        mark=mark,
    )


def constraints_of(name: str, raw: Map) -> Iterator[Constraint]:
    """The constraints that a definition lists. Raises InvalidDocument for unknown or malformed ones."""
    constraints = raw.get("constraints")
    if constraints is None:
        return
    mark = value_mark(raw, "constraints")
    for constraint in constraints if isinstance(constraints, list) else [constraints]:
        if not isinstance(constraint, dict) or len(constraint) != 1:
            message = f"a constraint of {shortened(name)} must be a mapping of one operator"
            raise invalid(message, own_mark(constraint, mark), "bad-definition")
        ((operator, value),) = constraint.items()
        if operator not in CONSTRAINTS:
            message = f"{shortened(str(operator))} is not a constraint"
            hint = f"known: {', '.join(CONSTRAINTS)}"
            raise invalid(message, own_mark(constraint, mark), "bad-definition", hint)
        listed = operator in ("in_range", "valid_values")
        if listed and (not isinstance(value, list) or (operator == "in_range" and len(value) != 2)):
            message = f"{operator} of {shortened(name)} needs a list" + (" of two" if operator == "in_range" else "")
            raise invalid(message, own_mark(constraint, mark), "bad-definition")
        yield Constraint(operator, value)


def properties_of(raw: Map, section: str = "properties") -> dict[str, Property]:
    """The properties (or attributes) that a type or a document defines, in order."""
    defined = submap(raw, section, "")
    return {str(name): property_of(str(name), entry, key_mark(defined, name)) for name, entry in defined.items()}


def operations_of(raw: Map, *, of_type: bool) -> dict[str, Operation]:
    """The operations under ``interfaces``; a type may also name interfaces and keys of its own, which are skipped.

    Raises InvalidDocument for unknown interfaces, keys and operations of a template.
    """
    result: dict[str, Operation] = {}
    interfaces = submap(raw, "interfaces", "")
    for interface in interfaces:
        if interface not in INTERFACES:
            if of_type:
                continue
            message = f"the interface {shortened(str(interface))} is unknown"
            hint = f"known: {', '.join(INTERFACES)}"
            raise invalid(message, key_mark(interfaces, interface), "unknown-field", hint)
        listed = submap(interfaces, interface, "")
        nested = submap(listed, "operations", "")
        for container in (listed, nested):
            for name in container:
                if name in LIFECYCLE or name in RELATIONSHIP_OPERATIONS:
                    result[name] = _operation(container, name)
                elif not of_type and not (name == "operations" and container is listed):
                    message = f"{shortened(str(name))} is not an operation of {interface}"
                    raise invalid(message, key_mark(container, name), "unknown-field", "")
    return result


def _operation(container: Map, name: str) -> Operation:
    raw = container[name]
    mark = value_mark(container, name)
    inputs = Map(mark)
    implementation = raw
    if isinstance(raw, Map):
        for key in raw:
            if key not in ("implementation", "inputs", "description", "outputs"):
                message = f"{shortened(str(key))} is not a key of an operation"
                raise invalid(message, key_mark(raw, key), "unknown-field", "known: implementation, inputs")
        implementation = raw.get("implementation")
        mark = value_mark(raw, "implementation")
        inputs = submap(raw, "inputs", f"of {name}")
    if isinstance(implementation, Map):
        implementation = implementation.get("primary") or implementation.get("file")
    if implementation is not None and not isinstance(implementation, str):
        raise invalid(f"the implementation of {name} must be a text", mark, "wrong-type")
    return Operation(name, implementation or None, inputs, mark)


def artifacts_of(raw: Map) -> dict[str, Artifact]:
    """The artifacts that a type or a node template lists; the short form is the file alone."""
    result = {}
    listed = submap(raw, "artifacts", "")
    for key, entry in listed.items():
        name, mark = str(key), key_mark(listed, key)
        if isinstance(entry, str):
            result[name] = Artifact(name, "tosca.artifacts.File", entry, "", None, Map(), mark)
            continue
        if not isinstance(entry, Map):
            raise invalid(f"the artifact {shortened(name)} must be a mapping", mark, "wrong-type")
        for known in entry:
            if known not in _ARTIFACT_KEYS:
                message = f"{shortened(str(known))} is not a key of an artifact"
                raise invalid(message, key_mark(entry, known), "unknown-field", f"known: {', '.join(_ARTIFACT_KEYS)}")
        type_, repository = entry.get("type", "tosca.artifacts.File"), entry.get("repository")
        for text, what in ((type_, "type"), (repository or "", "repository")):
            if not isinstance(text, str):
                message = f"the {what} of the artifact {shortened(name)} must be a text"
                raise invalid(message, value_mark(entry, what), "wrong-type")
        properties = submap(entry, "properties", f"of the artifact {shortened(name)}")
        deploy_path = entry.get("deploy_path")
        result[name] = Artifact(name, type_, entry.get("file"), repository or "", deploy_path, properties, mark)
    return result


_ARTIFACT_KEYS: Final = (
    *("type", "file", "repository", "deploy_path", "properties", "description"),
    *("artifact_version", "checksum", "checksum_algorithm"),
)


def requirements_of(raw: Map) -> dict[str, Requirement]:
    """The requirements that a node type defines itself, in order."""
    result: dict[str, Requirement] = {}
    listed = raw.get("requirements")
    if listed is None:
        return result
    if not isinstance(listed, list):
        raise invalid("requirements must be a list", value_mark(raw, "requirements"), "bad-definition")
    for item in listed:
        if not isinstance(item, Map) or len(item) != 1:
            mark = own_mark(item, value_mark(raw, "requirements"))
            raise invalid("a requirement must be a mapping of one name", mark, "bad-definition")
        ((key, definition),) = item.items()
        name = str(key)
        if not isinstance(definition, Map):
            definition = Map()
        relationship = definition.get("relationship")
        if isinstance(relationship, Map):
            relationship = relationship.get("type")
        result[name] = Requirement(
            name, relationship if isinstance(relationship, str) else "", _lowest(definition.get("occurrences"))
        )
    return result


def _lowest(occurrences: object) -> int:
    if isinstance(occurrences, list) and occurrences and isinstance(occurrences[0], int):
        return occurrences[0]
    return 1


def submap(raw: Mapping[Any, Any], key: object, what: str) -> Map:
    """The mapping under `key`; an empty one if there is none. Raises InvalidDocument if it is something else."""
    value = raw.get(key)
    if value is None:
        return Map(value_mark(raw, key))
    if not isinstance(value, Map):
        message = f"{shortened(str(key))} {what}".strip() + " must be a mapping"
        raise invalid(message, value_mark(raw, key), "wrong-type")
    return value
