"""What counts as a function call in a document."""

from __future__ import annotations

from typing import Any, Final

#: Evaluated; for those below the line an argument list is needed, since maps of data may have such a key.
FUNCTIONS: Final = frozenset(("get_input", "get_property", "get_attribute", "get_artifact", "concat", "token"))
_NEED_LIST: Final = ("concat", "token", "get_artifact")
UNSUPPORTED: Final = ("get_operation_output", "get_nodes_of_type")


def is_function(value: object) -> bool:
    """Whether `value` is a call of a function: a map of exactly one known name."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    name = next(iter(value))
    if name not in FUNCTIONS:
        return False
    return name not in _NEED_LIST or isinstance(value[name], list)


def call(value: dict[Any, Any]) -> tuple[str, list[Any]]:
    """Name and arguments of a function; a single argument may stand without a list."""
    ((name, arguments),) = value.items()
    return name, arguments if isinstance(arguments, list) else [arguments]


def has_function(value: object) -> bool:
    """Whether there is a call anywhere in `value`."""
    pending = [value]
    while pending:
        current = pending.pop()
        if is_function(current):
            return True
        if isinstance(current, dict):
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return False
