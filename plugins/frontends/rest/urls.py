"""The public base URL: what stands before ``/infrastructures/…`` in the URIs that clients are given.

It is the address that the client used, as far as the Host header and the X-Forwarded-* headers of one proxy tell.
Forwarded values that cannot be part of a URL are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from imframework.api.errors import InvalidRequest

_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def public_base(headers: Mapping[str, str], *, scheme: str, own_address: str, root_path: str) -> str:
    """The base URL, without a slash at its end.

    `scheme` is that of the connection, `own_address` (host and port) stands in for the Host header of clients that
    send none, `root_path` for X-Forwarded-Prefix.

    Raises:
        InvalidRequest: the Host header is malformed.
    """
    match = _HOST.fullmatch(headers.get("Host", own_address))
    if match is None:
        raise InvalidRequest("Malformed Host header")
    host, port = match[1], match[2]
    forwarded = _last(headers.get("X-Forwarded-Proto"))
    if forwarded in _DEFAULT_PORTS:
        scheme = forwarded
    match = _HOST.fullmatch(_last(headers.get("X-Forwarded-Host")))
    if match is not None:
        host, port = match[1], match[2]
    forwarded = _last(headers.get("X-Forwarded-Port"))
    if forwarded.isascii() and forwarded.isdigit() and len(forwarded) <= 5:
        port = forwarded
    prefix = _last(headers.get("X-Forwarded-Prefix")).rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        prefix = root_path
    authority = host if port in (None, "", _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    return f"{scheme}://{authority}{prefix}"


def root_path_of(option: str) -> str:
    """REST_ROOT_PATH as it stands in URLs: empty, or ``/one/two``."""
    path = option.strip().strip("/")
    return f"/{path}" if path else ""


def _last(header: str | None) -> str:
    """The value that the nearest proxy added to a header."""
    return header.rpartition(",")[2].strip() if header else ""
