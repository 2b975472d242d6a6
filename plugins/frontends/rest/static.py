"""GET /static/{file}: the files of one directory, as they are, for pages that belong to the service."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from tornado.httputil import format_timestamp

from imframework.api.errors import NotFound
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import OpenFile, Response

_MISSING: Final = "File not found"
_UNKNOWN_TYPE: Final = "application/octet-stream"
_ENCODED: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


async def file(request: Request) -> Response:
    """GET /static/{file}"""
    directory = request.backend.settings.static_directory
    if directory is None:
        raise NotFound("Static files not enabled.")
    name = request.parameters[0]
    descriptor, status = await asyncio.to_thread(_open, directory, name)
    tag = f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'
    # Whoever keeps a copy asks whether it is still good.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    content = OpenFile(descriptor, status.st_size)
    if _is_known(request, tag, int(status.st_mtime)):
        content.close()
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Last-Modified"] = format_timestamp(int(status.st_mtime))
    return Response(b"", _media_type(name), headers=headers, file=content)


def _open(directory: Path, name: str) -> tuple[int, os.stat_result]:
    """A regular file that is in the directory, not merely linked from it, open for reading.

    Raises:
        NotFound: there is none.
    """
    if "/" in name or "\0" in name:
        raise NotFound(_MISSING)
    root = os.path.realpath(directory)
    path = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath((root, path)) != root:
        raise NotFound(_MISSING)
    try:
        # Without waiting for the other end of a pipe, or following a link that was put there just now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise NotFound(_MISSING) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NotFound(_MISSING)
    return descriptor, status


def _media_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding is not None:
        return _ENCODED.get(encoding, _UNKNOWN_TYPE)
    return kind or _UNKNOWN_TYPE


def _is_known(request: Request, tag: str, changed: int) -> bool:
    """Whether the client has the file as it is."""
    given = request.header("If-None-Match")
    if given is not None:
        known = (part.strip().removeprefix("W/") for part in given.split(","))
        return any(part in ("*", tag) for part in known)
    since = request.header("If-Modified-Since")
    if since is None:
        return False
    try:
        return changed <= parsedate_to_datetime(since).timestamp()
    except (TypeError, ValueError, OverflowError):
        return False
