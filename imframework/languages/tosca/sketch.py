"""What a template is, apart from what its users choose: how a catalogue describes it, and recognises it again.

Users choose the values of inputs, how many machines of a scalable node there are, the cloud that they are placed in,
and the metadata. Everything else makes another template. Order of keys, comments and quotes never matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from imframework.languages.tosca.source import invalid, load

#: Sections of a document that say nothing about what is deployed.
_ABOUT: Final = frozenset(("metadata", "description", "template_name", "template_author", "template_version"))
_PLACEMENTS: Final = ("tosca.policies.Placement", "tosca.policies.indigo.Placement")
_VALUES: Final = ("default", "value")


@dataclass(frozen=True, slots=True)
class Sketch:
    """A template in outline.

    `metadata` has texts, of lists each element. Two documents with one `fingerprint` deploy the same. `builds_on` is
    the template that a document imports whole, if it adds nothing to that but values; empty otherwise.
    """

    metadata: Mapping[str, tuple[str, ...]]
    fingerprint: str
    builds_on: str = ""


def sketch(text: str) -> Sketch:
    """The outline of a template.

    Raises:
        InvalidDocument: not a TOSCA document, or metadata that is not a mapping.
    """
    document = load(text, positions=False)
    if "tosca_definitions_version" not in document:
        raise invalid("tosca_definitions_version is missing", document.mark, "not-a-template")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict | None):
        raise invalid("metadata is not a mapping", document.mark, "wrong-type")
    described = {str(name): tuple(_texts(value)) for name, value in (metadata or {}).items()}
    content = _content(document)
    canonical = json.dumps(_canonical(content))
    return Sketch(described, hashlib.sha256(canonical.encode()).hexdigest(), _template_file(content))


def _texts(value: Any) -> Iterator[str]:
    """A value of the metadata as texts; what is composed of more than a list of scalars is none."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            yield str(item).lower()
        elif item is not None and not isinstance(item, dict | list):
            yield str(item)


def _content(document: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is left of a document without what users choose, and without empty sections."""
    content = {name: value for name, value in document.items() if name not in _ABOUT}
    topology = content.get("topology_template")
    if isinstance(topology, dict):
        sections = {
            name: _SECTIONS[name](section) if name in _SECTIONS else section
            for name, section in topology.items()
            if name != "description"
        }
        content["topology_template"] = {name: section for name, section in sections.items() if section}
    return content


def _canonical(value: Any) -> Any:
    """The value in a form that is the same for equal values only, whatever the order and the types of keys."""
    if isinstance(value, dict):
        return {"": sorted(([type(key).__name__, str(key), _canonical(one)] for key, one in value.items()), key=_key)}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def _key(entry: list[Any]) -> tuple[str, str]:
    return entry[0], entry[1]


def _inputs(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {
        name: {key: value for key, value in definition.items() if key not in _VALUES}
        if isinstance(definition, dict)
        else definition
        for name, definition in section.items()
    }


def _nodes(section: Any) -> Any:
    return {name: _node(node) for name, node in section.items()} if isinstance(section, dict) else section


def _node(node: Any) -> Any:
    capabilities = node.get("capabilities") if isinstance(node, dict) else None
    if not isinstance(capabilities, dict):
        return node
    others = {name: value for name, value in capabilities.items() if name != "scalable"}
    rest = {name: value for name, value in node.items() if name != "capabilities"}
    return {**rest, "capabilities": others} if others else rest


def _policies(section: Any) -> Any:
    """The policies without placements. They are a list of mappings with one name each."""
    if not isinstance(section, list):
        return section
    return [policy for policy in section if not _is_placement(policy)]


def _is_placement(policy: Any) -> bool:
    return isinstance(policy, dict) and all(
        isinstance(definition, dict) and definition.get("type") in _PLACEMENTS for definition in policy.values()
    )


_SECTIONS: Final = {"inputs": _inputs, "node_templates": _nodes, "policies": _policies}


def _template_file(content: Mapping[Any, Any]) -> str:
    """The template that `content` has for its only import, if it has nothing else."""
    if set(content) - {"tosca_definitions_version", "imports", "topology_template"}:
        return ""
    imports, topology = content.get("imports"), content.get("topology_template")
    if not (isinstance(imports, list) and len(imports) == 1 and isinstance(imports[0], dict)):
        return ""
    if not isinstance(topology, dict) or not set(topology) <= {"inputs", "node_templates"}:
        return ""
    # Inputs and nodes that are given values are named, and nothing is left of them when these are taken away.
    if not all(isinstance(section, dict) and not any(section.values()) for section in topology.values()):
        return ""
    file = imports[0].get("template_file")
    return file if isinstance(file, str) and len(imports[0]) == 1 else ""
