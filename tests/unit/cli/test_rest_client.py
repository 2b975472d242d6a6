"""The client of the REST API, against servers that answer in every way there is."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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
from imframework.api.model import Event
from imframework.api.service import Document, Language, StateReport
from imframework.cli.client import Unreachable
from imframework.cli.rest_client import RestClient


@pytest.fixture
def server():
    """An HTTP server with answers put into `answers` (status and body); what it was asked is in `requests`."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            self.server.requests.append((self.command, self.path, dict(self.headers), body))
            status, text = self.server.answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write((text if isinstance(text, str) else json.dumps(text)).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(server):
    return RestClient(server.url + "/im/", "the header")


def test_each_operation_is_the_request_that_the_api_describes(server, client):
    base = "http://elsewhere/im/infrastructures"
    server.answers = [
        (200, {"uri": f"{base}/id-1"}),
        (200, {"uri-list": [{"uri": f"{base}/id-1"}, {"uri": f"{base}/id-2"}]}),
        (200, {"state": {"state": "running", "vm_states": {"10": "running", "2": "pending"}}}),
        (200, {"uri-list": [{"uri": f"{base}/id-1/vms/0"}, {"uri": f"{base}/id-1/vms/7"}]}),
        (200, {"radl": [{"class": "system", "id": "a"}]}),
        (200, {"contmsg": "all of it"}),
        (200, {"contmsg": "of one"}),
        (200, {"events": [{"id": 4, "time": 1.5, "type": "state", "data": {"vm": 0, "state": "running"}}]}),
        (200, {"create": []}),
        (200, ""),
        (200, ""),
    ]

    assert client.create(Document("deploy a 1", Language.RADL)) == "id-1"
    assert client.list() == ["id-1", "id-2"]
    assert client.state("id-1") == StateReport("running", {2: "pending", 10: "running"})
    assert client.machines("id-1") == [0, 7]
    assert client.info("id-1", 7) == [{"class": "system", "id": "a"}]
    assert client.contmsg("id-1") == "all of it"
    assert client.contmsg("id-1", 7) == "of one"
    assert client.events("id-1", 3) == [Event("id-1", 4, 1.5, "state", {"vm": 0, "state": "running"})]
    assert client.plan(Document("[]", Language.RADL_JSON)) == {"create": []}
    client.destroy("id-1")
    client.destroy("id-1", force=True)

    assert [(method, path) for method, path, _, _ in server.requests] == [
        ("POST", "/im/infrastructures?async=true"),
        ("GET", "/im/infrastructures"),
        ("GET", "/im/infrastructures/id-1/state"),
        ("GET", "/im/infrastructures/id-1"),
        ("GET", "/im/infrastructures/id-1/vms/7"),
        ("GET", "/im/infrastructures/id-1/contmsg"),
        ("GET", "/im/infrastructures/id-1/vms/7/contmsg"),
        ("GET", "/im/infrastructures/id-1/events?after=3&limit=1000"),
        ("POST", "/im/infrastructures/plan"),
        ("DELETE", "/im/infrastructures/id-1?async=true"),
        ("DELETE", "/im/infrastructures/id-1?async=true&force=true"),
    ]
    assert {headers["Authorization"] for _, _, headers, _ in server.requests} == {"the header"}
    assert server.requests[0][2]["Content-Type"] == "text/plain"
    assert server.requests[0][3] == "deploy a 1"
    assert server.requests[8][2]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidRequest),
        (500, InternalError),
        (503, Unreachable),
    ],
)
def test_an_error_is_raised_with_the_text_of_the_service(server, client, status, kind):
    server.answers = [(status, {"message": "Error Creating Inf.: Line 3: what", "code": status})]

    with pytest.raises(kind) as caught:
        client.state("id-1")

    assert str(caught.value) == "Error Creating Inf.: Line 3: what"


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (502, "<html>Bad Gateway</html>", Unreachable, "answered 502 Bad Gateway"),
        (404, "no such page", NotFound, "answered 404 Not Found"),
        (302, "", InvalidRequest, "answered 302 Found"),
        (200, "<html>Welcome</html>", IMError, "not that of an Infrastructure Manager"),
        (200, '{"welcome": true}', IMError, "has no 'state'"),
        (200, "[]", IMError, "has no 'state'"),
        (200, "", IMError, "has no 'state'"),
    ],
)
def test_whatever_else_answers_there_is_told_apart(server, client, status, text, kind, said):
    server.answers = [(status, text)]

    with pytest.raises(kind, match=said):
        client.state("id-1")


def test_an_id_cannot_reach_another_resource(server, client):
    server.answers = [(404, {"message": "no", "code": 404})]

    with pytest.raises(NotFound):
        client.state("../version?x=")

    assert server.requests[0][1] == "/im/infrastructures/..%2Fversion%3Fx%3D/state"


def test_nobody_listening_is_said_with_the_url():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(Unreachable, match=f"http://127.0.0.1:{port} cannot be reached: Connection refused"):
        RestClient(f"http://127.0.0.1:{port}", "h").list()


def test_a_service_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = RestClient(f"http://127.0.0.1:{silent.getsockname()[1]}", "h", patience=0.2)
        with pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"):
            client.list()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH\r\n"])
def test_an_answer_that_breaks_off_or_is_no_http_is_no_answer(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unreachable, match="cannot be reached"):
            RestClient(f"http://127.0.0.1:{listening.getsockname()[1]}", "h").list()
        thread.join()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8800", "ftp://x", "http://", "http://h:99999", "http://h/?q=1", "http://h:x"]
)
def test_what_is_no_url_of_a_service_is_refused(url):
    with pytest.raises(ConfigurationError, match="URL"):
        RestClient(url, "h")


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        RestClient("http://me:hush@h", "h")

    assert "hush" not in str(caught.value)
