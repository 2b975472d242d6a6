"""What is asked about the service itself, without credentials."""

from __future__ import annotations

from http import HTTPStatus

from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import Response, json_response, property_response


async def version(request: Request) -> Response:
    """GET /version"""
    return property_response("version", request.service.version(), request.media_type)


async def alive(request: Request) -> Response:
    """GET /healthz: the process answers; nothing else is looked at."""
    return Response("ok")


async def ready(request: Request) -> Response:
    """GET /readyz: each component, and 503 unless all of them are well."""
    components = dict(await request.service.health())
    well = all(condition == "ok" for condition in components.values())
    return json_response(
        {"status": "ok" if well else "unavailable", "components": components},
        HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE,
    )


async def metrics(request: Request) -> Response:
    """GET /metrics, in the text format of Prometheus."""
    return Response(request.service.metrics(), "text/plain; version=0.0.4; charset=utf-8")
