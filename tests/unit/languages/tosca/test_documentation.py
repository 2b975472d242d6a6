"""docs/reference/tosca.md against the code: its example, the kinds of problems and the limits it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from imframework.languages import tosca
from imframework.languages.tosca.source import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from imframework.languages.tosca.template import MAX_NODE_TEMPLATES

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "tosca.md").read_text()
CODE = "".join(path.read_text() for path in sorted(Path(tosca.__file__).parent.glob("*.py")))


def test_example_of_the_page_is_translated(translated: Any) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    translated.web.texts["https://recipes.example.org/site.yml"] = "- hosts: all\n  tasks: []\n"
    radl = translated(example, header=False).radl
    assert radl.deploys[0].count == 2
    assert list(radl.configures) == ["site_server_conf"]


def test_every_kind_of_problem_is_documented_and_exists() -> None:
    table = PAGE.partition("| Kind | Meaning |")[2].partition("Limits:")[0]
    documented = set(re.findall(r"`([a-z]+-[a-z-]+|cycle|constraint)`", table))
    assert {kind for kind in documented if f'"{kind}"' not in CODE} == set()
    used = set(re.findall(r'"((?:bad|unknown|missing|too|wrong|import|faas|container|proxy)-[a-z-]+)"', CODE))
    assert used - documented == set()


def test_limits_of_the_page_are_those_of_the_code() -> None:
    for limit in (MAX_CHARACTERS, MAX_NODES, MAX_NODE_TEMPLATES):
        assert f"{limit:,}" in PAGE
    assert f"{MAX_DEPTH} levels" in PAGE
