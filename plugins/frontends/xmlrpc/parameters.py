"""The parameters of methods: which values are accepted, and what they become. nil counts as absent.

Texts of errors are those of the REST API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from imframework.api.errors import InvalidRequest, NotFound, Unauthenticated
from imframework.api.service import Document, Language
from imframework_plugins.frontends.xmlrpc.wire import Value

#: Longest number of a machine or a disk; none that is longer can exist.
_MOST_DIGITS: Final = 15
_TOSCA: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*|---[^\n]*)?\r?\n)*tosca_definitions_version\b")
_DATE: Final = re.compile(r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, its type as introspection tells it, and what makes an argument of its value.

    `read` is given the name and the value, which may be None for a parameter that is `optional`.
    """

    name: str
    type: str
    read: Callable[[str, Value], object]
    optional: bool = False


def incorrect(name: str) -> InvalidRequest:
    """The error for a value that a parameter cannot have."""
    return InvalidRequest(f"Incorrect value in {name} parameter")


def _infrastructure(name: str, value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NotFound("Invalid infrastructure ID or access not granted.")
    return str(value)


def number(value: Value) -> int | None:
    """A non-negative integer, given as such or as digits; None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**_MOST_DIGITS else None
    if isinstance(value, str):
        digits = value.strip()
        if len(digits) <= _MOST_DIGITS and digits.isascii() and digits.isdigit():
            return int(digits)
    return None


def _machine(name: str, value: Value) -> int:
    found = number(value)
    if found is None:
        raise NotFound("Invalid VM ID")
    return found


def _numbers(value: Value) -> list[int] | None:
    """Numbers as a comma-separated text, one number or an array; None if they are none."""
    parts = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    found = [number(part) for part in parts]
    numbers = [each for each in found if each is not None]
    return list(dict.fromkeys(numbers)) if numbers and len(numbers) == len(found) else None


def _machines(name: str, value: Value) -> list[int]:
    found = _numbers(value)
    if found is None:
        raise NotFound("Invalid VM ID")
    return found


def _some_machines(name: str, value: Value) -> list[int] | None:
    if value is None:
        return None
    found = _numbers(value)
    if found is None:
        raise InvalidRequest("Incorrect vm_list format.")
    return found


def _disk(name: str, value: Value) -> int:
    found = number(value)
    if found is None:
        raise incorrect(name)
    return found


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise incorrect(name)
    return value


def _some_text(name: str, value: Value) -> str | None:
    return None if value is None else _text(name, value)


def _document(name: str, value: Value) -> Document:
    text = _text(name, value)
    if text.lstrip()[:1] == "[":
        return Document(text, Language.RADL_JSON)
    return Document(text, Language.TOSCA if _TOSCA.match(text) else Language.RADL)


def _some_document(name: str, value: Value) -> Document | None:
    return None if value is None or value == "" else _document(name, value)


def _flag(default: bool) -> Callable[[str, Value], bool]:
    def read(name: str, value: Value) -> bool:
        if value is None:
            return default
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise incorrect(name)

    return read


def _filters(name: str, value: Value) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, str | int | float) for each in value.values()):
        raise incorrect(name)
    return {key: str(each) for key, each in value.items()}


def _day(name: str, value: Value) -> date | None:
    if value is None or value == "":
        return None
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is not None:
            return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        pass  # a day that there is not
    raise InvalidRequest(f"Incorrect format in {name} parameter: YYYY/MM/dd")


def _owners(name: str, value: Value) -> list[dict[str, str]]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, Mapping) for item in items):
        raise incorrect(name)
    return [{key: str(field) for key, field in item.items()} for item in items]


def credentials(name: str, value: Value) -> list[Mapping[str, str]]:
    """The items of a credential list; the service looks at what is in them.

    Raises:
        Unauthenticated: it is no list.
    """
    if not isinstance(value, list):
        raise Unauthenticated("No credentials provided for the InfrastructureManager.")
    return value


AUTH: Final = Parameter("auth", "array", credentials)
INFRASTRUCTURE: Final = Parameter("infId", "string", _infrastructure)
MACHINE: Final = Parameter("vmId", "string", _machine)
MACHINES: Final = Parameter("vmIds", "string", _machines)
SOME_MACHINES: Final = Parameter("vm_list", "array", _some_machines, optional=True)
RADL: Final = Parameter("radl", "string", _document)
CHANGED_RADL: Final = Parameter("radl", "string", _some_document)
OWNERS: Final = Parameter("newAuth", "array", _owners)
DISK: Final = Parameter("disk_num", "int", _disk)
FILTERS: Final = Parameter("filters", "struct", _filters, optional=True)
PATTERN: Final = Parameter("filter", "string", _some_text, optional=True)


def text(name: str) -> Parameter:
    """A parameter that is any text."""
    return Parameter(name, "string", _text)


def day(name: str) -> Parameter:
    """A parameter that is a date; nil or empty: no limit."""
    return Parameter(name, "string", _day)


def flag(name: str, default: bool = False, *, optional: bool = True) -> Parameter:
    """A boolean parameter. nil is the default, also where it must be there."""
    return Parameter(name, "boolean", _flag(default), optional)
