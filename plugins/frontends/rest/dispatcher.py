"""From a request to its answer: find the operation, know the caller, agree on a form, run, and explain what failed."""

from __future__ import annotations

from functools import partial

from imframework.api.error_table import presentable
from imframework.api.errors import Unauthenticated
from imframework.api.service import Caller
from imframework_plugins.frontends.rest.conditions import expecting, tagged_answer
from imframework_plugins.frontends.rest.errors import UnknownResource, error_response
from imframework_plugins.frontends.rest.negotiation import answer_type
from imframework_plugins.frontends.rest.request import Request, path_segment
from imframework_plugins.frontends.rest.resources import ROUTER
from imframework_plugins.frontends.rest.response import Response
from imframework_plugins.frontends.rest.routing import Operation, Tagged


async def answer(request: Request) -> Response:
    """The answer to a request. Whatever goes wrong becomes an answer too."""
    operation: Operation | None = None
    try:
        if request.method == "OPTIONS":
            return _options(request)
        resource, parameters = ROUTER.find(request.path)
        operation = resource.operation(request.method)
        request.parameters = [path_segment(parameter) for parameter in parameters]
        request.check_query()
        if not (operation.public or (operation.for_machines and request.machine_secret)):
            request.caller = await _authenticate(request)
            if "If-Match" in request.headers:
                request.caller = expecting(request.caller, request.headers["If-Match"])
        if operation.produces is not None:
            request.media_type = answer_type(request.header("Accept"), operation.produces, operation.further)
        if operation.tagged is not Tagged.NEVER and (
            operation.tagged is Tagged.ALWAYS or "If-None-Match" in request.headers
        ):
            return await tagged_answer(request, operation)
        response = await operation.run(request)
        if response.pieces is not None and not operation.public:
            response.may = partial(_authenticate, request)
        return response
    except Exception as error:  # noqa: BLE001 - a client always gets an answer
        shown = presentable(error, f"{request.method} {request.path}")
        prefix = operation.prefix_of(shown) if operation is not None else ""
        return error_response(shown, request.header("Accept"), prefix)


def _options(request: Request) -> Response:
    try:
        allow = ROUTER.find(request.path)[0].allow
    except UnknownResource:
        allow = "OPTIONS"
    return Response(headers={"Allow": allow})


async def _authenticate(request: Request) -> Caller:
    credentials = request.header("Authorization")
    if not credentials:
        raise Unauthenticated("No authentication data provided")
    if not credentials.isascii():
        credentials = _decoded(credentials)
    return await request.service.authenticate(credentials, request.client)


def _decoded(header: str) -> str:
    """A header as its client meant it: some write UTF-8, some Latin-1, which is how Tornado reads bytes."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return header
