"""Every problem of a document at once.

The translation ends at the first of its stages that finds problems, since the next ones rely on it. Here the stages go
on with what could be made out, and say nothing about what may only follow from a problem found before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import MAX_PROBLEMS
from imframework.languages.tosca.graph import settle_hosts
from imframework.languages.tosca.imports import Imports, expanded, type_imports
from imframework.languages.tosca.references import function_problems
from imframework.languages.tosca.source import Map, load_leniently
from imframework.languages.tosca.sources import CUSTOM_TYPES_URLS, Library, Sources
from imframework.languages.tosca.stored import Stored
from imframework.languages.tosca.template import build_partly
from imframework.languages.tosca.topology import Topology
from imframework.languages.tosca.translation import translate

T = TypeVar("T")

#: Stands for the bearer token, which whoever deploys the document may have.
_ANY_TOKEN = "token"  # noqa: S105 - a placeholder

#: What cannot be told of nodes that were not understood.
_OF_NODES = ("unknown-node", "unknown-property", "unknown-attribute")


def validate(text: str, *, sources: Sources | None = None, stored: Stored | None = None) -> tuple[Problem, ...]:
    """Every problem of a document, with line and column, in order; nothing if it can be deployed."""
    library = Library(sources or Sources())
    remembering = Sources(
        fetch=library.remembered, artifact=library.sources.artifact,
        artifacts_url=library.sources.artifacts_url, templates=library.sources.templates,
    )  # fmt: skip
    try:
        translate(text, sources=remembering, stored=stored, token=_ANY_TOKEN)
    except InvalidDocument as error:
        found = list(error.problems) if stored is not None else [*_Stages(library).problems(text), *error.problems]
        return in_order(found)
    return ()


def in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """The problems by position, each once, those without position last; at most `MAX_PROBLEMS`."""
    unique = dict.fromkeys(problems)
    ordered = sorted(unique, key=lambda one: (one.line is None, one.line or 0, one.column or 0))
    return tuple(ordered[:MAX_PROBLEMS])


class _Stages:
    """The stages of one document, each of which goes on where the one before has failed."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._found: list[Problem] = []

    def problems(self, text: str) -> list[Problem]:
        """What reading, imports, the topology and its functions have to say."""
        try:
            sent, self._found = load_leniently(text)
        except InvalidDocument as error:
            return list(error.problems)
        document = self._attempt(lambda: expanded(sent, self._library), sent)
        imports = self._attempt(lambda: type_imports(document, self._library), None)
        if imports is None:
            found = self._topology_problems(document, Imports(shipped=_names_custom_types(document)))
            # Types, and what types have, may be defined in what could not be imported.
            return self._found + [one for one in found if not one.kind.startswith("unknown-")]
        found = self._topology_problems(document, imports)
        if imports.shipped and any(one.kind.startswith("unknown-") for one in found):
            try:
                fetched = type_imports(document, self._library, fetch_shipped=True)
            except InvalidDocument:
                return self._found + found
            found = self._topology_problems(document, fetched)
        return self._found + found

    def _attempt(self, stage: Callable[[], T], otherwise: T) -> T:
        try:
            return stage()
        except InvalidDocument as error:
            self._found.extend(error.problems)
            return otherwise

    def _topology_problems(self, document: Map, imports: Imports) -> list[Problem]:
        try:
            topology, problems = build_partly(document, imports.types(document))
        except InvalidDocument as error:
            return list(error.problems)
        settle_hosts(topology)
        functions = islice(function_problems(topology), MAX_PROBLEMS)
        if _is_complete(document, topology):
            return [*problems, *functions]
        return [*problems, *(one for one in functions if one.kind not in _OF_NODES)]


def _is_complete(document: Map, topology: Topology) -> bool:
    template = document.get("topology_template")
    nodes = template.get("node_templates") if isinstance(template, dict) else None
    return not isinstance(nodes, dict) or len(nodes) == len(topology.nodes)


def _names_custom_types(document: Map) -> bool:
    imports = document.get("imports")
    return isinstance(imports, list) and any(url in str(entry) for entry in imports for url in CUSTOM_TYPES_URLS)
