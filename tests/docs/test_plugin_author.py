"""The guide for authors of plugins shows what is in the example, and leaves nothing of the API out."""

import dataclasses
import re

import pytest

from imframework.api import errors
from imframework.api.hooks import SORTS
from imframework.api.model import Phase, Recognition
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.registry import Health

EXCERPT = re.compile(r"^<!-- from (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def guide(request):
    return (request.config.rootpath / "docs" / "plugin-author.md").read_text(encoding="utf-8")


def test_every_excerpt_stands_in_its_file_word_for_word(page, root):
    excerpts = EXCERPT.findall(page.path.read_text(encoding="utf-8"))

    assert [path for path, code in excerpts if code not in (root / path).read_text(encoding="utf-8")] == []


def test_all_code_of_the_guide_is_taken_from_the_example(guide):
    excerpts = {code: path for path, code in EXCERPT.findall(guide)}

    assert len(excerpts) > 10
    assert all(path.startswith("examples/third_party_plugin/") for path in excerpts.values())
    assert {code for _, code in BLOCK.findall(guide)} == set(excerpts)


def first_column(guide, heading):
    """The code in the first column of the table with this heading."""
    table = guide.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0]
    return {code for line in table.splitlines()[2:] for code in re.findall(r"`(\w[\w ]*)`", line.split("|")[1])}


def test_it_explains_every_field_of_a_declaration(guide):
    assert first_column(guide, "Field") == {field.name for field in dataclasses.fields(PluginInfo)}


def test_it_explains_every_error_of_a_cloud(guide):
    clouds = {
        name
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.CloudError) and cls is not errors.NoCandidate
    }

    assert first_column(guide, "Raise") == clouds


@pytest.mark.parametrize(("heading", "words"), [("Phase", Phase), ("`Recognition`", Recognition)])
def test_it_explains_every_word_of_an_answer(guide, heading, words):
    assert first_column(guide, heading) == {word.name for word in words}


def test_it_says_what_to_do_about_every_sort_of_bad_health(guide):
    assert first_column(guide, "Health") == {health.value for health in Health} - {"ok", "not loaded"}


def test_it_names_every_kind_with_its_group_and_every_sort_of_hook(guide):
    assert [kind for kind in PluginKind if f"`{kind.group}`" not in guide] == []
    assert [sort for sort in set(SORTS.values()) if f"**{sort}**" not in guide] == []
