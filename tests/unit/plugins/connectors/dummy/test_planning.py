"""A plan of the simulated cloud holds what the machines need, shared where it can be, in an order that works."""

import pytest

from imframework.api.model import (
    Candidate,
    Dependency,
    Deployment,
    Features,
    Interval,
    Machine,
    NetworkRequest,
    PortRule,
    Ref,
)
from imframework_plugins.connectors.dummy.planning import plan

CANDIDATE = Candidate("mock0://here/image", "small", {"cpu.count": 2, "memory.size": 2**30})


def network(name, *ports, **features):
    return NetworkRequest(Features(name, features), ports)


def machine(number, **features):
    values = {name.replace("__", "."): value for name, value in features.items()}
    return Machine(number, Features("node", values), CANDIDATE, public_key="ssh-ed25519 AAAA")


def planned(*machines, **networks):
    resources = plan(Deployment("inf-1", "", machines, networks))
    return {resource.key: resource for resource in resources}


ON_PRIVATE = {"net_interface__0__connection": "inside"}
ON_BOTH = {**ON_PRIVATE, "net_interface__1__connection": "outside"}
PRIVATE, PUBLIC = network("inside", cidr="10.1.0.0/24"), network("outside", outbound="yes")


def test_nobody_needs_nothing():
    assert planned(inside=PRIVATE) == {}


def test_plain_machines_share_all_but_their_instances():
    resources = planned(machine(0, **ON_PRIVATE), machine(3, **ON_PRIVATE), inside=PRIVATE)

    assert list(resources) == ["key_pair", "network/inside", "security_group/inside", "instance/0", "instance/3"]
    assert resources["network/inside"].owners == {0, 3}
    assert resources["network/inside"].spec == {"cidr": "10.1.0.0/24"}
    assert [resource.machine for resource in resources.values()] == [None, None, None, 0, 3]


def test_an_instance_waits_for_what_it_refers_to():
    instance = planned(machine(0, **ON_PRIVATE, disk__1__size=Interval(10, 10)), inside=PRIVATE)["instance/0"]

    assert instance.depends_on == (
        Dependency("key_pair"),
        Dependency("network/inside"),
        Dependency("security_group/inside"),
        Dependency("volume/0/1"),
    )
    assert instance.spec["key_pair"] == Ref("key_pair")
    assert instance.spec["networks"] == [Ref("network/inside")]
    assert instance.spec["volumes"] == [Ref("volume/0/1")]
    assert (instance.spec["cpu"], instance.spec["memory"], instance.spec["flavour"]) == (2, 2**30, "small")
    assert instance.spec["image"] == "mock0://here/image"


def test_networks_that_no_machine_uses_are_not_made():
    assert "network/unused" not in planned(machine(0, **ON_PRIVATE), inside=PRIVATE, unused=network("unused"))


def test_each_public_interface_gets_an_address_once_the_instance_has_booted():
    resources = planned(machine(0, **ON_BOTH), machine(1, **ON_PRIVATE), inside=PRIVATE, outside=PUBLIC)

    assert resources["public_ip/0/1"].depends_on == ()
    attachment = resources["public_ip_attachment/0/1"]
    assert attachment.depends_on == (Dependency("public_ip/0/1"), Dependency("instance/0"))
    assert attachment.goes_with == "instance/0"
    assert attachment.spec == {"public_ip": Ref("public_ip/0/1"), "instance": Ref("instance/0"), "interface": 1}
    assert not [key for key in resources if key.startswith("public_ip/1")]
    assert "network/outside" not in resources
    assert resources["security_group/outside"].owners == {0}


def test_a_group_opens_the_ports_of_its_network_and_ssh_on_public_ones():
    web, games = PortRule(443, 443, cidr="192.0.2.0/24"), PortRule(7000, 7010, "udp", is_range=True)
    resources = planned(
        machine(0, **ON_BOTH), inside=network("inside", games), outside=network("outside", web, outbound="yes")
    )

    assert resources["security_group/outside"].spec["rules"] == [
        {"protocol": "tcp", "from": 443, "to": 443, "cidr": "192.0.2.0/24"},
        {"protocol": "tcp", "from": 22, "to": 22, "cidr": "0.0.0.0/0"},
    ]
    inside = resources["security_group/inside"]
    assert inside.spec["rules"] == [{"protocol": "udp", "from": 7000, "to": 7010, "cidr": "0.0.0.0/0"}]
    assert inside.depends_on == (Dependency("network/inside"),)


@pytest.mark.parametrize("size", [Interval(10, 10), Interval(minimum=10)])
def test_a_disk_with_a_size_is_a_volume_and_the_boot_disk_none(size):
    resources = planned(machine(0, disk__0__size=Interval(5, 5), disk__1__size=size, disk__2__device="vdc"))

    assert [key for key in resources if key.startswith("volume/")] == ["volume/0/1"]
    assert resources["volume/0/1"].spec["size"] == 10


def test_what_a_document_gives_is_adopted():
    resources = planned(
        machine(0, **ON_PRIVATE, disk__1__image__url="mock0://here/vol-7"),
        inside=network("inside", provider_id="vlan-17"),
    )

    for key, provider_id in (("network/inside", "vlan-17"), ("volume/0/1", "mock0://here/vol-7")):
        assert resources[key].adopted
        assert resources[key].provider_id == provider_id


def test_names_belong_to_the_infrastructure():
    resources = planned(machine(0, **ON_BOTH), inside=PRIVATE, outside=PUBLIC).values()

    assert all("inf-1" in resource.name for resource in resources)
    named = {(resource.kind, resource.name) for resource in resources}
    assert len(named) == len(resources), "two things of one kind would have one name"
