"""TOSCA for real: the example clusters deployed over REST on `local`, updated in place, and checked over SSH."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from imframework.api.service import Language
from imframework.fetching import ArtifactFolder
from imframework.languages import radl, tosca, validation

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples/tosca"
ARTIFACTS = EXAMPLES / "artifacts"
YAML = {"Content-Type": "text/yaml"}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with the recipes of the examples, which fetches nothing."""
    return new_module_server(TOSCA_ARTIFACTS_DIR=ARTIFACTS, TOSCA_ALLOWED_SCHEMES="http").start()


def example(name: str, **inputs: object) -> str:
    """An example document with other values for some inputs."""
    return tosca.with_inputs(
        (EXAMPLES / f"{name}.yaml").read_text(), {key: str(value) for key, value in inputs.items()}
    )


class Cluster:
    """An infrastructure made from a TOSCA document."""

    def __init__(self, api: Any, text: str, tmp_path: Path) -> None:
        self.api = api
        self.tmp_path = tmp_path
        answer = api.request("POST", "/infrastructures?async=1", text, YAML)
        assert answer.status == 200, answer.text
        self.id = answer.headers["InfID"]
        api.configured(self.id)

    def update(self, text: str, **headers: str) -> list[int]:
        """Send a document, wait until everything is configured; the numbers of the new machines."""
        answer = self.api.request("POST", f"/infrastructures/{self.id}", text, {**YAML, **headers})
        assert answer.status == 200, answer.text
        self.api.configured(self.id)
        return [int(uri.rpartition("/")[2]) for uri in answer.text.split()]

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs of the document now; none of them may be missing."""
        answer = self.api.ok("GET", f"/infrastructures/{self.id}/outputs").json
        assert answer.keys() == {"outputs"}
        found: Mapping[str, Any] = answer["outputs"]
        return found

    def machines(self) -> dict[int, tuple[str, str, str]]:
        """By number: system, id in the cloud and address."""
        names = ("instance_name", "instance_id", "net_interface.0.ip")
        return {
            vm: tuple(self.api.prop(self.id, vm, name) for name in names)  # type: ignore[misc]
            for vm in self.api.vms(self.id)
        }

    def runs(self) -> dict[int, int]:
        """By machine, how often its configuration has been done so far."""
        done: dict[int, int] = {}
        for event in self.api.events(self.id):
            if event["type"] == "state" and event["data"].get("state") == "configured" and "vm" in event["data"]:
                done[event["data"]["vm"]] = done.get(event["data"]["vm"], 0) + 1
        return done

    def ssh(self, address: str, command: str) -> str:
        """What a command prints on a machine, by the log-in that the outputs tell."""
        login = self.outputs["login"]
        key = self.tmp_path / "key"
        key.touch(0o600)
        key.write_text(login["token"])
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        line = ["ssh", "-F", "none", "-p", "2222", "-i", str(key), *(f"-o{option}" for option in options)]
        run = subprocess.run(
            [*line, f"{login['user']}@{address}", command], capture_output=True, text=True, check=True, timeout=60
        )
        return run.stdout


@pytest.fixture
def deployed(api: Any, tmp_path: Path) -> Callable[[str], Cluster]:
    """Deploys a document and waits until it is configured."""
    return lambda text: Cluster(api, text, tmp_path)


def page(url: str) -> str:
    """What is to be seen at a URL."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


@pytest.mark.xdist_group("tosca-web")
def test_a_web_cluster_grows_shrinks_and_changes_in_place(server, api, deployed) -> None:
    cluster = deployed(example("web-cluster"))
    before = cluster.machines()
    assert [system for system, _, _ in before.values()] == ["front", "web", "web"]
    outputs = cluster.outputs
    assert outputs["url"] == f"http://{before[0][2]}:8080/"
    assert outputs["servers"] == [before[1][2], before[2][2]]
    pages = {page(outputs["url"]) for _ in range(4)}
    assert len(pages) == 2
    assert all("<h1>Hello</h1>" in text for text in pages)
    for _, _, address in before.values():
        cluster.ssh(address, "echo mine > marker")

    assert cluster.update(example("web-cluster", web_servers=3)) == [3]
    grown = cluster.machines()
    assert {number: grown[number] for number in before} == before
    assert cluster.outputs["servers"] == [grown[number][2] for number in (1, 2, 3)]
    assert len({page(outputs["url"]) for _ in range(6)}) == 3

    text = example("web-cluster", web_servers=2)
    document = yaml.safe_load(text)
    scalable = document["topology_template"]["node_templates"]["web"]["capabilities"]["scalable"]["properties"]
    scalable["removal_list"] = ["2"]
    assert cluster.update(yaml.safe_dump(document)) == []
    assert cluster.machines() == {number: grown[number] for number in (0, 1, 3)}
    assert cluster.outputs["servers"] == [grown[1][2], grown[3][2]]
    assert len({page(outputs["url"]) for _ in range(4)}) == 2
    assert "removal_list" not in api.ok("GET", f"/infrastructures/{cluster.id}/tosca").text

    runs = cluster.runs()
    assert cluster.update(example("web-cluster", web_servers=2, greeting="Good evening")) == []
    assert cluster.machines() == {number: grown[number] for number in (0, 1, 3)}
    assert "<h1>Good evening</h1>" in page(outputs["url"])
    again = cluster.runs()
    assert {number for number in again if again[number] > runs[number]} == {1, 3}
    assert [cluster.ssh(grown[number][2], "cat marker") for number in (0, 1)] == ["mine\n", "mine\n"]

    cluster.update(example("web-cluster", web_servers=2, greeting="Good evening"))
    assert cluster.runs() == again

    api.destroy(cluster.id)
    assert server.offspring() == []


@pytest.mark.xdist_group("tosca-batch")
def test_a_batch_cluster_runs_jobs_on_workers_that_come_and_go(server, api, deployed, eventually) -> None:
    cluster = deployed(example("batch-cluster"))
    before = cluster.machines()
    front = cluster.outputs["front_end"]
    secret = cluster.ssh(front, "cat secret")
    assert len(secret) == 32

    def result(command: str) -> str:
        number = cluster.ssh(front, f"./sbatch '{command}'").strip()
        return eventually(lambda: cluster.ssh(front, f"cat shared/results/{number} || true"), "result of the job")

    assert result("echo $((6 * 7))").endswith(": 42\n")

    assert cluster.update(example("batch-cluster", workers=3)) == [3]
    grown = cluster.machines()
    assert {number: grown[number] for number in before} == before
    assert cluster.ssh(front, "cat secret") == secret

    assert cluster.update(example("batch-cluster", workers=1)) == []
    assert cluster.machines() == {number: grown[number] for number in (0, 3)}
    assert cluster.outputs["workers"] == [grown[3][2]]
    assert result("echo still here").endswith("still here\n")

    runs = cluster.runs()
    cluster.update(example("batch-cluster", workers=1, slots=2))
    again = cluster.runs()
    assert {number for number in again if again[number] > runs[number]} == {3}
    assert "SLOTS, HEADERS" in cluster.ssh(grown[3][2], "cat worker.py")
    assert ':6817", 2, {' in cluster.ssh(grown[3][2], "cat worker.py")
    assert result("echo two").endswith("two\n")

    api.destroy(cluster.id)
    assert server.offspring() == []


@pytest.mark.xdist_group("tosca-web")
def test_a_cluster_of_three_roles_tells_its_schedule_as_an_output(server, api, deployed) -> None:
    cluster = deployed(example("kubernetes-like"))
    outputs = cluster.outputs
    pods = dict(pod.split("@") for pod in outputs["schedule"].split())
    assert set(pods) == {"pod-0", "pod-1", "pod-2", "pod-3"}
    assert set(pods.values()) == set(outputs["workers"])
    api.destroy(cluster.id)


@pytest.mark.xdist_group("tosca-web")
def test_a_node_that_is_set_to_null_is_taken_out_with_its_machines(server, api, deployed) -> None:
    cluster = deployed(example("hybrid", house="sim", elsewhere="sim", house_image="mock0://x/y", workers=2))
    assert [system for system, _, _ in cluster.machines().values()] == ["database", "worker", "worker"]
    cluster.update(
        "tosca_definitions_version: tosca_simple_yaml_1_0\n"
        "topology_template:\n"
        "  node_templates: { worker: null }\n"
        "  outputs: { workers: null }\n"
        "  policies: [ {}, { somewhere_else: { targets: [ database ] } } ]\n"
    )
    assert [system for system, _, _ in cluster.machines().values()] == ["database"]
    text = api.ok("GET", f"/infrastructures/{cluster.id}/tosca").text
    assert yaml.safe_load(text)["topology_template"]["node_templates"].keys() == {"database"}
    assert cluster.outputs.keys() == {"database"}
    api.destroy(cluster.id)


@pytest.mark.xdist_group("tosca-web")
def test_an_infrastructure_made_from_radl_has_no_outputs_until_it_gets_a_template(api, document) -> None:
    infrastructure = api.create(document(cloud="dummy"), asynchronous=False)
    for name in ("tosca", "outputs"):
        answer = api.request("GET", f"/infrastructures/{infrastructure}/{name}")
        assert answer.status == 403
        assert answer.text.endswith(f"'{name}' infrastructure property is not valid in this infrastructure")
    text = example("web-cluster", web_servers=1, image="mock0://x/y")
    answer = api.request("POST", f"/infrastructures/{infrastructure}", text, YAML)
    assert answer.status == 200, answer.text
    assert api.vms(infrastructure) == [0, 1, 2]
    assert set(api.ok("GET", f"/infrastructures/{infrastructure}/outputs").json["outputs"]) == {
        "url", "servers", "login",
    }  # fmt: skip


@pytest.mark.xdist_group("tosca-web")
@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_sound_and_can_be_planned(api, name: str) -> None:
    text = (EXAMPLES / f"{name}.yaml").read_text()
    sources = tosca.Sources(artifact=ArtifactFolder(ARTIFACTS))
    assert validation.problems(text, Language.TOSCA, sources) == ()
    radl.check(tosca.translate(text, sources=sources).radl, boot_disk_required=False)
    if name == "hybrid":
        text = tosca.with_inputs(text, {"house": "here", "elsewhere": "sim"})
    answer = api.request("POST", "/infrastructures/plan", text, YAML)
    assert answer.status == 200, answer.text
    assert answer.json["refusals"] == []
    if name == "hybrid":
        assert {lot["system"]: lot["cloud"] for lot in answer.json["create"]} == {"database": "here", "worker": "sim"}
