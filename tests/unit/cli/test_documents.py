"""Documents of the command line and their parameters."""

from pathlib import Path

import click
import pytest

from imframework.api.service import Language
from imframework.cli.documents import fill, parameter_names, parse_parameters, read_document

VECTORS = Path(__file__).parents[2] / "vectors" / "radl"


@pytest.fixture
def write(tmp_path):
    def write(name, content="deploy a 1\n"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.radl", Language.RADL),
        ("a.RADL", Language.RADL),
        ("a.json", Language.RADL_JSON),
        ("a.yaml", Language.TOSCA),
        ("a.YML", Language.TOSCA),
    ],
)
def test_the_extension_says_the_language(write, name, language):
    document = read_document(write(name), {})

    assert (document.language, document.text) == (language, "deploy a 1\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "", "the extension says"),
        ("a", "", "the extension says"),
        ("a.radl", b"\xff", "not UTF-8"),
    ],
)
def test_other_files_are_refused_with_what_would_be_right(write, name, content, said):
    with pytest.raises(click.UsageError, match=said):
        read_document(write(name, content), {})


def test_parameters_are_replaced_wherever_they_stand():
    text = (VECTORS / "17-parameters.radl").read_text()
    assert parameter_names(text) == ("Ports", "CPUs", "Mem", "Image", "NumNodes", "Cloud")

    filled = fill(
        text,
        {"Ports": "22/tcp", "CPUs": "2", "Mem": "4G", "Image": "ost://x/y", "NumNodes": "3", "Cloud": "a"},
    )

    assert "@input" not in filled
    assert "outports = '22/tcp'" in filled
    assert "deploy node 3 a" in filled


def test_a_value_is_taken_literally():
    assert fill("@input.a@ @input.a@", {"a": r"\1 @input.b@ '"}) == r"\1 @input.b@ ' \1 @input.b@ '"


def test_each_missing_parameter_is_asked_for_once():
    asked = []

    def ask(name):
        asked.append(name)
        return name.upper()

    assert fill("@input.b@ @input.a@ @input.b@ @input.c@", {"c": "given"}, ask) == "B A B given"
    assert asked == ["b", "a"]


def test_missing_parameters_are_named_where_nobody_can_be_asked():
    with pytest.raises(click.UsageError) as caught:
        fill("@input.b@ @input.a@", {"a": "1"})

    assert "without a value: b." in caught.value.message
    assert "--param b=" in caught.value.message


@pytest.mark.parametrize(("text", "said"), [("@input.cpus@", "its parameters are cpus"), ("", "it has no parameters")])
def test_a_value_that_nothing_asks_for_is_an_error(text, said):
    with pytest.raises(click.UsageError, match=f"no parameter CPUs; {said}"):
        fill(text, {"CPUs": "1"})


def test_parameters_are_name_and_value():
    assert parse_parameters(["a=1", "b=x=y", "c=", "a=2"]) == {"a": "2", "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(click.BadParameter, match="name=value"):
            parse_parameters([wrong])
