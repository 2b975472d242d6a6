"""One call and its answer on an HTTP connection: bodies within their limit, answers sent at the client's pace."""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
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

from imframework.api.error_table import presentable, status_of
from imframework.api.errors import TooLarge
from imframework.api.http_listener import HttpExchange
from imframework_plugins.frontends.xmlrpc import wire

if TYPE_CHECKING:
    from imframework_plugins.frontends.xmlrpc.listener import Listener

logger = logging.getLogger("imframework.xmlrpc")

PATHS: Final = ("/", "/RPC2")

#: An answer is handed to the connection in pieces of this size, each sent before the next.
PIECE: Final = 256 * 1024
#: So much of a body beyond its limit is read and dropped, so that the client comes to read why it was refused. Closing
#: at once would make its system throw the answer away.
LINGER: Final = 32 * 1024 * 1024
#: Bodies larger than this are read in a thread: they would hold up the other calls.
SMALL: Final = 32 * 1024


class Exchange(HttpExchange):
    """A call being received, then answered. Tornado calls the methods in the order they stand here."""

    def __init__(self, listener: Listener, connection: HTTP1Connection, peer: str) -> None:
        super().__init__(connection, peer)
        self._listener = listener
        self._body: list[bytes] = []
        self._received = 0
        self._limit = listener.settings.max_body_size
        self._task: asyncio.Task[None] | None = None
        self._method = "-"
        self._level = logging.INFO

    def headers_received(self, start_line: object, headers: HTTPHeaders) -> None:
        """The head of the request is there."""
        self._listener.began(self)
        self._start_line = cast(RequestStartLine, start_line)
        self._headers = headers
        self._began = time.perf_counter()
        declared = headers.get("Content-Length", "")
        # Anything else that is not a number is refused by Tornado; one that is too long for it is answered at once, as
        # is a client that asks before it sends.
        if declared.isdecimal() and (len(declared) > 18 or (int(declared) > self._limit and "Expect" in headers)):
            self._write(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large().encode(), close=True)
            self.connection.finish()

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body is there. What was declared is not trusted: what comes is counted."""
        self._received += len(chunk)
        if self._received <= self._limit:
            self._body.append(chunk)
        else:
            self._body.clear()
        if self._received > self._limit + LINGER:
            self.connection.close()

    def finish(self) -> None:
        """The request is complete."""
        self._task = asyncio.create_task(self._answer())

    def on_connection_close(self) -> None:
        """The connection was closed before the request was complete."""
        self._listener.ended(self)

    def abandon(self) -> None:
        """Close the connection without an answer."""
        if self._task is not None:
            self._task.cancel()
        self.connection.close()

    # --- answering -----------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        try:
            status, body = await self._result()
            # A client that has sent too much may be about to send more.
            await self._send(status, body, close=self._received > self._limit or self._listener.draining)
        except (TimeoutError, HTTPOutputError, StreamClosedError):
            # The client does not read its answer, or went away while it was written.
            self.connection.close()
        except BaseException:
            self.connection.close()
            raise
        finally:
            self._listener.ended(self)

    async def _result(self) -> tuple[int, bytes]:
        """Status and body of the answer. Whatever goes wrong becomes an answer too."""
        method, path = self._start_line.method, self._start_line.path.partition("?")[0]
        if path not in PATHS:
            return HTTPStatus.NOT_FOUND, b"Not Found"
        if method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, b"Method Not Allowed"
        if self._received > self._limit:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large().encode()
        try:
            call = await self._call()
            self._method = call.method
            value = await self._listener.dispatcher.answer(call.method, call.parameters, self.peer)
            if call.method.startswith("Get") and value[0]:
                # Clients poll: what only reads is not worth a line, unless asked for.
                self._level = logging.DEBUG
            return HTTPStatus.OK, wire.answer(value)
        except wire.Fault as fault:
            return HTTPStatus.OK, wire.fault(str(fault))
        except Exception as error:  # noqa: BLE001 - a client always gets an answer
            shown = presentable(error, f"XML-RPC call {self._method}")
            return status_of(shown), str(shown).encode()

    async def _call(self) -> wire.Call:
        body, encoding = b"".join(self._body), self._headers.get("Content-Encoding", "").strip().lower()
        self._body.clear()
        if len(body) <= SMALL and not encoding:
            return wire.read_call(body, encoding, self._limit)
        return await asyncio.get_running_loop().run_in_executor(
            self._listener.readers, wire.read_call, body, encoding, self._limit
        )

    def _too_large(self) -> str:
        return str(TooLarge(f"The body is larger than {self._limit} bytes"))

    async def _send(self, status: int, body: bytes, *, close: bool) -> None:
        patience = self._listener.settings.request_timeout
        content = b"" if self._start_line.method == "HEAD" else body
        sent = self._write(status, body, content[:PIECE], close=close)
        for offset in range(PIECE, len(content), PIECE):
            await asyncio.wait_for(sent, patience)
            sent = self.connection.write(content[offset : offset + PIECE])
        self.connection.finish()
        if not sent.done():
            await asyncio.wait_for(sent, patience)

    def _write(self, status: int, body: bytes, beginning: bytes | None = None, *, close: bool) -> asyncio.Future[None]:
        """Send the head of the answer and the beginning of its body, all of it if there is none."""
        headers = HTTPHeaders(
            {
                "Content-Type": "text/xml; charset=utf-8" if status == HTTPStatus.OK else "text/plain; charset=utf-8",
                "Content-Length": str(len(body)),
                "Date": format_timestamp(time.time()),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "POST"
        if close:
            headers["Connection"] = "close"
        elapsed = (time.perf_counter() - self._began) * 1000
        logger.log(self._level, "%s %.80s %d %.1f ms", self.peer, self._method, status, elapsed)
        return self.connection.write_headers(
            ResponseStartLine("HTTP/1.1", status, HTTPStatus(status).phrase),
            headers,
            body if beginning is None else beginning,
        )
