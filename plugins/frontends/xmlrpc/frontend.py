"""The plugin class: puts the parts together."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from imframework.api.calls import Backend
from imframework.api.http_frontend import HttpFrontEnd
from imframework.api.service import Service
from imframework_plugins.frontends.xmlrpc import declaration
from imframework_plugins.frontends.xmlrpc.listener import Listener
from imframework_plugins.frontends.xmlrpc.settings import Settings


class XmlRpcFrontEnd(HttpFrontEnd):
    """The XML-RPC API on one address."""

    info = declaration.info
    prefix = "XMLRCP"

    def __init__(self, service: Service, options: Mapping[str, object]) -> None:
        """See `FrontEnd`."""
        super().__init__(service, options)
        self._backend = Backend.of(service, Settings.from_options(options), self.http)

    def make_listener(self, tls: ssl.SSLContext | None) -> Listener:
        """See `HttpFrontEnd.make_listener`."""
        return Listener(self._backend, self.http, tls)
