"""The listener of this front end: what all its exchanges share."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tornado.http1connection import HTTP1Connection

from imframework.api.calls import Backend
from imframework.api.http_listener import HttpListener
from imframework.api.http_settings import HttpSettings
from imframework_plugins.frontends.xmlrpc.dispatcher import Dispatcher
from imframework_plugins.frontends.xmlrpc.exchange import Exchange
from imframework_plugins.frontends.xmlrpc.settings import Settings

#: Largest head of a request in bytes.
MAX_HEADER_SIZE: Final = 64 * 1024
#: Threads that read large bodies.
READERS: Final = 2


class Listener(HttpListener):
    """Accepts connections and makes an `Exchange` for each call on them."""

    def __init__(self, backend: Backend[Settings], http: HttpSettings, tls: ssl.SSLContext | None) -> None:
        super().__init__(http, tls, max_header_size=MAX_HEADER_SIZE)
        self.dispatcher = Dispatcher(backend)
        self.readers = ThreadPoolExecutor(READERS, "xmlrpc-reader")

    def exchange(self, connection: HTTP1Connection, peer: str) -> Exchange:
        """See `HttpListener.exchange`."""
        return Exchange(self, connection, peer)

    async def drain(self) -> None:
        """See `HttpListener.drain`."""
        try:
            await super().drain()
        finally:
            self.readers.shutdown(wait=False, cancel_futures=True)
