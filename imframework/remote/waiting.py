"""Waiting until a machine lets us in."""

from __future__ import annotations

import asyncio
import random
import time

from imframework.api.model import Access
from imframework.remote.connection import AuthenticationFailed, HostKeyMismatch, Unreachable, connect

#: Texts that users see.
TIMEOUT = "Timeout waiting SSH access."
REFUSED = "Error connecting with ip: {address} incorrect credentials."

#: Log-ins refused after which it is no longer taken for a machine that is still being set up.
MAX_REFUSALS = 3

#: Seconds for one attempt, and the first and the longest pause between two.
ATTEMPT, FIRST_PAUSE, LONGEST_PAUSE = 30.0, 0.1, 1.0

WINRM_PORT = 5986


async def reachable(access: Access, timeout: float) -> str:
    """Wait until a machine accepts our log-in; an empty text, or why it did not within `timeout` seconds.

    Three refused log-ins, or another host key than the pinned one, end the waiting. Windows machines need only listen.
    """
    until = time.monotonic() + timeout
    refusals, pause = 0, FIRST_PAUSE
    windows = "windows" in access.operating_system.lower()
    while (left := until - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(min(left, ATTEMPT)):
                if await _listens(access, WINRM_PORT if windows else access.port, greets=not windows):
                    if windows:
                        return ""
                    connection = await connect(access, min(left, ATTEMPT))
                    await connection.close()
                    return ""
        except AuthenticationFailed:
            refusals += 1
            if refusals == MAX_REFUSALS:
                return REFUSED.format(address=access.address)
        except HostKeyMismatch as error:
            return str(error)
        except (Unreachable, TimeoutError):
            pass
        # Nobody tells us when a machine comes up, and many may be waited for at the same time.
        await asyncio.sleep(min(pause * random.uniform(0.5, 1), max(0.0, until - time.monotonic())))  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE)
    return TIMEOUT


async def _listens(access: Access, port: int, *, greets: bool) -> bool:
    """Whether there is a server, asked without a thread: most of the waiting is for machines that do not boot yet."""
    try:
        reader, writer = await asyncio.open_connection(access.address, port)
    except OSError:
        return False
    try:
        return not greets or bool(await reader.read(1))
    except OSError:
        return False
    finally:
        writer.close()
