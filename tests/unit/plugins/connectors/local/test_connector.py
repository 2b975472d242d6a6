"""What the connector answers without making a machine."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from imframework.api.errors import CloudRefused, ConfigurationError, QuotaExceeded
from imframework.api.model import (
    Candidate,
    Deployment,
    Features,
    FeatureValue,
    Handle,
    Interval,
    Machine,
    Recognition,
    Refusal,
    Resource,
)
from imframework_plugins.connectors.local import declaration, host
from imframework_plugins.connectors.local.connector import LocalConnector

Make = Callable[..., LocalConnector]

pytestmark = pytest.mark.skipif(bool(host.obstacle()), reason=f"no local machines here: {host.obstacle()}")


def system(values: Mapping[str, FeatureValue] | None = None) -> Features:
    asked: dict[str, FeatureValue] = {"cpu.count": Interval(minimum=1), "memory.size": Interval(minimum=2**29)}
    return Features("node", {**asked, **(values or {})})


def test_it_is_used_only_where_im_cfg_names_it() -> None:
    assert declaration.info.opt_in


def test_the_host_is_offered_when_no_image_is_asked_for(connector: Make) -> None:
    (candidate,) = connector().candidates(system())
    assert isinstance(candidate, Candidate)
    assert candidate.image == "local://localhost"
    assert candidate.facts["provider.type"] == "Local"
    assert candidate.facts["cpu.count"] == 1
    assert candidate.facts["memory.size"] == 2**29
    assert candidate.facts["disk.0.os.credentials.username"] == host.account()
    assert candidate.price == 0


def test_each_image_of_a_list_gets_an_answer_of_its_own(connector: Make) -> None:
    urls = ("ost://cloud/ubuntu", "local://anything", "LOCAL://x")
    other, *ours = connector().candidates(system({"disk.0.image.url": urls}))
    assert isinstance(other, Refusal)
    assert other.image == "ost://cloud/ubuntu"
    assert "local://" in other.reason
    assert [candidate.image for candidate in ours if isinstance(candidate, Candidate)] == list(urls[1:])


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("cpu.count", Interval(minimum=100_000)),
        ("memory.size", Interval(minimum=2**60)),
        ("disk.0.size", Interval(minimum=2**70)),
        ("disks.free_size", Interval(minimum=2**70)),
        ("gpu.count", Interval(minimum=1)),
        ("instance_type", "m1.small"),
        ("disk.0.os.name", "windows"),
        ("disk.1.size", Interval(minimum=1)),
        ("net_interface.0.ip", "10.0.0.7"),
        ("disk.0.os.flavour", "plan9"),
        ("disk.0.os.version", "0.0.1"),
    ],
)
def test_what_this_host_has_not_is_refused_by_name(connector: Make, feature: str, value: FeatureValue) -> None:
    (answer,) = connector().candidates(system({feature: value}))
    assert isinstance(answer, Refusal)
    assert feature.removesuffix(".size") in answer.reason


def test_the_distribution_matters_only_where_an_image_is_searched_for(connector: Make) -> None:
    image = {"disk.0.image.url": "local://localhost", "disk.0.os.flavour": "plan9"}
    assert isinstance(connector().candidates(system(image))[0], Candidate)
    found = connector().candidates(system({"disk.0.os.flavour": host.distribution().id.upper()}))
    assert isinstance(found[0], Candidate)


def test_an_upper_bound_and_a_wildcard_are_no_reason_to_refuse(connector: Make) -> None:
    asked: dict[str, FeatureValue] = {
        "cpu.count": Interval(maximum=4096),
        "instance_type": "*",
        "gpu.count": Interval(minimum=0),
    }
    assert isinstance(connector().candidates(system(asked))[0], Candidate)


def test_a_folder_that_others_can_write_is_refused_before_anything_is_made(connector: Make, directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    (answer,) = connector().candidates(system())
    assert isinstance(answer, Refusal)
    assert "LOCAL_DIR can be written by other users" in answer.reason
    with pytest.raises(CloudRefused, match="LOCAL_DIR"):
        connector().create(Resource("instance/0", "instance", "node"), "token")
    assert not list(directory.iterdir())


@pytest.mark.parametrize("name", ["with space", "per%cent", "quo'te", "dollar$"])
def test_a_path_that_a_shell_or_sshd_could_misread_is_refused(connector: Make, directory: Path, name: str) -> None:
    (answer,) = connector(LOCAL_DIR=directory / name).candidates(system())
    assert isinstance(answer, Refusal)
    assert "LOCAL_DIR" in answer.reason
    assert name not in answer.reason


def test_a_file_in_the_place_of_the_folder_is_refused(connector: Make, directory: Path) -> None:
    directory.write_text("")
    (answer,) = connector().candidates(system())
    assert isinstance(answer, Refusal)
    assert answer.reason == "LOCAL_DIR is not a folder"


@pytest.mark.parametrize("networks", [(), ("10.0.0.0/8",), ("127.0.0.0/8", "192.168.0.0/24")])
def test_only_loopback_networks_are_accepted(connector: Make, networks: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="LOCAL_NETWORK"):
        connector(LOCAL_NETWORK=tuple(ipaddress.ip_network(network) for network in networks))


def test_machines_live_in_the_users_state_folder_by_default(connector: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert connector(LOCAL_DIR=None).site.directory == Path("/somewhere/state/imframework/local")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert connector(LOCAL_DIR=None).site.directory == Path("/home/somebody/.local/state/imframework/local")


def test_the_plan_holds_all_a_machine_is_made_of(connector: Make) -> None:
    interfaces = {
        "net_interface.0.connection": "public",
        "net_interface.1.connection": "private",
    }
    features = system(interfaces)
    candidate = connector().candidates(features)[0]
    assert isinstance(candidate, Candidate)
    deployment = Deployment("8ae1c2d3-0000", "test", (Machine(3, features, candidate, "ssh-ed25519 AAAA me"),))
    (resource,) = connector().plan(deployment)
    assert resource.key == "instance/3"
    assert resource.machine == 3
    assert resource.spec == {
        "infrastructure": "8ae1c2d3-0000",
        "public_key": "ssh-ed25519 AAAA me",
        "interfaces": [0, 1],
        "facts": dict(candidate.facts),
    }


@pytest.mark.parametrize("key", ["", "ssh-ed25519", "ssh-ed25519 AAAA", 'command="id" ssh-ed25519 AAAA', "a\nb"])
def test_a_key_that_lets_nobody_in_is_refused_before_anything_is_made(
    connector: Make, directory: Path, key: str
) -> None:
    spec = {"infrastructure": "i", "public_key": key, "interfaces": [], "facts": {}}
    with pytest.raises(CloudRefused, match="public key"):
        connector().create(Resource("instance/0", "instance", "node", spec), "token")
    assert not directory.exists()


def test_the_host_is_its_only_image(connector: Make) -> None:
    (image,) = connector().images({})
    assert image.uri == "local://localhost"
    assert connector().images({"distribution": "plan9"}) == []


def test_quotas_are_those_of_the_host_and_of_the_network(connector: Make) -> None:
    quotas = connector("127.89.0.0/29").quotas()
    assert (quotas["cores"].used, quotas["cores"].limit) == (0, os.cpu_count())
    assert quotas["ram"].limit == pytest.approx(host.memory() / 2**30, abs=0.01)
    assert quotas["instances"].limit == 6


def test_what_it_cannot_do_has_a_reason(connector: Make) -> None:
    capabilities = {capability.feature: capability for capability in connector().capabilities()}
    assert all(capabilities[name].supported for name in ("start", "stop", "reboot"))
    assert all(capability.supported or capability.reason for capability in capabilities.values())
    handle = Handle(Resource("instance/0", "instance", "node"), "token", "id")
    with pytest.raises(CloudRefused, match="no data disks"):
        connector().snapshot(handle, 1, "name")
    gone = connector().snapshot(handle, 0, "name")
    with pytest.raises(CloudRefused, match="no such machine"):
        connector().create(gone, "token")


@pytest.mark.parametrize("machine", ["..", "../elsewhere", "/etc", "", 7, "ABCDEF0123456789"])
def test_an_image_is_made_of_no_other_folder(connector: Make, tmp_path: Path, machine: object) -> None:
    """Resources come with imported documents, too."""
    (tmp_path / "elsewhere" / "home").mkdir(parents=True)
    (tmp_path / "elsewhere" / "lock").touch()
    with pytest.raises(CloudRefused, match="no such machine"):
        connector().create(Resource("image/x", "image", "x", {"machine": machine}), "token")  # type: ignore[dict-item]


def test_an_image_that_is_gone_is_refused(connector: Make) -> None:
    (answer,) = connector().candidates(system({"disk.0.image.url": "local://localhost/images/0123456789abcdef"}))
    assert isinstance(answer, Refusal)
    assert answer.reason == "there is no such image"


def test_a_machine_larger_than_the_host_is_refused(connector: Make) -> None:
    for fact in ("cpu.count", "memory.size"):
        larger = Resource("instance/0", "instance", "node", {"facts": {fact: 2**60}, "interfaces": []})
        with pytest.raises(QuotaExceeded, match=fact):
            connector().update(Handle(larger, "token", "id"), larger)


def test_a_repeated_create_is_recognised_by_its_token() -> None:
    assert LocalConnector.kinds["instance"].recognised_by is Recognition.TOKEN
