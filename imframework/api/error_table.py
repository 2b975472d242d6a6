"""What an error is for a client: the one table that every front end goes by.

A front end shows `presentable(error)`: its text is the text of the answer (REST puts the prefix of the operation before
it, XML-RPC sends it as it is), and `status_of` gives its HTTP status. The table is documented in
`docs/reference/errors.md`.
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Final

from imframework.api.errors import (
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    IdempotencyMismatch,
    IMError,
    InternalError,
    NotFound,
    PreconditionFailed,
    StorageConflict,
    StorageError,
    StorageUnavailable,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    Vetoed,
)

logger = logging.getLogger("imframework.frontends")

#: HTTP status of each class of errors. A class that is not listed has that of its nearest listed ancestor.
STATUS: Final[dict[type[BaseException], int]] = {
    IMError: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    Vetoed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    StorageConflict: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    IdempotencyMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    # Their messages are for the operator: the caller gets an incident number (see `presentable`).
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StorageError: HTTPStatus.INTERNAL_SERVER_ERROR,
    Exception: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def presentable(error: Exception, request: str) -> IMError:
    """The error to show for `error`: itself, or an `InternalError` with a number under which the log has the rest.

    `request` tells the reader of the log what was asked; it must hold no secret.
    """
    if isinstance(error, InternalError):
        return error
    if isinstance(error, IMError) and status_of(error) != HTTPStatus.INTERNAL_SERVER_ERROR:
        return error
    incident = secrets.token_hex(8)
    logger.error("Incident %s in %s", incident, request, exc_info=error)
    return InternalError(f"Internal error. Incident: {incident}")
