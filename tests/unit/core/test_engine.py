"""Whose work it is, who hears of its outcome, and what remains when there is none."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from imframework.api.errors import Conflict, DeadlineExceeded, StorageConflict, StorageError, StorageUnavailable
from imframework.api.model import Observation, Phase
from imframework.api.service import Document
from imframework.api.storage import Table
from imframework.core import calls, worker
from imframework.core.entities import Status
from imframework.testing.memory_storage import MemoryStorage


def overtake(ground, id, holder="two"):
    """Let the lease of an infrastructure expire and be taken by another service, as after a long stall."""
    stored = ground.database.infrastructures[id]
    stored.lease = replace(stored.lease, holder=holder, fence=stored.lease.fence + 1, expires=stored.lease.expires + 60)


async def test_a_service_whose_lease_was_taken_stops_acting(ground):
    ground.behave(latency={"create": 0.05})
    async with ground.running(max_launches=1) as running:
        id = await running.create(ground.document(10, public=False))
        await running.until(lambda: ground.inventory("instance"))
        overtake(ground, id)
        await running.until(lambda: not running.engine.works_on(id))
        made = len(ground.inventory())
        await asyncio.sleep(0.3)
        assert len(ground.inventory()) <= made + 1, "at most the call that was under way"
        with pytest.raises(Conflict):
            await running.service.state(running.owner, id)


async def test_who_waits_for_work_that_another_service_has_taken_over_is_told(ground):
    ground.behave(boot={"instance": 0.2}, latency={"create": 0.1})
    async with ground.running() as running:
        creating = asyncio.ensure_future(running.create(ground.document(3), asynchronous=False))
        await running.until(lambda: ground.inventory())
        (id,) = ground.database.infrastructures
        overtake(ground, id)
        with pytest.raises((Conflict, StorageConflict), match="taken over"):
            await asyncio.wait_for(creating, 5)
        assert ground.calls("delete") == 0, "it is not ours to delete"


async def test_two_services_never_work_on_one_infrastructure_at_once(ground):
    ground.behave(latency={"create": 0.03})
    async with ground.running(holder="one") as one, ground.running(holder="two") as two:
        id = await one.create(ground.document(4))
        await asyncio.sleep(0.05)
        await two.engine._take_up()
        assert not two.engine.works_on(id)
        with pytest.raises(Conflict, match="Another instance"):
            await two.service.destroy(two.owner, id)
        infra = await one.settled(id)
        assert infra.state() == "configured"
        assert len(ground.inventory("instance")) == 4


async def test_a_service_takes_up_what_another_has_left(ground):
    ground.behave(latency={"create": 0.05})
    async with ground.running(holder="one") as one:
        id = await one.create(ground.document(4))
        await one.until(lambda: ground.inventory())
    async with ground.running(holder="two") as two:
        two.ids.append(id)
        infra = await two.settled(id)
        assert infra.state() == "configured"
        assert len(ground.inventory("instance")) == 4


async def test_work_left_by_a_service_that_died_is_taken_up_when_its_lease_is_over(ground):
    class Dying(MemoryStorage):
        """Loses its database in the middle of things, and does not give back its leases."""

        dead = False

        def commit(self, commits):
            if self.dead:
                raise StorageError("dead")
            return super().commit(commits)

        def acquire(self, infrastructure, holder, now, duration):
            if self.dead:
                raise StorageError("dead")
            return super().acquire(infrastructure, holder, now, duration)

        def renew(self, holder, now, duration):
            if not self.dead:
                super().renew(holder, now, duration)

        def release(self, holder, infrastructures=None):
            if not self.dead:
                super().release(holder, infrastructures)

    storage = Dying(database=ground.database)
    async with ground.running(holder="one", storage=storage, lease_duration=0.5) as one:
        id = await one.create(ground.document(3))
        storage.dead = True
        async with ground.running(holder="two", lease_duration=0.3) as two:
            assert not two.engine.works_on(id)
            two.ids.append(id)
            await two.until(lambda: (view := two.repository.cached(id)) and view.state() == "configured")
            assert len(ground.inventory("instance")) == 3


async def test_the_look_out_for_work_survives_a_database_that_fails(ground):
    class Failing(MemoryStorage):
        faults: tuple[Exception, ...] = ()

        def due(self, now, holder, limit):
            if self.faults:
                first, *rest = self.faults
                self.faults = tuple(rest)
                raise first
            return super().due(now, holder, limit)

    storage = Failing(database=ground.database)
    async with ground.running(storage=storage, lease_duration=0.06) as running:
        storage.faults = (StorageUnavailable("away"), RuntimeError("a fault of the plugin"))
        await running.until(lambda: not storage.faults)
        id = await running.create(ground.document(1))
        running.repository.forget(await running.infra(id))
        await running.until(lambda: running.repository.cached(id) or True)
        await running.settled(id)


async def test_one_infrastructure_that_cannot_be_loaded_keeps_no_other_from_being_looked_after(ground):
    async with ground.running(holder="one") as running:
        ground.behave(latency={"create": 0.2})
        ids = [await running.create(ground.document(1)) for _ in range(3)]
    rows = ground.database.infrastructures[ids[0]].rows
    for key in list(rows):
        rows[key] = '{"nonsense": true}'
    ground.behave()
    async with ground.running(holder="two") as running:
        running.ids.extend(ids[1:])
        for id in ids[1:]:
            assert (await running.settled(id)).state() == "configured"


async def test_a_quiet_service_has_no_worker_no_timer_and_no_thread(ground, monkeypatch):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.05)
    async with ground.running() as running:
        caller = await running.caller(ground.owner + "; host = quiet.example.org")
        ids = [await running.create(ground.document(2), caller) for _ in range(5)]
        for id in ids:
            await running.settled(id)
        assert running.engine.idle
        await running.until(lambda: not [t for t in threading.enumerate() if "quiet.example.org" in t.name])
        assert len(asyncio.all_tasks()) <= 4


async def test_who_waits_while_the_service_ends_is_told_that_the_work_goes_on(ground):
    ground.behave(latency={"create": 0.3})
    async with ground.running(holder="one") as running:
        creating = asyncio.ensure_future(running.create(ground.document(1), asynchronous=False))
        await running.until(lambda: ground.database.infrastructures and running.engine.busy)
        await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded, match="goes on afterwards"):
        await creating
    (id,) = ground.database.infrastructures
    ground.behave()
    async with ground.running(holder="two") as running:
        running.ids.append(id)
        assert (await running.settled(id)).state() == "configured"


async def test_what_a_cloud_has_been_asked_is_heard_before_the_service_ends_and_nothing_more_is_asked(
    ground, monkeypatch
):
    """What nothing recognises could not be found again by the next service, and would be left behind."""
    monkeypatch.setattr(worker, "FAREWELL", 30.0)
    ground.behave(recognition={"*": "none"}, latency={"create": 0.3})
    async with ground.running(holder="one", max_launches=2) as one:
        id = await one.create(ground.document(2))
        infra = await one.infra(id)
        await one.until(lambda: sum(entry.status == Status.INTENDED for entry in infra.entries.values()) == 2)
    assert len(ground.inventory()) <= 2
    assert {entry.status for entry in infra.entries.values()} <= {Status.PLANNED, Status.READY}
    ground.behave(recognition={"*": "none"})
    async with ground.running(holder="two") as two:
        two.ids.append(id)
        infra = await two.settled(id)
        assert infra.state() == "configured"
        assert all(entry.status == Status.READY for entry in infra.entries.values()), two.describe()
        assert len(ground.inventory()) == len(infra.entries)


async def test_a_cloud_that_hangs_does_not_keep_the_service_from_ending(ground, monkeypatch):
    monkeypatch.setattr(worker, "FAREWELL", 0.05)
    ground.behave(faults=[{"verb": "create", "effect": "hang", "seconds": 30, "times": 2, "name": "hang"}])
    async with ground.running(holder="one", timeout=60) as one:
        id = await one.create(ground.document(2))
        await one.until(lambda: ground.cloud.fired("hang") == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    async with ground.running(holder="two") as two:
        two.ids.append(id)
        assert (await two.settled(id)).state() == "configured"


async def test_nobody_is_remembered_who_does_not_wait_any_more(ground):
    ground.behave(latency={"create": 0.2})
    async with ground.running() as running:
        creating = asyncio.ensure_future(running.create(ground.document(1), asynchronous=False))
        await running.until(lambda: running.engine.busy)
        await asyncio.sleep(0.05)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        assert running.engine._waiters == {}
        (id,) = ground.database.infrastructures
        assert (await running.settled(id)).state() == "configured"


async def test_a_request_that_cannot_be_stored_leaves_nobody_waiting(ground):
    class Broken(MemoryStorage):
        broken = False

        def commit(self, commits):
            if self.broken:
                raise StorageError("The disk is full.")
            return super().commit(commits)

    storage = Broken(database=ground.database)
    async with ground.running(storage=storage) as running:
        id = await running.create(ground.document(1))
        await running.settled(id)
        storage.broken = True
        with pytest.raises(StorageError, match="The disk is full"):
            await running.service.stop(running.owner, id)
        await asyncio.sleep(0)
        assert running.engine._waiters == {}
        storage.broken = False
        await running.service.stop(running.owner, id)
        assert (await running.service.state(running.owner, id)).state == "stopped"


async def test_one_change_that_cannot_be_stored_does_not_void_those_of_others(ground):
    class Picky(MemoryStorage):
        poison = ""

        def commit(self, commits):
            if any(commit.infrastructure == self.poison for commit in commits):
                raise TypeError("Object of type set is not JSON serializable")
            return super().commit(commits)

    storage = Picky(database=ground.database)
    async with ground.running(storage=storage) as running:
        ids = [await running.create(ground.document(1)) for _ in range(6)]
        for id in ids:
            await running.settled(id)
        storage.poison = ids[2]
        outcomes = await asyncio.gather(
            *(running.service.stop(running.owner, id) for id in ids), return_exceptions=True
        )
        assert [isinstance(outcome, StorageError) for outcome in outcomes] == [id == ids[2] for id in ids]


async def test_what_is_being_made_when_nothing_can_be_stored_is_not_forgotten(ground):
    """The view that asked for it is void: whoever looks at the infrastructure next must know that it may come."""

    class Failing(MemoryStorage):
        failing = False

        def commit(self, commits):
            if self.failing:
                raise StorageError("The disk is full.")
            return super().commit(commits)

    storage = Failing(database=ground.database)
    ground.behave(
        recognition={"*": "tag"},
        faults=[{"verb": "create", "kind": "volume", "effect": "delay", "seconds": 0.8, "name": "slow"}],
    )
    async with ground.running(storage=storage) as running:
        id = await running.create(ground.document(1, volumes=True))
        await running.until(lambda: ground.cloud.fired("slow"))
        storage.failing = True
        with pytest.raises(StorageError):
            await running.service.reconfigure(running.owner, id)
        storage.failing = False
        await running.service.destroy(running.owner, id, asynchronous=True)
        infra = await running.infra(id)

        def deleted():
            assert not (infra.deleted and ground.inventory()), "deleted, and something was made after that"
            return infra.deleted

        await running.until(deleted)
        await running.until(lambda: any(call.kind == "volume" for call in ground.cloud.calls()))
        assert ground.inventory() == []


async def test_nothing_is_done_for_a_request_before_it_is_stored(ground):
    class Failing(MemoryStorage):
        failing = False
        released = threading.Event()

        def commit(self, commits):
            if self.failing:
                self.released.wait(10)
                raise StorageError("The disk is full.")
            return super().commit(commits)

    storage = Failing(database=ground.database)
    async with ground.running(storage=storage) as running:
        id = await running.create(ground.document(1, recipe=True))
        await running.settled(id)
        running.configurator.hold.clear()
        await running.service.reconfigure(running.owner, id)
        await running.until(lambda: len(running.configurator.jobs) == 2)
        storage.failing = True
        requests = [
            asyncio.ensure_future(running.service.reconfigure(running.owner, id)),
            asyncio.ensure_future(running.service.stop(running.owner, id)),
        ]
        await asyncio.sleep(0.1)
        storage.released.set()
        for answer in await asyncio.gather(*requests, return_exceptions=True):
            assert isinstance(answer, StorageError)
        storage.failing = False
        assert running.configurator.cancelled == []
        assert ground.calls("stop") == 0
        running.configurator.hold.set()
        running.engine.wake(await running.infra(id))
        assert (await running.settled(id)).state() == "configured"


async def test_who_waits_for_an_outcome_that_cannot_be_stored_is_told_at_once(ground):
    class Failing(MemoryStorage):
        def commit(self, commits):
            if any(table == Table.OPERATION for commit in commits for table, _ in commit.deletes) and self.failing:
                raise StorageError("The disk is full.")
            return super().commit(commits)

        failing = False

    storage = Failing(database=ground.database)
    async with ground.running(storage=storage) as running:
        id = await running.create(ground.document(1))
        await running.settled(id)
        storage.failing = True
        ground.behave(latency={"stop": 0.2})
        with pytest.raises(Conflict, match="could not be stored"):
            await asyncio.wait_for(running.service.stop(running.owner, id), 5)
        storage.failing = False
        await running.service.stop(running.owner, id)
        assert (await running.infra(id)).state() == "stopped"


async def test_events_tell_every_change_of_state_in_order(ground):
    async with ground.running() as running:
        id = await running.create(ground.document(2, recipe=True))
        await running.settled(id)
        await running.service.stop(running.owner, id, 1)
        await running.service.start(running.owner, id, 1)
        await running.service.reconfigure(running.owner, id)
        await running.settled(id)
        await running.service.remove(running.owner, id, [1])
        await running.settled(id)
        await running.service.destroy(running.owner, id)
        events = await running.repository.events(id, 0, 10_000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))

        def of(vm):
            return [event.data["state"] for event in events if event.type == "state" and event.data.get("vm") == vm]

        assert of(0) == ["pending", "running", "configured", "running", "configured", "running", "configured",
                         "deleting", "off"]  # fmt: skip
        assert of(1) == ["pending", "running", "configured", "stopped", "configured", "running", "configured",
                         "deleting", "off"]  # fmt: skip
        whole = of(None)
        assert whole == [state for i, state in enumerate(whole) if not i or state != whole[i - 1]], "told once each"
        assert whole[:2] == ["running", "configured"]
        assert whole[-1] == "deleting"
        assert events[-1].type in ("deleted", "operation")


async def test_who_asks_while_the_service_ends_is_told_so_at_once(ground):
    ground.behave(latency={"create": 0.2})
    async with ground.running() as running:
        document = Document(ground.document(1))

        def create():
            return running.service.create(running.owner, document, idempotency_key="key")

        first = asyncio.ensure_future(create())
        await running.until(lambda: ground.database.infrastructures)
        await running.engine.stop()
        (id,) = ground.database.infrastructures
        for asking in (first, create(), running.service.stop(running.owner, id)):
            with pytest.raises(DeadlineExceeded, match="is being stopped"):
                await asyncio.wait_for(asking, 30)


async def with_a_void_view_at_work(running):
    """An infrastructure whose view in memory is void, though its worker has not noticed."""
    ground = running.ground
    id = await running.create(ground.document(1))
    former = await running.settled(id)
    ground.behave(faults=[{"verb": "read", "effect": "delay", "seconds": 0.3, "times": 1, "name": "slow"}])
    await running.service.state(running.owner, id)
    await running.until(lambda: ground.cloud.fired("slow"))
    former.lost = True
    running.repository.forget(former)
    assert running.engine.works_on(id)
    return former, await running.infra(id)


async def test_machines_are_asked_about_for_the_view_that_is_true(ground):
    async with ground.running(update_frequency=0.0) as running:
        _, infra = await with_a_void_view_at_work(running)
        ground.cloud.vanish("cloud", infra.vms[0].facts["instance_id"])
        running.engine.refresh(infra)
        await running.until(lambda: infra.state() == "off")


async def test_a_late_answer_is_not_entered_in_a_view_that_is_void(ground):
    async with ground.running(update_frequency=0.0) as running:
        former, infra = await with_a_void_view_at_work(running)
        entry = next(entry for entry in infra.entries.values() if entry.kind == "instance")
        running.engine.late(infra.id, entry, Observation(Phase.READY, "i-000999"))
        await running.until(lambda: ground.calls("delete") == 1)
        await running.settled(infra.id)
        assert former.entries.keys() == infra.entries.keys()
