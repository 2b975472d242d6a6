"""Units of numbers: what a suffix such as ``512M`` multiplies by, and conversion between units.

Which unit a feature may carry is the business of `validation`; here every word is a unit, and one that is not a
size has the factor 1. K, M, G, T are powers of 1000; Ki, Mi, Gi, Ti powers of 1024; case does not matter.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

#: Factor of every size unit, by its lower-case spelling, with and without the final ``b``.
SIZE_FACTORS: Final[dict[str, int]] = {
    letter + binary + final: base**power
    for letter, power in _POWERS.items()
    for binary, base in (("", 1000), ("i", 1024))
    for final in ("", "b")
    if letter or not binary
}


def factor(unit: str) -> int:
    """What a number in `unit` is multiplied by to get base units (bytes for sizes); 1 for unknown units."""
    return SIZE_FACTORS.get(unit.lower(), 1)


def is_size_unit(unit: str) -> bool:
    """Whether `unit` is one of the size units; having none counts as bytes."""
    return unit.lower() in SIZE_FACTORS


def convert(value: int | float, unit: str, wanted: str) -> int | float:
    """`value` in `unit` expressed in `wanted`. Integers stay integers, halves going to the even neighbour."""
    if isinstance(value, int):
        return round(Fraction(value * factor(unit), factor(wanted)))
    return value * factor(unit) / factor(wanted)


def is_representable(value: int | float, unit: str = "") -> bool:
    """Whether the number, in base units, is finite and within what a double holds."""
    try:
        return math.isfinite(float(value * factor(unit)))
    except OverflowError:
        return False
