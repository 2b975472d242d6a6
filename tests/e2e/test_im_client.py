"""The command-line client that the field uses, as it is published (`IM-client` 1.8.4), against both APIs.

It is installed in an environment of its own and run as its users run it; every sub-command that it has is here. What
it prints is looked at as a person or a script would: nothing of it is imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("im-client"), pytest.mark.slow]

RELEASE = "IM-client==1.8.4"
APIS = {"REST": "-r", "XML-RPC": "-u"}

#: The client looks for machines on public networks.
LOCAL = """
network outside (outbound = 'yes')
system node (
  cpu.count >= 1 and
  memory.size >= 64m and
  net_interface.0.connection = 'outside' and
  net_interface.0.dns_name = 'node-#N#' and
  disk.0.os.name = 'linux' and
  disk.0.image.url = 'local://localhost'
)
configure node (
@begin
- tasks:
    - copy: {dest: greeting, content: "@MOTTO@"}
@end
)
deploy node @COUNT@ here
"""
SIMULATED = """
description about (
  name = 'sandbox'
)
network inside ()
system node (
  cpu.count >= 1 and
  memory.size >= 512m and
  net_interface.0.connection = 'inside' and
  disk.0.os.name = 'linux' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1'
)
contextualize ()
deploy node @COUNT@
"""
TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
metadata: {infra_name: template}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: {properties: {count: @COUNT@}}
        endpoint: {properties: {network_name: PUBLIC}}
        os: {properties: {image: "mock0://linux.for.ev.er/image1", type: linux}}
  outputs:
    address: {value: {get_attribute: [node, private_address, 0]}}
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client; `IM_CLIENT` names one that is installed already."""
    if installed := os.environ.get("IM_CLIENT"):
        return Path(installed)
    folder = tmp_path_factory.mktemp("im-client")
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", RELEASE], check=True, timeout=300)
    return folder / "bin/im_client"


@dataclass(frozen=True)
class Client:
    """One user of it, with one of the two APIs."""

    program: Path
    folder: Path
    api: str
    url: str
    eventually: Callable[[Callable[[], bool], str], bool]

    def run(self, *words: object, fails: bool = False, quiet: bool = True) -> str:
        """What a command prints; it must succeed, or fail."""
        command = [
            *(str(self.program), *(["-q"] if quiet else []), "-a", "auth.dat", APIS[self.api], self.url),
            *map(str, words),
        ]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=240, cwd=self.folder, stdin=subprocess.DEVNULL
        )
        assert (ended.returncode != 0) == fails, f"{command}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def file(self, name: str, content: str, **values: object) -> str:
        """Write a file of the user's."""
        for key, value in values.items():
            content = content.replace(f"@{key}@", str(value))
        (self.folder / name).write_text(content)
        return name

    def ids(self, *words: str) -> list[str]:
        """What `list` prints."""
        return re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", self.run("list", *words))

    def create(self, document: str, *words: object) -> str:
        """The id that `create` prints."""
        (id,) = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", self.run("create", document, *words, quiet=False))
        return id

    def json(self, *words: object) -> Any:
        """What a command prints, as JSON."""
        return json.loads(self.run(*words))

    def wait(self, id: str) -> None:
        """Wait until an infrastructure is configured. The client's own `wait` would look every half a minute."""
        self.eventually(lambda: self.json("getstate", id)["state"] == "configured", "configured infrastructure")
        self.run("wait", id, 10)

    def vms(self, id: str) -> list[str]:
        """The machines of an infrastructure."""
        return sorted(self.json("getstate", id)["vm_states"])


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with both APIs."""
    return new_module_server(ACTIVATE_XMLRPC=True, XMLRCP_ADDRESS="127.0.0.1", XMLRCP_PORT=0).start()


@pytest.fixture(scope="module", autouse=True)
def waiting(server: Any, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """`create_wait_outputs` of somebody else, which looks every half a minute only, while the tests go on."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "auth.dat").write_text("type = InfrastructureManager; username = eva; password = hers\ntype = Dummy\n")
    (folder / "one.yaml").write_text(TEMPLATE.replace("@COUNT@", "1"))
    command = [str(program), "-q", "-a", "auth.dat", "-r", server.addresses[0], "create_wait_outputs", "one.yaml"]
    process = subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(params=APIS)
def client(
    server: Any, program: Path, tmp_path: Path, eventually: Any, request: pytest.FixtureRequest
) -> Iterator[Client]:
    """A user with the one and with the other API; all that is left is destroyed afterwards."""
    (tmp_path / "auth.dat").write_text(
        "id = im; type = InfrastructureManager; username = maria; password = 'a long pass-phrase'\n"
        "id = sim; type = Dummy\n"
        "id = here; type = Local\n"
    )
    client = Client(program, tmp_path, request.param, server.addresses[list(APIS).index(request.param)], eventually)
    yield client
    for id in client.ids():
        client.run("-y", "-f", "destroy", id)


def test_its_user_manages_machines_of_this_host(client: Client) -> None:
    id = client.create(client.file("two.radl", LOCAL, MOTTO="hi", COUNT=2))
    client.wait(id)
    assert client.json("getstate", id) == {"state": "configured", "vm_states": {"0": "configured", "1": "configured"}}
    assert "VM 0:" in client.run("getcontmsg", id)
    assert "TASK" in client.run("getvmcontmsg", id, 0)
    assert "provider.type = 'Local'" in client.run("getvminfo", id, 0)

    assert client.run("sshvm", id, 1, 0, "cat", "greeting").strip().endswith("hi")
    assert client.run("ssh", id, 0, "cat", "greeting").strip().endswith("hi")
    assert "ssh -p 2222 -i" in client.run("ssh", id, 1)
    client.file("letter", "written at home")
    client.run("putvm", id, 1, 0, "letter", "letter.copy")
    client.run("getvm", id, 1, 0, "letter.copy", "letter.back")
    assert (client.folder / "letter.back").read_text() == "written at home"
    client.run("put", id, 0, "letter", "letter.copy")
    client.run("get", id, 0, "letter.copy", "letter.again")
    assert (client.folder / "letter.again").read_text() == "written at home"

    client.run("reconfigure", id, client.file("again.radl", LOCAL, MOTTO="hello again", COUNT=0), 1)
    client.wait(id)
    assert client.run("sshvm", id, 1, 0, "cat", "greeting").strip().endswith("hello again")
    assert client.run("sshvm", id, 0, 0, "cat", "greeting").strip().endswith("hi")

    client.run("-y", "destroy", id)
    assert id not in client.ids()


def test_its_user_creates_looks_at_changes_and_destroys(client: Client) -> None:
    one = client.file("one.radl", SIMULATED, COUNT=1)
    assert client.ids() == []
    id = client.create(one)
    assert client.ids() == [id]
    assert client.ids("image1") == [id]
    assert client.ids("nothing-like-it") == []
    client.wait(id)
    assert client.json("getstate", id) == {"state": "configured", "vm_states": {"0": "configured"}}
    assert client.json("-n", "getstate", "sandbox") == client.json("getstate", id)
    assert re.search(rf"{id} +sandbox$", client.run("-n", "list", quiet=False), re.MULTILINE)
    assert client.run("-n", "getinfo", "sandbox", "state").split() == ["configured"]
    assert "system node" in client.run("-s", "node", "getinfo", id)
    assert "system node" not in client.run("-s", "other", "getinfo", id)
    assert "deploy node 1" in client.run("getradl", id)
    assert "disabled by the RADL" in client.run("getcontmsg", id)
    assert client.run("getvminfo", id, 0, "memory.size").strip() == "512000000"

    assert set(client.json("addresource", id, one)) in ({"1"}, {1})
    client.run("addresource", id, one, 0)
    assert client.vms(id) == ["0", "1", "2"]
    client.run("addresource", id, one, 1)
    client.run("removeresource", id, "1,2")
    client.run("removeresource", id, 3, 0)
    assert client.vms(id) == ["0"]

    client.run("alter", id, 0, client.file("alter.radl", "system node (cpu.count >= 2 and memory.size >= 1024m)"))
    assert client.run("getvminfo", id, 0, "cpu.count").strip() == "2"
    assert client.run("getvminfo", id, 0, "memory.size").strip() == "1024000000"

    client.run("stopvm", id, 0)
    assert client.json("getstate", id)["vm_states"] == {"0": "stopped"}
    client.run("startvm", id, 0)
    client.run("rebootvm", id, 0)
    assert client.json("getstate", id)["vm_states"] == {"0": "configured"}
    client.run("stop", id)
    assert client.json("getstate", id)["state"] == "stopped"
    client.run("start", id)
    assert client.json("getstate", id)["state"] == "configured"
    client.run("reconfigure", id)
    client.wait(id)

    client.run("-y", "-f", "destroy", id)
    assert client.ids() == []
    assert "Deleted infrastructure" in client.run("getstate", id, fails=True)


def test_its_user_moves_an_infrastructure(client: Client) -> None:
    id = client.create(client.file("one.radl", SIMULATED, COUNT=1), 1)
    client.wait(id)
    exported = client.run("export", id)
    assert "existing infrastructure" in client.run("import", client.file("copy.json", exported), fails=True)
    client.file("moved.json", client.run("-y", "export", id, 1))
    assert client.ids() == []
    assert id in client.run("import", "moved.json")
    assert client.ids() == [id]
    assert client.json("getstate", id)["vm_states"].keys() == {"0"}
    client.run("-y", "destroy", id)


def test_its_user_asks_what_the_clouds_have(client: Client) -> None:
    images = client.run("cloudimages", "sim")
    assert "mock0://linux.for.ev.er/image1" in images
    assert "Image Name1" in images
    usage = client.run("cloudusage", "sim")
    assert "cores" in usage
    assert "instances" in usage
    assert "local://localhost" in client.run("cloudimages", "here")
    assert "Cloud ID nowhere not found." in client.run("cloudimages", "nowhere", fails=True)
    assert re.search(r"\d+\.\d+", client.run("getversion"))


def test_its_user_shares_an_infrastructure(client: Client) -> None:
    id = client.create(client.file("one.radl", SIMULATED, COUNT=1), 1)
    client.file("other.dat", "type = InfrastructureManager; username = jose; password = another\n")
    client.run("change_auth", id, "other.dat")
    (client.folder / "auth.dat").write_text(
        "id = im; type = InfrastructureManager; username = jose; password = another\nid = sim; type = Dummy\n"
    )
    assert client.ids() == [id]
    client.run("-y", "destroy", id)


def test_its_user_lets_a_template_grow_and_shrink(client: Client) -> None:
    id = client.create(client.file("one.yaml", TEMPLATE, COUNT=1), 1)
    client.wait(id)
    if client.api == "XML-RPC":
        client.run("getoutputs", id, fails=True)  # the API of the time of RADL takes templates too, and has no outputs
    else:
        assert client.json("getoutputs", id) == {"address": "10.0.0.1"}
    assert client.vms(id) == ["0"]
    client.run("-n", "addresource", "template", client.file("three.yaml", TEMPLATE, COUNT=3))
    client.wait(id)
    assert client.vms(id) == ["0", "1", "2"]
    client.run("addresource", id, client.file("two.yaml", TEMPLATE, COUNT=2))
    client.wait(id)
    assert client.vms(id) == ["1", "2"]
    client.run("reconfigure", id, "two.yaml")
    client.wait(id)
    assert client.vms(id) == ["1", "2"]
    client.run("-y", "destroy", id)


def test_its_user_is_told_what_is_wrong(client: Client) -> None:
    broken = client.file("broken.radl", "system node (cpu.count >= )")
    client.run("create", broken, fails=True)
    assert "Invalid infrastructure ID or access not granted." in client.run("getstate", "nothing", fails=True)
    client.file("auth.dat", "id = sim; type = Dummy\n")
    assert "No credentials provided" in client.run("list", fails=True)
    client.file("auth.dat", "type = InfrastructureManager; username = maria; password = 'a long pass-phrase'\n")


def test_its_user_waits_for_the_outputs_of_what_is_created(waiting: subprocess.Popen[str]) -> None:
    printed, _ = waiting.communicate(timeout=240)
    assert waiting.returncode == 0
    outputs = json.loads(printed)
    assert outputs.keys() == {"infid", "address"}
    assert outputs["address"] == "10.0.0.1"
