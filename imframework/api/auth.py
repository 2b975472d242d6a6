"""Identity. An auth provider says who an InfrastructureManager item of a credential list belongs to.

The grammar of credential lists, ownership and administrators' rights are the core's; a provider only judges one item.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from imframework.api.model import Credential, Identity
from imframework.api.plugin import Plugin


class AuthProvider(Plugin, ABC):
    """Judges items of type InfrastructureManager, and may expand credential lists."""

    synchronous = ("authenticate", "expand")

    def __init__(self, options: Mapping[str, object]) -> None:
        """`options` are this plugin's options of im.cfg, by name, typed."""
        self.options = options

    @property
    def blocking(self) -> bool:
        """Whether `authenticate` may have to wait (for a network, a slow hash); read before each call.

        If not, it is called on the event loop, without a thread hop. A provider that never waits says
        ``blocking = False`` in its class.
        """
        return True

    @abstractmethod
    def authenticate(self, item: Credential) -> Identity | None:
        """Who the item belongs to; None if it is not for this provider to judge.

        Raises:
            imframework.api.errors.Unauthenticated: it is, and the item is refused. The text is for the caller.
        """

    def expand(self, items: Sequence[Credential]) -> Sequence[Credential]:
        """Replace items that stand for others (a Vault reference, a federation); by default nothing."""
        return items
