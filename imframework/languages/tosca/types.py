"""The type system of a document: normative types, custom types, imported types and its own, with inheritance.

The normative definitions are those that tosca-parser ships; they and our custom types are read once and shared. A
`TypeSystem` is immutable but for a memory of types already put together, which says the same to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, cast

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.definitions import (
    Artifact,
    Constraint,
    Operation,
    Property,
    Requirement,
    artifacts_of,
    constraints_of,
    operations_of,
    properties_of,
    property_of,
    requirements_of,
    submap,
)
from imframework.languages.tosca.source import Map, Mark, invalid, key_mark, load, load_shared, own_mark, value_mark

SECTIONS: Final = (
    *("node_types", "capability_types", "relationship_types", "artifact_types"),
    *("data_types", "interface_types", "policy_types", "group_types"),
)
#: Section → what its types are called in messages.
_WORDS: Final = {section: section.removesuffix("_types") + " type" for section in SECTIONS}
_MAX_LINEAGE: Final = 40
_MAX_SIZE: Final = 150_000
RELATIONSHIP_PREFIX: Final = "tosca.relationships."


@dataclass(frozen=True, slots=True)
class NamedType:
    """What all types have; `lineage` starts with the name itself and ends with the root."""

    name: str
    lineage: tuple[str, ...]
    properties: Mapping[str, Property]
    attributes: Mapping[str, Property]

    @property
    def root(self) -> str:
        """The ancestor right below the root type, or the root itself."""
        return self.lineage[-2] if len(self.lineage) > 1 else self.lineage[-1]

    @property
    def size(self) -> int:
        """How many definitions it holds, which inheritance copies into every heir."""
        return len(self.properties) + len(self.attributes)


@dataclass(frozen=True, slots=True)
class NodeType(NamedType):
    """A node type; its capabilities are their types, with what the node type changes in them."""

    capabilities: Mapping[str, NamedType]
    requirements: Mapping[str, Requirement]
    operations: Mapping[str, Operation]
    artifacts: Mapping[str, Artifact]

    @property
    def size(self) -> int:
        """See `NamedType.size`; capabilities may have been changed, and so copied, too."""
        own = len(self.properties) + len(self.attributes)
        return own + sum(len(capability.properties) for capability in self.capabilities.values())


@dataclass(frozen=True, slots=True)
class RelationshipType(NamedType):
    """A relationship type."""

    operations: Mapping[str, Operation]


@dataclass(frozen=True, slots=True)
class DataType(NamedType):
    """A data type: of properties, or a restriction of a simple type (`value_type` is not empty then)."""

    value_type: str
    constraints: tuple[Constraint, ...]


class TypeSystem:
    """All types that a document may use."""

    def __init__(
        self, definitions: Mapping[str, Mapping[str, Map]], base: TypeSystem | None = None, *, shared: bool = False
    ) -> None:
        self._definitions = definitions
        #: The system that this one adds to without replacing anything: what it has put together is shared.
        self._base = base
        #: A shared one forgets what would make it too large; that of one document refuses it. So no document can
        #: change what the next one may do.
        self._shared = shared
        self._made: dict[tuple[str, str], NamedType] = {}
        self._size = 0

    def extended(self, source: Map, *, shared: bool = False) -> TypeSystem:
        """This system with the types that `source` defines, which replace those of the same name.

        Raises InvalidDocument for sections or types that are no mappings.
        """
        own = {section: submap(source, section, "") for section in SECTIONS}
        for section, defined in own.items():
            for name, definition in defined.items():
                if not isinstance(name, str) or not isinstance(definition, Map):
                    message = f"the {_WORDS[section]} {shortened(str(name))} must be a mapping, its name a text"
                    raise invalid(message, key_mark(defined, name), "bad-definition")
        replaces = any(self.knows(section, name) for section in SECTIONS for name in own[section])
        definitions = {section: {**self._definitions.get(section, {}), **own[section]} for section in SECTIONS}
        return TypeSystem(definitions, None if replaces else self, shared=shared)

    def knows(self, section: str, name: object) -> bool:
        """Whether there is a type of this name in the section."""
        return isinstance(name, str) and name in self._definitions.get(section, {})

    def problems_of(self, source: Map) -> Iterator[Problem]:
        """What is wrong with the types that `source`, an extension of this system, defines."""
        for section in SECTIONS:
            defined = submap(source, section, "")
            for name in defined:
                try:
                    self._check(section, str(name), key_mark(defined, name))
                except InvalidDocument as error:
                    yield from error.problems

    def _check(self, section: str, name: str, mark: Mark) -> None:
        match section:
            case "node_types":
                self.node(name, mark)
            case "capability_types":
                self.capability(name, mark)
            case "relationship_types":
                self.relationship(name, mark)
            case "data_types":
                self.data(name, mark)
            case _:
                self.lineage(section, name, mark)

    def node(self, name: str, mark: Mark = None) -> NodeType:
        """Raises InvalidDocument at `mark` if there is no such type; the others do too."""
        return cast(NodeType, self._get("node_types", name, mark))

    def capability(self, name: str, mark: Mark = None) -> NamedType:
        return self._get("capability_types", name, mark)

    def relationship(self, name: str, mark: Mark = None) -> RelationshipType:
        if not self.knows("relationship_types", name) and self.knows("relationship_types", RELATIONSHIP_PREFIX + name):
            name = RELATIONSHIP_PREFIX + name
        return cast(RelationshipType, self._get("relationship_types", name, mark))

    def data(self, name: str, mark: Mark = None) -> DataType:
        return cast(DataType, self._get("data_types", name, mark))

    def policy(self, name: str, mark: Mark = None) -> NamedType:
        return self._get("policy_types", name, mark)

    def group(self, name: str, mark: Mark = None) -> NamedType:
        return self._get("group_types", name, mark)

    def artifact(self, name: str, mark: Mark = None) -> tuple[str, ...]:
        """The lineage of an artifact type."""
        return self.lineage("artifact_types", name, mark)

    def lineage(self, section: str, name: str, mark: Mark = None) -> tuple[str, ...]:
        """The name of a type and those of its ancestors. Raises InvalidDocument for unknown ones and cycles."""
        result: list[str] = []
        current: object = name
        while current is not None:
            if not self.knows(section, current):
                raise self._unknown(section, current, mark)
            definition = self._definitions[section][str(current)]
            if current in result:
                message = f"the {_WORDS[section]} {shortened(str(current))} derives from itself"
                raise invalid(message, value_mark(definition, "derived_from"), "cycle")
            if len(result) >= _MAX_LINEAGE:
                message = f"the {_WORDS[section]} {shortened(name)} has more than {_MAX_LINEAGE} ancestors"
                raise invalid(message, value_mark(definition, "derived_from"), "too-deep")
            result.append(str(current))
            current, mark = definition.get("derived_from"), value_mark(definition, "derived_from")
        return tuple(result)

    def _unknown(self, section: str, name: object, mark: Mark) -> InvalidDocument:
        shown = shortened(str(name), 80)
        known = self._definitions.get(section, {})
        similar = get_close_matches(shown, known, 1) if len(known) < 2000 else []
        hint = f"did you mean {similar[0]}?" if similar else "define it, or import the file that does"
        return invalid(f"the {_WORDS[section]} {shown} is not defined", mark, "unknown-type", hint)

    def _get(self, section: str, name: str, mark: Mark) -> NamedType:
        made = self._made.get((section, name))
        if made is not None:
            return made
        if self._size > _MAX_SIZE:
            raise self._too_large(mark)
        if self._base is not None and self._base.knows(section, name):
            made = self._base._get(section, name, mark)
        else:
            make = _MAKERS.get(section, TypeSystem._make_plain)
            made = make(self, section, name, self.lineage(section, name, mark))
        if self._size + made.size <= _MAX_SIZE or not self._shared:
            self._size += made.size
            self._made[section, name] = made
        if self._size > _MAX_SIZE:
            raise self._too_large(mark)
        return made

    def _too_large(self, mark: Mark) -> InvalidDocument:
        """Inheritance copies: a few large types with many heirs would fill the memory."""
        return invalid(f"the types of the document have more than {_MAX_SIZE} properties", mark, "too-large")

    def _chain(self, section: str, lineage: tuple[str, ...]) -> list[Map]:
        """The definitions of a lineage, the root first."""
        return [self._definitions[section][name] for name in reversed(lineage)]

    def _make_plain(self, section: str, name: str, lineage: tuple[str, ...]) -> NamedType:
        properties, attributes = self._properties(section, lineage)
        return NamedType(name, lineage, properties, attributes)

    def _properties(self, section: str, lineage: tuple[str, ...]) -> tuple[dict[str, Property], dict[str, Property]]:
        properties: dict[str, Property] = {}
        attributes: dict[str, Property] = {}
        for raw in self._chain(section, lineage):
            properties.update(properties_of(raw))
            attributes.update(properties_of(raw, "attributes"))
        return properties, attributes

    def _make_node(self, section: str, name: str, lineage: tuple[str, ...]) -> NodeType:
        properties, attributes = self._properties(section, lineage)
        capabilities: dict[str, NamedType] = {}
        requirements: dict[str, Requirement] = {}
        operations: dict[str, Operation] = {}
        artifacts: dict[str, Artifact] = {}
        for raw in self._chain(section, lineage):
            capabilities.update(self._capabilities(raw))
            for requirement in requirements_of(raw).values():
                requirements[requirement.name] = _refined(requirements.get(requirement.name), requirement)
            declared = operations_of(raw, of_type=True).items()
            operations.update((key, operation) for key, operation in declared if operation.implementation)
        for raw in reversed(self._chain(section, lineage)):
            # The nearest types first: their roles are listed, and so installed, before those they build on.
            for key, artifact in artifacts_of(raw).items():
                artifacts.setdefault(key, artifact)
        return NodeType(name, lineage, properties, attributes, capabilities, requirements, operations, artifacts)

    def _capabilities(self, raw: Map) -> Iterator[tuple[str, NamedType]]:
        listed = submap(raw, "capabilities", "")
        for key, value in listed.items():
            type_ = value.get("type") if isinstance(value, Map) else value
            mark = value_mark(listed, key)
            if not isinstance(type_, str):
                raise invalid(f"the capability {shortened(str(key))} has no type", mark, "missing-type")
            declared = self.capability(type_, mark)
            yield str(key), _changed(declared, value) if isinstance(value, Map) else declared

    def _make_relationship(self, section: str, name: str, lineage: tuple[str, ...]) -> RelationshipType:
        properties, attributes = self._properties(section, lineage)
        operations: dict[str, Operation] = {}
        for raw in self._chain(section, lineage):
            declared = operations_of(raw, of_type=True).items()
            operations.update((key, operation) for key, operation in declared if operation.implementation)
        return RelationshipType(name, lineage, properties, attributes, operations)

    def _make_data(self, section: str, name: str, lineage: tuple[str, ...]) -> DataType:
        properties, attributes = self._properties(section, lineage)
        value_type = ""
        constraints: list[Constraint] = []
        for raw in self._chain(section, lineage):
            if "type" in raw:
                value_type = property_of(name, raw, own_mark(raw)).type
            constraints.extend(constraints_of(name, raw))
        return DataType(name, lineage, properties, attributes, value_type, tuple(constraints))


_MAKERS: Final[Mapping[str, Callable[[TypeSystem, str, str, tuple[str, ...]], NamedType]]] = {
    "node_types": TypeSystem._make_node,
    "relationship_types": TypeSystem._make_relationship,
    "data_types": TypeSystem._make_data,
}


def _changed(declared: NamedType, raw: Map) -> NamedType:
    """A capability type with the properties that a node type defines anew, or gives another default."""
    changes = submap(raw, "properties", "of a capability")
    if not changes:
        return declared
    properties = dict(declared.properties)
    for key, change in changes.items():
        name, present = str(key), properties.get(str(key))
        if isinstance(change, Map) and (present is None or "type" in change):
            properties[name] = property_of(name, change, key_mark(changes, key))
        elif present is None:
            message = f"the capability type {declared.name} has no property {shortened(name)}"
            raise invalid(message, key_mark(changes, key), "unknown-field")
        else:
            default = change.get("default", present.default) if isinstance(change, Map) else change
            properties[name] = replace(present, default=default)
    return replace(declared, properties=properties)


def _refined(inherited: Requirement | None, own: Requirement) -> Requirement:
    if inherited is None or own.relationship:
        return own
    return Requirement(own.name, inherited.relationship, own.lowest)


# --- what is there without any import ----------------------------------------------------------------------


@cache
def normative() -> TypeSystem:
    """The types of the TOSCA Simple Profile."""
    text = files("toscaparser.elements").joinpath("TOSCA_definition.yaml").read_text(encoding="utf-8")
    return TypeSystem({}).extended(load(text, positions=False), shared=True)


@cache
def custom() -> Map:
    """Our definitions of the usual custom types, which stand in for the file that documents import."""
    text = files(__package__).joinpath("custom_types.yaml").read_text(encoding="utf-8")
    return load(text, positions=False)


@cache
def with_custom() -> TypeSystem:
    """The normative types and the usual custom ones."""
    return normative().extended(custom(), shared=True)


@lru_cache(maxsize=8)
def with_imports(shipped: bool, texts: tuple[str, ...]) -> TypeSystem:
    """The types of imported files, remembered by content, on top of the normative (and custom) ones."""
    system = with_custom() if shipped else normative()
    for text in texts:
        system = system.extended(load_shared(text), shared=True)
    return system
