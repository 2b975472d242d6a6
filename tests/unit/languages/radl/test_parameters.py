"""Parameters that were not replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import left_over_parameters, parse


def test_left_overs_in_texts_and_recipes_are_named_once() -> None:
    document = parse(
        "description d (name = '@input.Name@') ansible a (host = '@input.Host@') network n (outports = '@input.Name@')"
        "system s (a = ['x', '@input.List@'] and c contains (name = '@input.App@') and g = (x = '@input.Group@') and"
        " soft 1 (y = 'a@input.Soft@b@input.More@') and z = 5)"
        "configure c (@begin\n- '@input.Recipe@ @input.broken'\n@end) contextualize (option o = '@input.Option@')"
    )
    assert left_over_parameters(document) == (
        *("Name", "Host", "List", "App", "Group", "Soft", "More", "Recipe", "Option"),
    )


def test_none_are_found_in_a_finished_document(vectors: Path) -> None:
    assert left_over_parameters(parse((vectors / "20-cluster.radl").read_text())) == ()


def test_outside_of_texts_they_are_errors_that_name_the_parameter(vectors: Path) -> None:
    with pytest.raises(InvalidDocument, match=r"Line 5: the parameter @input\.CPUs@ has no value"):
        parse((vectors / "17-parameters.radl").read_text())
