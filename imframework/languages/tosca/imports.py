"""Imports: complete templates to build on, and files of type definitions.

Our own custom types stand in for the file that nearly every document imports. The caller may ask for the file itself
when the document uses more than they know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from imframework.api.errors import InvalidDocument
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.merging import onto_template
from imframework.languages.tosca.source import Map, Mark, invalid, key_mark, load, load_shared, problem, value_mark
from imframework.languages.tosca.sources import CUSTOM_TYPES_URLS, Library, is_url, without_credentials
from imframework.languages.tosca.types import TypeSystem, with_imports

_MAX_FILES: Final = 30
_MAX_NESTING: Final = 5
#: What may lead out of a folder, in any of the forms in which servers read it.
_UPWARDS: Final = re.compile(r"(^|/)\.\.(/|$)|\\|%2e|%2f|%5c", re.IGNORECASE)


@dataclass(slots=True)
class Imports:
    """The files that a document imports: URL → text, those named first at the end, since they decide."""

    texts: dict[str, str] = field(default_factory=dict)
    shipped: bool = False

    def types(self, document: Map) -> TypeSystem:
        """The type system of a document with these imports. Raises InvalidDocument."""
        return with_imports(self.shipped, tuple(self.texts.values())).extended(document)


def expanded(document: Map, library: Library) -> Map:
    """The document or, if its only import is a template, that template overridden by it. Raises InvalidDocument."""
    imports = document.get("imports")
    if not isinstance(imports, list) or len(imports) != 1:
        return document
    (only,) = imports
    if not isinstance(only, Map) or set(only) != {"template_file"}:
        return document
    mark = value_mark(only, "template_file")
    if "topology_template" not in document:
        hint = "it may be empty: topology_template: {}"
        raise invalid("topology_template is missing", document.mark, "unknown-field", hint)
    url = _template_url(only["template_file"], library, mark)
    template = _located(load, library.url(url, mark, "import-not-found"), url, mark)
    nested = template.get("imports")
    if isinstance(nested, list) and any(isinstance(entry, dict) and "template_file" in entry for entry in nested):
        raise invalid("a template cannot build on another one", mark, "import-not-allowed")
    return onto_template(template, document)


def _template_url(wanted: Any, library: Library, mark: Mark) -> str:
    base = library.sources.templates.rstrip("/")
    if not isinstance(wanted, str) or _UPWARDS.search(wanted):
        raise invalid("template_file must be a URL or a path", mark, "import-not-allowed")
    if not is_url(wanted):
        if not base:
            hint = "give its URL"
            raise invalid("there is no template repository for a relative path", mark, "import-not-allowed", hint)
        return f"{base}/{wanted.lstrip('/')}"
    if base and not wanted.startswith(base + "/"):
        raise invalid(f"only templates of {base} can be used", mark, "import-not-allowed")
    return wanted


def type_imports(document: Map, library: Library, *, fetch_shipped: bool = False) -> Imports:
    """The type definitions that a document imports. Raises InvalidDocument.

    With `fetch_shipped` the well-known file of custom types is fetched like any other, on top of our own.
    """
    imports = Imports()
    pending = [(url, mark, 1) for url, mark in _import_urls(document)]
    seen: set[str] = set()
    while pending:
        url, mark, depth = pending.pop(0)
        if url in seen:
            continue
        seen.add(url)
        if len(seen) > _MAX_FILES or depth > _MAX_NESTING:
            raise invalid("the imports import too many others", mark, "too-deep")
        if url in CUSTOM_TYPES_URLS:
            imports.shipped = True
            if not fetch_shipped:
                continue
        text = library.url(url, mark, "import-not-found")
        source = _located(load_shared, text, url, mark)
        imports.texts = {url: text, **imports.texts}
        pending.extend((nested, mark, depth + 1) for nested, _ in _import_urls(source))
    return imports


def _import_urls(document: Map) -> Iterator[tuple[str, Mark]]:
    listed = document.get("imports")
    if listed is None:
        return
    if not isinstance(listed, list):
        raise invalid("imports must be a list", value_mark(document, "imports"), "wrong-type")
    for index, entry in enumerate(listed):
        mark = value_mark(listed, index)
        if not isinstance(entry, Map):
            yield _checked(entry, mark), mark
            continue
        if "file" in entry:
            yield _checked(_in_repository(document, entry, mark), mark), mark
            continue
        for key, value in entry.items():
            at = value_mark(entry, key) or key_mark(entry, key)
            if key == "template_file":
                raise invalid("a template must be the only import", at, "import-not-allowed")
            location = _in_repository(document, value, at) if isinstance(value, Map) else value
            yield _checked(location, at), at


def _in_repository(document: Map, entry: Map, mark: Mark) -> Any:
    file, name = entry.get("file"), entry.get("repository")
    if name is None:
        return file
    repositories = document.get("repositories")
    repository = repositories.get(name) if isinstance(repositories, dict) else None
    base = repository.get("url") if isinstance(repository, dict) else repository
    if not isinstance(base, str) or not isinstance(file, str):
        raise invalid(f"the repository {shortened(str(name))} is not defined", mark, "unknown-target")
    return f"{base.rstrip('/')}/{file.lstrip('/')}"


def _checked(location: Any, mark: Mark) -> str:
    if not isinstance(location, str) or not is_url(location):
        hint = "give its URL, or a repository"
        raise invalid(f"{shortened(str(location))} is not a URL", mark, "import-not-allowed", hint)
    return location


def _located(read: Any, text: str, url: str, mark: Mark) -> Map:
    """What `read` makes of a file; its problems are shown where it is imported."""
    try:
        result: Map = read(text) if read is load_shared else read(text, positions=False)
    except InvalidDocument as error:
        place = shortened(without_credentials(url), 200)
        problems = [problem(f"{place}: {one.message}", mark, one.kind, one.hint) for one in error.problems]
        raise InvalidDocument(problems) from None
    return result
