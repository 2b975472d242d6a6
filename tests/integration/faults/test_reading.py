"""What a service believes of its machines while clouds do not answer, or have lost them behind its back."""

from __future__ import annotations

import asyncio

import pytest

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


async def test_a_machine_stopped_behind_our_back_is_started_again(ground):
    """Power is a level: the machine is wanted on."""
    async with ground.running(update_frequency=0.0) as running:
        infra = await made(running)
        ground.cloud.power("cloud", ground.inventory("instance")[0], "stop", on=False)
        await running.service.state(running.owner, infra.id)
        await running.until(lambda: ground.calls("start") == 1)
        await seen(running, infra, "configured")


@pytest.mark.parametrize("effect", ["fail", "hang", "crash", "reject", "lose-request"])
async def test_a_state_is_kept_for_the_grace_period_then_unknown_and_then_back(ground, effect):
    async with ground.running(update_frequency=0.0, grace_period=0.4, timeout=0.05) as running:
        infra = await made(running)
        await running.service.state(running.owner, infra.id)
        await running.settled(infra.id)
        ground.behave(faults=[{"verb": "read", "effect": effect, "seconds": 0.1, "name": "f"}])
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
