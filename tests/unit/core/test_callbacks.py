"""Machines that nobody can reach: what they are told at their start, and what they get to hear when they ask."""

from __future__ import annotations

import email
import os
import re
import subprocess

import pytest
import yaml

from imframework.api.errors import Forbidden, NotFound, Unauthenticated
from imframework.core import callbacks
from imframework.core.callbacks import asking, script
from imframework_plugins.connectors.dummy.connector import DummyConnector

STRANGER = "type = InfrastructureManager; username = stranger; password = p\\nid = cloud; type = Dummy"
URL = "https://im.example.org/im"
DOCUMENT = """\
network inside ()
network deeper ()
network outside (outbound = 'yes')
system front (net_interface.0.connection = 'outside' and net_interface.1.connection = 'inside' and
              disk.0.image.url = 'mock0://linux.for.ev.er/image1')
system node (net_interface.0.connection = 'inside' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
system far (net_interface.0.connection = 'deeper' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
system desk (net_interface.0.connection = 'deeper' and disk.0.os.name = 'windows' and
             disk.0.image.url = 'mock0://linux.for.ev.er/image1')
%s
deploy front 1
deploy node 1
deploy far 1
deploy desk 1
"""
FRONT, NODE, FAR, DESK = range(4)


class Watched(DummyConnector):
    """The simulated cloud, which remembers what machines were planned."""

    machines: dict = {}  # noqa: RUF012 - emptied by each test

    def plan(self, deployment):
        self.machines.update({machine.number: machine for machine in deployment.machines})
        return super().plan(deployment)


@pytest.fixture
def site(ground):
    Watched.machines = {}
    service = {"public_url": URL}

    def start(*, public_url=URL, **options):
        return ground.running(connectors={"Dummy": Watched}, public_url=public_url, service_options=service, **options)

    return start


async def made(running, document=DOCUMENT % ""):
    id = await running.create(document)
    await running.settled(id)
    return id


def told(number):
    """The secret in the user data of a machine."""
    user_data = Watched.machines[number].user_data
    [secret] = set(re.findall(r"X-IM-Secret: ([0-9a-f]{64})", user_data))
    return secret


# --- what machines are told --------------------------------------------------------------------------------------


async def test_machines_without_a_public_network_are_told_where_to_ask(site):
    async with site() as running:
        id = await made(running)
        asked = {number: f"{URL}/infrastructures/{id}/vms/{number}/command" for number in (NODE, FAR)}
        for number, url in asked.items():
            assert url in yaml.safe_load(Watched.machines[number].user_data)["runcmd"][0][-1]
        assert Watched.machines[FRONT].user_data == Watched.machines[DESK].user_data == ""
        assert told(NODE) != told(FAR)
        for machine in Watched.machines.values():
            assert "secret-of-owner" not in machine.user_data


@pytest.mark.parametrize("options", [{"public_url": ""}, {"reverse_tunnels": False}])
async def test_they_are_not_where_there_is_no_public_url_or_no_tunnel_is_wanted(site, options):
    async with site(**options) as running:
        await made(running)
        assert not any(machine.user_data for machine in Watched.machines.values())


async def test_nor_where_no_machine_could_be_the_master(site, ground):
    async with site() as running:
        await made(running, ground.document(2, public=False))
        assert not any(machine.user_data for machine in Watched.machines.values())


async def test_the_user_data_of_the_user_stay(site):
    recipe = "configure own (\n@begin\npackages: [vim]\nruncmd: [ls]\n@end\n)\n"
    recipe += "contextualize (system far configure own with cloud_init)"
    async with site() as running:
        await made(running, DOCUMENT % recipe)
        content = yaml.safe_load(Watched.machines[FAR].user_data)
        assert content["packages"] == ["vim", "curl", "sshpass"]
        assert content["runcmd"][0] == "ls"
        assert len(content["runcmd"]) == 2
        told(FAR)


def test_a_script_of_the_user_is_sent_along():
    parts = email.message_from_string(asking("#!/bin/bash\necho ñ\nexit 0\n", f"{URL}/x", "s3")).get_payload()
    texts = [part.get_payload(decode=True).decode() for part in parts]
    assert texts[0] == "#!/bin/bash\necho ñ\nexit 0\n"
    assert texts[1].startswith("#cloud-config\n")
    assert f"{URL}/x" in texts[1]


def test_user_data_that_cannot_be_added_to_stay_as_they_are():
    content = yaml.safe_load(asking("#cloud-config\nruncmd: all\n", f"{URL}/x", "s3"))
    assert content["runcmd"] == "all"


@pytest.mark.parametrize(
    "text", ["#cloud-config\nruncmd: [\n", "#cloud-config\n- ls\n", "#cloud-config-archive\n- {}\n"]
)
def test_user_data_that_are_no_object_are_sent_along_as_they_are(text):
    own, ours = email.message_from_string(asking(text, f"{URL}/x", "s3")).get_payload()
    assert own.get_payload() == text
    assert f"{URL}/x" in ours.get_payload()


async def test_the_tag_with_our_url_needs_a_url(site):
    for public_url in (URL, ""):
        async with site(public_url=public_url, tag_names={"VM_TAG_IM_URL": "IM_URL"}) as running:
            await made(running)
            assert Watched.machines[FRONT].tags.get("IM_URL", "") == public_url


# --- who may ask -------------------------------------------------------------------------------------------------


async def test_the_secret_of_a_machine_is_good_for_that_machine_only(site):
    async with site() as running:
        id, other = await made(running), await made(running)
        command = running.service.command
        secret = told(FAR)  # of `other`, which was planned last
        assert (await command(None, other, FAR, 1, secret)).startswith("#!/bin/bash")
        for infrastructure, number, given in (
            (other, NODE, secret),
            (id, FAR, secret),
            (other, FAR, ""),
            (other, FAR, "\udcff"),
            ("unknown", FAR, secret),
        ):
            with pytest.raises(Unauthenticated):
                await command(None, infrastructure, number, 2, given)


async def test_an_owner_may_ask_as_well_and_nobody_else(site):
    async with site() as running:
        id = await made(running)
        command = running.service.command
        assert await command(running.owner, id, FRONT, 2, "") == "true"
        with pytest.raises(Forbidden):
            await command(await running.caller(STRANGER), id, FRONT, 2, "")
        with pytest.raises(NotFound):
            await command(running.owner, "unknown", FRONT, 2, "")


async def test_the_secret_is_the_same_after_a_restart_and_dies_with_the_machine(site):
    async with site() as running:
        id = await made(running)
        secret = told(FAR)
    async with site() as running:
        assert secret in await running.service.command(None, id, FAR, 1, secret)
        await running.service.remove(running.owner, id, [FAR])
        with pytest.raises(NotFound, match=r"Deleted VM\."):
            await running.service.command(None, id, FAR, 2, secret)
        await running.service.destroy(running.owner, id)
        with pytest.raises(Unauthenticated):
            await running.service.command(None, id, FAR, 2, secret)


async def test_any_instance_answers_and_none_takes_an_infrastructure_over_for_that(site, ground):
    async with site(holder="one") as one, site(holder="two") as two:
        id = await made(one)
        assert (await two.service.command(None, id, FAR, 1, told(FAR))).startswith("#!/bin/bash")
        assert await two.service.command(None, id, NODE, 2, told(NODE)) == "true"
    async with site(holder="three") as three:
        fence = ground.database.infrastructures[id].lease.fence
        with pytest.raises(Unauthenticated):
            await three.service.command(None, id, FAR, 2, "wrong")
        assert ground.database.infrastructures[id].lease.fence == fence


# --- what they get to hear ---------------------------------------------------------------------------------------


async def test_the_script_asks_with_the_secret_of_the_machine_and_nothing_of_the_user(site):
    async with site() as running:
        id = await made(running)
        for caller, secret in ((None, told(FAR)), (running.owner, "")):
            text = await running.service.command(caller, id, FAR, 1, secret, "http://10.0.0.1:8800")
            assert f"{URL}/infrastructures/{id}/vms/{FAR}/command?step=2" in text
            assert told(FAR) in text
            assert "owner" not in text
            assert "PRIVATE KEY" not in text


async def test_without_a_public_url_an_owner_gets_the_one_they_use(ground):
    async with ground.running() as running:
        id = await made(running)
        text = await running.service.command(running.owner, id, 0, 1, "", "http://10.0.0.1:8800")
        assert f"http://10.0.0.1:8800/infrastructures/{id}/vms/0/command?step=2" in text


async def test_the_master_and_its_neighbours_need_no_tunnel_and_others_get_one(site):
    async with site() as running:
        id = await made(running)
        command = running.service.command
        assert await command(running.owner, id, FRONT, 2, "") == "true"
        assert await command(None, id, NODE, 2, told(NODE)) == "true"
        text = await command(None, id, FAR, 2, told(FAR))
        infra = await running.infra(id)
        [address] = {infra.vms[FRONT].facts["net_interface.0.ip"]}
        assert text.splitlines()[-1].endswith(f"-p 22 -R {20000 + FAR}:localhost:22 username@{address}")
        assert " -N " in text


async def test_a_machine_waits_for_what_is_not_there_yet(site):
    async with site() as running:
        id = await made(running)
        running.configurator.unreachable.add(22)
        assert await running.service.command(None, id, FAR, 2, told(FAR)) == "wait"
        assert await running.service.command(running.owner, id, 99, 2, "") == "wait"
        await running.service.remove(running.owner, id, [FRONT])
        running.configurator.unreachable.clear()
        assert await running.service.command(None, id, FAR, 2, told(FAR)) == "wait"


def test_the_script_waits_runs_what_it_is_told_and_runs_it_again_after_a_reboot(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "_FOLDER", str(tmp_path / "tunnel"))
    monkeypatch.setattr(callbacks, "PAUSE", 0)
    done = _ran(tmp_path, script(f"{URL}/x", "s3cret"), ["", "wait", "echo 'it''s' me > result\nexit 0"])
    assert done["asked"] == [f"-fsS --max-time 60 -H @header {URL}/x?step=2"] * 3
    assert (tmp_path / "tunnel" / "header").read_text() == "X-IM-Secret: s3cret\n"
    assert (tmp_path / "tunnel" / "result").read_text() == "its me\n"
    assert done["crontab"].startswith("* * * * * flock")


def test_the_script_ends_where_there_is_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "_FOLDER", str(tmp_path / "tunnel"))
    done = _ran(tmp_path, script(f"{URL}/x", "s3cret"), ["true"])
    assert not (tmp_path / "tunnel" / "tunnel.sh").exists()
    assert done["crontab"] == ""


def _ran(folder, text, answers):
    """What became of the script on a machine with stand-ins for curl and crontab; an empty answer is a failure."""
    programs = folder / "bin"
    programs.mkdir()
    for number, answer in enumerate(answers):
        (folder / f"answer{number}").write_text(answer)
    stand_ins = {
        "curl": f'echo "$*" >> {folder}/asked; n=$(($(wc -l < {folder}/asked) - 1)); '
        f"[ -s {folder}/answer$n ] && cat {folder}/answer$n",
        "crontab": f'[ "$1" = - ] && cat > {folder}/crontab',
    }
    for name, body in stand_ins.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash"], input=text, text=True, env=environment, check=True, timeout=60)
    return {
        "asked": (folder / "asked").read_text().splitlines(),
        "crontab": (folder / "crontab").read_text() if (folder / "crontab").exists() else "",
    }
