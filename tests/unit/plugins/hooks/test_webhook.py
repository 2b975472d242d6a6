"""The plugin `webhook` against a real HTTP server that fails in every way a receiver can."""

import hashlib
import hmac
import json
import queue
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest
import stamina

from imframework.api.errors import ConfigurationError
from imframework.api.hooks import InfrastructureSummary
from imframework.api.model import Event, VMState
from imframework_plugins.hooks.webhook import declaration, delivery
from imframework_plugins.hooks.webhook.plugin import Webhook

PATIENCE = 30


@dataclass
class Request:
    path: str
    headers: dict
    body: bytes

    @property
    def sequence(self):
        return json.loads(self.body)["event"]["sequence"]


class Receiver:
    """An HTTP server that treats each request as the next entry of `script` says, and the rest with 204.

    An entry is a status, "close" (the connection, unanswered), "hang" (until the test ends) or "redirect".
    """

    def __init__(self):
        self.script = []
        self.requests = queue.Queue()
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                treatment = receiver.script.pop(0) if receiver.script else 204
                receiver.requests.put(Request(self.path, dict(self.headers), body))
                if treatment == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if treatment == "hang":
                    receiver.released.wait(PATIENCE)
                    return
                self.send_response(302 if treatment == "redirect" else treatment)
                if treatment == "redirect":
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook/s3cret?key=s3cret"

    def next(self):
        return self.requests.get(timeout=PATIENCE)

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def make(receiver):
    """Makes a plugin that sends to the receiver, with other options on demand."""
    made = []

    def make(**options):
        plugin = Webhook({"WEBHOOK_URLS": (receiver.url,), "WEBHOOK_TIMEOUT": PATIENCE, **options})
        made.append(plugin)
        return plugin

    yield make
    receiver.released.set()
    for plugin in made:
        plugin.close()


@pytest.fixture(autouse=True)
def _no_pause_between_tries():
    with stamina.set_testing(True, attempts=delivery.ATTEMPTS):
        yield


INFRASTRUCTURE = InfrastructureSummary("inf-1", "cluster", ("ana",), VMState.RUNNING)


def event(sequence, kind="state", **data):
    return Event("inf-1", sequence, 1700000000.5, kind, data)


def test_an_event_is_posted_as_json(make, receiver):
    nested = MappingProxyType({"vm": 1, "to": VMState.RUNNING, "tags": MappingProxyType({"a": "ñ"})})
    make().imframework_event(INFRASTRUCTURE, Event("inf-1", 7, 1700000000.5, "state", nested))

    request = receiver.next()

    assert json.loads(request.body) == {
        "infrastructure": {"id": "inf-1", "name": "cluster", "state": "running", "owners": ["ana"]},
        "event": {
            "sequence": 7,
            "time": 1700000000.5,
            "type": "state",
            "data": {"vm": 1, "to": "running", "tags": {"a": "ñ"}},
        },
    }
    assert request.path == "/hook/s3cret?key=s3cret"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Im-Event"] == "state"
    assert request.headers["X-Im-Delivery"] == "inf-1/7"
    assert "X-Im-Signature" not in request.headers


def test_the_body_is_signed_with_the_secret(make, receiver):
    make(WEBHOOK_SECRET="köy").imframework_event(INFRASTRUCTURE, event(1))

    request = receiver.next()

    expected = hmac.new("köy".encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Im-Signature"] == f"sha256={expected}"


def test_only_the_wanted_types_are_sent(make, receiver):
    plugin = make(WEBHOOK_EVENTS=("state", "operation"))

    for sequence, kind in enumerate(["log", "state", "step", "operation"]):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence, kind))

    assert [receiver.next().sequence for _ in range(2)] == [1, 3]


def test_log_lines_are_sent_to_those_only_who_want_them(make, receiver):
    make().imframework_event(INFRASTRUCTURE, event(1, "log"))
    make(WEBHOOK_EVENTS=("log",)).imframework_event(INFRASTRUCTURE, event(2, "log"))

    assert receiver.next().sequence == 2


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, "close"])
def test_an_event_is_sent_again_until_it_is_taken_and_the_order_is_kept(make, receiver, trouble):
    receiver.script = [trouble, trouble, 200]
    plugin = make()

    for sequence in (1, 2):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence))

    requests = [receiver.next() for _ in range(4)]
    assert [request.sequence for request in requests] == [1, 1, 1, 2]
    assert len({request.body for request in requests}) == 2
    assert {request.headers["X-Im-Delivery"] for request in requests[:3]} == {"inf-1/1"}


def test_a_receiver_that_hangs_is_tried_again_after_the_time_out(make, receiver):
    receiver.script = ["hang"]
    make(WEBHOOK_TIMEOUT=0.3).imframework_event(INFRASTRUCTURE, event(1))

    assert [receiver.next().sequence for _ in range(2)] == [1, 1]


def test_an_event_that_is_not_taken_is_given_up_and_the_next_one_sent(make, receiver, caplog):
    receiver.script = [503] * delivery.ATTEMPTS
    plugin = make()

    for sequence in (1, 2):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence, password="hidden"))

    assert [receiver.next().sequence for _ in range(delivery.ATTEMPTS + 1)] == [1] * delivery.ATTEMPTS + [2]
    assert "did not get notice inf-1/1: it answered 503" in caplog.text
    assert "s3cret" not in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "text"),
    [(400, "it answered 400"), (401, "it answered 401"), ("redirect", "it answered 302; redirects are not followed")],
)
def test_a_refused_event_is_not_sent_again(make, receiver, caplog, answer, text):
    receiver.script = [answer]
    plugin = make()

    for sequence in (1, 2):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence))

    assert [receiver.next().sequence for _ in range(2)] == [1, 2]
    assert text in caplog.text
    assert "s3cret" not in caplog.text


def test_a_dead_receiver_does_not_keep_events_from_another(make, receiver):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        make(WEBHOOK_URLS=(dead, receiver.url)).imframework_event(INFRASTRUCTURE, event(1))

        assert receiver.next().sequence == 1


@pytest.mark.parametrize("bound", ["MAX_NOTICES", "MAX_BYTES"])
def test_what_a_slow_receiver_cannot_take_is_dropped_and_counted(make, receiver, caplog, monkeypatch, bound):
    monkeypatch.setattr(delivery, bound, {"MAX_NOTICES": 2, "MAX_BYTES": 400}[bound])
    receiver.script = ["hang"]
    plugin = make()
    plugin.imframework_event(INFRASTRUCTURE, event(1))
    receiver.next()

    for sequence in range(2, 8):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence))

    assert "4 notices were dropped so far" in caplog.text
    receiver.released.set()
    assert [receiver.next().sequence for _ in range(3)] == [1, 2, 3]


def test_an_event_that_is_no_json_is_logged_and_harms_nothing(make, receiver, caplog):
    plugin = make()

    plugin.imframework_event(INFRASTRUCTURE, event(1, value=float("nan")))
    plugin.imframework_event(INFRASTRUCTURE, event(2))

    assert receiver.next().sequence == 2
    assert "Event inf-1/1 cannot be sent: ValueError" in caplog.text


def test_closing_sends_what_is_queued(make, receiver):
    plugin = make()
    for sequence in range(20):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence))

    plugin.close()

    assert [receiver.next().sequence for _ in range(20)] == list(range(20))
    plugin.imframework_event(INFRASTRUCTURE, event(21))
    assert receiver.requests.empty()


def test_closing_does_not_wait_for_a_receiver_that_hangs(make, receiver, caplog):
    receiver.script = ["hang"]
    plugin = make()
    for sequence in (1, 2):
        plugin.imframework_event(INFRASTRUCTURE, event(sequence))
    receiver.next()

    plugin.close()

    assert "2 notices are given up" in caplog.text


@pytest.mark.parametrize(
    "urls", [(), ("ftp://host/s3cret",), ("/s3cret",), ("http://",), ("http://h:port/s3cret",), ("http://[x/s3cret",)]
)
def test_only_complete_http_urls_are_accepted(urls):
    with pytest.raises(ConfigurationError, match="WEBHOOK_URLS") as caught:
        Webhook({"WEBHOOK_URLS": urls})
    assert "s3cret" not in str(caught.value)


def test_urls_and_the_signing_key_are_declared_secret():
    assert {option.name for option in declaration.info.options if option.secret} == {"WEBHOOK_URLS", "WEBHOOK_SECRET"}
