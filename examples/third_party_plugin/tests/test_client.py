"""Every failure of a call says what is known of its effect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from imframework.api.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRejected,
    OutcomeUnknown,
    QuotaExceeded,
)

from imframework_example.client import Client, Missing

Answering = Callable[[bytes], Client]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Makes clients of a cloud that reads one request, answers with these bytes, and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(answer: bytes) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    def answering(answer: bytes) -> Client:
        thread = threading.Thread(target=serve, args=(answer,), daemon=True)
        thread.start()
        threads.append(thread)
        return client(server.getsockname()[1])

    threads: list[threading.Thread] = []
    with server:
        yield answering
        for thread in threads:
            thread.join(10)


def client(port: int, timeout: float = 10) -> Client:
    return Client(f"http://127.0.0.1:{port}", "demo", "planted-secret", timeout)


def response(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, CloudRefused),
        (400, CloudRefused),
        (401, CredentialsRejected),
        (403, QuotaExceeded),
        (404, Missing),
        (409, CloudBusy),
        (429, CloudUnavailable),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, CloudUnavailable),
    ],
)
def test_a_status_becomes_an_error(answering: Answering, status: int, error: type[CloudError]) -> None:
    with pytest.raises(CloudError) as caught:
        answering(response(status, '{"error": "no luck"}')).call("POST", "/machines", {})

    assert type(caught.value) is error


def test_the_reason_of_the_cloud_is_passed_on(answering: Answering) -> None:
    with pytest.raises(CloudRefused, match=r"^The cloud refuses: no luck\.$"):
        answering(response(400, '{"error": "no luck"}')).call("POST", "/machines", {})


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", response(200, "{}")[:-1], response(200, "<html>a proxy</html>"), b"\x16\x03\x01\r\n\r\n"],
    ids=["nothing", "half a line", "half a body", "no JSON", "no HTTP"],
)
def test_an_answer_that_gets_lost_leaves_the_outcome_unknown(answering: Answering, answer: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        answering(answer).call("POST", "/machines", {})


def test_a_cloud_that_never_answers_leaves_the_outcome_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OutcomeUnknown):
        client(silent.getsockname()[1], timeout=0.1).call("POST", "/machines", {})


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(CloudUnavailable):
        client(port).call("POST", "/machines", {})


def test_no_error_shows_the_password(answering: Answering) -> None:
    for answer in (b"", response(401, "{}"), response(500, "")):
        with pytest.raises(CloudError) as caught:
            answering(answer).call("GET", "/machines")
        assert "planted-secret" not in str(caught.value)
