"""An answer before it is sent, and the representations that operations answer with."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Final

from imframework.api.model import JSON

#: Media types as they are negotiated, without parameters.
TEXT: Final = "text/plain"
URI_LIST: Final = "text/uri-list"
APPLICATION_JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
HTML: Final = "text/html"
CSV: Final = "text/csv"
EVENT_STREAM: Final = "text/event-stream"

_to_json = json.JSONEncoder(separators=(",", ":")).encode


class OpenFile:
    """A file to send as it is, of which `size` bytes are sent. Whoever has it last closes it."""

    __slots__ = ("_descriptor", "_position", "size")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self.size = size

    def read(self, count: int) -> bytes:
        """The next bytes, `count` at most; to be called in a thread."""
        # By position: should the file be closed meanwhile, nothing is taken from what gets its descriptor next.
        piece = os.pread(self._descriptor, count, self._position)
        self._position += len(piece)
        return piece

    def close(self) -> None:
        """Nothing more is read."""
        os.close(self._descriptor)


class Response:
    """Status, media type, body, and headers beside those that every answer has. A `file` is sent after the body."""

    __slots__ = ("body", "file", "headers", "may", "media_type", "pieces", "status")

    def __init__(
        self,
        body: str | bytes = b"",
        media_type: str = TEXT,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        file: OpenFile | None = None,
    ) -> None:
        # What cannot be written in UTF-8 (a lone surrogate, out of an escape of JSON) is shown, not stumbled over.
        self.body = body if isinstance(body, bytes) else body.encode("utf-8", "backslashreplace")
        self.media_type = media_type
        self.status = status
        self.headers = headers
        self.file = file
        #: In place of the body: an answer that goes on …
        self.pieces: AsyncGenerator[bytes] | None = None
        #: … and what is asked now and then meanwhile; it raises once the client may not have more.
        self.may: Callable[[], Awaitable[object]] = _always

    @property
    def length(self) -> int:
        """Value of the Content-Length header, unless the answer goes on."""
        return len(self.body) if self.file is None else self.file.size

    @property
    def content_type(self) -> str:
        """Value of the Content-Type header."""
        media_type = self.media_type
        return (
            f"{media_type}; charset=utf-8" if media_type.startswith("text/") and ";" not in media_type else media_type
        )


async def _always() -> None:
    """Who may go on for ever."""


def stream_response(pieces: AsyncGenerator[bytes]) -> Response:
    """Server-sent events."""
    response = Response(media_type=EVENT_STREAM)
    response.pieces = pieces
    return response


def json_response(value: JSON, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(_to_json(value), APPLICATION_JSON, status=status)


def property_response(name: str, value: JSON, media_type: str) -> Response:
    """A property: bare as text, ``{"name": value}`` as JSON."""
    if media_type == APPLICATION_JSON:
        return json_response({name: value})
    return Response(value if isinstance(value, str) else _plain(value), media_type)


def uri_response(uri: str, media_type: str) -> Response:
    """One URI."""
    return json_response({"uri": uri}) if media_type == APPLICATION_JSON else Response(uri, media_type)


def uri_list_response(uris: Sequence[str], media_type: str) -> Response:
    """Any number of URIs; none make an empty body."""
    if media_type == APPLICATION_JSON:
        return json_response({"uri-list": [{"uri": uri} for uri in uris]})
    return Response("\n".join(uris), media_type)


def infrastructure_uri(base: str, infrastructure: str) -> str:
    """Where an infrastructure is."""
    return f"{base}/infrastructures/{infrastructure}"


def machine_uris(base: str, infrastructure: str, machines: Iterable[int]) -> list[str]:
    """Where the machines of an infrastructure are."""
    prefix = infrastructure_uri(base, infrastructure)
    return [f"{prefix}/vms/{number}" for number in machines]


def _plain(value: JSON) -> str:
    """Numbers as they are, anything composed as JSON."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _to_json(value)
