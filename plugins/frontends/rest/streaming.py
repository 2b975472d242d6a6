"""An answer that goes on: pieces sent as they come, each at the client's pace, until there are no more.

A client that is slow is waited for, and nothing is made for it meanwhile. One that takes nothing at all for as long as
a request may take is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from tornado.http1connection import HTTP1Connection

from imframework.api.errors import Forbidden, IMError, NotFound, Unauthenticated

logger = logging.getLogger("imframework.rest")

#: Seconds without anything sent after which a sign of life is.
KEEP_ALIVE: Final = 15.0
SIGN_OF_LIFE: Final = b": keep-alive\n\n"
#: Seconds between two questions whether the client still may.
RECHECK: Final = 60.0


class Stream:
    """The pieces of one answer on their way to one client. Its head has been written."""

    def __init__(self, connection: HTTP1Connection, patience: float) -> None:
        """`patience` is how long, in seconds, the client may take nothing."""
        self._connection = connection
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._sent: asyncio.Future[None] | None = None
        self._sent_at = self._loop.time()
        self._checked_at = self._sent_at
        self._timer: asyncio.TimerHandle | None = None
        self._check: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self, pieces: AsyncGenerator[bytes], may: Callable[[], Awaitable[object]]) -> None:
        """Send all pieces, until `end` is called, the client goes away, or `may` raises.

        Raises:
            TimeoutError: the client takes nothing.
            IMError: there can be no more pieces, though the client is not at fault.
        """
        self._connection.stream.set_nodelay(True)
        self._connection.set_close_callback(self.end)
        self._timer = self._loop.call_later(KEEP_ALIVE, self._tick, may)
        self._task = asyncio.create_task(self._send_all(pieces))
        try:
            await asyncio.wait({self._task})
        finally:
            self._timer.cancel()
            for task in (self._task, self._check):
                if task is not None:
                    task.cancel()
        if not self._task.cancelled():
            self._task.result()

    def end(self) -> None:
        """Let there be no more pieces."""
        if self._task is not None:
            self._task.cancel()

    async def _send_all(self, pieces: AsyncGenerator[bytes]) -> None:
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    await self._taken()
                    self._write(piece)
                    await self._taken()
            except (Unauthenticated, Forbidden, NotFound) as error:
                logger.info("A stream ends: %s", error)

    def _write(self, piece: bytes) -> None:
        self._sent = self._connection.write(piece)
        self._sent_at = self._loop.time()

    async def _taken(self) -> None:
        """Wait until the client has taken what was sent."""
        if self._sent is not None and not self._sent.done():
            async with asyncio.timeout(self._patience):
                await asyncio.shield(self._sent)

    def _tick(self, may: Callable[[], Awaitable[object]]) -> None:
        now = self._loop.time()
        if self._sent is not None and not self._sent.done():
            if now - self._sent_at >= self._patience:
                self._connection.close()
                self.end()
                return
        elif now - self._sent_at >= KEEP_ALIVE:
            self._write(SIGN_OF_LIFE)
        if now - self._checked_at >= RECHECK and (self._check is None or self._check.done()):
            self._checked_at = now
            self._check = asyncio.create_task(self._ask(may))
        waiting = self._sent is not None and not self._sent.done()
        pause = min(KEEP_ALIVE, self._patience) if waiting else max(0.1, self._sent_at + KEEP_ALIVE - now)
        self._timer = self._loop.call_later(pause, self._tick, may)

    async def _ask(self, may: Callable[[], Awaitable[object]]) -> None:
        try:
            await may()
        except (Unauthenticated, Forbidden) as error:
            logger.info("A stream ends: %s", error)
            self.end()
        except IMError as error:
            logger.warning("Whether a stream may go on is not known: %s", error)
