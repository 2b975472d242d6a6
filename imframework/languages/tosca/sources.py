"""The seam to what documents refer to: imports, recipes, files. This package fetches nothing itself.

Whoever hands in a `Fetch` decides what may be fetched (schemes, addresses, sizes, time) and what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from imframework.api.errors import IMError, InvalidDocument
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.source import Mark, invalid

#: The text behind a URL. Raises an IMError or OSError whose text may be shown to the user.
Fetch = Callable[[str], str]

ARTIFACTS_URL: Final = "https://raw.githubusercontent.com/grycap/tosca/main/artifacts/"
CUSTOM_TYPES_URLS: Final = (
    "https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml",
    "https://raw.githubusercontent.com/grycap/tosca/master/custom_types.yaml",
)


def no_fetch(url: str) -> str:
    """A `Fetch` for where there is no network."""
    raise OSError("nothing is fetched here")


def no_artifact(path: str) -> str | None:
    """An artifact folder without anything in it."""
    return None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things come from.

    `artifact` looks a relative path up in the server's artifact folder (None: not there), and must not leave it;
    `artifacts_url` is where such a path is looked for next; `templates` is the base URL of the template repository,
    empty if there is none.
    """

    fetch: Fetch = no_fetch
    artifact: Callable[[str], str | None] = no_artifact
    artifacts_url: str = ARTIFACTS_URL
    templates: str = ""


class Library:
    """The files of one translation, each fetched at most once."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.fetched: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def remembered(self, url: str) -> str:
        """A `Fetch` that asks for each file once. Raises OSError."""
        if url not in self.fetched and url not in self._failed:
            self._fetch(url)
        if url in self._failed:
            raise OSError(self._failed[url])
        return self.fetched[url]

    def url(self, url: str, mark: Mark, kind: str = "recipe-not-found") -> str:
        """The text at `url`. Raises InvalidDocument of that `kind`."""
        if is_url(url) and url.partition("://")[0].lower() == "file":
            raise invalid("files of the server are not read", mark, kind, "give a http or https URL")
        if url not in self.fetched and url not in self._failed:
            self._fetch(url)
        if url in self._failed:
            raise self._not_found(url, self._failed[url], mark, kind)
        return self.fetched[url]

    def file(self, path: str, mark: Mark) -> str:
        """The text of an artifact given by URL or by relative path. Raises InvalidDocument."""
        if is_url(path):
            return self.url(path, mark)
        if path.startswith("/") or ".." in path.split("/"):
            raise invalid(f"{shortened(path)} is not a relative path", mark, "recipe-not-found")
        try:
            found = self.sources.artifact(path)
        except (IMError, OSError, ValueError) as error:
            raise invalid(f"{shortened(path)} cannot be read: {error}", mark, "recipe-not-found") from None
        return self.url(self.sources.artifacts_url + path, mark) if found is None else found

    def _fetch(self, url: str) -> None:
        try:
            self.fetched[url] = self.sources.fetch(url)
        except (IMError, OSError, ValueError) as error:
            self._failed[url] = shortened(str(error) or type(error).__name__, 200)

    def _not_found(self, url: str, reason: str, mark: Mark, kind: str) -> InvalidDocument:
        return invalid(f"{shortened(without_credentials(url), 200)} cannot be fetched: {reason}", mark, kind)


def is_url(text: str) -> bool:
    """Whether `text` is a URL rather than a path."""
    scheme, separator, rest = text.partition("://")
    return bool(separator and rest and scheme.isascii() and scheme.replace("+", "").isalnum())


def without_credentials(url: str) -> str:
    """`url` without user, password and query, for messages."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def base_name(url: str) -> str:
    """The last part of the path of a URL, of harmless characters only."""
    name = url.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in name) or "file"
