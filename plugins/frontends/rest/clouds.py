"""Operations on the clouds that a request has credentials for."""

from __future__ import annotations

from imframework.api.model import JSON
from imframework_plugins.frontends.rest.errors import BadParameter, UnknownResource
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import Response, json_response


async def images(request: Request) -> Response:
    """GET /clouds/{cloud}/images"""
    filters = _filters(request.query.get("filters"))
    found = await request.backend.changes.run(request.service.images, request.caller, request.parameters[0], filters)
    return json_response({"images": [{"uri": image.uri, "name": image.name} for image in found]})


async def quotas(request: Request) -> Response:
    """GET /clouds/{cloud}/quotas"""
    found = await request.backend.changes.run(request.service.quotas, request.caller, request.parameters[0])
    return json_response(
        {
            "quotas": {
                name: {"used": _number(quota.used), "limit": _number(quota.limit)} for name, quota in found.items()
            }
        }
    )


async def unknown_property(request: Request) -> Response:
    """Any other path below a cloud."""
    raise UnknownResource("Incorrect cloud property")


def _filters(text: str | None) -> dict[str, str]:
    """The value of filters, ``name=value,name=value``."""
    if not text:
        return {}
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise BadParameter("Invalid format in filters parameter.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(value: float) -> JSON:
    """Whole numbers as such: clients print them."""
    return int(value) if value == int(value) else value
