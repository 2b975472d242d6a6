"""Features: the values that networks, systems and their groups are made of, and how repeated ones combine.

A `Features` object is an ordered set of named values. The values themselves (`Text`, `Number`, `TextList`, `Group`,
`Soft`) are never modified once made: combining makes new ones. Only `Collection` grows, in place.

What a name means, and which values it allows, is left to `validation`; reading and writing to `text`, `printer` and
`json_form`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Union

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.radl.units import convert, factor, is_representable

OPERATORS: Final = ("=", "<", ">", "<=", ">=")

_SECRET = re.compile(
    r"password|passwd|secret|token|private_key|access_key|proxy_host|proxy_key|\.content$|^script$|environment", re.I
)


def is_secret(name: str) -> bool:
    """Whether the value of this feature must stay out of messages and logs."""
    return _SECRET.search(name) is not None


# --- values ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """``name = 'text'``. Operators other than ``=`` make sense for versions only."""

    value: str
    op: str = "="
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TextList:
    """``name = ['a', 'b']``."""

    values: tuple[str, ...]
    op: str = "="
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of an interval, as written: ``>= 512M``."""

    op: str
    value: int | float
    unit: str = ""
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not is_representable(self.value, self.unit):
            raise InvalidDocument(Problem("this number is too large, or none", self.line, self.column, "wrong-value"))

    @property
    def base(self) -> int | float:
        """The value in base units (bytes for sizes)."""
        return self.value * factor(self.unit) if self.unit else self.value


@dataclass(frozen=True, slots=True)
class Number:
    """A closed interval of numbers; ``=`` sets both ends, to the same `Bound`. At least one end is set."""

    low: Bound | None
    high: Bound | None

    @classmethod
    def of(cls, bound: Bound) -> Number:
        """The interval that a single comparison stands for."""
        if bound.op == "=":
            return cls(bound, bound)
        return cls(bound, None) if bound.op[0] == ">" else cls(None, bound)

    @property
    def bound(self) -> Bound:
        """The end that stands for "the value": the low one if there is one, else the high one."""
        end = self.low or self.high
        if end is None:
            raise ValueError("a Number needs at least one end")
        return end

    @property
    def exact(self) -> bool:
        """Whether it was given with ``=``."""
        return self.bound.op == "="

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The comparisons that describe it, low end first; one if it is exact."""
        if self.low is None or self.high is None or self.exact:
            return (self.bound,)
        return (self.low, self.high)

    @property
    def line(self) -> int | None:
        """Line of the first of its comparisons."""
        return self.bound.line

    @property
    def column(self) -> int | None:
        """Column of the first of its comparisons."""
        return self.bound.column

    def value(self, unit: str = "") -> int | float:
        """`bound` in `unit`; in base units when none is asked for."""
        bound = self.bound
        return convert(bound.value, bound.unit, unit) if unit else bound.base

    def contains(self, value: int | float) -> bool:
        """Whether `value`, in base units, lies in the interval (its ends included)."""
        if self.low is not None and value < self.low.base:
            return False
        return self.high is None or value <= self.high.base

    def intersection(self, other: Number) -> Number | None:
        """What satisfies both, or None if nothing does. Of equal ends mine is kept, unless the other is exact."""
        if self.exact:
            return self if other.contains(self.bound.base) else None
        if other.exact:
            return other if self.contains(other.bound.base) else None
        low, high = self.low, self.high
        if low is None or (other.low is not None and other.low.base > low.base):
            low = other.low
        if high is None or (other.high is not None and other.high.base < high.base):
            high = other.high
        if low is not None and high is not None and low.base > high.base:
            return None
        return Number(low, high)


@dataclass(frozen=True, slots=True)
class Group:
    """A group as the value of a feature: an object in JSON, ``name = (…)`` in text."""

    features: Features
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Soft:
    """``soft WEIGHT (…)``: a preference. Constrains nothing until `apply_soft_groups` is called."""

    weight: int | float
    features: Features
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not is_representable(self.weight):
            raise InvalidDocument(Problem("this weight is too large, or none", self.line, self.column, "wrong-value"))


class Collection:
    """What ``name contains (…)`` adds to: elements with a ``name`` are unique by it, others are simply listed."""

    __slots__ = ("_elements", "column", "line")

    def __init__(self, elements: Iterable[Features] = (), *, line: int | None = None, column: int | None = None):
        self._elements: dict[str | int, Features] = {}
        self.line = line
        self.column = column
        for element in elements:
            self.add(element)

    def add(self, element: Features) -> None:
        """Add `element`, merging it feature by feature into the one of the same name, if any.

        Raises InvalidDocument if they contradict each other.
        """
        name = element.text("name")
        key = len(self._elements) if name is None else name
        present = self._elements.get(key)
        self._elements[key] = element if present is None else present.combined(element)

    def named(self, name: str) -> Features | None:
        """The element called `name`."""
        return self._elements.get(name)

    def copy(self) -> Collection:
        """A copy that shares nothing that can change."""
        copied: Collection = _copied(self, positions=True)
        return copied

    def __iter__(self) -> Iterator[Features]:
        return iter(self._elements.values())

    def __len__(self) -> int:
        return len(self._elements)

    def __eq__(self, other: object) -> bool:
        return self._elements == other._elements if isinstance(other, Collection) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Collection({list(self)!r})"


Feature = Union[Text, Number, TextList, Collection, Group]  # noqa: UP007  # forward references inside
#: What `Features.set` takes.
Value = str | int | float | list[str] | tuple[str, ...]

_KINDS: Final = {
    Text: "a text",
    Number: "a number",
    TextList: "a list of texts",
    Collection: "a collection (contains)",
    Group: "a group",
}


def kind_of(feature: Feature) -> str:
    """The kind of a value in words, with its article."""
    return _KINDS[type(feature)]


# --- the container -----------------------------------------------------------------------------------------


class OnConflict(Enum):
    """What to do with a value of the other side that contradicts mine."""

    FAIL = "fail"
    KEEP = "keep mine"
    TAKE = "take the other's"


class OnMissing(Enum):
    """What to do with a name of the other side that I don't have."""

    FAIL = "fail"
    SKIP = "skip"
    ADD = "add"


class Features:
    """An ordered set of named features and soft groups. Two are equal when they hold the same, in whatever order."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        # Soft groups have no name; an increasing number as key keeps them in order of appearance among the named.
        self._entries: dict[str | int, Feature | Soft] = {}

    # reading

    def get(self, name: str) -> Feature | None:
        """The feature called `name`, or None."""
        found = self._entries.get(name)
        return None if isinstance(found, Soft) else found

    def value(self, name: str, unit: str = "") -> str | int | float | tuple[str, ...] | None:
        """The plain value of a text, a number (the low end of an interval, if it has one) or a list, else None.

        Numbers are converted to `unit`, or to base units when it is empty.
        """
        found = self._entries.get(name)
        if isinstance(found, Text):
            return found.value
        if isinstance(found, Number):
            return found.value(unit)
        return found.values if isinstance(found, TextList) else None

    def text(self, name: str) -> str | None:
        """The value if it is a text, else None."""
        found = self._entries.get(name)
        return found.value if isinstance(found, Text) else None

    def number(self, name: str, unit: str = "") -> int | float | None:
        """The value if it is a number, in `unit` or else in base units; None otherwise."""
        found = self._entries.get(name)
        return found.value(unit) if isinstance(found, Number) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a list; a single text counts as a list of one, anything else as an empty one."""
        found = self._entries.get(name)
        if isinstance(found, Text):
            return (found.value,)
        return found.values if isinstance(found, TextList) else ()

    def elements(self, name: str) -> tuple[Features, ...]:
        """The elements of a collection; nothing if `name` is none."""
        found = self._entries.get(name)
        return tuple(found) if isinstance(found, Collection) else ()

    def is_yes(self, name: str) -> bool:
        """Whether the value is ``yes`` or ``true``, in any case."""
        return (self.text(name) or "").lower() in ("yes", "true")

    def items(self) -> Iterator[tuple[str, Feature]]:
        """The named features, in order of first appearance."""
        for name, feature in self._entries.items():
            if isinstance(name, str) and not isinstance(feature, Soft):
                yield name, feature

    def entries(self) -> Iterator[tuple[str, Feature] | tuple[None, Soft]]:
        """Named features and soft groups (with None as name), in order of first appearance."""
        for name, feature in self._entries.items():
            if isinstance(feature, Soft):
                yield None, feature
            elif isinstance(name, str):
                yield name, feature

    @property
    def softs(self) -> tuple[Soft, ...]:
        """The soft groups, in order of appearance."""
        return tuple(entry for entry in self._entries.values() if isinstance(entry, Soft))

    def numbered(self, prefix: str) -> dict[int, Features]:
        """What is called ``prefix.N.rest``, as a snapshot: N → features called ``rest``; N ascending."""
        start = prefix + "."
        groups: dict[int, Features] = {}
        for name, feature in self.items():
            if not name.startswith(start):
                continue
            index, _, rest = name[len(start) :].partition(".")
            if rest and is_index(index):
                groups.setdefault(int(index), Features())._entries[rest] = feature
        return dict(sorted(groups.items()))

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __len__(self) -> int:
        return len(self._entries)

    # writing

    def add(self, name: str, feature: Feature) -> None:
        """Add a feature; one of the same name is combined with it.

        Intervals of numbers are intersected, collections and groups merged, texts and lists must be equal.
        Raises InvalidDocument, with the position of `feature`, if that leaves nothing, and changes nothing then.
        """
        present = self._entries.get(name)
        self._entries[name] = feature if present is None or isinstance(present, Soft) else _both(name, present, feature)

    def add_soft(self, soft: Soft) -> None:
        """Append a soft group."""
        key = len(self._entries)
        while key in self._entries:  # only after removals
            key += 1
        self._entries[key] = soft

    def set(self, name: str, value: Value, unit: str = "") -> None:
        """Replace whatever is called `name` by ``name = value``; booleans are written ``yes`` and ``no``."""
        if isinstance(value, bool):
            self._entries[name] = Text("yes" if value else "no")
        elif isinstance(value, str):
            self._entries[name] = Text(value)
        elif isinstance(value, int | float):
            self._entries[name] = Number.of(Bound("=", value, unit))
        else:
            self._entries[name] = TextList(tuple(value))

    def replace(self, name: str, feature: Feature) -> None:
        """Put `feature` in the place of whatever is called `name`."""
        self._entries[name] = feature

    def discard(self, name: str) -> None:
        """Remove `name` if it is there."""
        self._entries.pop(name, None)

    def discard_last(self) -> None:
        """Remove the entry that was new last, if there is one."""
        if self._entries:
            self._entries.popitem()

    def copy(self, *, positions: bool = True) -> Features:
        """A copy that shares nothing that can change; without `positions`, where features stood is forgotten."""
        result = Features()
        result._entries = {key: _copied(entry, positions) for key, entry in self._entries.items()}
        return result

    def combined(
        self,
        other: Features,
        *,
        on_conflict: OnConflict = OnConflict.FAIL,
        on_missing: OnMissing = OnMissing.ADD,
    ) -> Features:
        """Mine and the other's features together, as a new object; the other's soft groups are appended.

        Raises InvalidDocument for the first conflict or missing name when the policy is FAIL.
        """
        result = self.copy()
        added = other.copy()
        for name, feature in added.items():
            if name not in result:
                if on_missing is OnMissing.FAIL:
                    raise InvalidDocument(_problem(feature, "missing-feature", f"{shortened(name)} is not given"))
                if on_missing is OnMissing.ADD:
                    result._entries[name] = feature
            else:
                try:
                    result.add(name, feature)
                except InvalidDocument:
                    if on_conflict is OnConflict.FAIL:
                        raise
                    if on_conflict is OnConflict.TAKE:
                        result._entries[name] = feature
        for soft in added.softs:
            result.add_soft(soft)
        return result

    def apply_soft_groups(self) -> tuple[Features, int | float]:
        """The features with every soft group applied that fits, and the sum of the weights of those.

        Groups are tried from the highest weight to the lowest, equal ones in order of appearance; one that
        contradicts what is there already is skipped as a whole. Groups inside an applied group are then tried too.
        """
        return _with_softs(self.hard(), self.softs)

    def hard(self) -> Features:
        """A copy without the soft groups."""
        result = Features()
        result._entries = {name: _copied(feature, positions=True) for name, feature in self.items()}
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Features):
            return NotImplemented
        return dict(self.items()) == dict(other.items()) and self.softs == other.softs

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        shown = [f"{name}: {'…' if is_secret(name) else repr(feature)}" for name, feature in self.items()]
        return f"Features({', '.join(shown + [repr(soft) for soft in self.softs])})"


def is_index(text: str) -> bool:
    """Whether `text` is the number of a disk or an interface: decimal, no sign, no leading zeros, at most 6 digits."""
    return text.isascii() and text.isdigit() and len(text) <= 6 and (text[0] != "0" or text == "0")


def _with_softs(features: Features, softs: tuple[Soft, ...]) -> tuple[Features, int | float]:
    score: int | float = 0
    for soft in sorted(softs, key=lambda soft: -soft.weight):
        try:
            applied = features.combined(soft.features.hard())
        except InvalidDocument:
            continue
        features, inner = _with_softs(applied, soft.features.softs)
        score += soft.weight + inner
    return features, score


def _copied(entry: Any, positions: bool) -> Any:
    """A copy, of the same class, as deep as needed to share nothing that can change."""
    match entry:
        case Collection():
            collection = Collection(element.copy(positions=positions) for element in entry)
            if positions:
                collection.line, collection.column = entry.line, entry.column
            return collection
        case Group() | Soft():
            entry = replace(entry, features=entry.features.copy(positions=positions))
        case Number() if not positions:
            low, high = (end and replace(end, line=None, column=None) for end in (entry.low, entry.high))
            return Number(low, high)
    return entry if positions else replace(entry, line=None, column=None)


# --- combining ---------------------------------------------------------------------------------------------


def _both(name: str, present: Feature, added: Feature) -> Feature:
    """The combination of two features of one name. Raises InvalidDocument if they contradict each other."""
    name = shortened(name)
    match present, added:
        case Number(), Number():
            both = present.intersection(added)
            if both is None:
                raise InvalidDocument(
                    _problem(
                        added,
                        "disjoint-interval",
                        f"{_shown(name, added)} leaves no value together with {_shown(name, present)}{_at(present)}",
                    )
                )
            return both
        case Text(), Text() if present.value == added.value:
            return present
        case TextList(), TextList() if present.values == added.values:
            return present
        case Collection(), Collection():
            # One element, as read from a text, is added in place: copying each time would be quadratic.
            both_collections = present if len(added) == 1 else present.copy()
            for element in added:
                both_collections.add(element)
            return both_collections
        case Group(), Group():
            return replace(present, features=present.features.combined(added.features))
    if type(present) is not type(added):
        message = f"{name} is {kind_of(added)} here but {kind_of(present)}{_at(present) or ' before'}"
        raise InvalidDocument(_problem(added, "conflicting-kind", message))
    message = f"{_shown(name, added)} contradicts {_shown(name, present)}{_at(present)}"
    raise InvalidDocument(_problem(added, "conflicting-string", message))


def _problem(feature: Feature, kind: str, message: str) -> Problem:
    return Problem(message, feature.line, feature.column, kind)


def _at(feature: Feature) -> str:
    return f" (line {feature.line})" if feature.line is not None else ""


def _shown(name: str, feature: Feature) -> str:
    """The feature for a message; secrets are left out, long values cut."""
    match feature:
        case Number():
            return " and ".join(f"{name} {bound.op} {bound.value}{bound.unit}" for bound in feature.bounds)
        case Text():
            return f"{name} {feature.op} " + ("'…'" if is_secret(name) else f"'{shortened(feature.value)}'")
        case _:
            return f"{name} {feature.op} […]" if isinstance(feature, TextList) else name
