"""The document model: copies, what machines see, normal forms."""

from __future__ import annotations

from pathlib import Path

from imframework.languages.radl import Application, Configure, ContextualizeItem, Document, Network, dumps, parse


def test_copy_shares_nothing_that_changes(vectors: Path) -> None:
    text = (vectors / "20-cluster.radl").read_text()
    original, copied = parse(text), parse(text).copy()
    assert copied == original
    copied.systems["wn"].set("cpu.count", 64)
    copied.networks["public"].set("outbound", "no")
    copied.deploys[0].count = 9
    copied.configures["common"].recipe = None
    assert copied.contextualize is not None
    copied.contextualize.items.clear()
    copied.contextualize.options.set("ansible_version", "latest")
    assert original == parse(text)


def test_copy_can_forget_positions(vectors: Path) -> None:
    copied = parse((vectors / "20-cluster.radl").read_text()).copy(positions=False)
    assert copied.contextualize is not None
    parts = [
        *(copied.description, *copied.networks.values(), *copied.systems.values(), *copied.configures.values()),
        *(*copied.deploys, *copied.contextualize.items.values()),
    ]
    assert {part.line for part in parts if part} == {None}
    assert {feature.line for _, feature in copied.systems["wn"].features.entries()} == {None}


def test_document_of_a_machine_has_the_networks_it_uses_and_one_system() -> None:
    document = parse(
        "description d (name = 'x') network a () network b (outbound = 'yes') network c ()"
        "system s (net_interface.0.connection = 'c' and net_interface.1.connection = 'a')"
        "system t () configure s () contextualize () deploy s 2"
    )
    machine = document.systems["s"].copy()
    machine.set("net_interface.0.ip", "10.0.0.7")
    machine.set("state", "running")
    shown = document.for_machine(machine)
    assert list(shown.networks) == ["a", "c"]
    assert shown.systems == {"s": machine}
    assert parse(dumps(shown)) == shown
    shown.systems["s"].set("state", "stopped")
    assert machine.text("state") == "running"


def test_system_lists_interfaces_disks_and_applications() -> None:
    system = parse(
        "system s (net_interface.1.connection = 'b' and net_interface.0.connection = 'a' and disk.1.size = 2G and"
        " disk.0.image.url = ['x', 'y'] and disk.0.applications contains (name = 'java' and version >= '17') and"
        " disk.0.applications contains (name = 'git' and path = '/opt' and preinstalled = 'yes'))"
    ).systems["s"]
    assert system.connections() == {0: "a", 1: "b"}
    assert [disk.number("size", "G") for disk in system.disks().values()] == [None, 2]
    assert list(system.applications()) == [
        Application("java", "17", ">="),
        Application("git", path="/opt", preinstalled=True),
    ]


def test_network_is_public_whatever_the_case_of_yes() -> None:
    networks = parse("network a (outbound = 'YES') network b (outbound = 'no') network c ()").networks
    assert [network.is_public for network in networks.values()] == [True, False, False]


def test_name_of_the_infrastructure_is_in_the_description() -> None:
    assert parse("description d (name = 'Lab')").name == "Lab"
    assert parse("").name is None


def test_body_of_a_recipe_starts_with_its_first_character() -> None:
    assert Configure("c", "\n\n#!/bin/sh\nls\n\n").body == "#!/bin/sh\nls\n"
    assert Configure("c", None).body == ""


def test_item_has_a_step_or_a_tool() -> None:
    assert ContextualizeItem("s", "c", 2, "Ansible") == ContextualizeItem("s", "c", 2)
    assert ContextualizeItem("s", "c", 2, "cloud_init") == ContextualizeItem("s", "c", tool="cloud_init")
    assert ContextualizeItem("s", "c", 0, "Ansible").tool == "Ansible"


def test_documents_can_be_built_without_text() -> None:
    document = Document(networks={"n": Network("n")})
    document.networks["n"].set("outbound", True)
    assert dumps(document) == "network n ( outbound = 'yes' )"
