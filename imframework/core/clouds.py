"""The clouds of the callers, as the engine uses them: connectors found by type, called in their pools, in time.

Faults of a connector (anything it raises that is not an `IMError`) become a `CloudError` here, with an id for the
log, so that no plugin can crash the engine or leak a backtrace to a user.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from imframework.api.connector import Connector
from imframework.api.errors import CloudError, CloudUnavailable, IMError, OutcomeUnknown, PluginUnavailable
from imframework.api.model import (
    Action,
    Candidate,
    Capability,
    Credential,
    Deployment,
    Features,
    Handle,
    Image,
    Kind,
    Observation,
    Phase,
    Quota,
    Refusal,
    Resource,
)
from imframework.api.redaction import MASK, redact
from imframework.core import answers
from imframework.core.calls import Bulkheads, CallPool
from imframework.core.credentials import clouds as cloud_items

logger = logging.getLogger("imframework.clouds")

_SECRET_KEY = re.compile(r"pass|secret|token|key|proxy", re.IGNORECASE)
#: Shorter values are not looked for in texts: they would be found everywhere.
SHORTEST_SECRET = 4
T = TypeVar("T")


class ConnectorSource(Protocol):
    """Where connector classes come from."""

    def connector(self, type_name: str) -> tuple[type[Connector], Mapping[str, object]]:
        """The class for a credential type and the plugin's options.

        Raises:
            PluginUnavailable: there is none, or it cannot be used; the message says why.
        """


class Account:
    """One credential of one cloud, with asynchronous versions of the connector's methods."""

    def __init__(self, connector: Connector, pool: CallPool, timeout: float) -> None:
        self.connector = connector
        self.id = connector.credential.id
        self.type = connector.info.title or connector.info.name
        self._pool = pool
        self._timeout = timeout
        self._secrets = _secrets(type(connector), connector.credential)

    @property
    def server(self) -> str:
        """Host name of the cloud, if it has one."""
        host = self.connector.credential.get("host")
        return host.split("://")[-1].split("/")[0].rsplit(":", 1)[0] if host else ""

    def kind(self, name: str) -> Kind:
        """How the connector handles a kind of resource."""
        try:
            return self.connector.kinds[name]
        except KeyError:
            raise CloudError(f"{self.type} no longer handles resources of kind '{name}'.") from None

    async def _call(
        self,
        verb: str,
        function: Callable[[], T],
        *,
        urgent: bool = False,
        effect: bool = False,
        late: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> T:
        try:
            return await self._pool.call(function, self._timeout, urgent=urgent, late=late)
        except IMError as error:
            error.message = _clean(str(error), self._secrets)
            if isinstance(error, OutcomeUnknown) and not effect:
                raise CloudUnavailable(error.message) from None
            raise
        except Exception as error:  # noqa: BLE001 - whatever a plugin does wrong
            incident = _report(f"connector {self.type} failed in {verb}", error, self._secrets)
            text = f"The {self.type} connector failed in '{verb}' ({type(error).__name__}, see log {incident})."
            # A fault in the middle of a call with an effect proves nothing about that effect.
            raise (OutcomeUnknown(text) if effect else CloudError(text)) from None

    async def capabilities(self) -> Sequence[Capability]:
        """See `Connector.capabilities`."""
        return await self._call("capabilities", self.connector.capabilities)

    async def candidates(self, system: Features) -> Sequence[Candidate | Refusal]:
        """See `Connector.candidates`."""
        return await self._call(
            "candidates", lambda: answers.several(self.connector.candidates(system), Candidate, Refusal)
        )

    async def images(self, filters: Mapping[str, str]) -> Sequence[Image]:
        """See `Connector.images`."""
        return await self._call("images", lambda: self.connector.images(filters))

    async def quotas(self) -> Mapping[str, Quota]:
        """See `Connector.quotas`."""
        return await self._call("quotas", self.connector.quotas)

    async def plan(self, deployment: Deployment) -> Sequence[Resource]:
        """See `Connector.plan`."""
        return await self._call("plan", lambda: answers.several(self.connector.plan(deployment), Resource))

    async def create(
        self, resource: Resource, token: str, late: Callable[[Observation | None, BaseException | None], None]
    ) -> Observation:
        """See `Connector.create`; `late` gets the answer of a call that was given up."""
        return await self._call(
            "create", lambda: answers.identified(self.connector.create(resource, token)), effect=True, late=late
        )

    async def find(self, resource: Resource, token: str, *, urgent: bool) -> Sequence[Observation]:
        """See `Connector.find`."""

        def find() -> Sequence[Observation]:
            found = answers.several(self.connector.find(resource, token), Observation)
            return [answers.identified(answer) for answer in found if answer.phase != Phase.ABSENT]

        return await self._call("find", find, urgent=urgent)

    async def read(self, handles: Sequence[Handle], *, urgent: bool) -> Sequence[Observation]:
        """See `Connector.read`."""

        def read() -> Sequence[Observation]:
            found = answers.several(self.connector.read(handles), Observation)
            if len(found) != len(handles):
                raise CloudError(f"The {self.type} connector answered {len(found)} of {len(handles)} questions.")
            return found

        return await self._call("read", read, urgent=urgent)

    async def update(
        self,
        handle: Handle,
        resource: Resource,
        late: Callable[[Observation | None, BaseException | None], None] | None = None,
    ) -> Observation:
        """See `Connector.update`; `late` gets the answer of a call that was given up."""
        return await self._call(
            "update", lambda: answers.one(self.connector.update(handle, resource)), effect=True, late=late
        )

    async def delete(self, handle: Handle) -> None:
        """See `Connector.delete`."""
        await self._call("delete", lambda: self.connector.delete(handle), urgent=True, effect=True)

    async def act(self, handle: Handle, action: Action) -> None:
        """See `Connector.act`."""
        await self._call(action.value, lambda: self.connector.act(handle, action), effect=True)

    async def snapshot(self, handle: Handle, disk: int, name: str) -> Resource:
        """See `Connector.snapshot`."""
        (resource,) = await self._call(
            "snapshot", lambda: answers.several([self.connector.snapshot(handle, disk, name)], Resource)
        )
        return resource


class Clouds:
    """Accounts by credential. They are cached, bounded in number, and hold nothing that cannot be made again."""

    def __init__(self, source: ConnectorSource, bulkheads: Bulkheads, timeout: float, limit: int = 512) -> None:
        self._source = source
        self._bulkheads = bulkheads
        self._timeout = timeout
        self._limit = limit
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def account(self, credential: Credential) -> Account:
        """The account of a credential.

        Raises:
            PluginUnavailable: no usable connector for its type.
        """
        digest = _fingerprint(credential)
        if (account := self._accounts.get(digest)) is not None:
            self._accounts.move_to_end(digest)
            return account
        cls, options = self._source.connector(credential.type)
        try:
            connector = cls(credential, options)
            pool = self._bulkheads.pool(cls.info.name, connector.endpoint, connector.concurrency)
            account = self._accounts[digest] = Account(connector, pool, self._timeout)
        except IMError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a plugin does wrong
            about = f"connector {credential.type} cannot be made"
            incident = _report(about, error, _secrets(cls, credential))
            kind = type(error).__name__
            raise PluginUnavailable(
                f"The {credential.type} connector does not take this credential ({kind}, see log {incident})."
            ) from None
        if len(self._accounts) > self._limit:
            self._accounts.popitem(last=False)
        return account

    def accounts(self, credentials: Iterable[Credential]) -> dict[str, Account | IMError]:
        """The clouds of a credential list, in its order; an error in the place of one that cannot be used."""
        found: dict[str, Account | IMError] = {}
        for credential in cloud_items(credentials):
            try:
                found[credential.id] = self.account(credential)
            except IMError as error:
                found[credential.id] = error
        return found


def _secrets(cls: type[Connector], credential: Credential) -> list[str]:
    """The values of a credential that must never be shown."""
    declared = {key.name for key in cls.info.credential_keys if key.secret}
    return [
        value
        for key, value in credential.fields.items()
        if (key in declared or _SECRET_KEY.search(key)) and len(value) >= SHORTEST_SECRET
    ]


def _clean(text: str, hidden: Iterable[str]) -> str:
    """A connector's text without the account's secrets: it is shown, stored and logged."""
    for secret in hidden:
        text = text.replace(secret, MASK)
    return redact(text)


def _report(about: str, error: Exception, hidden: Iterable[str]) -> str:
    """Log a fault of a connector; the id to find it by."""
    incident = secrets.token_hex(4)
    trace = _clean("".join(traceback.format_exception(error)), hidden)
    logger.error("%s [%s]\n%s", about, incident, trace)
    return incident


def _fingerprint(credential: Credential) -> str:
    digest = hashlib.sha256()
    for text in (
        credential.id,
        credential.type,
        *(f"{key}\0{value}" for key, value in sorted(credential.fields.items())),
    ):
        digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(b"\1")
    return digest.hexdigest()
