"""Front ends: what answers clients. They are asynchronous and run on the Tornado loop of the host.

A front end translates between a wire protocol and the façade in `imframework.api.service`; it never touches
storage or a connector, and holds no state that the service does not have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from imframework.api.plugin import Plugin
from imframework.api.service import Service


class FrontEnd(Plugin, ABC):
    """One API on one address."""

    def __init__(self, service: Service, options: Mapping[str, object]) -> None:
        """`options` are this plugin's options of im.cfg, by name, typed."""
        self.service = service
        self.options = options

    @abstractmethod
    async def start(self) -> None:
        """Listen. Returns when connections are accepted.

        Raises:
            imframework.api.errors.ConfigurationError: the address is taken, or a file cannot be read.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening, let the requests in progress end, and return."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The URL at which it listens, with the real port once started."""
