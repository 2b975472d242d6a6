"""How an error becomes an HTTP answer: its status, its text and the form of its body.

Errors of the service are those of `imframework.api.errors`; the few added here concern HTTP alone.
"""

from __future__ import annotations

import html
import logging
import secrets
from http import HTTPStatus
from typing import Final

from imframework.api.errors import (
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    IMError,
    InternalError,
    InvalidDocument,
    InvalidRequest,
    NotFound,
    Problem,
    StorageConflict,
    StorageError,
    StorageUnavailable,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
    Vetoed,
)
from imframework.api.model import JSON
from imframework_plugins.frontends.rest.response import HTML, TEXT, Response, json_response

logger = logging.getLogger("imframework.rest")


class BadParameter(InvalidRequest):
    """A query parameter with a value that it cannot have; the text names it."""

    code = "bad_parameter"


class MethodNotAllowed(InvalidRequest):
    """The resource exists, but not for this method; `allow` is the value of the Allow header."""

    code = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        super().__init__("Method Not Allowed")
        self.allow = allow


class UnknownResource(NotFound):
    """No resource, property or operation has this path."""


#: Status of each class of errors. A class that is not listed has that of its nearest listed ancestor.
STATUS: Final[dict[type[BaseException], int]] = {
    IMError: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    Vetoed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    Conflict: HTTPStatus.CONFLICT,
    StorageConflict: HTTPStatus.CONFLICT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    # Their messages are for the operator: the caller gets an incident number (see `presentable`).
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StorageError: HTTPStatus.INTERNAL_SERVER_ERROR,
    Exception: HTTPStatus.INTERNAL_SERVER_ERROR,
}

#: Errors whose text says all; before that of any other stands the prefix of the operation.
_STANDALONE: Final = (BadParameter, MethodNotAllowed, UnknownResource, UnsupportedMediaType, TooLarge)
_STANDALONE_FAULTS: Final = (DeadlineExceeded, InternalError)
#: What the service says of an Authorization header that cannot be read: also a whole text.
_UNREADABLE_CREDENTIALS: Final = ("Error parsing authentication data", "No authentication data provided")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def presentable(error: Exception, request: str) -> IMError:
    """The error to show for `error`: itself, or an `InternalError` with a number under which the log has the rest."""
    if isinstance(error, InternalError) or status_of(error) != HTTPStatus.INTERNAL_SERVER_ERROR:
        assert isinstance(error, IMError)  # noqa: S101 - everything else has status 500
        return error
    incident = secrets.token_hex(8)
    logger.error("Incident %s in %s", incident, request, exc_info=error)
    return InternalError(f"Internal error. Incident: {incident}")


def message_of(error: IMError, prefix: str) -> str:
    """The text for the client, with the prefix of the operation where it belongs."""
    text = str(error)
    if isinstance(error, _STANDALONE + _STANDALONE_FAULTS):
        return text
    if isinstance(error, Unauthenticated) and text.startswith(_UNREADABLE_CREDENTIALS):
        return text
    return prefix + text


def error_response(error: IMError, accept: str | None, prefix: str = "") -> Response:
    """The answer to a request that failed, in the form that its Accept header asks for."""
    status, message = status_of(error), message_of(error, prefix)
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allow
    elif isinstance(error, Unauthenticated):
        # Not Basic, or browsers would open a dialog of their own.
        headers["WWW-Authenticate"] = 'Bearer realm="InfrastructureManager"'
    accept = (accept or "").lower()
    if "application/json" in accept:
        record: dict[str, JSON] = {"message": message, "code": int(status)}
        if isinstance(error, InvalidDocument):
            record["problems"] = [problem_record(problem) for problem in error.problems]
        response = json_response(record)
    elif "text/html" in accept:
        response = Response(_page(status, message), HTML)
    else:
        response = Response(message, TEXT)
    response.status = status
    response.headers = headers
    return response


def problem_record(problem: Problem) -> JSON:
    """A problem of a document as JSON; `line` and `column` are null where nobody knows."""
    return {
        "line": problem.line,
        "column": problem.column,
        "kind": problem.kind,
        "message": problem.message,
        "hint": problem.hint,
    }


def _page(status: int, message: str) -> str:
    return (
        f"<!DOCTYPE html>\n<html><head><title>Error {status}.</title></head>"
        f"<body><h1>Code: {status}.</h1><h1>Message: {html.escape(message)}</h1></body></html>\n"
    )
