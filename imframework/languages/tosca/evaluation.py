"""Values of functions. What an attribute is depends on when one asks, so that is handed in: an Ansible expression while
translating (`expressions`), what the machines say afterwards (`outputs`).
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.calls import call, has_function, is_function
from imframework.languages.tosca.references import (
    AttributeTarget,
    Scope,
    attribute_target,
    check_call,
    property_target,
)
from imframework.languages.tosca.source import Map, Mark, Seq, invalid, own_mark, plain, value_mark
from imframework.languages.tosca.topology import Assigned, Topology
from imframework.languages.tosca.values import Checker, text_of

#: Values visited, and characters joined, for one document: functions that use each other can double at every step.
MAX_STEPS: Final = 300_000
_CHARACTERS_PER_STEP: Final = 50
#: Values inside values, through functions too; far from the interpreter's own limit.
_MAX_DEPTH: Final = 120


class Attributes(Protocol):
    """Where the values of attributes come from."""

    def attribute(self, target: AttributeTarget, mark: Mark) -> Any:
        """The value, or None if there is none (yet)."""


class Evaluator:
    """Evaluates the functions of one topology."""

    def __init__(self, topology: Topology, attributes: Attributes) -> None:
        self.topology = topology
        self.attributes = attributes
        self._steps = 0
        self._depth = 0
        self._open: set[tuple[int, str]] = set()
        #: (properties, name) → value and what it cost, which every further use costs again: it is as large again.
        self._known: dict[tuple[int, str], tuple[Any, int]] = {}

    def value(self, raw: Any, scope: Scope, mark: Mark = None) -> Any:
        """`raw` with every function replaced by its value. Raises InvalidDocument."""
        mark = own_mark(raw, mark)
        self._step(1, mark)
        if not isinstance(raw, dict | list):
            return raw
        if self._depth >= _MAX_DEPTH:
            raise invalid("the functions of the document refer to each other too often", mark, "too-deep")
        self._depth += 1
        try:
            return self._collection(raw, scope, mark)
        finally:
            self._depth -= 1

    def _collection(self, raw: Any, scope: Scope, mark: Mark) -> Any:
        if is_function(raw):
            return self._call(raw, scope, mark)
        if isinstance(raw, dict):
            result = Map(mark)
            for key, entry in raw.items():
                result[key] = self.value(entry, scope, value_mark(raw, key))
            if isinstance(raw, Map):
                result.at = raw.at
            return result
        values = Seq(mark)
        for index, entry in enumerate(raw):
            values.append(self.value(entry, scope, value_mark(raw, index)))
        if isinstance(raw, Seq):
            values.at = raw.at
        return values

    def property(self, assigned: Assigned, name: str, scope: Scope) -> Any:
        """The value of a property in the form its type asks for; None if there is none. Raises InvalidDocument."""
        raw = assigned.raw(name)
        definition = assigned.definitions.get(name)
        if raw is None or definition is None:
            return None
        computed = has_function(raw)
        mark = assigned.mark(name)
        value = self.raw_property(assigned, name, scope) if computed else raw
        problems: list[Problem] = []
        checker = Checker(self.topology.types, problems, computed=computed)
        value = checker.check(definition, value, f"{assigned.owner}.{name}", mark)
        if problems:
            raise InvalidDocument(problems)
        return value

    def raw_property(self, assigned: Assigned, name: str, scope: Scope) -> Any:
        """The value of a property as it was written, but for functions."""
        key = (id(assigned), name)
        mark = assigned.mark(name)
        known = self._known.get(key)
        if known is not None:
            self._step(known[1], mark)
            return known[0]
        if key in self._open:
            raise invalid(f"{assigned.owner}.{shortened(name)} refers to itself", mark, "cycle")
        self._open.add(key)
        before = self._steps
        try:
            value = self.value(assigned.raw(name), scope, mark)
        finally:
            self._open.discard(key)
        self._known[key] = (value, self._steps - before)
        return value

    def _step(self, count: int, mark: Mark) -> None:
        self._steps += count
        if self._steps > MAX_STEPS:
            raise invalid("the functions of the document make too much of it", mark, "too-large")

    def _call(self, raw: dict[Any, Any], scope: Scope, mark: Mark) -> Any:
        name, arguments = call(raw)
        match name:
            case "get_property":
                target = property_target(self.topology, arguments, scope, mark)
                return self._inside(self.raw_property(target.assigned, target.name, target.scope), target.path, mark)
            case "get_attribute":
                return self._attribute(attribute_target(self.topology, arguments, scope, mark), mark)
            case "concat":
                return self._concat([self.value(argument, scope, mark) for argument in arguments], mark)
        check_call(self.topology, name, arguments, scope, mark, artifacts=False)
        if name == "get_input":
            return self.topology.inputs[arguments[0]]
        return self._token([self.value(argument, scope, mark) for argument in arguments], mark)

    def _attribute(self, target: AttributeTarget, mark: Mark) -> Any:
        declared = target.node.type.attributes.get(target.name) if not target.capability else None
        if declared is not None and declared.default is not None:
            return self._inside(declared.default, target.path, mark)
        if declared is None and not target.capability and target.name in target.node.properties.definitions:
            value = self.raw_property(target.node.properties, target.name, Scope(target.node))
            return self._inside(value, target.path, mark)
        return self.attributes.attribute(target, mark)

    def _inside(self, value: Any, path: tuple[Any, ...], mark: Mark) -> Any:
        for step in path:
            found = None
            if isinstance(value, dict):
                found = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
                found = value[step]
            if found is None:
                raise invalid(f"there is no {shortened(str(step))} in this value", mark, "unknown-property")
            value = found
        return value

    def _concat(self, values: list[Any], mark: Mark) -> str | None:
        if any(value is None for value in values):
            return None
        texts = [json.dumps(plain(value)) if isinstance(value, dict | list) else text_of(value) for value in values]
        self._step(sum(map(len, texts)) // _CHARACTERS_PER_STEP, mark)
        return "".join(texts)

    def _token(self, arguments: list[Any], mark: Mark) -> str | None:
        text, separator, number = arguments
        if text is None:
            return None
        if not isinstance(separator, str) or not separator or not isinstance(number, int):
            raise invalid("token needs a text, a separator and a number", mark, "bad-function")
        self._step(len(text_of(text)) // _CHARACTERS_PER_STEP, mark)
        parts = text_of(text).split(separator)
        return parts[number] if 0 <= number < len(parts) else None
