"""The way in: a URL's text, from the cache while it is current, else downloaded, once for all who ask meanwhile."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from imframework.fetching.cache import Cache, Entry
from imframework.fetching.deadline import Deadline
from imframework.fetching.download import Downloader
from imframework.fetching.errors import FetchFailed
from imframework.fetching.limits import Limits
from imframework.fetching.location import Location
from imframework.fetching.names import Resolver, system_resolver
from imframework.fetching.policy import Policy


class Fetcher:
    """Fetches texts by URL. Calls block (in a worker thread, that is), for no longer than `Limits.timeout`.

    One serves the whole process, and many threads. Failures are not kept: the next call tries again.
    `context` decides which certificates are accepted, by default those that the system trusts.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        limits: Limits | None = None,
        *,
        cache: Cache | None = None,
        resolver: Resolver = system_resolver,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self._policy = policy or Policy()
        self._downloader = Downloader(self._policy, self.limits, resolver, context or ssl.create_default_context())
        self._cache = cache or Cache()
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[str, Future[str]] = {}

    def __call__(self, url: str) -> str:
        """The text at `url`. Raises FetchError, whose text may be shown to whoever gave the URL."""
        location = Location.parse(url)
        self._policy.check_location(location)
        with self._lock:
            entry = self._cache.get(location.url)
            if entry is not None and self._clock() < entry.fresh_until:
                return entry.text
            flight = self._flights.get(location.url)
            if flight is None:
                own = self._flights[location.url] = Future()
        if flight is not None:
            return flight.result()  # in bounded time, since whoever flies it is bounded
        try:
            text = self._fetched(location, entry)
        except BaseException as error:
            self._land(location)
            own.set_exception(error)
            raise
        self._land(location)
        own.set_result(text)
        return text

    def for_document(self) -> DocumentFetch:
        """A fetch for one document, which bounds what all its URLs together may cost."""
        return DocumentFetch(self, self.limits)

    def _fetched(self, location: Location, entry: Entry | None) -> str:
        """The text, downloaded unless the server says that the one of `entry` has not changed."""
        download = self._downloader.download(location, entry)
        if not download.storable or not (download.fresh_for or download.validators):
            self._cache.forget(location.url)
            return download.text
        fresh_until = self._clock() + download.fresh_for
        return self._cache.put(location.url, Entry(download.text, fresh_until, download.validators)).text

    def _land(self, location: Location) -> None:
        with self._lock:
            del self._flights[location.url]


class DocumentFetch:
    """Fetches for one document, from one thread, until its share of time, files or characters is used up."""

    def __init__(self, fetch: Callable[[str], str], limits: Limits) -> None:
        self._fetch = fetch
        self._limits = limits
        self._deadline: Deadline | None = None
        self._files = 0
        self._characters = 0

    def __call__(self, url: str) -> str:
        """The text at `url`. Raises FetchError."""
        if self._deadline is None:
            self._deadline = Deadline(self._limits.document_time)
        if self._deadline.passed:
            raise FetchFailed(f"the files of this document took more than {self._limits.document_time:g} s")
        self._files += 1
        if self._files > self._limits.document_files:
            raise FetchFailed(f"this document refers to more than {self._limits.document_files} files")
        text = self._fetch(url)
        self._characters += len(text)
        if self._characters > self._limits.document_characters:
            raise FetchFailed(
                f"the files of this document have more than {self._limits.document_characters} characters"
            )
        return text
