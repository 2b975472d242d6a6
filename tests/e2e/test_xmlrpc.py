"""The XML-RPC API of the real service, asked by the client of the standard library, and both APIs side by side."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
import sys
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from imframework.testing.certificates import Authority

pytestmark = pytest.mark.xdist_group("xmlrpc")

PASSWORD = "ana's-password-79bd"
NOT_KNOWN = "Invalid infrastructure ID or access not granted."
NOBODY = "No credentials provided for the InfrastructureManager."

RECIPE = """
- ansible.builtin.debug:
    msg: "configured by {{ inventory_hostname }}"
"""


def items(user: str = "ana", password: str = PASSWORD) -> list[dict[str, str]]:
    """The credentials of `Server.api`, as items."""
    return [
        {"type": "InfrastructureManager", "username": user, "password": password},
        {"id": "here", "type": "Local"},
        {"id": "sim", "type": "Dummy"},
    ]


@dataclass
class Rpc:
    """A user of the XML-RPC API."""

    server: Any
    auth: list[dict[str, str]]
    context: ssl.SSLContext | None = None

    def call(self, method: str, *parameters: Any) -> Any:
        """The whole answer."""
        with xmlrpc.client.ServerProxy(self.server.addresses[1], allow_none=True, context=self.context) as proxy:
            return getattr(proxy, method)(*parameters)

    def value(self, method: str, *parameters: Any) -> Any:
        """The value of a call that must succeed."""
        good, value = self.call(method, *parameters)
        assert good is True, f"{method}: {value}"
        return value

    def of(self, infrastructure: str, method: str, *parameters: Any) -> Any:
        """The value of a call with an infrastructure first and the credentials last."""
        return self.value(method, infrastructure, *parameters, self.auth)


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with both APIs."""
    options = {"ACTIVATE_XMLRPC": True, "XMLRCP_ADDRESS": "127.0.0.1", "XMLRCP_PORT": 0}
    server = new_module_server(**options).start()
    server.secrets.add(PASSWORD)
    return server


@pytest.fixture
def rpc(server: Any, api: Any) -> Rpc:
    """The user `api` is, at the other API."""
    return Rpc(server, items())


@pytest.fixture
def infrastructure(rpc: Rpc, document: Any, eventually: Any) -> str:
    """A configured infrastructure of two simulated machines."""
    id = rpc.value("CreateInfrastructure", document(cloud="dummy", count=2), rpc.auth)
    eventually(lambda: rpc.of(id, "GetInfrastructureState")["state"] == "configured", "configured infrastructure")
    return str(id)


# --- the specification's list of tests ---------------------------------------------------------------------------


def test_the_version_is_told_to_anybody(rpc: Rpc) -> None:
    good, version = rpc.call("GetVersion")
    assert good is True
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", version)


def test_calls_that_there_are_not_are_faults(rpc: Rpc) -> None:
    with pytest.raises(xmlrpc.client.Fault, match='method "Foo" is not supported') as unknown:
        rpc.call("Foo")
    with pytest.raises(xmlrpc.client.Fault, match="<class 'TypeError'>:") as short:
        rpc.call("GetInfrastructureInfo", "id")
    assert (unknown.value.faultCode, short.value.faultCode) == (1, 1)
    connection = http.client.HTTPConnection(urlsplit(rpc.server.addresses[1]).netloc, timeout=60)
    connection.request("POST", "/foo", b"x")
    assert connection.getresponse().status == 404
    connection.close()


def test_an_infrastructure_is_made_listed_and_looked_at(rpc: Rpc, infrastructure: str) -> None:
    assert rpc.value("GetInfrastructureList", rpc.auth) == [infrastructure]
    assert rpc.value("GetInfrastructureList", rpc.auth, None) == [infrastructure]
    assert rpc.value("GetInfrastructureList", rpc.auth, "no such text") == []
    assert rpc.of(infrastructure, "GetInfrastructureInfo") == ["0", "1"]
    assert rpc.of(infrastructure, "GetInfrastructureState") == {
        "state": "configured",
        "vm_states": {"0": "configured", "1": "configured"},
    }
    assert "system node" in rpc.of(infrastructure, "GetInfrastructureRADL")
    info = rpc.of(infrastructure, "GetVMInfo", 0)
    assert info == rpc.of(infrastructure, "GetVMInfo", "0")
    assert "net_interface.0.ip" in info
    assert isinstance(rpc.of(infrastructure, "GetVMContMsg", 0), str)
    assert isinstance(rpc.of(infrastructure, "GetInfrastructureContMsg"), str)
    assert rpc.of(infrastructure, "GetVMProperty", 0, "cpu.count") >= 1


def test_machines_are_removed_however_they_are_written(rpc: Rpc, document: Any) -> None:
    id = rpc.value("CreateInfrastructure", document(cloud="dummy", count=5), rpc.auth)
    removed = [rpc.of(id, "RemoveResource", vms) for vms in ("1", 2, [3], ["4"])]
    assert removed == [1, 1, 1, 1]
    assert rpc.of(id, "GetInfrastructureInfo") == ["0"]


def test_a_number_beyond_32_bit_and_a_property_that_is_not_there_are_told(rpc: Rpc, document: Any) -> None:
    radl = document(cloud="dummy").replace("(net_interface", "(memory.size >= 4g and net_interface")
    id = rpc.value("CreateInfrastructure", radl, rpc.auth)
    assert int(rpc.of(id, "GetVMProperty", 0, "memory.size")) >= 4 * 10**9
    assert rpc.call("GetVMProperty", id, 0, "foo", rpc.auth) == [False, "Incorrect property foo for VM ID 0"]


def test_estimates_are_told_under_both_names(rpc: Rpc, document: Any) -> None:
    estimate = rpc.value("EstimateResources", document(cloud="dummy"), rpc.auth)
    assert rpc.value("EstimateResouces", document(cloud="dummy"), rpc.auth) == estimate
    assert len(estimate["sim"]["compute"]) == 1


def test_credentials_are_a_list_with_an_account(rpc: Rpc) -> None:
    for auth in ("type = InfrastructureManager; username = ana", [], rpc.auth[1:]):
        assert rpc.call("GetInfrastructureList", auth) == [False, NOBODY]
    malformed = [*rpc.auth, {"type": "Dummy", "id": "a b"}]
    assert rpc.call("GetInfrastructureList", malformed) == [False, "Incorrect value in auth item id: a b"]


def test_machines_are_stopped_started_rebooted_and_destroyed(rpc: Rpc, infrastructure: str, eventually: Any) -> None:
    assert rpc.of(infrastructure, "StopVM", 0) == ""
    assert rpc.of(infrastructure, "GetInfrastructureState")["vm_states"] == {"0": "stopped", "1": "configured"}
    assert rpc.of(infrastructure, "StartVM", "0") == ""
    assert rpc.of(infrastructure, "RebootVM", 1) == ""
    assert rpc.of(infrastructure, "StopInfrastructure") == ""
    assert rpc.of(infrastructure, "GetInfrastructureState")["state"] == "stopped"
    assert rpc.of(infrastructure, "StartInfrastructure") == ""
    assert rpc.value("DestroyInfrastructure", infrastructure, rpc.auth, False, False) == ""
    assert rpc.call("GetInfrastructureState", infrastructure, rpc.auth) == [False, "Deleted infrastructure."]


def test_machines_are_configured_where_the_client_says_nothing_of_it(rpc: Rpc, document: Any, eventually: Any) -> None:
    id = rpc.value("CreateInfrastructure", document(RECIPE), rpc.auth, True)

    def configured() -> bool:
        state = rpc.of(id, "GetInfrastructureState")["state"]
        assert state not in ("failed", "unconfigured"), rpc.of(id, "GetInfrastructureContMsg")
        return bool(state == "configured")

    eventually(configured, "configured infrastructure")
    assert rpc.value("AddResource", id, "network net ()\nsystem node ()\ndeploy node 1", rpc.auth, None) == [1]
    eventually(configured, "configured infrastructure")
    assert "configured by" in rpc.of(id, "GetVMContMsg", 1)
    assert rpc.value("Reconfigure", id, "", rpc.auth, [1]) == ""
    eventually(configured, "configured infrastructure")


def test_owners_are_given_as_one_or_as_several(rpc: Rpc, infrastructure: str) -> None:
    bob = {"type": "InfrastructureManager", "username": "bob", "password": "bob's-password-5c1e"}
    rpc.server.secrets.add(bob["password"])
    assert rpc.value("ChangeInfrastructureAuth", infrastructure, bob, False, rpc.auth) == ""
    assert rpc.value("ChangeInfrastructureAuth", infrastructure, [bob], False, rpc.auth) == ""
    assert rpc.of(infrastructure, "GetInfrastructureOwners") == ["ana", "bob"]


def test_an_infrastructure_is_exported_with_deletion_and_imported_again(rpc: Rpc, infrastructure: str) -> None:
    exported = rpc.value("ExportInfrastructure", infrastructure, True, rpc.auth)
    assert infrastructure not in rpc.value("GetInfrastructureList", rpc.auth)
    assert rpc.call("ImportInfrastructure", exported, rpc.auth) == [True, infrastructure]


def test_what_is_done_is_recorded_with_the_front_end_and_the_address(rpc: Rpc, api: Any, eventually: Any) -> None:
    with xmlrpc.client.ServerProxy(rpc.server.addresses[1], headers=[("X-Forwarded-For", "192.0.2.7")]) as proxied:
        infrastructure = proxied.CreateInfrastructure("", rpc.auth)[1]
    assert rpc.value("DestroyInfrastructure", infrastructure, rpc.auth) == ""

    def records() -> list[tuple[str, str, str]]:
        found = [each for each in api.ok("GET", "/audit").json["audit"] if each["target"] == infrastructure]
        return [(each["operation"], each["front_end"], each["address"]) for each in found]

    eventually(lambda: len(records()) == 2, "two records")
    assert records() == [("create", "xmlrpc", "192.0.2.7"), ("destroy", "xmlrpc", "127.0.0.1")]


def test_machines_are_altered_and_clouds_asked(rpc: Rpc, infrastructure: str) -> None:
    altered = rpc.of(infrastructure, "AlterVM", 0, "system node (cpu.count >= 2)")
    assert "cpu.count = 2" in altered
    image = rpc.of(infrastructure, "CreateDiskSnapshot", 0, 0, "copy", True)
    assert {"uri": image, "name": "copy"} in rpc.value("GetCloudImageList", "sim", rpc.auth)
    assert all(set(quota) == {"used", "limit"} for quota in rpc.value("GetCloudQuotas", "sim", rpc.auth).values())
    assert infrastructure in [record["inf_id"] for record in rpc.value("GetStats", "", "", rpc.auth)]


def test_nothing_is_made_while_the_operator_has_it_switched_off(new_server: Any, document: Any) -> None:
    server = new_server(
        CONNECTORS="dummy", ACTIVATE_XMLRPC=True, XMLRCP_ADDRESS="127.0.0.1", XMLRCP_PORT=0, BOOT_MODE=1
    )
    authority = Authority(server.directory)
    pair = authority.issue("localhost")
    server.options |= {
        "XMLRCP_SSL": True,
        "XMLRCP_SSL_CERTFILE": pair.certificate,
        "XMLRCP_SSL_KEYFILE": pair.key,
        "XMLRCP_SSL_CA_CERTS": authority.certificate,
    }
    server.start()
    context = ssl.create_default_context(cafile=authority.certificate)
    context.check_hostname = False
    rpc = Rpc(server, items(), context)
    assert server.addresses[1].startswith("https://")
    assert rpc.call("CreateInfrastructure", document(cloud="dummy"), rpc.auth) == [
        False,
        "Function currently disabled.",
    ]
    assert server.stop() == 0


def test_a_call_in_progress_is_answered_when_the_service_is_told_to_stop(
    new_server: Any, document: Any, eventually: Any
) -> None:
    server = new_server(
        CONNECTORS="dummy", ACTIVATE_XMLRPC=True, XMLRCP_ADDRESS="127.0.0.1", XMLRCP_PORT=0, SHUTDOWN_TIMEOUT=60
    )
    server.start().behave(latency={"create": 1})
    api, rpc = server.api(), Rpc(server, items())
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(rpc.call, "CreateInfrastructure", document(cloud="dummy"), rpc.auth)
        (infrastructure,) = eventually(api.ids, "infrastructure that is being made")
        assert server.stop() == 0
        assert call.result(60) == [True, infrastructure]


def test_the_example_of_the_documentation_runs_as_it_stands_there(rpc: Rpc, pytestconfig: Any) -> None:
    page = (pytestconfig.rootpath / "docs/reference/xmlrpc-api.md").read_text(encoding="utf-8")
    ((program, printed),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", page, re.DOTALL)
    program = program.replace("http://127.0.0.1:8899", rpc.server.addresses[1])
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (run.stdout, run.stderr) == (printed, "")


# --- both APIs ----------------------------------------------------------------------------------------------------


def test_what_one_api_does_the_other_sees_at_once(rpc: Rpc, api: Any, document: Any) -> None:
    radl = document(cloud="dummy")
    id = rpc.value("CreateInfrastructure", radl, rpc.auth)
    assert api.vms(id) == [0]
    added = api.ok("POST", f"/infrastructures/{id}", "network net ()\nsystem node ()\ndeploy node 1").text
    assert added.endswith(f"/infrastructures/{id}/vms/1")
    assert rpc.of(id, "GetInfrastructureInfo") == ["0", "1"]
    rpc.of(id, "StopVM", 0)
    assert api.state(id)[1]["0"] == "stopped"
    api.ok("PUT", f"/infrastructures/{id}/vms/0/start")
    assert rpc.of(id, "GetInfrastructureState")["vm_states"]["0"] != "stopped"
    rpc.of(id, "RemoveResource", 1)
    assert api.vms(id) == [0]
    api.destroy(id)
    assert rpc.value("GetInfrastructureList", rpc.auth) == []


@dataclass
class Both:
    """A user of both APIs, who makes the same mistake in both."""

    rpc: Rpc
    api: Any

    def same(self, text: str, status: int, call: tuple[Any, ...], *request: Any) -> None:
        """Check that both answers to a fault are the same, but for the prefix of REST; `text` is how it begins."""
        good, message = self.rpc.call(*call)
        assert good is False
        answer = self.api.request(*request)
        assert answer.status == status, answer.text
        assert message.startswith(text)
        prefix = answer.text.removesuffix(message)
        assert prefix + message == answer.text
        assert re.fullmatch(r"(Error [^:]*: )?", prefix), prefix


@pytest.fixture
def both(rpc: Rpc, api: Any) -> Both:
    return Both(rpc, api)


def test_the_same_fault_is_the_same_error_on_both(both: Both, server: Any, infrastructure: str, document: Any) -> None:
    auth, inf = both.rpc.auth, f"/infrastructures/{infrastructure}"
    both.same(NOT_KNOWN, 404, ("GetInfrastructureInfo", "none", auth), "GET", "/infrastructures/none")
    both.same("Invalid VM ID", 404, ("GetVMInfo", infrastructure, 9, auth), "GET", f"{inf}/vms/9")
    both.same("Invalid VM ID", 404, ("GetVMInfo", infrastructure, "x", auth), "GET", f"{inf}/vms/x")
    both.same(
        "Incorrect property foo for VM ID 0",
        404,
        ("GetVMProperty", infrastructure, 0, "foo", auth),
        "GET",
        f"{inf}/vms/0/foo",
    )
    both.same("", 400, ("GetInfrastructureList", auth, "("), "GET", "/infrastructures?filter=(")
    for radl, text in (
        ("system (", "Parse error in: "),
        ("network net ()\nsystem node ()\ndeploy other 1", "Line 3: "),
    ):
        both.same(text, 400, ("CreateInfrastructure", radl, auth), "POST", "/infrastructures", radl)
    both.same(
        "Incorrect vm_list format.",
        400,
        ("Reconfigure", infrastructure, "", auth, "x"),
        "PUT",
        f"{inf}/reconfigure?vm_list=x",
    )
    both.rpc.of(infrastructure, "RemoveResource", 1)
    both.same("Deleted VM.", 404, ("GetVMInfo", infrastructure, 1, auth), "GET", f"{inf}/vms/1")
    radl = document(cloud="dummy").replace("node 1", "node 1 nocloud")
    text = "No auth data for cloud with ID: nocloud"
    both.same(text, 400, ("CreateInfrastructure", radl, auth), "POST", "/infrastructures", radl)
    radl = document(cloud="dummy")
    server.behave(images=["other*"])
    both.same("Error adding VMs: No VMI", 400, ("CreateInfrastructure", radl, auth), "POST", "/infrastructures", radl)
    server.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse", "message": "full"}])
    both.same("Error adding VMs: ", 400, ("CreateInfrastructure", radl, auth), "POST", "/infrastructures", radl)
    server.behave()
    both.rpc.value("DestroyInfrastructure", infrastructure, auth)
    both.same("Deleted infrastructure.", 404, ("GetInfrastructureInfo", infrastructure, auth), "GET", inf)


def test_faults_of_exports_clouds_and_images_are_the_same_errors_too(both: Both, infrastructure: str) -> None:
    auth, rpc = both.rpc.auth, both.rpc
    for method, path in (("GetCloudImageList", "images"), ("GetCloudQuotas", "quotas")):
        both.same("Cloud ID none not found.", 400, (method, "none", auth), "GET", f"/clouds/none/{path}")
    disk = f"/infrastructures/{infrastructure}/vms/0/disks/7/snapshot?image_name=copy"
    call = ("CreateDiskSnapshot", infrastructure, 0, 7, "copy", False, auth)
    both.same("Error creating snapshot: VM 0 has no disk 7.", 400, call, "PUT", disk)
    exported = rpc.value("ExportInfrastructure", infrastructure, False, auth)
    for document, text in (
        (exported, "Trying to add an existing infrastructure ID."),
        ("garbage", "Error importing the infrastructure, incorrect data: "),
    ):
        both.same(text, 400, ("ImportInfrastructure", document, auth), "PUT", "/infrastructures", document)
    both.same(
        "Incorrect format in init_date parameter: YYYY/MM/dd",
        400,
        ("GetStats", "never", "", auth),
        "GET",
        "/stats?init_date=never",
    )
    both.same(NOT_KNOWN, 404, ("GetInfrastructureOwners", "none", auth), "GET", "/infrastructures/none/authorization")


def test_who_is_refused_by_one_is_refused_by_the_other(both: Both, server: Any, infrastructure: str) -> None:
    eve = Both(Rpc(server, items("eve", "eve's-password-0d")), server.api("eve", "eve's-password-0d"))
    path = f"/infrastructures/{infrastructure}"
    call = ("GetInfrastructureInfo", infrastructure, eve.rpc.auth)
    eve.same("Access to this infrastructure not granted.", 403, call, "GET", path)
    call = ("DestroyInfrastructure", infrastructure, eve.rpc.auth)
    eve.same("Access to this infrastructure not granted.", 403, call, "DELETE", path)
    nobody = Both(Rpc(server, [{"id": "sim", "type": "Dummy"}]), type(both.api)(server, "id = sim; type = Dummy"))
    nobody.same(NOBODY, 401, ("GetInfrastructureList", nobody.rpc.auth), "GET", "/infrastructures")
