"""The description of this API, out of `openapi.yaml`: as JSON for programs, as a page for people."""

from __future__ import annotations

import asyncio
import html
import json
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from imframework_plugins.frontends.rest.page import page
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, HTML, Response

#: Stands for the base URL until a client is there that has one.
_BASE: Final = "urn:imframework:base"
#: The page loads nothing and runs nothing.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


async def openapi(request: Request) -> Response:
    """GET /openapi.json"""
    before, after = await asyncio.to_thread(_as_json, request.service.version())
    return Response(json.dumps(request.base_url).join((before, after)), APPLICATION_JSON)


async def index(request: Request) -> Response:
    """GET /"""
    if request.media_type != HTML:
        return await openapi(request)
    before, *after = await asyncio.to_thread(_as_page, request.service.version())
    text = html.escape(request.base_url).join((before, *after))
    return Response(text, HTML, headers={"Content-Security-Policy": _POLICY})


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document as it is written, without what only the file needs."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    del found["x-common"]
    return found


def _for(version: str) -> dict[str, Any]:
    return {
        **document(),
        "info": {**document()["info"], "version": version},
        "servers": [{"url": _BASE}],
    }


@cache
def _as_json(version: str) -> list[str]:
    """The document on both sides of the base URL."""
    return json.dumps(_for(version), separators=(",", ":")).split(json.dumps(_BASE))


@cache
def _as_page(version: str) -> list[str]:
    """The page between the places of the base URL."""
    return page(_for(version)).split(_BASE)
