"""The topology of a document as objects: nodes, what they offer and need, how they hang together.

Built by `template`. Values are as written: functions in them are resolved by `evaluation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from imframework.languages.tosca.definitions import Artifact, Operation, Property
from imframework.languages.tosca.source import Map, Mark, value_mark
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
    """A policy, and the nodes and groups it is for."""

    name: str
    type: NamedType
    properties: Assigned
    targets: frozenset[str]


@dataclass
class Topology:
    """A document that is structurally sound."""

    document: Map
    types: TypeSystem
    inputs: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    outputs: dict[str, tuple[Any, Mark]] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)

    def of_type(self, root: str) -> Iterator[Node]:
        """The nodes of a type or its descendants, in document order."""
        return (node for node in self.nodes.values() if node.is_a(root))

    @cached_property
    def hosted(self) -> Mapping[Node, list[Node]]:
        """Compute node → itself and all that runs on it, in document order; complete once hosts are settled."""
        result: dict[Node, list[Node]] = {}
        for node in self.nodes.values():
            if node.host is not None:
                result.setdefault(node.host, []).append(node)
        return result

    @cached_property
    def policies_of(self) -> Mapping[str, list[Policy]]:
        """Node → the policies for it or for a group it is in, in document order."""
        groups: dict[str, list[str]] = {}
        for group, members in self.groups.items():
            for member in members:
                groups.setdefault(member, []).append(group)
        indices: dict[str, list[int]] = {}
        for index, policy in enumerate(self.policies):
            for target in policy.targets:
                indices.setdefault(target, []).append(index)
        result = {}
        for name in self.nodes:
            found = {index for target in (name, *groups.get(name, ())) for index in indices.get(target, ())}
            result[name] = [self.policies[index] for index in sorted(found)]
        return result
