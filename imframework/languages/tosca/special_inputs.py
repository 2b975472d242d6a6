"""Input defaults that stand for something else: ``random(N)`` and ``access_token()``, replaced once, on arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from imframework.languages.radl.lexical import random_length
from imframework.languages.tosca.merging import with_value
from imframework.languages.tosca.source import Map, invalid, value_mark

ACCESS_TOKEN: Final = "access_token()"  # noqa: S105  # the name of a function


def resolved(
    document: Map,
    *,
    random: Callable[[int], str],
    token: str | None,
    former: Mapping[str, str],
    values: Mapping[str, str],
) -> tuple[Map, dict[str, str]]:
    """The document with special defaults replaced, and which input came from which function.

    `former` and `values` are those of the stored document: a random text is kept while its input asks for the same.
    Raises InvalidDocument for lengths that make no sense.
    """
    made: dict[str, str] = {}
    for name, definition in inputs_of(document).items():
        if not isinstance(definition, Map) or definition.get("type") != "string":
            continue
        default = definition.get("default")
        if not isinstance(default, str):
            continue
        text = default.strip()
        value: str | None = None
        if text == ACCESS_TOKEN:
            value = token
        else:
            try:
                length = random_length(text)
            except ValueError as error:
                raise invalid(str(error), value_mark(definition, "default"), "constraint") from None
            if length is not None:
                value = values[name] if former.get(name) == text and name in values else random(length)
        if value is not None:
            made[str(name)] = text
            document = with_value(document, ("topology_template", "inputs", name, "default"), value)
    return document, made


def inputs_of(document: Map) -> Map:
    """The inputs that a document defines."""
    topology = document.get("topology_template")
    inputs = topology.get("inputs") if isinstance(topology, Map) else None
    return inputs if isinstance(inputs, Map) else Map()
