"""Every problem of a document at once, in each of the languages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imframework.api.errors import InvalidDocument, Problem
from imframework.api.service import Language
from imframework.languages import radl, tosca
from imframework.languages.validation import MAX_PROBLEMS, problems

VECTORS = Path(__file__).parents[2] / "vectors"
RADL, JSON, TOSCA = Language.RADL, Language.RADL_JSON, Language.TOSCA

#: Cases where the specification tells what the peer does, and we do better: see test_vectors.py of RADL.
ACCEPTED = {
    "i686 is not an accepted architecture",
    "arm64 is not an accepted architecture",
    "random string with two digits",
    "comment only",
    "description only",
    "list of strings in a feature other than image.url or additional_dns_names",
}
OTHER_LINES = {"line breaks inside a string are not counted": 5}


def places(found: tuple[Problem, ...]) -> list[tuple[int | None, int | None, str]]:
    return [(problem.line, problem.column, problem.kind) for problem in found]


# --- what is sound, and what is not ------------------------------------------------------------------------


def sound_documents() -> list[Any]:
    inputs = json.loads((VECTORS / "radl" / "17.inputs.json").read_text())
    documents = []
    for path in sorted((VECTORS / "radl").glob("[0-9][0-9]-*")):
        text = path.read_text()
        for name, value in inputs.items():
            text = text.replace(f"@input.{name}@", value)
        language = RADL if path.suffix == ".radl" else JSON
        if path.name != "05-intervals.json":  # cpu.performance needs a unit, and the JSON form has none
            documents.append(pytest.param(text, language, id=path.name))
    return documents


@pytest.mark.parametrize(("text", "language"), sound_documents())
def test_an_example_has_no_problems(text: str, language: Language) -> None:
    assert problems(text, language) == ()


CASES: list[dict[str, Any]] = json.loads((VECTORS / "radl" / "validation-cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_of_the_specification(case: dict[str, Any]) -> None:
    found = problems(case["input"], RADL if case["format"] == "text" else JSON)
    if case["title"] in ACCEPTED or case["stage"] == "ok":
        assert found == ()
        return
    if case["kind"] != "internal":
        assert case["kind"] in [problem.kind for problem in found]
    if "line" in case:
        assert OTHER_LINES.get(case["title"], case["line"]) in [problem.line for problem in found]
    assert all(problem.line is not None or problem.kind == "bad-max-time" for problem in found)


# --- several mistakes in one document ----------------------------------------------------------------------

THREE_IN_RADL = {
    "quotes, an operator that is none, and a number": (
        "network pub (outbound = 'yes')\nsystem front (\n  disk.0.os.name = \"linux\" and\n  cpu.count => 2 and\n"
        "  net_interface.0.connection = 'pub'\n)\ndeploy front two\n",
        [(3, 20, "syntax"), (4, 14, "syntax"), (7, 14, "syntax")],
    ),
    "a text without end, a missing 'and', and an unknown network": (
        "network pub ()\nsystem front (\n  disk.0.os.name = 'linux and\n  disk.0.image.url = 'one://x/1'\n"
        "  cpu.count >= 2 and\n  net_interface.0.connection = 'pubb'\n)\ndeploy front 1\n",
        [(3, 20, "syntax"), (5, 3, "syntax"), (6, 3, "wrong-value")],
    ),
    "a parenthesis that is not closed, a misspelled keyword, and a wrong unit": (
        "network pub (\n  outbound = 'yes'\nsytem front (\n  memory.size >= 4Q\n)\ndeploy front 1\n",
        [(3, 1, "syntax"), (4, 3, "wrong-unit")],
    ),
    "three sentences": (
        "network pub (outbound = 'maybe')\nsystem front (\n  memory.size >= '4G'\n)\ndeploy frnt 1\n",
        [(1, 14, "wrong-value"), (3, 3, "wrong-type"), (5, 1, "deploy-unknown-system")],
    ),
    "recipe, contextualize and the end": (
        "system front ()\nconfigure c (\n@begin\n- tasks: [\n@end\n)\ncontextualize (\n  system front confgure c\n"
        "  system fron configure c\n)\n)\n",
        [(2, 1, "bad-yaml"), (8, 16, "syntax"), (9, 3, "contextualize-unknown-system"), (11, 1, "syntax")],
    ),
    "upper-case keywords": (
        "system front (\n  cpu.count >= 1 AND\n  spot = 'perhaps' and\n  price <= .5\n)\n",
        [(2, 18, "syntax"), (3, 3, "wrong-value"), (4, 12, "syntax")],
    ),
    "a sentence that is none": (
        "bogus words here\nsystem front (\n  spot = 'x'\n)\nnetwork 5\ndeploy front 1 'cloud'\ndeploy other 1\n",
        [(1, 1, "syntax"), (3, 3, "wrong-value"), (5, 9, "syntax"), (6, 16, "syntax")],
    ),
    "lists and groups": (
        "network n ()\nsystem s (\n  disk.0.image.url = ['a', ] and\n  g = (x = 'a' and ) and\n"
        "  soft ten (spot = 'yes') and\n"
        "  spot = 'no'\n)\n",
        [(3, 28, "syntax"), (4, 20, "syntax"), (5, 8, "syntax")],
    ),
    "a recipe outside of parentheses": (
        "configure a\n@begin\n- system x (\n@end\ndeploy s 1\nsystem s (spot = 'x')\nnetwork n (outbound = no)\n",
        [(2, 1, "syntax"), (6, 11, "wrong-value"), (7, 23, "syntax")],
    ),
    "the description": (
        "system s ()\ndescription d (name = 'x')\ndeploy t 1\ncontextualize (\n system s configure c\n)\n",
        [(2, 1, "syntax"), (3, 1, "deploy-unknown-system"), (5, 2, "contextualize-unknown-configure")],
    ),
}

THREE_IN_JSON = {
    "no JSON": (
        '[\n  {"class": "network", id: "pub"},\n  {"class": "system", "id": "s", "spot": \'yes\'},\n'
        '  {"class": "deploy", "system": "s", "vm_number": 1},\n]\n',
        [(2, 24, "syntax"), (3, 42, "syntax"), (4, 53, "syntax")],
    ),
    "commas": (
        '[\n  {"class": "network"\n   "id": "pub"},\n  {"class": "system",, "id": "s"}\n'
        '  {"class": "deploy", "system": "s", "vm_number": 1}\n]\n',
        [(3, 4, "syntax"), (4, 22, "syntax"), (5, 3, "syntax")],
    ),
    "structure": (
        '[\n  {"class": "sytem", "id": "s"},\n  {"class": "network", "id": 5},\n'
        '  {"class": "deploy", "system": "s", "vm_number": "one"}\n]\n',
        [(2, 13, "unknown-class"), (3, 30, "wrong-type"), (4, 51, "wrong-type")],
    ),
    "one object": (
        '[\n  {"class": "system", "id": "s",\n   "x": null,\n   "y": ["a", 1],\n'
        '   "a b": "c",\n   "spot": "maybe"}\n]\n',
        [(3, 9, "wrong-type"), (4, 15, "wrong-type"), (5, 4, "bad-name"), (6, 4, "wrong-value")],
    ),
    "meaning": (
        '[\n  {"class": "network", "id": "n", "outbound": "maybe"},\n  {"class": "system", "id": "s",\n'
        '   "net_interface.0.connection": "m"},\n  {"class": "deploy", "system": "t", "vm_number": 1}\n]\n',
        [(2, 35, "wrong-value"), (4, 4, "wrong-value"), (5, 3, "deploy-unknown-system")],
    ),
    "of every stage": (
        '[\n  {"class": "system", "id": "s", "memory.size": "4G", "spot": "x" "price": 1},\n'
        '  {"class": "configure", "id": "c", "recipes": "a: ["},\n  {"class": "contextualize", "items": [\n'
        '    {"system": "s", "configure": "d"},\n    {"system": "s"}]}\n]\n',
        [
            *((2, 34, "wrong-type"), (2, 55, "wrong-value"), (2, 67, "syntax"), (3, 3, "bad-yaml")),
            *((5, 5, "contextualize-unknown-configure"), (6, 5, "missing-key")),
        ],
    ),
    "a text without end, and keys": (
        '[\n  {"class": "network", "id": "n", "outbound": "yes},\n  {"class": "network", "id": "m", "x": 1, "x": 2},\n'
        '  {"class": "system", "id": "s", "cpu.count": NaN}\n]\n',
        [(2, 47, "syntax"), (3, 43, "duplicate-key"), (4, 47, "wrong-value")],
    ),
    "words and comments": (
        '[\n  # mine\n  {"class": "network", "id": "n", "outbound": True},\n'
        '  {"class": "system", "id": "s", "spot": no}\n]\n',
        [(2, 3, "syntax"), (3, 47, "syntax"), (4, 42, "syntax")],
    ),
}

THREE_IN_TOSCA = {
    "version, key and property": (
        "tosca_definitions_version: tosca_simple_yaml_9_9\ntoplogy: {}\ntopology_template:\n  node_templates:\n    a:\n"
        "      type: tosca.nodes.Compute\n      capabilities:\n        host:\n"
        "          properties:\n            cpus: 1\n",
        [(1, 28, "bad-version"), (2, 1, "unknown-field"), (10, 13, "unknown-field")],
    ),
    "a key twice, a type and a function": (
        "tosca_definitions_version: tosca_simple_yaml_1_0\ntopology_template:\n  inputs:\n    n: { type: integer }\n"
        "    n: { type: integer }\n  node_templates:\n    a: { type: tosca.nodes.Comput }\n  outputs:\n"
        "    o: { value: { get_input: m } }\n",
        [(5, 5, "duplicate-key"), (7, 16, "unknown-type"), (9, 17, "unknown-input")],
    ),
    "requirement, size and target": (
        "tosca_definitions_version: tosca_simple_yaml_1_0\ntopology_template:\n  node_templates:\n    a:\n"
        "      type: tosca.nodes.Compute\n      requirements:\n        - storage: b\n    c:\n"
        "      type: tosca.nodes.BlockStorage\n      properties: { size: 4 }\n  policies:\n    - p:\n"
        "        type: tosca.policies.Placement\n        targets: [ d ]\n",
        [(7, 11, "unknown-field"), (10, 27, "wrong-type"), (14, 20, "unknown-target")],
    ),
    "import, tag and output": (
        "tosca_definitions_version: tosca_simple_yaml_1_0\nimports:\n  - https://example.org/nowhere.yaml\n"
        "topology_template:\n  description: !secret x\n  inputs:\n    n: { type: integer, default: many }\n"
        "  node_templates:\n    a: { type: tosca.nodes.Compute }\n    b: { type: of.the.import }\n",
        [(3, 5, "import-not-found"), (5, 16, "bad-yaml"), (7, 34, "wrong-type")],
    ),
}


@pytest.mark.parametrize(("text", "expected"), THREE_IN_RADL.values(), ids=THREE_IN_RADL)
def test_all_mistakes_of_a_radl_are_told_where_they_are(text: str, expected: list[Any]) -> None:
    assert places(problems(text, RADL)) == expected


@pytest.mark.parametrize(("text", "expected"), THREE_IN_JSON.values(), ids=THREE_IN_JSON)
def test_all_mistakes_of_a_radl_json_are_told_where_they_are(text: str, expected: list[Any]) -> None:
    assert places(problems(text, JSON)) == expected


@pytest.mark.parametrize(("text", "expected"), THREE_IN_TOSCA.values(), ids=THREE_IN_TOSCA)
def test_all_mistakes_of_a_tosca_are_told_where_they_are(text: str, expected: list[Any]) -> None:
    assert places(problems(text, TOSCA)) == expected


@pytest.mark.parametrize(
    ("text", "language", "hint"),
    [
        ("sytem s ()", RADL, "did you mean 'system'?"),
        ('system s (x = "a")', RADL, "texts are written in single quotes: 'text'"),
        ("system s (x = 'a' AND y = 'b')", RADL, "keywords are written in lower case: and"),
        ("system s (\n x = 'a'\nnetwork n ()", RADL, "the parenthesis of line 1 is not closed"),
        (
            "configure c (\n@begin\na: [\n @end\n)\nconfigure d (\n@begin\n@end\n)",
            RADL,
            "the mark @end must stand at the",
        ),
        ("configure c\n@begin\n@end\n", RADL, "a recipe stands in the parentheses of configure"),
        ('[{"class": "netwrok", "id": "n"}]', JSON, "did you mean 'network'?"),
        ("[{'class': 'network'}]", JSON, 'keys are written in double quotes: "key"'),
        ('[{"class": "network" "id": "n"}]', JSON, "entries are separated by commas"),
        ('[{"class": "network", "id": "n",}]', JSON, "remove it"),
        ("a:\n\t- b", TOSCA, "YAML is indented with spaces, not tabs"),
        ("a: b: c", TOSCA, "a text with a colon and a blank needs quotes"),
        ("network n ()", TOSCA, "this looks like RADL"),
        ('[{"class": "network"}]', TOSCA, "this looks like RADL JSON"),
        ('[{"class": "network"}]', RADL, "this looks like JSON"),
    ],
)
def test_a_hint_says_what_would_be_right(text: str, language: Language, hint: str) -> None:
    assert any(problem.hint.startswith(hint) for problem in problems(text, language))


def test_what_is_missing_only_because_it_was_misspelled_is_no_problem_of_its_own() -> None:
    text = (
        "network pub (outbound = yes)\nsystem a (\n"
        "  net_interface.0.connection = \"pub\" and\n  net_interface.0.ip = 'x'\n)\n"
        "configure c (x)\ndeploy a 1\ncontextualize (\n  system a configure c\n)\n"
    )

    assert [problem.line for problem in problems(text, RADL)] == [1, 3, 6]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("deploy a 1\n" * 200, RADL),
        ("system s (x = )\n" * 200, RADL),
        ("[" + '{"class": 5},' * 200 + "]", JSON),
        ("[" + "," * 200 + "]", JSON),
        ("topology_template: { node_templates: {" + ",".join(f"a{number}: 5" for number in range(200)) + "}}", TOSCA),
    ],
)
def test_the_number_of_problems_is_limited(text: str, language: Language) -> None:
    assert len(problems(text, language)) == MAX_PROBLEMS


@pytest.mark.parametrize("language", [RADL, JSON, TOSCA])
@pytest.mark.parametrize(
    "piece",
    ["(", ")", "'", "'\n'x", '"', "[", "[],", '{"a":', "system s (\n", "x = ", "and ", "@begin\n", "- ", "a b(\n"],
)
def test_a_megabyte_of_nonsense_gets_a_short_answer(piece: str, language: Language) -> None:
    found = problems(piece * (1_000_000 // len(piece)), language)

    assert 0 < len(found) <= MAX_PROBLEMS
    assert all(len(problem.message) + len(problem.hint) < 600 for problem in found)


def test_a_long_radl_json_is_read_without_positions() -> None:
    text = "[" + '{"class": "network", "id": "n"},' * 20_000 + '{"class": "deploy"}]'

    found = problems(text, JSON)

    assert [(problem.kind, problem.line) for problem in found] == [("duplicate-id", None)]


# --- any document ------------------------------------------------------------------------------------------

DOCUMENTS = [
    *((path.read_text(), RADL) for path in sorted((VECTORS / "radl").glob("[0-9][0-9]-*.radl"))),
    *((path.read_text(), JSON) for path in sorted((VECTORS / "radl").glob("[0-9][0-9]-*.json"))),
    *((path.read_text(), TOSCA) for path in sorted((VECTORS / "tosca").glob("[0-9][0-9]-*.yaml"))),
    *((text, RADL) for text, _ in THREE_IN_RADL.values()),
    *((text, JSON) for text, _ in THREE_IN_JSON.values()),
    *((text, TOSCA) for text, _ in THREE_IN_TOSCA.values()),
]
BITS = [
    "'",
    '"',
    "(",
    ")",
    "and",
    ",",
    "[",
    "]",
    "{",
    "}",
    ":",
    "\n",
    "@begin\n",
    "\n@end\n",
    "@",
    "\\",
    "\0",
    "5",
    "- ",
    "\t",
]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Language]:
    """A document with some pieces taken out, put in or moved."""
    text, language = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from(["", *BITS, text[end : end + 20]])) + text[end:]
    return text, draw(st.sampled_from([language, language, language, RADL, JSON, TOSCA]))


def refused(text: str, language: Language) -> bool:
    """Whether the service would refuse the document."""
    try:
        match language:
            case Language.RADL:
                radl.check(radl.parse(text))
            case Language.RADL_JSON:
                radl.check(radl.parse_json(text))
            case Language.TOSCA:
                tosca.translate(text, token="t")
    except InvalidDocument:
        return True
    return False


@settings(
    max_examples=int(os.environ.get("VALIDATION_EXAMPLES", "400")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.one_of(mutated(), st.tuples(st.text(), st.sampled_from([RADL, JSON, TOSCA]))))
def test_any_document_has_problems_exactly_if_it_would_be_refused(document: tuple[str, Language]) -> None:
    text, language = document

    found = problems(text, language)

    assert bool(found) == refused(text, language)
    assert len(found) == len(set(found)) <= MAX_PROBLEMS
    known = [(problem.line, problem.column or 0) for problem in found if problem.line is not None]
    assert known == sorted(known)
    lines = text.count("\n") + 1
    assert all(1 <= line <= lines for line, _ in known)
    assert all(problem.message and problem.kind for problem in found)
