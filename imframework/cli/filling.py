"""A text with some of its parameters replaced that still knows where everything stood before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from imframework.languages.radl.lexical import PARAMETER


@dataclass(frozen=True)
class Filled:
    """`text` came out of `original`; `cuts` are the (offset in text, offset in original) after each replacement.

    `without_value` are the parameters that were left, and `open_lines` the lines of the original they stand in.
    """

    text: str
    original: str
    cuts: tuple[tuple[int, int], ...]
    without_value: tuple[str, ...]
    open_lines: frozenset[int]

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the original of a line and column in the text; of a value, where its parameter starts."""
        starts = self._line_starts
        offset = starts[min(line, len(starts)) - 1] + column - 1
        index = bisect_right(self.cuts, offset, key=lambda cut: cut[0])
        after, before = self.cuts[index - 1] if index else (0, 0)
        original = before + offset - after
        if index < len(self.cuts):
            # Inside of the next value, the original goes on from the parameter that it stands for.
            original = min(original, self._starts[index])
        line_start = self.original.rfind("\n", 0, original) + 1
        return self.original.count("\n", 0, original) + 1, original - line_start + 1

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(offset + 1 for offset, character in enumerate(self.text) if character == "\n")]

    @cached_property
    def _starts(self) -> list[int]:
        """Where each replaced parameter starts in the original."""
        return [self.original.rindex("@input.", 0, before) for _, before in self.cuts]


def filled(text: str, values: Mapping[str, str]) -> Filled:
    """`text` with the parameters replaced that have a value; the others stay."""
    pieces: list[str] = []
    cuts: list[tuple[int, int]] = []
    left: dict[str, None] = {}
    open_lines = set()
    written = copied = 0
    for match in PARAMETER.finditer(text):
        name = match[1]
        if name not in values:
            left[name] = None
            open_lines.add(text.count("\n", 0, match.start()) + 1)
            continue
        piece = text[copied : match.start()] + values[name]
        pieces.append(piece)
        written += len(piece)
        copied = match.end()
        cuts.append((written, copied))
    pieces.append(text[copied:])
    return Filled("".join(pieces), text, tuple(cuts), tuple(left), frozenset(open_lines))
