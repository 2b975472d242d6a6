"""Reading the JSON form: a list of objects, each with a ``class``.

It knows no units (sizes are bytes) and no comparators other than "at least" (``name_min``) and "at most"
(``name_max``). Objects that remember where they stood (see `json_source`) give positions to what is made of them and to
problems; for others, which are decoded faster, problems name the object and the key only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NoReturn, TypeVar

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl import json_source
from imframework.languages.radl.document import (
    AnsibleNode,
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Description,
    Document,
    Network,
    System,
)
from imframework.languages.radl.features import (
    Bound,
    Collection,
    Feature,
    Features,
    Group,
    Number,
    Soft,
    Text,
    TextList,
)
from imframework.languages.radl.json_source import NOWHERE, Mark, key_mark, value_mark
from imframework.languages.radl.lexical import (
    MAX_DEPTH,
    MAX_PROBLEMS,
    name_problem,
    random_length,
    random_text,
    recipe_problem,
    shortened,
    text_problem,
)
from imframework.languages.radl.reading import Reading
from imframework.languages.radl.recipes import recipe_problems

#: Texts with more characters are not read a second time for the positions in them.
MAX_POSITIONED: Final = 250_000
#: Keys of aspects that are not features.
RESERVED: Final = ("class", "id", "reference")

_Object = Mapping[str, Any]
_Aspect = TypeVar("_Aspect", AnsibleNode, Network, System, Configure)
#: Classes of objects that define no name.
_UNNAMED: Final = ("description", "deploy", "contextualize")


def parse_json(source: object) -> Document:
    """The document that a RADL JSON text (a str), or the list it decodes to, says.

    A blank text is an empty document.

    Raises InvalidDocument for what is not JSON, missing or malformed keys, unknown classes, duplicate ids, features
    that contradict each other, and recipes that are not YAML; with line and column if it is a text.
    """
    try:
        return _parsed(_decoded(source) if isinstance(source, str) else source)
    except InvalidDocument as error:
        if not isinstance(source, str):
            raise
        reading = read_json(source)
        problems = reading.problems or list(recipe_problems(reading.document))[:MAX_PROBLEMS] or error.problems
        raise InvalidDocument(problems) from None


def read_json(text: str) -> Reading:
    """What can be understood of a RADL JSON text, and every problem of reading it.

    With positions, unless the text is so long that finding them would take too much time.
    """
    if not text.strip():
        return Reading(Document(), ())
    if len(text) > MAX_POSITIONED:
        return _read_long(text)
    decoded, problems, lost = json_source.read(text)
    reader = _Reader()
    if isinstance(decoded, list) or not problems:
        reader.read(decoded)
    mistaken = {(problem.line, problem.column) for problem in problems}
    others = [problem for problem in reader.problems if (problem.line, problem.column) not in mistaken]
    together = sorted((*problems, *others), key=lambda problem: (problem.line or 0, problem.column or 0))
    return Reading(reader.document, tuple(together[:MAX_PROBLEMS]), frozenset(reader.partial), lost or reader.lost)


def _read_long(text: str) -> Reading:
    reader = _Reader()
    try:
        reader.read(_decoded(text))
    except InvalidDocument as error:
        return Reading(Document(), error.problems, lost=True)
    return Reading(reader.document, tuple(reader.problems), frozenset(reader.partial), reader.lost)


def _parsed(decoded: object) -> Document:
    reader = _Reader()
    reader.read(decoded)
    problems = reader.problems or list(recipe_problems(reader.document))[:MAX_PROBLEMS]
    if problems:
        raise InvalidDocument(problems)
    return reader.document


def _decoded(text: str) -> object:
    if not text.strip():
        return []
    try:
        decoded: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        problem = Problem(f"this is not JSON: {error.msg}", error.lineno, error.colno, "syntax")
        raise InvalidDocument(problem) from None
    except RecursionError:
        raise InvalidDocument(Problem("the JSON document is nested too deep", kind="too-deep")) from None
    except ValueError:  # Python's limit on the digits of a number
        raise InvalidDocument(
            Problem("the JSON document has a number of too many digits", kind="wrong-value")
        ) from None
    return decoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, unless it has a key twice: which of the values was meant is anybody's guess."""
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _fail(f"the key '{shortened(key)}' appears twice in one object", "duplicate-key")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    _fail(f"{name} is not a number that JSON knows", "wrong-value")


def _fail(message: str, kind: str = "syntax", hint: str = "", at: Mark = NOWHERE) -> NoReturn:
    raise InvalidDocument(Problem(message, at[0], at[1], kind, hint))


class _Enough(Exception):  # not an error: the list of problems is long enough
    """Reading ends because further problems would not help anybody."""


class _Reader:
    """One document being read. What is wrong with an entry keeps no other from being read."""

    def __init__(self) -> None:
        self.document = Document()
        self.problems: list[Problem] = []
        #: See `Reading`.
        self.partial: set[tuple[str, str]] = set()
        self.lost = False
        self._aspect: tuple[str, str] | None = None

    def read(self, decoded: object) -> None:
        """Read all objects."""
        try:
            for number, item in enumerate(_objects(decoded), start=1):
                self._aspect = None
                try:
                    self.read_object(item, f"object {number}", value_mark(decoded, number - 1))
                except InvalidDocument as error:
                    if isinstance(item, json_source.Object) and item.partial and _is_missing_key(error):
                        self.lost = True  # the key may be in the part that is no JSON
                    else:
                        self.note(error)
        except InvalidDocument as error:
            self.problems.extend(error.problems)
            self.lost = True
        except _Enough:
            self.lost = True

    def note(self, error: InvalidDocument) -> None:
        """Note the problems of an entry."""
        if self._aspect is None:
            self.lost = True
        else:
            self.partial.add(self._aspect)
        self.problems.extend(error.problems)
        if len(self.problems) >= MAX_PROBLEMS:
            del self.problems[MAX_PROBLEMS:]
            raise _Enough

    def begin(self, kind: str, item: _Object, where: str) -> str:
        """The id of an aspect, to which all problems belong from now on."""
        id = _name(item, "id", where)
        self._aspect = (kind, id)
        if isinstance(item, json_source.Object) and item.partial:
            self.partial.add(self._aspect)
        return id

    def define(self, aspects: dict[str, _Aspect], aspect: _Aspect, item: _Object) -> None:
        """Enter an aspect under its id, which must be new among its class."""
        if aspect.id in aspects:
            kind = self._aspect[0] if self._aspect is not None else "aspect"
            message = f"the {kind} '{shortened(aspect.id)}' is defined a second time"
            _fail(message, "duplicate-id", at=value_mark(item, "id"))
        aspects[aspect.id] = aspect

    # --- objects

    def read_object(self, item: object, where: str, at: Mark) -> None:
        if not isinstance(item, dict):
            _fail(f"{where} is {_kind(item)}, not an object", at=at)
        kind = item.get("class")
        if kind is None:
            hint = f"class is one of {', '.join(_READERS)}"
            _fail(f"{where} has no class", "missing-key", hint, key_mark(item, "class"))
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            similar = get_close_matches(kind[:40].lower(), _READERS, 1) if isinstance(kind, str) else []
            hint = f"did you mean '{similar[0]}'?" if similar else f"class is one of {', '.join(_READERS)}"
            shown = f"'{shortened(kind)}'" if isinstance(kind, str) else _kind(kind)
            _fail(f"{where} has the unknown class {shown}", "unknown-class", hint, value_mark(item, "class"))
        if kind in _UNNAMED:
            self._aspect = (kind, "")
        read(self, item, where)

    def read_description(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        description = Description(_name(item, "id", where), line=line, column=column)
        if self.document.description is not None:
            _fail("there is a second description", "duplicate-description", at=(line, column))
        self.document.description = description
        self.features(description.features, item, "description", skip=RESERVED)

    def read_ansible(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        node = AnsibleNode(self.begin("ansible", item, where), line=line, column=column)
        self.define(self.document.ansibles, node, item)
        where = f"ansible '{shortened(node.id)}'"
        if _is_reference(item, where):
            _fail(f"{where} cannot be a reference", hint="give its features", at=value_mark(item, "reference"))
        self.features(node.features, item, where, skip=RESERVED)

    def read_network(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        network = Network(self.begin("network", item, where), line=line, column=column)
        self.define(self.document.networks, network, item)
        where = f"network '{shortened(network.id)}'"
        network.reference = _is_reference(item, where)
        self.features(network.features, item, where, skip=RESERVED)

    def read_system(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        system = System(self.begin("system", item, where), line=line, column=column)
        self.define(self.document.systems, system, item)
        where = f"system '{shortened(system.id)}'"
        system.reference = _is_reference(item, where)
        self.features(system.features, item, where, skip=RESERVED)

    def read_configure(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        configure = Configure(self.begin("configure", item, where), None, True, line=line, column=column)
        self.define(self.document.configures, configure, item)
        where = f"configure '{shortened(configure.id)}'"
        if _is_reference(item, where):
            return
        recipe = _required(item, "recipes", where)
        at = value_mark(item, "recipes")
        if recipe is not None:
            if not isinstance(recipe, str):
                message = f"{where}: recipes is {_kind(recipe)}, not a text or null"
                _fail(message, "wrong-type", "give the YAML as a text", at)
            wrong = recipe_problem(recipe)
            if wrong:
                _fail(f"{where}: {wrong}", "bad-recipe", at=at)
        self.document.configures[configure.id] = Configure(configure.id, recipe, line=line, column=column)

    def read_deploy(self, item: _Object, where: str) -> None:
        line, column = _start(item)
        system = _name(item, "system", where)
        where = f"deploy of '{shortened(system)}'"
        count = _whole(_required(item, "vm_number", where), f"{where}: vm_number", value_mark(item, "vm_number"))
        cloud = item.get("cloud")
        if cloud is not None:
            _check_text(cloud, f"{where}: cloud", value_mark(item, "cloud"))
        self.document.deploys.append(Deploy(system, count, cloud, line=line, column=column))

    def read_contextualize(self, item: _Object, where: str) -> None:
        contextualize = Contextualize()
        max_time = item.get("max_time")
        if max_time is not None:
            at = value_mark(item, "max_time")
            contextualize.max_time = _bound("=", max_time, "contextualize: max_time", at).value
        items = item.get("items")
        if items is not None and not isinstance(items, list):
            message = f"contextualize: items is {_kind(items)}, not a list"
            _fail(message, "wrong-type", at=value_mark(item, "items"))
        for number, entry in enumerate(items or ()):
            try:
                where = f"contextualize, item {number + 1}"
                contextualize.add(_contextualize_item(entry, where, value_mark(items, number)))
            except InvalidDocument as error:
                self.note(error)
        self.read_options(contextualize.options, item)
        present = self.document.contextualize
        self.document.contextualize = contextualize if present is None else present.merged(contextualize)

    def read_options(self, result: Features, item: _Object) -> None:
        options = item.get("options")
        if options is None:
            return
        if not isinstance(options, dict):
            message = f"contextualize: options is {_kind(options)}, not an object"
            _fail(message, "wrong-type", at=value_mark(item, "options"))
        self.features(result, options, "contextualize, options")
        for name, option in list(result.items()):
            if not isinstance(option, Text | Number):
                message = f"contextualize: the option {shortened(name)} is neither a text nor a number"
                result.discard(name)
                self.note(InvalidDocument(Problem(message, option.line, option.column, "wrong-type")))

    # --- features

    def features(
        self, result: Features, item: _Object, where: str, *, skip: tuple[str, ...] = (), depth: int = 1
    ) -> None:
        """Add what an object describes."""
        if depth > MAX_DEPTH:
            _fail(f"{where}: groups are nested more than {MAX_DEPTH} deep", "too-deep", at=_start(item))
        marks = item.at if isinstance(item, json_source.Object) else None
        for key, value in item.items():
            if key in skip:
                continue
            at, value_at = (NOWHERE, NOWHERE) if marks is None else marks[key]
            try:
                if not isinstance(key, str):
                    _fail(f"{where}: a feature's name is {_kind(key)}, not a text", "wrong-type")
                if key == "softs" and isinstance(value, list) and not any(isinstance(entry, str) for entry in value):
                    for index, entry in enumerate(value):
                        result.add_soft(self.soft(entry, where, depth, value_mark(value, index)))
                    continue
                name, feature = self.feature(key, value, where, depth, at, value_at)
                wrong = name_problem(name)
                if wrong:
                    _fail(f"{where}: '{shortened(name)}' cannot be the name of a feature", "bad-name", wrong, at)
                _add(result, name, feature, where, at)
            except InvalidDocument as error:
                self.note(error)

    def feature(self, key: str, value: object, where: str, depth: int, at: Mark, value_at: Mark) -> tuple[str, Feature]:
        """Name and value that a key and its value in JSON stand for."""
        where = f"{where}: {shortened(key)}"
        line, column = at
        match value:
            case bool():
                return key, Text("yes" if value else "no", "=", line, column)
            case str():
                return key, Text(_text(value, where, value_at), "=", line, column)
            case int() | float():
                if key.endswith("_min"):
                    return key[:-4], Number.of(_bound(">=", value, where, value_at, at))
                if key.endswith("_max"):
                    return key[:-4], Number.of(_bound("<=", value, where, value_at, at))
                return key, Number.of(_bound("=", value, where, value_at, at))
            case dict():
                group = Features()
                self.features(group, value, where, depth=depth + 1)
                return key, Group(group, line, column)
            case list() if value and isinstance(value[0], dict):
                return key, Collection(self.elements(value, where, depth), line=line, column=column)
            case list():
                for number, text in enumerate(value):
                    _check_text(text, f"{where}, entry {number + 1}", value_mark(value, number))
                return key, TextList(tuple(value), "=", line, column)
            case _:
                hint = "leave out what has no value" if value is None else ""
                _fail(f"{where} is {_kind(value)}", "wrong-type", hint, value_at)

    def elements(self, values: list[object], where: str, depth: int) -> Iterator[Features]:
        for number, element in enumerate(values):
            place = f"{where}, entry {number + 1}"
            if not isinstance(element, dict):
                _fail(f"{place} is {_kind(element)}, not an object", "wrong-type", at=value_mark(values, number))
            features = Features()
            self.features(features, element, place, depth=depth + 1)
            yield features

    def soft(self, entry: object, where: str, depth: int, at: Mark) -> Soft:
        where = f"{where}: softs"
        if not isinstance(entry, dict):
            _fail(f"{where}: an entry is {_kind(entry)}, not an object", "wrong-type", at=at)
        items = _required(entry, "items", where)
        if not isinstance(items, dict):
            message = f"{where}: items is {_kind(items)}, not an object"
            _fail(message, "wrong-type", at=value_mark(entry, "items"))
        weight = _bound("=", _required(entry, "weight", where), f"{where}: weight", value_mark(entry, "weight")).value
        features = Features()
        self.features(features, items, where, depth=depth + 1)
        return Soft(weight, features, *at)


_READERS: Final[dict[str, Callable[[_Reader, _Object, str], None]]] = {
    "description": _Reader.read_description,
    "ansible": _Reader.read_ansible,
    "network": _Reader.read_network,
    "system": _Reader.read_system,
    "configure": _Reader.read_configure,
    "deploy": _Reader.read_deploy,
    "contextualize": _Reader.read_contextualize,
}


def _is_missing_key(error: InvalidDocument) -> bool:
    return all(problem.kind == "missing-key" for problem in error.problems)


def _add(result: Features, name: str, feature: Feature, where: str, at: Mark) -> None:
    try:
        result.add(name, feature)
    except InvalidDocument as error:
        problem = error.problems[0]
        _fail(f"{where}: {problem.message}", problem.kind, at=at)


# --- single values -----------------------------------------------------------------------------------------


def _objects(decoded: object) -> list[Any]:
    if not isinstance(decoded, list):
        hint = "put it into a list: [ … ]" if isinstance(decoded, dict) and "class" in decoded else ""
        message = f"a RADL JSON document is a list of objects, not {_kind(decoded)}"
        _fail(message, hint=hint, at=_start(decoded))
    return decoded


def _start(item: object) -> Mark:
    return item.mark if isinstance(item, json_source.Object) else NOWHERE


def _contextualize_item(entry: object, where: str, at: Mark) -> ContextualizeItem:
    if not isinstance(entry, dict):
        _fail(f"{where} is {_kind(entry)}, not an object", "wrong-type", at=at)
    step, tool = entry.get("step"), entry.get("ctxt_tool")
    return ContextualizeItem(
        system=_name(entry, "system", where),
        configure=_name(entry, "configure", where),
        step=0 if step is None else _whole(step, f"{where}: step", value_mark(entry, "step")),
        tool=None if tool is None else _name(entry, "ctxt_tool", where),
        line=at[0],
        column=at[1],
    )


def _is_reference(item: _Object, where: str) -> bool:
    """Whether the object is a mere reference, which then can hold nothing else."""
    reference = item.get("reference", False)
    if not isinstance(reference, bool):
        message = f"{where}: reference is {_kind(reference)}, not true or false"
        _fail(message, "wrong-type", at=value_mark(item, "reference"))
    extra = item.keys() - set(RESERVED)
    if reference and extra:
        first = min(extra, key=str)
        message = f"{where} is a reference and cannot have {shortened(str(first))}"
        _fail(message, hint="drop one of the two", at=key_mark(item, first))
    return reference


def _required(item: _Object, key: str, where: str) -> Any:
    if key not in item:
        similar = get_close_matches(key, item, 1) if len(item) < 100 else []
        hint = f"did you mean {key} by '{similar[0][:40]}'?" if similar else ""
        _fail(f"{where} has no {key}", "missing-key", hint, key_mark(item, similar[0] if similar else key))
    return item[key]


def _name(item: _Object, key: str, where: str) -> str:
    name = _required(item, key, where)
    if not isinstance(name, str):
        _fail(f"{where}: {key} is {_kind(name)}, not a text", "wrong-type", at=value_mark(item, key))
    wrong = name_problem(name)
    if wrong:
        _fail(f"{where}: {key} '{shortened(name)}' is not a name", "bad-name", wrong, value_mark(item, key))
    return name


def _check_text(value: object, where: str, at: Mark) -> None:
    if not isinstance(value, str):
        _fail(f"{where} is {_kind(value)}, not a text", "wrong-type", at=at)
    wrong = text_problem(value)
    if wrong:
        _fail(f"{where} {wrong}", "wrong-value", at=at)


def _whole(value: object, where: str, at: Mark) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail(f"{where} is {_kind(value)}, not a whole number", "wrong-type", at=at)
    return int(_bound("=", value, where, at).value)


def _kind(value: object) -> str:
    """What a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def _text(text: str, where: str, at: Mark) -> str:
    """The text, or random characters if it is ``random(N)``."""
    _check_text(text, where, at)
    try:
        length = random_length(text)
    except ValueError as error:
        _fail(f"{where}: {error}", "wrong-value", at=at)
    return text if length is None else random_text(length)


def _bound(op: str, value: object, where: str, at: Mark, owner: Mark = NOWHERE) -> Bound:
    """The number `value`, which stands at `at`, as that of the feature at `owner`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        _fail(f"{where} is {_kind(value)}, not a number", "wrong-type", at=at)
    try:
        return Bound(op, value, "", *owner)
    except InvalidDocument as error:
        _fail(f"{where}: {error.problems[0].message}", error.problems[0].kind, at=at)
