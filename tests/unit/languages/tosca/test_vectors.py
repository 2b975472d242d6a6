"""The language against its test vectors: 12 documents, their outputs, a sequence of updates, and single cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import check, dumps, parse, to_json
from imframework.languages.tosca import CloudAccess, ExistingMachine, LiveMachine, outputs, validate

VECTORS = Path(__file__).parents[3] / "vectors" / "tosca"
NUMBERS = [f"{number:02}" for number in range(1, 13)]

# The peer builds odd names from relationship types; names of recipes only need to be unique.
RENAMED = {
    "example.relationships.feeds_vm_one_consumer_conf": "consumer_vm_one_conf",
    "example.relationships.feeds_vm_two_queue_conf": "queue_vm_two_conf",
}

# Where we answer differently, on purpose: the peer crashes, and the document is sound.
ACCEPTED = {"default_instances without min and max"}


def document(number: str) -> str:
    (path,) = VECTORS.glob(f"{number}-*.yaml")
    return path.read_text()


def vector(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def comparable(radl: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """RADL JSON with recipes read as YAML, and JSON texts in them as data."""
    result = []
    for item in radl:
        item = dict(item)
        if item["class"] == "configure":
            item["id"] = RENAMED.get(item["id"], item["id"])
            item["recipes"] = yaml.safe_load(item["recipes"]) if item["recipes"] else None
            for play in item["recipes"] or ():
                for task in play["tasks"]:
                    variables = task.get("vars", {})
                    if "oscar_service_json" in variables:
                        variables["oscar_service_json"] = json.loads(variables["oscar_service_json"])
        for entry in item.get("items", ()):
            entry["configure"] = RENAMED.get(entry["configure"], entry["configure"])
        result.append(item)
    return result


@pytest.mark.parametrize("number", NUMBERS)
class TestExampleDocument:
    def test_becomes_the_expected_radl(self, number: str, translated: Any) -> None:
        translation = translated(document(number), header=False)
        assert comparable(to_json(translation.radl)) == comparable(vector(f"{number}.expected.json"))
        assert translation.removals == {}

    def test_gives_radl_that_is_valid_and_can_be_stored(self, number: str, translated: Any) -> None:
        radl = translated(document(number), header=False).radl
        check(radl, boot_disk_required=False)
        assert parse(dumps(radl)) == radl

    def test_is_stored_as_sent_unless_something_was_replaced(self, number: str, translated: Any) -> None:
        text = document(number)
        stored = translated(text, header=False).stored
        assert (stored.text == text) == ("random(" not in text)


def live_machine(state: dict[str, Any]) -> LiveMachine:
    connector = state.get("connector")
    return LiveMachine(
        system=state["system"],
        id=state["id"],
        public_ip=state["public"],
        private_ip=state["private"],
        user=state.get("user"),
        password=state.get("password"),
        private_key=state.get("private_key"),
        certificates=state.get("cert", {}),
        cloud=CloudAccess(**connector) if connector else None,
    )


@pytest.mark.parametrize("number", [path.name[:2] for path in sorted(VECTORS.glob("*.outputs.json"))])
def test_example_has_the_expected_outputs(number: str, translated: Any) -> None:
    stored = translated(document(number), header=False).stored
    machines = [live_machine(state) for state in vector(f"{number}.state.json")]
    assert outputs(stored, machines).values == vector(f"{number}.outputs.json")


def test_sequence_of_updates_adds_and_removes_the_expected_machines(translated: Any) -> None:
    sequence = vector("09.updates.json")
    machines = {entry["id"]: entry["system"] for entry in sequence["start"]}
    stored = translated(document("09"), header=False).stored
    next_id = 4
    for step in sequence["steps"]:
        existing = [ExistingMachine(str(id_), system) for id_, system in sorted(machines.items())]
        translation = translated(step["document"], header=False, stored=stored, existing=existing)
        stored = translation.stored
        if "error" in step:
            # The peer keeps the removal list and asks for a machine that is gone; we never store it: the oldest goes.
            assert list(translation.removals) == ["1"]
            continue
        assert [int(id_) for id_ in translation.removals] == step["remove"], step["title"]
        deploys = [{"system": deploy.system, "vm_number": deploy.count} for deploy in translation.radl.deploys]
        assert deploys == step["deploys"], step["title"]
        for id_ in translation.removals:
            del machines[int(id_)]
        for deploy in translation.radl.deploys:
            for _ in range(deploy.count):
                machines[next_id] = deploy.system
                next_id += 1
        assert [{"id": id_, "system": system} for id_, system in sorted(machines.items())] == step["after"]


CASES = vector("validation-cases.json")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_validation_case(case: dict[str, Any], translated: Any) -> None:
    problems = validate(case["input"], sources=translated.sources)
    if case["result"] == "ok" or case["title"] in ACCEPTED:
        assert problems == ()
        return
    assert case["kind"] in [problem.kind for problem in problems]
    for problem in problems:
        assert problem.line is not None
        assert problem.column is not None


def test_every_problem_of_a_document_is_reported_at_once(translated: Any) -> None:
    text = """
topology_template:
  inputs: { n: { type: integer, default: many } }
  node_templates:
    a: { type: tosca.nodes.indigo.Compute, properties: { nope: 1 } }
    b: { type: tosca.nodes.Missing }
    c:
      type: tosca.nodes.BlockStorage
"""
    with pytest.raises(InvalidDocument) as raised:
        translated(text)
    found = {(problem.kind, problem.line) for problem in raised.value.problems}
    assert found == {("wrong-type", 6), ("unknown-field", 8), ("unknown-type", 9), ("missing-required", 10)}
