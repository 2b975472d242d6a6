"""Agents as processes of this host: found by the lock they hold, watched and ended through pidfds.

A process id alone proves nothing: ids are used again, and inside a sandbox they are different ones. The kernel knows
who holds the lock, and by which id we know that process.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import stat
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

_FLOCK = struct.Struct("hhqqi4x")

#: Seconds that killed processes get until they are gone.
PATIENCE = 10.0


class AgentProcess:
    """A running agent, or what a sandbox wraps it in."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None, errors: IO[bytes] | None = None) -> None:
        """`child` if it is one of ours, and the file that it writes its errors to.

        Raises:
            ProcessLookupError: there is no such process.
        """
        self._handle = os.pidfd_open(pid)
        self._child = child
        self._errors = errors

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return bool(select.select([self._handle], [], [], 0)[0])

    async def wait(self, seconds: float) -> None:
        """Until it is gone, or a time has passed."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        handle = os.dup(self._handle)  # several may wait, and a loop knows one reader for each descriptor
        loop.add_reader(handle, _set, ended)
        try:
            async with asyncio.timeout(seconds):
                await ended
        except TimeoutError:
            return
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def close(self) -> str:
        """Let go of it; what it wrote as errors, as far as we know."""
        os.close(self._handle)
        if self._child is not None:
            self._child.poll()
        if self._errors is None:
            return ""
        with self._errors:
            self._errors.seek(0)
            return self._errors.read(4096).decode(errors="replace").strip()


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def agent_of(lock: Path) -> AgentProcess | None:
    """The agent that holds a lock; None if nobody does."""
    while holder := lock_holder(lock):
        try:
            agent = AgentProcess(holder)
        except ProcessLookupError:
            continue
        if lock_holder(lock) == holder:  # so the id was not used again before we had the handle
            return agent
        agent.close()
    return None


def lock_holder(path: Path) -> int:
    """Id of the process that holds a POSIX lock on a file; 0 if nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return 0
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, wanted))
        return 0 if kind == fcntl.F_UNLCK else pid
    finally:
        os.close(file)


def end(find: Callable[[], Iterable[int]]) -> bool:
    """Kill what `find` finds until it finds nothing; False if some do not go within `PATIENCE` seconds. Blocks."""
    until = time.monotonic() + PATIENCE
    while pids := list(find()):
        for pid in pids:
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                try:
                    if pid in find():
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        select.select([handle], [], [], max(0.0, until - time.monotonic()))
                finally:
                    os.close(handle)
        if time.monotonic() >= until:
            return False
    return True
