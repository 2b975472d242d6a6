"""From the data of a document to its `Topology`: structure, names and types checked, all problems collected.

What needs the values of functions, and what functions may name, is checked by `evaluation` and `references`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import MAX_PROBLEMS, shortened
from imframework.languages.tosca.calls import has_function
from imframework.languages.tosca.definitions import Property, artifacts_of, operations_of, property_of, submap
from imframework.languages.tosca.graph import settle_hosts, settle_levels
from imframework.languages.tosca.source import Map, Mark, key_mark, own_mark, problem, value_mark
from imframework.languages.tosca.topology import (
    ORDERING,
    Assigned,
    Capability,
    Node,
    Policy,
    Relationship,
    Topology,
)
from imframework.languages.tosca.types import SECTIONS, RelationshipType, TypeSystem
from imframework.languages.tosca.values import Checker

VERSIONS: Final = tuple(f"tosca_simple_yaml_1_{minor}" for minor in (0, 2, 3))
#: Machines of one kind are one node with a count: far more than any document needs.
MAX_NODE_TEMPLATES: Final = 3000
_DOCUMENT_KEYS: Final = (
    *("tosca_definitions_version", "tosca_default_namespace", "description", "metadata", "imports", "repositories"),
    *("dsl_definitions", "template_name", "template_author", "template_version", "topology_template", *SECTIONS),
)
_TOPOLOGY_KEYS: Final = (
    *("description", "inputs", "node_templates", "relationship_templates", "outputs", "groups", "policies"),
    "substitution_mappings",
)
_NODE_KEYS: Final = (
    *("type", "description", "metadata", "directives", "properties", "attributes", "requirements", "capabilities"),
    *("interfaces", "artifacts", "node_filter", "copy"),
)
_REQUIREMENT_KEYS: Final = ("node", "capability", "relationship", "node_filter", "occurrences")
_RELATIONSHIP_KEYS: Final = ("type", "properties", "interfaces", "description", "metadata", "copy")
_POLICY_KEYS: Final = ("type", "properties", "targets", "triggers", "description", "metadata")
_GROUP_KEYS: Final = ("type", "properties", "members", "interfaces", "description", "metadata")


def build(document: Map, types: TypeSystem) -> Topology:
    """The topology of a document. Raises InvalidDocument with every problem found."""
    topology, problems = build_partly(document, types)
    if problems:
        raise InvalidDocument(problems)
    return topology


def build_partly(document: Map, types: TypeSystem) -> tuple[Topology, list[Problem]]:
    """What of the topology can be built, and every problem found: for looking for more problems."""
    builder = _Builder(document, types)
    builder.run()
    return builder.topology, builder.problems[:MAX_PROBLEMS]


def version_problem(document: Map) -> Problem | None:
    """What is wrong with the version of the definitions."""
    version = document.get("tosca_definitions_version")
    hint = f"one of {', '.join(VERSIONS)}"
    if version is None:
        return problem("tosca_definitions_version is missing", document.mark, "missing-version", hint)
    if version not in VERSIONS:
        mark = value_mark(document, "tosca_definitions_version")
        return problem(f"the version {shortened(str(version))} is not supported", mark, "bad-version", hint)
    return None


class _Builder:
    def __init__(self, document: Map, types: TypeSystem) -> None:
        self.problems: list[Problem] = []
        self.topology = Topology(document, types)
        self._types = types
        self._checker = Checker(types, self.problems)
        self._templates = Map()

    def run(self) -> None:
        document = self.topology.document
        wrong = version_problem(document)
        if wrong is not None:
            self.problems.append(wrong)
        self._known(document, _DOCUMENT_KEYS, "the document")
        if "topology_template" not in document:
            self._add("topology_template is missing", document.mark, "unknown-field", "describe the nodes in it")
            return
        topology = Map()
        with self._collected():
            self.problems.extend(islice(self._types.problems_of(document), MAX_PROBLEMS))
            topology = submap(document, "topology_template", "")
        self._known(topology, _TOPOLOGY_KEYS, "topology_template")
        with self._collected():
            self._read_repositories(document)
        with self._collected():
            self._read_inputs(submap(topology, "inputs", ""))
        templates = Map()
        with self._collected():
            self._templates = templates = submap(topology, "node_templates", "")
        for key in templates:
            if len(self.problems) >= MAX_PROBLEMS:
                return
            with self._collected():
                self._read_node(templates, key)
        with self._collected():
            relationships = submap(topology, "relationship_templates", "")
            for key in templates:
                if len(self.problems) >= MAX_PROBLEMS:
                    return
                with self._collected():
                    self._read_requirements(templates, key, relationships)
        with self._collected():
            self._read_groups(submap(topology, "groups", ""))
        with self._collected():
            self._read_policies(topology)
        with self._collected():
            self._read_outputs(submap(topology, "outputs", ""))
        if len(templates) > MAX_NODE_TEMPLATES:
            message = f"the document has more than {MAX_NODE_TEMPLATES} nodes"
            self._add(message, key_mark(topology, "node_templates"), "too-large")
        if not self.problems:
            settle_hosts(self.topology)
            cycle = settle_levels(self.topology)
            self.problems.extend([] if cycle is None else [cycle])

    # helpers

    @contextmanager
    def _collected(self) -> Iterator[None]:
        try:
            yield
        except InvalidDocument as error:
            self.problems.extend(error.problems)

    def _add(self, message: str, mark: Mark, kind: str, hint: str = "") -> None:
        self.problems.append(problem(message, mark, kind, hint))

    def _known(self, container: Map, keys: Iterable[str], what: str) -> None:
        for key in container:
            if key not in keys:
                message = f"{shortened(str(key))} is not a key of {what}"
                self._add(message, key_mark(container, key), "unknown-field", _similar(key, keys))

    def _assigned(
        self, container: Map, definitions: Mapping[str, Property], owner: str, mark: Mark, *, required: bool = True
    ) -> Assigned:
        """The checked properties under ``properties`` of a template that stands at `mark`."""
        given = submap(container, "properties", f"of {owner}")
        for key in given:
            definition: Property | None = definitions.get(key)
            if definition is None:
                message = f"{owner} has no property {shortened(str(key))}"
                self._add(message, key_mark(given, key), "unknown-field", _similar(key, definitions))
                continue
            self._checker.check(definition, given[key], f"{owner}.{key}", value_mark(given, key))
        assigned = Assigned(definitions, given, owner)
        for name, definition in definitions.items() if required else ():
            if definition.required and assigned.raw(name) is None:
                place = key_mark(given, name) if name in given else mark
                self._add(f"{owner} needs the property {name}", place, "missing-required")
        return assigned

    # what is around the nodes

    def _read_repositories(self, document: Map) -> None:
        repositories = submap(document, "repositories", "")
        for key, value in repositories.items():
            url = value.get("url") if isinstance(value, dict) else value
            if isinstance(url, str):
                self.topology.repositories[str(key)] = url
            else:
                message = f"the repository {shortened(str(key))} needs a URL"
                self._add(message, key_mark(repositories, key), "wrong-type")

    def _read_inputs(self, inputs: Map) -> None:
        for key, raw in inputs.items():
            name = str(key)
            self.topology.inputs[name] = None
            with self._collected():
                definition = property_of(name, raw, key_mark(inputs, key))
                default = definition.default
                if has_function(default):
                    message = f"the default of the input {shortened(name)} cannot be a function"
                    self._add(message, value_mark(raw, "default"), "function-context")
                elif default is not None:
                    unlimited = Property(name, definition.type, entry=definition.entry)
                    mark = value_mark(raw, "default")
                    default = self._checker.check(unlimited, default, f"the default of the input {name}", mark)
                self.topology.inputs[name] = default

    def _read_outputs(self, outputs: Map) -> None:
        for key, raw in outputs.items():
            value = raw.get("value") if isinstance(raw, Map) else raw
            mark = value_mark(raw, "value") if isinstance(raw, Map) else value_mark(outputs, key)
            if isinstance(raw, Map):
                self._known(raw, ("value", "description", "type"), f"the output {shortened(str(key))}")
            self.topology.outputs[str(key)] = (value, own_mark(value, mark))

    # nodes

    def _read_node(self, templates: Map, key: Any) -> None:
        name, mark, raw = str(key), key_mark(templates, key), templates[key]
        owner = shortened(name)
        if not isinstance(raw, Map):
            self._add(f"the node {owner} must be a mapping", mark, "wrong-type")
            return
        self._known(raw, _NODE_KEYS, f"the node {owner}")
        type_ = raw.get("type")
        if not isinstance(type_, str):
            self._add(f"the node {owner} has no type", mark, "missing-type")
            return
        made = self._types.node(type_, value_mark(raw, "type"))
        node = Node(
            name=name,
            index=len(self.topology.nodes),
            type=made,
            mark=mark,
            properties=Assigned(made.properties, Map(), owner),
            capabilities={},
            operations={},
            artifacts=dict(made.artifacts),
        )
        self.topology.nodes[name] = node
        with self._collected():
            node.properties = self._assigned(raw, made.properties, owner, mark)
        with self._collected():
            self._read_capabilities(node, submap(raw, "capabilities", f"of {owner}"))
        with self._collected():
            node.operations = operations_of(raw, of_type=False)
        with self._collected():
            own = artifacts_of(raw)
            for artifact in own.values():
                self._types.artifact(artifact.type, artifact.mark)
            node.artifacts = {**own, **{key: value for key, value in made.artifacts.items() if key not in own}}

    def _read_capabilities(self, node: Node, given: Map) -> None:
        for key in given:
            if key not in node.type.capabilities:
                message = f"{shortened(node.name)} has no capability {shortened(str(key))}"
                self._add(message, key_mark(given, key), "unknown-field", _similar(key, node.type.capabilities))
        for name, type_ in node.type.capabilities.items():
            owner = f"{shortened(node.name)}.{name}"
            assigned = Assigned(type_.properties, Map(), owner)
            if name in given:
                with self._collected():
                    raw = submap(given, name, f"of {shortened(node.name)}")
                    self._known(raw, ("properties", "attributes", "occurrences"), f"the capability {owner}")
                    assigned = self._assigned(raw, type_.properties, owner, key_mark(given, name))
            node.capabilities[name] = Capability(name, type_, assigned)

    # requirements

    def _read_requirements(self, templates: Map, key: Any, relationships: Map) -> None:
        node = self.topology.nodes.get(str(key))
        if node is None:
            return
        raw = templates[key]
        listed = raw.get("requirements")
        seen = set()
        if listed is not None and not isinstance(listed, list):
            message = f"requirements of {shortened(node.name)} must be a list"
            self._add(message, value_mark(raw, "requirements"), "wrong-type", "start each with a dash")
            return
        for item in listed or ():
            mark = own_mark(item, value_mark(raw, "requirements"))
            if not isinstance(item, Map) or len(item) != 1:
                message = f"a requirement of {shortened(node.name)} must be a mapping of one name"
                self._add(message, mark, "wrong-type")
                continue
            ((requirement, wanted),) = item.items()
            seen.add(requirement)
            with self._collected():
                self._read_requirement(node, str(requirement), wanted, mark, relationships)
        for name, definition in node.type.requirements.items():
            if definition.lowest > 0 and name not in seen:
                message = f"{shortened(node.name)} needs the requirement {name}"
                self._add(message, node.mark, "requirement-missing", f"add '- {name}: NODE' to its requirements")

    def _read_requirement(self, node: Node, name: str, wanted: Any, mark: Mark, relationships: Map) -> None:
        owner = f"{shortened(node.name)}.{shortened(name)}"
        definition = node.type.requirements.get(name)
        if definition is None:
            message = f"{shortened(node.name)} has no requirement {shortened(name)}"
            self._add(message, mark, "unknown-field", _similar(name, node.type.requirements))
            return
        target, relationship = wanted, None
        if isinstance(wanted, Map):
            self._known(wanted, _REQUIREMENT_KEYS, f"the requirement {owner}")
            target, relationship = wanted.get("node"), wanted.get("relationship")
            mark = value_mark(wanted, "node")
        found = self.topology.nodes.get(target) if isinstance(target, str) else None
        if found is None:
            self._unknown_target(owner, target, mark)
            return
        default = definition.relationship or ORDERING[1]
        type_, raw = self._relationship(relationship, default, relationships, value_mark(wanted, "relationship"))
        related = Relationship(
            requirement=name,
            source=node,
            target=found,
            type=type_,
            properties=self._assigned(raw, type_.properties, owner, mark, required=False),
            operations=operations_of(raw, of_type=False),
            mark=mark,
        )
        node.relationships.append(related)
        found.incoming.append(related)

    def _unknown_target(self, owner: str, target: Any, mark: Mark) -> None:
        if isinstance(target, str) and target in self._templates:
            return  # it is there, with a problem of its own
        if self._types.knows("node_types", target):
            message = f"{owner} names the type {shortened(target)}, not a node"
            self._add(message, mark, "abstract-node", "name a node template")
        else:
            message = f"{owner} names no node of the document" + (f": {shortened(str(target))}" if target else "")
            self._add(message, mark, "unknown-target", _similar(target, self.topology.nodes))

    def _relationship(self, wanted: Any, default: str, templates: Map, mark: Mark) -> tuple[RelationshipType, Map]:
        """Type and template of a relationship, given as a type, as the name of a template or in place."""
        raw = Map()
        if isinstance(wanted, str) and wanted in templates:
            raw = submap(templates, wanted, "")
        elif isinstance(wanted, str):
            return self._types.relationship(wanted, mark), raw
        elif isinstance(wanted, Map):
            raw = wanted
        self._known(raw, _RELATIONSHIP_KEYS, "a relationship")
        type_ = raw.get("type", default)
        return self._types.relationship(str(type_), value_mark(raw, "type") or mark), raw

    # groups and policies

    def _read_groups(self, groups: Map) -> None:
        for key in groups:
            with self._collected():
                raw = submap(groups, key, "")
                owner = f"the group {shortened(str(key))}"
                self._known(raw, _GROUP_KEYS, owner)
                type_ = self._types.group(str(raw.get("type")), value_mark(raw, "type"))
                self._assigned(raw, type_.properties, owner, key_mark(groups, key))
                self.topology.groups[str(key)] = frozenset(self._targets(raw, "members", owner))

    def _read_policies(self, topology: Map) -> None:
        listed = topology.get("policies")
        items = [listed] if isinstance(listed, Map) else listed
        if items is not None and not isinstance(items, list):
            self._add("policies must be a list", value_mark(topology, "policies"), "wrong-type")
            return
        for item in items or ():
            if not isinstance(item, Map):
                self._add("a policy must be a mapping", value_mark(topology, "policies"), "wrong-type")
                continue
            for key in item:
                with self._collected():
                    self._read_policy(str(key), submap(item, key, ""))

    def _read_policy(self, name: str, raw: Map) -> None:
        owner = f"the policy {shortened(name)}"
        self._known(raw, _POLICY_KEYS, owner)
        type_ = self._types.policy(str(raw.get("type")), value_mark(raw, "type"))
        assigned = self._assigned(raw, type_.properties, owner, raw.mark)
        targets = frozenset(self._targets(raw, "targets", owner))
        self.topology.policies.append(Policy(name, type_, assigned, targets))

    def _targets(self, raw: Map, key: str, owner: str) -> Iterator[str]:
        targets = raw.get(key)
        if targets is not None and not isinstance(targets, list):
            self._add(f"{key} of {owner} must be a list", value_mark(raw, key), "wrong-type")
            return
        for index, target in enumerate(targets or ()):
            known = isinstance(target, str) and (
                target in self.topology.nodes or (key == "targets" and target in self.topology.groups)
            )
            if known:
                yield target
            elif not isinstance(target, str) or target not in self._templates:
                message = f"{owner} names no node of the document: {shortened(str(target))}"
                mark = value_mark(targets, index)
                self._add(message, mark, "unknown-target", _similar(target, self.topology.nodes))


def _similar(key: object, known: Iterable[str]) -> str:
    candidates = list(known)
    text = str(key)
    similar = get_close_matches(text, candidates, 1) if len(text) < 100 and len(candidates) < 200 else []
    return f"did you mean {similar[0]}?" if similar else ""
