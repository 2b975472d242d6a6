"""The plugin class: puts the parts together, starts to listen and stops."""

from __future__ import annotations

from collections.abc import Mapping

from tornado.netutil import bind_sockets

from imframework.api.calls import Calls
from imframework.api.errors import ConfigurationError
from imframework.api.frontend import FrontEnd
from imframework.api.http_listener import BACKLOG
from imframework.api.service import Service
from imframework.api.tls import ServerTls
from imframework_plugins.frontends.xmlrpc import declaration
from imframework_plugins.frontends.xmlrpc.listener import Listener
from imframework_plugins.frontends.xmlrpc.methods import Backend
from imframework_plugins.frontends.xmlrpc.settings import Settings


class XmlRpcFrontEnd(FrontEnd):
    """The XML-RPC API on one address."""

    info = declaration.info

    def __init__(self, service: Service, options: Mapping[str, object]) -> None:
        """See `FrontEnd`."""
        super().__init__(service, options)
        self._settings = Settings.from_options(options)
        self._listener: Listener | None = None
        self._port = self._settings.port

    async def start(self) -> None:
        """See `FrontEnd.start`."""
        settings = self._settings
        tls = (
            ServerTls("XMLRCP", settings.certificate_file, settings.key_file, settings.authorities_file)
            if settings.tls
            else None
        )
        try:
            sockets = bind_sockets(settings.port, settings.listen_address, backlog=BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(
                f"XMLRCP_ADDRESS = {settings.listen_address}, XMLRCP_PORT = {settings.port}: cannot listen: {reason}"
            ) from None
        self._port = sockets[0].getsockname()[1]
        places, patience = settings.blocking_calls, settings.blocking_call_timeout
        backend = Backend(
            self.service,
            settings,
            changes=Calls(places, patience),
            deletions=Calls(places, patience),
            unhurried=Calls(None, patience),
        )
        listener = Listener(backend, tls)
        listener.add_sockets(sockets)
        self._listener = listener

    async def stop(self) -> None:
        """See `FrontEnd.stop`. When cancelled, it closes what is still open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.drain()

    @property
    def address(self) -> str:
        """See `FrontEnd.address`."""
        return f"{'https' if self._settings.tls else 'http'}://{self._authority}"

    @property
    def _authority(self) -> str:
        host = self._settings.listen_address
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
