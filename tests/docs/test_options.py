"""The options that the pages and the sample file speak of are the options there are."""

import re

import pytest
from click.testing import CliRunner

from imframework.settings.catalogue import Catalogue
from imframework.settings.reference import main, own_plugin_options


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(own_plugin_options())


def test_the_generated_files_are_up_to_date(root):
    outcome = CliRunner().invoke(main, ["--check", "--root", str(root)])

    assert (outcome.output, outcome.exit_code) == ("", 0)


def test_every_option_is_on_the_reference_page_once_and_nothing_else_is(catalogue, root):
    page = (root / "docs" / "reference" / "options.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^### `(?:\[(\w+)\] )?(\w+)`$", page, re.MULTILINE)) == sorted(
        (option.section.removeprefix("im"), option.name) for option in catalogue
    )


def test_every_plugin_that_comes_along_has_its_options_in_the_sample(root):
    sample = (root / "etc" / "im.cfg").read_text(encoding="utf-8")
    plugins = own_plugin_options()

    assert {"connectors dummy", "connectors local", "hooks webhook"} <= set(plugins)
    for options in plugins.values():
        for option in options:
            assert re.search(rf"^#?{option.name} =", sample, re.MULTILINE), option.name
