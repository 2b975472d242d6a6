"""How often somebody may ask: by address before anything is looked at, by user when it is known who asks, and how often
an address may fail to log in.

The windows move. They are counted in this process alone: of several replicas, each has its own. What is remembered is
bounded: of too many addresses and users, those who have not asked for longest are forgotten.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from imframework.api.errors import TooManyRequests

if TYPE_CHECKING:
    from limits import RateLimitItem

#: Windows that are remembered, of all limits together, and requests in all of them.
WINDOWS: Final = 20_000
REQUESTS: Final = 500_000
_ADDRESS, _USER, _FAILURES = "address", "user", "failures"


class Windows:
    """Moving windows: when each key was last asked for. To be used from one thread.

    Those of the library would keep every key for ever, and a thread that looks through all of them.
    """

    def __init__(self, windows: int = WINDOWS, requests: int = REQUESTS) -> None:
        """Of more `windows`, and of more `requests` in all of them, those are forgotten that were not used longest."""
        self._most_windows, self._most_requests = windows, requests
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()
        self._requests = 0

    def __len__(self) -> int:
        return len(self._windows)

    def wait(self, item: RateLimitItem, *key: str) -> float:
        """For how many seconds there is no room for a request; 0 if there is."""
        now = time.monotonic()
        window = self._window(item.key_for(*key), now - item.get_expiry())
        return 0.0 if len(window) < item.amount else window[0] + item.get_expiry() - now

    def enter(self, item: RateLimitItem, *key: str) -> None:
        """Note a request."""
        now = time.monotonic()
        name = item.key_for(*key)
        window = self._window(name, now - item.get_expiry())
        window.append(now)
        self._requests += 1
        self._windows[name] = window
        self._windows.move_to_end(name)
        while len(self._windows) > self._most_windows or self._requests > self._most_requests:
            self._requests -= len(self._windows.popitem(last=False)[1])

    def _window(self, key: str, since: float) -> deque[float]:
        window = self._windows.get(key)
        if window is None:
            return deque()
        while window and window[0] <= since:
            window.popleft()
            self._requests -= 1
        return window


class RateLimits:
    """The limits of one service."""

    def __init__(
        self, address: Sequence[RateLimitItem], user: Sequence[RateLimitItem], failures: Sequence[RateLimitItem]
    ) -> None:
        """Limits for each address, for each user, and for log-ins from an address that fail."""
        self._address, self._user, self._failures = address, user, failures
        self._windows = Windows()

    def admit(self, address: str) -> None:
        """Count a request from an address; nothing, if the address is not known.

        Raises:
            TooManyRequests: there were too many of them, or too many that failed.
        """
        if not address:
            return
        network = _network(address)
        self._check(self._failures, "Too many failed log-ins from this address", _FAILURES, network)
        self._enter(self._address, "Too many requests from this address", _ADDRESS, network)

    def failed(self, address: str) -> None:
        """Count a log-in that failed."""
        if address:
            for item in self._failures:
                self._windows.enter(item, _FAILURES, _network(address))

    def count(self, owner_keys: Iterable[str]) -> None:
        """Count a request of a user, by the keys of all their identities.

        Raises:
            TooManyRequests: there were too many of them.
        """
        for key in owner_keys:
            self._enter(self._user, "Too many requests of this user", _USER, key)

    def _enter(self, items: Sequence[RateLimitItem], text: str, *key: str) -> None:
        self._check(items, text, *key)
        for item in items:
            self._windows.enter(item, *key)

    def _check(self, items: Sequence[RateLimitItem], text: str, *key: str) -> None:
        for item in items:
            if wait := self._windows.wait(item, *key):
                raise TooManyRequests(f"{text}. Try again in {math.ceil(wait)} s.", wait)


def rate_limits(address: str, user: str, failures: str) -> RateLimits | None:
    """The limits that options say, each empty for none; None if there are none at all.

    Raises:
        ValueError: not a limit.
    """
    if not (address or user or failures):
        return None
    from limits import parse_many  # which takes a while, and is nothing to services without limits

    return RateLimits(*(parse_many(text) if text else [] for text in (address, user, failures)))


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """What an address is counted as: an IPv6 network has more addresses than anybody could remember."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
