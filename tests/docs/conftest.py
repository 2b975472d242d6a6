"""Every page of documentation that a reader finds in the repository, parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Page:
    """A Markdown file, with what the tests ask of it."""

    path: Path

    def linked(self, path: str) -> Page:
        """The page that a relative link leads to; the page itself if the link has no path."""
        return Page(self.path.parent / path) if path else self

    @cached_property
    def tokens(self) -> list[Token]:
        blocks = MarkdownIt("commonmark").enable("table").parse(self.path.read_text(encoding="utf-8"))
        return [token for block in blocks for token in (block, *(block.children or ()))]

    @property
    def links(self) -> Iterator[str]:
        """Targets of links and images."""
        for token in self.tokens:
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                yield str(target)

    @property
    def anchors(self) -> set[str]:
        """The fragments that its headings can be linked with."""
        headings = [after for token, after in zip(self.tokens, self.tokens[1:], strict=False) if token.tag in _HEADINGS]
        return {re.sub(r"[^\w\- ]", "", heading.content.lower()).replace(" ", "-") for heading in headings}

    @property
    def code(self) -> Iterator[str]:
        """Inline code, and each line of code blocks; a line that ends with a backslash with the next."""
        for token in self.tokens:
            if token.type == "code_inline":
                yield token.content
            elif token.type in ("fence", "code_block"):
                yield from token.content.replace("\\\n", " ").splitlines()


_HEADINGS = {f"h{level}" for level in range(1, 7)}


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Page:
    """One page after the other."""
    return Page(request.param)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT
