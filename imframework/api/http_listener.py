"""The listening socket of an HTTP front end and its connections: which are idle or busy, and how they come to an end.

It stands directly on Tornado's connections. What happens to one request is for `http_exchange`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from abc import ABC, abstractmethod
from typing import Any

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import HTTPConnection, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.tcpserver import TCPServer

from imframework.api.http_exchange import HttpExchange
from imframework.api.http_settings import HttpSettings, Proxies


class HttpListener(TCPServer, HTTPServerConnectionDelegate, ABC):
    """Accepts connections and makes an exchange for each request on them."""

    def __init__(self, settings: HttpSettings, tls: ssl.SSLContext | None, *, max_header_size: int) -> None:
        """`max_header_size` is the largest head of a request in bytes."""
        super().__init__(ssl_options=tls)
        self.settings = settings
        self.proxies = Proxies(settings.trusted_proxies)
        self.scheme = "http" if tls is None else "https"
        #: Host and port, as in a URL; set when the port is known.
        self.own_address = ""
        #: Whether connections are closed after the answer that is being given on them.
        self.draining = False
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=max_header_size,
            header_timeout=settings.request_timeout,
            body_timeout=settings.request_timeout,
            max_body_size=sys.maxsize,  # exchanges keep the limit, so that they can say so to the client
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
