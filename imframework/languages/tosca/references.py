"""What the arguments of ``get_property`` and ``get_attribute`` name, and whether every function call makes sense.

Finding is shared by the check before and the evaluation after, so that both see the same node, capability or
relationship. Values are not looked at: that is `evaluation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.calls import UNSUPPORTED, call, is_function
from imframework.languages.tosca.definitions import Property
from imframework.languages.tosca.source import Map, Mark, invalid, own_mark, value_mark
from imframework.languages.tosca.topology import HOSTED_ON, Assigned, Node, Relationship, Topology
from imframework.languages.tosca.types import TypeSystem

_KEYWORDS: Final = ("SELF", "HOST", "SOURCE", "TARGET")
#: HOST looks this far down.
_MAX_HOSTS: Final = 50
_ADDRESSES: Final = ("private_address", "public_address")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a function stands: in a node, in a relationship, or (None) in the outputs or a policy."""

    entity: Node | Relationship | None = None


@dataclass(frozen=True, slots=True)
class PropertyTarget:
    """A property of something, and what to take of its value."""

    assigned: Assigned
    name: str
    path: tuple[Any, ...]
    scope: Scope


@dataclass(frozen=True, slots=True)
class AttributeTarget:
    """An attribute. `local` says that it was asked for by SELF or HOST, `capability` is empty for the node's own."""

    node: Node | Relationship
    capability: str
    name: str
    path: tuple[Any, ...]
    local: bool
    definition: Property | None


# --- nodes -------------------------------------------------------------------------------------------------


def _candidates(topology: Topology, name: Any, scope: Scope, mark: Mark) -> list[Node | Relationship]:
    """What the first argument may stand for: HOST is any node below, from the nearest on."""
    entity = scope.entity
    match name:
        case "SELF" if entity is not None:
            return [entity]
        case "HOST" if isinstance(entity, Node):
            return list(_hosts(entity))
        case "SOURCE" if isinstance(entity, Relationship):
            return [entity.source]
        case "TARGET" if isinstance(entity, Relationship):
            return [entity.target]
    if name in _KEYWORDS:
        raise invalid(f"{name} means nothing here", mark, "function-context", "name a node")
    node = topology.nodes.get(name) if isinstance(name, str) else None
    if node is None:
        raise invalid(f"there is no node {shortened(str(name))}", mark, "unknown-node")
    return [node]


def _hosts(node: Node) -> Iterator[Node]:
    seen = {node}
    current = node
    while len(seen) <= _MAX_HOSTS:
        below = next((link.target for link in current.relationships if link.is_a(HOSTED_ON)), None)
        if below is None or below in seen:
            break
        yield below
        seen.add(below)
        current = below
    if current is node:
        yield node


def _required(node: Node, requirement: Any) -> Node | None:
    return next((link.target for link in node.relationships if link.requirement == requirement), None)


# --- properties --------------------------------------------------------------------------------------------


def property_target(topology: Topology, arguments: Sequence[Any], scope: Scope, mark: Mark) -> PropertyTarget:
    """What ``get_property`` with these arguments names. Raises InvalidDocument if there is no such thing."""
    _plain_arguments("get_property", arguments, 2, mark)
    for entity in _candidates(topology, arguments[0], scope, mark):
        target = _property_of(entity, arguments[1], tuple(arguments[2:]))
        if target is not None:
            return target
    shown = ", ".join(shortened(str(argument)) for argument in arguments[:6])
    raise invalid(f"there is no property [{shown}]", mark, "unknown-property")


def _property_of(entity: Node | Relationship, name: Any, path: tuple[Any, ...]) -> PropertyTarget | None:
    if isinstance(entity, Node) and path:
        found = _capability_property(entity, name, path)
        if found is not None:
            return found
    if name in entity.properties.definitions:
        return PropertyTarget(entity.properties, name, path, Scope(entity))
    return None


def _capability_property(node: Node, name: Any, path: tuple[Any, ...]) -> PropertyTarget | None:
    target = _required(node, name)
    for owner in (target, node) if target is not None else (node,):
        capability = owner.capabilities.get(name)
        if capability is not None and path[0] in capability.properties.definitions:
            return PropertyTarget(capability.properties, path[0], path[1:], Scope(owner))
        if owner is target and path[0] in owner.properties.definitions:
            return PropertyTarget(owner.properties, path[0], path[1:], Scope(owner))
    return None


# --- attributes --------------------------------------------------------------------------------------------


def attribute_target(topology: Topology, arguments: Sequence[Any], scope: Scope, mark: Mark) -> AttributeTarget:
    """What ``get_attribute`` with these arguments names. Raises InvalidDocument: unknown, or wrongly indexed."""
    _plain_arguments("get_attribute", arguments, 2, mark)
    local = arguments[0] in ("SELF", "HOST")
    for entity in _candidates(topology, arguments[0], scope, mark):
        target = _attribute_of(entity, arguments[1], tuple(arguments[2:]), local)
        if target is not None:
            if target.definition is not None:
                _check_path(topology.types, target.definition, target.path, mark)
            return target
    shown = ", ".join(shortened(str(argument)) for argument in arguments[:6])
    raise invalid(f"there is no attribute [{shown}]", mark, "unknown-attribute")


def _attribute_of(entity: Node | Relationship, name: Any, path: tuple[Any, ...], local: bool) -> AttributeTarget | None:
    defined = entity.type.attributes.get(name) or entity.properties.definitions.get(name)
    if defined is not None:
        return AttributeTarget(entity, "", name, path, local, defined)
    if not isinstance(entity, Node):
        return None
    if name in _ADDRESSES and entity.host is not None:
        return AttributeTarget(entity, "", name, path, local, entity.host.type.attributes.get(name))
    if not path:
        return None
    target = _required(entity, name)
    for owner in (target, entity) if target is not None else (entity,):
        capability = owner.capabilities.get(name)
        inner = path[0]
        if capability is not None:
            defined = capability.type.attributes.get(inner) or capability.properties.definitions.get(inner)
            if defined is not None:
                return AttributeTarget(owner, name, inner, path[1:], local and owner is entity, defined)
        if owner is target and (owner.type.attributes.get(inner) or inner in owner.properties.definitions):
            defined = owner.type.attributes.get(inner) or owner.properties.definitions[inner]
            return AttributeTarget(owner, "", inner, path[1:], False, defined)
    return None


def _check_path(types: TypeSystem, definition: Property, path: tuple[Any, ...], mark: Mark) -> None:
    current: Property | None = definition
    for step in path:
        if current is None:
            return
        match current.type:
            case "list" if isinstance(step, int) and not isinstance(step, bool) and step >= 0:
                current = current.entry
            case "map":
                current = current.entry
            case type_ if types.knows("data_types", type_) and step in types.data(type_).properties:
                current = types.data(type_).properties[step]
            case type_:
                message = f"{shortened(str(step))} does not select anything in {definition.name}, which is a {type_}"
                hint = "addresses are lists in tosca.nodes.indigo.Compute only" if definition.name in _ADDRESSES else ""
                raise invalid(message, mark, "wrong-index", hint)


def _plain_arguments(function: str, arguments: Sequence[Any], least: int, mark: Mark) -> None:
    if len(arguments) < least or not all(isinstance(argument, str | int | float) for argument in arguments):
        raise invalid(f"{function} needs at least {least} names", mark, "bad-function")


# --- all calls of a document -------------------------------------------------------------------------------


def function_problems(topology: Topology) -> Iterator[Problem]:
    """What is wrong with the function calls anywhere in a document."""
    for node in topology.nodes.values():
        scope = Scope(node)
        yield from _problems(topology, node.properties.given, scope)
        for capability in node.capabilities.values():
            yield from _problems(topology, capability.properties.given, scope)
        for artifact in node.artifacts.values():
            yield from _problems(topology, artifact.properties, scope)
        for operation in node.operations.values():
            yield from _problems(topology, operation.inputs, scope, artifacts=True)
        for related in node.relationships:
            yield from _problems(topology, related.properties.given, Scope(related))
            for operation in related.operations.values():
                yield from _problems(topology, operation.inputs, Scope(related), artifacts=True)
    for policy in topology.policies:
        yield from _problems(topology, policy.properties.given, Scope())
    outputs = Map()
    for name, (value, mark) in topology.outputs.items():
        outputs[name] = value
        outputs.at[name] = (mark, mark)
    yield from _problems(topology, outputs, Scope())


def _problems(topology: Topology, container: Any, scope: Scope, *, artifacts: bool = False) -> Iterator[Problem]:
    pending: list[tuple[Any, Mark, bool]] = [
        (entry, value_mark(container, key), artifacts) for key, entry in container.items()
    ]
    while pending:
        value, mark, allowed = pending.pop()
        mark = own_mark(value, mark)
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in UNSUPPORTED:
            yield from invalid(f"{next(iter(value))} is not supported", mark, "function-context").problems
        elif is_function(value):
            name, arguments = call(value)
            try:
                check_call(topology, name, arguments, scope, mark, artifacts=allowed)
            except InvalidDocument as error:
                yield from error.problems
            if name in ("concat", "token"):
                pending.extend((argument, mark, False) for argument in arguments)
        elif isinstance(value, dict):
            pending.extend((entry, value_mark(value, key), False) for key, entry in value.items())
        elif isinstance(value, list):
            pending.extend((entry, value_mark(value, index), False) for index, entry in enumerate(value))


def check_call(
    topology: Topology, name: str, arguments: Sequence[Any], scope: Scope, mark: Mark, *, artifacts: bool
) -> None:
    """Raise InvalidDocument unless this call can be evaluated."""
    match name:
        case "get_input":
            if len(arguments) != 1 or not isinstance(arguments[0], str):
                raise invalid("get_input needs the name of one input", mark, "bad-function")
            if arguments[0] not in topology.inputs:
                raise invalid(f"there is no input {shortened(arguments[0])}", mark, "unknown-input")
        case "get_property":
            property_target(topology, arguments, scope, mark)
        case "get_attribute":
            attribute_target(topology, arguments, scope, mark)
        case "get_artifact":
            if not artifacts:
                message = "get_artifact can only stand directly as an input of an operation"
                raise invalid(message, mark, "function-context")
        case "token":
            whole = isinstance(arguments[2], int) if len(arguments) == 3 else False
            if not whole or not (is_function(arguments[1]) or (isinstance(arguments[1], str) and arguments[1])):
                hint = "token: [ text, separator, number ]"
                raise invalid("token needs a text, a separator and a number", mark, "bad-function", hint)
