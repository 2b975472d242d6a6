"""One request over one connection, to an address that was checked before.

The connection is made to the address; the host name is used where it belongs: in the TLS handshake, for the check of
the certificate, and in the header Host. Proxies are not used, those of the environment neither: a proxy would look the
name up again, and the address that was checked would not be the one that is asked.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final
from urllib.parse import unquote

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError
from urllib3.exceptions import SSLError as TLSError
from urllib3.response import HTTPResponse
from urllib3.util import make_headers

from imframework.api.version import __version__
from imframework.fetching.addresses import Address
from imframework.fetching.deadline import Deadline
from imframework.fetching.errors import FetchFailed
from imframework.fetching.location import Location

_CHUNK: Final = 64 * 1024


def _without_urls(record: logging.LogRecord) -> bool:
    """urllib3 logs the whole URL, with its secrets, when a server's headers cannot be parsed."""
    return not str(record.msg).startswith("Failed to parse headers")


logging.getLogger("urllib3.connection").addFilter(_without_urls)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. The body is decompressed, and read only with status 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    location: Location,
    addresses: Sequence[Address],
    *,
    headers: Mapping[str, str],
    max_bytes: int,
    deadline: Deadline,
    context: ssl.SSLContext,
) -> Answer:
    """GET `location` from the first of its `addresses` that can be connected to.

    Raises FetchFailed; TimeoutError when the time is over.
    """
    connection = _connected(location, addresses, deadline, context)
    try:
        with deadline.cutting(connection.sock):
            connection.request("GET", location.target, headers=_headers(location, headers), preload_content=False)
            response = connection.getresponse()
            try:
                body = _body(response, max_bytes, location) if response.status == 200 else b""
                return Answer(response.status, response.headers, body)
            finally:
                response.close()
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        raise _failure(error, location, deadline) from None
    finally:
        connection.close()


def _connected(
    location: Location, addresses: Sequence[Address], deadline: Deadline, context: ssl.SSLContext
) -> HTTPConnection:
    for number, address in enumerate(addresses):
        timeout = deadline.left() / (len(addresses) - number)  # an address that does not answer leaves time for others
        connection = _connection(location, str(address), timeout, context)
        try:
            connection.connect()
            connection.timeout = deadline.left()
            return connection
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            connection.close()
            failure = _failure(error, location, deadline)
            # Another address may answer if this one did not; a server that did answer, with a wrong certificate, say,
            # is the one that was meant.
            if number + 1 == len(addresses) or isinstance(error, ssl.SSLError):
                raise failure from None
    raise FetchFailed("its host name has no address", location)


def _connection(location: Location, address: str, timeout: float, context: ssl.SSLContext) -> HTTPConnection:
    if location.scheme == "http":
        return HTTPConnection(address, location.port, timeout=timeout)
    host = location.host.rstrip(".")
    return HTTPSConnection(address, location.port, timeout=timeout, ssl_context=context, server_hostname=host)


def _headers(location: Location, headers: Mapping[str, str]) -> dict[str, str]:
    user, _, password = location.login.partition(":")
    login = f"{user}:{password}" if location.login else None
    return {
        "Host": location.authority,
        "User-Agent": f"imframework/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # some servers compress all the same, which is borne
        "Connection": "close",
        **make_headers(basic_auth=unquote(login, "latin-1") if login else None),
        **headers,
    }


def _body(response: HTTPResponse, max_bytes: int, location: Location) -> bytes:
    body = bytearray()
    while chunk := response.read(min(_CHUNK, max_bytes + 1 - len(body))):  # urllib3 decompresses no more than asked for
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed(f"it has more than {max_bytes} bytes", location)
    return bytes(body)


def _failure(error: Exception, location: Location, deadline: Deadline) -> Exception:
    """What went wrong, in words of ours: what a server says need not be fit to be shown."""
    if deadline.passed:
        return TimeoutError()
    cause = error.__cause__ if isinstance(error, NewConnectionError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"the certificate of its server is not accepted: {cause.verify_message.rstrip('.')}"
    elif isinstance(cause, ssl.SSLError | TLSError):
        reason = "TLS does not come about with its server"
    elif isinstance(cause, DecodeError):
        reason = "it cannot be decompressed"
    elif isinstance(cause, TimeoutError):
        reason = "its server does not answer"
    elif isinstance(cause, OSError) and cause.strerror:
        reason = f"its server cannot be reached: {cause.strerror.lower()}"
    else:
        reason = "its server does not answer as HTTP wants it, or not to the end"
    return FetchFailed(reason, location)
