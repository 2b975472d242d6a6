"""Conditional requests: ETag, If-None-Match and If-Match.

All resources of an infrastructure share its tag (`Service.tag`); that of a JSON form ends differently from that of the
text. Whether an expectation holds when a change is made, only the service can tell.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from imframework.api.service import Caller
from imframework_plugins.frontends.rest.errors import BadParameter
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, Response
from imframework_plugins.frontends.rest.routing import Operation

_JSON_FORM: Final = ".json"
_ENTRY: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


async def tagged_answer(request: Request, operation: Operation) -> Response:
    """The answer to a request for part of an infrastructure, with its ETag; only that if the client has it already."""
    # Asked before the rest: a tag that is too old costs a client a request, one that is too new costs it a change.
    tag = await request.service.tag(request.caller, request.infrastructure)
    response = await operation.run(request)
    etag = f"{tag}{_JSON_FORM}" if response.media_type == APPLICATION_JSON else tag
    known = request.header("If-None-Match")
    if known is not None and (known.strip() == "*" or any(entry[1] == etag for entry in _entries(known))):
        response = Response(status=HTTPStatus.NOT_MODIFIED)
    response.headers = {**(response.headers or {}), "ETag": f'"{etag}"'}
    return response


def expecting(caller: Caller, if_match: str) -> Caller:
    """The caller, whose changes are made only while the infrastructure has one of these tags.

    Raises:
        BadParameter: not a list of tags.
    """
    if if_match.strip() == "*":
        return caller
    entries = _entries(if_match)
    if not entries or _ENTRY.sub("", if_match).strip(" \t,"):
        raise BadParameter("Incorrect value in If-Match header")
    # A weak tag is as good as none here; it stays in the list as what no tag is.
    tags = (f'W/"{opaque}"' if weak else opaque.removesuffix(_JSON_FORM) for weak, opaque in entries)
    return replace(caller, expects=frozenset(tags))


def _entries(header: str) -> list[tuple[str, str]]:
    """The entries of a list of tags: the mark of weak ones, and the text between the quotes."""
    return _ENTRY.findall(header)
