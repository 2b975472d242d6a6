"""How many machines of a node to add, and which to remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.merging import leads, without
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.source import Map, invalid
from imframework.languages.tosca.topology import Node
from imframework.languages.tosca.values import text_of


@dataclass(frozen=True, slots=True)
class ExistingMachine:
    """A machine of the infrastructure: its id, the system it was made from, the URL of its image if known."""

    id: str
    system: str
    image: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to happen to the machines of one node: how many to add, or which to remove and why (id → reason)."""

    add: int = 0
    remove: Mapping[str, str] = field(default_factory=dict)


def change(evaluator: Evaluator, node: Node, wanted: int, existing: Sequence[ExistingMachine]) -> Change:
    """From the machines of a node, oldest first, to `wanted` ones. Raises InvalidDocument for a wrong removal_list."""
    surplus = len(existing) - wanted
    if surplus <= 0:
        return Change(add=-surplus)
    ids = [machine.id for machine in existing]
    chosen = _removal_list(evaluator, node, ids)
    which = "named in removal_list" if chosen else "the oldest"
    reason = f"{which}: {shortened(node.name)} has {len(ids)} machines, and {wanted} are wanted"
    return Change(remove=dict.fromkeys((chosen or ids)[:surplus], reason))


def _removal_list(evaluator: Evaluator, node: Node, ids: Sequence[str]) -> list[str]:
    scalable = node.capabilities.get("scalable")
    if scalable is None:
        return []
    listed = evaluator.property(scalable.properties, "removal_list", Scope(node))
    chosen = list(dict.fromkeys(text_of(entry) for entry in listed or ()))
    for entry in chosen:
        if entry not in ids:
            message = f"removal_list: {shortened(node.name)} has no machine {shortened(entry)}"
            hint = f"it has {', '.join(ids[:20])}"
            raise invalid(message, scalable.properties.mark("removal_list"), "unknown-machine", hint)
    return chosen


def without_removal_lists(document: Map) -> Map:
    """The document as it is stored: a removal_list is for one update only, or a later one would ask for it again."""
    topology = document.get("topology_template")
    templates = topology.get("node_templates") if isinstance(topology, Map) else None
    for name in templates if isinstance(templates, Map) else ():
        path = ("topology_template", "node_templates", name, "capabilities", "scalable", "properties", "removal_list")
        if leads(document, path):
            document = without(document, path)
    return document
