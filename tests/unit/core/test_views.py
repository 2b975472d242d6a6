"""What clients are shown: the log in the layout they split, machines as RADL and JSON, single features."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from imframework.api.service import Language
from imframework.core import views
from imframework.core.views import RULER


async def made(running, document):
    id = await running.create(document)
    return await running.settled(id)


async def test_the_log_has_the_common_lines_and_then_a_block_for_each_machine_that_has_something_to_say(ground):
    async with ground.running() as running:
        infra = await made(running, ground.document(3))
        infra.log("for all")
        infra.log("of the first", 0)
        infra.log("of the third\n", 2)
        await running.repository.save(infra)
        log = await running.service.contmsg(running.owner, infra.id)
        header, *blocks = re.split(r"^VM \d+:\n", log, flags=re.MULTILINE)
        assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: for all\n$", header, re.MULTILINE)
        assert blocks == [f"of the first\n{RULER}\n", f"of the third\n{RULER}\n"]
        assert len(RULER) == 75
        assert await running.service.contmsg(running.owner, infra.id, header_only=True) == header
        assert await running.service.contmsg(running.owner, infra.id, 2) == "of the third\n"
        assert await running.service.contmsg(running.owner, infra.id, 1) == ""


async def test_a_failed_configuration_comes_first_and_is_not_taken_for_a_block(ground):
    async with ground.running() as running:
        running.configurator.failing = {(0, "basic")}
        infra = await made(running, ground.document(2, recipe=True))
        log = await running.service.contmsg(running.owner, infra.id)
        assert log.startswith("ERROR: VM 0 (")
        assert "basic: a task: it does not work" in log.splitlines()[0]
        assert not re.match(r"VM \d+:", log.splitlines()[0])
        assert "VM 0:" not in log.splitlines()[0]


async def test_the_log_of_a_removed_machine_is_not_shown_any_more(ground):
    async with ground.running() as running:
        infra = await made(running, ground.document(2))
        infra.log("of the second", 1)
        await running.service.remove(running.owner, infra.id, [1])
        assert "of the second" not in await running.service.contmsg(running.owner, infra.id)


async def test_a_machine_is_shown_with_its_networks_its_one_system_and_what_it_has_now(ground):
    async with ground.running() as running:
        infra = await made(running, ground.document(2) + "\n" + "system unused (disk.0.image.url = 'a://b')")
        text = await running.service.vm_info(running.owner, infra.id, 1, Language.RADL)
        for part in ("network private", "network public", "system node", "net_interface.1.ip = '", "instance_id = 'i-"):
            assert part in text
        assert "unused" not in text
        assert "deploy" not in text
        items = json.loads(await running.service.vm_info(running.owner, infra.id, 1, Language.RADL_JSON))
        assert sorted((item["class"], item["id"]) for item in items) == [
            ("network", "private"), ("network", "public"), ("system", "node"),
        ]  # fmt: skip


async def test_names_get_the_number_of_the_machine(ground):
    named = "net_interface.0.dns_name = 'host#N#' and net_interface.0.connection"
    document = ground.document(2).replace("net_interface.0.connection", named)
    async with ground.running() as running:
        infra = await made(running, document)
        for number in (0, 1):
            name = await running.service.vm_property(running.owner, infra.id, number, "net_interface.0.dns_name")
            assert name == f"host{number}"


async def test_a_machine_without_a_name_gets_the_default_one(ground):
    async with ground.running(service_options={"default_vm_name": "im-#N#"}) as running:
        infra = await made(running, ground.document(2))
        assert await running.service.vm_property(running.owner, infra.id, 1, "net_interface.0.dns_name") == "im-1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpu.count", 1), ("memory.size", 512 * 2**20), ("disk.0.os.name", "linux"), ("state", "configured")],
)
async def test_a_single_feature_is_a_plain_value(ground, name, value):
    async with ground.running() as running:
        infra = await made(running, ground.document(1))
        assert await running.service.vm_property(running.owner, infra.id, 0, name) == value


async def test_the_beginning_of_a_name_gives_all_that_begin_with_it(ground):
    async with ground.running() as running:
        infra = await made(running, ground.document(1))
        found = await running.service.vm_property(running.owner, infra.id, 0, "provider")
        assert found["provider.type"].lower() == "dummy"
        assert all(name.startswith("provider.") for name in found)


async def test_what_is_shown_is_made_anew_only_when_the_machine_changed(ground, monkeypatch):
    made_anew = []
    original = views._machine_document
    monkeypatch.setattr(views, "_machine_document", lambda *arguments: made_anew.append(1) or original(*arguments))
    async with ground.running() as running:
        infra = await made(running, ground.document(1))
        for _ in range(10):
            await running.service.vm_info(running.owner, infra.id, 0, Language.RADL)
        assert len(made_anew) == 1
        await running.service.stop(running.owner, infra.id)
        await running.service.vm_info(running.owner, infra.id, 0, Language.RADL)
        assert len(made_anew) == 2


async def test_an_unusual_ssh_port_stands_among_the_outports_of_the_public_network_where_clients_look_for_it(ground):
    async with ground.running() as running:
        infra = await made(running, ground.document(1))
        machine = infra.vms[0]
        infra.put(replace(machine, facts={**machine.facts, "ssh.port": 2222}))
        text = await running.service.vm_info(running.owner, infra.id, 0, Language.RADL)
        (public,) = re.findall(r"network public \(([^)]*)\)", text)
        assert "outports = '2222/tcp-22/tcp'" in public
