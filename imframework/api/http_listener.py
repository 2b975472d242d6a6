"""The listening socket of an HTTP front end and its connections: which are idle or busy, and how they come to an end.

It stands directly on Tornado's connections. What a front end does with a request is its `HttpExchange`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from abc import ABC, abstractmethod
from typing import Any

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.tcpserver import TCPServer

#: How many clients may wait for being accepted; for those who make the socket. The system may allow less.
BACKLOG = 1024


class HttpExchange(HTTPMessageDelegate, ABC):
    """One request being received, then answered. Tornado tells it what comes in.

    It says to its listener when it has `began` (with the head of the request) and when it has `ended`. It keeps the
    limit of bodies itself, so that it can say so to the client.
    """

    def __init__(self, connection: HTTP1Connection, peer: str) -> None:
        """`peer` is the address of the client; empty if it has none."""
        self.connection = connection
        self.peer = peer

    @abstractmethod
    def abandon(self) -> None:
        """Close the connection without an answer."""

    def end_stream(self) -> None:
        """The service stops: if the answer is one that goes on, let it end."""


class HttpListener(TCPServer, HTTPServerConnectionDelegate, ABC):
    """Accepts connections and makes an exchange for each request on them."""

    def __init__(self, tls: ssl.SSLContext | None, *, patience: float, max_header_size: int) -> None:
        """`patience` is how many seconds a client may take for the head of a request, and for its body."""
        super().__init__(ssl_options=tls)
        #: Whether connections are closed after the answer that is being given on them.
        self.draining = False
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=max_header_size,
            header_timeout=patience,
            body_timeout=patience,
            max_body_size=sys.maxsize,
        )
        self._exchanges: dict[object, HttpExchange] = {}
        self._busy: set[HttpExchange] = set()
        self._quiet = asyncio.Event()

    @abstractmethod
    def exchange(self, connection: HTTP1Connection, peer: str) -> HttpExchange:
        """What receives and answers the next request on a connection."""

    # --- called by Tornado ---------------------------------------------------------------------------------

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """A client has connected."""
        peer = address[0] if isinstance(address, tuple) else ""
        HTTP1ServerConnection(stream, self._parameters, context=peer).start_serving(self)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HttpExchange:
        """A connection is ready for a request, the first or a further one."""
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - made by `handle_stream`
        exchange = self._exchanges[server_conn] = self.exchange(request_conn, str(request_conn.context))
        if self.draining:
            request_conn.close()
        return exchange

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        self._exchanges.pop(server_conn, None)

    # --- called by exchanges -------------------------------------------------------------------------------

    def began(self, exchange: HttpExchange) -> None:
        """A request has begun to come in."""
        self._busy.add(exchange)

    def ended(self, exchange: HttpExchange) -> None:
        """A request has been answered, or its connection is gone."""
        self._busy.discard(exchange)
        if self.draining and not self._busy:
            self._quiet.set()

    # --- the end -------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Accept nothing more, let what has begun end, and close all connections; at once if cancelled."""
        self.stop()
        self.draining = True
        try:
            for exchange in list(self._exchanges.values()):
                if exchange not in self._busy:
                    exchange.connection.close()
            for exchange in list(self._busy):
                exchange.end_stream()
            if self._busy:
                await self._quiet.wait()
        finally:
            for exchange in {*self._exchanges.values(), *self._busy}:
                exchange.abandon()
