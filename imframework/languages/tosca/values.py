"""Do values fit their types? Sizes, versions, ranges, lists, maps, data types, and the constraints on them.

The units and the form of versions are tosca-parser's. Its own classes for validation are not used: they report
through a collector that all threads share, and know no positions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import regex
from toscaparser.elements.scalarunit import (  # type: ignore[import-untyped]
    ScalarUnit_Frequency,
    ScalarUnit_Size,
    ScalarUnit_Time,
)
from toscaparser.utils.validateutils import TOSCAVersionProperty  # type: ignore[import-untyped]

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.calls import is_function
from imframework.languages.tosca.definitions import Constraint, Property
from imframework.languages.tosca.source import Map, Mark, Seq, key_mark, own_mark, problem, value_mark
from imframework.languages.tosca.types import TypeSystem

_UNITS: Final[dict[str, dict[str, float]]] = {
    "scalar-unit.size": {unit.upper(): factor for unit, factor in ScalarUnit_Size.SCALAR_UNIT_DICT.items()},
    "scalar-unit.frequency": {unit.upper(): factor for unit, factor in ScalarUnit_Frequency.SCALAR_UNIT_DICT.items()},
    "scalar-unit.time": {unit.upper(): factor for unit, factor in ScalarUnit_Time.SCALAR_UNIT_DICT.items()},
}
_SCALAR_UNIT = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,40})?)\s*([A-Za-z]+)")
_OPERATORS: Final = ("equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal")
_UNBOUNDED: Final = "UNBOUNDED"
_PATTERN_SECONDS: Final = 0.02
_MAX_DEPTH: Final = 40


def is_operator(value: object) -> bool:
    """Whether `value` selects an operator: ``{ greater_or_equal: 2 }``."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _OPERATORS


def scalar_unit(type_: str, value: object) -> int | float | None:
    """`value` in bytes, hertz or seconds; None if it is not a number with a unit of that type."""
    match = _SCALAR_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _UNITS[type_].get(match[2].upper()) if match is not None else None
    if match is None or factor is None:
        return None
    if "." not in match[1] and isinstance(factor, int):
        return int(match[1]) * factor
    number = float(match[1]) * factor
    return int(number) if number.is_integer() else number


@dataclass(slots=True)
class Checker:
    """Checks values against definitions, collecting problems, and gives back the values in their proper form.

    With `computed`, the values come from functions: numbers are taken for texts and whole numbers for floats then,
    since the type of the input, say, has decided already.
    """

    types: TypeSystem
    problems: list[Problem]
    computed: bool = False

    def check(self, definition: Property, value: Any, name: str, mark: Mark, depth: int = 0) -> Any:
        """The proper form of `value`, meaningless if a problem was found. Functions not computed yet are left alone."""
        if value is None or (is_function(value) and not self.computed):
            return value
        mark = own_mark(value, mark)
        if depth > _MAX_DEPTH:
            self.problems.append(problem(f"{name} is nested too deep", mark, "too-deep"))
            return value
        found = len(self.problems)
        proper = self._typed(definition, value, name, mark, depth)
        if len(self.problems) == found:
            self._constrained(definition.type, definition.constraints, proper, name, mark)
        return proper

    def _typed(self, definition: Property, value: Any, name: str, mark: Mark, depth: int) -> Any:
        match definition.type:
            case "string":
                proper = self._string(value)
            case "integer":
                proper = _integer(value)
            case "float":
                proper = float(value) if self.computed and _is_number(value) else value
                proper = proper if isinstance(proper, float) and math.isfinite(proper) else None
            case "number":
                proper = value if _is_number(value) else None
            case "boolean":
                proper = _boolean(value)
            case "version":
                proper = _version(value)
            case "timestamp":
                proper = value if isinstance(value, str) else None
            case "range":
                proper = value if _is_range(value) else None
            case "list":
                return self._list(definition, value, name, mark, depth)
            case "map":
                return self._map(definition, value, name, mark, depth)
            case "PortSpec":
                return self._data("tosca.datatypes.network.PortSpec", value, name, mark, depth)
            case "PortDef":
                return self._data("tosca.datatypes.network.PortDef", value, name, mark, depth)
            case type_ if type_ in _UNITS:
                proper = value if scalar_unit(type_, value) is not None else None
            case type_:
                return self._data(type_, value, name, mark, depth)
        if proper is None:
            message = f"{name} must be {_WORDS.get(definition.type, 'a ' + definition.type)}, not {_shown(value)}"
            self.problems.append(problem(message, mark, "wrong-type", _hint(definition.type, value)))
        return proper

    def _string(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if is_operator(value):
            return value
        if self.computed and not isinstance(value, dict | list):
            return text_of(value)
        return None

    def _list(self, definition: Property, value: Any, name: str, mark: Mark, depth: int) -> Any:
        if not isinstance(value, list):
            self.problems.append(problem(f"{name} must be a list, not {_shown(value)}", mark, "wrong-type"))
            return value
        if definition.entry is None:
            return value
        result = Seq(mark)
        for index, entry in enumerate(value):
            at = value_mark(value, index)
            result.append(self.check(definition.entry, entry, f"{name}[{index}]", at, depth + 1))
            result.at.append(at)
        return result

    def _map(self, definition: Property, value: Any, name: str, mark: Mark, depth: int) -> Any:
        if not isinstance(value, dict):
            self.problems.append(problem(f"{name} must be a map, not {_shown(value)}", mark, "wrong-type"))
            return value
        if definition.entry is None:
            return value
        result = Map(mark)
        for key, entry in value.items():
            at = value_mark(value, key)
            result[key] = self.check(definition.entry, entry, f"{name}.{shortened(str(key))}", at, depth + 1)
            result.at[key] = (key_mark(value, key), at)
        return result

    def _data(self, type_: str, value: Any, name: str, mark: Mark, depth: int) -> Any:
        try:
            data = self.types.data(type_, mark)
        except InvalidDocument as error:
            self.problems.extend(error.problems)
            return value
        if data.value_type:
            simple = Property(name, data.value_type, constraints=data.constraints)
            return self.check(simple, value, name, mark, depth + 1)
        if not isinstance(value, dict):
            message = f"{name} must be a map of the type {type_}, not {_shown(value)}"
            self.problems.append(problem(message, mark, "wrong-type"))
            return value
        result = Map(mark)
        for key, entry in value.items():
            property_ = data.properties.get(key) if isinstance(key, str) else None
            if property_ is None:
                message = f"{name} has no field {shortened(str(key))}"
                hint = f"{type_} has {', '.join(data.properties) or 'none'}"
                self.problems.append(problem(message, key_mark(value, key), "unknown-field", hint))
                continue
            at = value_mark(value, key)
            result[key] = self.check(property_, entry, f"{name}.{key}", at, depth + 1)
            result.at[key] = (key_mark(value, key), at)
        for key, property_ in data.properties.items():
            if result.get(key) is None and property_.default is not None:
                result[key] = property_.default
            if property_.required and result.get(key) is None:
                self.problems.append(problem(f"{name} needs a {key}", mark, "missing-required"))
        return result

    def _constrained(self, type_: str, constraints: tuple[Constraint, ...], value: Any, name: str, mark: Mark) -> None:
        for constraint in constraints:
            values = value if isinstance(value, list) and constraint.operator == "valid_values" else [value]
            for single in values:
                if is_function(single) or is_operator(single):
                    continue
                try:
                    fault = _fault(type_, constraint, single)
                except (TypeError, ValueError, OverflowError):
                    fault = f"cannot be compared with {_shown(constraint.value)}"
                if fault:
                    self.problems.append(problem(f"{name} {fault}", mark, "constraint"))


def text_of(value: object) -> str:
    """`value` as a text, the way it is joined by ``concat``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


_WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "float": "a number with a decimal point",
    "boolean": "true or false",
    "scalar-unit.size": "a size with a unit",
    "scalar-unit.frequency": "a frequency with a unit",
    "scalar-unit.time": "a duration with a unit",
    "range": "a list of two numbers, the smaller first",
}


def _hint(type_: str, value: object) -> str:
    match type_:
        case "string" if isinstance(value, int | float):
            return "put it in quotes"
        case "float" if isinstance(value, int) and not isinstance(value, bool):
            return f"write {value}.0"
        case "scalar-unit.size":
            return "such as 4 GB; known units: B, kB, KiB, MB, MiB, GB, GiB, TB, TiB"
        case "version":
            return "such as 22.04"
    return ""


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a map"
        case list():
            return "a list"
        case str():
            return f"'{shortened(value)}'"
    return shortened(text_of(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    return None


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _version(value: object) -> object:
    if isinstance(value, bool | dict | list):
        return None
    match = TOSCAVersionProperty.VERSION_RE.match(str(value)[:100])
    if match is None or len(str(value)) > 100:
        return None
    qualifier, build = match["qualifier"], match["build_version"]
    if (qualifier and match["fix_version"] is None) or (build and not qualifier):
        return None
    return value


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    low, high = value
    if not all(end == _UNBOUNDED or _is_number(end) for end in value):
        return False
    return _UNBOUNDED in (low, high) or low <= high


@lru_cache(maxsize=256)
def _pattern(text: str) -> Any:
    return regex.compile(text)


def _fault(type_: str, constraint: Constraint, value: Any) -> str:
    """Why `value` breaks a constraint; empty if it doesn't. Raises TypeError for what cannot be compared."""
    limit = constraint.value
    if type_ in _UNITS:
        value = scalar_unit(type_, value)
        listed = limit if isinstance(limit, list) else [limit]
        limits = [scalar_unit(type_, entry) if entry != _UNBOUNDED else entry for entry in listed]
        limit = limits if isinstance(limit, list) else limits[0]
    shown = _shown(constraint.value)
    match constraint.operator:
        case "equal":
            return "" if value == limit else f"must be {shown}"
        case "greater_than":
            return "" if value > limit else f"must be greater than {shown}"
        case "greater_or_equal":
            return "" if value >= limit else f"must be at least {shown}"
        case "less_than":
            return "" if value < limit else f"must be less than {shown}"
        case "less_or_equal":
            return "" if value <= limit else f"must be at most {shown}"
        case "valid_values":
            return "" if value in limit else f"must be one of {', '.join(map(_shown, constraint.value[:20]))}"
        case "length":
            return "" if len(value) == limit else f"must have a length of {shown}"
        case "min_length":
            return "" if len(value) >= limit else f"must have a length of at least {shown}"
        case "max_length":
            return "" if len(value) <= limit else f"must have a length of at most {shown}"
        case "pattern":
            return _pattern_fault(limit, value)
    low, high = limit
    for end in value if isinstance(value, list) else [value]:
        if end != _UNBOUNDED and ((low != _UNBOUNDED and end < low) or (high != _UNBOUNDED and end > high)):
            return f"must be between {_shown(low)} and {_shown(high)}"
    return ""


def _pattern_fault(pattern: Any, value: Any) -> str:
    try:
        matches = _pattern(pattern).fullmatch(value, timeout=_PATTERN_SECONDS)
    except regex.error:
        return f"has a pattern that is no regular expression: {_shown(pattern)}"
    except TimeoutError:
        return f"takes too long to match with {_shown(pattern)}"
    return "" if matches else f"must match {_shown(pattern)}"
