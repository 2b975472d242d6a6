"""The time that one fetch has, from the name look-up to the last byte.

Time-outs of sockets are for single operations: a server that sends a byte now and then keeps within them for ever. So
a watchdog cuts the connection when the time is over.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadline:
    """A point in time, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """The seconds left, more than 0. Raises TimeoutError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @contextmanager
    def cutting(self, connection: socket.socket) -> Iterator[None]:
        """Shut the connection down at the deadline, whoever reads from it then: they see its end.

        Raises TimeoutError on the way out if that may have happened: what was read need not be all there was.
        """
        # A handle of our own: the connection may be closed, and its number used again, while the watchdog reaches
        # for it. A plain socket: shutting one down must not touch the state of TLS that another thread is using.
        with socket.socket(fileno=os.dup(connection.fileno())) as handle:
            watchdog = threading.Timer(self.left(), _shut_down, [handle])
            watchdog.name, watchdog.daemon = "fetch-watchdog", True
            watchdog.start()
            try:
                yield
                self.left()
            finally:
                watchdog.cancel()
                watchdog.join()


def _shut_down(handle: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        handle.shutdown(socket.SHUT_RDWR)
