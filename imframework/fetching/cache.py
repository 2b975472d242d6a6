"""Files that were fetched, kept in memory: by URL, equal ones once, the ones used last.

It knows nothing of HTTP but what a server gave to ask again by.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final

#: What an entry costs beside its text and URL, roughly.
_ENTRY_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class Validators:
    """How to ask whether a file has changed: at `url`, where it was found after redirects, with either header."""

    url: str
    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was fetched. Until `fresh_until` (of the monotonic clock) it need not be asked for again."""

    text: str
    fresh_until: float
    validators: Validators | None = None


class Cache:
    """At most `max_bytes` of files, URLs included. Safe for threads."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[Entry, bytes]] = OrderedDict()
        self._texts: dict[bytes, str] = {}
        self._users: Counter[bytes] = Counter()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def get(self, url: str) -> Entry | None:
        """The entry of a URL, fresh or not."""
        with self._lock:
            found = self._entries.get(url)
            if found is None:
                return None
            self._entries.move_to_end(url)
            return found[0]

    def put(self, url: str, entry: Entry) -> Entry:
        """Keep an entry in the place of the former one; those not used for longest make room.

        Returns the entry as it is kept: with the text of an equal file if there is one.
        """
        digest = hashlib.sha256(entry.text.encode()).digest()
        with self._lock:
            self._drop(url)
            text = self._texts.get(digest)
            if text is None:
                text = self._texts[digest] = entry.text
                self._bytes += sys.getsizeof(text)
            self._users[digest] += 1
            kept = Entry(text, entry.fresh_until, entry.validators)
            self._entries[url] = kept, digest
            self._bytes += _cost(url)
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))
            return kept

    def forget(self, url: str) -> None:
        """Keep nothing of this URL."""
        with self._lock:
            self._drop(url)

    def _drop(self, url: str) -> None:
        found = self._entries.pop(url, None)
        if found is None:
            return
        _, digest = found
        self._bytes -= _cost(url)
        self._users[digest] -= 1
        if not self._users[digest]:
            del self._users[digest]
            self._bytes -= sys.getsizeof(self._texts.pop(digest))


def _cost(url: str) -> int:
    return _ENTRY_BYTES + 2 * len(url)  # the URL, and the one after redirects
