"""JSON that remembers where it stood, read past its mistakes: for telling people what is wrong with a document.

Documents without mistakes never come here, since `json.loads` is much faster. What is understood of the others is as
good a guess as can be: a comma too few or too many, single quotes and bare words keep nothing else from being read.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any, Final, NoReturn

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import MAX_PROBLEMS, shortened

#: Line and column, both from 1, or two Nones where nobody knows.
Mark = tuple[int | None, int | None]
NOWHERE: Final[Mark] = (None, None)

MAX_DEPTH: Final = 100

_TOKEN: Final = re.compile(
    r"""
    [ \t\r\n]*+
    (?: (?P<text> "[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+" )
      | (?P<mark> [{}\[\]:,] )
      | (?P<number> -?+[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+ )
      | (?P<word> -?+[A-Za-z_$][\w.\-]*+ )
      | (?P<single> '[^'\n]*+' )
      | (?P<comment> \#[^\n]*+ | //[^\n]*+ )
      | (?P<end> \Z )
      | (?P<other> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
#: What a text without closing quote holds, most likely.
_REST: Final = re.compile(r"[^\n,}\]]*+")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_MISSPELLED: Final = {"True": "true", "False": "false", "None": "null"}
_NO_NUMBERS: Final = ("NaN", "Infinity", "-Infinity")


class Object(dict[str, Any]):
    """An object: where it starts, where its keys and values do, and whether something of it could not be read."""

    __slots__ = ("at", "mark", "partial")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.at: dict[str, tuple[Mark, Mark]] = {}
        self.partial = False


class Array(list[Any]):
    """A list, and where its elements start."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        super().__init__()
        self.at: list[Mark] = []


def key_mark(container: object, key: str) -> Mark:
    """Where a key of an object stands; where the object starts if it has none."""
    if not isinstance(container, Object):
        return NOWHERE
    return container.at[key][0] if key in container.at else container.mark


def value_mark(container: object, key: str | int) -> Mark:
    """Where the value of a key, or an element, stands."""
    if isinstance(container, Object):
        return container.at[key][1] if key in container.at else container.mark
    if isinstance(container, Array) and isinstance(key, int):
        return container.at[key]
    return NOWHERE


def read(text: str) -> tuple[object, tuple[Problem, ...], bool]:
    """The value that `text` is most likely to mean (None if nothing can be told), and its problems in their order.

    The last one says whether it may have more objects than those that were made out.
    """
    reader = _Reader(text)
    try:
        value = reader.document()
    except InvalidDocument as error:
        return None, (*reader.problems, *error.problems)[:MAX_PROBLEMS], True
    return value, tuple(reader.problems), reader.lost


class _Nothing:
    """Stands for a value that is not there."""


_NOTHING: Final = _Nothing()


class _Reader:
    """One token in hand: its `kind`, its `value` (the characters), and where it starts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.lost = False
        self.kind = ""
        self.value = ""
        self.start = 0
        self._next = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._open: list[Object] = []
        self._depth = 0
        self._text_mark: Mark = NOWHERE
        self._noted_at = -1

    def document(self) -> object:
        self.advance()
        value = self.element()
        if self.kind != "end" and not self.problems:
            self.lost = True
            self.note(f"there is more after the end of the document: {self.in_hand()}")
        return None if value is _NOTHING else value

    # tokens

    def advance(self) -> None:
        while True:
            match = _TOKEN.match(self.text, self._next)
            assert match is not None  # noqa: S101 - any character is one of the alternatives
            assert match.lastgroup is not None  # noqa: S101
            self._next = match.end()
            self.kind, self.value, self.start = match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            if self.kind == "mark":
                self.kind = self.value
            if self.kind != "comment":
                return
            self.note("JSON has no comments", "remove it")

    def mark(self) -> Mark:
        line = bisect_right(self._lines, self.start)
        return line, self.start - self._lines[line - 1] + 1

    def in_hand(self) -> str:
        if self.kind == "end":
            return "end of the text"
        return "text" if self.kind in ("text", "single") else f"'{shortened(self.value)}'"

    # problems

    def note(self, message: str, hint: str = "", kind: str = "syntax") -> None:
        for item in self._open:
            item.partial = True
        if self._noted_at == self.start:
            return  # one mistake is often several
        self._noted_at = self.start
        self.problems.append(Problem(f"this is not JSON: {message}", *self.mark(), kind, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            self.give_up()

    def give_up(self, *problems: Problem) -> NoReturn:
        raise InvalidDocument(problems)

    # values

    def element(self) -> Any:
        """The value in hand; the token after it is in hand then. Nothing is taken if no value is in hand."""
        kind, value = self.kind, self.value
        match kind:
            case "{":
                return self.object()
            case "[":
                return self.array()
            case "text":
                self.advance_after_text()
                return self.text_of(value)
            case "number":
                return self.number()
            case "word":
                return self.word()
            case "single":
                self.note("a text is in single quotes", 'texts are written in double quotes: "text"')
                self.advance()
                return value[1:-1]
            case "other" if value == '"':
                return self.unclosed()
        self.lost = True
        self.note(f"unexpected {self.in_hand()}, expected a value", self.value_hint())
        if kind == "other":
            self.advance()
        return _NOTHING

    def advance_after_text(self) -> None:
        self._text_mark = self.mark()
        self.advance()

    def text_of(self, literal: str) -> str:
        try:
            text: str = json.loads(literal)
        except ValueError:
            line, column = self._text_mark
            hint = "a backslash itself is written \\\\"
            self.problems.append(
                Problem("this is not JSON: a text has an escape that JSON does not know", line, column, "syntax", hint)
            )
            return literal[1:-1]
        return text

    def number(self) -> int | float:
        value = self.value
        try:
            number: int | float = json.loads(value)
        except json.JSONDecodeError:
            self.note(f"'{shortened(value)}' is no number", "a number has no leading zeros")
            number = 0
        except ValueError:  # Python's limit on the digits of a number
            self.note("a number has too many digits", kind="wrong-value")
            number = 0
        self.advance()
        return number

    def word(self) -> Any:
        word = self.value
        if word in _MISSPELLED:
            self.note(f"unexpected '{word}'", f"write {_MISSPELLED[word]}")
            word = _MISSPELLED[word]
        elif word in _NO_NUMBERS:
            self.note(f"{word} is not a number that JSON knows", kind="wrong-value")
            self.advance()
            return 0
        elif word not in _WORDS:
            self.note(f"unexpected '{shortened(word)}', expected a value", self.value_hint())
        self.advance()
        return _WORDS.get(word, word)

    def value_hint(self) -> str:
        if self.start == len(self.text) - len(self.text.lstrip()):
            return "a RADL JSON document is a list of objects: [ … ]"
        return 'texts are written in double quotes: "text"' if self.kind == "word" else ""

    def unclosed(self) -> str:
        self.note("this text has no closing quote", "a line break inside a text is written \\n")
        match = _REST.match(self.text, self.start + 1)
        rest = "" if match is None else match[0]
        self._next = self.start + 1 + len(rest)
        self.advance()
        return rest

    def array(self) -> Array:
        result = Array()
        opened = self.mark()
        self.enter()
        self.advance()
        while self.kind not in ("]", "}", "end"):
            if self.kind == ",":
                self.note("there is a comma too many", "remove it")
                self.advance()
                continue
            at = self.mark()
            value = self.element()
            if value is not _NOTHING:
                result.append(value)
                result.at.append(at)
            elif self.kind == ":":
                self.advance()
            self.separator("]")
        self.close("]", "list", opened)
        return result

    def object(self) -> Object:
        result = Object(self.mark())
        self.enter()
        self._open.append(result)
        self.advance()
        while self.kind not in ("}", "]", "end"):
            if self.kind == ",":
                self.note("there is a comma too many", "remove it")
                self.advance()
                continue
            key_at = self.mark()
            key = self.key()
            if key is None:
                continue
            if key in result:
                self.duplicate(key, key_at)
            if self.kind == ":":
                self.advance()
            else:
                self.note(f"unexpected {self.in_hand()}, expected ':' after a key")
            at = self.mark()
            value = self.element()
            if value is not _NOTHING:
                result[key] = value
                result.at[key] = (key_at, at)
            self.separator("}")
        self.close("}", "object", result.mark)
        self._open.pop()
        return result

    def key(self) -> str | None:
        """The key in hand; if there is none, what is in hand is left out."""
        kind, value = self.kind, self.value
        if kind == "text":
            self.advance_after_text()
            return self.text_of(value)
        if kind in ("word", "single"):
            self.note("a key is not in double quotes", 'keys are written in double quotes: "key"')
            self.advance()
            return value if kind == "word" else value[1:-1]
        if kind == "other" and value == '"':
            return self.unclosed()
        self.lost = True
        self.note(f"unexpected {self.in_hand()}, expected a key", 'keys are written in double quotes: "key"')
        if kind in ("{", "["):
            self.element()
        else:
            self.advance()
        return None

    def duplicate(self, key: str, mark: Mark) -> None:
        message = f"the key '{shortened(key)}' appears twice in one object"
        self.problems.append(Problem(message, *mark, "duplicate-key", "remove one of the two"))
        if len(self.problems) >= MAX_PROBLEMS:
            self.give_up()

    def separator(self, closing: str) -> None:
        """What stands between two entries."""
        if self.kind == ",":
            comma = self.start
            self.advance()
            if self.kind == closing:
                after, self.start = self.start, comma
                self.note(f"there is a comma before '{closing}'", "remove it")
                self.start = after
        elif self.kind not in ("}", "]", "end"):
            self.note(f"unexpected {self.in_hand()}, expected ',' or '{closing}'", "entries are separated by commas")
            if self.kind in (":", "other") and self.value != '"':
                self.advance()

    def enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            line, column = self.mark()
            self.give_up(Problem("the JSON document is nested too deep", line, column, "too-deep"))

    def close(self, closing: str, what: str, opened: Mark) -> None:
        self._depth -= 1
        if self.kind == closing:
            self.advance()
        else:
            self.lost = True
            hint = f"the {what} of line {opened[0]} is not closed"
            self.note(f"unexpected {self.in_hand()}, expected '{closing}'", hint)
