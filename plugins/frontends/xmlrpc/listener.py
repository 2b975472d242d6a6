"""The listening socket and its connections: which are idle, which are busy, and how all of them come to an end."""

from __future__ import annotations

import asyncio
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import HTTPConnection, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.tcpserver import TCPServer

from imframework_plugins.frontends.xmlrpc.dispatcher import Dispatcher
from imframework_plugins.frontends.xmlrpc.exchange import Exchange
from imframework_plugins.frontends.xmlrpc.methods import Backend

#: Largest head of a request in bytes.
MAX_HEADER_SIZE: Final = 64 * 1024
#: Threads that read large bodies.
READERS: Final = 2


class Listener(TCPServer, HTTPServerConnectionDelegate):
    """Accepts connections and makes an `Exchange` for each request on them."""

    def __init__(self, backend: Backend, tls: ssl.SSLContext | None) -> None:
        super().__init__(ssl_options=tls)
        self.dispatcher = Dispatcher(backend)
        self.settings = backend.settings
        self.readers = ThreadPoolExecutor(READERS, "xmlrpc-reader")
        #: Whether connections are closed after the answer that is being given on them.
        self.draining = False
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=MAX_HEADER_SIZE,
            header_timeout=self.settings.request_timeout,
            body_timeout=self.settings.request_timeout,
            # The limit is kept by the exchange, which also says so to the client.
            max_body_size=sys.maxsize,
        )
        self._exchanges: dict[object, Exchange] = {}
        self._busy: set[Exchange] = set()
        self._quiet = asyncio.Event()

    # --- called by Tornado ---------------------------------------------------------------------------------

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """A client has connected."""
        peer = address[0] if isinstance(address, tuple) else ""
        HTTP1ServerConnection(stream, self._parameters, context=peer).start_serving(self)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Exchange:
        """A connection is ready for a request, the first or a further one."""
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - made by `handle_stream`
        exchange = self._exchanges[server_conn] = Exchange(self, request_conn, str(request_conn.context))
        if self.draining:
            request_conn.close()
        return exchange

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        self._exchanges.pop(server_conn, None)

    # --- called by exchanges -------------------------------------------------------------------------------

    def began(self, exchange: Exchange) -> None:
        """A request has begun to come in."""
        self._busy.add(exchange)

    def ended(self, exchange: Exchange) -> None:
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
            if self._busy:
                await self._quiet.wait()
        finally:
            for exchange in {*self._exchanges.values(), *self._busy}:
                exchange.abandon()
            self.readers.shutdown(wait=False, cancel_futures=True)
