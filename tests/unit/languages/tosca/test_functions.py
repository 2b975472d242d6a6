"""Functions: values, places, cycles, and what they may cost."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imframework.api.errors import InvalidDocument

TEMPLATE = """
topology_template:
  inputs:
    flavour: {{ type: string, default: large }}
    count: {{ type: integer, default: 3 }}
    empty: {{ type: string }}
  node_templates:
    app:
      type: tosca.nodes.DBMS
      properties: {{ port: 5432, root_password: {{ get_input: flavour }} }}
      requirements: [ {{ host: vm }} ]
      interfaces: {{ Standard: {{ configure: {{ implementation: greet.yml, inputs: {{ who: {value} }} }} }} }}
    vm:
      type: tosca.nodes.indigo.Compute
      properties:
        {{ tags: {{ size: {{ get_input: flavour }} }}, instance_name: {{ concat: [ vm-, {{ get_input: count }} ] }} }}
      capabilities: {{ host: {{ properties: {{ num_cpus: 2, mem_size: 2 GB }} }} }}
    out: {{ type: tosca.nodes.network.Network, properties: {{ network_type: public }} }}
    gate: {{ type: tosca.nodes.indigo.Compute }}
    plug: {{ type: tosca.nodes.network.Port, requirements: [ {{ binding: gate }}, {{ link: out }} ] }}
"""


def input_value(translated: Any, value: str) -> Any:
    """What the operation input `value` becomes."""
    radl = translated(TEMPLATE.format(value=value)).radl
    return yaml.safe_load(radl.configures["app_vm_conf"].recipe)[0]["vars"]["who"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{ get_input: flavour }", "large"),
        ("{ get_input: [ count ] }", 3),
        ("{ get_property: [ SELF, port ] }", 5432),
        ("{ get_property: [ SELF, root_password ] }", "large"),
        ("{ get_property: [ SELF, host, num_cpus ] }", 2),
        ("{ get_property: [ HOST, host, mem_size ] }", "2 GB"),
        ("{ get_property: [ vm, tags, size ] }", "large"),
        ("{ concat: [ a, 1, true, 2.5, { get_input: count } ] }", "a1true2.53"),
        ("{ token: [ 'a--b--c', '--', 1 ] }", "b"),
        ("{ list: [ { get_input: count }, { deep: { get_input: flavour } } ] }", {"list": [3, {"deep": "large"}]}),
        ("{ get_attribute: [ SELF, private_address ] }", "{{ IM_NODE_PRIVATE_IP }}"),
        ("{ get_attribute: [ vm, public_address, 1 ] }", "{{ hostvars[groups['vm'][1]]['IM_NODE_PUBLIC_IP'] }}"),
        ("{ get_attribute: [ HOST, tosca_name ] }", "vm"),
        ("{ get_attribute: [ plug, ip_address ] }", "{{ hostvars[groups['gate'][0]]['IM_NODE_NET_0_IP'] }}"),
        (
            "{ get_attribute: [ vm, endpoint, tls_certificates, www.x.org, cert ] }",
            "{{ hostvars[groups['vm'][0]]['IM_NODE_TLS_CERTIFICATES']['www.x.org']['cert'] }}",
        ),
        (
            "{ get_attribute: [ vm, endpoint, ip_address ] }",
            "{{ hostvars[groups['vm'][0]]['IM_NODE_PUBLIC_IP']"
            " | default(hostvars[groups['vm'][0]]['IM_NODE_PRIVATE_IP']) }}",
        ),
        ("{ token: [ 'a', 'b' ] , x: 1 }", {"token": ["a", "b"], "x": 1}),
        ("{ token: secret }", {"token": "secret"}),
    ],
)
def test_function_has_this_value(value: str, expected: Any, translated: Any) -> None:
    assert input_value(translated, value) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{ get_input: [ flavour, x ] }", "bad-function"),
        ("{ get_property: [ SELF ] }", "bad-function"),
        ("{ get_property: [ SELF, tags, [ ] ] }", "bad-function"),
        ("{ get_property: [ SOURCE, port ] }", "function-context"),
        ("{ get_property: [ vm, tags, colour ] }", "unknown-property"),
        ("{ get_operation_output: [ SELF, Standard, create, x ] }", "function-context"),
        ("{ deep: { get_artifact: [ SELF, x ] } }", "function-context"),
        ("{ get_artifact: [ SELF, x ] }", "unknown-artifact"),
        ("{ token: [ abc, '', 0 ] }", "bad-function"),
        ("{ concat: [ a, { get_input: empty } ] }", "input-without-value"),
    ],
)
def test_function_that_makes_no_sense_is_refused_at_its_line(value: str, kind: str, translated: Any) -> None:
    with pytest.raises(InvalidDocument) as raised:
        input_value(translated, value)
    assert {(problem.kind, problem.line) for problem in raised.value.problems} == {(kind, 15)}


def test_tags_and_instance_name_may_be_functions(translated: Any) -> None:
    system = translated(TEMPLATE.format(value="x")).radl.systems["vm"]
    assert system.text("instance_tags") == "size=large"
    assert system.text("instance_name") == "vm-3"


def properties(lines: str) -> str:
    return f"""
node_types:
  example.Node:
    derived_from: tosca.nodes.Root
    properties: {{ a: {{ type: string }}, b: {{ type: string }}, c: {{ type: list, required: false }} }}
topology_template:
  node_templates:
{lines}
  outputs: {{ o: {{ value: {{ get_property: [ n0, a ] }} }} }}
"""


def test_properties_that_refer_to_each_other_are_a_cycle(translated: Any) -> None:
    values = "{ a: { get_property: [ SELF, b ] }, b: { get_property: [ n0, a ] } }"
    node = f"    n0: {{ type: example.Node, properties: {values} }}"
    with pytest.raises(InvalidDocument, match="refers to itself") as raised:
        translated(properties(node))
    assert raised.value.problems[0].kind == "cycle"


@pytest.mark.parametrize("function", ["concat", "list"])
def test_functions_that_double_at_every_step_are_stopped(function: str, translated: Any) -> None:
    def value(number: int) -> str:
        pair = ", ".join([f"{{ get_property: [ n{number + 1}, a ] }}"] * 2)
        return f"{{ concat: [ {pair} ] }}" if function == "concat" else f"[ {pair} ]"

    type_, last = ("string", "x") if function == "concat" else ("list", "[ x ]")
    nodes = [f"    n{n}: {{ type: example.Node, properties: {{ a: {value(n)}, b: x }} }}" for n in range(40)]
    nodes.append(f"    n40: {{ type: example.Node, properties: {{ a: {last}, b: x }} }}")
    with pytest.raises(InvalidDocument) as raised:
        translated(properties("\n".join(nodes)).replace("a: { type: string }", f"a: {{ type: {type_} }}"))
    assert raised.value.problems[0].kind == "too-large"


def test_a_long_chain_of_references_is_refused_before_the_stack_ends(translated: Any) -> None:
    nodes = [
        f"    n{n}: {{ type: example.Node, properties: {{ a: {{ get_property: [ n{n + 1}, a ] }}, b: x }} }}"
        for n in range(500)
    ]
    nodes.append("    n500: { type: example.Node, properties: { a: x, b: x } }")
    with pytest.raises(InvalidDocument) as raised:
        translated(properties("\n".join(nodes)))
    assert raised.value.problems[0].kind == "too-deep"


def test_functions_in_input_defaults_are_refused(translated: Any) -> None:
    with pytest.raises(InvalidDocument) as raised:
        translated("topology_template: { inputs: { a: { type: string, default: { get_input: a } } } }")
    assert raised.value.problems[0].kind == "function-context"
