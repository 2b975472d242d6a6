"""The operations: what they accept, what they refuse and why, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from imframework.api.errors import (
    CloudError,
    Conflict,
    Forbidden,
    IMError,
    InvalidDocument,
    InvalidRequest,
    NotFound,
    PluginUnavailable,
    Unauthenticated,
    Vetoed,
)
from imframework.api.service import Document, Language
from imframework_plugins.connectors.dummy.connector import DummyConnector

STRANGER = "type = InfrastructureManager; username = stranger; password = p\\nid = cloud; type = Dummy"
ADMIN = "type = InfrastructureManager; username = admin; password = secret-of-admin\\nid = cloud; type = Dummy"
OWNER = "type = InfrastructureManager; username = owner; password = secret-of-owner\\n"


async def made(running, document=None):
    id = await running.create(running.ground.document(2, public=False) if document is None else document)
    await running.settled(id)
    return id


def each_operation(service, caller, id):
    """Every operation on an infrastructure, by name, not yet awaited."""
    document = Document("")
    return {
        "machines": lambda: service.machines(caller, id),
        "state": lambda: service.state(caller, id),
        "vm_info": lambda: service.vm_info(caller, id, 0, Language.RADL),
        "vm_property": lambda: service.vm_property(caller, id, 0, "state"),
        "contmsg": lambda: service.contmsg(caller, id),
        "radl": lambda: service.radl(caller, id),
        "owners": lambda: service.owners(caller, id),
        "tag": lambda: service.tag(caller, id),
        "export": lambda: service.export_document(caller, id),
        "change_owners": lambda: service.change_owners(caller, id, {"username": "another", "password": "p"}),
        "add": lambda: service.add(caller, id, document),
        "remove": lambda: service.remove(caller, id, [1]),
        "reconfigure": lambda: service.reconfigure(caller, id),
        "reboot": lambda: service.reboot(caller, id, 0),
        "stop": lambda: service.stop(caller, id),
        "start": lambda: service.start(caller, id),
        "destroy": lambda: service.destroy(caller, id),
    }


async def refused(name, call, error, text):
    """That a call is refused so."""
    with pytest.raises(error) as caught:
        await call()
    assert str(caught.value) == text, name


ASKING = {"machines", "state", "vm_info", "vm_property", "contmsg", "radl", "owners", "tag", "export"}


# --- who may ---------------------------------------------------------------------------------------------------


async def test_an_unknown_infrastructure_is_not_found_by_any_operation(ground):
    async with ground.running() as running:
        for name, call in each_operation(running.service, running.owner, "no-such-id").items():
            await refused(name, call, NotFound, "Invalid infrastructure ID or access not granted.")


async def test_somebody_else_may_do_nothing(ground):
    async with ground.running() as running:
        id = await made(running)
        stranger = await running.caller(STRANGER)
        for name, call in each_operation(running.service, stranger, id).items():
            await refused(name, call, Forbidden, "Access to this infrastructure not granted.")
        assert await running.service.list(stranger) == []
        assert (await running.service.state(running.owner, id)).state == "configured"


async def test_an_owner_with_another_password_is_somebody_else(ground):
    async with ground.running() as running:
        id = await made(running)
        other = await running.caller(OWNER.replace("secret-of-owner", "guess") + "id = cloud; type = Dummy")
        with pytest.raises(Forbidden):
            await running.service.state(other, id)


async def test_an_administrator_may_do_everything(ground):
    async with ground.running() as running:
        id = await made(running)
        admin = await running.caller(ADMIN)
        assert await running.service.list(admin) == [id]
        for call in each_operation(running.service, admin, id).values():
            await call()


async def test_a_deleted_infrastructure_is_gone_for_every_operation(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.destroy(running.owner, id)
        for name, call in each_operation(running.service, running.owner, id).items():
            await refused(name, call, NotFound, "Deleted infrastructure.")
        assert await running.service.list(running.owner) == []


async def test_nobody_is_nobody(ground):
    async with ground.running() as running:
        manager = "type = InfrastructureManager"
        for credentials in (
            "id = cloud; type = Dummy",
            manager,
            f"{manager}; username = u",
            f"{manager}; password = p",
        ):
            with pytest.raises(Unauthenticated):
                await running.service.authenticate(credentials)


@pytest.mark.parametrize(
    ("mode", "allowed"), [(0, {"create", "destroy", *ASKING}), (1, ASKING), (2, ASKING | {"destroy"})]
)
async def test_the_boot_mode_decides_what_is_allowed_whoever_asks_for_whatever(ground, mode, allowed):
    async with ground.running(holder="one") as running:
        id = await made(running)
    async with ground.running(holder="two", service_options={"boot_mode": mode}) as running:
        operations = each_operation(running.service, running.owner, id)
        operations["create"] = lambda: running.service.create(running.owner, Document(""))
        unknown = each_operation(running.service, running.owner, "no-such-id")
        unknown["create"] = operations["create"]
        for name, call in operations.items():
            if mode == 0 and name not in ASKING:
                continue
            if name in allowed:
                await call()
            else:
                for either in (call, unknown[name]):
                    await refused(name, either, Forbidden, "Function currently disabled.")
        assert await running.service.plan(running.owner, Document(ground.document(1)))


async def test_only_tokens_can_be_asked_for(ground):
    async with ground.running(holder="one") as running:
        running.service._callers._only_tokens = True
        with pytest.raises(Unauthenticated, match="No token provided"):
            await running.service.authenticate(ground.owner)


# --- making ----------------------------------------------------------------------------------------------------


async def test_an_empty_document_is_an_empty_infrastructure(ground):
    async with ground.running() as running:
        for text in ("", "\n  \n", "# nothing\n"):
            id = await running.create(text, asynchronous=False)
            assert await running.service.machines(running.owner, id) == []
            assert (await running.service.state(running.owner, id)).state == "pending"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("{}", Language.RADL),
        ("{}", Language.RADL_JSON),
        ("[1, 2]", Language.RADL_JSON),
        ("network", Language.RADL),
        ("system s (", Language.RADL),
        ("network n ()\nsystem s (disk.0.image.url = 'a://b')\ndeploy s -1", Language.RADL),
        ("deploy nobody 1", Language.RADL),
        ("system s (cpu.count >= 'many')\ndeploy s 1", Language.RADL),
        ("tosca_definitions_version: tosca_simple_yaml_1_0", Language.TOSCA),
        ("\x00", Language.RADL),
    ],
)
async def test_a_document_that_makes_no_sense_makes_nothing(ground, text, language):
    async with ground.running() as running:
        with pytest.raises(InvalidDocument) as caught:
            await running.service.create(running.owner, Document(text, language))
        assert caught.value.problems
        assert await running.service.list(running.owner) == []
        assert ground.database.infrastructures == {}


@pytest.mark.parametrize("count", [10_001, 10**9])
async def test_more_machines_than_anybody_needs_are_refused(ground, count):
    document = ground.document(count, public=False)
    async with ground.running() as running:
        with pytest.raises(InvalidRequest, match=f"at most 10000 machines; {count} are asked for"):
            await running.create(document)
        with pytest.raises(InvalidRequest, match="at most 10000 machines"):
            await running.service.plan(running.owner, Document(document))
        assert ground.database.infrastructures == {}
        id = await made(running)
        before = await running.service.radl(running.owner, id)
        with pytest.raises(InvalidRequest, match="at most 10000 machines"):
            await running.add(id, document)
        await running.service.stop(running.owner, id)
        assert await running.service.radl(running.owner, id) == before
        assert await running.service.machines(running.owner, id) == [0, 1]


async def test_without_a_cloud_nothing_is_made(ground):
    async with ground.running() as running:
        nobody = await running.caller(OWNER)
        with pytest.raises(InvalidRequest, match="No cloud provider available"):
            await running.create(ground.document(1), nobody)
        with pytest.raises(InvalidRequest, match="No auth data for cloud with ID: nowhere"):
            await running.create(ground.document(1, cloud="nowhere"))
        assert ground.database.infrastructures == {}
        assert await running.create("", nobody), "what needs no cloud needs no credentials"


async def test_a_broken_plugin_refuses_with_its_reason_before_anything_is_stored(ground):
    broken = PluginUnavailable("The connector EC2 cannot be used: install imframework[ec2].")
    async with ground.running(connectors={"EC2": broken}) as running:
        caller = await running.caller(OWNER + "id = amazon; type = EC2")
        with pytest.raises(PluginUnavailable, match=r"install imframework\[ec2\]"):
            await running.create(ground.document(1), caller)
        both = await running.caller(OWNER + "id = amazon; type = EC2\\nid = cloud; type = Dummy")
        with pytest.raises(PluginUnavailable, match=r"install imframework\[ec2\]"):
            await running.create(ground.document(1, cloud="amazon"), both)
        assert ground.database.infrastructures == {}
        id = await running.create(ground.document(1), both)
        infra = await running.settled(id)
        assert infra.vms[0].cloud == "cloud", "the other cloud is enough"


class Unmakable(DummyConnector):
    """A plugin with a fault in its constructor."""

    def __init__(self, credential, options):
        raise KeyError(credential.get("password"))


async def test_a_connector_that_cannot_be_made_refuses_without_telling_secrets(ground, caplog):
    async with ground.running(connectors={"Odd": Unmakable}) as running:
        caller = await running.caller(OWNER + "id = odd; type = Odd; password = very-secret")
        with pytest.raises(PluginUnavailable) as caught:
            await running.create(ground.document(1), caller)
        assert "very-secret" not in str(caught.value)


class Veto:
    """A hook that refuses every plan."""

    def active(self, name):
        return name == "imframework_approve_plan"

    async def veto(self, name, **arguments):
        self.machines = arguments["machines"]
        raise Vetoed("Not on my budget.")

    def observe(self, name, **arguments):
        pass


async def test_a_veto_refuses_the_creation_with_its_reason_and_nothing_is_left(ground):
    hooks = Veto()
    async with ground.running(hooks=hooks) as running:
        with pytest.raises(Vetoed, match="Not on my budget"):
            await running.create(ground.document(2), asynchronous=False)
        assert [machine.cloud for machine in hooks.machines] == ["cloud", "cloud"]
        assert await running.service.list(running.owner) == []
        assert ground.calls("create") == 0


@pytest.mark.parametrize(
    ("language", "text", "places"),
    [
        (Language.RADL, 'network n (x = "a")\ndeploy nobody 1', [(1, 16), (2, 1)]),
        (
            Language.RADL_JSON,
            '[{"class": "netwrok"},\n{"class": "deploy", "system": 5, "vm_number": 1}]',
            [(1, 12), (2, 31)],
        ),
        (Language.TOSCA, "tosca_definitions_version: 1\ntopology_template: { nodes: {} }", [(1, 28), (2, 22)]),
    ],
)
async def test_all_problems_of_a_document_are_told_and_nothing_is_made(ground, language, text, places):
    async with ground.running() as running:
        problems = await running.service.validate(running.owner, Document(text, language))

        assert [(problem.line, problem.column) for problem in problems] == places
        assert await running.service.validate(running.owner, Document(ground.document(1))) == ()
        assert await running.service.list(running.owner) == []


async def test_a_plan_says_what_would_be_made_where_and_why_and_makes_nothing(ground):
    ground.behave(images=["mock0://*"])
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(3)))
        (entry,) = plan["create"]
        assert (entry["system"], entry["machines"], entry["cloud"]) == ("node", [0, 1, 2], "cloud")
        assert entry["image"] == "mock0://linux.for.ev.er/image1"
        refused = await running.service.plan(running.owner, Document(ground.document(1).replace("mock0://", "aws://")))
        assert "has no image aws://" in refused["create"][0]["refused"]
        assert (await running.service.plan(running.owner, Document("")))["create"] == []
        assert await running.service.list(running.owner) == []
        assert ground.inventory() == []
        assert ground.inventory() == []


# --- changing --------------------------------------------------------------------------------------------------


async def test_added_machines_may_refer_to_what_is_defined_already(ground):
    async with ground.running() as running:
        id = await made(running)
        assert list(await running.add(id, "network private\nsystem node\ndeploy node 2")) == [2, 3]
        await running.settled(id)
        assert await running.service.machines(running.owner, id) == [0, 1, 2, 3]
        assert len(ground.inventory("network")) == 1


@pytest.mark.parametrize("text", ["system nobody\ndeploy nobody 1", "network elsewhere\nsystem node\ndeploy node 1"])
async def test_a_reference_to_nothing_is_refused_and_changes_nothing(ground, text):
    async with ground.running() as running:
        id = await made(running)
        before = await running.service.radl(running.owner, id)
        with pytest.raises(InvalidDocument):
            await running.add(id, text)
        assert await running.service.radl(running.owner, id) == before
        assert await running.service.machines(running.owner, id) == [0, 1]


async def test_an_addition_without_machines_is_said_in_the_log(ground):
    async with ground.running() as running:
        id = await made(running)
        assert list(await running.add(id, "network private\nsystem node\ndeploy node 0")) == []
        assert "Infrastructure without any deploy. Exiting." in await running.service.contmsg(running.owner, id)


async def test_nothing_can_be_asked_of_what_is_being_deleted_but_its_deletion(ground):
    async with ground.running() as running:
        id = await made(running)
        ground.behave(deletion={"instance": 0.5})
        await running.service.destroy(running.owner, id, asynchronous=True)
        with pytest.raises(InvalidRequest, match=r"Infrastructure deleted\. Do not add resources\."):
            await running.add(id, ground.document(1))
        for refused in ("reconfigure", "start", "stop"):
            with pytest.raises(Conflict, match=r"Invalid State to perform this operation\."):
                await getattr(running.service, refused)(running.owner, id)
        assert (await running.service.state(running.owner, id)).state == "deleting"
        await running.service.destroy(running.owner, id)


async def test_additions_at_the_same_time_do_not_undo_each_other(ground):
    """Long documents are read in a thread: meanwhile others come and go."""
    padding = "# " + "x" * 40_000 + "\n"

    def document(name):
        return padding + ground.document(1, system=name, public=False)

    async with ground.running() as running:
        id = await made(running)
        await asyncio.gather(*(running.add(id, document(f"s{number}")) for number in range(6)))
        await running.settled(id)
        text = await running.service.radl(running.owner, id)
        assert all(f"system s{number}" in text for number in range(6))
        assert len(await running.service.machines(running.owner, id)) == 8


async def test_an_addition_that_is_overtaken_by_a_deletion_is_refused(ground):
    async with ground.running() as running:
        id = await made(running)
        adding = asyncio.ensure_future(running.add(id, "# " + "x" * 200_000 + "\n" + ground.document(1)))
        await asyncio.sleep(0)
        await running.service.destroy(running.owner, id)
        with pytest.raises((NotFound, InvalidRequest)):
            await adding
        assert ground.inventory() == []


async def test_removed_machines_are_gone_and_their_numbers_never_come_back(ground):
    async with ground.running() as running:
        id = await made(running)
        assert await running.service.remove(running.owner, id, [1, 1]) == 1
        assert await running.service.machines(running.owner, id) == [0]
        assert len(ground.inventory("instance")) == 1
        with pytest.raises(NotFound, match=r"Deleted VM\."):
            await running.service.vm_info(running.owner, id, 1, Language.RADL)
        with pytest.raises(NotFound, match=r"Deleted VM\."):
            await running.service.remove(running.owner, id, [1])
        assert list(await running.add(id, ground.document(1, public=False))) == [2]


async def test_an_unknown_machine_among_those_to_be_removed_leaves_all_of_them(ground):
    async with ground.running() as running:
        id = await made(running)
        for wrong in (7, -1):
            with pytest.raises(NotFound, match="Invalid VM ID"):
                await running.service.remove(running.owner, id, [0, wrong])
        assert await running.service.machines(running.owner, id) == [0, 1]


async def test_when_the_last_machine_is_removed_what_was_shared_goes_too(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.remove(running.owner, id, [0, 1])
        await running.settled(id)
        assert ground.inventory() == []
        assert await running.service.list(running.owner) == [id], "the infrastructure stays"


async def test_a_machine_that_cannot_be_removed_is_reported_and_the_others_are_gone(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running)
        ground.behave(faults=[{"verb": "delete", "resource": "instance/0", "effect": "refuse", "message": "Locked."}])
        with pytest.raises(CloudError, match=r"Error removing resources: instance .*: Locked\."):
            await running.service.remove(running.owner, id, [0, 1])
        assert len(ground.inventory("instance")) == 1
        ground.behave()
        await running.service.remove(running.owner, id, [0])


@pytest.mark.parametrize("number", [7, -1, 10**12])
async def test_a_machine_that_was_never_there_is_not_found(ground, number):
    async with ground.running() as running:
        id = await made(running)
        service, owner = running.service, running.owner
        for call in (
            service.vm_info(owner, id, number, Language.RADL),
            service.vm_property(owner, id, number, "state"),
            service.contmsg(owner, id, number),
            service.start(owner, id, number),
            service.stop(owner, id, number),
            service.reboot(owner, id, number),
            service.remove(owner, id, [number]),
            service.reconfigure(owner, id, None, [number]),
        ):
            with pytest.raises(NotFound, match="Invalid VM ID"):
                await call


async def test_recipes_can_be_changed_and_nonsense_cannot(ground):
    async with ground.running() as running:
        id = await made(running, ground.document(1, recipe=True))
        change = "configure node (\n@begin\n---\n- tasks:\n  - debug: msg=new\n@end\n)"
        await running.service.reconfigure(running.owner, id, Document(change))
        await running.settled(id)
        assert "msg=new" in running.configurator.jobs[-1].tasks[-1].recipe
        generation = (await running.infra(id)).config_generation
        for nonsense in ("configure node (\n@begin\n- [\n@end\n)", "configure (", "{}"):
            with pytest.raises(InvalidDocument):
                await running.service.reconfigure(running.owner, id, Document(nonsense))
        assert (await running.infra(id)).config_generation == generation


# --- asking ----------------------------------------------------------------------------------------------------


async def test_a_property_is_a_feature_of_the_machine(ground):
    async with ground.running() as running:
        id = await made(running)

        async def value(name):
            return await running.service.vm_property(running.owner, id, 0, name)

        assert await value("state") == "configured"
        assert await value("net_interface.0.ip") == "10.0.0.1"
        assert await value("cpu.count") == 1
        assert (await value("provider.type")).lower() == "dummy"
        with pytest.raises(NotFound, match=r"Incorrect property no\.such\.thing for VM ID 0"):
            await value("no.such.thing")


async def test_the_list_can_be_filtered_by_what_is_in_the_document(ground):
    async with ground.running() as running:
        first = await running.create(ground.document(1, system="alpha"))
        second = await running.create(ground.document(1, system="beta"))
        listed = await running.service.list(running.owner)
        assert sorted(listed) == sorted([first, second])
        assert await running.service.list(running.owner, "system +beta") == [second]
        assert await running.service.list(running.owner, "nowhere") == []


@pytest.mark.parametrize(("pattern", "text"), [("(", "not a regular expression"), ("x" * 300, "longer than 256")])
async def test_a_filter_that_is_none_is_refused(ground, pattern, text):
    async with ground.running() as running:
        await made(running)
        with pytest.raises(InvalidRequest, match=text):
            await running.service.list(running.owner, pattern)


async def test_a_filter_that_would_take_for_ever_does_not(ground):
    async with ground.running() as running:
        await running.create("# nothing\nnetwork " + "a" * 60 + " ()")
        with pytest.raises(InvalidRequest, match="the filter takes too long"):
            await asyncio.wait_for(running.service.list(running.owner, "(a|aa)+(a|aa)+(a|aa)+(a|aa)+$z"), 10)


async def test_the_list_can_be_filtered_although_another_service_works_on_some(ground):
    async with ground.running(holder="one") as one, ground.running(holder="two") as two:
        first, second = await one.create(ground.document(1)), await two.create(ground.document(1))
        await one.settled(first)
        await two.settled(second)
        assert sorted(await one.service.list(one.owner, "system node")) == sorted([first, second])
        assert await one.service.list(one.owner, "sealed") == []


async def test_information_about_a_machine_comes_in_both_forms(ground):
    async with ground.running() as running:
        id = await made(running)
        text = await running.service.vm_info(running.owner, id, 1, Language.RADL)
        assert "system node" in text
        assert "state = 'configured'" in text
        assert await running.service.vm_info(running.owner, id, 1, Language.RADL) is text, "made once"
        items = json.loads(await running.service.vm_info(running.owner, id, 1, Language.RADL_JSON))
        (system,) = [item for item in items if item["class"] == "system"]
        assert system["state"] == "configured"
        await running.service.stop(running.owner, id, 1)
        assert "state = 'stopped'" in await running.service.vm_info(running.owner, id, 1, Language.RADL)


# --- credentials -----------------------------------------------------------------------------------------------


async def test_credentials_are_refreshed_by_each_request_of_an_owner(ground):
    async with ground.running() as running:
        id = await made(running)
        infra = await running.infra(id)
        fresh = await running.caller(OWNER + "id = cloud; type = Dummy; password = renewed\\nid = more; type = Dummy")
        await running.service.state(fresh, id)
        stored = {item.id: item.fields for item in running.engine.vault.credentials(infra)}
        assert stored == {"cloud": {"password": "renewed"}, "more": {}}
        less = await running.caller(OWNER + "id = more; type = Dummy")
        await running.service.state(less, id)
        assert {item.id for item in running.engine.vault.credentials(infra)} == {"cloud", "more"}, "still needed"
    async with ground.running(holder="two") as running:
        infra = await running.infra(id)
        assert {item.id for item in running.engine.vault.credentials(infra)} == {"cloud", "more"}, "and stored"


async def test_credentials_are_not_refreshed_by_an_administrator_nor_by_a_stranger(ground):
    async with ground.running() as running:
        id = await made(running)
        infra = await running.infra(id)
        before = running.engine.vault.credentials(infra)
        admin = await running.caller(ADMIN + "; password = of-the-admin")
        await running.service.state(admin, id)
        with pytest.raises(Forbidden):
            await running.service.state(await running.caller(STRANGER + "; password = of-the-stranger"), id)
        assert running.engine.vault.credentials(infra) == before


async def test_no_secret_is_stored_in_the_open_nor_told(ground, caplog):
    secrets = ("very-secret", "secret-of-owner")
    ground.behave(
        faults=[
            {"verb": "create", "kind": "volume", "effect": "fail", "message": "cannot log in with very-secret"},
            {"verb": "create", "kind": "network", "nth": 1, "effect": "crash"},
        ]
    )
    async with ground.running() as running:
        caller = await running.caller(OWNER + "id = cloud; type = Dummy; password = very-secret")
        id = await running.create(ground.document(1, volumes=True), caller)
        infra = await running.settled(id)
        assert infra.state() == "failed"
        shown = [await running.service.contmsg(caller, id), repr(caller), repr(infra.vms), repr(infra.entries)]
        shown += [str(event) for event in await running.repository.events(id, 0, 1000)]
        assert "cannot log in with ***" in shown[0]
        stored = ground.database.infrastructures[id]
        texts = [*shown, caplog.text, *stored.rows.values(), stored.data, str(stored.head)]
        for secret in secrets:
            assert not [text for text in texts if secret in text]


async def test_secrets_go_with_the_infrastructure(ground):
    async with ground.running() as running:
        id = await made(running)
        assert any(table == "secret" for table, _ in ground.database.infrastructures[id].rows)
        await running.service.destroy(running.owner, id)
        await running.settled(id)
        assert not any(table == "secret" for table, _ in ground.database.infrastructures[id].rows)


async def test_callers_are_remembered_once_they_are_accepted_and_if_their_list_is_short(ground):
    async with ground.running() as running:
        known = running.service._callers._known
        before = len(known)
        for number in range(20):
            with pytest.raises(Unauthenticated):
                await running.service.authenticate(f"type = InfrastructureManager; username = u{number}")
        await running.service.authenticate(ground.owner + "; key = " + "k" * 20_000)
        assert len(known) == before
        assert await running.service.authenticate(ground.owner) is running.owner


async def test_every_refusal_is_an_error_of_ours(ground):
    """Whatever is asked in whatever state: an answer, or an `IMError`."""
    async with ground.running() as running:
        for prepare in ("", ground.document(1), ground.document(1, cloud="cloud")):
            id = await running.create(prepare)
            for call in each_operation(running.service, running.owner, id).values():
                with contextlib.suppress(IMError):
                    await asyncio.wait_for(call(), 5)
