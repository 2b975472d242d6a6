"""Who may begin: few at a time, every owner in turn, and nobody waits for another one's cloud."""

from __future__ import annotations

import asyncio

import pytest

from imframework.core.places import Places

LONG = 1000.0


class Crowd:
    """People who come for a place and keep it until they are told to leave."""

    def __init__(self, places):
        self.places = places
        self.begun = []
        self.tasks = {}
        self.changed = asyncio.Event()
        self._ends = {}

    async def come(self, owner, who):
        self._ends[who] = asyncio.Event()
        self.tasks[who] = asyncio.create_task(self._work(owner, who))
        await asyncio.sleep(0)

    async def _work(self, owner, who):
        place = await self.places.take(owner, who)
        self.begun.append(who)
        self.changed.set()
        await self._ends[who].wait()
        place.leave()

    async def leave(self, *people):
        for who in people:
            self._ends[who].set()
            await self.tasks[who]
        await asyncio.sleep(0)


@pytest.fixture
def crowd():
    return Crowd(Places(2, LONG))


async def test_only_so_many_begin_as_there_are_places(crowd):
    for who in "abcd":
        await crowd.come("ana", who)
    assert crowd.begun == ["a", "b"]
    await crowd.leave("a")
    assert crowd.begun == ["a", "b", "c"]
    await crowd.leave("b", "c")
    assert crowd.begun == ["a", "b", "c", "d"]


async def test_an_owner_with_little_to_do_does_not_wait_for_one_with_much(crowd):
    for who in ("ana-1", "ana-2", "ana-3", "ana-4", "ana-5"):
        await crowd.come("ana", who)
    await crowd.come("bob", "bob-1")
    await crowd.leave("ana-1", "ana-2")
    assert crowd.begun == ["ana-1", "ana-2", "ana-3", "bob-1"]


async def test_a_place_is_held_for_a_moment_only():
    crowd = Crowd(Places(1, 0.01))
    await crowd.come("ana", "a")
    await crowd.come("ana", "b")
    crowd.changed.clear()
    await crowd.changed.wait()
    assert crowd.begun == ["a", "b"]
    await crowd.leave("a", "b")
    assert await asyncio.wait_for(crowd.places.take("ana", "c"), 1)


async def test_one_whom_somebody_waits_for_begins_at_once(crowd):
    for who in "abcd":
        await crowd.come("ana", who)
    crowd.places.hurry("d")
    crowd.places.hurry("nobody")
    await asyncio.sleep(0)
    assert crowd.begun == ["a", "b", "d"]
    await crowd.leave("a")
    assert crowd.begun == ["a", "b", "d"], "the place of the one in a hurry is one of the two"
    await crowd.leave("b")
    assert crowd.begun == ["a", "b", "d", "c"]


async def test_one_that_does_not_want_any_more_leaves_its_turn_to_the_next(crowd):
    for who in "abcd":
        await crowd.come("ana", who)
    crowd.tasks["c"].cancel()
    await crowd.leave("a")
    assert crowd.begun == ["a", "b", "d"]


async def test_at_the_end_nobody_waits(crowd):
    for who in "abcd":
        await crowd.come("ana", who)
    crowd.places.close()
    await crowd.come("bob", "e")
    assert crowd.begun == ["a", "b", "c", "d", "e"]
