"""From host names to addresses, in bounded time.

Names are looked up here, once for each request, and the connection is made to an address found here: nobody can answer
the check with one address and the connection with another.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from imframework.fetching.addresses import Address, parsed
from imframework.fetching.deadline import Deadline
from imframework.fetching.errors import FetchFailed
from imframework.fetching.location import Location

#: Host and port → addresses, those to be tried first in front. Raises OSError if there is none.
Resolver = Callable[[str, int], Sequence[str]]


def system_resolver(host: str, port: int) -> Sequence[str]:
    """What the system makes of a host name (a `Resolver`)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def addresses_of(location: Location, resolver: Resolver, deadline: Deadline) -> list[Address]:
    """The addresses of a host, each once. Raises FetchFailed; TimeoutError when the time is over."""
    answer: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(resolver(location.host, location.port))
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread
            answer.set_exception(error)

    # The system's resolver takes no time limit. A thread that is not waited for any more ends when it gives up.
    threading.Thread(target=look_up, name="fetch-resolver", daemon=True).start()
    try:
        texts = answer.result(deadline.left())
    except TimeoutError:
        raise
    except (OSError, UnicodeError):
        raise FetchFailed("its host name cannot be resolved", location) from None
    try:
        addresses = list(dict.fromkeys(parsed(text) for text in texts))
    except ValueError:
        raise FetchFailed("its host name has an address of an unknown kind", location) from None
    if not addresses:
        raise FetchFailed("its host name has no address", location)
    return addresses
