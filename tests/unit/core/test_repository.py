"""Between memory and database: what is stored when, in how many commits, and who may."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from imframework.api.errors import Conflict, StorageConflict, StorageError, StorageUnavailable
from imframework.api.model import AuditRecord
from imframework.api.storage import Commit
from imframework.core import repository as repository_module
from imframework.core.entities import VM
from imframework.core.infrastructure import Infrastructure
from imframework.core.repository import Repository
from imframework.testing.memory_storage import MemoryDatabase, MemoryStorage


class WatchedStorage(MemoryStorage):
    """Notes what is committed together; waits before a commit while `gate` is closed; fails with what `faults` hold."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database=database)
        self.groups: list[Sequence[Commit]] = []
        self.audited: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.faults: list[Exception] = []

    def commit(self, commits: Sequence[Commit], audit: Sequence[AuditRecord] = ()) -> Sequence[StorageError | None]:
        self.gate.wait(10)
        if self.faults:
            raise self.faults.pop(0)
        self.groups.append(commits)
        self.audited.append(len(audit))
        return super().commit(commits, audit)


@asynccontextmanager
async def opened(database: MemoryDatabase, holder: str = "one", **options):
    storage = WatchedStorage(database)
    repository = Repository(storage, holder, **options)
    await repository.open()
    try:
        yield repository, storage
    finally:
        storage.gate.set()
        await repository.close()


@pytest.fixture
def database():
    return MemoryDatabase()


def machine(number: int, **fields) -> VM:
    return VM(number=number, system="s", definition="d", generation=1, created=0.0, **fields)


async def stored(repository: Repository, id: str = "i", machines: int = 1) -> Infrastructure:
    infra = Infrastructure(id, frozenset({"o"}), time.time(), repository.new_lease(id))
    for number in range(machines):
        infra.put(machine(number))
    infra.touch()
    await repository.create(infra)
    return infra


async def test_what_was_saved_is_there_for_the_next_service(database):
    async with opened(database) as (repository, _):
        infra = await stored(repository, machines=3)
        infra.put(machine(1, phase="ready", launched=True, facts={"cpu.count": 2}))
        infra.log("a line")
        infra.emit("state", vm=1, state="running")
        infra.generation = 7
        await repository.save(infra)
    async with opened(database, "two") as (repository, _):
        again = await repository.get("i")
        assert again.vms == infra.vms
        assert (again.generation, again.sequence, again.version) == (7, infra.sequence, infra.version)
        assert again.state() == infra.state()
        assert "a line" in (await repository.logs("i"))[""]
        assert [event.sequence for event in await repository.events("i", 0, 100)] == list(range(1, infra.sequence + 1))


async def test_only_what_changed_is_written(database):
    async with opened(database) as (repository, storage):
        infra = await stored(repository, machines=5)
        infra.put(machine(3, power_on=False))
        await repository.save(infra)
        (commit,) = storage.groups[-1]
        assert [row.key for row in commit.upserts] == ["3"]
        assert commit.head is None
        await repository.save(infra)
        assert storage.groups[-1] == [commit], "nothing to write, nothing written"


async def test_changes_made_while_the_database_writes_go_together_into_the_next_transaction(database):
    async with opened(database) as (repository, storage):
        many = [await stored(repository, f"i{number}") for number in range(10)]
        storage.gate.clear()
        before = len(storage.groups)
        saves = []
        for round in range(5):
            for infra in many:
                infra.put(replace(infra.vms[0], generation=round + 2))
                saves.append(asyncio.ensure_future(repository.save(infra)))
            await asyncio.sleep(0.01)
        storage.gate.set()
        await asyncio.gather(*saves)
        groups = storage.groups[before:]
        assert len(groups) <= 4, "fifty changes of ten infrastructures are few transactions"
        assert all(len({commit.infrastructure for commit in group}) == len(group) for group in groups)
        async with opened(database, "other") as (_, other):
            for infra in many:
                (row,) = [row for row in other.load(infra.id).rows if row.table == "vm"]
                assert row.data["generation"] == 6


async def test_save_returns_only_when_what_was_changed_before_it_is_stored(database):
    async with opened(database) as (repository, storage):
        infra = await stored(repository)
        storage.gate.clear()
        infra.put(replace(infra.vms[0], generation=2))
        first = asyncio.ensure_future(repository.save(infra))
        await asyncio.sleep(0.01)
        infra.put(replace(infra.vms[0], generation=3))
        second = asyncio.ensure_future(repository.save(infra))
        await asyncio.sleep(0.05)
        assert not first.done()
        assert not second.done()
        storage.gate.set()
        await second
        (row,) = [row for row in storage.load("i").rows if row.table == "vm"]
        assert row.data["generation"] == 3


async def test_a_caller_that_goes_away_does_not_stop_the_writing(database):
    async with opened(database) as (repository, storage):
        infra = await stored(repository)
        storage.gate.clear()
        infra.put(replace(infra.vms[0], generation=2))
        saving = asyncio.ensure_future(repository.save(infra))
        await asyncio.sleep(0.01)
        saving.cancel()
        storage.gate.set()
        await repository.save(infra)
        (row,) = [row for row in storage.load("i").rows if row.table == "vm"]
        assert row.data["generation"] == 2


async def test_an_infrastructure_held_by_another_service_is_a_conflict(database):
    async with opened(database, "one") as (one, _), opened(database, "two") as (two, _):
        await stored(one)
        with pytest.raises(Conflict, match="Another instance"):
            await two.get("i")
        assert await two.get("nobody") is None


async def test_a_view_is_void_when_somebody_else_has_taken_the_infrastructure_over(database):
    async with opened(database, "one", lease_duration=0.05) as (one, _), opened(database, "two") as (two, _):
        mine = await stored(one)
        await asyncio.sleep(0.06)
        theirs = await two.get("i")
        assert theirs.lease.fence > mine.lease.fence
        theirs.put(replace(theirs.vms[0], generation=2))
        await two.save(theirs)
        mine.put(replace(mine.vms[0], generation=99))
        with pytest.raises(StorageConflict):
            await one.save(mine)
        assert mine.lost
        with pytest.raises(StorageConflict):  # there is nothing to write any more, and still it is not all right
            await one.save(mine)
        assert one.cached("i") is None
        (row,) = [row for row in database_rows(database) if row[0][0] == "vm"]
        assert '"generation": 2' in row[1]


def database_rows(database):
    return list(database.infrastructures["i"].rows.items())


async def test_a_view_is_not_used_after_its_lease_until_it_is_known_to_be_true(database):
    async with opened(database, "one", lease_duration=0.05) as (one, _), opened(database, "two") as (two, _):
        mine = await stored(one)
        await asyncio.sleep(0.06)
        assert one.cached("i") is None
        assert await one.get("i") is mine, "nobody else has written it"
        await asyncio.sleep(0.06)
        theirs = await two.get("i")
        theirs.put(replace(theirs.vms[0], generation=2))
        await two.save(theirs)
        theirs.lease = replace(theirs.lease, expires=0.0)
        database.infrastructures["i"].lease = theirs.lease
        again = await one.get("i")
        assert again is not mine
        assert again.vms[0].generation == 2
        assert mine.lost, "whoever still has the old view must stop"


async def test_leases_of_what_is_worked_on_are_prolonged(database):
    async with opened(database, "one", lease_duration=0.2) as (one, _), opened(database, "two") as (two, _):
        await stored(one)
        one.pin("i", True)
        for _ in range(5):
            await asyncio.sleep(0.08)
            await one.renew()
        assert one.cached("i") is not None
        with pytest.raises(Conflict):
            await two.get("i")


async def test_many_askers_load_an_infrastructure_once(database):
    async with opened(database, "one") as (one, _):
        await stored(one)
    async with opened(database, "two") as (two, storage):
        loads = 0
        load = storage.load

        def counted(id):
            nonlocal loads
            loads += 1
            return load(id)

        storage.load = counted
        views = await asyncio.gather(*(two.get("i") for _ in range(20)))
        assert len(set(views)) == 1
        assert loads == 1


async def test_the_views_kept_in_memory_are_bounded(database):
    async with opened(database, views=3) as (repository, _):
        for number in range(10):
            await stored(repository, f"i{number}")
        assert repository.size == 3
        assert (await repository.get("i0")).vms.keys() == {0}


async def test_a_view_on_its_way_to_the_database_is_not_forgotten(database):
    async with opened(database, views=1) as (repository, storage):
        first = await stored(repository, "first")
        storage.gate.clear()
        first.put(replace(first.vms[0], generation=2))
        saving = asyncio.ensure_future(repository.save(first))
        await asyncio.sleep(0.01)
        assert not first.pending
        async with opened(database, "two") as (two, _):
            await stored(two, "other")
        assert await repository.get("other"), "there is room for one only"
        assert repository.cached("first") is first
        storage.gate.set()
        await saving


async def test_writing_waits_for_a_database_that_is_away(database, monkeypatch):
    monkeypatch.setattr(repository_module, "RETRY_DELAY", 0.01)
    async with opened(database) as (repository, storage):
        infra = await stored(repository)
        storage.faults = [StorageUnavailable("down")] * 5
        infra.put(replace(infra.vms[0], generation=2))
        await repository.save(infra)
        assert not infra.lost
        assert '"generation": 2' in dict(database_rows(database))["vm", "0"]


@pytest.mark.parametrize("fault", [StorageError("disk full"), RuntimeError("a fault of the plugin")])
async def test_a_write_that_failed_for_good_voids_the_view_and_the_next_use_sees_what_is_stored(database, fault):
    async with opened(database) as (repository, storage):
        infra = await stored(repository)
        storage.faults = [fault]
        infra.put(replace(infra.vms[0], generation=2))
        with pytest.raises(StorageError) as caught:
            await repository.save(infra)
        assert "a fault of the plugin" not in str(caught.value)
        assert infra.lost
        again = await repository.get("i")
        assert again is not infra
        assert again.vms[0].generation == 1


async def test_closing_ends_although_the_database_is_away(database):
    storage = WatchedStorage(database)
    repository = Repository(storage, "one")
    await repository.open()
    infra = await stored(repository)
    storage.faults = [StorageUnavailable("down")] * 1_000_000
    infra.put(replace(infra.vms[0], generation=2))
    saving = asyncio.ensure_future(repository.save(infra))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(repository.close(), 10)
    with pytest.raises(StorageUnavailable):
        await saving


async def test_closing_stores_everything_else_although_one_view_is_void(database):
    async with opened(database) as (repository, _):
        first, second = await stored(repository, "first"), await stored(repository, "second")
        database.infrastructures["first"].lease = replace(first.lease, fence=99, holder="two")
        for infra in (first, second):
            infra.put(replace(infra.vms[0], generation=2))
    assert '"generation": 2' in database.infrastructures["second"].rows["vm", "0"]


async def test_nothing_is_accepted_after_closing(database):
    storage = WatchedStorage(database)
    repository = Repository(storage, "one")
    await repository.open()
    infra = await stored(repository)
    await repository.close()
    infra.put(replace(infra.vms[0], generation=2))
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(repository.save(infra), 5)


async def test_events_are_announced_once_they_are_stored(database):
    announced = []

    def announce(infra, events):
        assert infra.version > 0
        announced.extend(event.sequence for event in events)

    async with opened(database, on_events=announce) as (repository, storage):
        infra = await stored(repository)
        storage.gate.clear()
        infra.emit("state", state="running")
        saving = asyncio.ensure_future(repository.save(infra))
        await asyncio.sleep(0.02)
        assert infra.sequence not in announced
        storage.gate.set()
        await saving
        assert announced[-1] == infra.sequence
        assert announced == sorted(announced)


# --- audit --------------------------------------------------------------------------------------------------


def deed(number: int) -> AuditRecord:
    return AuditRecord(float(number), ("ana",), "192.0.2.1", "stop", str(number))


async def test_audit_records_go_with_the_next_transaction(database, monkeypatch):
    monkeypatch.setattr(repository_module, "AUDIT_DELAY", 3600)
    async with opened(database) as (repository, storage):
        repository.record(deed(1))
        repository.record(deed(2))
        await stored(repository)
        assert storage.audited == [2]
        assert [record.target for record in await repository.audit(None, 0, 10)] == ["1", "2"]


async def test_audit_records_are_stored_without_other_changes_and_those_who_wait_are_told(database, monkeypatch):
    monkeypatch.setattr(repository_module, "AUDIT_DELAY", 0.01)
    told = asyncio.Event()
    async with opened(database) as (repository, storage):
        repository.subscribe(lambda audit: told.set() if audit else None)
        repository.record(deed(1))
        await asyncio.wait_for(told.wait(), 30)
        assert (storage.groups, storage.audited) == ([[]], [1])


async def test_audit_records_are_stored_before_the_end(database):
    async with opened(database) as (repository, _):
        for number in range(1200):
            repository.record(deed(number))
    async with opened(database, "two") as (repository, _):
        assert len(await repository.audit(None, 0, 10_000)) == 1200


async def test_audit_records_that_cannot_be_written_void_no_changes(database):
    async with opened(database) as (repository, storage):
        repository.record(deed(1))
        storage.faults = [ValueError("the batch"), ValueError("the change alone")]
        with pytest.raises(StorageError):
            await stored(repository)
        await stored(repository, "j")
        assert [record.target for record in await repository.audit(None, 0, 10)] == ["1"]


async def test_audit_records_wait_for_a_database_that_does_not_answer(database, monkeypatch):
    monkeypatch.setattr(repository_module, "RETRY_DELAY", 0.01)
    async with opened(database) as (repository, storage):
        repository.record(deed(1))
        storage.faults = [StorageUnavailable("away"), StorageUnavailable("away")]
        await stored(repository)
        assert [record.target for record in await repository.audit(None, 0, 10)] == ["1"]
