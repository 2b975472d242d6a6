"""Creations that may be asked for twice, as by a client that got no answer.

A request with an idempotency key makes the infrastructure whose id follows from who asks and from the key. So it is the
database that decides whether it was made before: for requests at the same time, for several instances of the service,
and after a restart. It holds as long as the infrastructure is on record, which is until it is deleted and purged.
Repeated, a request has the outcome it had: the id (of a deleted infrastructure too), or the error it ended with.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from imframework.api.errors import CloudError, IdempotencyMismatch, IMError, InvalidRequest, Vetoed
from imframework.api.service import Caller, Document
from imframework.core.entities import Operation
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring

_KEY = re.compile(r"[!-~]{1,255}")
#: What a creation can end with, by code.
_ERRORS: dict[str, type[IMError]] = {kind.code: kind for kind in (CloudError, Vetoed)}


@dataclass(frozen=True, slots=True)
class Request:
    """A creation with a key: the id of what it makes, and a digest of what is asked for."""

    id: str
    digest: str


def request(keyring: Keyring, caller: Caller, key: str, document: Document) -> Request | None:
    """What a key stands for; None for a request without one.

    Raises:
        InvalidRequest: it is no key.
    """
    if not key:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest("An idempotency key has 1 to 255 visible ASCII characters.")
    seed = keyring.digest("idempotency", *sorted(caller.owner_keys), key)
    id = uuid.UUID(bytes=bytes.fromhex(seed[:32]), version=1)  # of the form that all ids have
    return Request(str(id), keyring.digest("request", document.language, document.text))


def check(infra: Infrastructure, request: Request) -> None:
    """That an infrastructure was made by this request; one that was imported does not know.

    Raises:
        IdempotencyMismatch: by another one with the same key.
    """
    if infra.request and infra.request != request.digest:
        raise IdempotencyMismatch("The idempotency key was used with another document.")


def creations(infra: Infrastructure) -> list[Operation]:
    """What is still waited for of the creation of an infrastructure."""
    return [operation for operation in infra.operations.values() if operation.creates]


def remember(infra: Infrastructure, error: IMError) -> None:
    """A creation has failed: those who ask again are to hear the same."""
    if infra.request:
        infra.refusal = (error.code, f"Error adding VMs: {error}")
        infra.touch()


def refused(infra: Infrastructure) -> IMError:
    """The error that a creation has ended with."""
    code, text = infra.refusal
    return _ERRORS.get(code, CloudError)(text)
