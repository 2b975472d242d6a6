"""Outputs: what machines say, what is not there yet, and the answers of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from imframework.languages.tosca import CloudAccess, LiveMachine, Outputs, outputs

TEMPLATE = """
topology_template:
  node_templates:
    vm: {{ type: tosca.nodes.indigo.Compute }}
    plain: {{ type: tosca.nodes.Compute }}
    app: {{ type: tosca.nodes.SoftwareComponent, requirements: [ {{ host: vm }} ] }}
    net: {{ type: tosca.nodes.network.Network }}
    gate: {{ type: tosca.nodes.indigo.Compute }}
    plug: {{ type: tosca.nodes.network.Port, requirements: [ {{ binding: gate }}, {{ link: net }} ] }}
    fn: {{ type: tosca.nodes.aisprint.FaaS.Function, properties: {{ name: f, image: i, script: s, memory: 1 GB }} }}
  outputs:
    o: {{ value: {value} }}
"""

LOG = """
Launch task: basic
TASK [setup] *****
ok: [10.0.0.1]
Launch task: main_vm
TASK [greet] *****
ok: [10.0.0.1] => {
    "changed": false,
    "msg": "hello"
}

TASK [only the message] ***
changed: [10.0.0.1] => {"msg": {"a": 1}}
TASK [broken] ***
fatal: [10.0.0.1]: FAILED! => {broken

TASK [skipped] ***
skipping: [10.0.0.1]
"""

MACHINES = [
    LiveMachine("vm", "i-1", "1.1.1.1", "10.0.0.1", user="u", password="p", log=lambda: LOG),
    LiveMachine("vm", "i-2", None, "10.0.0.2", user="u", password="p", private_key="KEY"),
    LiveMachine("gate", "i-3", addresses={0: "10.9.0.1"}),
    LiveMachine("fn", "f-1", cloud=CloudAccess("OSCAR", "https://oscar", {"token": "T"})),
]


def output(translated: Any, value: str, machines: list[LiveMachine] = MACHINES) -> tuple[Any, tuple[str, ...]]:
    """Value and reasons of the output `value`."""
    stored = translated(TEMPLATE.format(value=value)).stored
    found: Outputs = outputs(stored, machines)
    return found.values["o"], found.missing.get("o", ())


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("vm, public_address", ["1.1.1.1", None]),
        ("vm, private_address, 1", "10.0.0.2"),
        ("vm, private_address, 2", "10.0.0.2"),
        ("vm, private_address, 9", "10.0.0.2"),
        ("app, private_address", "10.0.0.1"),
        ("vm, tosca_id", "i-1"),
        ("plug, ip_address", "10.9.0.1"),
        ("vm, endpoint, credential, 1", {"user": "u", "token": "KEY", "token_type": "private_key"}),
        ("vm, endpoint, credential, 0, token", "p"),
        ("vm, ctxt_log", LOG),
        ("vm, ansible_output, main_vm, tasks, greet, state", "ok"),
        ("vm, ansible_output, main_vm, tasks, greet, output", "hello"),
        ("vm, ansible_output, main_vm, tasks, only the message, output", {"a": 1}),
        ("vm, ansible_output, main_vm, tasks, skipped, state", "skipping"),
        ("vm, ansible_output, main_vm, tasks, skipped, output", None),
        ("vm, ansible_output, basic, tasks, setup, state", "ok"),
        ("vm, ansible_output, nowhere, tasks, x, state", None),
        ("fn, endpoint", "https://oscar"),
        ("fn, credential", {"user": "", "token_type": "bearer", "token": "T"}),
    ],
)
def test_attribute_of_running_machines(attribute: str, expected: Any, translated: Any) -> None:
    assert output(translated, f"{{ get_attribute: [ {attribute} ] }}")[0] == expected


def test_answer_that_is_no_json_is_given_as_it_is(translated: Any) -> None:
    value, _ = output(translated, "{ get_attribute: [ vm, ansible_output, main_vm, tasks, broken ] }")
    assert value == {"state": "fatal", "output": "{broken"}


def test_node_without_machine_gives_nothing_and_the_reason(translated: Any) -> None:
    value = "{ a: { get_attribute: [ plain, public_address ] }, b: { get_attribute: [ vm, tosca_id ] } }"
    assert output(translated, value) == ({"a": None, "b": "i-1"}, ("plain has no machine",))


def test_machine_without_address_gives_the_reason(translated: Any) -> None:
    value = "{ concat: [ 'http://', { get_attribute: [ vm, public_address, 1 ] } ] }"
    assert output(translated, value) == (None, ("a machine of vm has no public address",))


def test_log_is_read_only_when_an_output_needs_it(translated: Any) -> None:
    def forbidden() -> str:
        raise AssertionError("the log was read")

    machines = [LiveMachine("vm", "i-1", "1.1.1.1", log=forbidden)]
    assert output(translated, "{ get_attribute: [ vm, public_address, 0 ] }", machines)[0] == "1.1.1.1"


def test_single_outputs_can_be_asked_for(translated: Any) -> None:
    stored = translated(TEMPLATE.format(value="1")).stored
    assert outputs(stored, [], ["o", "absent"]).values == {"o": 1, "absent": None}
