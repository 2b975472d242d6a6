"""Documents put together: an update into what is stored, a document onto the template it imports, single values set.

Nothing is modified: results share the parts that are the same. Parts that come from the stored document forget where
they stood, so that problems are shown at the lines the user has just sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from imframework.languages.tosca.calls import is_function
from imframework.languages.tosca.source import Map, Seq
from imframework.languages.tosca.types import SECTIONS

_BY_NAME: Final = ("inputs", "outputs", "node_templates", "relationship_templates", "groups")


def merge_update(stored: Any, new: Any) -> Any:
    """`new` merged into `stored`: maps by key, lists position by position, anything else is replaced.

    So nothing is removed by leaving it out. A function replaces, and is replaced, as a whole.
    """
    if is_function(stored) or is_function(new):
        return new
    if isinstance(stored, Map) and isinstance(new, Map):
        result = Map(new.mark)
        for key, value in stored.items():
            result[key] = merge_update(value, new[key]) if key in new else value
        for key, value in new.items():
            result.setdefault(key, value)
        result.at = dict(new.at)
        return result
    if isinstance(stored, list) and isinstance(new, list):
        merged = Seq(new.mark if isinstance(new, Seq) else None)
        for index in range(max(len(stored), len(new))):
            if index >= len(new):
                merged.append(stored[index])
            else:
                merged.append(merge_update(stored[index], new[index]) if index < len(stored) else new[index])
        merged.at = list(new.at) if isinstance(new, Seq) else []
        merged.at += [merged.mark] * (len(merged) - len(merged.at))
        return merged
    return new


def without_nulls(stored: Map, new: Map) -> tuple[Map, Map, tuple[str, ...]]:
    """Both documents without what `new` has set to null: nodes, relationships, groups, inputs and outputs.

    That is how an update takes something out; what is not there need not be. Also returns the nodes that are taken out.
    """
    dropped: tuple[str, ...] = ()
    topology = new.get("topology_template")
    sections = {name: topology.get(name) for name in _BY_NAME} if isinstance(topology, Map) else {}
    for section, entries in sections.items():
        for name in [name for name, value in entries.items() if value is None] if isinstance(entries, Map) else ():
            path = ("topology_template", section, name)
            new = without(new, path)
            if leads(stored, path):
                stored = without(stored, path)
                dropped += (name,) if section == "node_templates" else ()
    return stored, new, dropped


def onto_template(template: Map, document: Map) -> Map:
    """`document` as an override of a complete `template`, whose imports it takes over."""
    result = with_entry(template, "topology_template", Map())
    for key, value in document.items():
        if key not in ("imports", "topology_template", *SECTIONS, "repositories", "metadata"):
            result = with_entry(result, key, value, document)
    for key in (*SECTIONS, "repositories", "metadata"):
        if key in document:
            result = with_entry(result, key, _by_name(template.get(key), document[key]), document)
    below, above = template.get("topology_template"), document.get("topology_template")
    topology = below if isinstance(below, Map) else Map()
    for key, value in (above if isinstance(above, Map) else Map()).items():
        if key == "inputs":
            value = _inputs(topology.get(key), value)
        elif key in _BY_NAME:
            value = _by_name(topology.get(key), value)
        elif key == "policies" and isinstance(topology.get(key), list) and isinstance(value, list):
            value = _appended(topology[key], value)
        topology = with_entry(topology, key, value, above)
    return with_entry(result, "topology_template", topology)


def with_entry(container: Map, key: Any, value: Any, source: Any = None) -> Map:
    """A copy of `container` with another value for `key`, which stands where it stands in `source`."""
    result = Map(container.mark)
    result.update(container)
    result.at = dict(container.at)
    result[key] = value
    if isinstance(source, Map) and key in source.at:
        result.at[key] = source.at[key]
    return result


def with_value(document: Map, path: Sequence[Any], value: Any) -> Map:
    """A copy of `document` with another value at the end of `path`, which must lead through maps."""
    key, *rest = path
    return with_entry(document, key, with_value(document[key], rest, value) if rest else value)


def without(document: Map, path: Sequence[Any]) -> Map:
    """A copy of `document` without what stands at the end of `path`, which must lead through maps."""
    key, *rest = path
    if rest:
        return with_entry(document, key, without(document[key], rest))
    result = with_entry(document, key, None)
    del result[key]
    return result


def leads(document: Map, path: Sequence[Any]) -> bool:
    """Whether there is something at the end of `path`."""
    current: object = document
    for key in path:
        if not isinstance(current, Map) or key not in current:
            return False
        current = current[key]
    return True


def _by_name(below: Any, above: Any) -> Any:
    if not isinstance(below, Map) or not isinstance(above, Map):
        return above if above is not None else below
    result = below
    for key, value in above.items():
        result = with_entry(result, key, value, above)
    return result


def _inputs(below: Any, above: Any) -> Any:
    """Inputs of the template keep their definition; only the default is replaced."""
    if not isinstance(below, Map) or not isinstance(above, Map):
        return above if above is not None else below
    result = below
    for key, value in above.items():
        definition = result.get(key)
        if isinstance(definition, Map):
            whole = isinstance(value, Map) and ("default" in value or "type" in value)
            changes = value if whole else Map()
            for name, change in changes.items():
                definition = with_entry(definition, name, change, changes)
            value = definition if whole else with_entry(definition, "default", value)
        result = with_entry(result, key, value, above)
    return result


def _appended(below: list[Any], above: list[Any]) -> Seq:
    result = Seq()
    for part in (below, above):
        result.extend(part)
        result.at.extend(part.at if isinstance(part, Seq) and part.at else [None] * len(part))
    return result
