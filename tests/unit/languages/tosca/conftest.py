"""Fixtures of the TOSCA tests: the vectors in tests/vectors/tosca, and sources that serve their artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from imframework.languages.tosca import ARTIFACTS_URL, Sources, Translation, translate

VECTORS = Path(__file__).parents[3] / "vectors" / "tosca"

HEADER = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
"""


class Web:
    """A `Fetch` that serves texts by URL, and the artifacts of the vectors; it counts what it is asked for."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.asked: list[str] = []

    def __call__(self, url: str) -> str:
        self.asked.append(url)
        if url in self.texts:
            return self.texts[url]
        for base in ("https://recipes.example.org/", ARTIFACTS_URL):
            path = VECTORS / "artifacts" / url.removeprefix(base)
            if url.startswith(base) and path.is_file():
                return path.read_text()
        raise OSError("404 Not Found")


class Translator:
    """Translates documents the way the vectors were made."""

    def __init__(self) -> None:
        self.web = Web()
        self.sources = Sources(fetch=self.web)

    def __call__(self, text: str, *, header: bool = True, **options: object) -> Translation:
        whole = HEADER + text if header else text
        settings: dict[str, object] = {"suffix": "c0ffee00", "random": "a".__mul__, "sources": self.sources}
        return translate(whole, **(settings | options))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the example documents."""
    return VECTORS


@pytest.fixture
def translated() -> Translator:
    """A function that translates a document, with the import of the custom types put in front of it."""
    return Translator()
