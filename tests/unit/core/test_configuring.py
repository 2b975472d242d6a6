"""When machines are configured, how often, and what is on record of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from imframework.api.errors import CloudError, IMError
from imframework.api.model import Condition, Dependency, Phase
from imframework.api.storage import Table
from imframework.core import worker
from imframework_plugins.connectors.dummy.connector import DummyConnector

RECIPES = """
network public (outbound = 'yes')
system front (net_interface.0.connection = 'public' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
system node (net_interface.0.connection = 'public' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
configure front (
@begin
---
- tasks: []
@end
)
configure node (
@begin
---
- tasks: []
@end
)
deploy front 1
deploy node 2
"""


async def created(running, document=None):
    id = await running.create(running.ground.document(2, recipe=True) if document is None else document)
    return await running.settled(id)


def ran(running, vm=None):
    return [task for (_, number, task) in running.configurator.ran if vm in (None, number)]


async def test_every_machine_runs_the_generated_plays_and_the_recipes_of_its_system_once(ground):
    async with ground.running() as running:
        infra = await created(running, RECIPES)
        assert infra.state() == "configured"
        assert ran(running, 0) == ["basic", "main_front", "front_front"]
        assert ran(running, 2) == ["basic", "main_node", "node_node"]
        assert set(running.configurator.ran.values()) == {1}
        assert len(running.configurator.discarded) == 1, "its folder, with keys in it, is gone"
        assert not infra.runs


async def test_an_empty_contextualization_is_said_in_the_log(ground):
    async with ground.running() as running:
        infra = await created(running, ground.document(2))
        assert infra.state() == "configured"
        assert not running.configurator.jobs
        log = await running.service.contmsg(running.owner, infra.id)
        assert log.endswith(": Contextualization disabled by the RADL/TOSCA template.\n\n")


async def test_a_failed_task_leaves_its_machine_unconfigured_with_the_reason_on_top(ground):
    async with ground.running() as running:
        running.configurator.failing = {(1, "main_node")}
        infra = await created(running)
        assert infra.vm_states() == {0: "configured", 1: "unconfigured"}
        assert infra.state() == "unconfigured"
        first, *_ = (await running.service.contmsg(running.owner, infra.id)).splitlines()
        assert first.startswith("ERROR: VM 1 (")
        assert first.endswith("main_node: a task: it does not work")


async def test_a_second_try_that_works_leaves_no_error(ground):
    async with ground.running() as running:
        running.configurator.failing = {(1, "main_node")}
        infra = await created(running)
        running.configurator.failing = set()
        await running.service.reconfigure(running.owner, infra.id)
        await running.settled(infra.id)
        assert infra.state() == "configured"
        assert "ERROR" not in await running.service.contmsg(running.owner, infra.id)


async def test_a_machine_that_accepts_no_log_in_fails_alone(ground):
    async with ground.running() as running:
        reachable = running.configurator.reachable

        async def first_only(access, timeout):
            return "" if access.address.endswith("1") else "Timeout waiting SSH access."

        running.configurator.reachable = first_only
        ground.behave(distinct_addresses=True)
        infra = await created(running)
        running.configurator.reachable = reachable
        states = sorted(infra.vm_states().values())
        assert states.count("unconfigured") >= 1
        assert "Timeout waiting SSH access." in await running.service.contmsg(running.owner, infra.id)


async def test_a_run_that_cannot_be_started_leaves_all_unconfigured_with_the_reason(ground):
    async with ground.running() as running:
        running.configurator.refusal = CloudError("There is no sandbox on this host.")
        infra = await created(running)
        assert infra.state() == "unconfigured"
        assert "There is no sandbox on this host." in await running.service.contmsg(running.owner, infra.id)


async def test_added_machines_are_configured_together_with_the_others(ground):
    async with ground.running() as running:
        infra = await created(running)
        await running.add(infra.id, ground.document(1, recipe=True))
        await running.settled(infra.id)
        assert infra.state() == "configured"
        assert [sorted(target.number for target in job.targets) for job in running.configurator.jobs] == [
            [0, 1], [0, 1, 2],
        ]  # fmt: skip


async def test_machines_added_without_configuration_wait_for_it(ground):
    async with ground.running() as running:
        infra = await created(running)
        await running.add(infra.id, ground.document(1, recipe=True), context=False)
        await running.settled(infra.id)
        assert infra.vm_states() == {0: "configured", 1: "configured", 2: "running"}
        assert len(running.configurator.jobs) == 1
        await running.service.reconfigure(running.owner, infra.id)
        await running.settled(infra.id)
        assert infra.state() == "configured"


async def test_only_the_listed_machines_are_configured_again(ground):
    async with ground.running() as running:
        infra = await created(running)
        await running.service.reconfigure(running.owner, infra.id, None, [1])
        await running.settled(infra.id)
        job = running.configurator.jobs[-1]
        assert [target.number for target in job.targets] == [1]
        assert [target.number for target in job.others] == [vm.number for vm in infra.alive() if vm.number != 1], (
            "recipes may be about the others all the same"
        )
        assert {number for task in job.tasks for number in task.vms} == {1}


async def test_recorded_tasks_do_not_run_again_after_a_restart(ground):
    async with ground.running(holder="one") as running:
        id = await running.create(ground.document(2, recipe=True))
        await running.until(lambda: running.configurator.ran)
        running.configurator.hold.clear()
        infra = await running.infra(id)
        await running.until(lambda: infra.steps)
        before = {(vm, task) for vm, task in infra.steps}
    async with ground.running(holder="two") as running:
        running.ids.append(id)
        infra = await running.settled(id)
        assert infra.state() == "configured"
        jobs = running.configurator.jobs  # none, if the first service has lived long enough to end the run
        done = {(target.number, task) for job in jobs for target in job.targets for task in target.done}
        assert not jobs or done >= before
        assert not {(vm, task) for _, vm, task in running.configurator.ran} & before


async def test_a_removed_machine_does_not_keep_the_others_from_being_configured(ground):
    async with ground.running() as running:
        running.configurator.hold.clear()
        id = await running.create(ground.document(3, recipe=True))
        await running.until(lambda: running.configurator.jobs)
        removing = asyncio.ensure_future(running.service.remove(running.owner, id, [1], context=False))
        await asyncio.sleep(0.05)
        running.configurator.hold.set()
        await removing
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured", 2: "configured"}


async def test_configuration_does_not_begin_before_public_addresses_are_attached(ground):
    """Not even if somebody asks for something while the last call is under way."""
    ground.behave(faults=[{"verb": "create", "kind": "public_ip_attachment", "effect": "late-answer", "seconds": 0.3}])
    async with ground.running() as running:
        id = await running.create(ground.document(1, recipe=True))
        await running.until(lambda: ground.inventory("public_ip_attachment"))
        infra = await running.infra(id)
        running.engine.wake(infra)
        await asyncio.sleep(0.05)
        running.engine.wake(infra)
        await running.settled(id)
        (job,) = running.configurator.jobs
        assert "net_interface.1.ip" in job.targets[0].facts


async def test_an_address_that_never_comes_is_waited_for_only_so_long(ground):
    ground.behave(boot={"public_ip": 3600})
    async with ground.running(wait_public_ip=0.2) as running:
        infra = await created(running)
        assert set(infra.vm_states().values()) == {"configured"}
        log = await running.service.contmsg(running.owner, infra.id)
        assert "Error waiting all the VMs to have all the requested IPs" in log


async def test_the_time_that_the_service_was_away_is_not_taken_for_waiting(ground, monkeypatch):
    """It is killed while it has an address attached, and started again long after."""
    monkeypatch.setattr(worker, "FAREWELL", 0.0)
    hang = {"verb": "create", "kind": "public_ip_attachment", "effect": "hang", "seconds": 2, "name": "hang"}
    ground.behave(faults=[hang])
    async with ground.running(holder="one") as one:
        id = await one.create(ground.document(1, recipe=True))
        await one.until(lambda: ground.cloud.fired("hang"))
    rows = ground.database.infrastructures[id].rows
    attachment = (Table.RESOURCE, "cloud/public_ip_attachment/0/1")
    rows[attachment] = json.dumps({**json.loads(rows[attachment]), "intended_at": 1.0})
    ground.behave(latency={"create": 0.2})
    async with ground.running(holder="two", wait_public_ip=60) as two:
        two.ids.append(id)
        await two.settled(id)
        (job,) = two.configurator.jobs
        assert "net_interface.1.ip" in job.targets[0].facts


class Sleepy(DummyConnector):
    """Its second machine never boots."""

    def read(self, handles):
        return [
            replace(answer, phase=Phase.CREATING) if handle.resource.key == "instance/1" else answer
            for handle, answer in zip(handles, super().read(handles), strict=True)
        ]

    def create(self, resource, token):
        answer = super().create(resource, token)
        return replace(answer, phase=Phase.CREATING) if resource.key == "instance/1" else answer


async def test_a_machine_that_never_boots_is_waited_for_only_so_long(ground):
    async with ground.running(connectors={"Dummy": Sleepy}, wait_running=0.3) as running:
        id = await running.create(ground.document(2, recipe=True))
        infra = await running.infra(id)
        await running.until(lambda: infra.vm_states()[0] == "configured")
        await running.until(lambda: infra.vms[1].config_error)
        assert infra.vms[1].config_error == "Error Waiting the VM to boot"
        assert infra.vm_states()[1] == "pending"


class AfterFront(DummyConnector):
    """Machine 1 needs machine 0 to be configured."""

    def plan(self, deployment):
        return [
            replace(resource, depends_on=(*resource.depends_on, Dependency("instance/0", Condition.CONFIGURED)))
            if resource.key == "instance/1"
            else resource
            for resource in super().plan(deployment)
        ]


async def test_a_machine_that_waits_for_the_configuration_of_another_gets_its_turn(ground):
    async with ground.running(connectors={"Dummy": AfterFront}) as running:
        infra = await created(running)
        assert infra.state() == "configured"
        assert [[target.number for target in job.targets] for job in running.configurator.jobs] == [[0], [1]]


async def test_a_machine_that_waits_for_a_configuration_that_failed_is_given_up(ground):
    async with ground.running(connectors={"Dummy": AfterFront}) as running:
        running.configurator.failing = {(0, "basic")}
        infra = await created(running)
        assert infra.vm_states() == {0: "unconfigured", 1: "failed"}
        assert "which it waits for, is not configured" in infra.vms[1].failure


async def test_an_infrastructure_without_machines_has_nothing_to_configure(ground):
    async with ground.running() as running:
        infra = await created(running, "")
        assert infra.state() == "pending"
        assert not running.configurator.jobs
        await running.service.destroy(running.owner, infra.id)
        with pytest.raises(IMError):
            await running.service.state(running.owner, infra.id)
