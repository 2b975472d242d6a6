"""`docs/reference/hooks.md` describes exactly the hooks there are."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from imframework.api.hooks import SORTS, HookSpecs, InfrastructureSummary, MachineSummary
from imframework.api.model import Event
from imframework_plugins.hooks.webhook import declaration

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
HOOKS = [name for name in vars(HookSpecs) if name.startswith("imframework_")]
SECTION = re.compile(r"^### `(\w+)`\n\nSort: ([\w-]+)\n\n```python\ndef (.*?)\n```\n\n\S", re.MULTILINE | re.DOTALL)


def signature(name):
    """The signature of a hook as an implementation sees it, on one line."""
    return name + str(inspect.signature(getattr(HookSpecs, name))).replace("'", "").replace("(self, ", "(")


def test_every_hook_has_its_sort_and_no_other_does():
    assert sorted(SORTS) == sorted(HOOKS)
    assert set(SORTS.values()) <= {"observer", "veto", "first-result"}


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_begins_its_docstring_with_its_sort(name):
    assert inspect.getdoc(getattr(HookSpecs, name)).startswith(SORTS[name].capitalize() + ": ")


def test_every_hook_is_documented_with_its_exact_signature_and_sort():
    documented = [
        (name, sort, re.sub(r"\s+", " ", text).replace("( ", "(").replace(" )", ")"))
        for name, sort, text in SECTION.findall(PAGE)
    ]

    assert documented == [(name, SORTS[name], signature(name)) for name in HOOKS]


@pytest.mark.parametrize("argument", [InfrastructureSummary, MachineSummary, Event])
def test_every_field_of_an_argument_is_documented(argument):
    table = PAGE.split(f"\n`{argument.__name__}`\n")[1].strip().split("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.name for each in dataclasses.fields(argument)]


def test_every_option_of_the_webhook_plugin_is_documented():
    assert re.findall(r"^\| `(WEBHOOK_\w+)` \|", PAGE, re.MULTILINE) == [o.name for o in declaration.info.options]
