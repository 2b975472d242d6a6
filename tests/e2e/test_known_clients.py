"""What programs of the field send, byte for byte as far as it matters, and what they read in the answers.

Each test is one of them: the web dashboard, EC3, CLUES, the probes of the Helm chart, HAProxy. The last ones are what
a later server did to them, and this one must not. `im_client` has a module of its own, with the real program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import ServerProxy

import pytest

pytestmark = pytest.mark.xdist_group("known-clients")

TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
metadata: {template_name: one-node}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: {properties: {count: 1}}
        endpoint: {properties: {network_name: PUBLIC}}
        host: {properties: {num_cpus: 2, mem_size: 2 GB}}
        os: {properties: {image: "mock0://linux.for.ev.er/image1", type: linux}}
  outputs:
    address: {value: {get_attribute: [node, private_address, 0]}}
"""
CLUSTER = """
network inside ()
system front (
  net_interface.0.connection = 'inside' and
  net_interface.0.dns_name = 'kubeserver' and
  disk.0.os.name = 'linux' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1'
)
system wn (
  net_interface.0.connection = 'inside' and
  net_interface.0.dns_name = 'wn-#N#' and
  disk.0.os.name = 'linux' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1'
)
contextualize ()
deploy front 1
deploy wn 1
"""
#: Headers that the library `requests` sends by itself.
REQUESTS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive", "User-Agent": "requests"}
STATS = {
    "creation_date", "cloud_host", "cloud_type", "hybrid", "deleted", "inf_id", "tosca_name", "vm_count", "cpu_count",
    "memory_size",
}  # fmt: skip
YAML = {**REQUESTS, "Content-Type": "text/yaml"}
JSON = {**REQUESTS, "Accept": "application/json"}


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with both APIs."""
    return new_module_server(ACTIVATE_XMLRPC=True, XMLRCP_ADDRESS="127.0.0.1", XMLRCP_PORT=0).start()


class Program:
    """A program that sends its headers with everything."""

    def __init__(self, api: Any, headers: dict[str, str]) -> None:
        self.api = api
        self.headers = headers

    def __call__(self, method: str, where: str, body: str | None = None, **headers: str) -> Any:
        """The answer to a request, which must succeed; `where` is a path, or a URI that was answered before."""
        uri = urlsplit(where)
        path = uri.path + (f"?{uri.query}" if uri.query else "")
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.api.request(method, path, body, sent)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.text}"
        return answer


# --- the dashboard ----------------------------------------------------------------------------------------------


@pytest.fixture
def dashboard(api: Any) -> Program:
    return Program(api, REQUESTS)


@pytest.fixture
def deployed(api: Any, dashboard: Program) -> str:
    """The id of an infrastructure that the dashboard has made."""
    created = dashboard("POST", "/infrastructures?async=1", TEMPLATE, Content_Type="text/yaml")
    id = str(created.text.rpartition("/")[2])
    api.configured(id)
    return id


def test_the_dashboard_estimates_before_it_creates(dashboard: Program) -> None:
    answer = dashboard("POST", "/infrastructures?dry_run=1", TEMPLATE, Content_Type="text/yaml")
    assert answer.json["sim"]["cloudType"] == "Dummy"
    assert answer.json["sim"]["compute"] == [{"cpuCores": 2, "memoryInMegabytes": 2000, "publicIP": 1}]
    assert answer.json["sim"]["storage"] == []
    assert dashboard("GET", "/infrastructures").text == ""


def test_the_dashboard_shows_what_there_is(dashboard: Program, deployed: str) -> None:
    inf = f"/infrastructures/{deployed}"
    assert dashboard("GET", "/infrastructures", Accept="application/json").json["uri-list"][0]["uri"].endswith(inf)
    assert dashboard("GET", f"{inf}/state", Accept="application/json").json["state"] == {
        "state": "configured",
        "vm_states": {"0": "configured"},
    }
    assert dashboard("GET", f"{inf}/outputs").json["outputs"] == {"address": "10.0.0.1"}
    assert dashboard("GET", f"{inf}/tosca").text.strip() == TEMPLATE.strip()
    assert dashboard("GET", f"{inf}/authorization").text == "ana"
    assert dashboard("GET", f"{inf}/radl", Accept="application/json").json["radl"].count("deploy ") == 1

    (vm,) = dashboard("GET", inf).text.split()
    *networks, system = dashboard("GET", vm, Accept="application/json").json["radl"]
    assert {network["class"] for network in networks} == {"network"}
    assert "yes" in {network.get("outbound") for network in networks}
    assert system["class"] == "system"
    assert system["provider.type"] == "Dummy"
    assert system["state"] == "configured"
    assert system["net_interface.0.ip"] == "10.0.0.1"
    assert system["net_interface.0.connection"] in {network["id"] for network in networks}
    assert system["disk.0.image.url"] == "mock0://linux.for.ev.er/image1"
    assert system["disk.0.os.credentials.username"]
    assert system["disk.0.os.credentials.password"]
    assert (system["cpu.count"], system["memory.size"]) == (2, 2_000_000_000)

    (record,) = [each for each in dashboard("GET", "/stats").json["stats"] if each["inf_id"] == deployed]
    assert record.keys() >= STATS
    assert (record["tosca_name"], record["vm_count"], record["deleted"]) == ("one-node", 1, False)
    assert dashboard("GET", "/clouds/sim/images").json["images"][0].keys() == {"uri", "name"}
    assert dashboard("GET", "/clouds/sim/quotas").json["quotas"]["cores"].keys() == {"used", "limit"}


def test_the_dashboard_changes_what_there_is(api: Any, dashboard: Program, deployed: str) -> None:
    inf = f"/infrastructures/{deployed}"
    radl = dashboard("GET", f"{inf}/radl").text
    more, _ = re.subn(r"^deploy (\S+) \d+.*", r"deploy \1 2", radl, flags=re.MULTILINE)
    assert len(dashboard("POST", inf, more, Content_Type="text/plain").text.split()) == 2
    dashboard("DELETE", f"{inf}/vms/2")
    assert api.vms(deployed) == [0, 1]
    dashboard("PUT", f"{inf}/reconfigure", "", Content_Type="text/yaml")
    dashboard("PUT", f"{inf}/reconfigure?vm_list=0", "", Content_Type="text/yaml")
    api.configured(deployed)
    dashboard("PUT", f"{inf}/vms/0/stop")
    assert dashboard("GET", f"{inf}/vms/0/state").text == "stopped"
    dashboard("PUT", f"{inf}/vms/0/start")
    dashboard("PUT", f"{inf}/vms/0/reboot")
    dashboard("PUT", f"{inf}/vms/0", "system node (cpu.count >= 4)", Content_Type="text/plain")
    assert dashboard("GET", f"{inf}/vms/0/cpu.count").text == "4"
    image = dashboard("PUT", f"{inf}/vms/0/disks/0/snapshot?image_name=mine&auto_delete=yes").text
    assert image.startswith("mock0://")
    dashboard("PUT", f"{inf}/stop")
    assert api.state(deployed)[0] == "stopped"
    dashboard("PUT", f"{inf}/start")
    owner = {"type": "InfrastructureManager", "username": "bea", "password": "of-bea"}
    dashboard("POST", f"{inf}/authorization?overwrite=0", json.dumps(owner), Content_Type="application/json")
    assert dashboard("GET", f"{inf}/authorization").text == "ana\nbea"


def test_the_dashboard_takes_404_for_deletion(api: Any, dashboard: Program, deployed: str, eventually: Any) -> None:
    dashboard("DELETE", f"/infrastructures/{deployed}?async=1&force=1")
    state = f"/infrastructures/{deployed}/state"
    eventually(lambda: api.request("GET", state, None, JSON).status == 404, "state that is not found")
    assert dashboard("GET", "/infrastructures").text == ""


def test_the_dashboard_migrates(server: Any, new_server: Any, api: Any, dashboard: Program, deployed: str) -> None:
    other = new_server(CONNECTORS="dummy", DUMMY_FILE=server.options["DUMMY_FILE"]).start()
    there = Program(other.api(), REQUESTS)
    data = dashboard("GET", f"/infrastructures/{deployed}/data", Accept="application/json").json["data"]
    moved = there("PUT", "/infrastructures", data, Content_Type="application/json")
    assert moved.text.endswith(f"/infrastructures/{deployed}")
    dashboard("GET", f"/infrastructures/{deployed}/data?delete=yes", Accept="application/json")
    assert deployed not in api.ids()
    assert there("GET", f"/infrastructures/{deployed}/vms/0/net_interface.0.ip").text == "10.0.0.1"
    there("DELETE", f"/infrastructures/{deployed}")


def test_the_dashboard_shows_logs_by_machine_and_marks_errors(api: Any, document: Any) -> None:
    recipe = """
- name: Look for something
  command: /bin/false
  ignore_errors: true
- name: Do what cannot be done
  command: /bin/false
"""
    id = Program(api, REQUESTS)("POST", "/infrastructures?async=1", document(recipe)).headers["InfID"]
    assert api.settled(id) == "unconfigured"
    log = Program(api, REQUESTS)("GET", f"/infrastructures/{id}/contmsg").text
    header, of_vm = re.split(r"^VM 0:$", log, flags=re.MULTILINE)
    assert "VM 0:" not in Program(api, REQUESTS)("GET", f"/infrastructures/{id}/contmsg?headeronly=1").text
    assert "TASK [" in of_vm
    assert "ERROR executing task" in of_vm
    assert re.search(r"fatal: .*(\n.*)?\.\.\.ignoring", of_vm)
    assert header


# --- EC3 and CLUES ----------------------------------------------------------------------------------------------


def test_ec3_makes_stops_saves_and_restores_a_cluster(api: Any) -> None:
    ec3 = Program(api, {"Accept": "text/*"})
    uri = ec3("POST", "/infrastructures", CLUSTER).text
    id = uri.rpartition("/")[2]
    api.configured(id)
    assert ec3("GET", f"{uri}/state").json["state"]["vm_states"]["0"] == "configured"
    assert "deploy front 1" in ec3("GET", f"{uri}/radl").text
    assert "kubeserver" in ec3("GET", f"{uri}/vms/0").text
    assert "Contextualization" in ec3("GET", f"{uri}/contmsg").text
    ec3("PUT", f"{uri}/reconfigure", "")
    api.configured(id)
    ec3("PUT", f"{uri}/stop")
    assert ec3("GET", f"{uri}/state").json["state"]["state"] == "stopped"
    ec3("PUT", f"{uri}/start")
    saved = ec3("GET", f"{uri}/data?delete=yes").json["data"]
    assert api.ids() == []
    assert ec3("PUT", "/infrastructures", saved).text == uri
    assert api.vms(id) == [0, 1]
    ec3("DELETE", uri)


@pytest.fixture(params=["RADL", "TOSCA"])
def elastic(api: Any, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """An infrastructure of the user's, the only one, and the document in which CLUES asks for one more node."""
    if request.param == "RADL":
        created = api.ok("POST", "/infrastructures", CLUSTER)
        more = "network inside\nsystem wn\ndeploy wn 1\n"
    else:
        created = api.ok("POST", "/infrastructures", TEMPLATE, Content_Type="text/yaml")
        more = TEMPLATE.replace("count: 1", "count: 2")
    api.configured(created.headers["InfID"])
    yield created.headers["InfID"], more
    api.destroy(created.headers["InfID"])


def test_clues_powers_nodes(api: Any, elastic: tuple[str, str]) -> None:
    id, more = elastic
    clues = Program(api, {"Accept": "text/*"})
    endpoint = clues("GET", "/infrastructures").text.split("\n")[0]
    front_end = clues("GET", endpoint).text.split("\n")[0]
    assert front_end.endswith("/vms/0")
    assert re.search(r"net_interface.0.dns_name = '\S+'", clues("GET", front_end).text)
    assert "state = 'configured'" in clues("GET", front_end).text
    assert "deploy" in clues("GET", f"{endpoint}/radl", Accept="application/json").json["radl"]
    is_template = api.request("GET", f"/infrastructures/{id}/tosca", None, {"Accept": "application/json"})
    if "tosca_definitions" in more:
        assert is_template.json["tosca"].strip() == TEMPLATE.strip()
    else:
        assert is_template.status == 403
    known = set(clues("GET", endpoint).text.split("\n"))
    kind = "text/yaml" if "tosca_definitions" in more else "text/plain"
    (node,) = clues("POST", endpoint, more, Content_Type=kind).text.split("\n")
    assert node not in known
    api.configured(id)
    clues("PUT", f"{node}/stop")
    assert "state = 'stopped'" in clues("GET", node).text
    clues("PUT", f"{node}/start")
    clues("DELETE", node)
    assert set(clues("GET", endpoint).text.split("\n")) == known


# --- probes and balancers ---------------------------------------------------------------------------------------


def test_probes_ask_for_the_version_without_credentials(server: Any) -> None:
    balancer = server.say(b"GET /version HTTP/1.0\r\n\r\n", hang_up=True)
    assert re.match(rb"HTTP/1\.[01] 200 ", balancer)
    kubelet = server.say(
        b"GET /version HTTP/1.1\r\nHost: 10.1.2.3:8800\r\nUser-Agent: kube-probe/1.30\r\nAccept: */*\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert kubelet.startswith(b"HTTP/1.1 200 ")
    assert re.search(rb"\r\n\r\n\d+\.\d+\.\d+$", kubelet)


def test_monitoring_reads_the_message_of_an_error(api: Any) -> None:
    answer = api.request("GET", "/infrastructures/none/state", None, JSON)
    assert answer.json == {
        "message": "Error Getting Inf. prop: Invalid infrastructure ID or access not granted.",
        "code": answer.status,
    }


def test_haproxy_finds_an_infrastructure_by_header_and_path(api: Any) -> None:
    created = api.ok("POST", "/infrastructures", CLUSTER)
    id = created.headers["InfID"]
    assert re.fullmatch(r"[0-9a-f-]{36}", id)
    assert urlsplit(created.text).path.split("/")[2] == id
    assert api.ok("POST", f"/infrastructures/{id}", "network inside\nsystem wn\ndeploy wn 1").headers["InfID"] == id
    assert api.ok("PUT", f"/infrastructures/{id}/reconfigure").headers["InfID"] == id
    data = api.ok("GET", f"/infrastructures/{id}/data?delete=1").json["data"]
    assert api.ok("PUT", "/infrastructures", data).headers["InfID"] == id


# --- what 2.0 did to them ---------------------------------------------------------------------------------------


def test_lists_are_filtered(api: Any) -> None:
    id = api.create(CLUSTER)
    assert [uri.endswith(id) for uri in api.ok("GET", "/infrastructures?filter=kube.erver").text.split()] == [True]
    assert api.ok("GET", "/infrastructures?filter=nothing").text == ""


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "/infrastructures", {"Content-Type": "text/yaml"}, 415),
        ("POST", "/infrastructures", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("GET", "/stats", {"Accept": "text/plain"}, 415),
        ("GET", "/clouds/sim/images", {"Accept": "image/png"}, 415),
        ("GET", "/infrastructures", {"Accept": "image/png"}, 415),
        ("POST", "/infrastructures?async=perhaps", {}, 400),
        ("GET", "/stats?init_date=yesterday", {}, 400),
        ("GET", "/clouds/sim/nonsense", {}, 404),
        ("GET", "/nonsense", {}, 404),
        ("DELETE", "/stats", {}, 405),
    ],
)
def test_every_error_has_its_status_and_the_declared_form(
    api: Any, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    plain = api.request(method, path, "x" if method in ("POST", "PUT") else None, headers)
    assert plain.status == status
    assert plain.text
    assert not plain.text.startswith("{")
    if "Accept" not in headers:
        answer = api.request(method, path, "x" if method in ("POST", "PUT") else None, {**headers, **JSON})
        assert answer.json == {"message": plain.text, "code": status}


@pytest.mark.parametrize("authorization", ["", "nonsense", "type = ", "[1", "[]", "Basic !", "id = sim; type = Dummy"])
def test_credentials_that_are_none_are_401(server: Any, authorization: str) -> None:
    sent = {"Authorization": authorization}
    for method, path in (("GET", "/infrastructures"), ("POST", "/infrastructures"), ("GET", "/stats")):
        answer = Program(server.api(), {}).api.request(method, path, None, sent)
        assert answer.status == 401, answer.text
        assert answer.text


def test_uris_lead_through_the_proxy(api: Any) -> None:
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "im.example.org",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/im",
    }
    created = api.request("POST", "/infrastructures", CLUSTER, forwarded)
    assert created.text == f"https://im.example.org/im/infrastructures/{created.headers['InfID']}"


def test_preflights_are_answered(api: Any, server: Any) -> None:
    asked = {"Origin": "https://dashboard.example.org", "Access-Control-Request-Method": "DELETE"}
    for path in ("/infrastructures", "/infrastructures/x/vms/0", "/stats"):
        answer = type(api)(server, None).request("OPTIONS", path, None, asked)
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(("mode", "status"), [(1, 403), (2, 404)])
def test_exports_that_delete_are_forbidden_where_nothing_may_be_deleted(
    new_server: Any, mode: int, status: int
) -> None:
    api = new_server(CONNECTORS="dummy", BOOT_MODE=mode).start().api()
    refused = api.request("GET", "/infrastructures/x/data?delete=1")
    assert refused.status == status
    assert ("Function currently disabled." in refused.text) == (status == 403)
    assert api.request("GET", "/infrastructures/x/data").status == 404


def test_old_clients_have_their_api(server: Any, api: Any) -> None:
    with ServerProxy(server.addresses[1]) as im:
        good, version = im.GetVersion()  # type: ignore[misc]
    assert good is True
    assert version == api.ok("GET", "/version").text
