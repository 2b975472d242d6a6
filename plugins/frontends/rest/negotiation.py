"""Media types: which form of an answer a client accepts, and which language a body is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imframework.api.errors import UnsupportedMediaType
from imframework.api.service import Language
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, CSV, TEXT, URI_LIST

_ANYTHING: Final = ("*/*", "text/*")
_JSON: Final = (APPLICATION_JSON, "application/*")

_LANGUAGES: Final = {
    TEXT: Language.RADL,
    "*/*": Language.RADL,
    "text/*": Language.RADL,
    APPLICATION_JSON: Language.RADL_JSON,
    "text/yaml": Language.TOSCA,
    "text/x-yaml": Language.TOSCA,
    "application/yaml": Language.TOSCA,
    "application/x-yaml": Language.TOSCA,
}


def answer_type(accept: str | None, default: str, further: str | None = None) -> str:
    """The media type to answer with. The first entry of the Accept header that fits wins; weights are ignored.

    Every resource has a JSON form; `default` is its other form, or JSON again if it has none. A `further` one must be
    asked for by its name; a table is also what those get who want any text.

    Raises:
        UnsupportedMediaType: no entry fits.
    """
    if accept is None or accept == "*/*":
        return default
    entries = list(_entries(accept))
    for entry in entries:
        if further is not None and (entry == further or (further == CSV and entry == "text/*")):
            return further
        if entry == default or entry in _ANYTHING:
            return default
        if entry in _JSON:
            return APPLICATION_JSON
        if entry == TEXT and default == URI_LIST:
            return TEXT
    if not entries:
        return default
    raise UnsupportedMediaType(f"Unsupported Accept Media Types: {','.join(entries)}")


def body_language(content_type: str | None) -> Language:
    """The language that a Content-Type header announces; RADL if there is none.

    Raises:
        UnsupportedMediaType: none of its entries is known.
    """
    entries = list(_entries(content_type)) if content_type else []
    if not entries:
        return Language.RADL
    for entry in entries:
        language = _LANGUAGES.get(entry)
        if language is not None:
            return language
    raise UnsupportedMediaType(f"Unsupported Media Type {entries}")


def require_json(content_type: str | None) -> None:
    """Check the Content-Type header of a body that is JSON, and nothing else, whatever the header leaves open.

    Raises:
        UnsupportedMediaType: another type is announced.
    """
    entries = list(_entries(content_type)) if content_type else []
    if entries and APPLICATION_JSON not in entries:
        raise UnsupportedMediaType(f"Unsupported Media Type {entries}")


def _entries(header: str) -> Iterator[str]:
    """The media types of a header, in lower case, without their parameters."""
    for part in header.split(","):
        entry = part.partition(";")[0].strip().lower()
        if entry:
            yield entry
