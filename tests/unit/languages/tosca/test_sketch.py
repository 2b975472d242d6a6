"""Which changes make another template, and which are for users to make."""

from __future__ import annotations

import pytest
import yaml

from imframework.api.errors import InvalidDocument
from imframework.languages.tosca import sketch

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
metadata: { display_name: Web, creation_date: 2021-05-03, tag: [a, b], template_version: 1.2, icon: { deep: 1 } }
topology_template:
  inputs:
    count: { type: integer, default: 2 }
  node_templates:
    server:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: { properties: { count: { get_input: count } } }
        os: { properties: { image: 'mock0://a/b' } }
"""


def changed(change):
    document = yaml.safe_load(TEMPLATE)
    change(document, document["topology_template"])
    return yaml.safe_dump(document)


def server(topology):
    return topology["node_templates"]["server"]


CHOICES = {
    "the value of an input": lambda d, t: t["inputs"]["count"].update(default=7),
    "metadata": lambda d, t: d["metadata"].update(infra_name="mine"),
    "no metadata": lambda d, t: d.pop("metadata"),
    "a description": lambda d, t: (d.update(description="x"), t.update(description="y")),
    "a number of machines": lambda d, t: server(t)["capabilities"].update(scalable={"properties": {"count": 5}}),
    "machines to remove": lambda d, t: server(t)["capabilities"]["scalable"]["properties"].update(removal_list=["1"]),
    "no number of machines": lambda d, t: server(t)["capabilities"].pop("scalable"),
    "a cloud": lambda d, t: t.update(
        policies=[{"there": {"type": "tosca.policies.Placement", "properties": {"cloud_id": "one"}}}]
    ),
    "no outputs": lambda d, t: t.update(outputs={}),
}
OTHERS = {
    "another type of an input": lambda d, t: t["inputs"]["count"].update(type="string"),
    "another input": lambda d, t: t["inputs"].update(more={"type": "string"}),
    "another image": lambda d, t: server(t)["capabilities"]["os"]["properties"].update(image="mock0://a/c"),
    "another import": lambda d, t: d["imports"].append({"x": "https://example.org/types.yaml"}),
    "a node more": lambda d, t: t["node_templates"].update(other={"type": "tosca.nodes.indigo.Compute"}),
    "a recipe": lambda d, t: server(t).update(interfaces={"Standard": {"configure": "https://example.org/x.yml"}}),
    "a type": lambda d, t: d.update(node_types={"a": {"derived_from": "tosca.nodes.Root"}}),
    "another policy": lambda d, t: t.update(policies=[{"x": {"type": "tosca.policies.Scaling"}}]),
    "a placement that hides another policy": lambda d, t: t.update(
        policies=[{"x": {"type": "tosca.policies.Placement"}, "y": {"type": "tosca.policies.Scaling"}}]
    ),
    "a key that is a number": lambda d, t: t["node_templates"].update({1: None}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_it_is_the_same_template_with(name):
    assert sketch(changed(CHOICES[name])).fingerprint == sketch(TEMPLATE).fingerprint


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_another_template_with(name):
    assert sketch(changed(OTHERS[name])).fingerprint != sketch(TEMPLATE).fingerprint


def test_metadata_are_texts():
    assert sketch(TEMPLATE).metadata == {
        "display_name": ("Web",),
        "creation_date": ("2021-05-03",),
        "tag": ("a", "b"),
        "template_version": ("1.2",),
        "icon": (),
    }


@pytest.mark.parametrize("text", ["a: [", "[]", "metadata: {}", "tosca_definitions_version: x\nmetadata: []"])
def test_what_is_no_template_has_no_sketch(text):
    with pytest.raises(InvalidDocument):
        sketch(text)


VERSION = "tosca_definitions_version: tosca_simple_yaml_1_0\n"
IMPORT = VERSION + "imports: [{ template_file: web.yaml }]\n"


def test_a_document_can_build_on_a_template():
    for topology in ("{}", "{ inputs: { count: { default: 3 } } }", "{ node_templates: { server: { capabilities: "
                     "{ scalable: { properties: { count: 3 } } } } } }"):  # fmt: skip
        assert sketch(f"{IMPORT}metadata: {{ a: b }}\ntopology_template: {topology}").builds_on == "web.yaml"


@pytest.mark.parametrize(
    "text",
    [
        f"{IMPORT}topology_template: {{ node_templates: {{ server: {{ interfaces: {{ Standard: x }} }} }} }}",
        f"{IMPORT}topology_template: {{ outputs: {{ a: {{ value: 1 }} }} }}",
        f"{IMPORT}topology_template: {{ inputs: {{ a: {{ type: string }} }} }}",
        f"{IMPORT}topology_template: {{}}\nnode_types: {{ a: {{ derived_from: b }} }}",
        f"{VERSION}imports: [{{ template_file: a }}, {{ template_file: b }}]\ntopology_template: {{}}",
        f"{VERSION}imports: [{{ template_file: a, other: b }}]\ntopology_template: {{}}",
        f"{VERSION}topology_template: {{}}",
    ],
)
def test_but_not_if_it_adds_anything_to_it(text):
    assert sketch(text).builds_on == ""


def test_keys_of_different_types_are_different_keys():
    texts = [
        f"{VERSION}topology_template: {{ node_templates: {{ {key}: a }} }}" for key in ("1", "'1'", "true", "'true'")
    ]
    assert len({sketch(text).fingerprint for text in texts}) == len(texts)
