"""The JSON form, both ways, and the simplified JSON that recipes are given.

A list of objects, each with a ``class``. It knows no units (sizes are bytes), no comparators other than "at least"
(``name_min``) and "at most" (``name_max``), and no positions: problems name the object and the key instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NoReturn, TypeVar, assert_never

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.document import (
    AnsibleNode,
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Described,
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
from imframework.languages.radl.recipes import recipe_problems

#: Systems with this prefix are bookkeeping of older servers and never shown.
_HIDDEN_PREFIX: Final = "F0000__FAKE_SYSTEM__"

#: Keys of aspects that are not features.
_RESERVED: Final = ("class", "id", "reference")

_Object = Mapping[str, Any]


# --- reading -----------------------------------------------------------------------------------------------


def parse_json(source: object) -> Document:
    """The document that a RADL JSON text (a str), or the list it decodes to, says.

    A blank text is an empty document.

    Raises InvalidDocument for what is not JSON (with line and column), missing or malformed keys, unknown classes,
    duplicate ids, features that contradict each other, and recipes that are not YAML.
    """
    document = Document()
    problems: list[Problem] = []
    for number, item in enumerate(_objects(source), start=1):
        try:
            _read_object(document, item, f"object {number}")
        except InvalidDocument as error:
            problems.extend(error.problems)
            if len(problems) >= MAX_PROBLEMS:
                break
    problems = problems or list(recipe_problems(document))[:MAX_PROBLEMS]
    if problems:
        raise InvalidDocument(problems)
    return document


def _objects(source: object) -> list[Any]:
    decoded = _decoded(source) if isinstance(source, str) else source
    if not isinstance(decoded, list):
        hint = "put it into a list: [ … ]" if isinstance(decoded, dict) and "class" in decoded else ""
        _fail(f"a RADL JSON document is a list of objects, not {_kind(decoded)}", hint=hint)
    return decoded


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


def _fail(message: str, kind: str = "syntax", hint: str = "") -> NoReturn:
    raise InvalidDocument(Problem(message, kind=kind, hint=hint))


def _read_object(document: Document, item: object, where: str) -> None:
    if not isinstance(item, dict):
        _fail(f"{where} is {_kind(item)}, not an object")
    kind = item.get("class")
    if kind is None:
        _fail(f"{where} has no class", "missing-key", f"class is one of {', '.join(_READERS)}")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        similar = get_close_matches(kind[:40].lower(), _READERS, 1) if isinstance(kind, str) else []
        hint = f"did you mean '{similar[0]}'?" if similar else f"class is one of {', '.join(_READERS)}"
        shown = f"'{shortened(kind)}'" if isinstance(kind, str) else _kind(kind)
        _fail(f"{where} has the unknown class {shown}", "unknown-class", hint)
    read(document, item, where)


def _read_description(document: Document, item: _Object, where: str) -> None:
    description = Description(_name(item, "id", where))
    if document.description is not None:
        _fail("there is a second description", "duplicate-description")
    document.description = description
    description.features = _features(item, "description", skip=_RESERVED)


def _read_ansible(document: Document, item: _Object, where: str) -> None:
    node = AnsibleNode(_name(item, "id", where))
    if item.get("reference"):
        _fail(f"ansible '{shortened(node.id)}' cannot be a reference", hint="give its features")
    node.features = _features(item, f"ansible '{shortened(node.id)}'", skip=_RESERVED)
    _define(document.ansibles, "ansible", node)


def _read_network(document: Document, item: _Object, where: str) -> None:
    network = Network(_name(item, "id", where))
    network.reference = _is_reference(item, f"network '{shortened(network.id)}'")
    network.features = _features(item, f"network '{shortened(network.id)}'", skip=_RESERVED)
    _define(document.networks, "network", network)


def _read_system(document: Document, item: _Object, where: str) -> None:
    system = System(_name(item, "id", where))
    system.reference = _is_reference(item, f"system '{shortened(system.id)}'")
    system.features = _features(item, f"system '{shortened(system.id)}'", skip=_RESERVED)
    _define(document.systems, "system", system)


def _read_configure(document: Document, item: _Object, where: str) -> None:
    id = _name(item, "id", where)
    where = f"configure '{shortened(id)}'"
    reference = _is_reference(item, where)
    recipe = None if reference else _required(item, "recipes", where)
    if recipe is not None:
        if not isinstance(recipe, str):
            _fail(f"{where}: recipes is {_kind(recipe)}, not a text or null", "wrong-type", "give the YAML as a text")
        wrong = recipe_problem(recipe)
        if wrong:
            _fail(f"{where}: {wrong}", "bad-recipe")
    _define(document.configures, "configure", Configure(id, recipe, reference))


def _read_deploy(document: Document, item: _Object, where: str) -> None:
    system = _name(item, "system", where)
    where = f"deploy of '{shortened(system)}'"
    count = _whole(_required(item, "vm_number", where), f"{where}: vm_number")
    cloud = item.get("cloud")
    if cloud is not None:
        _check_text(cloud, f"{where}: cloud")
    document.deploys.append(Deploy(system, count, cloud))


def _read_contextualize(document: Document, item: _Object, where: str) -> None:
    contextualize = Contextualize()
    max_time = item.get("max_time")
    if max_time is not None:
        contextualize.max_time = _bound("=", max_time, "contextualize: max_time").value
    items = item.get("items")
    if items is not None and not isinstance(items, list):
        _fail(f"contextualize: items is {_kind(items)}, not a list", "wrong-type")
    for number, entry in enumerate(items or (), start=1):
        where = f"contextualize, item {number}"
        if not isinstance(entry, dict):
            _fail(f"{where} is {_kind(entry)}, not an object", "wrong-type")
        step, tool = entry.get("step"), entry.get("ctxt_tool")
        contextualize.add(
            ContextualizeItem(
                system=_name(entry, "system", where),
                configure=_name(entry, "configure", where),
                step=0 if step is None else _whole(step, f"{where}: step"),
                tool=None if tool is None else _name(entry, "ctxt_tool", where),
            )
        )
    options = item.get("options")
    if options is not None:
        if not isinstance(options, dict):
            _fail(f"contextualize: options is {_kind(options)}, not an object", "wrong-type")
        contextualize.options = _features(options, "contextualize, options")
        for name, option in contextualize.options.items():
            if not isinstance(option, Text | Number):
                _fail(f"contextualize: the option {shortened(name)} is neither a text nor a number", "wrong-type")
    present = document.contextualize
    document.contextualize = contextualize if present is None else present.merged(contextualize)


_READERS: Final[dict[str, Callable[[Document, _Object, str], None]]] = {
    "description": _read_description,
    "ansible": _read_ansible,
    "network": _read_network,
    "system": _read_system,
    "configure": _read_configure,
    "deploy": _read_deploy,
    "contextualize": _read_contextualize,
}


_Aspect = TypeVar("_Aspect", AnsibleNode, Network, System, Configure)


def _define(aspects: dict[str, _Aspect], kind: str, aspect: _Aspect) -> None:
    if aspect.id in aspects:
        _fail(f"the {kind} '{shortened(aspect.id)}' is defined a second time", "duplicate-id")
    aspects[aspect.id] = aspect


def _is_reference(item: _Object, where: str) -> bool:
    """Whether the object is a mere reference, which then can hold nothing else."""
    reference = item.get("reference", False)
    if not isinstance(reference, bool):
        _fail(f"{where}: reference is {_kind(reference)}, not true or false", "wrong-type")
    extra = item.keys() - set(_RESERVED)
    if reference and extra:
        surplus = shortened(str(min(extra, key=str)))
        _fail(f"{where} is a reference and cannot have {surplus}", hint="drop one of the two")
    return reference


def _required(item: _Object, key: str, where: str) -> Any:
    if key not in item:
        similar = get_close_matches(key, item, 1) if len(item) < 100 else []
        _fail(f"{where} has no {key}", "missing-key", f"did you mean {key} by '{similar[0][:40]}'?" if similar else "")
    return item[key]


def _name(item: _Object, key: str, where: str) -> str:
    name = _required(item, key, where)
    if not isinstance(name, str):
        _fail(f"{where}: {key} is {_kind(name)}, not a text", "wrong-type")
    wrong = name_problem(name)
    if wrong:
        _fail(f"{where}: {key} '{shortened(name)}' is not a name", "bad-name", wrong)
    return name


def _check_text(value: object, where: str) -> None:
    if not isinstance(value, str):
        _fail(f"{where} is {_kind(value)}, not a text", "wrong-type")
    wrong = text_problem(value)
    if wrong:
        _fail(f"{where} {wrong}", "wrong-value")


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail(f"{where} is {_kind(value)}, not a whole number", "wrong-type")
    return int(_bound("=", value, where).value)


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


def _features(item: _Object, where: str, *, skip: tuple[str, ...] = (), depth: int = 1) -> Features:
    if depth > MAX_DEPTH:
        _fail(f"{where}: groups are nested more than {MAX_DEPTH} deep", "too-deep")
    features = Features()
    for key, value in item.items():
        if key in skip:
            continue
        if not isinstance(key, str):
            _fail(f"{where}: a feature's name is {_kind(key)}, not a text", "wrong-type")
        if key == "softs" and isinstance(value, list) and not any(isinstance(entry, str) for entry in value):
            for entry in value:
                features.add_soft(_soft(entry, where, depth))
            continue
        name, feature = _feature(key, value, where, depth)
        wrong = name_problem(name)
        if wrong:
            _fail(f"{where}: '{shortened(name)}' cannot be the name of a feature", "bad-name", wrong)
        try:
            features.add(name, feature)
        except InvalidDocument as error:
            problem = error.problems[0]
            _fail(f"{where}: {problem.message}", problem.kind)
    return features


def _feature(key: str, value: object, where: str, depth: int) -> tuple[str, Feature]:
    """Name and value that a key and its value in JSON stand for."""
    where = f"{where}: {shortened(key)}"
    match value:
        case bool():
            return key, Text("yes" if value else "no")
        case str():
            return key, Text(_text(value, where))
        case int() | float():
            if key.endswith("_min"):
                return key[:-4], Number.of(_bound(">=", value, where))
            if key.endswith("_max"):
                return key[:-4], Number.of(_bound("<=", value, where))
            return key, Number.of(_bound("=", value, where))
        case dict():
            return key, Group(_features(value, where, depth=depth + 1))
        case list() if value and isinstance(value[0], dict):
            return key, Collection(_elements(value, where, depth))
        case list():
            for number, text in enumerate(value, start=1):
                _check_text(text, f"{where}, entry {number}")
            return key, TextList(tuple(value))
        case _:
            _fail(f"{where} is {_kind(value)}", "wrong-type", "leave out what has no value" if value is None else "")


def _text(text: str, where: str) -> str:
    """The text, or random characters if it is ``random(N)``."""
    _check_text(text, where)
    try:
        length = random_length(text)
    except ValueError as error:
        _fail(f"{where}: {error}", "wrong-value")
    return text if length is None else random_text(length)


def _bound(op: str, value: object, where: str) -> Bound:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _fail(f"{where} is {_kind(value)}, not a number", "wrong-type")
    try:
        return Bound(op, value)
    except InvalidDocument as error:
        _fail(f"{where}: {error.problems[0].message}", error.problems[0].kind)


def _elements(values: list[object], where: str, depth: int) -> Iterator[Features]:
    for number, element in enumerate(values, start=1):
        if not isinstance(element, dict):
            _fail(f"{where}, entry {number} is {_kind(element)}, not an object", "wrong-type")
        yield _features(element, f"{where}, entry {number}", depth=depth + 1)


def _soft(entry: object, where: str, depth: int) -> Soft:
    where = f"{where}: softs"
    if not isinstance(entry, dict):
        _fail(f"{where}: an entry is {_kind(entry)}, not an object", "wrong-type")
    items = _required(entry, "items", where)
    if not isinstance(items, dict):
        _fail(f"{where}: items is {_kind(items)}, not an object", "wrong-type")
    weight = _bound("=", _required(entry, "weight", where), f"{where}: weight").value
    return Soft(weight, _features(items, where, depth=depth + 1))


# --- writing -----------------------------------------------------------------------------------------------


def to_json(document: Document) -> list[dict[str, Any]]:
    """The objects of the JSON form, in its order."""
    objects = [_described("ansible", node) for node in document.ansibles.values()]
    objects += [_described("network", network, network.reference) for network in document.networks.values()]
    objects += [_described("system", system, system.reference) for system in document.systems.values()]
    objects += [_configure(configure) for configure in document.configures.values()]
    objects += [_deploy(deploy) for deploy in document.deploys]
    if document.contextualize is not None:
        objects.append(_contextualize(document.contextualize))
    if document.description is not None:
        objects.append(_described("description", document.description))
    return objects


def dumps_json(document: Document) -> str:
    """`to_json` as text, indented by 2, keys sorted."""
    return json.dumps(to_json(document), indent=2, sort_keys=True, ensure_ascii=False)


def simple_json(document: Document) -> list[dict[str, Any]]:
    """What recipes see as IM_INFRASTRUCTURE_RADL: networks, systems and deploys, in that order.

    Every ``.`` in top-level keys is replaced by ``_``, so that templates can write ``item.cpu_count_min``.
    """
    objects = [_described("network", network, network.reference) for network in document.networks.values()]
    objects += [_described("system", system, system.reference) for system in document.systems.values()]
    objects += [_deploy(deploy) for deploy in document.deploys]
    return [
        {key.replace(".", "_"): value for key, value in item.items()}
        for item in objects
        if not item.get("id", item.get("system", "")).startswith(_HIDDEN_PREFIX)
    ]


def features_json(features: Features) -> dict[str, Any]:
    """A single set of features as a JSON object."""
    result: dict[str, Any] = {}
    for name, feature in features.items():
        match feature:
            case Text():
                result[name] = feature.value
            case Number():
                result.update(_number(name, feature))
            case TextList():
                result[name] = list(feature.values)
            case Collection():
                result[name] = [features_json(element) for element in feature]
            case Group():
                result[name] = features_json(feature.features)
            case _:
                assert_never(feature)
    if features.softs:
        result["softs"] = [{"weight": soft.weight, "items": features_json(soft.features)} for soft in features.softs]
    return result


def _number(name: str, number: Number) -> dict[str, int | float]:
    low = None if number.low is None else number.low.base
    high = None if number.high is None else number.high.base
    # A plain number called x_min would be read as the low end of x; two ends that meet say the same.
    if low is not None and low == high and not name.endswith(("_min", "_max")):
        return {name: low}
    ends = {f"{name}_min": low, f"{name}_max": high}
    return {key: end for key, end in ends.items() if end is not None}


def _described(kind: str, aspect: Described, reference: bool = False) -> dict[str, Any]:
    if reference:
        return {"class": kind, "id": aspect.id, "reference": True}
    return {"class": kind, "id": aspect.id} | {
        key: value for key, value in features_json(aspect.features).items() if key not in _RESERVED
    }


def _configure(configure: Configure) -> dict[str, Any]:
    if configure.reference:
        return {"class": "configure", "id": configure.id, "reference": True}
    return {"class": "configure", "id": configure.id, "recipes": configure.recipe}


def _deploy(deploy: Deploy) -> dict[str, Any]:
    item: dict[str, Any] = {"class": "deploy", "system": deploy.system, "vm_number": deploy.count}
    if deploy.cloud is not None:
        item["cloud"] = deploy.cloud
    return item


def _contextualize(contextualize: Contextualize) -> dict[str, Any]:
    result: dict[str, Any] = {"class": "contextualize"}
    if contextualize.max_time:
        result["max_time"] = contextualize.max_time
    if contextualize.items:
        result["items"] = [_item(item) for item in contextualize.items.values()]
    if len(contextualize.options):
        result["options"] = features_json(contextualize.options)
    return result


def _item(item: ContextualizeItem) -> dict[str, Any]:
    result: dict[str, Any] = {"system": item.system, "configure": item.configure}
    if item.step:
        result["step"] = item.step
    if item.tool is not None:
        result["ctxt_tool"] = item.tool
    return result
