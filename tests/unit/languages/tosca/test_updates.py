"""Updates: what is merged, what is kept, which machines go."""

from __future__ import annotations

from typing import Any

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.tosca import ExistingMachine, Stored, merge_update
from imframework.languages.tosca.source import load

WEB = """
topology_template:
  inputs: {{ secret: {{ type: string, default: {secret} }} }}
  node_templates:
    web: {{ type: tosca.nodes.indigo.Compute, capabilities: {{ scalable: {{ properties: {{ {scalable} }} }} }} }}
    db: {{ type: tosca.nodes.indigo.Compute }}
"""
MACHINES = [ExistingMachine(id_, system) for id_, system in (("0", "web"), ("1", "web"), ("2", "web"), ("3", "db"))]


def web(scalable: str = "count: 3", given: str = "x") -> str:
    return WEB.format(scalable=scalable, secret=given)


def test_maps_are_merged_by_key_and_lists_by_position() -> None:
    stored = load("a: { b: 1, c: [ 1, { x: 1, y: 2 }, 3 ] }\nd: 1\n")
    new = load("a: { c: [ 9, { y: 8 } ] }\ne: [ ]\n")
    assert merge_update(stored, new) == {"a": {"b": 1, "c": [9, {"x": 1, "y": 8}, 3]}, "d": 1, "e": []}


def test_a_function_is_replaced_as_a_whole() -> None:
    merged = merge_update(load("a: { get_input: x }"), load("a: { concat: [ b ] }"))
    assert merged == {"a": {"concat": ["b"]}}


def test_problems_of_an_update_are_shown_at_its_own_lines(translated: Any) -> None:
    stored = translated(web()).stored
    with pytest.raises(InvalidDocument) as raised:
        translated(web("count: many"), stored=stored)
    assert [(problem.kind, problem.line) for problem in raised.value.problems] == [("wrong-type", 8)]


@pytest.mark.parametrize(
    ("scalable", "removed"),
    [
        ("count: 1", ("0", "1")),
        ("count: 1, removal_list: [ '2' ]", ("2",)),
        ("count: 2, removal_list: [ '2', '1' ]", ("2",)),
        ("count: 1, removal_list: [ '2', '2', '1' ]", ("2", "1")),
        ("count: 0", ("0", "1", "2")),
        ("count: 3, removal_list: [ '17' ]", ()),
    ],
)
def test_surplus_machines_are_removed(scalable: str, removed: tuple[str, ...], translated: Any) -> None:
    stored = translated(web()).stored
    translation = translated(web(scalable), stored=stored, existing=MACHINES)
    assert tuple(translation.removals) == removed
    assert translation.radl.deploys == []


@pytest.mark.parametrize("id_", ["3", "17", "x"])
def test_removal_list_with_a_machine_of_another_node_is_refused(id_: str, translated: Any) -> None:
    with pytest.raises(InvalidDocument) as raised:
        translated(web(f"count: 1, removal_list: [ '{id_}' ]"), existing=MACHINES)
    assert [problem.kind for problem in raised.value.problems] == ["unknown-machine"]


def test_removal_list_is_never_stored(translated: Any) -> None:
    stored = translated(web("count: 1, removal_list: [ '2' ]"), existing=MACHINES).stored
    assert "removal_list" not in stored.text


def test_random_text_is_kept_as_long_as_the_same_is_asked_for(translated: Any) -> None:
    letters = iter("abc")
    options = {"random": lambda length: next(letters) * length}
    first = translated(web(given="random(4)"), **options).stored
    assert "default: aaaa" in first.text
    again = translated(web(given="random(4)"), stored=first, **options).stored
    assert "default: aaaa" in again.text
    other = translated(web(given="random(5)"), stored=again, **options).stored
    assert "default: bbbbb" in other.text
    given = translated(web(given="mine"), stored=other, **options).stored
    assert "default: mine" in given.text
    back = translated(web(given="random(5)"), stored=given, **options).stored
    assert "default: ccccc" in back.text


def test_access_token_is_that_of_the_caller_and_stays_as_it_is_without_one(translated: Any) -> None:
    assert "default: t0k" in translated(web(given="access_token()"), token="t0k").stored.text
    assert "default: access_token()" in translated(web(given="access_token()")).stored.text


def test_stored_document_survives_json_and_keeps_its_suffix(translated: Any) -> None:
    stored = translated(web(given="random(4)"), suffix="12345678").stored
    same = Stored.from_json(stored.to_json())
    assert same == stored
    assert translated(web(), stored=same, suffix="ffffffff").stored.suffix == "12345678"


def test_update_of_an_infrastructure_without_document_is_used_on_its_own(translated: Any) -> None:
    translation = translated(web("count: 4"), existing=MACHINES)
    assert [(deploy.system, deploy.count) for deploy in translation.radl.deploys] == [("web", 1)]
    assert translation.removals == {}
