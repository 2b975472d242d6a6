"""Stop, start and reboot, with clouds that fail at it, lose answers, or take their time."""

from __future__ import annotations

import asyncio

import pytest

from imframework.api.errors import CloudError, Conflict, NotFound


async def made(running, count=2):
    id = await running.create(running.ground.document(count, public=False))
    infra = await running.settled(id)
    assert infra.state() == "configured", running.describe()
    return id


def powered(running, id):
    """The phase of each machine as the cloud has it."""
    return [entry.phase for entry in running.ground.cloud.inventory() if entry.kind == "instance"]


async def states(running, id):
    return dict((await running.service.state(running.owner, id)).vm_states)


async def test_all_machines_stop_and_start_again_and_are_configured_still(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.stop(running.owner, id)
        assert powered(running, id) == ["stopped", "stopped"]
        assert await states(running, id) == {0: "stopped", 1: "stopped"}
        await running.service.start(running.owner, id)
        assert powered(running, id) == ["ready", "ready"]
        assert await states(running, id) == {0: "configured", 1: "configured"}


async def test_one_machine_stops_and_the_others_do_not_notice(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.stop(running.owner, id, 1)
        assert await states(running, id) == {0: "configured", 1: "stopped"}
        assert (await running.service.state(running.owner, id)).state == "stopped"


async def test_stopping_what_is_stopped_asks_the_cloud_for_nothing(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        await running.service.stop(running.owner, id)
        await running.service.stop(running.owner, id)
        assert ground.calls("stop") == 1


@pytest.mark.parametrize("effect", ["fail", "busy", "lose-request", "lose-answer", "crash", "late-answer"])
@pytest.mark.parametrize("verb", ["stop", "start"])
async def test_a_fault_on_the_way_does_not_matter(ground, verb, effect):
    async with ground.running(timeout=0.1) as running:
        id = await made(running, 1)
        if verb == "start":
            await running.service.stop(running.owner, id)
        ground.behave(faults=[{"verb": verb, "effect": effect, "nth": 1, "seconds": 0.15}])
        await getattr(running.service, verb)(running.owner, id)
        assert powered(running, id) == ["stopped" if verb == "stop" else "ready"]


async def test_after_the_last_attempt_the_reason_is_told_and_the_machine_stays_as_it_is(ground):
    async with ground.running(max_vm_fails=3) as running:
        id = await made(running, 2)
        fault = {"verb": "stop", "resource": "instance/1", "effect": "fail", "message": "The host is being moved."}
        ground.behave(faults=[fault])
        with pytest.raises(CloudError, match=r"Error stopping the infrastructure: The host is being moved\."):
            await running.service.stop(running.owner, id)
        assert await states(running, id) == {0: "stopped", 1: "configured"}
        ground.behave()
        await running.service.stop(running.owner, id, 0)
        assert await states(running, id) == {0: "stopped", 1: "configured"}, "a failed request is not tried for ever"


async def test_a_refusal_is_not_repeated(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        fault = {"verb": "stop", "effect": "refuse", "message": "It may never be stopped.", "name": "refusal"}
        ground.behave(faults=[fault])
        with pytest.raises(CloudError, match=r"Error stopping the VM: It may never be stopped\."):
            await running.service.stop(running.owner, id, 0)
        assert ground.cloud.fired("refusal") == 1
        assert powered(running, id) == ["ready"]


async def test_what_was_done_although_its_answer_was_lost_is_not_undone(ground):
    """The second request is refused because the first has worked: that is no reason to start the machine again."""
    async with ground.running() as running:
        id = await made(running, 1)
        ground.behave(
            faults=[
                {"verb": "stop", "effect": "lose-answer", "nth": 1},
                {"verb": "stop", "effect": "refuse", "nth": 2},
                {"verb": "read", "effect": "fail", "nth": 1},
            ]
        )
        await running.service.stop(running.owner, id)
        assert powered(running, id) == ["stopped"]
        assert ground.calls("start") == 0


async def test_a_machine_that_is_booting_is_stopped_once_it_is_there(ground):
    ground.behave(boot={"instance": 0.3})
    async with ground.running() as running:
        id = await running.create(ground.document(1, public=False))
        infra = await running.infra(id)
        await running.until(lambda: infra.vms[0].launched)
        await running.service.stop(running.owner, id)
        assert powered(running, id) == ["stopped"]


@pytest.mark.parametrize("verb", ["start", "stop", "reboot"])
async def test_a_machine_that_has_vanished_cannot_be_switched(ground, verb):
    async with ground.running(update_frequency=0.0) as running:
        id = await made(running, 1)
        ground.cloud.vanish("cloud", ground.inventory("instance")[0])
        await running.service.state(running.owner, id)
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "off")
        with pytest.raises(CloudError, match=rf"Error {verb.rstrip('p')}.*ing the VM: VM 0 is (off|not running)"):
            await getattr(running.service, verb)(running.owner, id, 0)


async def test_start_and_stop_at_once_end_with_the_last_one(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        ground.behave(latency={"act": 0.05})
        stopping = asyncio.ensure_future(running.service.stop(running.owner, id))
        await asyncio.sleep(0.02)
        starting = asyncio.ensure_future(running.service.start(running.owner, id))
        outcomes = await asyncio.wait_for(asyncio.gather(stopping, starting, return_exceptions=True), 5)
        assert outcomes[1] is None
        assert powered(running, id) == ["ready"]


async def test_a_failure_to_stop_does_not_undo_a_later_request_to_start(ground):
    async with ground.running(max_vm_fails=1) as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": "stop", "effect": "delay", "seconds": 0.2}, {"verb": "stop", "effect": "fail"}])
        stopping = asyncio.ensure_future(running.service.stop(running.owner, id))
        await asyncio.sleep(0.05)
        await running.service.start(running.owner, id)
        with pytest.raises(CloudError):
            await stopping
        infra = await running.settled(id)
        assert infra.vms[0].power_on
        assert powered(running, id) == ["ready"]


async def test_a_reboot_reaches_the_cloud_once(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        await running.service.reboot(running.owner, id, 0)
        assert ground.calls("reboot") == 1
        assert await states(running, id) == {0: "configured"}


@pytest.mark.parametrize("effect", ["fail", "lose-answer", "lose-request", "refuse"])
async def test_a_reboot_that_fails_is_told_and_never_repeated(ground, effect):
    async with ground.running() as running:
        id = await made(running, 1)
        fault = {"verb": "reboot", "effect": effect, "message": "No reboot today.", "name": "f"}
        ground.behave(faults=[fault])
        with pytest.raises(CloudError, match=r"Error rebooting the VM: No reboot today\."):
            await running.service.reboot(running.owner, id, 0)
        await running.settled(id)
        assert ground.cloud.fired("f") == 1


async def test_a_reboot_that_was_interrupted_is_not_repeated(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": "reboot", "effect": "late-answer", "seconds": 0.3}])
        rebooting = asyncio.ensure_future(running.service.reboot(running.owner, id, 0))
        await running.until(lambda: ground.calls("reboot"))
    with pytest.raises(Exception, match="being stopped"):
        await rebooting
    ground.behave()
    async with ground.running(holder="two") as running:
        running.ids.append(id)
        infra = await running.settled(id)
        assert not infra.operations
        assert ground.calls("reboot") == 1
        assert "whether it was is not known" in await running.log(id)


async def test_what_is_not_there_cannot_be_switched(ground):
    ground.behave(latency={"create": 0.2})
    async with ground.running() as running:
        id = await running.create(ground.document(1, public=False))
        with pytest.raises(CloudError, match="VM 0 is not running"):
            await running.service.reboot(running.owner, id, 0)
        with pytest.raises(NotFound, match="Invalid VM ID"):
            await running.service.reboot(running.owner, id, 7)
        await running.service.destroy(running.owner, id, asynchronous=True)
        with pytest.raises((Conflict, NotFound)):
            await running.service.stop(running.owner, id)


async def test_a_machine_that_the_document_wants_and_the_cloud_failed_to_make_is_left_out(ground):
    ground.behave(faults=[{"verb": "create", "resource": "instance/1", "effect": "refuse"}])
    async with ground.running() as running:
        id = await running.create(ground.document(2, public=False))
        await running.settled(id)
        await running.service.stop(running.owner, id)
        assert await states(running, id) == {0: "stopped", 1: "failed"}
        with pytest.raises(Conflict, match="Error stopping the VM: it is not running"):
            await running.service.stop(running.owner, id, 1)
