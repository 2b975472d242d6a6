"""Machines that are real processes, handed over from one service to another on the same host."""

from __future__ import annotations

import ipaddress
import json
import os
import signal

import pytest

from imframework_plugins.connectors.local import host, processes
from imframework_plugins.connectors.local.connector import LocalConnector

pytestmark = pytest.mark.skipif(bool(host.obstacle()), reason=f"no local machines here: {host.obstacle()}")

OWNER = "type = InfrastructureManager; username = owner; password = secret-of-owner\\nid = here; type = Local"
DOCUMENT = "network net ()\nsystem node (net_interface.0.connection = 'net')\ncontextualize ()\ndeploy node {count}"


@pytest.fixture
def connectors(tmp_path):
    """The connector with a place of its own for its machines; those that a failed test leaves are ended."""
    directory = tmp_path / "site"

    class Local(LocalConnector):
        def __init__(self, credential, options):
            networks = (ipaddress.ip_network("127.91.0.0/16"),)
            super().__init__(credential, {"LOCAL_DIR": directory, "LOCAL_NETWORK": networks, "LOCAL_PORT": 2222})

    yield {"Local": Local}
    for each in daemons(directory):
        os.kill(each.pid, signal.SIGKILL)


def daemons(directory):
    """The processes that belong to machines of a place."""
    path = os.fsencode(directory)
    return [each for each in processes.processes() if any(path in word for word in processes.arguments(each))]


async def test_machines_outlive_the_service_that_made_them(ground, ground_class, tmp_path, connectors):
    (tmp_path / "elsewhere").mkdir()
    elsewhere = ground_class(tmp_path / "elsewhere")
    async with ground.running(connectors=connectors) as here, elsewhere.running(connectors=connectors) as there:
        owner = await here.caller(OWNER)
        id = await here.create(DOCUMENT.format(count=1), owner)
        await here.settled(id, 60)
        before = {each.pid for each in daemons(tmp_path / "site")}
        assert before
        document = await here.service.export_document(owner, id, delete=True)

        heir = await there.caller(OWNER)
        await there.service.import_document(heir, document)
        infra = await there.settled(id, 60)
        assert infra.state() == "configured"
        assert {each.pid for each in daemons(tmp_path / "site")} == before
        await there.service.stop(heir, id, 0)
        await there.service.start(heir, id, 0)
        assert await there.add(id, "network net\nsystem node\ndeploy node 1") == (1,)
        await there.settled(id, 60)
        assert len({vm.facts["net_interface.0.ip"] for vm in infra.vms.values()}) == 2
        await there.service.destroy(heir, id)
        assert daemons(tmp_path / "site") == []


async def test_a_document_leads_to_no_machines_of_others(ground, tmp_path, connectors):
    """A provider id is no secret, and a machine of this connector is no more than a folder."""
    async with ground.running(connectors=connectors) as running:
        owner = await running.caller(OWNER)
        id = await running.create(DOCUMENT.format(count=1), owner)
        await running.settled(id, 60)
        machine = (await running.infra(id)).vms[0].facts["instance_id"]
        before = {each.pid for each in daemons(tmp_path / "site")}

        system = "system node (net_interface.0.connection = 'net')"
        theirs = {"id": "forged", "vm_list": [], "radl": ""}
        for number, provider_id in enumerate((machine, f"../site/{machine}", str(tmp_path / "site" / machine))):
            cloud = {"id": "here", "type": "Local", "server": ""}
            theirs["vm_list"].append({"im_id": number, "id": provider_id, "cloud": cloud, "info": system})
        thief = await running.caller(OWNER.replace("owner", "thief"))
        await running.service.import_document(thief, json.dumps(theirs))
        await running.service.destroy(thief, "forged")
        assert {each.pid for each in daemons(tmp_path / "site")} == before
        await running.service.destroy(owner, id)
