"""Imports of type definitions and of complete templates."""

from __future__ import annotations

from typing import Any

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.tosca import CUSTOM_TYPES_URLS, Sources, outputs

TYPES = "https://types.example.org/"


def document(imports: str, body: str = "{ node_templates: { vm: { type: example.Machine } } }", more: str = "") -> str:
    return f"tosca_definitions_version: tosca_simple_yaml_1_0\nimports: {imports}\n{more}\ntopology_template: {body}\n"


MACHINE = "node_types: { example.Machine: { derived_from: tosca.nodes.Compute } }\n"


@pytest.mark.parametrize(
    ("imports", "more"),
    [
        (f"[ {TYPES}a.yaml ]", ""),
        (f"[ {{ mine: {TYPES}a.yaml }} ]", ""),
        ("[ { mine: { file: a.yaml, repository: types } } ]", f"repositories: {{ types: {TYPES} }}"),
        ("[ { mine: { file: a.yaml, repository: types } } ]", f"repositories: {{ types: {{ url: '{TYPES}' }} }}"),
    ],
)
def test_types_come_from_imported_files(imports: str, more: str, translated: Any) -> None:
    translated.web.texts[TYPES + "a.yaml"] = MACHINE
    translation = translated(document(imports, more=more), header=False)
    assert list(translation.radl.systems) == ["vm"]
    assert translation.stored.imports == {TYPES + "a.yaml": MACHINE}


def test_outputs_need_no_network_for_imported_types(translated: Any) -> None:
    translated.web.texts[TYPES + "a.yaml"] = MACHINE
    value = "{ get_attribute: [ vm, tosca_name ] }"
    body = f"{{ node_templates: {{ vm: {{ type: example.Machine }} }}, outputs: {{ n: {{ value: {value} }} }} }}"
    stored = translated(document(f"[ {TYPES}a.yaml ]", body), header=False).stored
    assert outputs(stored, []).values == {"n": "vm"}


def test_imported_files_may_import_others_and_each_other(translated: Any) -> None:
    translated.web.texts[TYPES + "a.yaml"] = f"imports: [ {TYPES}b.yaml, {TYPES}a.yaml ]\n"
    translated.web.texts[TYPES + "b.yaml"] = f"imports: [ {TYPES}a.yaml ]\n{MACHINE}"
    assert translated(document(f"[ {TYPES}a.yaml ]"), header=False).radl.systems
    assert sorted(translated.web.asked) == [TYPES + "a.yaml", TYPES + "b.yaml"]


def test_endless_imports_are_refused(translated: Any) -> None:
    sources = Sources(fetch=lambda url: f"imports: [ '{url}x' ]\n")
    with pytest.raises(InvalidDocument) as raised:
        translated(document(f"[ {TYPES}a.yaml ]"), header=False, sources=sources)
    assert [(problem.kind, problem.line) for problem in raised.value.problems] == [("too-deep", 2)]


@pytest.mark.parametrize(
    ("imports", "kind"),
    [
        ("[ types.yaml ]", "import-not-allowed"),
        ("[ { mine: types.yaml } ]", "import-not-allowed"),
        ("[ file:///etc/passwd ]", "import-not-found"),
        (f"[ {TYPES}absent.yaml ]", "import-not-found"),
        (f"[ {TYPES}broken.yaml ]", "bad-yaml"),
        ("[ { mine: { file: a.yaml, repository: nowhere } } ]", "unknown-target"),
        ("{ a: b }", "wrong-type"),
    ],
)
def test_import_that_cannot_be_used_is_refused_where_it_stands(imports: str, kind: str, translated: Any) -> None:
    translated.web.texts[TYPES + "broken.yaml"] = "a: [\n"
    with pytest.raises(InvalidDocument) as raised:
        translated(document(imports), header=False)
    assert [(problem.kind, problem.line) for problem in raised.value.problems] == [(kind, 2)]


def test_password_in_a_url_is_not_shown(translated: Any) -> None:
    with pytest.raises(InvalidDocument) as raised:
        translated(document("[ 'https://me:s3cret@types.example.org/a.yaml?sig=s3cret' ]"), header=False)
    assert "s3cret" not in str(raised.value)


class TestCustomTypes:
    def test_usual_import_is_resolved_without_network(self, translated: Any) -> None:
        translated(document(f"[ {CUSTOM_TYPES_URLS[0]} ]", "{}"), header=False)
        assert translated.web.asked == []

    def test_what_our_own_types_do_not_know_is_looked_for_in_the_file_itself(self, translated: Any) -> None:
        translated.web.texts[CUSTOM_TYPES_URLS[0]] = MACHINE
        translation = translated(document(f"[ {CUSTOM_TYPES_URLS[0]} ]"), header=False)
        assert list(translation.radl.systems) == ["vm"]
        assert list(translation.stored.imports) == [CUSTOM_TYPES_URLS[0]]

    def test_problems_are_ours_when_the_file_cannot_be_had(self, translated: Any) -> None:
        with pytest.raises(InvalidDocument) as raised:
            translated(document(f"[ {CUSTOM_TYPES_URLS[0]} ]"), header=False)
        assert [problem.kind for problem in raised.value.problems] == ["unknown-type"]


def test_large_imported_types_never_use_up_what_the_next_document_may_use(translated: Any) -> None:
    many = ", ".join(f"p{number}: {{ type: string, required: false }}" for number in range(2000))
    heirs = "".join(f"  t{number}: {{ derived_from: t }}\n" for number in range(400))
    root = f"  t: {{ derived_from: tosca.nodes.Root, properties: {{ {many} }} }}\n"
    translated.web.texts[TYPES + "large.yaml"] = f"node_types:\n{root}{heirs}"

    def using(first: int, last: int) -> str:
        nodes = ", ".join(f"n{number}: {{ type: t{number} }}" for number in range(first, last))
        return document(f"[ {TYPES}large.yaml ]", f"{{ node_templates: {{ {nodes} }} }}")

    for first in range(0, 400, 50):
        translated(using(first, first + 50), header=False)
    with pytest.raises(InvalidDocument, match="properties"):
        translated(using(0, 400), header=False)
    translated(using(0, 50), header=False)


TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_0
imports: [ { types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml } ]
topology_template:
  inputs: { cpus: { type: integer, default: 4 }, name: { type: string, default: x } }
  node_templates:
    vm:
      type: tosca.nodes.indigo.Compute
      properties: { instance_name: { get_input: name } }
      capabilities: { host: { properties: { num_cpus: { get_input: cpus } } } }
  policies: [ { p: { type: tosca.policies.indigo.Placement, properties: { cloud_id: site }, targets: [ vm ] } } ]
  outputs: { o: { value: 1 } }
"""


class TestTemplate:
    @pytest.mark.parametrize(
        ("given", "cpus"), [("16", 16), ("{ default: 8 }", 8), ("{ type: integer, default: 2 }", 2)]
    )
    def test_inputs_replace_defaults(self, given: str, cpus: int, translated: Any) -> None:
        translated.web.texts[TYPES + "t.yaml"] = TEMPLATE
        imports = f"[ template_file: {TYPES}t.yaml ]"
        translation = translated(document(imports, f"{{ inputs: {{ cpus: {given}, name: '' }} }}"), header=False)
        system = translation.radl.systems["vm"]
        assert system.number("cpu.count") == cpus
        assert system.text("instance_name") == "vm"  # an empty text is a value like any other
        assert translation.radl.deploys[0].cloud == "site"  # policies of the template are kept
        assert "template_file" not in translation.stored.text

    def test_nodes_and_outputs_are_added_or_replaced(self, translated: Any) -> None:
        translated.web.texts[TYPES + "t.yaml"] = TEMPLATE
        nodes = "{ vm: { type: tosca.nodes.Compute }, two: { type: tosca.nodes.Compute } }"
        body = f"{{ node_templates: {nodes}, outputs: {{ o: 2 }} }}"
        translation = translated(document(f"[ template_file: {TYPES}t.yaml ]", body), header=False)
        assert list(translation.radl.systems) == ["vm", "two"]
        assert "cpu.count" not in translation.radl.systems["vm"].features
        assert outputs(translation.stored, []).values == {"o": 2}

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("t.yaml", True),
            (TYPES + "t.yaml", True),
            ("https://other.org/t.yaml", False),
            ("../t.yaml", False),
            (TYPES + "a/%2e%2E/t.yaml", False),
            (TYPES + "..\\t.yaml", False),
        ],
    )
    def test_template_repository_is_the_only_source_if_there_is_one(
        self, path: str, allowed: bool, translated: Any
    ) -> None:
        translated.web.texts[TYPES + "t.yaml"] = TEMPLATE
        translated.web.texts["https://other.org/t.yaml"] = TEMPLATE
        sources = Sources(fetch=translated.web, templates=TYPES)
        text = document(f"[ template_file: {path} ]", "{}")
        if allowed:
            assert translated(text, header=False, sources=sources).radl.systems
            return
        with pytest.raises(InvalidDocument) as raised:
            translated(text, header=False, sources=sources)
        assert [problem.kind for problem in raised.value.problems] == ["import-not-allowed"]

    def test_relative_template_without_repository_is_refused(self, translated: Any) -> None:
        with pytest.raises(InvalidDocument, match="relative"):
            translated(document("[ template_file: t.yaml ]", "{}"), header=False)
