"""The inventory: the variables that recipes rely on, and how machines are reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from imframework.api.model import Access
from imframework.contextualization import inventory, yaml_text
from imframework.contextualization.inventory import NameDefaults
from imframework.contextualization.yaml_text import Unsafe

RUN = Path("/runs/run")


def _hosts(job, defaults=None):
    machines = inventory.machines(job, defaults or NameDefaults())
    return {machine.target.number: inventory.host_variables(machine, RUN) for machine in machines}


def _all(job):
    return inventory.inventory(job, inventory.machines(job, NameDefaults()), RUN)["all"]


def test_hosts_are_named_by_public_or_else_private_address_and_number_and_grouped_by_system(make_job) -> None:
    data = _all(make_job())

    assert list(data["hosts"]) == ["192.0.2.1_0", "10.0.0.2_1", "10.0.0.3_2"]
    groups = {name: list(group["hosts"]) for name, group in data["children"].items()}
    assert groups == {
        "front": ["192.0.2.1_0"],
        "work-er": ["10.0.0.2_1", "10.0.0.3_2"],
        "allnowindows": ["192.0.2.1_0", "10.0.0.2_1", "10.0.0.3_2"],
        "windows": [],
    }


def test_machines_that_are_not_configured_now_are_there_for_those_that_are(make_job) -> None:
    whole = make_job()
    front, *workers = whole.targets

    assert _all(replace(whole, targets=tuple(workers), others=(front,))) == _all(whole)


def test_a_machine_without_known_addresses_is_named_by_the_one_it_is_reached_at(make_job) -> None:
    job = make_job(facts={1: {"net_interface.0.ip": ""}}, access={1: Access("fe80::1")})

    assert "fe80__1_1" in _all(job)["hosts"]
    assert _hosts(job)[1]["IM_NODE_PRIVATE_IP"] == "fe80::1"


def test_each_machine_knows_its_names_addresses_and_cloud(make_job) -> None:
    front, worker = _hosts(make_job())[0], _hosts(make_job())[2]

    assert {name: value for name, value in front.items() if name.startswith("IM_")} == {
        "IM_HOST": "192.0.2.1_0",
        "IM_NODE_HOSTNAME": "front",
        "IM_NODE_DOMAIN": "example.org",
        "IM_NODE_FQDN": "front.example.org",
        "IM_NODE_PUBLIC_IP": "192.0.2.1",
        "IM_NODE_PRIVATE_IP": "10.0.0.1",
        "IM_NODE_NUM": "0",
        "IM_NODE_VMID": "id-0",
        "IM_NODE_CLOUD_TYPE": "OpenStack",
        "IM_NODE_CLOUD_SERVER": "cloud.example.org",
        "IM_NODE_NET_0_IP": "10.0.0.1",
        "IM_NODE_NET_0_HOSTNAME": "front",
        "IM_NODE_NET_0_DOMAIN": "example.org",
        "IM_NODE_NET_0_FQDN": "front.example.org",
        "IM_NODE_NET_1_IP": "192.0.2.1",
        "IM_NODE_NET_1_HOSTNAME": "gate",
        "IM_NODE_NET_1_DOMAIN": "localdomain",
        "IM_NODE_NET_1_FQDN": "gate.localdomain",
    }
    assert "IM_NODE_PUBLIC_IP" not in worker
    assert worker["IM_NODE_FQDN"] == "vnode-2.localdomain"


def test_machines_without_a_name_get_the_operators(make_job) -> None:
    worker = _hosts(make_job(), NameDefaults("node#N#", "lab.example"))[1]

    assert worker["IM_NODE_FQDN"] == "node1.lab.example"


def test_a_machine_with_only_a_public_address_has_that_as_the_private_one(make_job, document) -> None:
    only_public = document.replace("network private ()", "network private (outbound = 'yes')")

    assert _hosts(make_job(only_public))[1]["IM_NODE_PRIVATE_IP"] == "10.0.0.2"


def test_software_and_certificates_that_are_known_are_variables(make_job, document) -> None:
    with_software = document.replace(
        "system work-er (",
        "system work-er (disk.0.os.name = 'linux' and"
        " disk.0.applications contains (name = 'my-app' and version = '1.2' and path = '/opt/app') and"
        " disk.0.applications contains (name = 'ansible.roles.someone.role') and ",
    )
    installed = {"disk.0.applications": [{"name": "my-app", "version": "1.3"}, {"name": "java"}]}
    certificate = {
        "net_interface.0.dns.0.name": "w.example.org",
        "net_interface.0.dns.0.tls.certificate": "CERT",
        "net_interface.0.dns.0.tls.private_key": "KEY",
    }

    found = _hosts(make_job(with_software, facts={1: {**installed, **certificate}}))[1]

    assert found["IM_APP_MY_APP_VERSION"] == "1.3"
    assert found["IM_APP_MY_APP_PATH"] == "/opt/app"
    assert not any("ROLE" in name for name in found)
    assert found["IM_NODE_TLS_CERTIFICATES"] == {"w.example.org": {"cert": "CERT", "key": "KEY"}}


def test_all_machines_know_the_infrastructure_and_its_master(make_job) -> None:
    variables = _all(make_job())["vars"]

    assert variables["IM_FRONT_NUM_VMS"] == "1"
    assert variables["IM_WORK_ER_NUM_VMS"] == "2"
    assert variables["IM_MASTER_FQDN"] == "front.example.org"
    assert variables["IM_MASTER_HOSTNAME"] == "front"
    assert variables["IM_MASTER_DOMAIN"] == "example.org"
    assert variables["IM_INFRASTRUCTURE_ID"] == "infra-id"
    assert {
        "class": "system",
        "id": "work-er",
        "net_interface_0_connection": "private",
        "cpu_count_min": 2,
    } in variables["IM_INFRASTRUCTURE_RADL"]


def test_an_external_ansible_node_is_the_master(make_job, document) -> None:
    external = (
        "ansible node (host = 'ansible.example.org' and credentials.username = 'u' and credentials.password = 'p')"
    )

    variables = _all(make_job(external + document))["vars"]

    assert (variables["IM_MASTER_FQDN"], variables["IM_MASTER_DOMAIN"]) == ("ansible.example.org", "")


def test_the_owners_secret_is_there_only_for_recipes_that_mention_it(make_job, document) -> None:
    asks = document.replace("msg: join", "msg: '{{ IM_INFRASTRUCTURE_AUTH }}'")

    assert "IM_INFRASTRUCTURE_AUTH" not in _all(make_job(auth_value="user:pass"))["vars"]
    assert _all(make_job(asks, auth_value="user:pass"))["vars"]["IM_INFRASTRUCTURE_AUTH"] == "user:pass"


def test_texts_from_outside_are_not_templates(make_job, document) -> None:
    asks = document.replace("msg: join", "msg: '{{ IM_INFRASTRUCTURE_AUTH }}'").replace("'gate'", "'{{ gate }}'")

    data = _all(make_job(asks, auth_value="user:{{ pass }}"))

    assert isinstance(data["vars"]["IM_INFRASTRUCTURE_AUTH"], Unsafe)
    assert "!unsafe '{{ gate }}'" in yaml_text.dump(data)


def test_machines_are_reached_as_their_access_says(make_job) -> None:
    job = make_job(
        access={
            0: Access("203.0.113.9", 2222, "admin", "ssh-ed25519 AAAA", "KEY", ssh_options={"Compression": "yes"}),
            1: Access("203.0.113.10", user="root", password="pass word"),
            2: Access("203.0.113.11", ssh_options={"User": "me"}, host_key="ssh-rsa BBBB"),
        }
    )
    key, password, nobody = (_hosts(job)[number] for number in range(3))

    assert key["ansible_host"] == key["ansible_ssh_host"] == "203.0.113.9"
    assert key["ansible_port"] == key["ansible_ssh_port"] == 2222
    assert key["ansible_user"] == key["ansible_ssh_user"] == "admin"
    assert key["ansible_ssh_private_key_file"] == "/runs/run/keys/192.0.2.1_0"
    assert key["ansible_ssh_common_args"] == "-o Compression=yes -o StrictHostKeyChecking=yes"
    assert password["ansible_password"] == "pass word"
    assert password["ansible_ssh_common_args"] == "-o StrictHostKeyChecking=accept-new"
    assert "ansible_become_password" not in password
    assert "ansible_user" not in nobody
    assert nobody["ansible_ssh_common_args"] == "-o User=me -o StrictHostKeyChecking=yes"


def test_pinned_host_keys_are_written_as_known_hosts(make_job) -> None:
    job = make_job(access={0: Access("203.0.113.9", 2222, host_key="ssh-ed25519 AAAA\n"), 1: Access("203.0.113.10")})

    known = inventory.known_hosts(inventory.machines(job, NameDefaults()))

    assert known == "[203.0.113.9]:2222 ssh-ed25519 AAAA\n198.51.100.2 ssh-ed25519 AAAA\n"


def test_windows_machines_are_in_their_group_and_reached_through_winrm(make_job) -> None:
    job = make_job(access={1: Access("203.0.113.10", user="admin", password="p", operating_system="windows")})
    data = _all(job)

    assert list(data["children"]["windows"]["hosts"]) == ["10.0.0.2_1"]
    assert data["children"]["windows"]["vars"]["ansible_connection"] == "winrm"
    assert data["children"]["windows"]["vars"]["ansible_port"] == 5986
    assert "10.0.0.2_1" not in data["children"]["allnowindows"]["hosts"]
    assert "ansible_port" not in data["hosts"]["10.0.0.2_1"]


def test_the_hosts_file_names_every_interface_that_has_name_and_address(make_job) -> None:
    assert inventory.hosts_file(inventory.machines(make_job(), NameDefaults())) == (
        "10.0.0.1 front.example.org front\n"
        "192.0.2.1 gate.localdomain gate\n"
        "10.0.0.2 vnode-1.localdomain vnode-1\n"
        "10.0.0.3 vnode-2.localdomain vnode-2\n"
    )
