"""The reference page shows documents that work, and names every kind of problem."""

from __future__ import annotations

import re
from pathlib import Path

import imframework.languages.radl as radl
from imframework.languages.radl import check, parse, parse_json

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "reference" / "radl.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_documents_on_the_page_are_valid() -> None:
    for text in blocks("radl"):
        check(parse(text))
    for text in blocks("json"):
        check(parse_json(text))


def test_every_kind_of_problem_is_on_the_page() -> None:
    sources = "".join(path.read_text() for path in Path(radl.__file__).parent.glob("*.py"))
    used = set(
        re.findall(
            r'"((?:bad|wrong|duplicate|conflicting|disjoint|index|ansible-no|deploy|contextualize|missing'
            r'|unknown|too|interface)-[a-z-]+)"',
            sources,
        )
    ) | {"syntax"}
    assert {"too-deep", "bad-recipe", "unknown-reference"} <= used
    undocumented = {kind for kind in used if f"`{kind}`" not in PAGE}
    assert not undocumented
