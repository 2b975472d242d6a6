"""Who did what, when, from where, with which result: written down in the database and, at once, in the log.

`Audited` is the service as a front end has it: each operation that changes something is recorded when it has ended.
Reading costs nothing more than without: the readings of `Audited` are those of the service. What is refused is told by
the service itself, where it refuses: log-ins, and the reading of what belongs to others.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from typing import Any, cast

from imframework.api.errors import Forbidden, IMError, InvalidDocument, Unauthenticated
from imframework.api.model import AuditRecord
from imframework.api.redaction import MASK, redact
from imframework.api.service import Caller, Service
from imframework.core import credentials as credential_lists

logger = logging.getLogger("imframework.audit")

#: The operations of the service that change something, or hand out all that is secret of an infrastructure.
OPERATIONS = (
    "create", "add", "remove", "reconfigure", "start", "stop", "reboot", "destroy", "alter", "snapshot",
    "change_owners", "export_document", "import_document", "apply",
)  # fmt: skip
#: Those that answer with the id of an infrastructure: what they were about.
MAKING = frozenset({"create", "import_document", "apply"})

#: Longest message, and longest name of somebody who could not log in, in characters.
MAX_MESSAGE, MAX_NAME = 500, 100
#: Most names of a log-in that was refused.
MAX_NAMES = 10
#: Shortest value of a credential that is looked for in messages: shorter ones are in any text.
SHORTEST_SECRET = 5
#: Fields of credentials that are no secret.
_OPEN = frozenset({"host", "username", "tenant", "domain", "project"})

#: Whether what happens now is part of an operation that will be recorded.
_within: ContextVar[bool] = ContextVar("within an audited operation", default=False)


class Trail:
    """Where records go."""

    def __init__(self, store: Callable[[AuditRecord], None]) -> None:
        """`store` takes a record to the database, and does not wait for it."""
        self._store = store

    def record(self, record: AuditRecord) -> None:
        """Write down what has been done."""
        logger.info("%s", json.dumps(record.shown()))
        self._store(record)

    def ended(self, caller: Caller, operation: str, target: str, error: BaseException | None = None) -> None:
        """An operation of a caller has ended."""
        self.record(
            AuditRecord(
                time.time(),
                tuple(_shown(identity.username) for identity in caller.identities),
                caller.address,
                operation,
                target,
                "ok" if error is None else _code(error),
                "" if error is None else _message(error, caller),
                caller.front_end,
                caller.owner_keys,
            )
        )

    def denied(self, caller: Caller, target: str) -> None:
        """Somebody asked for what belongs to others. As part of an operation, that is recorded by itself."""
        if not _within.get():
            self.ended(caller, "read", target, Forbidden("Access to this infrastructure not granted."))

    def refused(
        self, credentials: str | Sequence[Mapping[str, str]], address: str, front_end: str, error: Unauthenticated
    ) -> None:
        """A log-in was refused. The names are those that were claimed."""
        record = AuditRecord(
            time.time(), _claimed(credentials), address, "authenticate", "", error.code, redact(str(error)), front_end
        )
        self.record(record)


class Audited:
    """The service for a front end; see `audited`."""

    def __init__(self, service: Any, trail: Trail, front_end: str) -> None:
        self._service = service
        self._front_end = front_end
        for name in dir(service):
            if not name.startswith("_") and name != "authenticate" and callable(method := getattr(service, name)):
                setattr(self, name, _recorded(name, method, trail) if name in OPERATIONS else method)

    def authenticate(self, credentials: str | Sequence[Mapping[str, str]], address: str = "") -> Awaitable[Caller]:
        """See `Service.authenticate`."""
        found: Awaitable[Caller] = self._service.authenticate(credentials, address, self._front_end)
        return found


def audited(service: Any, trail: Trail, front_end: str) -> Service:
    """A service whose changes, asked for by a front end, are recorded."""
    return cast(Service, Audited(service, trail, front_end))


def _recorded(name: str, method: Callable[..., Awaitable[Any]], trail: Trail) -> Callable[..., Awaitable[Any]]:
    form = signature(method)

    @wraps(method)
    async def operation(*arguments: Any, **more: Any) -> Any:
        given = form.bind(*arguments, **more).arguments
        caller = given["caller"]
        target = _target(given)
        within = _within.set(True)
        try:
            result = await method(*arguments, **more)
        except BaseException as error:
            trail.ended(caller, name, target, error)
            raise
        finally:
            _within.reset(within)
        trail.ended(caller, name, str(result) if name in MAKING else target)
        return result

    return operation


def _target(given: Mapping[str, Any]) -> str:
    """What an operation is about: an infrastructure, or one machine of it."""
    infrastructure = given.get("infrastructure") or str(given.get("plan", "")).partition(".")[0]
    vm, vms = given.get("vm"), given.get("vms")
    if vm is None and isinstance(vms, Sequence) and len(vms) == 1:
        [vm] = vms
    return redact(str(infrastructure if vm is None else f"{infrastructure}/{vm}"))[:MAX_NAME]


def _code(error: BaseException) -> str:
    if isinstance(error, IMError):
        return error.code
    return "internal" if isinstance(error, Exception) else "cancelled"


def _message(error: BaseException, caller: Caller) -> str:
    if isinstance(error, InvalidDocument):  # it may quote the document, in which there may be anything
        return f"{len(error.problems)} problem(s) in the document"
    if not isinstance(error, IMError):
        return type(error).__name__
    text = str(error)
    for credential in caller.credentials:
        for name, value in credential.fields.items():
            if name not in _OPEN and len(value) >= SHORTEST_SECRET:
                text = text.replace(value, MASK)
    return _short(redact(text), MAX_MESSAGE)


def _claimed(credentials: str | Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    try:
        items = (
            credential_lists.parse_header(credentials)
            if isinstance(credentials, str)
            else credential_lists.from_items(credentials)
        )
    except Unauthenticated:
        return ()
    names = (item.get("username") for item in credential_lists.identities(items))
    return tuple(_shown(name) for name in names if name)[:MAX_NAMES]


def _shown(name: str) -> str:
    """A user's name. Where a separator of a credential list was forgotten, it has swallowed what follows: a secret."""
    return _short(redact(name.partition("=")[0].strip()), MAX_NAME)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
