"""The life of an infrastructure on `local`: real machines, real plays, every operation of the API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.xdist_group("life-cycle"), pytest.mark.slow]

GATED = """
- ansible.builtin.shell: "echo open the gate; while [ ! -e gate ]; do sleep 0.1; done"
- ansible.builtin.debug:
    msg: through the gate
"""


@pytest.fixture(scope="module")
def cluster(server, examples) -> Iterator[str]:
    """The cluster of the examples, configured. Tests leave it as they find it."""
    api = server.api("keeper")
    infrastructure = api.create((examples / "cluster.radl").read_text())
    api.configured(infrastructure)
    yield infrastructure
    api.destroy(infrastructure)


@pytest.fixture
def keeper(server):
    """The owner of the cluster."""
    return server.api("keeper")


def members(server, api, infrastructure: str, vm: int) -> str:
    """What the last step of the example has rendered on a machine."""
    return (server.home(api.prop(infrastructure, vm, "net_interface.0.ip")) / "cluster/members.conf").read_text()


def test_every_node_of_the_cluster_lets_its_owner_in_and_has_the_rendered_file(cluster, keeper, tmp_path: Path) -> None:
    addresses = [keeper.prop(cluster, vm, "net_interface.0.ip") for vm in keeper.vms(cluster)]
    (system,) = (
        item
        for item in keeper.ok("GET", f"/infrastructures/{cluster}/vms/0", Accept="application/json").json["radl"]
        if item["class"] == "system"
    )
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(system["disk.0.os.credentials.private_key"])
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
    ssh = ["ssh", "-F", "none", "-p", "2222", "-i", str(key), *(f"-o{option}" for option in options)]
    seen = []
    for address in addresses:
        target = f"{system['disk.0.os.credentials.username']}@{address}"
        command = [*ssh, target, "cat cluster/members.conf"]
        seen.append(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    for text in seen:
        assert f"front = {addresses[0]}" in text
        assert text.count("worker = ") == 2
        assert all(address in text for address in addresses[1:])
        assert cluster in text
    assert len({line for text in seen for line in text.splitlines() if line.startswith("key = ")}) == 1


def test_a_machine_is_described_in_radl_in_json_and_by_single_properties(cluster, keeper) -> None:
    text = keeper.ok("GET", f"/infrastructures/{cluster}/vms/1").text
    address = keeper.prop(cluster, 1, "net_interface.0.ip")
    assert f"net_interface.0.ip = '{address}'" in text
    assert "state = 'configured'" in text
    assert "disk.0.os.credentials.private_key" in text
    described = keeper.ok("GET", f"/infrastructures/{cluster}/vms/1", Accept="application/json").json["radl"]
    system = next(item for item in described if item["class"] == "system")
    assert {item["class"] for item in described} == {"network", "system"}
    assert (system["net_interface.0.ip"], system["state"], system["provider.type"]) == (address, "configured", "Local")
    assert system["net_interface.0.dns_name"] == "wn-1"
    assert keeper.prop(cluster, 1, "memory.size") == str(256 * 1024**2)
    assert keeper.ok("GET", f"/infrastructures/{cluster}/vms/1/state", Accept="application/json").json == {
        "state": "configured"
    }
    absent = keeper.request("GET", f"/infrastructures/{cluster}/vms/1/gpu.count")
    assert (absent.status, absent.text) == (
        404, "Error Getting VM. property: Incorrect property gpu.count for VM ID 1"
    )  # fmt: skip
    assert keeper.request("GET", f"/infrastructures/{cluster}/vms/7").status == 404


def test_events_tell_what_happened_once_and_in_order_and_can_be_resumed_anywhere(cluster, keeper) -> None:
    events = keeper.events(cluster)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    for vm in keeper.vms(cluster):
        steps = [
            (event["data"]["task"], event["data"]["status"])
            for event in events
            if event["type"] == "step" and event["data"]["vm"] == vm
        ]
        assert len(steps) >= 8
        for task, status in steps:
            if status == "done":
                assert steps.index((task, "started")) < steps.index((task, "done"))
    middle = len(events) // 2
    assert keeper.events(cluster, after=middle)[: len(events) - middle] == events[middle:]


def test_the_log_is_whole_for_the_infrastructure_for_its_head_and_for_one_machine(cluster, keeper) -> None:
    whole = keeper.contmsg(cluster)
    assert [line for line in whole.splitlines() if line.startswith("VM ")] == ["VM 0:", "VM 1:", "VM 2:"]
    assert whole.count("*" * 75 + "\n") >= 3
    assert "Count the workers that are expected" in keeper.contmsg(cluster, 0)
    assert "Count the workers that are expected" not in keeper.contmsg(cluster, 1)
    assert "VM 0:" not in keeper.ok("GET", f"/infrastructures/{cluster}/contmsg?headeronly=1").text
    assert "Process finished" in keeper.contmsg(cluster, 2)


def test_an_added_worker_joins_and_a_removed_one_is_gone_for_all(cluster, keeper, server, eventually) -> None:
    answer = keeper.ok("POST", f"/infrastructures/{cluster}", "network net ()\nsystem wn\ndeploy wn 1\n")
    (added,) = (int(uri.rpartition("/")[2]) for uri in answer.text.split())
    assert answer.headers["InfID"] == cluster
    assert added not in (0, 1, 2)
    keeper.configured(cluster)
    address = keeper.prop(cluster, added, "net_interface.0.ip")
    for vm in keeper.vms(cluster):
        assert address in members(server, keeper, cluster, vm)
    assert (server.home(keeper.prop(cluster, 0, "net_interface.0.ip")) / "cluster/expected").read_text() == "3\n"

    machine = server.home(address).parent
    keeper.ok("DELETE", f"/infrastructures/{cluster}/vms/{added}")
    assert not machine.exists()
    assert not [process for process in server.offspring() if str(machine) in " ".join(process.cmdline())]
    assert keeper.vms(cluster) == [0, 1, 2]
    assert keeper.request("GET", f"/infrastructures/{cluster}/vms/{added}").status == 404
    keeper.configured(cluster)
    for vm in keeper.vms(cluster):
        assert address not in members(server, keeper, cluster, vm)


def test_one_machine_is_stopped_started_and_rebooted_while_the_others_run_on(cluster, keeper, server) -> None:
    address = keeper.prop(cluster, 1, "net_interface.0.ip")
    machine = server.home(address).parent

    def daemons() -> list[int]:
        return [each.pid for each in server.offspring() if f"{machine}/etc/sshd_config" in " ".join(each.cmdline())]

    (before,) = daemons()
    keeper.ok("PUT", f"/infrastructures/{cluster}/vms/1/stop")
    assert daemons() == []
    assert keeper.prop(cluster, 1, "state") == "stopped"
    assert keeper.state(cluster)[1] == {"0": "configured", "1": "stopped", "2": "configured"}

    keeper.ok("PUT", f"/infrastructures/{cluster}/vms/1/start")
    keeper.configured(cluster)
    (started,) = daemons()
    assert started != before

    keeper.ok("PUT", f"/infrastructures/{cluster}/vms/1/reboot")
    keeper.configured(cluster)
    (rebooted,) = daemons()
    assert rebooted != started
    assert keeper.prop(cluster, 1, "net_interface.0.ip") == address
    assert (machine / "home/cluster/members.conf").exists()


def test_the_log_shows_what_a_recipe_says_while_it_still_runs(server, api, document, eventually) -> None:
    infrastructure = api.create(document(GATED))
    eventually(lambda: "TASK [ansible.builtin.shell]" in api.contmsg(infrastructure), "first task in the log")
    assert api.state(infrastructure) == ("running", {"0": "running"})
    assert "through the gate" not in api.contmsg(infrastructure)
    (server.home(api.prop(infrastructure, 0, "net_interface.0.ip")) / "gate").touch()
    api.configured(infrastructure)
    assert "through the gate" in api.contmsg(infrastructure, 0)


def test_a_changed_recipe_is_run_by_reconfigure_on_all_machines_or_on_those_named(server, api, document) -> None:
    def recipe(word: str) -> str:
        return f"- ansible.builtin.copy: {{content: {word}, dest: word}}"

    infrastructure = api.create(document(recipe("first"), count=2))
    api.configured(infrastructure)
    homes = [server.home(api.prop(infrastructure, vm, "net_interface.0.ip")) for vm in (0, 1)]
    assert [(home / "word").read_text() for home in homes] == ["first", "first"]

    changed = document(recipe("second"), count=0)
    answer = api.ok("PUT", f"/infrastructures/{infrastructure}/reconfigure?vm_list=1", changed)
    assert answer.headers["InfID"] == infrastructure
    api.configured(infrastructure)
    assert [(home / "word").read_text() for home in homes] == ["first", "second"]

    api.ok("PUT", f"/infrastructures/{infrastructure}/reconfigure", "", Content_Type="text/yaml")
    api.configured(infrastructure)
    assert [(home / "word").read_text() for home in homes] == ["second", "second"]
    assert "second" in api.ok("GET", f"/infrastructures/{infrastructure}/radl").text
    api.destroy(infrastructure)


def test_a_machine_that_ended_by_itself_shows_as_stopped_and_can_be_started(server, api, document, eventually) -> None:
    infrastructure = api.create(document(contextualize=""))
    api.configured(infrastructure)
    machine = server.home(api.prop(infrastructure, 0, "net_interface.0.ip")).parent
    (daemon,) = (each for each in server.offspring() if f"{machine}/etc/sshd_config" in " ".join(each.cmdline()))
    daemon.kill()
    eventually(lambda: api.state(infrastructure)[1] == {"0": "stopped"}, "machine that is seen to be stopped")
    api.ok("PUT", f"/infrastructures/{infrastructure}/vms/0/start")
    api.configured(infrastructure)


def test_a_whole_infrastructure_is_stopped_and_started(server, api, document) -> None:
    infrastructure = api.create(document("- ansible.builtin.ping:", count=2))
    api.configured(infrastructure)
    api.ok("PUT", f"/infrastructures/{infrastructure}/stop")
    assert api.settled(infrastructure, among=("stopped",)) == "stopped"
    api.ok("PUT", f"/infrastructures/{infrastructure}/start")
    api.configured(infrastructure)


def test_after_destroy_no_process_no_port_and_no_file_is_left(server, api, document, listening) -> None:
    infrastructure = api.create(document("- ansible.builtin.copy: {content: x, dest: x}", count=2))
    api.configured(infrastructure)
    addresses = [api.prop(infrastructure, vm, "net_interface.0.ip") for vm in (0, 1)]
    machines = [server.home(address).parent for address in addresses]
    assert all(listening(address, 2222) for address in addresses)

    api.ok("DELETE", f"/infrastructures/{infrastructure}")

    assert not any(listening(address, 2222) for address in addresses)
    assert not any(machine.exists() for machine in machines)
    assert not [
        process
        for process in server.offspring()
        for machine in machines
        if str(machine) in " ".join([*process.cmdline(), *process.environ().values()])
    ]
    assert server.runs == []
    assert infrastructure not in api.ids()
    gone = api.request("GET", f"/infrastructures/{infrastructure}/state")
    assert (gone.status, gone.text) == (404, "Error Getting Inf. prop: Deleted infrastructure.")


def test_a_synchronous_create_answers_when_the_machines_are_launched(api, document) -> None:
    infrastructure = api.create(document(None, contextualize=""), asynchronous=False)
    assert json.loads(api.ok("GET", f"/infrastructures/{infrastructure}/state").text)["state"]["vm_states"].keys() == {
        "0"
    }
    assert api.prop(infrastructure, 0, "net_interface.0.ip").startswith("127.")
