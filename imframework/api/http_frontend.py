"""A front end that is an HTTP server: it listens as its options say, and drains its connections when it stops."""

from __future__ import annotations

import ssl
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from tornado.netutil import bind_sockets

from imframework.api.errors import ConfigurationError
from imframework.api.frontend import FrontEnd
from imframework.api.http_listener import HttpListener
from imframework.api.http_settings import HttpSettings
from imframework.api.service import Service
from imframework.api.tls import ServerTls

#: How many clients may wait for being accepted. The system may allow less.
BACKLOG: Final = 1024


class HttpFrontEnd(FrontEnd):
    """One API over HTTP on one address."""

    #: What the options of its listener begin with (``REST``).
    prefix: ClassVar[str]

    def __init__(self, service: Service, options: Mapping[str, object]) -> None:
        """See `FrontEnd`."""
        super().__init__(service, options)
        self.http = HttpSettings.from_options(self.prefix, options)
        self._listener: HttpListener | None = None
        self._port = self.http.port

    @abstractmethod
    def make_listener(self, tls: ssl.SSLContext | None) -> HttpListener:
        """What accepts its connections."""

    async def start(self) -> None:
        """See `FrontEnd.start`."""
        http = self.http
        tls = ServerTls(http.prefix, http.certificate_file, http.key_file, http.authorities_file) if http.tls else None
        try:
            sockets = bind_sockets(http.port, http.listen_address, backlog=BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"{http.prefix}_ADDRESS = {http.listen_address}, {http.prefix}_PORT = {http.port}: cannot listen: "
                f"{error.strerror or error}"
            ) from None
        self._port = sockets[0].getsockname()[1]
        listener = self.make_listener(tls)
        listener.own_address = self._authority
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
        return f"{'https' if self.http.tls else 'http'}://{self._authority}"

    @property
    def _authority(self) -> str:
        host = self.http.listen_address
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
