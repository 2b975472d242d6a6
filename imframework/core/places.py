"""Who may begin to work when much is to be done at once: few at a time, and every owner in turn.

What is begun should be finished soon: a thousand infrastructures that advance together are all done late, and meanwhile
they keep those waiting who want an answer. So beginning takes a place. It is held for a moment only, since after that
the work mostly consists of waiting for clouds, and nobody should have to wait for somebody else's cloud.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

#: How many have a place at the same time, and for how many seconds at most.
PLACES = 24
MOMENT = 0.25


class Places:
    """The places, and who waits for one. To be used on the event loop."""

    def __init__(self, count: int = PLACES, moment: float = MOMENT) -> None:
        self._free = count
        self._moment = moment
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._closed = False

    async def take(self, owner: Hashable, who: str) -> Place:
        """Wait for a place; those of one owner get theirs in the order in which they came."""
        if self._free > 0 or self._closed:
            self._free -= 1
        else:
            await self._turn(owner, who)
        return Place(self, self._moment)

    def hurry(self, who: str) -> None:
        """Let somebody begin at once, if he waits."""
        if (turn := self._turns.get(who)) is not None and not turn.done():
            self._free -= 1
            turn.set_result(None)

    def close(self) -> None:
        """Let everybody begin: the service ends."""
        self._closed = True
        while self._waiting:
            self._admit()

    async def _turn(self, owner: Hashable, who: str) -> None:
        turn = self._turns[who] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()
            raise
        finally:
            del self._turns[who]

    def give_back(self) -> None:
        """A place is free: the next owner's turn."""
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and (self._free > 0 or self._closed):
            owner, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[owner] = queue
            if not turn.done():  # neither cancelled nor hurried
                self._free -= 1
                turn.set_result(None)


class Place:
    """A place that somebody has. It goes back by itself after a moment."""

    def __init__(self, places: Places, moment: float) -> None:
        self._places: Places | None = places
        self._timer = asyncio.get_running_loop().call_later(moment, self.leave)

    def leave(self) -> None:
        """Give it back, if that has not been done."""
        places, self._places = self._places, None
        if places is not None:
            self._timer.cancel()
            places.give_back()
