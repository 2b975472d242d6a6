"""Machines get another size, disks and public addresses, or stay as they were."""

from __future__ import annotations

import asyncio

import pytest

from imframework.api.errors import CloudError, Conflict, InvalidRequest, NotFound, NotSupported, Vetoed
from imframework.api.model import Capability
from imframework.api.service import Document, Language
from imframework.core.ports import NoHooks
from imframework_plugins.connectors.dummy.connector import DummyConnector

LARGER = "system node (cpu.count >= 4 and memory.size >= 4G)"
WITHOUT_ADDRESS = "network private\nsystem node (net_interface.0.connection = 'private')"
WITH_ADDRESS = """
network private
network public
system node (net_interface.0.connection = 'private' and net_interface.1.connection = 'public')
"""
NEW_ADDRESS = WITH_ADDRESS.replace("network public", "network public (outbound = 'yes')")


def alter(running, id, text, vm=0, language=Language.RADL):
    return running.service.alter(running.owner, id, vm, Document(text, language))


async def started(running, *, count=1, **about):
    """An infrastructure that is at rest."""
    id = await running.create(running.ground.document(count, **about))
    await running.settled(id)
    return id


def spec(ground, vm=0):
    """What the cloud has of a machine."""
    (found,) = (
        thing for thing in ground.cloud.inventory() if thing.kind == "instance" and thing.name.endswith(f"-{vm}")
    )
    return found.spec


def agree(infra, ground):
    """The ledger is what the cloud has, and nothing is on its way."""
    ledger = {entry.provider_id: entry for entry in infra.entries.values()}
    assert sorted(ledger) == sorted(ground.inventory())
    for thing in ground.cloud.inventory():
        entry = ledger[thing.provider_id]
        assert entry.status == "ready"
        assert not entry.outdated
        assert entry.resolved == thing.spec, entry.key
    assert not infra.operations
    assert not any(vm.alteration or vm.definition_wanted or vm.alteration_error for vm in infra.vms.values())
    assert not [name for name in infra.documents if name.startswith("alteration")]


async def test_a_machine_gets_another_size(ground):
    async with ground.running() as running:
        id = await started(running)
        before = ground.inventory()
        jobs = len(running.configurator.jobs)
        await alter(running, id, LARGER)
        infra = await running.settled(id)
        assert (spec(ground)["cpu"], spec(ground)["memory"]) == (4, 4 * 10**9)
        assert infra.vms[0].facts["cpu.count"] == 4
        assert infra.vms[0].state() == "configured"
        assert ground.inventory() == before
        assert len(running.configurator.jobs) == jobs, "nothing is configured again"
        agree(infra, ground)


async def test_a_size_that_the_machine_has_is_no_change(ground):
    async with ground.running() as running:
        id = await started(running)
        await alter(running, id, "system node (cpu.count >= 1)")
        assert ground.calls("update") == 0
        agree(await running.settled(id), ground)


async def test_only_the_machine_asked_for_is_altered(ground):
    async with ground.running() as running:
        id = await started(running, count=2)
        await alter(running, id, LARGER, vm=1)
        assert [spec(ground, vm)["cpu"] for vm in (0, 1)] == [1, 4]
        agree(await running.settled(id), ground)


async def test_machines_added_later_are_as_the_stored_document_says(ground):
    async with ground.running() as running:
        id = await started(running)
        await alter(running, id, LARGER)
        assert "cpu.count" not in await running.service.radl(running.owner, id)
        await running.add(id, "network private\nnetwork public\nsystem node\ndeploy node 1")
        infra = await running.settled(id)
        assert [vm.facts["cpu.count"] for vm in infra.vms.values()] == [4, 1]


async def test_a_disk_is_added_and_others_stay(ground):
    async with ground.running() as running:
        id = await started(running, volumes=True)
        await alter(running, id, "system node (disk.2.size = 2G)")
        infra = await running.settled(id)
        assert len(ground.inventory("volume")) == 2
        assert spec(ground)["disks"] == [1, 2]
        assert infra.vms[0].facts["disk.2.device"] == "vdc"
        agree(infra, ground)


async def test_a_public_address_comes_and_goes(ground):
    ground.behave(distinct_addresses=True)
    async with ground.running() as running:
        id = await started(running, public=False)
        await alter(running, id, NEW_ADDRESS)
        infra = await running.settled(id)
        assert len(ground.inventory("public_ip_attachment")) == 1
        assert infra.vms[0].facts["net_interface.1.ip"].startswith("240.")
        assert infra.entries["cloud/instance/0"].access().address == infra.vms[0].facts["net_interface.1.ip"]
        agree(infra, ground)
        await alter(running, id, WITHOUT_ADDRESS)
        infra = await running.settled(id)
        assert "net_interface.1.ip" not in infra.vms[0].facts
        assert infra.entries["cloud/instance/0"].access().address == infra.vms[0].facts["net_interface.0.ip"]
        assert ground.inventory("public_ip") == []
        assert len(ground.inventory("security_group")) == 1
        agree(infra, ground)
        refusals = [call for call in ground.cloud.calls() if "in use" in call.outcome]
        assert not refusals, "what is in use is deleted after what uses it"


async def test_a_machine_is_altered_by_radl_json(ground):
    async with ground.running() as running:
        id = await started(running)
        await alter(running, id, '[{"class": "system", "id": "node", "cpu.count_min": 3}]', language=Language.RADL_JSON)
        assert spec(ground)["cpu"] == 3
        agree(await running.settled(id), ground)


async def test_a_machine_is_altered_by_tosca(ground):
    def template(cpus):
        return f"""
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        host: {{properties: {{num_cpus: {cpus}}}}}
        os: {{properties: {{type: linux}}}}
"""

    async with ground.running() as running:
        id = await running.service.create(running.owner, Document(template(2), Language.TOSCA))
        await alter(running, id, template(6), language=Language.TOSCA)
        assert spec(ground)["cpu"] == 6
        agree(await running.settled(id), ground)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("system other (cpu.count = 2)", "Incorrect RADL no system with name node provided."),
        ("network private", "Incorrect RADL no system with name node provided."),
        ("system node (disk.1.size = 9G)", "The size of disk 1 cannot be changed."),
        ("system node (disk.1.image.url = 'mock0://x/y')", "Disk 1 cannot be another image."),
        ("system node (net_interface.3.connection = 'nowhere')", "There is no network nowhere."),
        ("network more ()\nsystem node (net_interface.3.connection = 'more')", "only public ones come and go"),
    ],
)
async def test_what_cannot_be_changed_is_refused_at_once(ground, document, message):
    async with ground.running() as running:
        id = await started(running, volumes=True)
        with pytest.raises(InvalidRequest, match=message):
            await alter(running, id, document)
        agree(await running.settled(id), ground)


async def test_what_the_cloud_refuses_leaves_the_machine_as_it_was(ground):
    ground.behave(largest={"cpu": 2})
    async with ground.running() as running:
        id = await started(running)
        before = (await running.infra(id)).vms[0]
        with pytest.raises(CloudError, match=r"Error modifying the information about the VM 0: Quota exceeded"):
            await alter(running, id, LARGER)
        infra = await running.settled(id)
        assert infra.vms[0] == before
        assert ground.calls("update") == 1, "what has changed nothing need not be undone"
        agree(infra, ground)


async def test_what_was_made_for_an_alteration_that_is_refused_goes_away_again(ground):
    ground.behave(largest={"cpu": 2})
    async with ground.running() as running:
        id = await started(running, public=False)
        before = ground.inventory()
        with pytest.raises(CloudError, match=r"Quota exceeded"):
            await alter(
                running,
                id,
                NEW_ADDRESS.replace("system node (", "system node (cpu.count >= 4 and disk.1.size = 1G and "),
            )
        infra = await running.settled(id)
        assert ground.inventory() == before
        assert infra.vms[0].state() == "configured"
        agree(infra, ground)


async def test_an_address_that_was_given_up_for_nothing_is_had_again(ground):
    ground.behave(faults=[{"verb": "update", "kind": "instance", "effect": "refuse", "times": 1}])
    async with ground.running() as running:
        id = await started(running)
        with pytest.raises(CloudError, match=r"refuses"):
            await alter(running, id, WITHOUT_ADDRESS)
        infra = await running.settled(id)
        assert len(ground.inventory("public_ip_attachment")) == 1
        agree(infra, ground)


async def test_an_alteration_that_gets_half_way_is_brought_back(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await started(running, public=False)
        ground.behave(steps={"instance": 1}, faults=[{"verb": "update", "effect": "lose-answer", "times": 3}])
        with pytest.raises(CloudError, match=r"connection to the simulated cloud broke|answer"):
            await alter(running, id, LARGER)
        infra = await running.settled(id)
        assert spec(ground)["cpu"] == 1
        agree(infra, ground)


@pytest.mark.parametrize("effect", ["fail", "lose-request", "lose-answer", "crash", "busy"])
async def test_a_fault_that_passes_is_got_over(ground, effect):
    ground.behave(steps={"instance": 2})
    async with ground.running() as running:
        id = await started(running)
        ground.behave(steps={"instance": 2}, faults=[{"verb": "update", "effect": effect, "nth": [1, 3], "times": 2}])
        await alter(running, id, LARGER)
        infra = await running.settled(id)
        assert infra.vms[0].state() == "configured"
        assert spec(ground)["cpu"] == 4
        agree(infra, ground)


@pytest.mark.parametrize("verb", ["candidates", "plan"])
async def test_a_cloud_that_cannot_be_asked_is_asked_again(ground, verb):
    async with ground.running() as running:
        id = await started(running)
        ground.behave(faults=[{"verb": verb, "effect": "fail", "times": 2}])
        await alter(running, id, LARGER)
        ground.behave(faults=[{"verb": verb, "effect": "fail"}])
        with pytest.raises(CloudError, match=r"VM 0: .*cannot be reached"):
            await alter(running, id, LARGER.replace("4", "8"))
        infra = await running.settled(id)
        assert spec(ground)["cpu"] == 4
        agree(infra, ground)


async def test_an_update_that_comes_late_does_not_have_the_last_word(ground):
    """The call hangs, is given up, and takes its effect when the machine has returned to its former size."""
    async with ground.running(timeout=0.1, max_vm_fails=1) as running:
        id = await started(running)
        ground.behave(faults=[{"verb": "update", "effect": "delay", "seconds": 0.5, "times": 1}])
        with pytest.raises(CloudError):
            await alter(running, id, LARGER)
        await running.until(
            lambda: any(call.verb == "update" and call.outcome == "done" for call in ground.cloud.calls())
        )
        await running.until(lambda: ground.calls("update") >= 3)
        await running.until(lambda: spec(ground)["cpu"] == 1)
        infra = await running.settled(id)
        agree(infra, ground)


async def test_a_stopped_machine_is_altered_and_stays_stopped(ground):
    async with ground.running() as running:
        id = await started(running)
        await running.service.stop(running.owner, id)
        await alter(running, id, LARGER)
        infra = await running.settled(id)
        assert infra.vms[0].state() == "stopped"
        assert spec(ground)["cpu"] == 4
        await running.service.start(running.owner, id)


async def test_a_machine_is_altered_once_it_is_launched(ground):
    ground.behave(boot={"instance": 0.1})
    async with ground.running() as running:
        id = await running.create(ground.document())
        await alter(running, id, LARGER)
        agree(await running.settled(id), ground)
        assert spec(ground)["cpu"] == 4


async def test_a_machine_is_not_touched_while_it_is_configured(ground):
    async with ground.running() as running:
        running.configurator.hold.clear()
        id = await running.create(ground.document(recipe=True))
        await running.until(lambda: running.configurator.jobs)
        altering = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].alteration)
        await asyncio.sleep(0.05)
        assert ground.calls("update") == 0
        running.configurator.hold.set()
        await altering
        assert ground.calls("update") == 1


async def test_machines_are_switched_while_others_are_altered(ground):
    ground.behave(latency={"update": 0.1}, steps={"instance": 1})
    async with ground.running() as running:
        id = await started(running, count=2)
        altering = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].phase == "updating")
        await running.service.stop(running.owner, id)
        await altering
        infra = await running.settled(id)
        assert [vm.state() for vm in infra.vms.values()] == ["stopped", "stopped"]
        assert spec(ground)["cpu"] == 4


async def test_one_alteration_at_a_time(ground):
    ground.behave(latency={"update": 0.2})
    async with ground.running() as running:
        id = await started(running)
        first = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].alteration)
        with pytest.raises(Conflict, match=r"another change of it is under way"):
            await alter(running, id, "system node (cpu.count = 8)")
        await alter(running, id, LARGER)  # the same: it has the same outcome
        await first
        assert ground.calls("update") == 1


async def test_deletion_outranks_alteration(ground):
    ground.behave(latency={"update": 0.1}, steps={"instance": 3})
    async with ground.running() as running:
        id = await started(running)
        altering = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].phase == "updating")
        await running.service.destroy(running.owner, id)
        with pytest.raises(NotFound, match=r"Error modifying the information about the VM 0: Deleted infrastructure."):
            await altering
        assert ground.inventory() == []
        with pytest.raises(NotFound):
            await alter(running, id, LARGER)


async def test_a_machine_that_is_removed_is_not_altered_any_more(ground):
    ground.behave(latency={"update": 0.1}, steps={"instance": 3})
    async with ground.running() as running:
        id = await started(running, count=2)
        altering = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].phase == "updating")
        await running.service.remove(running.owner, id, [0])
        with pytest.raises(CloudError, match=r"VM 0: it is being deleted."):
            await altering
        agree(await running.settled(id), ground)


async def test_a_cloud_that_cannot_alter_says_so(ground):
    class Rigid(DummyConnector):
        def capabilities(self):
            return [Capability("alter", False, "its machines are made of stone")]

    async with ground.running(connectors={"Dummy": Rigid}) as running:
        id = await started(running)
        with pytest.raises(NotSupported, match=r"cannot alter machines: its machines are made of stone"):
            await alter(running, id, LARGER)
        agree(await running.settled(id), ground)


@pytest.mark.parametrize("behaviour", [{}, {"largest": {"cpu": 2}}])
async def test_an_alteration_that_a_restart_interrupts_comes_to_its_end(ground, behaviour):
    ground.behave(steps={"instance": 3}, latency={"update": 0.05})
    async with ground.running() as running:
        id = await started(running)
        altering = asyncio.ensure_future(alter(running, id, LARGER))
        await running.until(lambda: running.repository.cached(id).vms[0].phase == "updating")
    await asyncio.gather(altering, return_exceptions=True)
    ground.behave(**behaviour)
    async with ground.running(holder="two") as running:
        infra = await running.settled(id)
        assert infra.vms[0].state() == "configured"
        assert spec(ground)["cpu"] == (1 if behaviour else 4)
        agree(infra, ground)


async def test_an_address_that_does_not_go_is_no_reason_to_lose_the_machine(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await started(running)
        ground.behave(faults=[{"verb": "delete", "kind": "public_ip", "effect": "fail"}])
        with pytest.raises(CloudError, match=r"VM 0: public_ip node-.*cannot be reached"):
            await alter(running, id, WITHOUT_ADDRESS)
        infra = await running.infra(id)
        assert infra.vms[0].state() == "configured"
        assert not infra.vms[0].alteration
        ground.behave()
        await running.until(lambda: not ground.inventory("public_ip"))
        await running.add(id, "network private\nnetwork public\nsystem node\ndeploy node 1")
        infra = await running.settled(id)
        assert len(ground.inventory("public_ip_attachment")) == 2, "whatever is planned next brings it back"
        assert [vm.state() for vm in infra.vms.values()] == ["configured", "configured"]
        agree(infra, ground)


async def test_hooks_may_refuse_an_alteration(ground):
    class NothingLarge(NoHooks):
        def active(self, name):
            return name == "imframework_approve_plan"

        async def veto(self, name, **about):
            if any(machine.flavour == "huge" for machine in about["machines"]):
                raise Vetoed("Nothing so large, please.")

    async with ground.running(hooks=NothingLarge()) as running:
        id = await started(running)
        with pytest.raises(Vetoed, match=r"VM 0: Nothing so large, please\."):
            await alter(running, id, "system node (instance_type = 'huge')")
        agree(await running.settled(id), ground)
        await alter(running, id, "system node (instance_type = 'large')")
        assert spec(ground)["flavour"] == "large"


async def test_a_plan_made_before_an_alteration_is_out_of_date(ground):
    async with ground.running() as running:
        id = await started(running)
        more = Document("network private\nnetwork public\nsystem node\ndeploy node 1")
        plan = await running.service.plan(running.owner, more, id)
        await alter(running, id, LARGER)
        with pytest.raises(Conflict, match="machine 0 got another cloud, image or size"):
            await running.service.apply(running.owner, plan["id"])
