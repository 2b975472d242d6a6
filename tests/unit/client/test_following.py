"""Following events over connections that break, servers that restart, and servers without streams."""

import itertools
import json

import pytest

from imframework.api.errors import Forbidden, IMError, NotFound
from imframework.api.model import Event
from imframework.client import Client, Unreachable, following


@pytest.fixture
def client(server):
    return Client(server.url, "h", persistence=1.0)


def numbers(events):
    return [event.sequence for event in events]


def asked_after(server):
    """The number that each request asks to go on from; header and parameter always agree."""
    for _, path, headers, _ in server.requests:
        assert headers["Last-Event-ID"] == path.partition("after=")[2]
        yield int(headers["Last-Event-ID"])


def test_a_stream_is_followed_to_the_deletion(server, client, stream, record):
    server.answers = [
        stream(record(1, vm=0, state="pending"), record(2, "log", text="one\ntwo\n"), record(3, "deleted"))
    ]

    assert list(client.follow("id-1")) == [
        Event("id-1", 1, 1.5, "state", {"vm": 0, "state": "pending"}),
        Event("id-1", 2, 1.5, "log", {"text": "one\ntwo\n"}),
        Event("id-1", 3, 1.5, "deleted", {}),
    ]
    ((_, path, headers, _),) = server.requests
    assert path == "/infrastructures/id-1/events?after=0"
    assert headers["Accept"].startswith("text/event-stream,")


def test_wherever_the_connection_breaks_every_event_comes_once(server, client, stream, record):
    records = [record(1), record(2), record(3, "deleted")]
    length = stream(*records).length

    def rest(handler):
        """What comes after what the client has, as a server sends it."""
        if handler.path.endswith("/state"):
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b'{"state": {"state": "running", "vm_states": {}}}')
        else:
            last = int(handler.headers["Last-Event-ID"])
            stream(*[each for each in records if each["id"] > last], retry=1)(handler)

    for cut in range(0, length, 7):
        server.answers, server.requests[:] = [stream(*records, upto=cut, retry=1), rest, rest, rest], []

        assert numbers(client.follow("id-1")) == [1, 2, 3], f"cut after {cut} bytes"


def test_a_server_that_repeats_itself_makes_no_duplicates(server, client, stream, record):
    server.answers = [stream(record(1), record(2)), stream(record(1), record(2), record(3, "deleted"))]

    assert numbers(client.follow("id-1")) == [1, 2, 3]


def test_a_hundred_reconnects_lose_nothing(server, client, stream, record):
    server.answers = [stream(record(n), retry=1) for n in range(1, 101)] + [stream(record(101, "deleted"))]

    assert numbers(client.follow("id-1")) == list(range(1, 102))
    assert list(asked_after(server)) == list(range(101))


def test_a_restart_of_the_server_is_survived_and_told(server, client, stream, record, hung_up):
    lost = []
    server.answers = [
        stream(record(1)),
        hung_up,
        (503, {"message": "starting", "code": 503}),
        (502, "<html>Bad Gateway</html>"),
        stream(record(2, "deleted")),
    ]

    assert numbers(client.follow("id-1", lost=lost.append)) == [1, 2]
    assert [str(error).rpartition(": ")[2] for error in lost][1] == "starting"
    assert len(lost) == 3


def test_a_server_that_does_not_come_back_is_given_up(server, stream, record):
    client = Client(server.url, "h", persistence=0.2)
    server.answers = [stream(record(1))]
    events = client.follow("id-1")

    assert next(events).sequence == 1
    with pytest.raises(Unreachable):
        next(events)


def test_pauses_between_attempts_grow_from_what_the_server_asks_for(server, monkeypatch, stream, record):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    client = Client(server.url, "h", persistence=60)
    server.answers = [stream(record(1), retry=1000)] + [(503, {"message": "no"})] * 10 + [stream(record(2, "deleted"))]

    assert numbers(client.follow("id-1")) == [1, 2]
    assert pauses[:3] == pytest.approx([1.0, 1.6, 2.56])
    assert pauses == sorted(pauses)
    assert max(pauses) == 20.0


def test_what_is_refused_is_not_asked_again(server, client, stream, record):
    for status, kind in ((404, NotFound), (403, Forbidden)):
        server.answers, server.requests[:] = [stream(record(1)), (status, {"message": "no", "code": status})], []

        events = client.follow("id-1")
        next(events)
        with pytest.raises(kind):
            next(events)
        assert len(server.requests) == 2


def test_who_asks_too_often_comes_again_when_told_to(server, client, stream, record, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.answers = [(429, {"message": "slowly"}, ("Retry-After", "7")), stream(record(1, "deleted"))]

    assert numbers(client.follow("id-1")) == [1]
    assert pauses == [7.0]


def test_who_comes_after_the_deletion_waits_for_nothing(server, client, stream):
    server.answers = [stream(), (404, {"message": "Deleted infrastructure.", "code": 404}), (200, {"events": []})]

    assert list(client.follow("id-1", 7)) == []


def test_a_stream_that_ends_without_events_is_taken_up_again_while_there_is_an_infrastructure(
    server, client, stream, record
):
    state = {"state": {"state": "configured", "vm_states": {}}}
    server.answers = [stream(), (200, state), stream(record(8, "deleted"))]

    assert numbers(client.follow("id-1", 7)) == [8]


def test_the_account_is_followed_by_position(server, client, stream, record):
    server.answers = [
        stream({**record(7, "deleted"), "sequence": 3}),
        stream({**record(9), "infrastructure": "b", "sequence": 1}),
    ]

    events = list(itertools.islice(client.follow(after=6), 2))

    assert events == [
        Event("id-1", 3, 1.5, "deleted", {}, position=7),
        Event("b", 1, 1.5, "state", {}, position=9),
    ]
    assert list(asked_after(server)) == [6, 7]


def test_the_audit_is_followed_by_number(server, client, stream):
    server.answers = [
        stream({"id": 4, "type": "audit", "time": 1.5, "users": ["ana"], "address": "", "operation": "list"})
    ]

    found = next(client.follow_audit(3))

    assert (found.id, found.users, found.operation) == (4, ("ana",), "list")


def test_a_server_without_streams_is_asked_for_pages(server, client, record, monkeypatch):
    monkeypatch.setattr(following, "PAGE", 2)
    media_type = ("Content-Type", "application/json")
    server.answers = [
        (200, {"events": [record(1), record(2)]}, media_type),
        (200, {"events": []}, media_type),
        (200, {"events": [record(3, "deleted")]}, media_type),
    ]

    assert numbers(client.follow("id-1")) == [1, 2, 3]
    assert list(asked_after(server)) == [0, 2, 2]


def test_nothing_is_read_before_it_is_wanted(server, client, stream, record):
    """A reader that is slow holds up the server, and holds one event."""
    written = []

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for number in range(1, 1_000_000):
                line = json.dumps({"id": number, "time": 0, "type": "log", "data": {"text": "x" * 10_000}})
                handler.wfile.write(f"data: {line}\n\n".encode())
                written.append(number)
        except OSError:
            handler.close_connection = True

    server.answers = [endless]
    events = client.follow("id-1")
    assert numbers(itertools.islice(events, 3)) == [1, 2, 3]
    events.close()

    assert len(written) < 10_000


@pytest.mark.parametrize("line", ["x" * 5000, "data: no json\n\n", "data: {}\n\n", "data: []\n\n"])
def test_what_is_no_stream_of_events_is_an_error(server, client, line, monkeypatch):
    monkeypatch.setattr(following, "MAX_LINE", 1000)
    server.answers = [(200, line, ("Content-Type", "text/event-stream"))]

    with pytest.raises(IMError, match="events"):
        list(client.follow("id-1"))
