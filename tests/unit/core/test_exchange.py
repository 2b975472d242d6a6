"""Infrastructures that are exported here and imported there, or come from another manager."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace

import pytest

from imframework.api.errors import Conflict, Forbidden, IMError, InvalidRequest, NotFound
from imframework.api.service import Document, Language
from imframework.core.entities import Status

STRANGER = "type = InfrastructureManager; username = stranger; password = p\\nid = cloud; type = Dummy"
NO_CLOUD = "type = InfrastructureManager; username = owner; password = secret-of-owner"
EXISTING = "Trying to add an existing infrastructure ID."
WRONG = "Error importing the infrastructure, incorrect data: "
TOSCA = """
tosca_definitions_version: tosca_simple_yaml_1_0
metadata: {template_name: A template}
topology_template:
  node_templates: {}
"""


async def made(running, document=None):
    id = await running.create(document or running.ground.document(2, volumes=True, recipe=True))
    await running.settled(id)
    return id


@pytest.fixture
def elsewhere(ground, ground_class, tmp_path):
    """Another place, with keys and a database of its own, and the same cloud."""
    (tmp_path / "elsewhere").mkdir()
    other = ground_class(tmp_path / "elsewhere")
    (other.directory / "cloud.db").unlink(missing_ok=True)
    (other.directory / "cloud.db").symlink_to(ground.directory / "cloud.db")
    other.cloud = ground.cloud
    return other


# --- our own ---------------------------------------------------------------------------------------------------


async def test_what_is_exported_with_delete_goes_on_elsewhere_with_the_same_machines(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        id = await made(here)
        before = sorted(ground.inventory())
        document = await here.service.export_document(here.owner, id, delete=True)
        assert await here.service.list(here.owner) == []
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await here.service.state(here.owner, id)
        assert await there.service.import_document(there.owner, document) == id
        infra = await there.settled(id)
        there.ids.append(id)
        assert infra.state() == "configured"
        assert sorted(ground.inventory()) == before
        assert not there.configurator.ran, "recorded steps are not run again"
        assert await there.add(id, ground.document(1, volumes=True, recipe=True)) == (2,)
        await there.settled(id)
        assert len(ground.inventory("instance")) == 3
        assert len(ground.inventory("network")) == 1, "it goes on with the network that there is"
        await there.service.destroy(there.owner, id)
        assert ground.inventory() == []


async def test_the_document_has_what_a_peer_reads_and_no_secret_that_is_not_needed(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.change_owners(running.owner, id, {"username": "second", "password": "secret-of-second"})
        text = await running.service.export_document(running.owner, id)
        document = json.loads(text)
        assert document["id"] == id
        assert document["auth"] == [
            {"type": "InfrastructureManager", "username": "owner", "password": "secret-of-owner"},
            {"type": "InfrastructureManager", "username": "second"},
        ]
        assert document["radl"] == await running.service.radl(running.owner, id)
        assert document["private_networks"] == {"private": "cloud"}
        assert document["configured"] is True
        assert document["deleted"] is False
        first = document["vm_list"][0]
        assert first["cloud"] == {
            "id": "cloud",
            "type": "Dummy",
            "server": "",
            "port": None,
            "protocol": "",
            "path": "",
            "extra": {},
        }
        assert first["state"] == "configured"
        assert first["im_id"] == first["creation_im_id"] == 0
        assert first["id"] in ground.inventory("instance")
        assert "net_interface.0.ip = '10.0.0.1'" in first["info"]
        assert "PRIVATE KEY" in document["imframework"]["private_key"], "guest keys are part of it"
        assert "secret-of-second" not in text
        assert await running.service.list(running.owner) == [id]


@pytest.mark.parametrize("delete", [False, True])
async def test_the_document_says_where_the_clouds_are(ground, delete):
    async with ground.running() as running:
        caller = await running.caller(
            f"{NO_CLOUD}\\nid = cloud; type = Dummy; host = https://cloud.example.org:5000/v3"
        )
        id = await running.create(ground.document(1), caller)
        await running.settled(id)
        (machine,) = json.loads(await running.service.export_document(caller, id, delete=delete))["vm_list"]
        expected = {"server": "cloud.example.org", "port": 5000, "protocol": "https", "path": "/v3"}
        assert {name: machine["cloud"][name] for name in expected} == expected


async def test_templates_go_along_and_plans_do_not(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        id = await here.service.create(here.owner, Document(TOSCA, Language.TOSCA))
        await here.service.plan(here.owner, Document(TOSCA, Language.TOSCA), id)
        document = await here.service.export_document(here.owner, id, delete=True)
        await there.service.import_document(there.owner, document)
        assert not [name for name in (await there.infra(id)).documents if name.startswith("plan/")]
        assert (await there.service.outputs(there.owner, id)).values == {}
        (record,) = await there.service.stats(there.owner)
        assert record["tosca_name"] == "A template"


async def test_deletions_go_on_elsewhere(ground, elsewhere):
    ground.behave(deletion={"instance": 0.3})
    async with ground.running() as here, elsewhere.running() as there:
        id = await made(here)
        removing = asyncio.ensure_future(here.service.remove(here.owner, id, [0]))
        await here.until(lambda: ground.calls("delete"))
        document = await here.service.export_document(here.owner, id, delete=True)
        with pytest.raises(NotFound):
            await removing
        await there.service.import_document(there.owner, document)
        infra = await there.settled(id)
        assert infra.vms[0].destroyed
        assert len(ground.inventory("instance")) == 1
        await there.service.destroy(there.owner, id)
        assert ground.inventory() == []


async def test_imported_keys_are_sealed_again(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        document = await here.service.export_document(here.owner, await made(here), delete=True)
        id = await there.service.import_document(there.owner, document)
        infra = await there.settled(id)
        key = json.loads(document)["imframework"]["private_key"]
        assert there.engine.vault.key_pair(infra).private == key
        rows = elsewhere.database.infrastructures[id].rows
        secret = key.splitlines()[2]
        assert not [row for row in rows.values() if secret in row or ("10.0.0.1" in row and "secret-of" in row)]
        there.repository.forget(infra)
        assert there.engine.vault.key_pair(await there.infra(id)).private == key


async def test_it_can_come_back_to_where_it_was_exported(ground):
    async with ground.running() as running:
        id = await made(running)
        log = await running.log(id)
        document = await running.service.export_document(running.owner, id, delete=True)
        former = await running.repository.events(id, 0, 1000)
        assert await running.service.import_document(running.owner, document) == id
        infra = await running.settled(id)
        assert infra.state() == "configured"
        assert await running.log(id) == log
        events = await running.service.events(running.owner, id)
        assert events[0].sequence > former[-1].sequence, "whoever follows them must see the new ones"
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == []


async def test_an_import_takes_what_a_client_has_saved_as_json_once_more(ground):
    async with ground.running() as running:
        id = await made(running)
        document = await running.service.export_document(running.owner, id, delete=True)
        assert await running.service.import_document(running.owner, json.dumps(document)) == id
        assert (await running.settled(id)).state() == "configured"


async def test_an_export_with_delete_whose_answer_is_lost_can_be_repeated(ground):
    async with ground.running(holder="one") as one:
        id = await made(one)
        first = json.loads(await one.service.export_document(one.owner, id, delete=True))
    async with ground.running(holder="two") as two:
        again = await two.service.export_document(two.owner, id, delete=True)
        assert json.loads(again)["imframework"] == first["imframework"]
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await two.service.export_document(two.owner, id)
        with pytest.raises(Forbidden):
            await two.service.export_document(await two.caller(STRANGER), id, delete=True)


async def test_a_destroyed_infrastructure_is_not_exported(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.destroy(running.owner, id)
        for delete in (False, True):
            with pytest.raises(NotFound, match="Deleted infrastructure"):
                await running.service.export_document(running.owner, id, delete=delete)


async def test_work_is_ended_before_it_is_handed_over_and_goes_on_elsewhere(ground, elsewhere):
    ground.behave(latency={"create": 0.05})
    elsewhere.behave(latency={"create": 0.0})
    async with ground.running(max_launches=1) as here, elsewhere.running() as there:
        id = await here.create(ground.document(4))
        await here.until(lambda: ground.inventory("instance"))
        document = await here.service.export_document(here.owner, id, delete=True)
        made_by_then = sorted(ground.inventory())
        assert len(ground.inventory("instance")) < 4
        await here.until(lambda: here.engine.idle)
        assert sorted(ground.inventory()) == made_by_then
        await there.service.import_document(there.owner, document)
        infra = await there.settled(id)
        assert len(ground.inventory("instance")) == 4
        assert {entry.status for entry in infra.entries.values()} == {Status.READY}
        await there.service.destroy(there.owner, id)
        assert ground.inventory() == []


async def test_a_lost_answer_is_found_out_by_whoever_imports(ground, elsewhere):
    ground.behave(faults=[{"verb": "create", "kind": "instance", "nth": 1, "times": 1, "effect": "lose-answer"}])
    async with ground.running(retry_delay=30.0) as here, elsewhere.running() as there:
        id = await here.create(ground.document(1))
        infra = await here.infra(id)
        await here.until(lambda: any(entry.attempts for entry in infra.entries.values()))
        document = await here.service.export_document(here.owner, id, delete=True)
        await there.service.import_document(there.owner, document)
        await there.settled(id)
        assert len(ground.inventory("instance")) == 1
        await there.service.destroy(there.owner, id)
        assert ground.inventory() == []


async def test_a_call_that_never_ends_keeps_an_infrastructure_here(ground):
    ground.behave(faults=[{"verb": "create", "effect": "hang", "seconds": 3, "times": 1, "name": "hang"}])
    async with ground.running(timeout=0.1) as running:
        id = await running.create(ground.document(1))
        await running.until(lambda: running.unended(id))
        with pytest.raises(Conflict, match="has not ended yet"):
            await running.service.export_document(running.owner, id, delete=True)
        assert await running.service.list(running.owner) == [id]
        assert (await running.settled(id)).state() == "configured"


async def test_configuration_in_progress_is_stopped_and_the_machines_are_unconfigured_elsewhere(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        here.configurator.hold.clear()
        id = await here.create(ground.document(2, recipe=True))
        await here.until(lambda: here.configurator.jobs)
        document = await here.service.export_document(here.owner, id, delete=True)
        assert len(here.configurator.cancelled) == 1
        assert here.configurator.discarded == here.configurator.cancelled
        await there.service.import_document(there.owner, document)
        infra = await there.settled(id)
        assert infra.vm_states() == {0: "unconfigured", 1: "unconfigured"}
        assert not there.configurator.jobs
        await there.service.reconfigure(there.owner, id)
        await there.settled(id)
        assert infra.state() == "configured"


async def test_who_waits_for_what_is_handed_over_is_told(ground):
    ground.behave(deletion={"instance": 30.0})
    async with ground.running() as running:
        id = await made(running)
        removing = asyncio.ensure_future(running.service.remove(running.owner, id, [0]))
        await running.until(lambda: ground.calls("delete"))
        await running.service.export_document(running.owner, id, delete=True)
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await removing
        last = (await running.service.events(running.owner, id))[-1]
        assert (last.type, last.data) == ("deleted", {"left": [], "exported": True}), "who follows is told no more"


async def test_nothing_is_changed_of_what_is_being_handed_over(ground):
    ground.behave(latency={"create": 0.5})
    async with ground.running() as running:
        id = await running.create(ground.document(1))
        infra = await running.infra(id)
        await running.until(lambda: any(entry.status == Status.INTENDED for entry in infra.entries.values()))
        leaving = asyncio.ensure_future(running.service.export_document(running.owner, id, delete=True))
        await running.until(lambda: infra.leaving)
        for change in (
            lambda: running.service.destroy(running.owner, id),
            lambda: running.service.add(running.owner, id, Document(ground.document(1))),
            lambda: running.service.export_document(running.owner, id, delete=True),
        ):
            with pytest.raises(Conflict, match="Invalid State"):
                await change()
        await leaving


@pytest.mark.parametrize("change", ["add", "alter"])
async def test_a_change_whose_document_is_read_while_it_is_handed_over_is_refused(ground, monkeypatch, change):
    """Otherwise it would be stored for nobody, and who asked would wait for ever."""
    async with ground.running() as running:
        id = await made(running, ground.document(1))
        name = {"add": "addition", "alter": "alteration"}[change]
        read, begun, go_on = getattr(running.service._reader, name), asyncio.Event(), asyncio.Event()

        async def slowly(*arguments):
            begun.set()
            await go_on.wait()
            return await read(*arguments)

        monkeypatch.setattr(running.service._reader, name, slowly)
        document = Document(ground.document(1) if change == "add" else "system node (cpu.count >= 2)")
        about = (id,) if change == "add" else (id, 0)
        changing = asyncio.ensure_future(getattr(running.service, change)(running.owner, *about, document))
        await begun.wait()
        await running.service.export_document(running.owner, id, delete=True)
        go_on.set()
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await asyncio.wait_for(changing, 30)
        assert not (await running.infra(id)).operations


async def test_what_is_being_deleted_is_not_handed_over(ground):
    ground.behave(deletion={"instance": 30.0})
    async with ground.running() as running:
        id = await made(running)
        await running.service.destroy(running.owner, id, asynchronous=True)
        with pytest.raises(Conflict, match="Invalid State"):
            await running.service.export_document(running.owner, id, delete=True)


@pytest.mark.parametrize(("mode", "exports", "deletes", "imports"), [(1, True, False, False), (2, True, True, False)])
async def test_the_boot_mode_decides(ground, mode, exports, deletes, imports):
    async with ground.running(holder="one") as running:
        id = await made(running)
    async with ground.running(holder="two", service_options={"boot_mode": mode}) as running:
        document = await running.service.export_document(running.owner, id)
        with pytest.raises(Forbidden, match="Function currently disabled"):
            await running.service.import_document(running.owner, document)
        with pytest.raises(Forbidden, match="Function currently disabled"):
            await running.service.change_owners(running.owner, id, {"username": "u", "password": "p"})
        if deletes:
            assert await running.service.export_document(running.owner, id, delete=True)
        else:
            with pytest.raises(Forbidden, match="Function currently disabled"):
                await running.service.export_document(running.owner, "no-such-id", delete=True)


# --- who and where ---------------------------------------------------------------------------------------------


async def test_an_id_that_is_known_is_refused_though_it_is_not_in_memory(ground):
    async with ground.running() as running:
        id = await made(running)
        document = await running.service.export_document(running.owner, id)
        running.repository.forget(await running.infra(id))
        for caller in (running.owner, await running.caller(STRANGER)):
            with pytest.raises(InvalidRequest, match=EXISTING):
                await running.service.import_document(caller, document)
        assert (await running.infra(id)).state() == "configured"


async def test_one_of_two_imports_at_once_wins(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        document = await here.service.export_document(here.owner, await made(here), delete=True)
        imports = [there.service.import_document(there.owner, document) for _ in range(5)]
        outcomes = await asyncio.gather(*imports, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert len(errors) == 4
        assert {str(error) for error in errors} == {EXISTING}
        back = [here.service.import_document(here.owner, document) for _ in range(5)]
        outcomes = await asyncio.gather(*back, return_exceptions=True)
        assert len([outcome for outcome in outcomes if isinstance(outcome, Exception)]) == 4


async def test_somebody_else_may_only_take_over_what_they_have_the_export_of(ground):
    async with ground.running() as running:
        stranger = await running.caller(STRANGER)
        id = await made(running)
        document = await running.service.export_document(running.owner, id, delete=True)
        forged = json.loads(document)
        forged["imframework"]["private_key"] = ""
        with pytest.raises(InvalidRequest, match=EXISTING):
            await running.service.import_document(stranger, json.dumps(forged))
        assert await running.service.import_document(stranger, document) == id
        infra = await running.settled(id)
        assert infra.owner_names == ("stranger",)
        assert await running.service.list(running.owner) == []
        await running.service.destroy(stranger, id)
        assert ground.inventory() == []


async def test_what_may_be_left_of_a_deleted_one_stays_on_record(ground):
    ground.behave(faults=[{"verb": "delete", "kind": "instance", "effect": "refuse", "name": "no"}])
    async with ground.running(delete_grace=0.05) as running:
        id = await made(running, ground.document(1, public=False))
        document = await running.service.export_document(running.owner, id)
        await running.service.destroy(running.owner, id, force=True)
        lost = [entry for entry in (await running.infra(id)).entries.values() if entry.status == Status.LOST]
        assert lost
        empty = json.loads(document)
        empty["imframework"]["records"] = []
        await running.service.import_document(running.owner, json.dumps(empty))
        assert list((await running.settled(id)).entries.values()) == lost


async def test_accounts_go_by_the_credentials_of_whoever_imports(ground, elsewhere):
    owner = ground.owner.replace("id = cloud; type = Dummy", "id = cloud; type = Dummy; host = dummy.example.org")
    other = owner.replace("id = cloud", "id = same")
    async with ground.running() as here, elsewhere.running() as there:
        id = await here.create(ground.document(1), await here.caller(owner))
        await here.settled(id)
        document = await here.service.export_document(here.owner, id, delete=True)
        await there.service.import_document(await there.caller(other), document)
        infra = await there.settled(id)
        assert infra.vms[0].cloud == "same"
        assert {entry.account for entry in infra.entries.values()} == {"same"}


async def test_an_import_needs_no_cloud_credentials(ground, elsewhere):
    async with ground.running() as here, elsewhere.running() as there:
        id = await made(here)
        document = await here.service.export_document(here.owner, id, delete=True)
        await there.service.import_document(await there.caller(NO_CLOUD), document)
        assert (await there.settled(id)).state() == "configured"
        await there.service.destroy(there.owner, id)
        assert ground.inventory() == []


# --- of another manager ----------------------------------------------------------------------------------------


def peer_document(provider_ids, *, nested=json.dumps, **changes):
    """What the Infrastructure Manager would have written of machines of the simulated cloud."""
    info = (
        "network private ()\nsystem node (\ncpu.count = 2 and\nmemory.size = 512000000b and\n"
        "net_interface.0.connection = 'private' and\nnet_interface.0.ip = '10.0.0.1' and\n"
        "disk.0.image.url = 'mock0://linux.for.ev.er/image1' and\nstate = 'configured'\n)\ndeploy node 1\n"
    )
    machines = [
        {
            "id": provider_id,
            "im_id": number,
            "creation_im_id": number,
            "destroy": False,
            "state": "configured",
            "configured": True,
            "cloud": nested({"id": "cloud", "type": "Dummy", "server": "", "port": -1, "protocol": "", "path": ""}),
            "info": info,
            "requested_radl": info,
            "cont_out": f"log of {number}\n",
            "error_msg": None,
            "creation_date": 1500000000,
            **changes,
        }
        for number, provider_id in enumerate(provider_ids)
    ]
    return json.dumps(
        {
            "id": "11111111-2222-1333-8444-555555555555",
            "vm_list": [nested(machine) for machine in machines],
            "auth": nested([{"type": "InfrastructureManager", "username": "u", "password": "p"}]),
            "radl": info,
            "private_networks": {"private": "cloud"},
            "system_counter": 1,
            "deleted": False,
            "vm_master": 0,
            "vm_id": 1,
            "cont_out": "the whole\n",
            "ansible_configured": True,
            "configured": True,
            "extra_info": nested({"TOSCA": TOSCA}),
            "snapshots": [],
            "creation_date": 1500000000.5,
        }
    )


@pytest.mark.parametrize("nested", [json.dumps, lambda value: value], ids=["as-strings", "as-objects"])
async def test_machines_of_another_manager_can_be_read_stopped_grown_and_deleted(ground, elsewhere, nested):
    async with ground.running() as here, elsewhere.running() as there:
        await made(here, ground.document(2, public=False))
        machines = ground.inventory("instance")
        theirs = len(ground.inventory()) - 2
        id = await there.service.import_document(there.owner, peer_document(machines, nested=nested))
        infra = await there.settled(id)
        assert infra.vm_states() == {0: "configured", 1: "configured"}
        assert await there.service.vm_property(there.owner, id, 0, "net_interface.0.ip") == "10.0.0.1"
        assert "log of 1" in await there.service.contmsg(there.owner, id)
        assert await there.service.tosca(there.owner, id) == TOSCA
        await there.service.stop(there.owner, id, 0)
        assert infra.vm_states()[0] == "stopped"
        await there.service.start(there.owner, id, 0)
        assert await there.add(id, "network private\nsystem node\ndeploy node 1", context=False) == (2,)
        await there.settled(id)
        assert len(ground.inventory("instance")) == 3
        await there.service.destroy(there.owner, id)
        assert ground.inventory("instance") == []
        assert len(ground.inventory()) == theirs, "what is not known stays"


async def test_what_another_manager_had_not_finished(ground):
    async with ground.running() as running:
        text = peer_document([None], configured=None, error_msg="no quota")
        id = await running.service.import_document(running.owner, text)
        infra = await running.settled(id)
        assert infra.vms[0].failure == "no quota"
        await running.service.destroy(running.owner, id)
        unfinished = peer_document(["i-1"], configured=None, state="running")
        await running.service.import_document(running.owner, unfinished)
        infra = await running.infra(id)
        assert infra.vms[0].configured is False
        assert "not finished" in infra.vms[0].config_error


# --- garbage ---------------------------------------------------------------------------------------------------


def ours(changes):
    """A small document of ours, changed."""
    base = {
        "id": "x1",
        "imframework": {
            "format": 1,
            "head": {},
            "records": [
                ["document", {"name": "definition/0", "text": "system node ()"}],
                [
                    "vm",
                    {"number": 0, "system": "node", "definition": "definition/0", "generation": 1, "created": 1.0},
                ],
            ],
        },
    }
    changes(base)
    return json.dumps(base)


def record(table, **data):
    return ours(lambda base: base["imframework"]["records"].append([table, data]))


ENTRY = {"account": "a", "name_in_plan": "n", "kind": "k", "name": "n", "token": "t", "generation": 1}
GARBAGE = {
    "": "the document: it is not JSON: line 1, column 1: Expecting value",
    "[]": "the document: it must be an object, and is a list",
    '"[]"': "the document: it must be an object, and is a list",
    json.dumps(json.dumps("{}")): "the document: it must be an object, and is a text",
    "{}": "id: it must have 1 to 64 letters, digits and hyphens",
    '{"id": "../x"}': "id: it must have 1 to 64 letters, digits and hyphens",
    '{"id": "x", "creation_date": NaN}': "the document: NaN is no number",
    '{"id": "x", "vm_list": {}}': "vm_list: it must be a list, and is an object",
    '{"id": "x", "vm_list": ["{"]}': "vm_list[0]: it is not JSON: line 1, column 2: ",
    '{"id": "x", "vm_list": [{"cont_out": [1]}]}': "vm_list[0]: cont_out: it must be a text, and is a list",
    '{"id": "x", "vm_list": [{}]}': "vm_list[0]: info: it has no system",
    '{"id": "x", "vm_list": [{"info": "system a ("}]}': "vm_list[0]: info: Line 1: ",
    '{"id": 7}': "vm_list: it is missing",
    '{"id": "x", "vm_list": [], "radl": "nonsense"}': "radl: Line 1: ",
    '{"id": "x", "vm_list": [], "extra_info": {"TOSCA": "[1"}}': "extra_info: TOSCA: it is not a TOSCA document",
    '{"id": "x", "imframework": 1}': "imframework: it must be an object, and is a number",
    '{"id": "x", "imframework": {"format": 2}}': "imframework: format: this version of the service reads format 1",
    "[" * 200_000: "the document: it is nested too deeply",
    '{"id": "x", "imframework": ' + '{"a":' * 200_000: "the document: it is nested too deeply",
    '{"id": 1' + "0" * 5000 + "}": "the document: it is not JSON that can be read",
    ours(lambda base: base["imframework"].update(records=[1])): "imframework: records[0]: it must be a list of a table",
    record("secret", name="credentials", sealed="x"): "imframework: records[2]: there is no such table",
    record("operation", id="x"): "imframework: records[2]: there is no such table",
    record("vm", number="0"): "imframework: records[2]: number: it must be a number within reason",
    record("vm", number=1): "imframework: records[2]: system is missing",
    record("document", name="plan/1", text=""): "imframework: records[2]: there is no document of that name",
    record("document", name="radl", text="nonsense"): "imframework: records[2]: Line 1: ",
    record("document", name="tosca", text="{}"): "imframework: records[2]: it is not a TOSCA document as we store it",
    record("resource", **ENTRY, owners=[3]): "imframework: records[2]: there is no such machine",
    record("resource", **ENTRY, status="?"): "imframework: records[2]: there is no such status or phase",
    record("resource", **ENTRY, depends_on=[["a", "b", "c"]]): (
        "imframework: records[2]: depends_on[0]: it must have 2 items"
    ),
    record("resource", **ENTRY, spec={"a": {"$sealed": "x"}}): (
        "imframework: records[2]: spec.a: $sealed must not be used"
    ),
    record("resource", **ENTRY, spec={"a": {"$ref": 1}}): "imframework: records[2]: spec.a: $ref must be a list",
    record("resource", **ENTRY, attributes={"access": {"address": "-oProxyCommand=x"}}): (
        "imframework: records[2]: attributes.access.address: it is not an address"
    ),
    record("step", vm=7, task="t", generation=1): "imframework: records[2]: there is no such machine",
}  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: text[:40].replace("\x00", ""))
async def test_garbage_is_refused_with_what_is_wrong_and_where(ground, text):
    async with ground.running() as running:
        with pytest.raises(InvalidRequest) as caught:
            await running.service.import_document(running.owner, text)
        assert str(caught.value).startswith(f"{WRONG}{GARBAGE[text]}")
        assert len(str(caught.value)) < 400
        assert ground.database.infrastructures == {}


async def test_a_document_cannot_have_programs_run_on_the_server(ground):
    async with ground.running() as running:
        access = {"address": "10.0.0.9", "port": 22, "ssh_options": {"User": "me", "ProxyCommand": "touch /tmp/x"}}
        entry = {**ENTRY, "owners": [0], "machine": 0, "attributes": {"access": access}, "status": "ready"}
        id = await running.service.import_document(running.owner, record("resource", **entry))
        (stored,) = (await running.infra(id)).entries.values()
        assert stored.access().ssh_options == {"User": "me"}


async def test_fields_that_nobody_knows_are_passed_over(ground):
    async with ground.running() as running:
        text = ours(lambda base: base["imframework"]["records"][1][1].update(newer="field"))
        id = await running.service.import_document(running.owner, text)
        assert replace((await running.infra(id)).vms[0], created=1.0).number == 0


# --- documents that somebody has changed ----------------------------------------------------------------------

VALUES = (
    None,
    True,
    -1,
    0,
    10**30,
    0.5,
    "",
    "x",
    "ready",
    "deleting",
    [],
    ["x"],
    [[]],
    {},
    {"x": 1},
    {"$ref": ["a", "b"]},
)


def places(value, path=()):
    """Where there is something in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(document, path, value):
    """A document with another value in one place."""
    copy = json.loads(json.dumps(document))
    if not path:
        return value
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copy


@pytest.mark.parametrize("seed", range(3))
async def test_a_changed_document_is_refused_or_taken_over(ground, caplog, seed):
    chance = random.Random(seed)
    async with ground.running(delete_grace=0.02, retry_delay=0.005, max_vm_fails=1) as running:
        running.configurator.hold.set()
        id = await running.create(ground.document(2, volumes=True, recipe=True))
        await running.settled(id)
        ours = json.loads(await running.service.export_document(running.owner, id, delete=True))
        theirs = json.loads(peer_document(ground.inventory("instance"), nested=lambda value: value))
        taken, refusals = 0, []
        for number in range(60):
            document = chance.choice((ours, theirs))
            path = chance.choice(list(places(document)))
            value = chance.choice(VALUES)
            other = changed(document, path, value)
            if isinstance(other, dict):
                other["id"] = f"i-{seed}-{number}"
            try:
                other_id = await running.service.import_document(running.owner, json.dumps(other))
            except InvalidRequest as error:
                refusals.append(str(error))
                continue
            taken += 1
            await running.service.export_document(running.owner, other_id)
            await running.service.contmsg(running.owner, other_id)
            infra = await running.infra(other_id)
            for vm in list(infra.alive()):
                try:
                    await running.service.vm_property(running.owner, other_id, vm.number, "state")
                except IMError as error:
                    pytest.fail(f"{path} {value}: {error}")
            try:
                destroying = running.service.destroy(running.owner, other_id, force=True)
                await asyncio.wait_for(destroying, 10)
            except (TimeoutError, IMError) as error:
                pytest.fail(f"{path} {value}: {error!r} {running.describe()}")
        assert taken > 5
        assert [text for text in refusals if not text.startswith(WRONG)] == []
        faults = [record for record in caplog.records if record.exc_info]
        assert not faults, [(record.getMessage(), record.exc_text, record.exc_info) for record in faults]
