"""Calls and their answers on their way over Tornado's HTTP connections."""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders

from imframework.api.error_table import presentable, status_of
from imframework.api.errors import TooLarge
from imframework.api.http_exchange import HttpExchange, response_headers
from imframework_plugins.frontends.xmlrpc import wire

if TYPE_CHECKING:
    from imframework_plugins.frontends.xmlrpc.listener import Listener

logger = logging.getLogger("imframework.xmlrpc")

PATHS: Final = ("/", "/RPC2")

#: Bodies larger than this are read in a thread: they would hold up the other calls.
SMALL: Final = 32 * 1024


class Exchange(HttpExchange):
    """See `HttpExchange`."""

    listener: Listener

    def __init__(self, listener: Listener, connection: HTTP1Connection, peer: str) -> None:
        super().__init__(listener, connection, peer)
        self._method = "-"
        self._level = logging.INFO

    async def answer(self) -> None:
        """See `HttpExchange.answer`."""
        status, body = await self._result()
        self._log(status)
        await self.send(status, _headers(status, body, close=self.listener.draining), body)

    def refuse(self, error: TooLarge) -> None:
        """See `HttpExchange.refuse`."""
        status, body = status_of(error), str(error).encode()
        self._log(status)
        self.write_head(status, _headers(status, body, close=True), body)

    async def _result(self) -> tuple[int, bytes]:
        """Status and body of the answer. Whatever goes wrong becomes an answer too."""
        method, path = self.start_line.method, self.start_line.path.partition("?")[0]
        if path not in PATHS:
            return HTTPStatus.NOT_FOUND, b"Not Found"
        if method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, b"Method Not Allowed"
        try:
            call = await self._call()
            self._method = call.method
            value = await self.listener.dispatcher.answer(call.method, call.parameters, self.client)
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
        body, encoding = self.take_body(), self.headers.get("Content-Encoding", "").strip().lower()
        limit = self.listener.settings.max_body_size
        if len(body) <= SMALL and not encoding:
            return wire.read_call(body, encoding, limit)
        return await asyncio.get_running_loop().run_in_executor(
            self.listener.readers, wire.read_call, body, encoding, limit
        )

    def _log(self, status: int) -> None:
        elapsed = (time.perf_counter() - self.began) * 1000
        logger.log(self._level, "%s %.80s %d %.1f ms", self.client, self._method, status, elapsed)


def _headers(status: int, body: bytes, *, close: bool) -> HTTPHeaders:
    content_type = "text/xml; charset=utf-8" if status == HTTPStatus.OK else "text/plain; charset=utf-8"
    headers = response_headers(content_type, len(body), close=close)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = "POST"
    return headers
