"""Are the recipes YAML? Checked on the parser's events, so that nothing is ever constructed from a user's YAML.

That keeps custom tags (``!vault``) harmless and costs no memory for what aliases would expand to. Whether Ansible
understands the plays is for Ansible to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from imframework.api.errors import Problem
from imframework.languages.radl.document import Document
from imframework.languages.radl.lexical import PARSER_TOO_DEEP, recipe_problem, shortened

MAX_DEPTH: Final = 100
MAX_NODES: Final = 1_000_000

_INDENTED_END: Final = re.compile(r"^[ \t]+@end\b", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def recipe_problems(document: Document) -> Iterator[Problem]:
    """A problem for each recipe that is not YAML or could not be written, at the position of its ``configure``.

    Scripts (``#!``) that go to cloud-init only need not be YAML.
    """
    scripts = _cloud_init_only(document)
    for configure in document.configures.values():
        if configure.recipe is None:
            continue
        unwritable = recipe_problem(configure.recipe)
        if unwritable:
            yield Problem(unwritable, configure.line, configure.column, "bad-recipe")
            continue
        if configure.id in scripts and configure.body.startswith("#!"):
            continue
        wrong = yaml_problem(configure.recipe)
        if wrong is not None:
            message, hint = wrong
            if _INDENTED_END.search(configure.recipe):
                hint = "the mark @end must stand at the very beginning of a line"
            message = f"the recipe '{shortened(configure.id)}' is not valid YAML: {message}"
            yield Problem(message, configure.line, configure.column, "bad-yaml", hint)


def yaml_problem(recipe: str) -> tuple[str, str] | None:
    """Why `recipe` is not one YAML document, and a hint (or an empty string); None if it is."""
    try:
        _scan(recipe)
    except yaml.YAMLError as error:
        return _described(error)
    return None


def _cloud_init_only(document: Document) -> set[str]:
    items = document.contextualize.items.values() if document.contextualize is not None else ()
    to_cloud_init = {item.configure for item in items if item.uses_cloud_init}
    return to_cloud_init - {item.configure for item in items if item.uses_ansible}


class _Open:
    """A mapping, a sequence or the document itself, while its end is still to come."""

    __slots__ = ("anchor", "is_mapping", "nodes", "size")

    def __init__(self, *, is_mapping: bool, anchor: str | None) -> None:
        self.is_mapping = is_mapping
        self.anchor = anchor
        self.nodes = 0  # direct children so far: in a mapping, keys and values in turn
        self.size = 1  # with everything inside, aliases expanded


def _scan(recipe: str) -> None:
    """Walk through the events. Raises yaml.YAMLError for what is not YAML, or would be harmful when loaded."""
    sizes: dict[str, int] = {}
    stack: list[_Open] = []
    documents = 0
    for event in yaml.parse(recipe, Loader=_LOADER):
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _Harmful("there is more than one document in it", event.start_mark)
                stack.append(_Open(is_mapping=False, anchor=None))
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    raise _Harmful(f"unknown or recursive alias *{shortened(event.anchor or '')}", event.start_mark)
                _count(stack[-1], sizes[event.anchor], event)
            case yaml.ScalarEvent():
                if event.anchor is not None:
                    sizes[event.anchor] = 1
                _count(stack[-1], 1, event)
            case yaml.CollectionStartEvent():
                parent = stack[-1]
                if parent.is_mapping and parent.nodes % 2 == 0:
                    raise _CollectionAsKey("a key must be a text, not a collection", event.start_mark)
                if len(stack) > MAX_DEPTH:
                    raise _Harmful(f"it is nested more than {MAX_DEPTH} deep", event.start_mark)
                if event.anchor is not None:
                    sizes.pop(event.anchor, None)
                stack.append(_Open(is_mapping=isinstance(event, yaml.MappingStartEvent), anchor=event.anchor))
            case yaml.CollectionEndEvent():
                ended = stack.pop()
                if ended.anchor is not None:
                    sizes[ended.anchor] = ended.size
                _count(stack[-1], ended.size, event)
            case yaml.DocumentEndEvent():
                stack.pop()


def _count(parent: _Open, size: int, event: yaml.Event) -> None:
    parent.nodes += 1
    parent.size += size
    if parent.size > MAX_NODES:
        raise _Harmful(f"it expands to more than {MAX_NODES} nodes", event.start_mark)


class _Harmful(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _CollectionAsKey(_Harmful):
    pass


def _described(error: yaml.YAMLError) -> tuple[str, str]:
    """Message and hint. Positions count from the line after ``@begin``; the recipe itself is not shown."""
    hint = ""
    if isinstance(error, _CollectionAsKey):
        hint = "a value that starts with a template needs quotes: '{{ … }}'"
    if isinstance(error, yaml.MarkedYAMLError):
        message = error.problem or error.context or "syntax error"
        if PARSER_TOO_DEEP in message:
            message = f"it is nested more than {MAX_DEPTH} deep"
        if error.problem_mark is not None:
            message += f", at line {max(error.problem_mark.line, 1)} of the recipe"
        return message, hint
    return shortened(str(error).splitlines()[0], 200), hint
