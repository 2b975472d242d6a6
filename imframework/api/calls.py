"""How long, and how many at a time, requests wait for operations of the service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

from imframework.api.errors import DeadlineExceeded, IMError
from imframework.api.http_settings import HttpSettings
from imframework.api.service import Service

logger = logging.getLogger("imframework.frontends")

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Calls:
    """Calls that share a number of places and a patience.

    A call for which there is no place waits for one. Patience includes that wait. When it ends the client gets its
    answer, and the call goes on, or still begins, without it: what was accepted is done.
    """

    def __init__(self, places: int | None, patience: float) -> None:
        """`places` None means any number; `patience` is in seconds, 0 means without end."""
        self._places: AbstractAsyncContextManager[object] = asyncio.Semaphore(places) if places else nullcontext()
        self._patience = patience
        self._abandoned: set[asyncio.Task[object]] = set()

    async def run(self, call: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `call`.

        Raises:
            DeadlineExceeded: patience ended first.
        """
        if not self._patience:
            async with self._places:
                return await call(*args, **kwargs)

        async def placed() -> R:
            async with self._places:
                return await call(*args, **kwargs)

        task = asyncio.create_task(placed())
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if done:
            return task.result()
        self._abandoned.add(task)
        task.add_done_callback(self._ended)
        raise DeadlineExceeded("Operation timed out")

    def _ended(self, task: asyncio.Task[object]) -> None:
        """An abandoned call ended: nobody is there to be told of its error."""
        self._abandoned.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            expected = isinstance(error, IMError)
            logger.warning(
                "An operation failed after its client was told that it timed out: %s",
                error,
                exc_info=None if expected else error,
            )


@dataclass(frozen=True, slots=True)
class Backend(Generic[S]):
    """What the operations of one front end share.

    `changes` and `deletions` are for calls that wait for their operation: deletions have places of their own, so that
    they are never held up by clouds that do not answer. `unhurried` is for changes that are only written down.
    """

    service: Service
    settings: S
    changes: Calls
    deletions: Calls
    unhurried: Calls

    @classmethod
    def of(cls, service: Service, settings: S, http: HttpSettings) -> Backend[S]:
        """With places as the options say."""
        places, patience = http.blocking_calls, http.blocking_call_timeout
        return cls(service, settings, Calls(places, patience), Calls(places, patience), Calls(None, patience))
