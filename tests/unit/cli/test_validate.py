"""`imframework validate` on files and on standard input."""

import json

import pytest
from click.testing import CliRunner

from imframework.cli.main import cli

SOUND = "network n ()\nsystem s (\n  net_interface.0.connection = 'n'\n)\ndeploy s 1\n"
WRONG = "network n (outbound = 'perhaps')\nsystm s (\n  cpu.count >= 'x'\n)\ndeploy t 1\n"
TOSCA = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - https://types.example.org/mine.yaml
topology_template:
  inputs:
    count: { type: integer, default: 1 }
  node_templates:
    a: { type: tosca.nodes.Compute, capabilities: { scalable: { properties: { count: { get_input: count } } } } }
    b: { type: of.the.import }
"""


@pytest.fixture
def validate(tmp_path, monkeypatch):
    """Runs the command in a directory with the given files."""

    def run(*arguments, stdin=None, **files):
        monkeypatch.chdir(tmp_path)
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CliRunner().invoke(cli, ["validate", *arguments], input=stdin)

    return run


def test_a_sound_document_ends_with_0(validate):
    result = validate("a.radl", a__radl=SOUND)

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 document: no problems\n")


def test_every_problem_is_a_line_with_its_place_and_a_hint_below(validate):
    result = validate("a.radl", a__radl=WRONG)

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "a.radl:1:12: outbound cannot be 'perhaps' (wrong-value)",
        "  hint: allowed: yes, no",
        "a.radl:2:1: unexpected name 'systm', expected one of description, network, ansible, system, configure, "
        "contextualize, deploy (syntax)",
        "  hint: did you mean 'system'?",
        "a.radl:3:3: cpu.count must be a number, not a text (wrong-type)",
        "  hint: write the number without quotes",
        "a.radl:5:1: there is no system 't' to deploy (deploy-unknown-system)",
    ]
    assert result.stderr == "1 document: 4 problems\n"


def test_several_files_of_several_languages(validate):
    result = validate("a.radl", "b.json", "c.yml", a__radl=SOUND, b__json='[{"class": "system"}]', c__yml="a: [\n")

    assert result.exit_code == 1
    assert [line.split(" ")[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == [
        "b.json:1:2:",
        "c.yml:2:1:",
    ]
    assert result.stderr == "3 documents: 2 problems\n"


def test_json_is_a_list_of_records(validate):
    result = validate("--json", "a.radl", "b.radl", a__radl=SOUND, b__radl="deploy a 1\n")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "file": "b.radl",
            "line": 1,
            "column": 1,
            "kind": "deploy-unknown-system",
            "message": "there is no system 'a' to deploy",
            "hint": "",
        }
    ]


def test_json_of_sound_documents_is_an_empty_list(validate):
    result = validate("--json", "a.radl", a__radl=SOUND)

    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


@pytest.mark.parametrize(
    ("language", "text"), [("radl", "deploy a 1"), ("json", "[{}]"), ("tosca", "tosca_definitions_version: 1")]
)
def test_standard_input_needs_a_format(validate, language, text):
    assert validate("-", stdin=text).exit_code == 2

    result = validate("-", "--format", language, stdin=text)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:1:")


def test_the_format_outranks_the_extension(validate):
    assert validate("a.txt", a__txt=SOUND).exit_code == 2
    assert validate("a.txt", "--format", "radl", a__txt=SOUND).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument"),
        (("none.radl",), "does not exist"),
        (("a.radl", "--param", "x"), "name=value"),
        (("a.radl", "--param", "x=1"), "No document has a parameter x"),
        (("b.radl",), "not UTF-8"),
    ],
)
def test_wrong_usage_ends_with_2(validate, arguments, said):
    result = validate(*arguments, a__radl=SOUND, b__radl=b"\xff")

    assert result.exit_code == 2
    assert said in result.stderr


class TestParameters:
    TEXT = (
        "network n (outports = '@input.ports@')\nsystem s (\n  cpu.count >= @input.cpus@ and spot = 'x' and\n"
        "  price = 'x'\n)\ndeploy s @input.count@ cloud\ndeploy t 1\n"
    )

    def test_lines_of_those_without_a_value_are_not_checked_but_all_others_are(self, validate):
        result = validate("a.radl", a__radl=self.TEXT)

        assert [line.partition(" ")[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == [
            "a.radl:4:3:",
            "a.radl:7:1:",
        ]
        assert "without a value were not checked: ports, cpus, count\n" in result.stderr

    def test_problems_of_a_value_are_at_its_parameter_and_others_where_they_are_in_the_file(self, validate):
        values = {"ports": "22,x", "cpus": "10000 ~", "count": "two"}
        options = [option for name, value in values.items() for option in ("--param", f"{name}={value}")]

        result = validate("a.radl", *options, a__radl=self.TEXT)

        assert [line.partition(" ")[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == [
            "a.radl:1:12:",
            "a.radl:3:16:",
            "a.radl:3:33:",
            "a.radl:4:3:",
            "a.radl:6:10:",
            "a.radl:7:1:",
        ]

    def test_they_are_replaced_in_json_too(self, validate):
        text = '[{"class": "system", "id": "s"}, {"class": "deploy", "system": "s", "vm_number": @input.n@}]'

        assert validate("a.json", a__json=text).exit_code == 0
        assert validate("a.json", "--param", "n=1", a__json=text).exit_code == 0
        assert validate("a.json", "--param", "n=x", a__json=text).stdout.startswith("a.json:1:82: ")


class TestTosca:
    def test_what_is_not_fetched_is_not_held_against_a_document(self, validate):
        result = validate("a.yaml", "--no-fetch", a__yaml=TOSCA)

        assert (result.exit_code, result.stdout) == (0, "")
        assert "some files it refers to were not fetched" in result.stderr

    def test_everything_else_is_checked_without_fetching(self, validate):
        result = validate("a.yaml", "--no-fetch", a__yaml=TOSCA.replace("default: 1", "default: many"))

        assert result.exit_code == 1
        assert result.stdout.startswith("a.yaml:6:38: the default of the input count must be a whole number")

    def test_files_on_this_machine_or_its_network_are_not_fetched(self, validate):
        result = validate("a.yaml", a__yaml=TOSCA.replace("https://types.example.org", "http://127.0.0.1:9"))

        assert result.exit_code == 1
        assert result.stdout.startswith("a.yaml:3:5: ")
        assert "(import-not-found)" in result.stdout

    def test_a_parameter_is_the_value_of_an_input(self, validate):
        assert validate("a.yaml", "--no-fetch", "--param", "count=2", a__yaml=TOSCA).exit_code == 0

        result = validate("a.yaml", "--no-fetch", "--param", "count=many", a__yaml=TOSCA)
        assert result.exit_code == 1
        assert "the default of the input count must be a whole number" in result.stdout


def test_what_a_document_says_cannot_move_the_cursor(validate):
    result = validate("a.json", a__json='[{"class": "sys\\u001b[2Jtem\\n", "id": "s"}]')

    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert len([line for line in result.stdout.splitlines() if line.startswith("a.json")]) == 1


def test_that_there_may_be_more_problems_is_said(validate):
    result = validate("a.radl", a__radl="deploy a 1\n" * 80)

    assert "there may be more: at most 50 problems are told at once" in result.stderr


def test_line_ends_of_windows_count_once(validate):
    assert validate("a.radl", a__radl=WRONG.replace("\n", "\r\n")).stdout.splitlines()[-1].startswith("a.radl:5:1:")
