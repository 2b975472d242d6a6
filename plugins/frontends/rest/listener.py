"""The listener of this front end: what all its exchanges share."""

from __future__ import annotations

import ssl
from typing import Final

from tornado.http1connection import HTTP1Connection

from imframework.api.calls import Backend
from imframework.api.http_listener import HttpListener
from imframework.api.http_settings import HttpSettings
from imframework_plugins.frontends.rest.exchange import Exchange
from imframework_plugins.frontends.rest.settings import Settings

#: Largest head of a request in bytes. Credentials (keys, proxies) travel in it.
MAX_HEADER_SIZE: Final = 128 * 1024


class Listener(HttpListener):
    """Accepts connections and makes an `Exchange` for each request on them."""

    def __init__(self, backend: Backend[Settings], http: HttpSettings, tls: ssl.SSLContext | None) -> None:
        super().__init__(http, tls, max_header_size=MAX_HEADER_SIZE)
        self.backend = backend
        self.common_headers = tuple(_cors(backend.settings.cors_origin))

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
