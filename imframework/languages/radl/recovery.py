"""Where to go on reading a RADL text after a syntax error, so that one answer names all of them.

Only texts with errors come here. What is skipped is looked at coarsely: recipes, comments and texts that end in their
line are stepped over whole, parentheses are counted, and a sentence is recognised by its keyword where sentences stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from imframework.languages.radl.lexical import KEYWORDS, NAME_PATTERN

_PIECE: Final = re.compile(
    rf"""
      \#[^\n]*+
    | '[^'\n]*+'
    | "[^"\n]*+"
    | (?P<recipe> @begin)
    | (?P<word> {NAME_PATTERN})
    | (?P<mark> [(),])
    """,
    re.VERBOSE,
)
#: Matched at a keyword that begins its line.
_SENTENCE: Final = re.compile(
    rf"(?:description|network|ansible|system|configure|deploy)[ \t]+{NAME_PATTERN}|contextualize\b"
)
#: Matched at a keyword anywhere.
_SURE_SENTENCE: Final = re.compile(
    rf"(?:(?:description|network|ansible|system|configure)\s+{NAME_PATTERN}\s*\(|deploy\s+{NAME_PATTERN}\s+[0-9]"
    r"|contextualize\s*[0-9]*+\s*\()"
)
#: Matched at a word that begins its line without an indent: whatever it is, it is no feature.
_SHAPE: Final = re.compile(rf"{NAME_PATTERN}[ \t]+(?!contains\b){NAME_PATTERN}[ \t]*\(")
_ITEM: Final = re.compile(rf"system\s+{NAME_PATTERN}\s+configure\b|option\s+{NAME_PATTERN}")
_FEATURE: Final = re.compile(rf"(?:soft\s+[0-9.]++\s*\(|{NAME_PATTERN}\s*(?:[=<>]|contains\b))")
#: Looking further for where to go on costs time, and finds nothing in documents that people write.
_MOST_PIECES: Final = 50_000
#: What begins a line stands behind at most so many blanks.
_LONGEST_INDENT: Final = 200
_INITIALS: Final = frozenset("dnascdo")


class Next(Enum):
    """What stands where reading can go on."""

    FEATURE = auto()
    ITEM = auto()
    GROUP_END = auto()
    SENTENCE = auto()
    END = auto()


class Place(NamedTuple):
    """An offset in the text, and what stands there. (A feature may stand behind white space.)"""

    offset: int
    next: Next


class _Piece(NamedTuple):
    offset: int
    end: int
    word: str
    mark: str
    begins_line: bool
    indented: bool


def after_feature(text: str, start: int) -> Place:
    """Where to go on after an error at `start`, inside of a group: at its next feature, its end, or a sentence."""
    depth = 0
    for piece in _pieces(text, start):
        if piece.mark == "(":
            depth += 1
        elif piece.mark == ")":
            if depth == 0:
                return Place(piece.offset, Next.GROUP_END)
            depth -= 1
        elif piece.word and _is_sentence(text, piece, inside=True):
            return Place(piece.offset, Next.SENTENCE)
        elif depth == 0:
            if piece.mark == "," or piece.word.lower() == "and":
                return Place(piece.end, Next.FEATURE)
            is_name = piece.word not in KEYWORDS or piece.word == "soft"
            if piece.word and is_name and piece.begins_line and _FEATURE.match(text, piece.offset):
                return Place(piece.offset, Next.FEATURE)
    return Place(len(text), Next.END)


def after_item(text: str, start: int) -> Place:
    """Where to go on after an error at `start`, inside of contextualize: at its next item, its end, or a sentence."""
    depth = 0
    for piece in _pieces(text, start):
        if piece.mark == "(":
            depth += 1
        elif piece.mark == ")":
            if depth == 0:
                return Place(piece.offset, Next.GROUP_END)
            depth -= 1
        elif piece.word and _ITEM.match(text, piece.offset):
            return Place(piece.offset, Next.ITEM)
        elif piece.word and _is_sentence(text, piece, inside=True):
            return Place(piece.offset, Next.SENTENCE)
    return Place(len(text), Next.END)


def after_sentence(text: str, start: int) -> Place:
    """Where to go on after an error at `start` that is in no group: at the next sentence."""
    depth = 0
    for piece in _pieces(text, start):
        if piece.mark == "(":
            depth += 1
        elif piece.mark == ")":
            depth = max(depth - 1, 0)
        elif piece.word and _is_sentence(text, piece, inside=depth > 0):
            # With a parenthesis open, an item looks like the sentence of a system.
            if depth and _ITEM.match(text, piece.offset):
                continue
            return Place(piece.offset, Next.SENTENCE)
    return Place(len(text), Next.END)


def _pieces(text: str, start: int) -> Iterator[_Piece]:
    """Words and marks from `start` on, recipes left out, but not more than anybody will have skipped."""
    left = _MOST_PIECES
    has_end = True
    position = start
    between = text[start - _LONGEST_INDENT : start] if start > _LONGEST_INDENT else "\n" + text[:start]
    while left and (match := _PIECE.search(text, position)):
        left -= 1
        offset = match.start()
        between += text[position:offset]
        position = match.end()
        if match["recipe"] is not None:
            end = text.find("\n@end", position) if has_end else -1
            has_end = end >= 0
            position = end + len("\n@end") if has_end else position
        elif match["word"] is not None or match["mark"] is not None:
            _, line_break, indent = between.rpartition("\n")
            begins_line = bool(line_break) and not indent.strip()
            yield _Piece(offset, position, match["word"] or "", match["mark"] or "", begins_line, bool(indent))
        between = ""


def _is_sentence(text: str, piece: _Piece, *, inside: bool) -> bool:
    """Whether a sentence starts here; `inside` of parentheses it must begin a line, or be unmistakable."""
    if piece.begins_line and not piece.indented and _SHAPE.match(text, piece.offset):
        return True
    if piece.word[0] not in _INITIALS:
        return False
    if _SURE_SENTENCE.match(text, piece.offset):
        return True
    return (not inside or piece.begins_line) and _SENTENCE.match(text, piece.offset) is not None
