"""Tags of what an infrastructure is like, and changes that are made only while it is like that."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from imframework.api.errors import PreconditionFailed
from imframework.api.service import Document
from imframework.testing.memory_storage import MemoryStorage


async def made(running):
    id = await running.create(running.ground.document(2, public=False))
    await running.settled(id)
    return id


async def test_a_tag_stays_while_nothing_changes_in_another_instance_too(ground):
    async with ground.running(holder="one") as one:
        id = await made(one)
        tag = await one.service.tag(one.owner, id)
        assert await one.service.tag(one.owner, id) == tag
        one.repository.forget(await one.infra(id))
        assert await one.service.tag(one.owner, id) == tag
    async with ground.running(holder="two") as two:
        assert await two.service.tag(two.owner, id) == tag


async def test_a_tag_changes_with_what_is_in_memory_only(ground):
    class Slow(MemoryStorage):
        free = threading.Event()

        def commit(self, commits):
            self.free.wait(30)
            return super().commit(commits)

    storage = Slow(database=ground.database)
    async with ground.running(storage=storage) as running:
        storage.free.set()
        id = await made(running)
        tags = [await running.service.tag(running.owner, id)]
        storage.free.clear()
        infra = await running.infra(id)
        try:
            for number in (0, 1):
                infra.put(replace(infra.vms[number], message="something"))
                tags.append(await running.service.tag(running.owner, id))
                saving = asyncio.ensure_future(running.repository.save(infra))
                await asyncio.sleep(0.01)
                assert await running.service.tag(running.owner, id) == tags[-1]
        finally:
            storage.free.set()
        await saving
        await running.repository.save(infra)
        tags.append(await running.service.tag(running.owner, id))
        assert len(set(tags)) == 4


async def test_asking_for_a_tag_has_the_cloud_asked(ground):
    async with ground.running(update_frequency=0.0) as running:
        id = await made(running)
        tag = await running.service.tag(running.owner, id)
        await running.settled(id)
        assert await running.service.tag(running.owner, id) == tag, "there is no news"
        await running.settled(id)
        (machine, *_) = ground.inventory("instance")
        (entry,) = [entry for entry in ground.cloud.inventory() if entry.provider_id == machine]
        ground.cloud.power(entry.account, machine, "stop", on=False)
        await running.service.tag(running.owner, id)
        infra = await running.infra(id)
        await running.until(lambda: infra.state() == "stopped")
        await running.settled(id)
        assert await running.service.tag(running.owner, id) != tag


def changes_of(running, caller, id):
    """Every change of an infrastructure."""
    service, more = running.service, Document(running.ground.document(1, public=False))
    return {
        "stop": lambda: service.stop(caller, id),
        "start": lambda: service.start(caller, id, 0),
        "reboot": lambda: service.reboot(caller, id, 0),
        "reconfigure": lambda: service.reconfigure(caller, id),
        "reconfigure with recipes": lambda: service.reconfigure(caller, id, more),
        "add": lambda: service.add(caller, id, more),
        "remove": lambda: service.remove(caller, id, [1]),
        "owners": lambda: service.change_owners(caller, id, {"username": "u", "password": "p"}),
        "plan": lambda: service.plan(caller, more, id),
        "export": lambda: service.export_document(caller, id, delete=True),
        "destroy": lambda: service.destroy(caller, id),
    }


async def test_no_change_is_made_of_what_has_changed(ground):
    async with ground.running() as running:
        id = await made(running)
        tag = await running.service.tag(running.owner, id)
        stale = replace(running.owner, expects=frozenset({"0", "other"}))
        plan = await running.service.plan(running.owner, Document(ground.document(1, public=False)), id)
        before = await running.service.tag(running.owner, id)
        calls = changes_of(running, stale, id)
        calls["apply"] = lambda: running.service.apply(stale, plan["id"])
        for name, call in calls.items():
            with pytest.raises(PreconditionFailed) as caught:
                await call()
            assert str(caught.value) == f"The infrastructure has changed: its tag is {before}.", name
        assert before != tag
        assert await running.service.tag(running.owner, id) == before


async def test_what_is_as_expected_is_changed(ground):
    async with ground.running() as running:
        id = await made(running)
        for name in changes_of(running, running.owner, id):
            if name in ("plan", "export"):
                continue
            tag = await running.service.tag(running.owner, id)
            expecting = replace(running.owner, expects=frozenset({tag, "another"}))
            await changes_of(running, expecting, id)[name]()
            if name != "destroy":
                await running.settled(id)


async def test_of_two_changes_at_once_on_one_tag_one_is_made(ground):
    async with ground.running() as running:
        id = await made(running)
        expecting = replace(running.owner, expects=frozenset({await running.service.tag(running.owner, id)}))
        more = Document(ground.document(1, public=False))
        adding = [running.service.add(expecting, id, more) for _ in range(5)]
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 4
        assert len(ground.inventory("instance")) == 3


async def test_a_tag_from_before_it_was_stored_is_good_for_what_was_stored(ground):
    async with ground.running() as running:
        id = await made(running)
        infra = await running.infra(id)
        infra.put(replace(infra.vms[0], message="something"))
        tag = await running.service.tag(running.owner, id)
        await running.repository.save(infra)
        assert await running.service.tag(running.owner, id) != tag
        await running.service.stop(replace(running.owner, expects=frozenset({tag})), id)


async def test_new_credentials_in_the_very_request_are_no_change(ground):
    async with ground.running() as running:
        id = await made(running)
        tag = await running.service.tag(running.owner, id)
        renewed = await running.caller(ground.owner + "; password = new")
        await running.service.add(
            replace(renewed, expects=frozenset({tag})), id, Document(ground.document(1, public=False))
        )
