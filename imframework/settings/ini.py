"""im.cfg as text: which option stands on which line, with which value. What the values mean is decided elsewhere.

ConfigObj parses sections and options, but its dialect is not the one that im.cfg files are written in: it would cut
``vnode-#N#`` at its first ``#``, reject ``"a"b``, an indented line that continues a value and a repeated name, and it
does not say where an option stands. So a scanner first brings each logical line (an option with its continuation
lines, or a section) into a form that ConfigObj reads without loss, with the line number as a part of the name:

    [im]                             [1 im]
    # machines                       3 DEFAULT_VM_NAME = vnode-%23N%23
    DEFAULT_VM_NAME = vnode-#N#      4 ADMIN_USER = %5B%0A%7B%7D%0A%5D
    ADMIN_USER = [
        {}
      ]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote, unquote

from configobj import ConfigObj, ConfigObjError, NestingError

from imframework.settings.problems import ConfigProblem

_COMMENT = ("#", ";")

#: A section; whatever stands behind the brackets is a comment.
_HEADER = re.compile(r"(?P<open>\[+)(?P<name>[^\]]*)(?P<close>\]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``name = text`` of a file. The name is in capitals; the lines of a continued value are joined by newlines."""

    section: str
    name: str
    text: str
    line: int


def read_ini(path: Path) -> tuple[list[Entry], list[ConfigProblem]]:
    """All entries of a file, section by section, repeated ones too, and the lines that make no sense."""
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
    lines = list(_logical_lines(text))
    config, errors = _parse([line.for_configobj() for line in lines])
    found = {lines[error.line_number - 1].number: _explained(error) for error in errors}
    entries: dict[str, list[Entry]] = {}
    for tagged in config.sections:
        _, section = _untagged(tagged)
        members = entries.setdefault(section, [])
        for option in config[tagged].scalars:
            line, name = _untagged(option)
            members.append(Entry(section, name.upper(), unquote(config[tagged][option]), line))
        found |= {_untagged(inner)[0]: _NESTED for inner in config[tagged].sections}
    if config.scalars:
        found[_untagged(config.scalars[0])[0]] = _OUTSIDE
    problems = [
        ConfigProblem(message, line, kind="syntax", hint=hint, source=source)
        for line, (message, hint) in sorted(found.items())
    ]
    return list(chain.from_iterable(entries.values())), problems


# What may be wrong with a line, and what to do about it.
_SENSELESS = ("neither 'NAME = value' nor a section", "continuation lines are indented")
_NESTED = ("sections have no sections inside them", "write it as [NAME]")
_OUTSIDE = ("text outside any section", "a file begins with a section, such as [im]")


def _explained(error: ConfigObjError) -> tuple[str, str]:
    return _NESTED if isinstance(error, NestingError) else _SENSELESS


def _parse(lines: list[str]) -> tuple[ConfigObj, list[ConfigObjError]]:
    """What ConfigObj makes of the lines; with errors, what it makes of the others."""
    try:
        return ConfigObj(lines, interpolation=False, list_values=False), []
    except ConfigObjError as error:
        return error.config, error.errors


@dataclass(slots=True)
class _LogicalLine:
    """A line that is neither empty nor a comment, stripped, and those that continue it."""

    number: int
    first: str
    rest: list[str]

    def for_configobj(self) -> str:
        """The line as ConfigObj can read it. What makes no sense stays senseless, for ConfigObj to say so."""
        header = _HEADER.match(self.first)
        if header:
            name = header["name"].strip()
            return f"{header['open']}{self.number} {name}{header['close']}" if name else "[]"
        name, equals, value = self.first.partition("=")
        if not name or not equals:
            return self.first
        value = "\n".join([value.strip(), *self.rest]).rstrip()
        return f"{self.number} {name.strip()} = {quote(value, safe='')}"


def _untagged(name: str) -> tuple[int, str]:
    """Line number and name of a section or option."""
    line, _, rest = name.partition(" ")
    return int(line), rest


def _logical_lines(text: str) -> Iterator[_LogicalLine]:
    """Lines that are indented more than an option continue it, across empty lines and comments."""
    current: _LogicalLine | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith(_COMMENT):
            continue
        if not stripped:
            if current:
                current.rest.append("")
            continue
        depth = len(line) - len(line.lstrip())
        if current and depth > indent and not _HEADER.match(current.first):
            current.rest.append(stripped)
            continue
        if current:
            yield current
        current, indent = _LogicalLine(number, stripped, []), depth
    if current:
        yield current
