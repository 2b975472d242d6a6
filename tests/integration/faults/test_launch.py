"""Launches with a cloud that refuses, fails, hangs, loses answers or gives them too late."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from imframework.api.errors import CloudError, InvalidRequest
from imframework.core.entities import Status

CREATE = {"verb": "create"}


async def made(running, count=1, **document):
    id = await running.create(running.ground.document(count, **document))
    infra = await running.settled(id)
    assert infra.state() == "configured", running.describe()
    return id


async def launched(running, document=None, **options):
    """An infrastructure after its launch, whatever came of it."""
    id = await running.create(document or running.ground.document(**options))
    return await running.settled(id)


def check_ledger(running, infra):
    """The cloud has exactly what the ledger says."""
    ledger = Counter(e.provider_id for e in infra.entries.values() if e.provider_id and not e.adopted)
    assert ledger == Counter(running.ground.inventory()), running.describe()


# --- failing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["key_pair", "network", "security_group", "volume", "instance", "public_ip"])
@pytest.mark.parametrize("effect", ["fail", "busy", "crash", "lose-request", "lose-answer", "late-answer"])
async def test_a_fault_on_the_way_does_not_matter(ground, kind, effect):
    ground.behave(faults=[{**CREATE, "kind": kind, "nth": 1, "effect": effect, "seconds": 0.2}])
    async with ground.running(timeout=0.1) as running:
        infra = await launched(running, count=2, volumes=True)
        assert infra.state() == "configured", running.describe()
        check_ledger(running, infra)


async def test_a_machine_that_cannot_be_made_has_failed_with_the_text_of_every_attempt(ground):
    ground.behave(faults=[{**CREATE, "resource": "instance/1", "effect": "fail", "message": "No host has room."}])
    async with ground.running(max_vm_fails=3) as running:
        infra = await launched(running, count=3)
        assert infra.vm_states() == {0: "configured", 1: "failed", 2: "configured"}
        assert infra.state() == "failed"
        failure = infra.vms[1].failure
        assert failure.startswith("Error launching the VMs of type node to cloud ID cloud of type Dummy. Attempt 1: ")
        assert failure.splitlines() == [
            "Error launching the VMs of type node to cloud ID cloud of type Dummy. Attempt 1: No host has room.",
            "Attempt 2: No host has room.",
            "Attempt 3: No host has room.",
        ]
        assert failure in await running.service.contmsg(running.owner, infra.id, 1)
        assert failure in await running.service.contmsg(running.owner, infra.id)
        check_ledger(running, infra)
        assert not any(entry.owners == {1} for entry in infra.entries.values()), "nothing of it is left"


@pytest.mark.parametrize(("effect", "text"), [("quota", "has not enough left"), ("refuse", "refuses")])
async def test_what_is_refused_is_not_asked_for_again(ground, effect, text):
    ground.behave(faults=[{**CREATE, "resource": "instance/0", "effect": effect, "name": "f"}])
    async with ground.running() as running:
        infra = await launched(running, count=2)
        assert infra.vm_states() == {0: "failed", 1: "configured"}
        assert text in infra.vms[0].failure
        assert ground.cloud.fired("f") == 1


async def test_machines_within_the_quota_are_fine(ground):
    ground.behave(quota={"instance": 2})
    async with ground.running() as running:
        infra = await launched(running, count=4)
        states = Counter(infra.vm_states().values())
        assert states == {"configured": 2, "failed": 2}
        check_ledger(running, infra)


async def test_a_machine_that_the_cloud_breaks_has_failed_and_is_removed(ground):
    ground.behave(faults=[{**CREATE, "resource": "instance/0", "effect": "break", "nth": 1}], boot={"instance": 0.05})
    async with ground.running() as running:
        infra = await launched(running, count=2)
        assert infra.vm_states() == {0: "failed", 1: "configured"}
        assert "no valid host was found" in infra.vms[0].failure
        check_ledger(running, infra)


async def test_a_part_of_a_machine_that_cannot_be_made_fails_that_machine_alone(ground):
    ground.behave(faults=[{**CREATE, "resource": "public_ip_attachment/1/*", "effect": "refuse"}])
    async with ground.running() as running:
        infra = await launched(running, count=3, volumes=True)
        assert infra.vm_states() == {0: "configured", 1: "failed", 2: "configured"}
        check_ledger(running, infra)


async def test_a_shared_thing_that_cannot_be_made_fails_all_that_need_it(ground):
    ground.behave(faults=[{**CREATE, "kind": "network", "effect": "refuse", "message": "No networks left."}])
    async with ground.running() as running:
        infra = await launched(running, count=3)
        assert set(infra.vm_states().values()) == {"failed"}
        assert "No networks left." in infra.vms[2].failure
        assert ground.inventory() == []


async def test_a_synchronous_creation_of_which_nothing_came_is_an_error_and_leaves_nothing(ground):
    ground.behave(faults=[{**CREATE, "kind": "instance", "effect": "fail", "message": "No host has room."}])
    async with ground.running(max_vm_fails=2) as running:
        with pytest.raises(CloudError, match=r"(?s)Error adding VMs: .*Attempt 2: No host has room\.") as caught:
            await running.create(ground.document(2), asynchronous=False)
        assert "Not all could be removed" not in str(caught.value)
        assert await running.service.list(running.owner) == []
        assert ground.inventory() == []


async def test_a_failed_creation_says_what_could_not_be_removed_again(ground):
    ground.behave(
        faults=[
            {**CREATE, "kind": "instance", "effect": "refuse"},
            {"verb": "delete", "kind": "volume", "effect": "refuse", "message": "The volume is on fire."},
        ]
    )
    async with ground.running(max_vm_fails=2) as running:
        with pytest.raises(CloudError, match=r"(?s)Error adding VMs: .*Not all could be removed.*is on fire"):
            await running.create(ground.document(1, volumes=True), asynchronous=False)
        assert len(await running.service.list(running.owner)) == 1, "what is left is listed"


async def test_a_synchronous_creation_of_which_a_part_came_is_a_success(ground):
    ground.behave(faults=[{**CREATE, "resource": "instance/1", "effect": "refuse"}])
    async with ground.running() as running:
        id = await running.create(ground.document(2), asynchronous=False)
        infra = await running.settled(id)
        assert infra.state() == "failed"
        assert infra.vm_states() == {0: "configured", 1: "failed"}


async def test_an_asynchronous_creation_of_which_nothing_came_stays_to_be_looked_at(ground):
    ground.behave(faults=[{**CREATE, "kind": "instance", "effect": "refuse"}])
    async with ground.running() as running:
        infra = await launched(running, count=2)
        assert infra.state() == "failed"
        assert "All VMs failed. No contextualize." in await running.service.contmsg(running.owner, infra.id)
        await running.service.destroy(running.owner, infra.id)
        assert await running.service.list(running.owner) == []


async def test_an_addition_of_which_nothing_came_is_an_error_and_leaves_the_others_untouched(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await made(running, 2, volumes=True)
        before = set(ground.inventory())
        ground.behave(faults=[{**CREATE, "kind": "instance", "effect": "fail", "message": "No host has room."}])
        with pytest.raises(CloudError, match=r"(?s)Error adding VMs: .*No host has room"):
            await running.add(id, ground.document(2, volumes=True))
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured", 1: "configured"}
        assert await running.service.machines(running.owner, id) == [0, 1]
        assert set(ground.inventory()) == before
        ground.behave()
        assert list(await running.add(id, ground.document(1))) == [4], "numbers are never used again"


async def test_a_failing_shared_thing_of_new_machines_does_not_touch_the_old_ones(ground):
    async with ground.running() as running:
        id = await made(running, 2, public=False)
        ground.behave(faults=[{**CREATE, "kind": "security_group", "effect": "refuse"}])
        with pytest.raises(CloudError):
            await running.add(id, ground.document(1))  # on a public network, which has a group of its own
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured", 1: "configured"}


async def test_a_cloud_that_says_not_now_is_asked_until_it_can(ground):
    ground.behave(faults=[{**CREATE, "kind": "volume", "effect": "busy", "times": 6}])
    async with ground.running(max_vm_fails=2) as running:
        infra = await launched(running, volumes=True)
        assert infra.state() == "configured"


async def test_a_cloud_that_says_not_now_for_ever_is_not_waited_for_for_ever(ground):
    ground.behave(faults=[{**CREATE, "kind": "volume", "effect": "busy", "message": "Closed for stocktaking."}])
    async with ground.running(max_vm_fails=2, wait_running=0.2) as running:
        infra = await launched(running, volumes=True)
        assert infra.state() == "failed"
        assert "Closed for stocktaking." in infra.vms[0].failure


# --- planning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["candidates", "plan"])
@pytest.mark.parametrize("effect", ["fail", "busy", "crash", "lose-request", "hang"])
async def test_a_cloud_that_cannot_be_asked_for_a_moment_is_asked_again(ground, verb, effect):
    ground.behave(faults=[{"verb": verb, "effect": effect, "seconds": 0.3, "times": 1}])
    async with ground.running(timeout=0.1) as running:
        infra = await launched(running)
        assert infra.state() == "configured", running.describe()


@pytest.mark.parametrize("verb", ["candidates", "plan"])
async def test_a_cloud_that_can_never_be_asked_fails_the_machines_with_every_attempt(ground, verb):
    ground.behave(faults=[{"verb": verb, "effect": "fail", "message": "The portal is closed.", "name": "f"}])
    async with ground.running(max_vm_fails=3) as running:
        infra = await launched(running, count=2)
        assert infra.state() == "failed"
        assert infra.vms[0].failure.count("The portal is closed.") == 3
        assert "Attempt 3: " in infra.vms[0].failure
        assert ground.cloud.fired("f") == 3


@pytest.mark.parametrize("verb", ["candidates", "plan"])
async def test_a_refusal_to_plan_is_final(ground, verb):
    ground.behave(faults=[{"verb": verb, "effect": "reject", "name": "f"}])
    async with ground.running() as running:
        infra = await launched(running)
        assert infra.state() == "failed"
        assert "does not accept the credentials" in infra.vms[0].failure
        assert ground.cloud.fired("f") == 1


async def test_a_plan_that_needs_the_name_of_something_still_going_waits_for_it_and_does_not_ask_in_vain(ground):
    ground.behave(deletion={"*": 0.4})
    async with ground.running() as running:
        id = await made(running, 1)
        removing = asyncio.ensure_future(running.service.remove(running.owner, id, [0]))
        infra = await running.infra(id)
        await running.until(
            lambda: any(e.kind == "network" and e.status == Status.DELETING for e in infra.entries.values())
        )
        ground.behave(deletion={"*": 0.4}, faults=[{"verb": "plan", "effect": "delay", "seconds": 0, "name": "plans"}])
        await running.add(id, ground.document(1))
        await removing
        await running.settled(id)
        assert infra.vm_states() == {1: "configured"}
        assert ground.cloud.fired("plans") <= 6
        check_ledger(running, infra)


@pytest.mark.parametrize("verb", ["candidates", "plan"])
async def test_a_machine_removed_while_it_is_planned_stays_removed(ground, verb):
    ground.behave(faults=[{"verb": verb, "effect": "delay", "seconds": 0.2}])
    async with ground.running() as running:
        id = await running.create(ground.document(2))
        await asyncio.sleep(0.05)
        await running.service.remove(running.owner, id, [1])
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured"}
        assert len(ground.inventory("instance")) == 1
        check_ledger(running, infra)


@pytest.mark.parametrize("verb", ["candidates", "plan"])
async def test_what_is_asked_of_a_machine_while_it_is_planned_is_not_forgotten(ground, verb):
    ground.behave(faults=[{"verb": verb, "effect": "delay", "seconds": 0.2}])
    async with ground.running() as running:
        id = await running.create(ground.document(2))
        await asyncio.sleep(0.05)
        await running.service.stop(running.owner, id, 1)
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured", 1: "stopped"}


# --- lost and late answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
@pytest.mark.parametrize("effect", ["lose-answer", "lose-request"])
@pytest.mark.parametrize("kind", ["network", "instance", "public_ip_attachment"])
async def test_a_lost_answer_makes_nothing_twice(ground, recognition, effect, kind):
    ground.behave(
        recognition={"*": recognition},
        window={"*": 0.1},
        faults=[{**CREATE, "kind": kind, "nth": [1, 2], "effect": effect}],
    )
    async with ground.running() as running:
        infra = await launched(running, count=2)
        assert infra.state() == "configured", running.describe()
        check_ledger(running, infra)
        assert len(ground.inventory("instance")) == 2
        created = [
            call for call in ground.cloud.calls() if (call.verb, call.kind, call.outcome) == ("create", kind, "done")
        ]
        assert len(created) == {"network": 1}.get(kind, 2), "nothing was made only to be deleted"


async def test_what_nothing_recognises_is_made_again_and_what_may_be_left_is_on_record(ground):
    ground.behave(recognition={"*": "none"}, faults=[{**CREATE, "kind": "instance", "nth": 1, "effect": "lose-answer"}])
    async with ground.running() as running:
        infra = await launched(running)
        assert infra.state() == "configured"
        (lost,) = [entry for entry in infra.entries.values() if entry.status == Status.LOST]
        assert "may have been made; its cloud offers no way to recognise it" in lost.error
        assert lost.error in await running.service.contmsg(running.owner, infra.id)


async def test_every_lost_answer_counts_as_one_attempt(ground):
    ground.behave(recognition={"*": "none"}, faults=[{**CREATE, "kind": "instance", "effect": "lose-answer"}])
    async with ground.running(max_vm_fails=3) as running:
        infra = await launched(running)
        assert infra.state() == "failed"
        assert [line.partition(": ")[0][-9:] for line in infra.vms[0].failure.splitlines()] == [
            "Attempt 1", "Attempt 2", "Attempt 3",
        ]  # fmt: skip
        assert len(ground.inventory("instance")) == 3
        assert sum(entry.status == Status.LOST for entry in infra.entries.values()) == 3


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
async def test_a_request_still_on_its_way_is_waited_for(ground, recognition):
    """Its answer is lost, and it takes effect later: before the window is over nobody may conclude that it will not."""
    ground.behave(
        recognition={"*": recognition},
        window={"*": 0.5},
        faults=[{**CREATE, "kind": "volume", "nth": 1, "effect": "lose-answer", "in_flight": 0.1}],
    )
    async with ground.running() as running:
        infra = await launched(running, volumes=True)
        assert infra.state() == "configured"
        check_ledger(running, infra)
        assert len(ground.inventory("volume")) == 1


@pytest.mark.parametrize("recognition", ["token", "name", "tag", "none"])
@pytest.mark.parametrize("effect", ["late-answer", "delay"])
async def test_a_late_answer_reaches_the_ledger_and_what_it_made_twice_is_deleted(ground, recognition, effect):
    ground.behave(
        recognition={"instance": recognition},
        faults=[{**CREATE, "kind": "instance", "nth": 1, "effect": effect, "seconds": 0.4}],
    )
    async with ground.running(timeout=0.1) as running:
        id = await running.create(ground.document(1))
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "configured")
        await running.until(lambda: not running.unended(id))
        await running.settled(id)
        assert len(ground.inventory("instance")) == 1, running.describe()
        check_ledger(running, infra)
        assert not any(entry.status == Status.LOST for entry in infra.entries.values()), "it has been found after all"


@pytest.mark.parametrize("recognition", ["token", "name", "tag", "none"])
async def test_a_late_answer_after_the_deletion_was_asked_for_is_deleted_too(ground, recognition):
    ground.behave(
        recognition={"*": recognition},
        faults=[{**CREATE, "kind": "volume", "nth": 1, "effect": "delay", "seconds": 0.5}],
    )
    async with ground.running(timeout=0.1) as running:
        id = await running.create(ground.document(1, volumes=True))
        infra = await running.infra(id)
        await running.until(lambda: running.unended(id))
        await running.service.destroy(running.owner, id, asynchronous=True)

        def deleted():
            assert not (infra.deleted and ground.inventory()), "deleted, and something was made after that"
            return infra.deleted

        await running.until(deleted)
        await asyncio.sleep(0.6)
        assert ground.inventory() == []


async def test_a_call_that_never_ends_is_told_and_force_goes_past_it(ground):
    ground.behave(faults=[{**CREATE, "kind": "volume", "nth": 1, "effect": "delay", "seconds": 2}])
    async with ground.running(timeout=0.1, max_vm_fails=2) as running:
        id = await running.create(ground.document(1, volumes=True))
        await running.until(lambda: running.unended(id))
        with pytest.raises(CloudError, match=r"volume.*the call to make it has not ended yet"):
            await running.service.destroy(running.owner, id)
        await running.service.destroy(running.owner, id, force=True)
        (deleted,) = [e for e in await running.repository.events(id, 0, 1000) if e.type == "deleted"]
        assert any("the call to make it has not ended yet" in text for text in deleted.data["left"])
        await asyncio.sleep(2.1)
        await running.until(lambda: ground.inventory() == [])


async def test_a_late_answer_of_a_former_attempt_does_not_hide_what_the_present_one_may_have_made(ground):
    """First attempt: too late. Second: refused for a moment. Third: its answer is lost. Both machines come to light."""
    ground.behave(
        recognition={"instance": "tag"},
        window={"instance": 0.1},
        faults=[
            {**CREATE, "kind": "instance", "nth": 1, "effect": "delay", "seconds": 0.9},
            {**CREATE, "kind": "instance", "nth": 2, "effect": "fail"},
            {**CREATE, "kind": "instance", "nth": 3, "effect": "lose-answer"},
            {"verb": "find", "nth": [2, 3, 4, 5, 6, 7, 8, 9], "effect": "fail"},
        ],
    )
    async with ground.running(timeout=0.2, max_vm_fails=20, retry_delay=0.1) as running:
        id = await running.create(ground.document(1))
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "configured" and not running.unended(id))
        await running.settled(id)
        assert len(ground.inventory("instance")) == 1, running.describe()
        check_ledger(running, infra)


async def test_a_refusal_after_a_lost_answer_fails_the_machine(ground):
    """Asked again with the same token, the cloud refuses: then it was not made, and there is nothing to wait for."""
    ground.behave(
        faults=[
            {**CREATE, "kind": "instance", "nth": 1, "effect": "lose-request"},
            {**CREATE, "kind": "instance", "effect": "quota"},
        ]
    )
    async with ground.running() as running:
        infra = await launched(running)
        assert infra.state() == "failed"
        assert "has not enough left" in infra.vms[0].failure


async def test_a_refusal_after_a_lost_answer_does_not_hide_what_was_made(ground):
    ground.behave(
        faults=[
            {**CREATE, "kind": "instance", "nth": 1, "effect": "lose-answer"},
            {**CREATE, "kind": "instance", "nth": [2, 3, 4], "effect": "quota"},
        ]
    )
    async with ground.running() as running:
        infra = await launched(running)
        assert infra.state() == "configured"
        check_ledger(running, infra)


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
async def test_a_machine_is_given_up_when_its_cloud_cannot_say_what_became_of_it(ground, recognition):
    later = list(range(2, 200))
    ground.behave(
        recognition={"*": recognition},
        faults=[
            {**CREATE, "kind": "instance", "nth": 1, "effect": "lose-answer"},
            {
                "verb": ["create", "find"],
                "kind": "instance",
                "nth": later,
                "effect": "fail",
                "message": "Out of order.",
            },
        ],
    )
    async with ground.running(max_vm_fails=3) as running:
        id = await running.create(ground.document(1))
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "failed")
        assert "Out of order." in infra.vms[0].failure
        assert ground.inventory("instance"), "it exists, and is not forgotten"
        ground.behave(recognition={"*": recognition})
        await running.until(lambda: ground.inventory() == [])


async def test_what_read_does_not_see_yet_is_not_taken_for_gone(ground):
    ground.behave(lag={"*": 0.3}, boot={"instance": 0.05})
    async with ground.running(update_frequency=0.0, delete_grace=0.0) as running:
        id = await running.create(ground.document(1, volumes=True))
        infra = await running.infra(id)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            states = (await running.service.state(running.owner, id)).vm_states
            assert states[0] not in ("off", "failed", "unknown")
            await asyncio.sleep(0.01)
        await running.settled(id)
        assert not [event for event in await running.repository.events(id, 0, 1000) if event.type == "drift"]
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == []
        assert infra.deleted


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
async def test_an_old_answer_does_not_prove_that_nothing_was_made_since(ground, recognition):
    """The cloud looks before the request has taken its effect, and says so when every window is over."""
    ground.behave(
        recognition={"*": recognition},
        window={"*": 0.4},
        visible_after={"*": 0.0},
        faults=[
            {**CREATE, "kind": "volume", "nth": 1, "effect": "lose-answer", "in_flight": 0.3},
            {"verb": "find", "kind": "volume", "effect": "late-answer", "nth": 1, "seconds": 0.6},
        ],
    )
    async with ground.running() as running:
        id = await running.create(ground.document(1, volumes=True))
        infra = await running.infra(id)
        await running.until(lambda: any(entry.kind == "volume" and entry.attempts for entry in infra.entries.values()))
        await running.service.destroy(running.owner, id)
        assert infra.deleted
        assert ground.inventory() == []


async def test_what_read_did_not_see_yet_when_it_looked_is_not_taken_for_gone(ground):
    ground.behave(lag={"*": 0.2}, faults=[{"verb": "read", "effect": "late-answer", "times": 1, "seconds": 0.5}])
    async with ground.running(update_frequency=0.0) as running:
        id = await made(running)
        await running.service.state(running.owner, id)
        infra = await running.settled(id)
        assert infra.state() == "configured"
        assert not [event for event in await running.repository.events(id, 0, 1000) if event.type == "drift"]


async def test_duplicates_that_read_does_not_see_yet_are_deleted_all_the_same(ground):
    ground.behave(
        lag={"instance": 0.3},
        recognition={"instance": "none"},
        faults=[{**CREATE, "kind": "instance", "nth": 1, "effect": "late-answer", "seconds": 0.3}],
    )
    async with ground.running(timeout=0.1) as running:
        id = await running.create(ground.document(1))
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "configured" and not running.unended(id))
        await running.settled(id)
        assert len(ground.inventory("instance")) == 1
        check_ledger(running, infra)


async def test_things_that_need_several_steps_get_ready(ground):
    ground.behave(steps={"instance": 2, "security_group": 1})
    async with ground.running() as running:
        infra = await launched(running, count=2)
        assert infra.state() == "configured"


@pytest.mark.parametrize("effect", ["fail", "busy", "lose-answer", "crash"])
async def test_a_step_that_fails_is_taken_again(ground, effect):
    ground.behave(steps={"instance": 2}, faults=[{"verb": "update", "nth": [1, 2], "effect": effect}])
    async with ground.running() as running:
        infra = await launched(running, count=1)
        assert infra.state() == "configured"


# --- others ----------------------------------------------------------------------------------------------------

OTHER = (
    "type = InfrastructureManager; username = other; password = p2\\nid = second; type = Dummy; host = b.example.org"
)


async def test_a_hanging_cloud_does_not_block_another(ground):
    hanging = {"account": "cloud", "effect": "hang", "seconds": 1.5}
    ground.behave(faults=[hanging])
    async with ground.running(timeout=3, threads=2) as running:
        other = await running.caller(OTHER)
        stuck = [await running.create(ground.document(2)) for _ in range(4)]
        id = await running.create(ground.document(2), other)
        infra = await running.settled(id, timeout=1.2)
        assert infra.state() == "configured"
        await asyncio.wait_for(running.service.destroy(other, id), 1)
        assert {(await running.infra(id)).state() for id in stuck} == {"pending"}
        ground.behave()
        for id in stuck:
            await running.until(lambda id=id: running.repository.cached(id).state() == "configured")


async def test_creations_that_hang_do_not_block_deletions_at_the_same_cloud(ground):
    async with ground.running(timeout=3, threads=2) as running:
        doomed = await made(running, 2)
        ground.behave(faults=[{**CREATE, "effect": "hang", "seconds": 1.5}])
        for _ in range(6):
            await running.create(ground.document(2))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(running.service.destroy(running.owner, doomed), 1.2)


async def test_an_unknown_cloud_is_refused_before_anything_is_made(ground):
    async with ground.running() as running:
        with pytest.raises(InvalidRequest, match="No auth data for cloud with ID: nowhere"):
            await running.create(ground.document(1, cloud="nowhere"))
        assert await running.service.list(running.owner) == []
