"""How an error becomes an HTTP answer: its text with the prefix of its operation, and the form of its body.

The statuses are those of `imframework.api.error_table`; the few errors added here concern HTTP alone.
"""

from __future__ import annotations

import html
import math
import re
from http import HTTPStatus
from typing import Final

from imframework.api import error_table
from imframework.api.errors import (
    DeadlineExceeded,
    IMError,
    InternalError,
    InvalidDocument,
    InvalidRequest,
    NotFound,
    Problem,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)
from imframework.api.model import JSON
from imframework_plugins.frontends.rest.response import HTML, PROBLEM_JSON, TEXT, Response, json_response


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


#: Errors whose text says all; before that of any other stands the prefix of the operation.
_STANDALONE: Final = (BadParameter, MethodNotAllowed, UnknownResource, UnsupportedMediaType, TooLarge)
_STANDALONE_FAULTS: Final = (DeadlineExceeded, InternalError)
#: What the service says of an Authorization header that cannot be read: also a whole text.
_UNREADABLE_CREDENTIALS: Final = ("Error parsing authentication data", "No authentication data provided")

_INCIDENT: Final = re.compile(r"Incident: (\w+)")


def status_of(error: IMError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, MethodNotAllowed):
        return HTTPStatus.METHOD_NOT_ALLOWED
    return error_table.status_of(error)


def message_of(error: IMError, prefix: str) -> str:
    """The text for the client, with the prefix of the operation where it belongs."""
    text = str(error)
    if isinstance(error, _STANDALONE + _STANDALONE_FAULTS):
        return text
    if isinstance(error, Unauthenticated) and text.startswith(_UNREADABLE_CREDENTIALS):
        return text
    # The service begins some texts, which XML-RPC has as they are, with the very same words.
    return text if text.startswith(prefix) else prefix + text


def error_response(error: IMError, accept: str | None, prefix: str = "") -> Response:
    """The answer to a request that failed, in the form that its Accept header asks for."""
    status, message = status_of(error), message_of(error, prefix)
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allow
    elif isinstance(error, Unauthenticated):
        # Not Basic, or browsers would open a dialog of their own.
        headers["WWW-Authenticate"] = 'Bearer realm="InfrastructureManager"'
    elif isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    accept = (accept or "").lower()
    if PROBLEM_JSON in accept:
        response = json_response({**_problem_details(error, status, message), **_problems(error)})
        response.media_type = PROBLEM_JSON
    elif "application/json" in accept:
        response = json_response({"message": message, "code": int(status), **_problems(error)})
    elif "text/html" in accept:
        response = Response(_page(status, message), HTML)
    else:
        response = Response(message, TEXT)
    response.status = status
    response.headers = headers
    return response


def _problems(error: IMError) -> dict[str, JSON]:
    if not isinstance(error, InvalidDocument):
        return {}
    return {"problems": [problem_record(problem) for problem in error.problems]}


def _problem_details(error: IMError, status: int, message: str) -> dict[str, JSON]:
    """The error as RFC 9457 has it. Its type is the class of the error, whose code is stable."""
    details: dict[str, JSON] = {
        "type": f"urn:imframework:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": int(status),
        "detail": message,
    }
    if isinstance(error, InternalError) and (incident := _INCIDENT.search(message)):
        details["instance"] = f"urn:imframework:incident:{incident[1]}"
        details["incident"] = incident[1]
    return details


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
