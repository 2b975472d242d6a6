"""One request and its answer on an HTTP connection: a body within its limit, an answer at the client's pace.

It stands directly on Tornado's connections: `tornado.web` would do per request what is not needed here (cookies,
templates, an ETag over every body) and cost as much as all the rest. What a front end answers is its own matter.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from functools import lru_cache
from http.client import responses as REASONS
from typing import TYPE_CHECKING, Final, cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.iostream import StreamClosedError

from imframework.api.errors import TooLarge

if TYPE_CHECKING:
    from imframework.api.http_listener import HttpListener

#: An answer is handed to the connection in pieces of this size, each sent before the next.
PIECE: Final = 256 * 1024
#: So much of a body beyond its limit is read and dropped, so that the client comes to read why it was refused. Closing
#: at once would make its system throw the answer away.
LINGER: Final = 32 * 1024 * 1024


class HttpExchange(HTTPMessageDelegate, ABC):
    """A request being received, then answered. Tornado calls the methods in the order they stand here."""

    start_line: RequestStartLine
    headers: HTTPHeaders
    #: When the head of the request was there, by `time.perf_counter`.
    began: float

    def __init__(self, listener: HttpListener, connection: HTTP1Connection, peer: str) -> None:
        """`peer` is the address of the other end; empty if it has none."""
        self.listener = listener
        self.connection = connection
        #: Address of the client: that of the other end, or what a trusted proxy there tells.
        self.client = peer
        self._body: list[bytes] = []
        self._received = 0
        self._refused = False
        self._task: asyncio.Task[None] | None = None

    # --- called by Tornado ---------------------------------------------------------------------------------

    def headers_received(self, start_line: object, headers: HTTPHeaders) -> None:
        """The head of the request is there."""
        self.listener.began(self)
        self.start_line = cast(RequestStartLine, start_line)
        self.headers = headers
        self.began = time.perf_counter()
        if "X-Forwarded-For" in headers:
            self.client = self.listener.proxies.client(self.client, headers["X-Forwarded-For"])
        if "Content-Length" in headers:
            declared = headers["Content-Length"]
            # Anything else that is not a number is refused by Tornado.
            if declared.isdecimal():
                measurable = len(declared) <= 18
                if not measurable or int(declared) > self.listener.settings.max_body_size:
                    # Tornado would add an answer of its own to a number that it cannot take for a length.
                    self._refuse_body(at_once=not measurable)

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body is there. What was declared is not trusted: what comes is counted."""
        self._received += len(chunk)
        limit = self.listener.settings.max_body_size
        if self._refused:
            if self._received > limit + LINGER:
                self.connection.close()
        elif self._received > limit:
            self._refuse_body()
        else:
            self._body.append(chunk)

    def finish(self) -> None:
        """The request is complete."""
        if self._refused:
            self.connection.close()
            self.listener.ended(self)
        else:
            self._task = asyncio.create_task(self._run())

    def on_connection_close(self) -> None:
        """The connection was closed before the request was complete."""
        self.listener.ended(self)

    # --- called by the listener ----------------------------------------------------------------------------

    def end_stream(self) -> None:
        """The service stops: if the answer is one that goes on, let it end."""

    def abandon(self) -> None:
        """Close the connection without an answer."""
        if self._task is not None:
            self._task.cancel()
        self.connection.close()

    # --- answering -----------------------------------------------------------------------------------------

    @abstractmethod
    async def answer(self) -> None:
        """Answer the request, which is complete.

        What a client that is slow or gone raises is for the caller.
        """

    @abstractmethod
    def refuse(self, error: TooLarge) -> None:
        """Write, by `write_head`, the whole answer to a request whose body is too large. It is the last one."""

    def take_body(self) -> bytes:
        """The body of the request. It is not kept."""
        body = b"".join(self._body)
        self._body.clear()
        return body

    async def send(
        self, status: int, headers: HTTPHeaders, body: bytes, further: AsyncIterator[bytes] | None = None
    ) -> None:
        """Send an answer: `body` and then `further` pieces, each made when the client has taken the one before."""
        if self.start_line.method == "HEAD":
            body, further = b"", None
        patience = self.listener.settings.request_timeout
        sent = self.write_head(status, headers, body[:PIECE])
        for offset in range(PIECE, len(body), PIECE):
            await asyncio.wait_for(sent, patience)
            sent = self.connection.write(body[offset : offset + PIECE])
        if further is not None:
            async for piece in further:
                await asyncio.wait_for(sent, patience)
                sent = self.connection.write(piece)
        self.connection.finish()
        if not sent.done():
            await asyncio.wait_for(sent, patience)

    def write_head(self, status: int, headers: HTTPHeaders, beginning: bytes) -> asyncio.Future[None]:
        """Hand the head of an answer and the beginning of its body to the connection."""
        return self.connection.write_headers(
            ResponseStartLine("HTTP/1.1", status, REASONS.get(status, "Unknown")), headers, beginning
        )

    async def _run(self) -> None:
        try:
            await self.answer()
        except (TimeoutError, HTTPOutputError, StreamClosedError):
            # The client does not read its answer, or went away while it was written.
            self.connection.close()
        except BaseException:
            self.connection.close()
            raise
        finally:
            self.listener.ended(self)

    def _refuse_body(self, *, at_once: bool = False) -> None:
        self._refused = True
        self._body.clear()
        self.refuse(TooLarge(f"The body is larger than {self.listener.settings.max_body_size} bytes"))
        if at_once or "Expect" in self.headers:
            # With Expect the client has not begun to send: there is nothing to wait for.
            self.connection.finish()


def response_headers(content_type: str, length: int | None, *, close: bool) -> HTTPHeaders:
    """The headers that every answer has; `length` is that of its body, None if that is not known."""
    headers = HTTPHeaders()
    if content_type:
        headers["Content-Type"] = content_type
    if length is not None:
        headers["Content-Length"] = str(length)
    headers["Date"] = _date(int(time.time()))
    # Machine information and logs are for the caller alone, and are true only now.
    headers["Cache-Control"] = "no-store"
    headers["X-Content-Type-Options"] = "nosniff"
    if close:
        headers["Connection"] = "close"
    return headers


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return format_timestamp(second)
