"""Getting notices to one receiver: in order, each tried a few times, in bounded memory, by a thread of its own.

Delivery is *at least once*: when an answer is lost the notice is sent again, under the same name, by which the
receiver can tell. Notices that the receiver refuses, or cannot take for too long, are given up with a line in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

import stamina
from tornado.httpclient import HTTPClient, HTTPClientError, HTTPRequest

from imframework.api.errors import ConfigurationError
from imframework.api.version import __version__

logger = logging.getLogger("imframework.hooks.webhook")

ATTEMPTS = 5
#: What may wait for one receiver.
MAX_NOTICES = 1000
MAX_BYTES = 4 * 1024 * 1024
#: Answers that a later try may change; all of 500 to 599 belong to them too.
TEMPORARY = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent. `name` is the same whenever it is sent again."""

    name: str
    type: str
    body: bytes


class Undelivered(Exception):
    """The receiver did not take a notice. The text holds no URL."""


class Refused(Undelivered):
    """… and will not take it next time either."""


class Receiver:
    """Sends notices to one URL. `key` signs them, if it is not empty; `timeout` (s) is for one try."""

    def __init__(self, url: str, key: bytes, timeout: float) -> None:
        """Raises `ConfigurationError` if the URL is not a complete http or https URL."""
        self.label = _label(url)
        self._url = url
        self._key = key
        self._timeout = timeout
        self._waiting: deque[Notice] = deque()
        self._bytes = 0
        self._dropped = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, notice: Notice) -> None:
        """Queue a notice; it is dropped, and counted, if too much waits already."""
        with self._changed:
            fits = len(self._waiting) < MAX_NOTICES and self._bytes + len(notice.body) <= MAX_BYTES
            if fits and not self._closing:
                self._waiting.append(notice)
                self._bytes += len(notice.body)
                self._changed.notify()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name=f"webhook-{self.label}", daemon=True)
                    self._thread.start()
                return
            self._dropped += 1
            if self._dropped & (self._dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood must not flood the log
                logger.warning("%s is too slow: %d notices were dropped so far.", self.label, self._dropped)

    def close(self) -> None:
        """Take no more notices, and try those that wait only once more."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        """Wait until all notices are sent or given up, at most `timeout` seconds."""
        if self._thread is None:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("%s was not reached in time: %d notices are given up.", self.label, len(self._waiting) + 1)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                notice = self._waiting.popleft()
                self._bytes -= len(notice.body)
            try:
                self._deliver(notice)
            except Undelivered as error:
                logger.error("%s did not get notice %s: %s", self.label, notice.name, error)
            except Exception:
                logger.exception("%s did not get notice %s.", self.label, notice.name)

    def _deliver(self, notice: Notice) -> None:
        for attempt in stamina.retry_context(
            on=self._may_retry, attempts=ATTEMPTS, timeout=None, wait_initial=1.0, wait_max=30.0, wait_jitter=1.0
        ):
            with attempt:
                self._post(notice)

    def _may_retry(self, error: Exception) -> bool:
        return isinstance(error, Undelivered) and not isinstance(error, Refused) and not self._closing

    def _post(self, notice: Notice) -> None:
        """One try. Raises `Undelivered` unless the receiver answers that it has taken the notice (2xx)."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"imframework/{__version__}",
            "X-IM-Event": notice.type,
            "X-IM-Delivery": notice.name,
        }
        if self._key:
            headers["X-IM-Signature"] = "sha256=" + hmac.new(self._key, notice.body, hashlib.sha256).hexdigest()
        request = HTTPRequest(
            self._url,
            method="POST",
            body=notice.body,
            headers=headers,
            connect_timeout=self._timeout,
            request_timeout=self._timeout,
            follow_redirects=False,
            streaming_callback=_discard,
        )
        client = HTTPClient()
        try:
            status = client.fetch(request, raise_error=False).code
        except (HTTPClientError, OSError) as error:
            raise Undelivered(_cause(error)) from None
        finally:
            client.close()
        if 200 <= status < 300:
            return
        if status in TEMPORARY or 500 <= status < 600:
            raise Undelivered(f"it answered {status}")
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        raise Refused(f"it answered {status}{hint}")


def _label(url: str) -> str:
    """What the log calls a receiver: the URL without login, path and query, which may be secrets."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError("WEBHOOK_URLS must hold complete http or https URLs, and one entry is none.")
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _cause(error: Exception) -> str:
    """What went wrong below HTTP, in words that hold no part of the URL."""
    if isinstance(error, HTTPClientError):
        return error.message.lower() or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__


def _discard(chunk: bytes) -> None:
    """The body of an answer is not kept."""
