"""Those who follow events are told all of them, in order, once, and only what is stored; slow ones cost nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager

import pytest

from imframework.api.errors import Forbidden
from imframework.core import following
from imframework.core.following import Hub, Interest
from imframework.core.infrastructure import Infrastructure
from imframework.core.repository import Repository
from imframework.testing.memory_storage import MemoryDatabase, MemoryStorage


class CountingStorage(MemoryStorage):
    """Counts what is read."""

    pages = 0
    readings = 0

    def events(self, infrastructure, after, limit):
        self.pages += 1
        return super().events(infrastructure, after, limit)

    def account_events(self, owners, after, limit):
        self.readings += 1
        return super().account_events(owners, after, limit)


@pytest.fixture
def database():
    return MemoryDatabase()


class World:
    """An instance of the service, as far as events go."""

    def __init__(self, repository: Repository, storage: CountingStorage, hub: Hub) -> None:
        self.repository, self.storage, self.hub = repository, storage, hub

    async def infrastructure(self, id: str, owner: str = "ana") -> Infrastructure:
        infra = Infrastructure(id, frozenset({owner}), time.time(), self.repository.new_lease(id))
        await self.repository.create(infra)
        return infra

    async def tell(self, infra: Infrastructure, *numbers: int, type: str = "state") -> None:
        for number in numbers:
            infra.emit(type, n=number)
        await self.repository.save(infra)

    def follow(self, interest: Interest, after: int = 0, check=None):
        async def fine() -> bool:
            return False

        return aclosing(self.hub.follow(interest, after, check or fine))


@asynccontextmanager
async def world(database: MemoryDatabase, holder: str = "one", **options):
    storage = CountingStorage(database=database)
    repository = Repository(storage, holder)
    await repository.open()
    hub = Hub(repository, **options)
    try:
        yield World(repository, storage, hub)
    finally:
        await hub.close()
        await repository.close()


async def numbers(events, count: int) -> list[object]:
    """What the next so many events are about."""
    return [(await asyncio.wait_for(anext(events), 30)).data["n"] for _ in range(count)]


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 60))


def test_what_was_comes_before_what_is_to_come(database):
    async def test():
        async with world(database) as here:
            infra = await here.infrastructure("i")
            await here.tell(infra, *range(5))
            async with here.follow(Interest("i"), after=2) as events:
                assert await numbers(events, 3) == [2, 3, 4]
                later = asyncio.create_task(numbers(events, 3))
                await here.tell(infra, 5, 6)
                await here.tell(infra, 7)
                assert await later == [5, 6, 7]

    run(test())


def test_who_reads_slowly_is_told_everything_all_the_same(database, monkeypatch):
    """The window moves on, pages are dropped: each event is found again by its number."""
    monkeypatch.setattr(following, "WINDOW", 8)
    monkeypatch.setattr(following, "PAGE", 4)
    monkeypatch.setattr(following, "ROOM", 2000)

    async def test():
        async with world(database) as here:
            infra, other = await here.infrastructure("i"), await here.infrastructure("j")
            await here.tell(infra, *range(10))
            async with here.follow(Interest("i")) as slow, here.follow(Interest("i")) as fast:
                expected = []
                for number in range(10, 200, 10):
                    await here.tell(infra, *range(number, number + 10))
                    await here.tell(other, *range(10))
                    expected += range(number - 10, number)
                    assert await numbers(fast, 10) == expected[-10:]
                    assert await numbers(slow, 3) == list(range(len(expected) // 10 * 3 - 3, len(expected) // 10 * 3))
                assert await numbers(slow, 200 - 57) == list(range(57, 200))
                assert await numbers(fast, 10) == list(range(190, 200))

    run(test())


def test_an_account_is_told_of_its_infrastructures_in_one_order(database):
    async def test():
        async with world(database) as here:
            mine, also, theirs = [await here.infrastructure(*each) for each in (("i",), ("j",), ("k", "bob"))]
            await here.tell(mine, 1)
            everyone, ana = Interest(owners=None), Interest(owners=frozenset({"ana", "anna"}))
            async with here.follow(ana) as events, here.follow(everyone) as all_events:
                assert await numbers(events, 1) == [1]
                later = asyncio.create_task(numbers(events, 3))
                for infra, number in ((theirs, 2), (also, 3), (mine, 4), (theirs, 5), (also, 6)):
                    await here.tell(infra, number)
                assert await later == [3, 4, 6]
                assert await numbers(all_events, 6) == [1, 2, 3, 4, 5, 6]

    run(test())


def test_what_another_instance_stores_is_told_too(database):
    async def test():
        async with world(database, poll=0.02) as here, world(database, "two") as there:
            infra = await there.infrastructure("i")
            async with here.follow(Interest("i")) as events:
                later = asyncio.create_task(numbers(events, 2))
                await there.tell(infra, 1)
                await there.tell(infra, 2)
                assert await later == [1, 2]

    run(test())


def test_the_end_of_an_infrastructure_is_the_end_of_its_stream_only(database):
    async def test():
        async with world(database) as here:
            infra, other = await here.infrastructure("i"), await here.infrastructure("j")
            async with here.follow(Interest("i")) as events, here.follow(Interest(owners=frozenset({"ana"}))) as all_of:
                later = asyncio.create_task(numbers(events, 2))
                await here.tell(infra, 1)
                await here.tell(infra, 2, type="deleted")
                assert await later == [1, 2]
                assert await anext(events, None) is None
                await here.tell(other, 3)
                assert await numbers(all_of, 3) == [1, 2, 3]

    run(test())


def test_who_comes_after_the_end_is_told_what_was_and_no_more(database):
    async def test():
        async def over() -> bool:
            return True

        async with world(database) as here:
            infra = await here.infrastructure("i")
            await here.tell(infra, 1)
            await here.tell(infra, 2, type="deleted")
            async with here.follow(Interest("i"), 1, over) as events:
                assert [event.data["n"] async for event in events] == [2]
            async with here.follow(Interest("i"), 2, over) as events:
                assert [event async for event in events] == []

    run(test())


def test_access_is_asked_for_again(database):
    async def test():
        granted = [True]

        async def check() -> bool:
            if not granted[0]:
                raise Forbidden("no more")
            return False

        async with world(database, poll=0.01, recheck=0.05) as here:
            await here.infrastructure("i")
            async with here.follow(Interest("i"), check=check) as events:
                waiting = asyncio.create_task(anext(events))
                granted[0] = False
                with pytest.raises(Forbidden):
                    await waiting

    run(test())


def test_closing_ends_all_who_follow(database):
    async def test():
        async with world(database) as here:
            await here.infrastructure("i")
            async with here.follow(Interest("i")) as events, here.follow(Interest(owners=None)) as others:
                ends = [asyncio.create_task(anext(each, None)) for each in (events, others)]
                await asyncio.sleep(0)
                await here.hub.close()
                assert await asyncio.gather(*ends) == [None, None]

    run(test())


def test_two_thousand_who_follow_the_same_cost_one_reading(database):
    async def test():
        async with world(database) as here:
            infra = await here.infrastructure("i")
            await here.tell(infra, 1)
            streams = [here.hub.follow(Interest("i"), 0, nothing) for _ in range(2000)]
            assert {event.data["n"] for event in await asyncio.gather(*map(anext, streams))} == {1}
            assert here.storage.pages == 1
            waiting = [asyncio.create_task(anext(stream)) for stream in streams]
            await asyncio.sleep(0)
            readings = here.storage.readings
            await here.tell(infra, 2)
            told = await asyncio.gather(*waiting)
            assert {event.data["n"] for event in told} == {2}
            assert len({id(event) for event in told}) == 1, "each has a copy of its own"
            assert here.storage.pages <= 2
            assert here.storage.readings - readings <= 3
            for stream in streams:
                await stream.aclose()

    async def nothing() -> bool:
        return False

    run(test())


def test_nothing_is_read_when_nobody_follows(database, monkeypatch):
    monkeypatch.setattr(following, "IDLE", 0.0)

    async def test():
        async with world(database, poll=0.01) as here:
            infra = await here.infrastructure("i")
            await here.tell(infra, 1)
            assert here.storage.readings == 0
            async with here.follow(Interest("i")) as events:
                assert await numbers(events, 1) == [1]
            reader = here.hub._reader
            await reader  # ends by itself
            await here.tell(infra, *range(2, 9))
            async with here.follow(Interest("i"), 1) as events:  # and begins again
                assert await numbers(events, 7) == list(range(2, 9))

    run(test())
