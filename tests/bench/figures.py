"""What a bench measures: figures with their targets, and the table they are shown in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


def load_average() -> float:
    """Of the last minute: what else the machine was doing."""
    return round(os.getloadavg()[0], 1)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    `target` is the most it may be, or the least if `at_least`; None for what is only told. `incumbent` is what IM 2.0.0
    was measured to need for the same, as text. `detail` is what the value was made of.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    incumbent: str = ""
    detail: str = ""
    load: float = field(default_factory=load_average)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def table(figures: Iterable[Figure]) -> str:
    """All figures as text, one a line."""
    rows = [("figure", "target", "measured", "", "incumbent", "load", "of")]
    for figure in figures:
        sign = "≥" if figure.at_least else "≤"
        target = "" if figure.target is None else f"{sign} {number(figure.target)} {figure.unit}".rstrip()
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        measured = f"{number(figure.value)} {figure.unit}".rstrip()
        rows.append((figure.name, target, measured, verdict, figure.incumbent, str(figure.load), figure.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def number(value: float) -> str:
    """With three significant digits, at least."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
