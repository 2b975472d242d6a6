"""Server-sent events on the wire: framing, resuming, signs of life, and how a stream ends."""

import asyncio
import socket
from contextlib import suppress

import pytest

from imframework.api.errors import Forbidden, StorageUnavailable, Unauthenticated
from imframework.api.model import AuditRecord, Event
from imframework_plugins.frontends.rest import streaming

FIRST = Event("inf", 1, 5.5, "state", {"state": "line\nbreak ñ"}, 41)
SECOND = Event("inf", 2, 6.5, "deleted", {"left": []}, 44)
BEGINNING = b"retry: 1000\n\n"
FRAMES = (
    b'id: 1\nevent: state\ndata: {"id":1,"infrastructure":"inf","time":5.5,"type":"state",'
    b'"data":{"state":"line\\nbreak \\u00f1"}}\n\n'
    b'id: 2\nevent: deleted\ndata: {"id":2,"infrastructure":"inf","time":6.5,"type":"deleted","data":{"left":[]}}\n\n'
)
SSE = {"Accept": "text/event-stream"}


def following(server, *items, then=None):
    """Have `follow` tell these and then end, or wait for `then`; what it was asked for."""
    asked = []

    async def follow(caller, infrastructure=None, after=0):
        asked.append((infrastructure, after))
        for item in items:
            yield item
        if then is not None:
            await then()

    server.service.follow = follow
    return asked


def for_ever():
    return asyncio.Event().wait()


def head(server, *lines, version="1.1"):
    text = f"GET /infrastructures/inf/events HTTP/{version}\r\nHost: x\r\nAuthorization: ana\r\n"
    return (text + "".join(f"{line}\r\n" for line in ("Accept: text/event-stream", *lines)) + "\r\n").encode()


def received(connection, *, until):
    """What the server sends until something comes."""
    data = b""
    while until not in data:
        piece = connection.recv(65536)
        assert piece, f"the connection was closed after {data!r}"
        data += piece
    return data


def test_events_are_framed_and_the_stream_ends_in_order(server, infrastructure):
    following(server, FIRST, SECOND)
    answer = server.get("/infrastructures/inf/events", **SSE)
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.body == BEGINNING + FRAMES


def test_the_connection_goes_on_after_a_stream(server, infrastructure):
    following(server, FIRST)
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(head(server))
            assert received(connection, until=b"\r\n0\r\n\r\n").count(b"event: state") == 1


def test_events_of_the_account_are_numbered_by_their_position(server):
    asked = following(server, FIRST)
    answer = server.get("/events?after=40", **SSE)
    assert answer.body.startswith(BEGINNING + b'id: 41\nevent: state\ndata: {"id":41,"infrastructure":"inf",')
    assert b'"sequence":1' in answer.body
    assert asked == [(None, 40)]


def test_audit_records_are_streamed_without_the_keys_of_their_owners(server):
    async def follow_audit(caller, after=0):
        yield AuditRecord(
            5.5, ("ana",), "192.0.2.1", "stop", "inf/1", owner_keys=frozenset({"key-of-ana"}), id=after + 1
        )

    server.service.follow_audit = follow_audit
    answer = server.get("/audit", **SSE, Last_Event_ID="7")
    assert answer.body == BEGINNING + (
        b'id: 8\nevent: audit\ndata: {"id":8,"time":5.5,"users":["ana"],"address":"192.0.2.1","front_end":"",'
        b'"operation":"stop","target":"inf/1","result":"ok","message":""}\n\n'
    )


@pytest.mark.parametrize(
    ("query", "header", "after"), [("", None, 0), ("?after=5", None, 5), ("?after=5", "7", 7), ("?after=5", "", 5)]
)
def test_a_stream_begins_where_the_last_one_was_cut(server, infrastructure, query, header, after):
    asked = following(server)
    assert server.get(f"/infrastructures/inf/events{query}", **SSE, Last_Event_ID=header).body == BEGINNING
    assert asked == [("inf", after)]


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 400])
def test_a_number_that_is_none_is_refused(server, infrastructure, number):
    answer = server.get("/infrastructures/inf/events", **SSE, Last_Event_ID=number)
    assert (answer.status, answer.text) == (400, "Incorrect value in Last-Event-ID header: not a number")


def test_errors_are_answers_and_not_streams(server, infrastructure):
    assert server.get("/infrastructures/foreign/events", **SSE).status == 403
    assert server.get("/infrastructures/none/events", **SSE).status == 404
    assert server.get("/infrastructures/inf/events", **SSE, auth="nobody").status == 401


@pytest.mark.parametrize(
    ("accept", "streams"),
    [(None, False), ("*/*", False), ("application/json, text/event-stream", False), ("text/event-stream, */*", True)],
)
def test_a_stream_must_be_asked_for_by_name(server, infrastructure, accept, streams):
    following(server)
    answer = server.get("/infrastructures/inf/events", Accept=accept)
    assert answer.media_type == ("text/event-stream" if streams else "application/json")


def test_head_says_what_get_would_and_sends_nothing(server, infrastructure):
    following(server, FIRST)
    with server.connect() as connection:
        connection.sendall(head(server).replace(b"GET", b"HEAD", 1) + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        data = received(connection, until=b"1.2.3")
    assert b"Content-Type: text/event-stream" in data
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert b"retry" not in data


@pytest.mark.parametrize("lines", [(), ("Connection: keep-alive",)])
def test_for_old_clients_the_end_of_the_connection_is_the_end(server, infrastructure, lines):
    following(server, FIRST, SECOND)
    sent_head, _, body = server.raw(head(server, *lines, version="1.0")).partition(b"\r\n\r\n")
    assert b"Connection: close" in sent_head
    assert b"chunked" not in sent_head
    assert body == BEGINNING + FRAMES


def test_signs_of_life_come_while_nothing_happens(server, infrastructure, monkeypatch):
    monkeypatch.setattr(streaming, "KEEP_ALIVE", 0.05)
    following(server, FIRST, then=for_ever)
    with server.connect() as connection:
        connection.sendall(head(server))
        received(connection, until=b": keep-alive\n\n\r\ne\r\n: keep-alive\n\n")


def test_a_client_that_goes_away_is_not_told_any_more(server, infrastructure):
    ended = []

    async def wait():
        try:
            await for_ever()
        finally:
            ended.append(True)

    following(server, FIRST, then=wait)
    with server.connect() as connection:
        connection.sendall(head(server))
        received(connection, until=b"event: state")
    server.until(lambda: ended)


def test_a_client_that_takes_nothing_is_dropped_and_nothing_made_for_it(serve):
    server = serve(REQUEST_TIMEOUT=1)
    server.service.infrastructures["inf"] = [0]
    made = []

    async def follow(caller, infrastructure=None, after=0):
        with suppress(GeneratorExit):
            while True:
                made.append(len(made))
                yield Event("inf", len(made), 0.0, "log", {"text": "x" * 16_000})
        made.append(None)

    server.service.follow = follow
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.host, server.port))
        connection.sendall(head(server))
        server.until(lambda: made and made[-1] is None)
    assert len(made) < 2000  # what the buffers of the system take, which is a few MB


def test_stopping_ends_streams_in_order(server, infrastructure):
    following(server, FIRST, then=for_ever)
    with server.connect() as connection:
        connection.sendall(head(server))
        data = received(connection, until=b"event: state")
        server.run(server.front_end.stop())
        while piece := connection.recv(65536):
            data += piece
    assert data.endswith(b"\r\n0\r\n\r\n")


def test_a_stream_ends_once_its_credentials_are_not_accepted_any_more(server, infrastructure, monkeypatch):
    monkeypatch.setattr(streaming, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(streaming, "RECHECK", 0.05)
    following(server, FIRST, then=for_ever)
    accepted = server.service.authenticate

    async def authenticate(credentials, address=""):
        if authenticate.revoked:
            raise Unauthenticated("no more")
        return await accepted(credentials, address)

    authenticate.revoked = False
    server.service.authenticate = authenticate
    with server.connect() as connection:
        connection.sendall(head(server))
        received(connection, until=b"event: state")
        authenticate.revoked = True
        received(connection, until=b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(("error", "whole"), [(Forbidden("no more"), True), (StorageUnavailable("away"), False)])
def test_a_stream_that_cannot_go_on_is_cut_unless_that_is_meant(server, infrastructure, error, whole):
    """A client that is cut off comes back; one whose stream has ended need not."""

    async def fail():
        raise error

    following(server, FIRST, then=fail)
    data = server.raw(head(server, "Connection: close"))
    assert b"event: state" in data
    assert data.endswith(b"\r\n0\r\n\r\n") == whole
