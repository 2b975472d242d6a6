"""Creations that are asked for again with the same key."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from imframework.api.errors import CloudError, IdempotencyMismatch, InvalidRequest
from imframework.api.service import Document, Language

STRANGER = "type = InfrastructureManager; username = stranger; password = p\\nid = cloud; type = Dummy"
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


def create(running, key=KEY, *, caller=None, document=None, asynchronous=True, language=Language.RADL):
    document = Document(running.ground.document(1) if document is None else document, language)
    return running.service.create(caller or running.owner, document, asynchronous=asynchronous, idempotency_key=key)


async def test_a_repeated_request_makes_one_infrastructure(ground):
    async with ground.running() as running:
        id = await create(running)
        assert uuid.UUID(id).version == 1
        assert await create(running) == id
        await running.settled(id)
        assert await create(running, asynchronous=False) == id
        assert await running.service.list(running.owner) == [id]
        assert len(ground.inventory("instance")) == 1


async def test_requests_at_the_same_time_are_one(ground):
    ground.behave(latency={"create": 0.02})
    async with ground.running() as running:
        ids = await asyncio.gather(*(create(running, asynchronous=number % 2 == 0) for number in range(20)))
        assert len(set(ids)) == 1
        await running.settled(ids[0])
        assert len(ground.inventory("instance")) == 1


async def test_a_request_repeated_at_another_instance_has_the_same_outcome(ground):
    ground.behave(latency={"create": 0.05})
    async with ground.running(holder="one") as one, ground.running(holder="two") as two:
        first = asyncio.ensure_future(create(one, asynchronous=False))
        await one.until(lambda: ground.database.infrastructures)
        assert await create(two) == await create(two, asynchronous=False) == await first
        assert len(ground.inventory("instance")) == 1


async def test_a_key_is_remembered_across_restarts(ground):
    async with ground.running(holder="one") as one:
        id = await create(one)
    async with ground.running(holder="two") as two:
        assert await create(two) == id
        with pytest.raises(IdempotencyMismatch):
            await create(two, document="")


async def test_other_keys_and_other_callers_are_other_requests(ground):
    async with ground.running() as running:
        stranger = await running.caller(STRANGER)
        ids = [await create(running, key, caller=caller) for key in ("a", "b") for caller in (None, stranger)]
        ids += [await create(running, ""), await create(running, "")]
        assert len(set(ids)) == 6


async def test_another_document_under_the_same_key_is_refused(ground):
    async with ground.running() as running:
        await create(running)
        for change in ({"document": ground.document(2)}, {"language": Language.RADL_JSON}):
            with pytest.raises(IdempotencyMismatch, match="used with another document"):
                await create(running, **change)


async def test_a_document_that_is_refused_uses_up_no_key(ground):
    async with ground.running() as running:
        with pytest.raises(InvalidRequest):
            await create(running, document="nonsense")
        assert await create(running)


async def test_a_deleted_infrastructure_is_not_made_again(ground):
    async with ground.running() as running:
        id = await create(running, asynchronous=False)
        await running.service.destroy(running.owner, id)
        assert await create(running) == id
        assert await running.service.list(running.owner) == []
        assert ground.inventory() == []


async def test_a_failure_is_the_same_for_all_who_ask(ground):
    ground.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse", "name": "no"}])
    async with ground.running() as running:
        outcomes = await asyncio.gather(
            *(create(running, asynchronous=False) for _ in range(3)), return_exceptions=True
        )
        ground.behave()
        for attempt in (create(running, asynchronous=False), create(running)):
            with pytest.raises(CloudError) as caught:
                await attempt
            outcomes.append(caught.value)
        assert {type(outcome) for outcome in outcomes} == {CloudError}
        assert len({str(outcome) for outcome in outcomes}) == 1, outcomes
        assert str(outcomes[0]).startswith("Error adding VMs: ")
        assert ground.inventory() == []


async def test_what_was_added_after_a_failure_is_not_removed_by_who_asks_again(ground):
    ground.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse"}])
    async with ground.running() as running:
        id = await create(running)
        await running.settled(id)
        ground.behave()
        await running.add(id, ground.document(1))
        with pytest.raises(CloudError, match="Error adding VMs"):
            await create(running, asynchronous=False)
        infra = await running.settled(id)
        assert infra.wanted
        assert len(ground.inventory("instance")) == 1


async def test_a_failure_that_nobody_heard_of_is_told_to_who_asks_again(ground):
    ground.behave(faults=[{"verb": "create", "kind": "instance", "effect": "refuse", "name": "no"}])
    async with ground.running(holder="one") as one:
        id = await create(one)
        assert (await one.settled(id)).state() == "failed"
    async with ground.running(holder="two") as two:
        assert await create(two) == id, "an asynchronous request was answered with the id"
        with pytest.raises(CloudError, match="Error adding VMs: "):
            await create(two, asynchronous=False)
        assert await two.service.list(two.owner) == []
        assert ground.inventory() == []


@pytest.mark.parametrize("key", [" ", "a b", "é", "a\n", "\x7f", "x" * 256])
async def test_keys_are_of_visible_characters(ground, key):
    async with ground.running() as running:
        with pytest.raises(InvalidRequest, match="1 to 255 visible"):
            await create(running, key)


async def test_the_longest_key(ground):
    async with ground.running() as running:
        assert await create(running, "~" * 255) == await create(running, "~" * 255)
