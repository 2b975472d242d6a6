"""Deleted means gone: an infrastructure is deleted after its cloud has confirmed that nothing of it is left."""

from __future__ import annotations

import asyncio
import time

import pytest

from imframework.api.errors import CloudError, IMError, NotFound
from imframework.core.entities import Status

DELETE = {"verb": "delete"}


async def made(running, count=2, **document):
    """The id of an infrastructure whose machines are configured, with volumes, networks and public addresses."""
    id = await running.create(running.ground.document(count, **{"volumes": True, **document}))
    infra = await running.settled(id)
    assert infra.state() == "configured", running.describe()
    return id


async def gone(running, id):
    """Wait for the deletion; it must never be believed before the cloud is empty."""
    infra = await running.infra(id)

    def deleted():
        left = running.ground.inventory()
        assert not (infra.deleted and left), f"deleted, and the cloud still has {left}"
        return infra.deleted

    await running.until(deleted)
    await running.settled(id)
    with pytest.raises(NotFound):
        await running.service.state(running.owner, id)
    assert await running.service.list(running.owner) == []


async def left(running, id):
    """What a forced deletion says may be left."""
    events = await running.repository.events(id, 0, 10_000)
    (deleted,) = [event for event in events if event.type == "deleted"]
    return deleted.data["left"]


async def test_everything_is_deleted_in_an_order_that_the_cloud_accepts(ground):
    async with ground.running() as running:
        id = await made(running, 3)
        await running.service.destroy(running.owner, id)
        await gone(running, id)
        assert {call.outcome for call in ground.cloud.calls() if call.verb == "delete"} <= {"done", "absent"}


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "fail", "probability": 0.5, "seed": 3},
        {"effect": "busy", "probability": 0.5, "seed": 4},
        {"effect": "crash", "probability": 0.5, "seed": 5},
        {"effect": "lose-request", "probability": 0.5, "seed": 6},
        {"effect": "lose-answer", "probability": 0.5, "seed": 7},
        {"effect": "reject", "nth": [1, 2]},
        {"effect": "late-answer", "seconds": 0.3, "nth": [1, 3]},
        {"effect": "delay", "seconds": 0.3, "nth": [1, 3]},
        {"effect": "hang", "seconds": 0.5, "nth": [1, 3]},
        {"effect": "lose-answer", "in_flight": 0.3, "nth": [1, 3]},
    ],
    ids=lambda fault: fault["effect"] + ("-in-flight" if "in_flight" in fault else ""),
)
async def test_deleted_never_comes_before_the_cloud_is_empty(ground, fault):
    async with ground.running(timeout=0.15) as running:
        id = await made(running)
        ground.behave(faults=[{**DELETE, **fault}], deletion={"instance": 0.05})
        await running.service.destroy(running.owner, id, asynchronous=True)
        await gone(running, id)


@pytest.mark.parametrize("verb", ["read", "find"])
@pytest.mark.parametrize("effect", ["fail", "crash", "hang", "late-answer"])
async def test_a_deletion_survives_a_cloud_that_cannot_be_asked_for_a_while(ground, verb, effect):
    async with ground.running(timeout=0.1) as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": verb, "effect": effect, "seconds": 0.2, "times": 4}])
        await running.service.destroy(running.owner, id, asynchronous=True)
        await gone(running, id)


async def test_what_is_accepted_and_not_done_is_asked_for_again(ground):
    """The cloud says yes to a deletion, and nothing happens: what is there is believed, not what was said."""
    async with ground.running(delete_grace=0.1) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "instance", "nth": 1, "effect": "refuse"}], deletion={"instance": 0.1})
        await running.service.destroy(running.owner, id, asynchronous=True)
        await gone(running, id)


async def test_survivors_and_reasons_are_told_to_who_waits_and_kept_in_the_log(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        fault = {**DELETE, "kind": "volume", "effect": "refuse", "message": "The volume is held by an audit."}
        ground.behave(faults=[fault])
        with pytest.raises(CloudError, match=r"Error destroying the infrastructure: volume .* is held by an audit"):
            await running.service.destroy(running.owner, id)
        infra = await running.infra(id)
        assert not infra.deleted
        assert ground.inventory() == ground.inventory("volume") != []
        assert "held by an audit" in await running.service.contmsg(running.owner, id)
        assert (await running.service.state(running.owner, id)).state == "deleting"
        assert await running.service.list(running.owner) == [id]

        ground.behave()
        await running.service.destroy(running.owner, id)
        await gone(running, id)


async def test_an_asynchronous_deletion_leaves_its_reasons_in_the_log(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "instance", "effect": "fail", "message": "Maintenance until noon."}])
        await running.service.destroy(running.owner, id, asynchronous=True)
        infra = await running.infra(id)
        await running.until(lambda: not infra.operations)
        await running.repository.save(infra)  # what is logged is stored a moment later
        assert "Maintenance until noon." in await running.service.contmsg(running.owner, id)


async def test_a_deletion_that_failed_goes_on_by_itself(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "instance", "effect": "fail"}])
        with pytest.raises(CloudError):
            await running.service.destroy(running.owner, id)
        ground.behave()
        await gone(running, id)


async def test_a_cloud_that_does_not_answer_to_deletions_is_reported_in_time(ground):
    async with ground.running(timeout=0.05, max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "instance", "effect": "hang", "seconds": 0.4}])
        with pytest.raises(CloudError, match=r"instance .* did not answer within"):
            await running.service.destroy(running.owner, id)
        ground.behave()
        await gone(running, id)


async def test_a_deletion_that_cannot_be_verified_is_reported_and_not_believed(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": "read", "effect": "fail", "message": "The listing is out of order."}])
        with pytest.raises(CloudError, match="The listing is out of order"):
            await running.service.destroy(running.owner, id)
        assert not (await running.infra(id)).deleted
        ground.behave()
        await gone(running, id)


async def test_a_thing_that_is_busy_for_ever_is_reported(ground):
    async with ground.running(max_vm_fails=2, delete_grace=0.1) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "volume", "effect": "busy", "message": "A backup is being made."}])
        with pytest.raises(CloudError, match="A backup is being made"):
            await running.service.destroy(running.owner, id)
        ground.behave()
        await gone(running, id)


async def test_what_others_use_stays_theirs_and_is_named(ground):
    async with ground.running() as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "network", "effect": "used-by-others"}])
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == ground.inventory("network")
        assert "network im-" in await running.log(id)
        assert "stays: Somebody else uses it" in await running.log(id)


@pytest.mark.parametrize("effect", ["fail", "refuse", "hang", "lose-request"])
async def test_a_forced_deletion_ends_and_keeps_the_list_of_what_may_be_left(ground, effect):
    async with ground.running(timeout=0.05, max_vm_fails=2) as running:
        id = await made(running, 2)
        ground.behave(
            faults=[{**DELETE, "kind": "instance", "effect": effect, "seconds": 0.2, "message": "Not today."}]
        )
        await running.service.destroy(running.owner, id, force=True)
        infra = await running.infra(id)
        assert infra.deleted
        assert await running.service.list(running.owner) == []
        lost = [entry for entry in infra.entries.values() if entry.status == Status.LOST]
        assert {entry.provider_id for entry in lost} >= set(ground.inventory("instance"))
        reasons = "\n".join(await left(running, id))
        assert reasons.count("instance node-") == 2
        stored = running.ground.database.infrastructures[id]
        assert sum(table == "resource" for table, _ in stored.rows) == len(infra.entries) > 0, "the list is on record"


async def test_a_forced_deletion_ends_although_nothing_can_be_verified(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": ["read", "find"], "effect": "fail"}])
        await running.service.destroy(running.owner, id, force=True)
        assert (await running.infra(id)).deleted
        assert await left(running, id)


async def test_a_forced_deletion_ends_although_what_is_accepted_is_never_done(ground):
    async with ground.running(max_vm_fails=2, delete_grace=0.05) as running:
        id = await made(running, 1)
        ground.behave(deletion={"instance": 3600})
        await running.service.destroy(running.owner, id, force=True)
        assert (await running.infra(id)).deleted
        assert "still exists" in "\n".join(await left(running, id))


async def test_force_can_be_asked_for_after_a_deletion_has_failed(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 1)
        ground.behave(faults=[{**DELETE, "kind": "volume", "effect": "refuse"}])
        with pytest.raises(CloudError):
            await running.service.destroy(running.owner, id)
        await running.service.destroy(running.owner, id, force=True)
        assert "volume" in "\n".join(await left(running, id))


async def test_what_nothing_recognises_is_shown_and_only_force_goes_past_it(ground):
    ground.behave(
        recognition={"instance": "none"},
        faults=[{"verb": "create", "kind": "instance", "nth": 1, "effect": "lose-answer"}],
    )
    async with ground.running() as running:
        id = await made(running, 1)
        assert len(ground.inventory("instance")) == 2, "the first is lost, the second is the machine"
        with pytest.raises(CloudError, match="may have been made; its cloud offers no way to recognise it"):
            await running.service.destroy(running.owner, id)
        infra = await running.infra(id)
        assert not infra.deleted
        # Networks and volumes are in use by the lost machine, which nobody but a person can find.
        ground.cloud.delete("cloud", ground.inventory("instance")[0])
        await running.service.destroy(running.owner, id, force=True)
        assert ground.inventory() == []
        assert len(await left(running, id)) == 1


MOMENTS = {
    "planning": {"verb": "plan", "effect": "delay", "seconds": 0.3},
    "choosing": {"verb": "candidates", "effect": "delay", "seconds": 0.3},
    "creating": {"verb": "create", "kind": "instance", "effect": "delay", "seconds": 0.3},
    "answered late": {"verb": "create", "kind": "instance", "effect": "late-answer", "seconds": 0.3},
    "reading": {"verb": "read", "effect": "delay", "seconds": 0.3},
    "finding": {"verb": "find", "effect": "delay", "seconds": 0.3},
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_deletion_is_accepted_in_the_middle_of_a_launch(ground, moment):
    ground.behave(
        boot={"instance": 0.1},
        faults=[MOMENTS[moment], {"verb": "create", "kind": "volume", "effect": "lose-request", "times": 1}],
        recognition={"*": "tag"},
        window={"*": 0.05},
    )
    async with ground.running() as running:
        id = await running.create(ground.document(2, volumes=True))
        entries = running.repository.cached(id).entries
        verb = MOMENTS[moment]["verb"]
        if moment in ("creating", "answered late"):
            await running.until(
                lambda: any(e.status == Status.INTENDED and e.kind == "instance" for e in entries.values())
            )
        elif verb in ("plan", "candidates"):
            await asyncio.sleep(0.1)
        else:
            await running.until(lambda: ground.calls("create"))
        await running.service.destroy(running.owner, id)
        await gone(running, id)


async def test_a_deletion_ends_the_configuration_in_progress(ground):
    async with ground.running() as running:
        running.configurator.hold.clear()
        id = await running.create(ground.document(2, recipe=True))
        await running.until(lambda: running.configurator.jobs)
        await running.service.destroy(running.owner, id)
        await gone(running, id)
        (job,) = running.configurator.jobs
        assert running.configurator.cancelled == [job.run_id]
        assert job.run_id in running.configurator.discarded


@pytest.mark.parametrize("verb", ["stop", "reboot"])
async def test_a_deletion_is_accepted_while_a_machine_is_being_switched(ground, verb):
    async with ground.running() as running:
        id = await made(running, 1)
        ground.behave(faults=[{"verb": verb, "effect": "delay", "seconds": 0.2}])
        arguments = (0,) if verb == "reboot" else ()
        switching = asyncio.ensure_future(getattr(running.service, verb)(running.owner, id, *arguments))
        await asyncio.sleep(0.05)
        await running.service.destroy(running.owner, id)
        await gone(running, id)
        with pytest.raises(IMError, match=r"is being deleted|Deleted infrastructure|has no i-"):
            await asyncio.wait_for(switching, 5)


async def test_no_machine_is_made_after_its_deletion_was_asked_for(ground):
    """Deletion outranks everything: what has not been asked of the cloud by then is never asked."""
    ground.behave(latency={"create": 0.05})
    async with ground.running(max_launches=1) as running:
        id = await running.create(ground.document(5, public=False))
        await running.until(lambda: ground.inventory("instance"))
        await running.service.destroy(running.owner, id)
        assert ground.calls("create", "instance") <= 3


async def test_a_deletion_does_not_wait_for_creations_that_hang(ground):
    """They hold all places for creations, not those for deletions."""
    async with ground.running(max_launches=1, timeout=3) as running:
        id = await made(running, 2, public=False)
        hanging = {"verb": "create", "kind": "instance", "effect": "hang", "seconds": 2}
        ground.behave(faults=[hanging])
        adding = asyncio.ensure_future(running.add(id, ground.document(1, public=False)))
        infra = await running.infra(id)
        await running.until(lambda: any(entry.status == Status.INTENDED for entry in infra.entries.values()))
        await running.service.destroy(running.owner, id, asynchronous=True)
        started = time.monotonic()
        await running.until(lambda: ground.inventory("instance") == [], timeout=1.5)
        assert time.monotonic() - started < 1.5
        await gone(running, id)
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await adding


async def test_a_second_deletion_joins_the_first(ground):
    async with ground.running() as running:
        id = await made(running, 2)
        ground.behave(deletion={"instance": 0.2})
        destroy = running.service.destroy
        await asyncio.gather(destroy(running.owner, id), destroy(running.owner, id), destroy(running.owner, id))
        await gone(running, id)


async def test_an_interrupted_synchronous_creation_and_its_deletion_both_end(ground):
    ground.behave(latency={"create": 0.1})
    async with ground.running() as running:
        creating = asyncio.ensure_future(running.create(ground.document(1), asynchronous=False))
        await running.until(lambda: ground.database.infrastructures)
        (id,) = ground.database.infrastructures
        await running.service.destroy(running.owner, id)
        with pytest.raises(NotFound, match="Deleted infrastructure"):
            await asyncio.wait_for(creating, 5)
        await gone(running, id)


async def test_what_was_given_is_used_and_never_deleted(ground):
    network = ground.cloud.create("cloud", "network", "theirs", "", {})
    document = ground.document(1).replace("private ()", f"private (provider_id = '{network.provider_id}')")
    async with ground.running() as running:
        id = await running.create(document)
        assert (await running.settled(id)).state() == "configured"
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == [network.provider_id]


async def test_a_restart_goes_on_with_a_deletion(ground):
    async with ground.running() as running:
        id = await made(running, 2)
        ground.behave(faults=[{**DELETE, "effect": "fail"}])
        await running.service.destroy(running.owner, id, asynchronous=True)
        await running.until(lambda: any(e.attempts for e in running.repository.cached(id).entries.values()))
    ground.behave()
    async with ground.running() as running:
        running.ids.append(id)
        await gone(running, id)
