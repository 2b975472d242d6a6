"""The topology of a document as objects: nodes, what they offer and need, how they hang together.

Built by `template`. Values are as written: functions in them are resolved by `evaluation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from imframework.languages.tosca.definitions import Artifact, Operation, Property
from imframework.languages.tosca.source import Map, Mark, key_mark, value_mark
from imframework.languages.tosca.types import NamedType, NodeType, RelationshipType, TypeSystem

COMPUTE: Final = "tosca.nodes.Compute"
EXTENDED_COMPUTE: Final = "tosca.nodes.indigo.Compute"
NETWORK: Final = "tosca.nodes.network.Network"
PORT: Final = "tosca.nodes.network.Port"
BLOCK_STORAGE: Final = "tosca.nodes.BlockStorage"
ANSIBLE_HOST: Final = "tosca.nodes.im.AnsibleHost"
CONTAINER: Final = "tosca.nodes.Container.Application"
FUNCTION: Final = "tosca.nodes.aisprint.FaaS.Function"
ENDPOINT: Final = "tosca.capabilities.Endpoint"

HOSTED_ON: Final = "tosca.relationships.HostedOn"
BINDS_TO: Final = "tosca.relationships.network.BindsTo"
ORDERING: Final = (HOSTED_ON, "tosca.relationships.DependsOn", "tosca.relationships.ConnectsTo")


@dataclass(frozen=True, slots=True)
class Assigned:
    """The properties of something: what its type defines and what the document gives."""

    definitions: Mapping[str, Property]
    given: Map
    owner: str

    def raw(self, name: str) -> Any:
        """The value as written, or the default; None if there is neither."""
        value = self.given.get(name)
        if value is None and name in self.definitions:
            return self.definitions[name].default
        return value

    def is_given(self, name: str) -> bool:
        """Whether the document itself gives a value."""
        return self.given.get(name) is not None

    def mark(self, name: str) -> Mark:
        """Where the value stands; where the properties stand if it isn't given."""
        return value_mark(self.given, name)


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability of a node."""

    name: str
    type: NamedType
    properties: Assigned


@dataclass(slots=True, eq=False)
class Node:
    """A node template. `relationships` start here, `incoming` end here; `host` is the compute node, if any."""

    name: str
    index: int
    type: NodeType
    mark: Mark
    properties: Assigned
    capabilities: dict[str, Capability]
    operations: dict[str, Operation]
    artifacts: dict[str, Artifact]
    relationships: list[Relationship] = field(default_factory=list)
    incoming: list[Relationship] = field(default_factory=list)
    host: Node | None = None
    level: int = 1

    def is_a(self, *roots: str) -> bool:
        """Whether its type is one of these or derives from one."""
        return any(root in self.type.lineage for root in roots)

    @property
    def is_extended(self) -> bool:
        """Whether it is a compute node of the extended type, whose addresses are lists."""
        return EXTENDED_COMPUTE in self.type.lineage


@dataclass(frozen=True, slots=True, eq=False)
class Relationship:
    """A requirement that is met; `operations` are those of the relationship template."""

    requirement: str
    source: Node
    target: Node
    type: RelationshipType
    properties: Assigned
    operations: Mapping[str, Operation]
    mark: Mark

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.source.name}.{self.requirement}"

    def is_a(self, *types: str) -> bool:
        """Whether its type is one of these or derives from one."""
        return any(name in self.type.lineage for name in types)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and the nodes it is for, groups expanded."""

    name: str
    type: NamedType
    properties: Assigned
    targets: tuple[str, ...]


@dataclass(slots=True)
class Topology:
    """A document that is structurally sound."""

    document: Map
    types: TypeSystem
    inputs: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    outputs: dict[str, tuple[Any, Mark]] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)

    def of_type(self, root: str) -> Iterator[Node]:
        """The nodes of a type or its descendants, in document order."""
        return (node for node in self.nodes.values() if node.is_a(root))

    def hosted_by(self, host: Node) -> Iterator[Node]:
        """The nodes that run on a compute node, in document order, without itself."""
        return (node for node in self.nodes.values() if node.host is host and node is not host)


def given_mark(assigned: Assigned, name: str) -> Mark:
    """Where the key of a given property stands."""
    return key_mark(assigned.given, name)
