"""The example of a third-party distribution works: installed by pip, in a service of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.xdist_group("third-party-plugins")

EXAMPLE = Path(__file__).parents[3] / "examples" / "third_party_plugin"
PROGRAM = Path(sys.executable).with_name("imframework")

#: Nothing is configured on these machines: they exist on a list only.
DOCUMENT = """
network net ()
system node (
  cpu.count >= 2 and memory.size >= 1G and net_interface.0.connection = 'net' and
  disk.0.os.flavour = 'debian'
)
deploy node {count}
contextualize ()
"""


def audit(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_wheel_holds_its_own_package_and_nothing_else(wheel):
    with ZipFile(wheel(EXAMPLE)) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}

    assert folders == {"imframework_example", "imframework_example-1.0.0.dist-info"}


def test_its_own_tests_pass_on_what_is_installed(example, tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--basetemp={tmp_path}/own"]
    done = example.run(*command, cwd=EXAMPLE)

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_listed_with_its_distribution_and_version(example, configure):
    listed = example.plugins(configure(HOOKS="example-policy"))

    for name in (("connectors", "example"), ("hooks", "example-policy")):
        line = listed[name]
        assert (line["distribution"], line["version"], line["api_version"]) == ("imframework-example", "1.0.0", "0.1")
        assert (line["enabled"], line["health"], line["reason"]) == (True, "ok", "")


def test_its_options_are_documented_and_checked_like_all_others(example, configure):
    sample = example.run(PROGRAM, "config", "sample").stdout
    checked = example.run(PROGRAM, "config", "check", configure(EXAMPLE_TIMEOUT=0, EXAMPLE_MAX_MACHINE=3))

    assert "#EXAMPLE_MAX_MACHINES = 10" in sample
    assert "How long the Example connector waits for its cloud" in sample
    assert checked.returncode == 1
    assert "EXAMPLE_TIMEOUT" in checked.stdout
    assert "EXAMPLE_MAX_MACHINES" in checked.stdout


def test_machines_come_are_switched_and_go(example, configure, start_cloud):
    cloud = start_cloud()
    with example.serve(configure(CONNECTORS="example"), cloud.credentials) as api:
        infrastructure = api.create(DOCUMENT.format(count=3))
        api.wait_for(infrastructure, "configured")
        made = cloud.machines()
        assert [machine["state"] for machine in made] == ["running"] * 3
        address = api.ask("GET", f"{infrastructure}/vms/0/net_interface.0.ip").json["net_interface.0.ip"]
        assert address in {machine["address"] for machine in made}
        assert api.ask("GET", f"{infrastructure}/vms/0/cpu.count").json == {"cpu.count": 2}

        assert api.ask("PUT", f"{infrastructure}/stop").status == 200
        assert {machine["state"] for machine in cloud.machines()} == {"stopped"}
        assert api.ask("PUT", f"{infrastructure}/start").status == 200
        api.wait_for(infrastructure, "configured")

        assert api.ask("DELETE", f"{infrastructure}/vms/1").status == 200
        assert len(cloud.machines()) == 2
        assert api.ask("DELETE", infrastructure).status == 200
        assert cloud.machines() == []


def test_a_machine_whose_answer_was_lost_is_found_by_its_tag(example, configure, start_cloud):
    cloud = start_cloud("--lose-answers", "2")
    with example.serve(configure(CONNECTORS="example"), cloud.credentials) as api:
        infrastructure = api.create(DOCUMENT.format(count=3))

        api.wait_for(infrastructure, "configured")
        assert len(cloud.machines()) == 3
        assert api.ask("DELETE", infrastructure).status == 200
        assert cloud.machines() == []


def test_what_the_cloud_cannot_do_is_answered_with_its_reason(example, configure, start_cloud):
    cloud = start_cloud("--quota", "0")
    with example.serve(configure(CONNECTORS="example"), cloud.credentials) as api:
        too_large = api.ask("POST", "/infrastructures", DOCUMENT.format(count=1).replace(">= 2", ">= 64"))
        too_many = api.ask("POST", "/infrastructures", DOCUMENT.format(count=1))

        assert too_large.status == too_many.status == 400
        assert "no flavour of this cloud has the size that is asked for" in too_large.text
        assert "The cloud refuses: an account can have 0 machines." in too_many.text
        assert api.ask("GET", "/infrastructures").json == {"uri-list": []}
        assert cloud.machines() == []


def test_credentials_that_lack_something_are_refused_by_name(example, configure):
    with example.serve(configure(CONNECTORS="example"), "id = cloud; type = Example; host = http://127.0.0.1:1") as api:
        answer = api.ask("POST", "/infrastructures", DOCUMENT.format(count=1))

        assert answer.status == 400
        assert "The credentials of cloud cloud lack username, password." in answer.text


def test_the_policy_refuses_a_plan_that_is_too_large(example, configure, start_cloud, tmp_path):
    cloud = start_cloud()
    config = configure(
        CONNECTORS="example", HOOKS="example-policy", EXAMPLE_MAX_MACHINES=2, EXAMPLE_AUDIT_FILE=tmp_path / "audit"
    )
    with example.serve(config, cloud.credentials) as api:
        answer = api.ask("POST", "/infrastructures", DOCUMENT.format(count=3))

        assert 400 <= answer.status < 500
        assert "At most 2 machines may be made by one request here, and 3 are asked for." in answer.text
        assert api.ask("GET", "/infrastructures").json == {"uri-list": []}
        assert cloud.machines() == []
        api.wait_for(api.create(DOCUMENT.format(count=2)), "configured")
    refused, *others = [line for line in audit(tmp_path / "audit") if line["what"].startswith("plan ")]
    assert (refused["what"], len(refused["machines"])) == ("plan refused", 3)
    assert [line["what"] for line in others] == ["plan allowed"]


def test_launches_and_events_are_on_record(example, configure, start_cloud, tmp_path):
    cloud = start_cloud()
    config = configure(CONNECTORS="example", HOOKS="example-policy", EXAMPLE_AUDIT_FILE=tmp_path / "audit")
    with example.serve(config, cloud.credentials) as api:
        infrastructure = api.create(DOCUMENT.format(count=2))
        api.wait_for(infrastructure, "configured")
        assert api.ask("DELETE", infrastructure).status == 200

    lines = audit(tmp_path / "audit")
    assert {line["infrastructure"] for line in lines} == {infrastructure.rpartition("/")[2]}
    assert all(line["owners"] == ["alice"] for line in lines)
    assert sorted(line["machine"] for line in lines if line["what"] == "launch") == [0, 1]
    launched = sorted((line["machine"], line["error"]) for line in lines if line["what"] == "launched")
    assert launched == [(0, ""), (1, "")]
    numbers = [line["sequence"] for line in lines if line["what"] == "event"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "demo-password" not in (tmp_path / "audit").read_text()


def test_hooks_are_told_of_every_event(example, configure, start_cloud, tmp_path):
    cloud = start_cloud()
    config = configure(CONNECTORS="example", HOOKS="example-policy", EXAMPLE_AUDIT_FILE=tmp_path / "audit")
    with example.serve(config, cloud.credentials) as api:
        infrastructure = api.create(DOCUMENT.format(count=1))
        api.wait_for(infrastructure, "configured")
        stored = api.ask("GET", f"{infrastructure}/events").json["events"]

    told = [line["sequence"] for line in audit(tmp_path / "audit") if line["what"] == "event"]
    assert told[: len(stored)] == [event["id"] for event in stored]


def test_without_a_place_for_its_record_the_policy_refuses_everything(example, configure, start_cloud, tmp_path):
    cloud = start_cloud()
    config = configure(
        CONNECTORS="example", HOOKS="example-policy", EXAMPLE_AUDIT_FILE=tmp_path / "no-such-directory" / "audit"
    )
    with example.serve(config, cloud.credentials) as api:
        answer = api.ask("POST", "/infrastructures", DOCUMENT.format(count=1))

        assert 400 <= answer.status < 500
        assert "EXAMPLE_AUDIT_FILE cannot be written: No such file or directory" in answer.text
        assert cloud.machines() == []
