"""One request and its answer on an HTTP connection: bodies within their limit, answers sent at the client's pace.

It stands directly on Tornado's connections: `tornado.web` would do per request what is not needed here (cookies,
templates, an ETag over every body) and cost as much as all the rest.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator
from functools import lru_cache
from http import HTTPStatus
from http.client import responses as REASONS
from typing import TYPE_CHECKING, Final, cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.iostream import StreamClosedError

from imframework.api.errors import IMError, InvalidRequest, TooLarge
from imframework.api.http_listener import HttpExchange
from imframework_plugins.frontends.rest import dispatcher
from imframework_plugins.frontends.rest.errors import error_response
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import OpenFile, Response
from imframework_plugins.frontends.rest.streaming import Stream

if TYPE_CHECKING:
    from imframework_plugins.frontends.rest.listener import Listener

logger = logging.getLogger("imframework.rest")

#: An answer is handed to the connection in pieces of this size, each sent before the next.
PIECE: Final = 256 * 1024
#: So much of a body beyond its limit is read and dropped, so that the client comes to read why it was refused. Closing
#: at once would make its system throw the answer away.
LINGER: Final = 32 * 1024 * 1024

_ABSOLUTE_FORM: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)


class Exchange(HttpExchange):
    """A request being received, then answered. Tornado calls the methods in the order they stand here."""

    def __init__(self, listener: Listener, connection: HTTP1Connection, peer: str) -> None:
        super().__init__(connection, peer)
        self._listener = listener
        self._body: list[bytes] = []
        self._received = 0
        self._refused = False
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None

    def headers_received(self, start_line: object, headers: HTTPHeaders) -> None:
        """The head of the request is there."""
        self._listener.began(self)
        self._start_line = cast(RequestStartLine, start_line)
        self._headers = headers
        self._began = time.perf_counter()
        if "Content-Length" in headers:
            declared = headers["Content-Length"]
            # Anything else that is not a number is refused by Tornado.
            if declared.isdecimal():
                measurable = len(declared) <= 18
                if not measurable or int(declared) > self._listener.settings.max_body_size:
                    # Tornado would add an answer of its own to a number that it cannot take for a length.
                    self._refuse_body(at_once=not measurable)

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body is there. What was declared is not trusted: what comes is counted."""
        self._received += len(chunk)
        limit = self._listener.settings.max_body_size
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
            self._listener.ended(self)
        else:
            self._task = asyncio.create_task(self._answer())

    def on_connection_close(self) -> None:
        """The connection was closed before the request was complete."""
        self._listener.ended(self)

    def end_stream(self) -> None:
        """If the answer is one that goes on: let it end."""
        if self._stream is not None:
            self._stream.end()

    def abandon(self) -> None:
        """Close the connection without an answer."""
        if self._task is not None:
            self._task.cancel()
        self.connection.close()

    # --- answering -----------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        response: Response | None = None
        try:
            response = await dispatcher.answer(self._request())
            if response.pieces is None or self._start_line.method == "HEAD":
                await self._send(response)
            else:
                await self._send_stream(response, response.pieces)
            self._log(response)
        except InvalidRequest as error:
            await self._send(self._error(error))
        except (TimeoutError, HTTPOutputError, StreamClosedError):
            # The client does not read its answer, or went away while it was written.
            self.connection.close()
        except BaseException:
            self.connection.close()
            raise
        finally:
            if response is not None and response.file is not None:
                response.file.close()
            self._listener.ended(self)

    def _request(self) -> Request:
        method, target, version = self._start_line
        if version != "HTTP/1.0" and "Host" not in self._headers:
            raise InvalidRequest("Missing Host header")
        return Request(
            self._listener.backend,
            method,
            target if target.startswith("/") else _origin_form(target),
            self._headers,
            b"".join(self._body),
            peer=self.peer,
            scheme=self._listener.scheme,
            own_address=self._listener.own_address,
        )

    def _error(self, error: IMError) -> Response:
        return error_response(error, self._headers.get("Accept"))

    def _refuse_body(self, *, at_once: bool = False) -> None:
        self._refused = True
        self._body.clear()
        limit = self._listener.settings.max_body_size
        response = self._error(TooLarge(f"The body is larger than {limit} bytes"))
        self._write_head(response, response.body, close=True)
        self._log(response)
        if at_once or "Expect" in self._headers:
            # With Expect the client has not begun to send: there is nothing to wait for.
            self.connection.finish()

    async def _send(self, response: Response) -> None:
        patience = self._listener.settings.request_timeout
        body = b"" if self._start_line.method == "HEAD" else response.body
        sent = self._write_head(response, body[:PIECE], close=self._listener.draining)
        for offset in range(PIECE, len(body), PIECE):
            await asyncio.wait_for(sent, patience)
            sent = self.connection.write(body[offset : offset + PIECE])
        if response.file is not None and self._start_line.method != "HEAD":
            sent = await self._send_file(response.file, sent)
        self.connection.finish()
        if not sent.done():
            await asyncio.wait_for(sent, patience)

    async def _send_file(self, file: OpenFile, sent: asyncio.Future[None]) -> asyncio.Future[None]:
        """Send a file in pieces, each read when the one before is sent."""
        left = file.size
        while left:
            await asyncio.wait_for(sent, self._listener.settings.request_timeout)
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            if not piece:
                raise HTTPOutputError("the file has become shorter")
            sent = self.connection.write(piece)
            left -= len(piece)
        return sent

    async def _send_stream(self, response: Response, pieces: AsyncGenerator[bytes]) -> None:
        unframed = self._start_line.version == "HTTP/1.0"  # only the end of the connection says that it is the end
        if unframed:
            self._headers.pop("Connection", None)  # or Tornado would promise to keep it
        self._write_head(response, b"", close=unframed or self._listener.draining)
        self._stream = Stream(self.connection, self._listener.settings.request_timeout)
        whole = True
        if not self._listener.draining:
            try:
                await self._stream.run(pieces, response.may)
            except IMError as error:
                logger.warning("A stream is cut: %s", error)
                whole = False
        if whole and not unframed and not self.connection.stream.closed():
            self.connection.finish()
        else:
            self.connection.close()

    def _write_head(self, response: Response, beginning: bytes, *, close: bool) -> asyncio.Future[None]:
        headers = HTTPHeaders()
        if response.status != HTTPStatus.NOT_MODIFIED:
            headers["Content-Type"] = response.content_type
            if response.pieces is None:
                headers["Content-Length"] = str(len(response.body) if response.file is None else response.file.size)
        headers["Date"] = _date(int(time.time()))
        # Machine information and logs are for the caller alone, and are true only now.
        headers["Cache-Control"] = "no-store"
        headers["X-Content-Type-Options"] = "nosniff"
        for name, value in self._listener.common_headers:
            headers[name] = value
        if response.headers:
            for name, value in response.headers.items():
                headers[name] = value
        if close:
            headers["Connection"] = "close"
        status = int(response.status)
        return self.connection.write_headers(
            ResponseStartLine("HTTP/1.1", status, REASONS.get(status, "Unknown")), headers, beginning
        )

    def _log(self, response: Response) -> None:
        """Changes and errors are worth a line; clients poll, so what only reads is not, unless asked for."""
        method, target, _ = self._start_line
        level = logging.DEBUG if response.status < 400 and method in ("GET", "HEAD", "OPTIONS") else logging.INFO
        if logger.isEnabledFor(level):
            path, elapsed = target.partition("?")[0], (time.perf_counter() - self._began) * 1000
            logger.log(level, "%s %s %s %d %.1f ms", self.peer, method, path, response.status, elapsed)


def _origin_form(target: str) -> str:
    """The path and query of a target in absolute form; any other target as it is."""
    match = _ABSOLUTE_FORM.match(target)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return format_timestamp(second)
