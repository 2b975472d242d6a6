"""A service reached by its REST API. One connection for each request, and no request without a deadline."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from imframework.api.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    IMError,
    InternalError,
    InvalidRequest,
    NotFound,
    Unauthenticated,
)
from imframework.api.model import JSON, Event
from imframework.api.service import Document, Language, Outputs, StateReport
from imframework.cli.client import EVENTS_PAGE, Unreachable

#: Seconds that the service may be silent. A plan asks the clouds, which takes as long as the slowest of them.
PATIENCE = 30.0
PLAN_PATIENCE = 300.0

#: Largest answer that is taken, in bytes: a log can be long, but nothing sensible is longer.
MAX_ANSWER = 256 * 1024**2

_MEDIA_TYPES = {
    Language.RADL: "text/plain",
    Language.RADL_JSON: "application/json",
    Language.TOSCA: "text/yaml",
}
_ERRORS: Mapping[int, type[IMError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
}
#: Answers of a proxy, or of a service that cannot answer now: worth another try.
_UNAVAILABLE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class RestClient:
    """A `Client` for the service at a URL."""

    def __init__(self, url: str, authorization: str, *, patience: float = PATIENCE) -> None:
        """`url` may have a path; `authorization` is the value of the Authorization header.

        The service may be silent for `patience` seconds.

        Raises:
            ConfigurationError: not a URL of a service.
        """
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
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, port
        self._root = quote(parts.path.rstrip("/"), safe="/%")
        self._authorization = authorization
        self._patience = patience

    def plan(self, document: Document, infrastructure: str | None = None) -> JSON:
        """See `Client.plan`."""
        path = "/infrastructures/plan" if infrastructure is None else _path(infrastructure, "plan")
        return self._ask("POST", path, document=document, patience=PLAN_PATIENCE)

    def apply(self, plan: str) -> str:
        """See `Client.apply`."""
        answer = self._ask("POST", f"/infrastructures/plan/{quote(plan, safe='')}", {"async": "true"})
        return _last_segment(_member(answer, "uri"))

    def outputs(self, infrastructure: str) -> Outputs:
        """See `Client.outputs`."""
        answer = self._ask("GET", _path(infrastructure, "outputs"))
        return Outputs(_member(answer, "outputs"), answer.get("missing", {}))

    def create(self, document: Document) -> str:
        """See `Client.create`."""
        answer = self._ask("POST", "/infrastructures", {"async": "true"}, document=document)
        return _last_segment(_member(answer, "uri"))

    def list(self) -> Sequence[str]:
        """See `Client.list`."""
        answer = self._ask("GET", "/infrastructures")
        return [_last_segment(_member(entry, "uri")) for entry in _member(answer, "uri-list")]

    def state(self, infrastructure: str) -> StateReport:
        """See `Client.state`."""
        report = _member(self._ask("GET", _path(infrastructure, "state")), "state")
        states = {int(number): str(state) for number, state in _member(report, "vm_states").items()}
        return StateReport(str(_member(report, "state")), dict(sorted(states.items())))

    def machines(self, infrastructure: str) -> Sequence[int]:
        """See `Client.machines`."""
        answer = self._ask("GET", _path(infrastructure))
        return [int(_last_segment(_member(entry, "uri"))) for entry in _member(answer, "uri-list")]

    def info(self, infrastructure: str, vm: int) -> Sequence[Mapping[str, JSON]]:
        """See `Client.info`."""
        found: Sequence[Mapping[str, JSON]] = _member(self._ask("GET", _path(infrastructure, f"vms/{vm}")), "radl")
        return found

    def contmsg(self, infrastructure: str, vm: int | None = None) -> str:
        """See `Client.contmsg`."""
        member = "contmsg" if vm is None else f"vms/{vm}/contmsg"
        return str(_member(self._ask("GET", _path(infrastructure, member)), "contmsg"))

    def events(self, infrastructure: str, after: int = 0) -> Sequence[Event]:
        """See `Client.events`."""
        query = {"after": str(after), "limit": str(EVENTS_PAGE)}
        answer = self._ask("GET", _path(infrastructure, "events"), query)
        return [
            Event(infrastructure, event["id"], event["time"], event["type"], event["data"])
            for event in _member(answer, "events")
        ]

    def destroy(self, infrastructure: str, *, force: bool = False) -> None:
        """See `Client.destroy`."""
        query = {"async": "true", **({"force": "true"} if force else {})}
        self._ask("DELETE", _path(infrastructure), query)

    # --- one request ---------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        document: Document | None = None,
        patience: float | None = None,
    ) -> JSON:
        """Send a request and return the JSON of its answer (None if that is empty)."""
        headers = {"Authorization": self._authorization, "Accept": "application/json", "Connection": "close"}
        body = None
        if document is not None:
            headers["Content-Type"] = _MEDIA_TYPES[document.language]
            body = document.text.encode()
        target = self._root + path + (f"?{urlencode(query)}" if query else "")
        patience = patience or self._patience
        connection = self._connection(patience)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
            if len(content) <= MAX_ANSWER and response.length:
                raise http.client.IncompleteRead(content, response.length)
        except TimeoutError:
            raise Unreachable(f"{self.url} did not answer within {patience:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.url} cannot be reached: {_reason(error)}") from None
        finally:
            connection.close()
        if len(content) > MAX_ANSWER:
            raise IMError(f"The answer of {self.url} is larger than {MAX_ANSWER} bytes")
        text = content.decode("utf-8", "replace")
        if not 200 <= response.status < 300:
            raise self._error(response.status, response.reason, text)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise IMError(f"The answer of {self.url} is not that of an Infrastructure Manager") from None

    def _connection(self, patience: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=patience, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=patience)

    def _error(self, status: int, reason: str, text: str) -> IMError:
        """The error that an answer stands for, with the text of the service."""
        try:
            message = str(_member(json.loads(text), "message"))
        except (ValueError, IMError):
            message = f"{self.url} answered {status} {reason}"
        if status in _UNAVAILABLE:
            return Unreachable(message)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return InternalError(message)
        return _ERRORS.get(status, InvalidRequest)(message)


def _path(infrastructure: str, member: str = "") -> str:
    return f"/infrastructures/{quote(infrastructure, safe='')}" + (f"/{member}" if member else "")


def _last_segment(uri: JSON) -> str:
    return str(uri).rstrip("/").rpartition("/")[2]


def _member(answer: JSON, name: str) -> JSON:
    """A member of an answer that must have it."""
    if not isinstance(answer, dict) or name not in answer:
        raise IMError(f"The service's answer has no '{name}': it is not that of an Infrastructure Manager")
    return answer[name]


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, http.client.IncompleteRead):
        return "its answer breaks off"
    return str(error) or type(error).__name__
