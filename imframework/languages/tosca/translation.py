"""From a TOSCA document to RADL, and to the machines an update removes: the stages in their order.

Everything of one translation lives in objects made for it; nothing is kept but type definitions and files, by content.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl import (
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Description,
    Document,
    check,
)
from imframework.languages.radl.lexical import MAX_PROBLEMS, name_problem, random_text, shortened
from imframework.languages.tosca import compute, containers, faas, networks
from imframework.languages.tosca.containers import ContainerNames
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.expressions import Expressions
from imframework.languages.tosca.imports import Imports, expanded, type_imports
from imframework.languages.tosca.merging import merge_update, without_nulls
from imframework.languages.tosca.operations import runs
from imframework.languages.tosca.recipes import recipe
from imframework.languages.tosca.references import Scope, function_problems
from imframework.languages.tosca.source import Map, dump, invalid, load
from imframework.languages.tosca.sources import Library, Sources
from imframework.languages.tosca.special_inputs import inputs_of, resolved
from imframework.languages.tosca.stored import Stored
from imframework.languages.tosca.template import build, version_problem
from imframework.languages.tosca.topology import (
    ANSIBLE_HOST,
    BLOCK_STORAGE,
    COMPUTE,
    CONTAINER,
    FUNCTION,
    NETWORK,
    PORT,
    Node,
    Topology,
)
from imframework.languages.tosca.updates import Change, ExistingMachine, change, without_removal_lists
from imframework.languages.tosca.values import text_of

_PLACEMENTS: Final = ("tosca.policies.Placement", "tosca.policies.indigo.Placement")


@dataclass(frozen=True, slots=True)
class Translation:
    """A document translated: RADL to add, machines to remove before (id → why), and what to store.

    `dropped` are systems of the former document that an update has taken out of it.
    """

    radl: Document
    removals: Mapping[str, str]
    stored: Stored
    dropped: tuple[str, ...] = ()


def translate(
    text: str,
    *,
    sources: Sources | None = None,
    existing: Sequence[ExistingMachine] = (),
    stored: Stored | None = None,
    suffix: str = "",
    token: str | None = None,
    random: Callable[[int], str] = random_text,
) -> Translation:
    """Translate a document or, with `stored` and the `existing` machines (oldest first), an update.

    `token` is the caller's bearer token, for ``access_token()``; `suffix` that of container systems, drawn if empty and
    nothing is stored. Raises InvalidDocument with every problem found, at most `MAX_PROBLEMS`.
    """
    library = Library(sources or Sources())
    sent = load(text)
    wrong = version_problem(sent)
    if wrong is not None and stored is None:
        raise InvalidDocument(wrong)
    document, special = _special(expanded(sent, library), stored, random, token)
    dropped: tuple[str, ...] = ()
    if stored is not None:
        former, document, dropped = without_nulls(load(stored.text, positions=False), document)
        document = merge_update(former, document)
        sent_inputs = inputs_of(sent)
        special = {**{name: text for name, text in stored.special.items() if name not in sent_inputs}, **special}
    topology, imports = _topology(document, library)
    suffix = stored.suffix if stored is not None else suffix or secrets.token_hex(4)
    work = _Work(topology, library, suffix, existing)
    work.run()
    dropped = tuple(system for name in dropped for system in (name, work.containers.system_of(name)))
    work.remove_all(dropped)
    kept = without_removal_lists(document)
    kept_text = text if kept is sent else dump(kept)
    return Translation(work.radl, work.removals, Stored(kept_text, suffix, special, dict(imports.texts)), dropped)


def stored_topology(stored: Stored) -> Topology:
    """The topology of a stored document, without any network. Raises InvalidDocument if it is not sound any more."""
    document = load(stored.text, positions=False)
    shipped = type_imports(document, Library(Sources(fetch=lambda url: stored.imports.get(url, "{}")))).shipped
    return build(document, Imports(dict(stored.imports), shipped).types(document))


def _special(
    document: Map, stored: Stored | None, random: Callable[[int], str], token: str | None
) -> tuple[Map, dict[str, str]]:
    values: dict[str, str] = {}
    if stored is not None and stored.special:
        values = {
            name: definition["default"]
            for name, definition in inputs_of(load(stored.text, positions=False)).items()
            if isinstance(definition, dict) and isinstance(definition.get("default"), str)
        }
    former = stored.special if stored is not None else {}
    return resolved(document, random=random, token=token, former=former, values=values)


def _topology(document: Map, library: Library) -> tuple[Topology, Imports]:
    """The checked topology. What our own custom types do not know is looked for in the file they stand for."""
    imports = type_imports(document, library)
    try:
        return _checked(document, imports), imports
    except InvalidDocument as error:
        if not imports.shipped or not any(problem.kind.startswith("unknown-") for problem in error.problems):
            raise
        try:
            imports = type_imports(document, library, fetch_shipped=True)
        except InvalidDocument:
            raise error from None
    return _checked(document, imports), imports


def _checked(document: Map, imports: Imports) -> Topology:
    topology = build(document, imports.types(document))
    problems = list(islice(function_problems(topology), MAX_PROBLEMS))
    if problems:
        raise InvalidDocument(problems)
    return topology


@dataclass(slots=True)
class _Work:
    """One translation under way."""

    topology: Topology
    library: Library
    suffix: str
    existing: Sequence[ExistingMachine]
    radl: Document = field(default_factory=Document)
    removals: dict[str, str] = field(default_factory=dict)
    _problems: list[Problem] = field(default_factory=list)
    _evaluator: Evaluator = field(init=False)
    containers: ContainerNames = field(init=False)

    def run(self) -> None:
        self.containers = ContainerNames(self.suffix)
        self._evaluator = Evaluator(self.topology, Expressions(self.containers, lambda: self._evaluator))
        self.radl.contextualize = Contextualize()
        self._describe()
        for step in (self._network, self._node, self._operations):
            for node in self.topology.nodes.values():
                if len(self._problems) >= MAX_PROBLEMS:
                    break
                try:
                    step(node)
                except InvalidDocument as error:
                    self._problems.extend(error.problems)
        self._outputs()
        if not self._problems:
            self._finish()
            check(self.radl, boot_disk_required=False)
        if self._problems:
            raise InvalidDocument(list(dict.fromkeys(self._problems))[:MAX_PROBLEMS])

    def _describe(self) -> None:
        metadata = self.topology.document.get("metadata")
        description = Description("desc")
        for key, feature in (("infra_name", "name"), ("namespace", "namespace")):
            value = metadata.get(key) if isinstance(metadata, dict) else None
            if value is not None:
                description.set(feature, text_of(value))
        if len(description.features):
            self.radl.description = description

    def _outputs(self) -> None:
        """Outputs are evaluated on request; here only to see that they can be."""
        for value, mark in self.topology.outputs.values():
            try:
                self._evaluator.value(value, Scope(), mark)
            except InvalidDocument as error:
                self._problems.extend(error.problems)

    # node by node

    def _network(self, node: Node) -> None:
        if node.is_a(NETWORK):
            _check_name(node)
            self.radl.networks[node.name] = networks.translate_network(self._evaluator, node)

    def _node(self, node: Node) -> None:
        if node.is_a(COMPUTE):
            _check_name(node)
            system = compute.translate_compute(self.topology, self._evaluator, node)
            self.radl.systems[system.id] = system
            networks.add_interfaces(self.topology, self._evaluator, node, system, self.radl)
            self._deploy(node, system.id, compute.count(self._evaluator, node))
        elif node.is_a(ANSIBLE_HOST):
            ansible = compute.translate_ansible_host(self._evaluator, node)
            self.radl.ansibles[ansible.id] = ansible
        elif node.is_a(CONTAINER):
            container = containers.translate_container(
                self.topology, self._evaluator, self.library, self.containers, node, self.radl
            )
            self._deploy(node, container.id, containers.wanted(self._evaluator, node))
        elif node.is_a(FUNCTION):
            wanted = faas.wanted(self._evaluator, node)
            if not faas.is_hosted(node):
                _check_name(node)
                function = faas.translate_function(self._evaluator, node, self.radl)
                self._deploy(node, function.id, wanted)

    def _deploy(self, node: Node, system: str, wanted: int) -> None:
        zone = self._placement(node, "availability_zone")
        if zone is not None:
            self.radl.systems[system].set("availability_zone", zone)
        if wanted < 0:
            message = f"{shortened(node.name)} cannot have {wanted} machines"
            raise invalid(message, node.capabilities["scalable"].properties.mark("count"), "constraint")
        machines = [machine for machine in self.existing if machine.system == system]
        planned: Change = change(self._evaluator, node, wanted, machines)
        self.removals.update(planned.remove)
        if planned.add:
            self.radl.deploys.append(Deploy(system, planned.add, self._placement(node, "cloud_id")))

    def _placement(self, node: Node, name: str) -> str | None:
        for policy in self.topology.policies_of[node.name]:
            if any(kind in policy.type.lineage for kind in _PLACEMENTS):
                value = self._evaluator.property(policy.properties, name, Scope())
                if value is not None:
                    return text_of(value)
        return None

    def remove_all(self, systems: Collection[str]) -> None:
        """Remove the machines of systems that the document has no longer."""
        for machine in self.existing:
            if machine.system in systems:
                self.removals[machine.id] = f"{shortened(machine.system)} was taken out of the document"

    # recipes

    def _operations(self, node: Node) -> None:
        if node.is_a(CONTAINER):
            self._configure(self.containers.system(node), self.containers.system(node), None, node.level)
        elif node.is_a(FUNCTION):
            self._function(node)
        elif node.host is not None and not node.is_a(NETWORK, PORT, BLOCK_STORAGE, ANSIBLE_HOST):
            found = runs(self.topology, self._evaluator, self.library, node)
            if found:
                name = f"{node.name}_conf" if node.host is node else f"{node.name}_{node.host.name}_conf"
                self._configure(node.host.name, name, recipe(node.name, found), node.level)

    def _function(self, node: Node) -> None:
        if not faas.is_hosted(node):
            self._configure(node.name, node.name, None, node.level)
        elif node.host is not None:
            text = faas.hosted_recipe(self._evaluator, node)
            self._configure(node.host.name, f"oscar_{node.name}", text, node.level)

    def _configure(self, system: str, name: str, text: str | None, step: int) -> None:
        if self.radl.contextualize is None or system not in self.radl.systems:
            return
        id_ = self._free_name(name) if text is not None else name
        self.radl.configures[id_] = Configure(id_, text)
        self.radl.contextualize.add(ContextualizeItem(system, id_, step))

    def _free_name(self, name: str) -> str:
        """`name` as the id of a recipe, which only needs to be unique."""
        safe = "".join(
            character if character.isascii() and (character.isalnum() or character in "_.-") else "_"
            for character in name
        )
        candidate = safe = safe if not name_problem(safe) else f"_{safe}"
        number = 1
        while candidate in self.radl.configures:
            number += 1
            candidate = f"{safe}_{number}"
        return candidate

    # the whole

    def _finish(self) -> None:
        self.radl.deploys.sort(key=self._rank)  # stable: document order inside each rank
        networks.split_by_cloud(self.radl, self._machines())
        networks.connect_the_rest(self.radl)

    def _rank(self, deploy: Deploy) -> int:
        connections = self.radl.systems[deploy.system].connections().values()
        if not any(self.radl.networks[network].is_public for network in connections):
            return 2
        return 1 if "wn" in deploy.system else 0

    def _machines(self) -> Iterator[tuple[str, str]]:
        for machine in self.existing:
            system = self.radl.systems.get(machine.system)
            if machine.id not in self.removals and system is not None:
                yield machine.system, machine.image or system.text("disk.0.image.url") or ""
        for deploy in self.radl.deploys:
            yield deploy.system, self.radl.systems[deploy.system].text("disk.0.image.url") or ""


def _check_name(node: Node) -> None:
    wrong = name_problem(node.name)
    if wrong:
        raise invalid(
            f"'{shortened(node.name)}' cannot be the name of a machine or network", node.mark, "bad-name", wrong
        )
