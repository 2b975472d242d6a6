"""im.cfg as text: which option stands on which line, with which value. What the values mean is decided elsewhere.

The dialect is that of the standard library's configparser, for which existing im.cfg files were written: full-line
comments with ``#`` or ``;``, indented continuation lines, and every other character of a value taken literally. (A
stricter INI library would cut ``vnode-#N#`` at its first ``#`` and reject a value that has a quote inside.)
"""

from __future__ import annotations

from collections.abc import Iterator
from configparser import Error, MissingSectionHeaderError, ParsingError, RawConfigParser
from dataclasses import dataclass
from pathlib import Path

from imframework.settings.problems import ConfigProblem


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``name = text`` of a file. The name is in capitals; the lines of a continued value are joined by newlines."""

    section: str
    name: str
    text: str
    line: int


def read_ini(path: Path) -> tuple[list[Entry], list[ConfigProblem]]:
    """All entries of a file in its order, repeated ones too, and the lines that make no sense."""
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        return [], [ConfigProblem(f"cannot be read: {error.strerror}", kind="unreadable", source=source)]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [], [ConfigProblem("not UTF-8 text", line, kind="syntax", hint="save it as UTF-8", source=source)]
    return parse_ini(text, source)


def parse_ini(text: str, source: str) -> tuple[list[Entry], list[ConfigProblem]]:
    """The same for a text; `source` names it in problems."""
    parser = _Parser()
    try:
        parser.read_file(parser.numbered(text), source)
    except MissingSectionHeaderError as error:
        hint = "a file begins with a section, such as [im]"
        return [], [ConfigProblem("text outside any section", error.lineno, kind="syntax", hint=hint, source=source)]
    except ParsingError as error:
        hint = "continuation lines are indented"
        return parser.entries(), [
            ConfigProblem("neither 'NAME = value' nor a section", line, kind="syntax", hint=hint, source=source)
            for line, _ in error.errors
        ]
    except Error as error:
        return [], [ConfigProblem(error.message, kind="syntax", source=source)]
    return parser.entries(), []


class _Parser(RawConfigParser):
    """A configparser that keeps every occurrence of an option, with its line.

    Each option is stored under its name *and* line, so none replaces another: `optionxform` is asked for the name
    under which to store an option just after its line has been read.
    """

    def __init__(self) -> None:
        super().__init__(delimiters=("=",), strict=False, default_section="", interpolation=None)
        self._line = 0

    def numbered(self, text: str) -> Iterator[str]:
        for self._line, line in enumerate(text.split("\n"), start=1):
            yield line

    def optionxform(self, optionstr: str) -> str:
        return f"{optionstr.strip().upper()}@{self._line}"

    def entries(self) -> list[Entry]:
        found = []
        for section in self.sections():
            for key, value in self.items(section):
                name, _, line = key.rpartition("@")
                if name:
                    found.append(Entry(section, name, value, int(line)))
        return found
