"""The plugin class: puts the parts together."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from imframework.api.calls import Backend
from imframework.api.http_frontend import HttpFrontEnd
from imframework.api.service import Service
from imframework_plugins.frontends.rest import declaration
from imframework_plugins.frontends.rest.listener import Listener
from imframework_plugins.frontends.rest.settings import Settings


class RestFrontEnd(HttpFrontEnd):
    """The REST API on one address."""

    info = declaration.info
    prefix = "REST"

    def __init__(self, service: Service, options: Mapping[str, object]) -> None:
        """See `FrontEnd`."""
        super().__init__(service, options)
        self._backend = Backend.of(service, Settings.from_options(options), self.http)

    def make_listener(self, tls: ssl.SSLContext | None) -> Listener:
        """See `HttpFrontEnd.make_listener`."""
        return Listener(self._backend, self.http, tls)
