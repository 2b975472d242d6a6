"""Operations that meet: at the same time, in the wrong order, with a cloud that refuses, under each BOOT_MODE."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("operations")


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines that gives up a launch after two attempts."""
    return new_module_server(CONNECTORS="dummy", MAX_VM_FAILS=2).start()


@pytest.fixture
def api(server: Any) -> Any:
    """A user, on a cloud that behaves; in the end there is nothing left in it."""
    server.behave()
    api = server.api()
    yield api
    server.behave()
    for infrastructure in api.ids():
        api.destroy(infrastructure)
    assert cloud(server) == []


def cloud(server: Any) -> list[str]:
    """What exists in the simulated cloud, by kind."""
    command = [sys.executable, "-m", "imframework_plugins.connectors.dummy", str(server.directory / "dummy.db")]
    lines = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.splitlines()
    return sorted(json.loads(line)["kind"] for line in lines)


def test_a_creation_that_fails_altogether_leaves_nothing(server, api, document) -> None:
    server.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse", "message": "no machines today"}])
    answer = api.request("POST", "/infrastructures", document(cloud="dummy", count=2))
    assert answer.status == 400
    assert answer.text.startswith("Error Creating Inf.: Error adding VMs: ")
    assert "Attempt 1: " in answer.text
    assert "no machines today" in answer.text
    assert api.ids() == []
    assert cloud(server) == []


def test_an_asynchronous_creation_that_fails_is_seen_in_its_state_and_log(server, api, document) -> None:
    server.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse", "message": "no machines today"}])
    infrastructure = api.create(document(cloud="dummy", count=2))
    assert api.settled(infrastructure) == "failed"
    assert "no machines today" in api.contmsg(infrastructure)
    assert "instance" not in cloud(server)


def test_when_some_machines_fail_the_others_are_there(server, api, document) -> None:
    fault = {"verb": "create", "resource": "instance/1", "effect": "refuse", "message": "not this one"}
    server.behave(faults=[fault])
    infrastructure = api.create(document(cloud="dummy", count=3), asynchronous=False)
    assert api.settled(infrastructure, among=("failed",)) == "failed"
    assert api.state(infrastructure)[1] == {"0": "configured", "1": "failed", "2": "configured"}
    assert "not this one" in api.contmsg(infrastructure, 1)
    assert cloud(server).count("instance") == 2


def test_destroying_is_accepted_while_machines_are_being_made(server, api, document) -> None:
    server.behave(latency={"create": 0.5})
    infrastructure = api.create(document(cloud="dummy", count=4))
    api.ok("DELETE", f"/infrastructures/{infrastructure}")
    assert api.ids() == []
    assert cloud(server) == []


def test_nothing_is_added_to_what_is_being_deleted(server, api, document) -> None:
    server.behave(latency={"delete": 1})
    infrastructure = api.create(document(cloud="dummy"), asynchronous=False)
    api.ok("DELETE", f"/infrastructures/{infrastructure}?async=1")
    assert api.state(infrastructure)[0] == "deleting"
    answer = api.request("POST", f"/infrastructures/{infrastructure}", "network net ()\nsystem node\ndeploy node 1")
    assert (answer.status, answer.text) == (
        400, "Error Adding resources: Infrastructure deleted. Do not add resources."
    )  # fmt: skip
    for path in ("reconfigure", "stop", "start", "vms/0/reboot"):
        answer = api.request("PUT", f"/infrastructures/{infrastructure}/{path}")
        assert answer.status in (404, 409)
    api.ok("DELETE", f"/infrastructures/{infrastructure}")
    assert api.ids() == []


def test_additions_at_the_same_time_do_not_undo_each_other(server, api) -> None:
    infrastructure = api.create("network net ()")
    padding = "# " + "x" * 40_000 + "\n"  # long documents are read in threads

    def add(number: int) -> str:
        system = f"system node{number} (net_interface.0.connection = 'net')"
        text = f"{padding}network net ()\n{system}\ncontextualize ()\ndeploy node{number} 1\n"
        return str(api.ok("POST", f"/infrastructures/{infrastructure}", text).text)

    with ThreadPoolExecutor(8) as pool:
        uris = list(pool.map(add, range(8)))
    assert len(set(uris)) == 8
    assert api.vms(infrastructure) == list(range(8))
    stored = api.ok("GET", f"/infrastructures/{infrastructure}/radl").text
    assert all(f"system node{number} (" in stored for number in range(8))
    assert cloud(server).count("instance") == 8


def test_machines_are_removed_by_several_clients_at_once_each_once(server, api, document) -> None:
    infrastructure = api.create(document(cloud="dummy", count=6), asynchronous=False)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda vms: api.request("DELETE", f"/infrastructures/{infrastructure}/vms/{vms}"), ["0,1", "1,2", "4"]
            )
        )
    assert {answer.status for answer in answers} <= {200, 404}
    assert answers[2].status == 200
    left = api.vms(infrastructure)
    assert left in ([3, 5], [0, 3, 5], [2, 3, 5])
    assert cloud(server).count("instance") == len(left)


def test_a_plan_makes_nothing(server, api, document) -> None:
    plan = api.ok("POST", "/infrastructures/plan", document(cloud="dummy", count=3)).json
    assert plan
    assert api.ids() == []
    assert cloud(server) == []


DISABLED = "Function currently disabled."


@pytest.mark.parametrize("mode", [1, 2])
def test_a_boot_mode_lets_look_and_perhaps_delete(new_server, document, mode: int) -> None:
    server = new_server(CONNECTORS="dummy").start()
    api = server.api()
    infrastructure, other = (api.create(document(cloud="dummy")) for _ in range(2))
    api.configured(infrastructure)
    server.options["BOOT_MODE"] = mode
    server.restart()
    here = f"/infrastructures/{infrastructure}"
    for path in ("", "/state", "/radl", "/contmsg", "/data", "/authorization", "/vms/0", "/vms/0/state", "/events"):
        api.ok("GET", here + path)
    for path in ("/version", "/stats", "/clouds/sim/images", "/clouds/sim/quotas"):
        api.ok("GET", path)
    for path in ("/infrastructures?dry_run=1", "/infrastructures/plan", "/infrastructures/validate"):
        api.ok("POST", path, document(cloud="dummy"))
    snapshot = "disks/0/snapshot?image_name=copy"
    for method, path in (
        ("POST", "/infrastructures"), ("PUT", "/infrastructures"), ("POST", here), ("PUT", f"{here}/reconfigure"),
        ("PUT", f"{here}/start"), ("PUT", f"{here}/stop"), ("PUT", f"{here}/vms/0"), ("PUT", f"{here}/vms/0/start"),
        ("PUT", f"{here}/vms/0/stop"), ("PUT", f"{here}/vms/0/reboot"), ("PUT", f"{here}/vms/0/{snapshot}"),
        ("DELETE", f"{here}/vms/0"), ("POST", "/infrastructures/unknown"), ("POST", "/infrastructures/plan/unknown.1"),
    ):  # fmt: skip
        answer = api.request(method, path, "")
        assert (answer.status, answer.text.endswith(DISABLED)) == (403, True), f"{method} {path}: {answer.text}"
    bea = json.dumps({"username": "bea", "password": "bea's-password-31c0"})
    answer = api.request("POST", f"{here}/authorization", bea)
    assert (answer.status, answer.text.endswith(DISABLED)) == (403, True)
    assert api.request("GET", f"/infrastructures/{other}/data?delete=1").status == (403 if mode == 1 else 200)
    answer = api.request("DELETE", here)
    assert answer.status == (403 if mode == 1 else 200)
    assert len(api.ids()) == (2 if mode == 1 else 0)
