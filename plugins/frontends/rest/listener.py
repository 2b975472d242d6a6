"""The listener of this front end: what all its exchanges share."""

from __future__ import annotations

import ssl
from typing import Final

from tornado.http1connection import HTTP1Connection

from imframework.api.http_listener import HttpListener
from imframework_plugins.frontends.rest.exchange import Exchange
from imframework_plugins.frontends.rest.request import Backend

#: Largest head of a request in bytes. Credentials (keys, proxies) travel in it.
MAX_HEADER_SIZE: Final = 128 * 1024


class Listener(HttpListener):
    """Accepts connections and makes an `Exchange` for each request on them."""

    def __init__(self, backend: Backend, tls: ssl.SSLContext | None) -> None:
        super().__init__(tls, patience=backend.settings.request_timeout, max_header_size=MAX_HEADER_SIZE)
        self.backend = backend
        self.settings = backend.settings
        self.scheme = "http" if tls is None else "https"
        #: Host and port, as in a URL; set when the port is known.
        self.own_address = ""
        self.common_headers = tuple(_cors(self.settings.cors_origin))

    def exchange(self, connection: HTTP1Connection, peer: str) -> Exchange:
        """See `HttpListener.exchange`."""
        return Exchange(self, connection, peer)


def _cors(origin: str | None) -> list[tuple[str, str]]:
    if origin is None:
        return []
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", "PUT, GET, POST, DELETE, OPTIONS"),
        ("Access-Control-Allow-Headers", "Origin, Accept, Content-Type, Authorization"),
    ]
    return headers if origin == "*" else [*headers, ("Vary", "Origin")]
