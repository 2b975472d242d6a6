"""Writing text: the layout where vectors have none, and safety of what is stored."""

from __future__ import annotations

import pytest

from imframework.languages.radl import Bound, Configure, Document, Number, System, Text, dumps, parse, parse_json
from imframework.languages.radl.printer import number_text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        ("system s ()", "system s (\n\n)"),
        ("network n", "network n "),
        ("description d", "description d ()"),
        ("contextualize 60 ()", "contextualize 60 ()"),
        ("contextualize (option a = 5)", "contextualize  (\noption a = 5\n)"),
        ("system s (x = [])", "system s (\nx = []\n)"),
        ("system s (soft 0.5 (a >= 1))", "system s (\nsoft 0.5 ( a >= 1 )\n)"),
        ("system s (soft 1 (a = 1) and b = 2)", "system s (\nsoft 1 ( a = 1 ) and\nb = 2\n)"),
        ("system s (g = (a = 1 and b = 'c'))", "system s (\ng = (a = 1 and\nb = 'c')\n)"),
        ('deploy s 1 @"a b"', '\ndeploy s 1 @"a b"'),
        ('deploy s 1 @"a"', "\ndeploy s 1 a"),
        ("configure c (@begin\n@end)", "configure c (\n@begin\n\n\n@end\n)"),
    ],
)
def test_layout(text: str, printed: str) -> None:
    assert dumps(parse(text)) == printed
    assert parse(printed) == parse(text)


@pytest.mark.parametrize(
    "value",
    ["it's", "\\", "C:\\", "a\\'b", "\\\\", "\\\\'", "'", "''", "random(8)", "", "\n", "# (", '"', "@begin", "é\u2028"],
)
def test_any_text_survives(value: str) -> None:
    document = Document(systems={"s": System("s")})
    document.systems["s"].set("text", value)
    document.systems["s"].set("list", [value, value])
    assert parse(dumps(document)) == document


@pytest.mark.parametrize("value", [0.1, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, -2.5, 10**308, -3, 3.0])
def test_any_number_survives(value: float) -> None:
    text = number_text(value)
    assert "e" not in text
    document = Document(systems={"s": System("s")})
    document.systems["s"].set("x", value)
    again = parse(dumps(document)).systems["s"].value("x")
    assert again == value
    assert type(again) is type(value)


def test_unit_that_starts_with_a_dot_is_kept_apart() -> None:
    document = Document(systems={"s": System("s")})
    document.systems["s"].features.replace("x", Number.of(Bound(">=", 5, ".1")))
    assert parse(dumps(document)) == document


def test_recipe_does_not_grow_however_often_it_is_stored() -> None:
    document = Document(configures={"c": Configure("c", "- tasks: []")})
    once = dumps(document)
    assert dumps(parse(dumps(parse(once)))) == once


def test_booleans_of_json_are_words_in_text() -> None:
    document = parse_json('[{"class": "network", "id": "n", "create": true, "outbound": false}]')
    assert dumps(document) == "network n ( create = 'yes' and\noutbound = 'no' )"


def test_random_looking_text_of_a_program_is_not_drawn_anew_when_stored() -> None:
    document = Document(systems={"s": System("s")})
    document.systems["s"].features.replace("x", Text("random(8)"))
    assert parse(dumps(document)).systems["s"].text("x") == "random(8)"
