"""What the peer gets wrong and the specification wants mended: one test each."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import Document
from imframework.languages.tosca import ExistingMachine, Translation, validate

URL = "https://recipes.example.org/"


def software(operations: str, extra: str = "") -> str:
    return f"""
topology_template:
  inputs: {{ odd: {{ type: string, default: "it's \\"odd\\"\\n{{x}}: y" }} }}
  node_templates:
    app:
      type: tosca.nodes.SoftwareComponent
      requirements: [ {{ host: vm }} ]
      interfaces: {{ Standard: {{ {operations} }} }}
    vm: {{ type: tosca.nodes.indigo.Compute }}
{extra}
"""


def plays(translation: Translation, name: str = "app_vm_conf") -> Any:
    return yaml.safe_load(translation.radl.configures[name].recipe or "")


class TestRecipes:
    SCRIPT = "#!/bin/sh\necho 'one'\necho \"two\" > /tmp/x\n"

    def test_script_of_several_lines_is_copied_as_it_is(self, translated: Any) -> None:
        translated.web.texts[URL + "setup.sh"] = self.SCRIPT
        (play,) = plays(translated(software(f"create: {URL}setup.sh")))
        copy, run = play["tasks"]
        assert copy["copy"] == {"dest": "/tmp/setup.sh", "content": self.SCRIPT, "mode": "0755"}
        assert run == {"name": "app_create", "shell": "/tmp/setup.sh"}

    def test_input_with_quotes_and_line_breaks_arrives_as_it_is(self, translated: Any) -> None:
        (play,) = plays(
            translated(software("create: { implementation: greet.yml, inputs: { who: { get_input: odd } } }"))
        )
        assert play["vars"] == {"who": 'it\'s "odd"\n{x}: y'}

    def test_all_plays_survive_when_a_second_file_is_joined(self, translated: Any) -> None:
        translated.web.texts[URL + "two.yml"] = (
            "- hosts: a\n  become: true\n  tasks: [ { debug: { msg: 1 } } ]\n"
            "- hosts: b\n  tasks: [ { debug: { msg: 2 } } ]\n"
        )
        first, second = plays(
            translated(software(f"create: {URL}two.yml, start: {{ implementation: greet.yml, inputs: {{ who: x }} }}"))
        )
        assert first == {"become": True, "vars": {"who": "x"}, "tasks": [{"debug": {"msg": 1}}]}
        assert [list(task) for task in second["tasks"]] == [["debug"], ["debug", "name"]]
        assert second["vars"] == {"who": "x"}

    def test_equal_scalar_keys_stay_scalars(self, translated: Any) -> None:
        translated.web.texts[URL + "a.yml"] = "- hosts: a\n  become: true\n  tasks: []\n"
        (play,) = plays(translated(software(f"create: {URL}a.yml, configure: {URL}a.yml")))
        assert play["become"] is True

    @pytest.mark.parametrize("content", ["a: 1\n", "- x\n", "", "- [\n", "x: &x [*x]\n", "- {a: " + "[" * 500])
    def test_file_that_is_no_list_of_plays_is_refused(self, content: str, translated: Any) -> None:
        translated.web.texts[URL + "bad.yml"] = content
        with pytest.raises(InvalidDocument) as raised:
            translated(software(f"create: {URL}bad.yml"))
        assert [(problem.kind, problem.line) for problem in raised.value.problems] == [("bad-recipe", 11)]

    def test_tags_of_ansible_are_kept(self, translated: Any) -> None:
        translated.web.texts[URL + "v.yml"] = "- hosts: a\n  vars: { x: !vault 'secret', y: !unsafe [ '{{' ] }\n"
        recipe = translated(software(f"create: {URL}v.yml")).radl.configures["app_vm_conf"].recipe
        assert "!vault" in recipe
        assert "!unsafe" in recipe

    @pytest.mark.parametrize("path", ["file:///etc/passwd", "../../etc/passwd.yml", "/etc/passwd.yml"])
    def test_files_of_the_server_are_never_read(self, path: str, translated: Any) -> None:
        with pytest.raises(InvalidDocument) as raised:
            translated(software(f"create: '{path}'"))
        assert [problem.kind for problem in raised.value.problems] == ["recipe-not-found"]
        assert translated.web.asked == []

    def test_file_named_twice_is_fetched_once(self, translated: Any) -> None:
        translated(software("create: greet.yml, configure: greet.yml, start: greet.yml"))
        assert len(translated.web.asked) == 1


class TestRelationships:
    def document(self, type_: str) -> str:
        return f"""
relationship_types:
  example.Base:
    derived_from: tosca.relationships.ConnectsTo
    interfaces: {{ Configure: {{ pre_configure_source: {{ implementation: greet.yml, inputs: {{ who: base }} }} }} }}
  example.Derived: {{ derived_from: example.Base }}
topology_template:
  node_templates:
    app:
      type: tosca.nodes.SoftwareComponent
      requirements:
        - host: vm
        - dependency: {{ node: one, relationship: {type_} }}
        - dependency: {{ node: two, relationship: {{ type: {type_} }} }}
    one: {{ type: tosca.nodes.SoftwareComponent, requirements: [ {{ host: vm }} ] }}
    two: {{ type: tosca.nodes.SoftwareComponent, requirements: [ {{ host: vm }} ] }}
    vm: {{ type: tosca.nodes.indigo.Compute }}
"""

    @pytest.mark.parametrize("type_", ["example.Base", "example.Derived"])
    def test_any_relationship_type_is_honoured_and_every_relationship_runs(self, type_: str, translated: Any) -> None:
        translation = translated(self.document(type_))
        (play,) = plays(translation)
        assert len(play["tasks"]) == 2
        (item,) = translation.radl.contextualize.items.values()
        assert item.step == 3


class TestMachines:
    def radl(self, translated: Any, nodes: str) -> Document:
        radl: Document = translated(f"topology_template:\n  node_templates:\n{nodes}").radl
        return radl

    def test_cpu_frequency_is_a_number_with_its_unit(self, translated: Any) -> None:
        radl = self.radl(
            translated,
            "    vm: { type: tosca.nodes.Compute, capabilities: { host: { properties: { cpu_frequency: 2.5 GHz } } } }",
        )
        assert radl.systems["vm"].number("cpu.performance", "HRZ") == 2_500_000_000

    def test_data_disk_without_operating_system_is_valid(self, translated: Any) -> None:
        radl = self.radl(
            translated,
            "    vm: { type: tosca.nodes.Compute, requirements: [ { local_storage: disk } ] }\n"
            "    disk: { type: tosca.nodes.BlockStorage, properties: { size: 1 GB } }",
        )
        assert radl.systems["vm"].number("disk.1.size") == 10**9

    def test_default_instances_alone_are_accepted(self, translated: Any) -> None:
        radl = self.radl(
            translated,
            "    vm:\n      type: tosca.nodes.Compute\n"
            "      capabilities: { scalable: { properties: { default_instances: 3 } } }",
        )
        assert radl.deploys[0].count == 3

    def test_additional_names_of_a_port_do_not_replace_its_name(self, translated: Any) -> None:
        radl = self.radl(
            translated,
            """    vm: { type: tosca.nodes.Compute }
    net: { type: tosca.nodes.network.Network }
    port:
      type: tosca.nodes.indigo.network.Port
      properties: { dns_name: a.example.org, additional_dns_names: [ b.example.org ] }
      requirements: [ { binding: vm }, { link: net } ]""",
        )
        system = radl.systems["vm"]
        assert system.text("net_interface.0.dns.0.name") == "a.example.org"
        assert system.text("net_interface.0.dns.1.name") == "b.example.org"

    def test_ports_stay_on_the_private_network_of_the_first_cloud(self, translated: Any) -> None:
        endpoint = "endpoint: { properties: { ports: { p: { source: 80 } } } }"
        radl = self.radl(
            translated,
            "".join(
                f"    {name}: {{ type: tosca.nodes.indigo.Compute, capabilities: "
                f"{{ {endpoint}, os: {{ properties: {{ image: 'ost://{name}.example.org/i' }} }} }} }}\n"
                for name in ("one", "two")
            ),
        )
        assert radl.networks["private_net"].text("outports")
        assert radl.networks["private.two.example.org"].text("outports") == radl.networks["private_net"].text(
            "outports"
        )

    def test_cloud_of_a_machine_that_exists_keeps_the_private_network(self, translated: Any) -> None:
        text = "topology_template:\n  node_templates:\n" + "".join(
            f"    {name}: {{ type: tosca.nodes.indigo.Compute, capabilities: "
            f"{{ os: {{ properties: {{ image: 'ost://{name}.example.org/i' }} }} }} }}\n"
            for name in ("one", "two")
        )
        radl = translated(text, existing=[ExistingMachine("7", "two")]).radl
        assert radl.systems["two"].text("net_interface.0.connection") == "private_net"
        assert radl.systems["one"].text("net_interface.0.connection") == "private.one.example.org"

    def test_name_that_radl_cannot_hold_is_refused_where_it_stands(self, translated: Any) -> None:
        with pytest.raises(InvalidDocument) as raised:
            self.radl(translated, "    my vm: { type: tosca.nodes.Compute }")
        assert [(problem.kind, problem.line) for problem in raised.value.problems] == [("bad-name", 6)]


class TestContainersAndFunctions:
    CONTAINER = """
topology_template:
  node_templates:
    web app:
      type: tosca.nodes.Container.Application.Docker
      artifacts: { image: { file: nginx, type: tosca.artifacts.Deployment.Image.Container.Docker } }
      requirements: [ { host: run } ]
    run:
      type: tosca.nodes.Container.Runtime.Docker
      capabilities:
        scalable: { properties: { count: COUNT } }
        host:
          properties:
            publish_ports: [ { source: 30080, target: 80 } ]
            expose_ports: [ { target: 80 } ]
  policies:
    - p:
        type: tosca.policies.indigo.Placement
        targets: [ web app ]
        properties: { cloud_id: { concat: [ a, b ] } }
"""

    def test_policy_finds_the_container_by_its_node_name_and_may_use_functions(self, translated: Any) -> None:
        (deploy,) = translated(self.CONTAINER.replace("COUNT", "1")).radl.deploys
        assert (deploy.system, deploy.cloud) == ("web-app-c0ffee00", "ab")

    def test_exposed_ports_do_not_replace_published_ones(self, translated: Any) -> None:
        system = translated(self.CONTAINER.replace("COUNT", "1")).radl.systems["web-app-c0ffee00"]
        assert system.connections() == {0: "web-app-c0ffee00_pub", 1: "web-app-c0ffee00_priv"}

    def test_container_runs_once_or_not_at_all(self, translated: Any) -> None:
        assert translated(self.CONTAINER.replace("COUNT", "0")).radl.deploys == []
        with pytest.raises(InvalidDocument, match="once or not at all"):
            translated(self.CONTAINER.replace("COUNT", "2"))

    def test_container_without_count_is_removed_when_it_exists(self, translated: Any) -> None:
        machine = ExistingMachine("4", "web-app-c0ffee00")
        assert translated(self.CONTAINER.replace("COUNT", "0"), existing=[machine]).removals.keys() == {"4"}

    FUNCTION = """
topology_template:
  node_templates:
    fn:
      type: tosca.nodes.aisprint.FaaS.Function
      properties:
        { name: f, image: i, script: s, memory: 512M, exposed: { min_scale: 1, port: 8080 } }
      capabilities: { scalable: { properties: { count: COUNT } } }
"""

    def test_exposed_values_are_single_ones(self, translated: Any) -> None:
        system = translated(self.FUNCTION.replace("COUNT", "1")).radl.systems["fn"]
        assert (system.number("expose.min_scale"), system.number("expose.port")) == (1, 8080)
        assert system.number("memory.size") == 512_000_000

    def test_function_with_count_0_is_not_deployed(self, translated: Any) -> None:
        assert translated(self.FUNCTION.replace("COUNT", "0")).radl.deploys == []

    def test_hosted_function_with_count_0_is_deleted_from_its_cluster(self, translated: Any) -> None:
        text = (
            self.FUNCTION.replace("COUNT", "0")
            + """
      requirements: [ { host: cluster } ]
    cluster: { type: tosca.nodes.indigo.OSCAR, requirements: [ { host: vm } ] }
    vm: { type: tosca.nodes.indigo.Compute }
"""
        )
        (play,) = plays(translated(text), "oscar_fn")
        (task,) = play["tasks"]
        assert task["include_tasks"] == "utils/tasks/del_oscar_function.yml"
        assert task["vars"]["oscar_service_name"] == "f"
        assert task["vars"]["oscar_endpoint"] == "http://{{ IM_NODE_PUBLIC_IP }}"


def test_one_bad_document_never_changes_how_the_next_is_validated(translated: Any) -> None:
    redefined = """
node_types: { tosca.nodes.Compute: { derived_from: tosca.nodes.Root, properties: { x: { type: string } } } }
topology_template: { node_templates: { a: { type: tosca.nodes.Compute, properties: { nope: 1 } } } }
"""
    plain = software("create: greet.yml")
    before = translated(plain).radl
    for bad in (redefined, "topology_template: [", "topology_template: { node_templates: { a: { type: x } } }"):
        with pytest.raises(InvalidDocument):
            translated(bad)
        assert translated(plain).radl == before


def test_cycle_is_an_error_that_names_the_nodes(translated: Any) -> None:
    text = """topology_template:
  node_templates:
    a: { type: tosca.nodes.SoftwareComponent, requirements: [ { host: vm }, { dependency: b } ] }
    b: { type: tosca.nodes.SoftwareComponent, requirements: [ { host: vm }, { dependency: a } ] }
    vm: { type: tosca.nodes.indigo.Compute }
"""
    with pytest.raises(InvalidDocument, match="a → b → a"):
        translated(text)


def test_validate_says_nothing_about_a_sound_document(translated: Any) -> None:
    assert validate("tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template: {}\n") == ()
