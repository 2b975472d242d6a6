"""What connectors answer, checked where it comes in: a plugin's mistake must not be found out by the database.

Everything here raises `TypeError` or `ValueError`, as the connector's own code might.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from imframework.api.model import JSON, Candidate, Observation, Phase, Ref, Resource

T = TypeVar("T")


def several(answer: object, *kinds: type[T]) -> list[T]:
    """A list of things of these classes."""
    if not isinstance(answer, list | tuple):
        raise TypeError(f"it answered {type(answer).__name__} instead of a list")
    for item in answer:
        if not isinstance(item, kinds):
            raise TypeError(f"it answered a list with {type(item).__name__}")
        _check(item)
    return list(answer)


def one(answer: object) -> Observation:
    """One observation."""
    if not isinstance(answer, Observation):
        raise TypeError(f"it answered {type(answer).__name__} instead of an Observation")
    _check(answer)
    return answer


def identified(answer: object) -> Observation:
    """One observation of a thing that exists."""
    observed = one(answer)
    if not observed.provider_id or observed.phase == Phase.ABSENT:
        raise ValueError("it answered without saying what exists now")
    return observed


def _check(answer: Any) -> None:
    match answer:
        case Observation():
            _text(answer.provider_id)
            _check_json(answer.attributes)
        case Resource():
            _text(answer.key)
            _text(answer.provider_id)
            _check_json(answer.spec)
        case Candidate():
            _check_json(answer.facts)


def _text(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"it answered {type(value).__name__} where a text belongs")


def _check_json(value: JSON) -> None:
    match value:
        case None | bool() | int() | str() | Ref():
            return
        case float():
            if not math.isfinite(value):
                raise ValueError(f"it answered {value}, which JSON cannot hold")
        case Mapping():
            for key, item in value.items():
                _text(key)
                _check_json(item)
        case list() | tuple():
            for item in value:
                _check_json(item)
        case _:
            raise TypeError(f"it answered {type(value).__name__}, which JSON cannot hold")
