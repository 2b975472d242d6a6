"""Documents made to cost much: they are refused, with a position, before they do."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.radl.lexical import MAX_PROBLEMS
from imframework.languages.tosca import validate

NODES = "topology_template:\n  node_templates:\n"


def software(number: int, host: str) -> str:
    return f"    n{number}: {{ type: tosca.nodes.SoftwareComponent, requirements: [ {{ host: {host} }} ] }}\n"


HOSTILE = {
    "unknown types": (
        NODES + "".join(f"    n{n}: {{ type: tosca.nodes.Computr{n} }}\n" for n in range(5000)),
        "unknown-type",
    ),
    "too many nodes": (NODES + "".join(f"    n{n}: {{ type: tosca.nodes.Root }}\n" for n in range(5000)), "too-large"),
    "cycle of many": (NODES + "".join(software(n, f"n{(n + 1) % 2000}") for n in range(2000)), "cycle"),
    "types that derive from each other": (
        "node_types: { a: { derived_from: b }, b: { derived_from: a } }\ntopology_template: {}\n",
        "cycle",
    ),
    "endless ancestry": (
        "node_types:\n"
        + "".join(f"  t{n}: {{ derived_from: t{n + 1} }}\n" for n in range(3000))
        + "topology_template: {}\n",
        "too-deep",
    ),
    "heirs of a large type": (
        "node_types:\n  t: { properties: { "
        + ", ".join(f"p{n}: string" for n in range(3000))
        + " } }\n"
        + "".join(f"  t{n}: {{ derived_from: t }}\n" for n in range(3000))
        + "topology_template: {}\n",
        "too-large",
    ),
    "slow pattern": (
        'node_types: { t: { properties: { a: { type: string, constraints: [ { pattern: "(.*a){40}" } ] } } } }\n'
        + NODES
        + "".join(f"    n{n}: {{ type: t, properties: {{ a: {'a' * 39}b }} }}\n" for n in range(100)),
        "constraint",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_document_is_refused_with_a_position(name: str, translated: Any) -> None:
    text, kind = HOSTILE[name]
    problems = validate("tosca_definitions_version: tosca_simple_yaml_1_0\n" + text, sources=translated.sources)
    assert {problem.kind for problem in problems} == {kind}
    assert len(problems) <= MAX_PROBLEMS
    assert all(problem.line and problem.column for problem in problems)


def test_nothing_changes_the_limits_of_the_interpreter(translated: Any) -> None:
    before = sys.getrecursionlimit()
    with pytest.raises(InvalidDocument):
        translated(NODES + "    a: " + "[" * 3000)
    assert sys.getrecursionlimit() == before
