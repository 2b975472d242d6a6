"""One request to a service: sent, repeated where that is safe, and its answer or its error understood.

A connection for each request, and no request without a deadline. Objects may be used by several threads.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from imframework.api import errors
from imframework.api.errors import ConfigurationError, IMError, InvalidDocument, Problem, TooManyRequests
from imframework.api.model import JSON

#: Largest answer that is taken, in bytes: a log can be long, but nothing sensible is longer.
MAX_ANSWER = 256 * 1024**2

#: Pauses between attempts, in seconds: the first one, the longest one, and how they grow.
SHORTEST, LONGEST, GROWTH = 0.2, 20.0, 1.6

#: JSON, with the code of an error in its type where the service knows that form (RFC 9457).
JSON_ANSWER = "application/problem+json, application/json"

_BY_STATUS: Mapping[int, type[IMError]] = {
    HTTPStatus.UNAUTHORIZED: errors.Unauthenticated,
    HTTPStatus.FORBIDDEN: errors.Forbidden,
    HTTPStatus.NOT_FOUND: errors.NotFound,
    HTTPStatus.CONFLICT: errors.Conflict,
    HTTPStatus.PRECONDITION_FAILED: errors.PreconditionFailed,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.TooLarge,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: errors.UnsupportedMediaType,
    HTTPStatus.UNPROCESSABLE_ENTITY: errors.IdempotencyMismatch,
    HTTPStatus.GATEWAY_TIMEOUT: errors.DeadlineExceeded,
}
_BY_CODE: Mapping[str, type[IMError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IMError)
}
#: A connection that was there and broke.
_BROKEN = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, http.client.IncompleteRead)


class Unreachable(IMError):
    """The service cannot be reached, or went silent; whether it did what was asked is not known.

    `passing` says that it may be back in a moment: it has answered before, or its connection broke.
    """

    code = "unreachable"
    retryable = True

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `timeout` is how long the service may be silent, in seconds (None: as usual).

    A `repeatable` one has the same effect when it arrives twice.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = field(default=None, repr=False)
    timeout: float | None = None
    repeatable: bool = False


class Transport:
    """Sends requests to the service at a URL."""

    def __init__(
        self,
        url: str,
        authorization: str | Sequence[Mapping[str, str]],
        *,
        timeout: float,
        persistence: float,
        ca_file: str | Path | None = None,
        certificate: str | Path | None = None,
        certificate_key: str | Path | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(f"'{url}' is not a URL: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError(f"'{url}' is not the URL of a service, such as http://127.0.0.1:8800")
        if parts.username is not None:
            raise ConfigurationError("The URL holds a user name; credentials belong into the authorization file")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.persistence = persistence
        self._host, self._port = parts.hostname, port
        self._root = quote(parts.path.rstrip("/"), safe="/%")
        self._tls = _tls(ca_file, certificate, certificate_key) if parts.scheme == "https" else None
        self._authorization = _header(authorization)
        self._has_answered = False

    def ask(self, request: Request) -> JSON:
        """The JSON of the answer; None if that is empty."""
        text = self.text(request)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise IMError(f"The answer of {self.url} is not that of an Infrastructure Manager") from None

    def text(self, request: Request) -> str:
        """The text of the answer. A repeatable request whose connection is lost is sent again.

        Raises:
            Unreachable: no answer came.
            IMError: of the class that the answer tells, with its text.
        """
        pauses = Pauses(self.persistence)
        while True:
            try:
                with self.open(request) as response:
                    return self.read(response)
            except Unreachable as error:
                if not request.repeatable:
                    raise
                pauses.bear(error)
                pauses.pause()

    @contextmanager
    def open(self, request: Request) -> Iterator[http.client.HTTPResponse]:
        """The beginning of a successful answer, the rest of which is to be read in this context; raises as `text`."""
        headers = {"Accept": JSON_ANSWER, "Connection": "close", **request.headers}
        target = self._root + request.path + (f"?{urlencode(request.query)}" if request.query else "")
        body = None if request.body is None else request.body.encode()
        timeout = request.timeout or self.timeout
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(request.method, target, body, {**headers, "Authorization": self._authorization})
            response = connection.getresponse()
            if not 200 <= response.status < 300:
                raise self._error(response, self.read(response))
            self._has_answered = True
            yield response
        except TimeoutError:
            raise Unreachable(f"{self.url} did not answer within {timeout:g} s", passing=self._has_answered) from None
        except (OSError, http.client.HTTPException) as error:
            passing = self._has_answered or isinstance(error, _BROKEN)
            raise Unreachable(f"{self.url} cannot be reached: {_reason(error)}", passing=passing) from None
        finally:
            connection.close()

    def read(self, response: http.client.HTTPResponse) -> str:
        """The rest of an answer."""
        content = response.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            raise IMError(f"The answer of {self.url} is larger than {MAX_ANSWER} bytes")
        if response.length:
            raise http.client.IncompleteRead(content, response.length)
        return content.decode("utf-8", "replace")

    def _error(self, response: http.client.HTTPResponse, text: str) -> IMError:
        """The error that an answer stands for, with the text of the service."""
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        record = record if isinstance(record, dict) else {}
        message = str(record.get("message") or record.get("detail") or "")
        message, ours = message or f"{self.url} answered {response.status} {response.reason}", bool(message)
        status = response.status
        if status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE) or (status == 504 and not ours):
            return Unreachable(message, passing=self._has_answered)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return TooManyRequests(message, _seconds(response.headers.get("Retry-After")))
        if record.get("problems"):
            error = InvalidDocument([problem(each) for each in record["problems"]])
            error.message = message
            return error
        default = errors.InternalError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else errors.InvalidRequest
        code = str(record.get("type", "")).rpartition(":")[2]
        kind = _BY_CODE.get(code, _BY_STATUS.get(status, default))
        return default(message) if kind in (InvalidDocument, TooManyRequests) else kind(message)


class Pauses:
    """Pauses that grow from attempt to attempt, until it is no use any more; a little random, as others wait too."""

    def __init__(self, persistence: float, shortest: float = SHORTEST, longest: float = LONGEST) -> None:
        self._persistence = persistence
        self._next, self.shortest, self._longest = shortest, shortest, longest
        self._failing_since: float | None = None

    def bear(self, error: Unreachable) -> None:
        """Put up with a failure; raises it if it will not pass, or all has been failing for too long."""
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if not error.passing or now - self._failing_since >= self._persistence:
            raise error

    def pause(self) -> None:
        """Pause, longer than the last time."""
        length = max(self._next, self.shortest)
        time.sleep(length * random.uniform(0.5, 1.0))  # noqa: S311 - to come at another time than others is all
        self._next = min(length * GROWTH, self._longest)

    def answered(self) -> None:
        """The service is there."""
        self._failing_since = None

    def restart(self) -> None:
        """Begin with the shortest pause again: something has happened."""
        self._next = self.shortest


def problem(record: Mapping[str, JSON]) -> Problem:
    """A problem of a document out of its JSON form."""
    known = {name: record[name] for name in ("message", "line", "column", "kind", "hint") if name in record}
    return Problem(**{"message": "", **known})


def _header(authorization: str | Sequence[Mapping[str, str]]) -> bytes:
    """The value of the Authorization header, in which no line may end; the service splits it at backslash and n."""
    if isinstance(authorization, str):
        return "\\n".join(authorization.splitlines()).encode()
    text = json.dumps([dict(item) for item in authorization])
    return text.replace("\\\\", "\\u005c").replace("\\n", "\\u000a").encode()


def _tls(
    ca_file: str | Path | None, certificate: str | Path | None, certificate_key: str | Path | None
) -> ssl.SSLContext:
    """The authorities that a service is trusted on, and our own certificate."""
    file = ca_file
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate is not None:
            file = certificate
            context.load_cert_chain(certificate, certificate_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{file} cannot be used: {error.strerror or error}") from None
    return context


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 1.0


def _reason(error: OSError | http.client.HTTPException) -> str:
    match error:
        case socket.gaierror():
            return "its name is not known"
        case ssl.SSLCertVerificationError():
            return f"TLS: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason or error}"
        case http.client.IncompleteRead():
            return "its answer breaks off"
        case OSError() if error.strerror:
            return error.strerror
    return str(error) or type(error).__name__
