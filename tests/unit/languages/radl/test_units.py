"""Units: factors and conversion."""

from __future__ import annotations

import pytest

from imframework.languages.radl.units import convert, factor, is_representable, is_size_unit


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        *[("", 1), ("B", 1), ("K", 1000), ("kb", 1000), ("Ki", 1024), ("kIB", 1024), ("M", 10**6), ("MiB", 2**20)],
        *[("G", 10**9), ("GB", 10**9), ("Gi", 2**30), ("T", 10**12), ("TiB", 2**40)],
    ],
)
def test_factor_of_size_units(unit: str, expected: int) -> None:
    assert factor(unit) == expected
    assert is_size_unit(unit)


@pytest.mark.parametrize("unit", ["P", "i", "iB", "BB", "furlong", "GCEU"])
def test_other_units_count_as_one(unit: str) -> None:
    assert factor(unit) == 1
    assert not is_size_unit(unit)


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "expected"),
    [(1500, "M", "G", 2), (2500, "M", "G", 2), (3500, "M", "G", 4), (1, "GiB", "B", 2**30), (10**30, "", "K", 10**27)],
)
def test_integers_are_rounded_halves_to_the_even_neighbour(value: int, unit: str, wanted: str, expected: int) -> None:
    converted = convert(value, unit, wanted)
    assert converted == expected
    assert isinstance(converted, int)


def test_floats_are_not_rounded() -> None:
    assert convert(1500.0, "M", "G") == 1.5


def test_what_a_double_cannot_hold_is_not_representable() -> None:
    assert is_representable(10**300)
    assert not is_representable(10**300, "TiB")
    assert not is_representable(float("nan"))
