"""Who asks: a credential list, from a header or as items, turned into a caller by the auth providers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from imframework.api.auth import AuthProvider
from imframework.api.errors import Unauthenticated
from imframework.api.model import Credential, Identity
from imframework.api.service import Caller
from imframework.core import credentials as credential_lists
from imframework.core.calls import Bulkheads

#: Longest time in seconds that an auth provider may take over one item.
AUTHENTICATION_TIMEOUT = 30.0
#: Callers remembered by their credential list, so that a poll does not parse and hash it every time.
CALLERS = 2048
#: Longest list in characters that is remembered: others cost memory rather than time.
REMEMBERED = 16 * 1024


@dataclass(slots=True)
class _Known:
    """A credential list that was seen before."""

    items: tuple[Credential, ...]
    identities: tuple[Identity, ...] = ()
    caller: Caller | None = field(default=None)


class Callers:
    """Authenticates, and remembers the lists it has seen; the providers are asked every time."""

    def __init__(
        self,
        providers: Sequence[AuthProvider],
        bulkheads: Bulkheads,
        owner_key: Callable[[Identity], str],
        *,
        only_tokens: bool = False,
    ) -> None:
        """`owner_key` is what infrastructures of an identity are found by; `only_tokens` refuses passwords."""
        self._providers = providers
        self._bulkheads = bulkheads
        self._owner_key = owner_key
        self._only_tokens = only_tokens
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def authenticate(
        self, credentials: str | Sequence[Mapping[str, str]], address: str = "", front_end: str = ""
    ) -> Caller:
        """See `Service.authenticate`; `front_end` is the name of the one that asks."""
        digest, known = self._recall(credentials)
        identities = []
        items = credential_lists.identities(known.items)
        if not items:
            raise Unauthenticated("No credentials provided for the InfrastructureManager.")
        for item in items:
            identities.append(await self.identify(item))
        if known.caller is None or known.identities != tuple(identities):
            known.identities = tuple(identities)
            keys = frozenset(map(self._owner_key, identities))
            token = next((token for item in items if (token := item.get("token"))), None)
            known.caller = Caller(known.identities, keys, credential_lists.clouds(known.items), address, token)
            self._remember(digest, known)
        if (known.caller.address, known.caller.front_end) != (address, front_end):
            known.caller = replace(known.caller, address=address, front_end=front_end)
        return known.caller

    def _recall(self, credentials: str | Sequence[Mapping[str, str]]) -> tuple[str, _Known]:
        """What is known of a credential list, and what to remember it by (nothing if it is not to be)."""
        if not isinstance(credentials, str):
            return "", _Known(credential_lists.from_items(credentials))
        digest = hashlib.sha256(credentials.encode("utf-8", "surrogatepass")).hexdigest()
        if (known := self._known.get(digest)) is not None:
            self._known.move_to_end(digest)
            return digest, known
        return digest if len(credentials) <= REMEMBERED else "", _Known(credential_lists.parse_header(credentials))

    def _remember(self, digest: str, known: _Known) -> None:
        """Keep a credential list that was accepted."""
        if digest:
            self._known[digest] = known
            if len(self._known) > CALLERS:
                self._known.popitem(last=False)

    async def identify(self, item: Credential) -> Identity:
        """Who one InfrastructureManager item belongs to.

        Raises:
            Unauthenticated: nobody, or nobody acceptable.
        """
        if self._only_tokens and not item.get("token"):
            raise Unauthenticated("No token provided for the InfrastructureManager.")
        for provider in self._providers:
            if provider.blocking:
                pool = self._bulkheads.pool(provider.info.name, "")
                identity = await pool.call(partial(provider.authenticate, item), AUTHENTICATION_TIMEOUT)
            else:
                identity = provider.authenticate(item)
            if identity is not None:
                return identity
        raise Unauthenticated("Invalid InfrastructureManager credentials")
