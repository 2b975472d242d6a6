"""Requests and answers of the REST API on their way over Tornado's HTTP connections."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPOutputError

from imframework.api.errors import IMError, InvalidRequest, TooLarge
from imframework.api.http_exchange import PIECE, HttpExchange, response_headers
from imframework_plugins.frontends.rest import dispatcher
from imframework_plugins.frontends.rest.errors import error_response
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import OpenFile, Response
from imframework_plugins.frontends.rest.streaming import Stream

if TYPE_CHECKING:
    from imframework_plugins.frontends.rest.listener import Listener

logger = logging.getLogger("imframework.rest")

_ABSOLUTE_FORM: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)


class Exchange(HttpExchange):
    """See `HttpExchange`."""

    listener: Listener

    def __init__(self, listener: Listener, connection: HTTP1Connection, peer: str) -> None:
        super().__init__(listener, connection, peer)
        self._stream: Stream | None = None

    def end_stream(self) -> None:
        """See `HttpExchange.end_stream`."""
        if self._stream is not None:
            self._stream.end()

    async def answer(self) -> None:
        """See `HttpExchange.answer`."""
        response: Response | None = None
        try:
            response = await dispatcher.answer(self._request())
            if response.pieces is None or self.start_line.method == "HEAD":
                further = None if response.file is None else _pieces(response.file)
                headers = self._head(response, close=self.listener.draining)
                await self.send(response.status, headers, response.body, further)
            else:
                await self._send_stream(response, response.pieces)
            self._log(response)
        except InvalidRequest as error:
            refusal = self._error(error)
            await self.send(refusal.status, self._head(refusal, close=self.listener.draining), refusal.body)
        finally:
            if response is not None and response.file is not None:
                response.file.close()

    def refuse(self, error: TooLarge) -> None:
        """See `HttpExchange.refuse`."""
        response = self._error(error)
        self.write_head(response.status, self._head(response, close=True), response.body)
        self._log(response)

    def _request(self) -> Request:
        method, target, version = self.start_line
        if version != "HTTP/1.0" and "Host" not in self.headers:
            raise InvalidRequest("Missing Host header")
        return Request(
            self.listener.backend,
            method,
            target if target.startswith("/") else _origin_form(target),
            self.headers,
            self.take_body(),
            client=self.client,
            scheme=self.listener.scheme,
            own_address=self.listener.own_address,
        )

    def _error(self, error: IMError) -> Response:
        return error_response(error, self.headers.get("Accept"))

    async def _send_stream(self, response: Response, pieces: AsyncGenerator[bytes]) -> None:
        unframed = self.start_line.version == "HTTP/1.0"  # only the end of the connection says that it is the end
        if unframed:
            self.headers.pop("Connection", None)  # or Tornado would promise to keep it
        headers = self._head(response, close=unframed or self.listener.draining)
        self.write_head(response.status, headers, b"")
        self._stream = Stream(self.connection, self.listener.settings.request_timeout)
        whole = True
        if not self.listener.draining:
            try:
                await self._stream.run(pieces, response.may)
            except IMError as error:
                logger.warning("A stream is cut: %s", error)
                whole = False
        if whole and not unframed and not self.connection.stream.closed():
            self.connection.finish()
        else:
            self.connection.close()

    def _head(self, response: Response, *, close: bool) -> HTTPHeaders:
        if response.status == HTTPStatus.NOT_MODIFIED:
            headers = response_headers("", None, close=close)
        else:
            length = None if response.pieces is not None else response.length
            headers = response_headers(response.content_type, length, close=close)
        for name, value in self.listener.common_headers:
            headers[name] = value
        if response.headers:
            for name, value in response.headers.items():
                headers[name] = value
        return headers

    def _log(self, response: Response) -> None:
        """Changes and errors are worth a line; clients poll, so what only reads is not, unless asked for."""
        method, target, _ = self.start_line
        level = logging.DEBUG if response.status < 400 and method in ("GET", "HEAD", "OPTIONS") else logging.INFO
        if logger.isEnabledFor(level):
            path, elapsed = target.partition("?")[0], (time.perf_counter() - self.began) * 1000
            logger.log(level, "%s %s %s %d %.1f ms", self.client, method, path, response.status, elapsed)


async def _pieces(file: OpenFile) -> AsyncIterator[bytes]:
    """A file in pieces, each read when it is asked for."""
    left = file.size
    while left:
        piece = await asyncio.to_thread(file.read, min(PIECE, left))
        if not piece:
            raise HTTPOutputError("the file has become shorter")
        left -= len(piece)
        yield piece


def _origin_form(target: str) -> str:
    """The path and query of a target in absolute form; any other target as it is."""
    match = _ABSOLUTE_FORM.match(target)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith("/") else f"/{rest}"
