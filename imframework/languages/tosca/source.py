"""YAML in, plain data out that remembers where it stood: the first stage of every document.

Only the safe subset is read, from the parser's events, with a stack of our own: neither nesting nor aliases can exhaust
stack or memory, and nothing but maps, lists and scalars is ever constructed. What the data means is left to the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import yaml

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import MAX_PROBLEMS, PARSER_TOO_DEEP, shortened, text_problem

#: Line and column, both from 1; None where the text is not the user's (type definitions, stored parts).
Mark = tuple[int, int] | None

MAX_CHARACTERS: Final = 1_000_000
MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 60
_TOO_DEEP: Final = f"the document is nested more than {MAX_DEPTH} deep"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = yaml.constructor.SafeConstructor()
_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


class Map(dict[Any, Any]):
    """A mapping with its position, and those of its keys and values. Never modified once it is built."""

    __slots__ = ("at", "mark")

    def __init__(self, mark: Mark = None) -> None:
        super().__init__()
        self.mark: Mark = mark
        self.at: dict[Any, tuple[Mark, Mark]] = {}


class Seq(list[Any]):
    """A list with its position, and those of its elements. Never modified once it is built."""

    __slots__ = ("at", "mark")

    def __init__(self, mark: Mark = None) -> None:
        super().__init__()
        self.mark: Mark = mark
        self.at: list[Mark] = []


def key_mark(container: object, key: object) -> Mark:
    """Where the key of a map, or the element of a list, stands; else where the container starts."""
    return _mark(container, key, 0)


def value_mark(container: object, key: object) -> Mark:
    """Where the value of a key, or the element of a list, stands; else where the container starts."""
    return _mark(container, key, 1)


def own_mark(value: object, otherwise: Mark = None) -> Mark:
    """Where a map or list starts; `otherwise` for scalars."""
    return value.mark if isinstance(value, Map | Seq) and value.mark is not None else otherwise


def _mark(container: object, key: object, which: int) -> Mark:
    if isinstance(container, Map):
        marks = container.at.get(key)
        return container.mark if marks is None else marks[which]
    if isinstance(container, Seq):
        return container.at[key] if isinstance(key, int) and key < len(container.at) else container.mark
    return None


def problem(message: str, mark: Mark, kind: str, hint: str = "") -> Problem:
    """A `Problem` at a `Mark`."""
    line, column = mark if mark is not None else (None, None)
    return Problem(message, line, column, kind, hint)


def invalid(message: str, mark: Mark, kind: str, hint: str = "") -> InvalidDocument:
    """An error of one problem at a `Mark`."""
    return InvalidDocument(problem(message, mark, kind, hint))


def load(text: str, *, positions: bool = True) -> Map:
    """The mapping that `text` says; without `positions`, nothing in it knows where it stood.

    Raises InvalidDocument: not YAML, not one mapping, a key twice, too large, too deep, harmful aliases, unknown tags.
    """
    return _loaded(text, positions, None)


def load_leniently(text: str) -> tuple[Map, list[Problem]]:
    """The mapping, and its problems, if they are of the kind that leaves the rest readable. Others are raised."""
    problems: list[Problem] = []
    return _loaded(text, True, problems), problems


def _loaded(text: str, positions: bool, tolerated: list[Problem] | None) -> Map:
    if len(text) > MAX_CHARACTERS:
        line = text.count("\n", 0, MAX_CHARACTERS) + 1
        column = MAX_CHARACTERS - text.rfind("\n", 0, MAX_CHARACTERS)
        message = f"the document has more than {MAX_CHARACTERS} characters"
        raise invalid(message, (line, column), "too-large")
    unstorable = text_problem(text)
    if unstorable:
        raise invalid(f"the document {unstorable}", None, "bad-yaml")
    try:
        root = _Builder(text, positions, tolerated).build()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        message = error.problem or error.context or "syntax error"
        mark = _within(text, place.line + 1, place.column + 1) if place is not None else None
        if PARSER_TOO_DEEP in message:
            raise invalid(_TOO_DEEP, mark, "too-deep") from None
        raise invalid(f"this is not YAML: {message}", mark, "bad-yaml", _yaml_hint(text, message)) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise invalid(f"this is not YAML: {shortened(first, 200)}", _reader_mark(text, error), "bad-yaml") from None
    if not isinstance(root, Map):
        raise invalid("a TOSCA document is a YAML mapping", own_mark(root, (1, 1)), "bad-yaml", _other_language(text))
    return root


def _within(text: str, line: int, column: int) -> Mark:
    """The mark, or the end of the text where libyaml counts one line more than there are."""
    lines = text.count("\n") + 1
    return (line, column) if line <= lines else (lines, len(text) - text.rfind("\n"))


def _yaml_hint(text: str, message: str) -> str:
    if "cannot start any token" in message:
        return "YAML is indented with spaces, not tabs; a text that begins with @, ` or % needs quotes"
    if "mapping values are not allowed" in message:
        return "a text with a colon and a blank needs quotes; is this line indented like its neighbours?"
    if "did not find expected key" in message or "block end" in message:
        return "is this line, or the one before, indented like its neighbours?"
    if "unexpected end of stream" in message or "quoted scalar" in message:
        return "a closing quote is missing"
    return _other_language(text)


def _other_language(text: str) -> str:
    if re.match(r"\s*(?:#[^\n]*\n\s*)*(?:network|system|ansible|configure|description)\s+\S+\s*\(", text[:2000]):
        return "this looks like RADL"
    return "this looks like RADL JSON" if text.lstrip()[:1] == "[" else ""


@lru_cache(maxsize=16)
def load_shared(text: str) -> Map:
    """`load` without positions, remembered by content: for imported files. Callers only read it."""
    return load(text, positions=False)


def dump(data: Mapping[Any, Any]) -> str:
    """`data` as YAML text, keys in their order. Raises InvalidDocument for what `load` would refuse to read again."""
    if _size(data) > MAX_NODES:
        raise invalid(f"with the update, the document has more than {MAX_NODES} values", None, "too-large")
    text: str = yaml.dump(plain(data), Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=1000)
    if len(text) > MAX_CHARACTERS:
        raise invalid(f"written out, the document has more than {MAX_CHARACTERS} characters", None, "too-large")
    return text


def _size(data: Any) -> int:
    """The number of values, keys included."""
    size = 0
    pending = [data]
    while pending:
        current = pending.pop()
        size += 1
        if isinstance(current, dict):
            size += len(current)
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return size


def plain(value: Any) -> Any:
    """A deep copy made of built-in dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value


class _TextDumper(_DUMPER):  # type: ignore[misc]  # the base is chosen when the module is loaded
    def ignore_aliases(self, data: object) -> bool:
        return True


def _reader_mark(text: str, error: yaml.YAMLError) -> Mark:
    position = getattr(error, "position", None)
    if not isinstance(position, int) or not 0 <= position <= len(text):
        return None
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


class _Frame:
    """A collection that is still open."""

    __slots__ = ("anchor", "entries", "is_map", "mark", "nodes_before")

    def __init__(self, mark: Mark, anchor: str | None, *, is_map: bool, nodes_before: int) -> None:
        self.mark = mark
        self.anchor = anchor
        self.is_map = is_map
        self.nodes_before = nodes_before
        #: (value, mark) of the children: in a mapping, keys and values in turn
        self.entries: list[tuple[Any, Mark]] = []


class _Builder:
    """One pass over the events of one text."""

    def __init__(self, text: str, positions: bool, tolerated: list[Problem] | None) -> None:
        self._loader = _LOADER(text)
        self._tolerated = tolerated
        self._positions = positions
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def build(self) -> Any:
        try:
            return self._root()
        finally:
            self._loader.dispose()

    def _events(self) -> Iterator[Any]:
        loader = self._loader
        while loader.check_event():
            yield loader.get_event()

    def _root(self) -> Any:
        stack: list[_Frame] = []
        root: list[tuple[Any, Mark]] = []
        documents = 0
        for event in self._events():
            kind = type(event)
            if kind is yaml.ScalarEvent:
                mark = self._mark(event)
                value = self._scalar(event, mark)
                self._count(1, mark)
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                mark = self._mark(event)
                self._open(event, mark, stack)
                is_map = kind is yaml.MappingStartEvent
                stack.append(_Frame(mark, event.anchor, is_map=is_map, nodes_before=self._nodes))
                self._count(1, mark)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                frame = stack.pop()
                mark = frame.mark
                value = self._map(frame) if frame.is_map else self._seq(frame)
                if frame.anchor is not None:
                    self._anchors[frame.anchor] = (value, self._nodes - frame.nodes_before)
            elif kind is yaml.AliasEvent:
                mark = self._mark(event)
                if event.anchor not in self._anchors:
                    name = shortened(event.anchor)
                    raise invalid(f"the alias *{name} is unknown, or stands inside its own anchor", mark, "bad-yaml")
                value, size = self._anchors[event.anchor]
                self._count(size, mark)
            else:
                if kind is yaml.DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        raise invalid("there is more than one document", self._mark(event), "bad-yaml")
                continue
            (stack[-1].entries if stack else root).append((value, mark))
        return root[0][0] if root else None

    def _refuse(self, message: str, mark: Mark, kind: str = "bad-yaml", hint: str = "") -> None:
        """Raise InvalidDocument, unless it is one of not too many problems that are tolerated."""
        if self._tolerated is None or len(self._tolerated) >= MAX_PROBLEMS:
            raise invalid(message, mark, kind, hint)
        self._tolerated.append(problem(message, mark, kind, hint))

    def _mark(self, event: Any) -> Mark:
        if not self._positions:
            return None
        start = event.start_mark
        return start.line + 1, start.column + 1

    def _count(self, size: int, mark: Mark) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise invalid(f"the document has more than {MAX_NODES} values, aliases expanded", mark, "too-large")

    def _open(self, event: Any, mark: Mark, stack: list[_Frame]) -> None:
        if len(stack) >= MAX_DEPTH:
            raise invalid(_TOO_DEEP, mark, "too-deep")
        if event.tag is not None and event.tag not in (_TAG + "map", _TAG + "seq", "!"):
            self._refuse(f"the tag {shortened(event.tag)} is not supported", mark)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        if stack and stack[-1].is_map and len(stack[-1].entries) % 2 == 0:
            hint = "a value that starts with a brace needs quotes"
            raise invalid("a key must be a text, not a collection", mark, "bad-yaml", hint)

    def _scalar(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is None or tag == "!":
            if tag == "!" or not event.implicit[0]:
                return text
            tag = self._loader.resolve(yaml.ScalarNode, text, event.implicit)
        if tag == _TAG + "str":
            return text
        try:
            return _scalar_value(tag, text)
        except (ValueError, OverflowError):
            self._refuse(f"'{shortened(text)}' cannot be read as a value", mark)
        except KeyError:
            self._refuse(f"the tag {shortened(tag)} is not supported", mark)
        return text

    def _seq(self, frame: _Frame) -> Seq:
        seq = Seq(frame.mark)
        for value, mark in frame.entries:
            seq.append(value)
            if self._positions:
                seq.at.append(mark)
        return seq

    def _map(self, frame: _Frame) -> Map:
        result = Map(frame.mark)
        merged: list[tuple[Any, Mark]] = []
        entries = frame.entries
        for index in range(0, len(entries), 2):
            (key, at), (value, value_at) = entries[index], entries[index + 1]
            if key is _MERGE:
                merged.append((value, value_at))
                continue
            if isinstance(key, dict | list):
                raise invalid("a key must be a text, not a collection", at, "bad-yaml")
            if key in result:
                message = f"the key '{shortened(str(key))}' appears twice in one mapping"
                self._refuse(message, at, "duplicate-key", "remove one of the two")
            result[key] = value
            if self._positions:
                result.at[key] = (at, value_at)
        for value, value_at in merged:
            _merge(result, value, value_at)
        return result


class _Merge:
    """The key ``<<``, which takes over the entries of another mapping."""


_MERGE: Final = _Merge()


def _merge(result: Map, value: Any, mark: Mark) -> None:
    for source in value if isinstance(value, Seq) else (value,):
        if not isinstance(source, Map):
            raise invalid("what << names must be a mapping, or a list of them", mark, "bad-yaml")
        for key, entry in source.items():
            if key not in result:
                result[key] = entry
                if key in source.at:
                    result.at[key] = source.at[key]


def _scalar_value(tag: str, text: str) -> Any:
    """Raises KeyError for tags that are not of the safe subset, ValueError for a text that does not fit its tag."""
    kind = tag.removeprefix(_TAG)
    match kind:
        case "int":
            if _PLAIN_INTEGER.fullmatch(text):
                return int(text)
            if len(text) > 400:
                raise ValueError(text)
            return _SCALARS.construct_yaml_int(yaml.ScalarNode(tag, text))
        case "float":
            return _SCALARS.construct_yaml_float(yaml.ScalarNode(tag, text))
        case "bool":
            known: bool | None = _SCALARS.bool_values.get(text.lower())
            if known is None:
                raise ValueError(text)
            return known
        case "null":
            return None
        case "merge":
            return _MERGE
        case "timestamp" | "binary" | "value":
            return text  # TOSCA has texts for these
    raise KeyError(tag)
