"""The API of the cloud: HTTP requests out, JSON in, and every failure as an error of the framework.

What a failure says about the effect of a call is decided here, where it is known how far the call has come.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from imframework.api.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRejected,
    OutcomeUnknown,
    QuotaExceeded,
)


class Missing(CloudRefused):
    """There is nothing at that path."""


#: What the cloud means by a status. By another one below 500 it means that it will never do this.
ERRORS: Mapping[int, type[CloudError]] = {
    HTTPStatus.UNAUTHORIZED: CredentialsRejected,
    HTTPStatus.FORBIDDEN: QuotaExceeded,
    HTTPStatus.NOT_FOUND: Missing,
    HTTPStatus.CONFLICT: CloudBusy,
    HTTPStatus.TOO_MANY_REQUESTS: CloudUnavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: CloudUnavailable,
}


class Client:
    """One account. Every call has a connection of its own, so any number of threads may call at once."""

    def __init__(self, address: str, username: str, password: str, timeout: float) -> None:
        """`timeout` is in seconds, for the connection and for each piece of the answer.

        Raises:
            CredentialsRejected: the address is no http or https URL.
        """
        try:
            parts = urlsplit(address)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme not in ("http", "https"):
            raise CredentialsRejected("The host of the cloud must be a complete http or https URL.")
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = parts.path.rstrip("/")
        self._timeout = timeout
        login = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer.

        Raises:
            CloudUnavailable: nothing was sent, or the cloud says that it has done nothing for now.
            OutcomeUnknown: it was sent, and what became of it is not known.
            CloudRefused: the cloud will not do it; `Missing`, `CredentialsRejected`, `QuotaExceeded` say more.
            CloudBusy: not while something else is going on.
        """
        status, text = self._exchange(method, path, "" if body is None else json.dumps(body))
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None  # a proxy's error page, perhaps: its status says enough
        if status == HTTPStatus.OK and answer is not None:
            return answer
        if status in ERRORS or 300 <= status < 500:
            reason = answer.get("error") if isinstance(answer, dict) else None
            raise ERRORS.get(status, CloudRefused)(f"The cloud refuses: {reason or f'status {status}'}.")
        raise OutcomeUnknown(f"The cloud failed in {method} {path} (status {status}).")

    def _exchange(self, method: str, path: str, body: str) -> tuple[int, bytes]:
        connection = self._connection(self._host, self._port, timeout=self._timeout)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise CloudUnavailable(f"The cloud cannot be reached: {error.strerror or error}.") from None
            try:
                connection.request(method, self._path + path, body, self._headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, HTTPException) as error:
                what = type(error).__name__
                raise OutcomeUnknown(f"The cloud did not answer {method} {path} ({what}).") from None
        finally:
            connection.close()
