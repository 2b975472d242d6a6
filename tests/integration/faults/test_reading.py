"""What a service believes of its machines while clouds do not answer, or have lost them behind its back."""

from __future__ import annotations

import asyncio

import pytest

from imframework.api.errors import CloudError, DeadlineExceeded
from imframework.core.entities import Phase


async def made(running, count=1, document=None, caller=None):
    id = await running.create(document or running.ground.document(count, public=False), caller)
    infra = await running.settled(id)
    assert infra.state() == "configured", running.describe()
    return infra


async def seen(running, infra, state, caller=None):
    """Ask until machine 0 is in a state."""
    for _ in range(2000):
        report = await running.service.state(caller or running.owner, infra.id)
        if report.vm_states[0] == state:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never {state}\n{running.describe()}")


async def test_a_machine_deleted_behind_our_back_is_reported_and_never_made_again(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running, 2)
        ground.cloud.vanish("cloud", infra.vms[0].facts["instance_id"])
        await seen(running, infra, "off")
        await running.settled(infra.id)
        drift = [event for event in await running.repository.events(infra.id, 0, 1000) if event.type == "drift"]
        assert [event.data["resource"] for event in drift] == ["instance/0"]
        assert "has disappeared from its cloud" in await running.service.contmsg(running.owner, infra.id)
        assert infra.vm_states()[1] == "configured"
        await running.service.reconfigure(running.owner, infra.id)
        await running.settled(infra.id)
        assert len(ground.inventory("instance")) == 1
        assert ground.calls("create", "instance") == 2
        await running.service.destroy(running.owner, infra.id)
        assert ground.inventory() == []


async def test_drift_is_reported_once(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.cloud.vanish("cloud", infra.vms[0].facts["instance_id"])
        await seen(running, infra, "off")
        for _ in range(5):
            await running.service.state(running.owner, infra.id)
            await running.settled(infra.id)
        events = await running.repository.events(infra.id, 0, 1000)
        assert sum(event.type == "drift" for event in events) == 1


async def test_a_machine_switched_behind_our_back_is_reported_and_left_so_until_somebody_asks(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        (instance,) = ground.inventory("instance")
        ground.cloud.power("cloud", instance, "off by hand", on=False)
        await seen(running, infra, "stopped")
        await running.settled(infra.id)
        assert not infra.vms[0].power_on
        await running.service.start(running.owner, infra.id)
        assert await drift(running, infra) == ["stopped"]
        await seen(running, infra, "configured")

        await running.service.stop(running.owner, infra.id)
        ground.cloud.power("cloud", instance, "on by hand", on=True)
        await seen(running, infra, "configured")
        await running.settled(infra.id)
        assert infra.vms[0].power_on
        assert await drift(running, infra) == ["stopped", "running"]
        assert (ground.calls("start"), ground.calls("stop")) == (1, 1)


async def drift(running, infra):
    events = await running.repository.events(infra.id, 0, 1000)
    return [event.data["found"] for event in events if event.type == "drift"]


async def test_a_machine_that_comes_back_stopped_after_its_cloud_was_away_is_left_so(ground):
    async with ground.running(update_frequency=0.0, grace_period=0.1) as running:
        infra = await made(running)
        ground.behave(faults=[{"verb": "read", "effect": "fail"}])
        await seen(running, infra, "unknown")
        ground.cloud.power("cloud", ground.inventory("instance")[0], "off by hand", on=False)
        ground.behave()
        await seen(running, infra, "stopped")
        await running.settled(infra.id)
        assert await drift(running, infra) == ["stopped"]
        assert not ground.calls("start")


async def test_what_a_crash_has_interrupted_is_our_doing_when_it_happens_after_all(ground):
    """The cloud stops the machine only after the next life has been asked to start it."""
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.behave(faults=[{"verb": "stop", "effect": "hang", "seconds": 0.3, "name": "f"}])
        stopping = asyncio.ensure_future(running.service.stop(running.owner, infra.id))
        await running.until(lambda: ground.cloud.fired("f"))
    with pytest.raises(DeadlineExceeded):
        await stopping
    ground.behave(faults=[{"verb": "stop", "effect": "fail", "name": "not again"}])
    async with ground.running(holder="two", update_frequency=0.0) as running:
        await running.service.start(running.owner, infra.id)
        infra = await running.settled(infra.id)
        ground.cloud.power("cloud", ground.inventory("instance")[0], "late", on=False)
        await running.service.state(running.owner, infra.id)
        await running.until(lambda: ground.calls("start") == 1)
        await seen(running, infra, "configured")
        assert await drift(running, infra) == []


async def test_a_machine_that_is_off_amid_a_reboot_that_a_crash_has_interrupted_comes_on_again(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.behave(faults=[{"verb": "reboot", "effect": "hang", "seconds": 0.3, "name": "f"}])
        rebooting = asyncio.ensure_future(running.service.reboot(running.owner, infra.id, 0))
        await running.until(lambda: ground.cloud.fired("f"))
    with pytest.raises(DeadlineExceeded):
        await rebooting
    ground.behave()
    async with ground.running(holder="two", update_frequency=0.0) as running:
        infra = await running.settled(infra.id)
        assert not infra.operations
        ground.cloud.power("cloud", ground.inventory("instance")[0], "amid the reboot", on=False)
        await running.service.state(running.owner, infra.id)
        await running.until(lambda: ground.calls("start") == 1)
        await seen(running, infra, "configured")
        assert await drift(running, infra) == []


async def test_a_reboot_that_was_refused_does_not_hide_that_a_machine_stops_by_itself(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.behave(faults=[{"verb": "reboot", "effect": "refuse"}])
        with pytest.raises(CloudError):
            await running.service.reboot(running.owner, infra.id, 0)
        ground.cloud.power("cloud", ground.inventory("instance")[0], "off by hand", on=False)
        await seen(running, infra, "stopped")
        assert await drift(running, infra) == ["stopped"]


@pytest.mark.parametrize("effect", ["fail", "hang", "crash", "reject", "lose-request"])
async def test_a_state_is_kept_for_the_grace_period_then_unknown_and_then_back(ground, effect):
    async with ground.running(update_frequency=0.0, grace_period=0.4, timeout=0.25) as running:
        infra = await made(running)
        await running.service.state(running.owner, infra.id)
        await running.settled(infra.id)
        ground.behave(faults=[{"verb": "read", "effect": effect, "seconds": 0.4, "name": "f"}])
        await running.service.state(running.owner, infra.id)
        await running.until(lambda: ground.cloud.fired("f"))
        assert infra.vm_states()[0] == "configured", "one failure proves nothing"
        await seen(running, infra, "unknown")
        assert infra.state() == "unknown"
        ground.behave()
        await seen(running, infra, "configured")


async def test_a_machine_being_made_is_pending_whatever_happens_to_reading(ground):
    ground.behave(boot={"instance": 0.5}, faults=[{"verb": "read", "effect": "fail", "nth": list(range(1, 6))}])
    async with ground.running(update_frequency=0.0, grace_period=0.05) as running:
        id = await running.create(ground.document(1, public=False))
        infra = await running.infra(id)
        states = set()
        while "configured" not in states:
            states.add(infra.vm_states()[0])
            await asyncio.sleep(0.005)
        assert states <= {"pending", "running", "configured"}


TWO = (
    "type = InfrastructureManager; username = owner; password = secret-of-owner\\n"
    "id = cloud; type = Dummy\\nid = second; type = Dummy; host = b.example.org"
)


async def test_the_silence_of_one_cloud_is_not_hidden_by_the_answers_of_another(ground):
    document = ground.document(1, private=False).replace("deploy node 1 ", "deploy node 1 cloud\ndeploy node 1 second")
    async with ground.running(update_frequency=0.0, grace_period=0.2) as running:
        caller = await running.caller(TWO)
        infra = await made(running, document=document, caller=caller)
        assert [vm.cloud for vm in infra.vms.values()] == ["cloud", "second"]
        ground.behave(faults=[{"verb": "read", "account": "cloud", "effect": "fail"}])
        await seen(running, infra, "unknown", caller)
        assert infra.vm_states()[1] == "configured"


async def test_new_credentials_bring_a_machine_back(ground):
    owner = "type = InfrastructureManager; username = owner; password = secret-of-owner\\n"
    async with ground.running(update_frequency=0.0, grace_period=0.1) as running:
        infra = await made(running)
        stale = await running.caller(owner + "id = cloud; type = Other")
        await seen(running, infra, "unknown", stale)
        await seen(running, infra, "configured")


async def test_questions_about_machines_are_asked_no_more_often_than_configured(ground):
    ground.behave(faults=[{"verb": "read", "effect": "delay", "seconds": 0, "name": "reads"}])
    async with ground.running(update_frequency=3600) as running:
        infra = await made(running)
        await running.service.state(running.owner, infra.id)
        await running.settled(infra.id)
        before = ground.cloud.fired("reads")
        for _ in range(50):
            await running.service.state(running.owner, infra.id)
            await running.service.vm_property(running.owner, infra.id, 0, "state")
        await running.settled(infra.id)
        assert ground.cloud.fired("reads") == before


async def test_asking_during_a_refresh_is_not_forgotten(ground):
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.behave(faults=[{"verb": "read", "effect": "late-answer", "seconds": 0.2, "times": 1}])
        await running.service.state(running.owner, infra.id)
        await asyncio.sleep(0.05)
        ground.cloud.vanish("cloud", infra.vms[0].facts["instance_id"])
        await running.service.state(running.owner, infra.id)
        await running.until(lambda: infra.vms[0].phase == Phase.ABSENT)
