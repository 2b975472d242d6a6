"""The operations of the client, against servers that answer in every way there is."""

import socket
import threading
from datetime import date

import pytest

from imframework.api.errors import (
    CloudError,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    IdempotencyMismatch,
    IMError,
    InternalError,
    InvalidDocument,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Problem,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)
from imframework.api.model import AuditRecord, Event, Image, Quota
from imframework.client import Client, Document, Language, Outputs, StateReport, Unreachable
from imframework.core.credentials import parse_header


@pytest.fixture
def client(server):
    return Client(server.url + "/im/", "the header")


BASE = "http://elsewhere/im/infrastructures"
DOCUMENT = Document("deploy a 1", Language.RADL)

#: What is called, what the service answers, what it is asked (after /im), and what comes out.
OPERATIONS = {
    "list": (
        lambda c: c.list(),
        {"uri-list": [{"uri": f"{BASE}/id-1"}, {"uri": f"{BASE}/b"}]},
        "GET /infrastructures",
        ["id-1", "b"],
    ),
    "list by pattern": (lambda c: c.list("a b"), {"uri-list": []}, "GET /infrastructures?filter=a+b", []),
    "create": (
        lambda c: c.create(DOCUMENT, asynchronous=True),
        {"uri": f"{BASE}/id-1"},
        "POST /infrastructures?async=true",
        "id-1",
    ),
    "create and wait": (lambda c: c.create("deploy a 1"), {"uri": f"{BASE}/id-1"}, "POST /infrastructures", "id-1"),
    "estimate": (lambda c: c.estimate(DOCUMENT), {"one": {}}, "POST /infrastructures?dry_run=true", {"one": {}}),
    "validate": (
        lambda c: c.validate(DOCUMENT),
        {"problems": [{"line": 1, "column": None, "kind": "x", "message": "wrong", "hint": "", "new": 1}]},
        "POST /infrastructures/validate",
        [Problem("wrong", 1, None, "x")],
    ),
    "plan": (lambda c: c.plan(DOCUMENT), {"create": []}, "POST /infrastructures/plan", {"create": []}),
    "plan an update": (lambda c: c.plan(DOCUMENT, "id-1"), {}, "POST /infrastructures/id-1/plan", {}),
    "apply": (
        lambda c: c.apply("id-1.7", asynchronous=True),
        {"uri": f"{BASE}/id-1"},
        "POST /infrastructures/plan/id-1.7?async=true",
        "id-1",
    ),
    "destroy": (lambda c: c.destroy("id-1"), "", "DELETE /infrastructures/id-1", None),
    "destroy by force": (
        lambda c: c.destroy("id-1", force=True, asynchronous=True),
        "",
        "DELETE /infrastructures/id-1?force=true&async=true",
        None,
    ),
    "add": (
        lambda c: c.add("id-1", DOCUMENT),
        {"uri-list": [{"uri": f"{BASE}/id-1/vms/3"}]},
        "POST /infrastructures/id-1?context=true",
        [3],
    ),
    "remove": (
        lambda c: c.remove("id-1", [1, 2], context=False),
        "",
        "DELETE /infrastructures/id-1/vms/1,2?context=false",
        None,
    ),
    "reconfigure": (lambda c: c.reconfigure("id-1"), "", "PUT /infrastructures/id-1/reconfigure", None),
    "reconfigure some": (
        lambda c: c.reconfigure("id-1", DOCUMENT, [1, 2]),
        "",
        "PUT /infrastructures/id-1/reconfigure?vm_list=1%2C2",
        None,
    ),
    "start": (lambda c: c.start("id-1"), "", "PUT /infrastructures/id-1/start", None),
    "stop one": (lambda c: c.stop("id-1", 2), "", "PUT /infrastructures/id-1/vms/2/stop", None),
    "reboot": (lambda c: c.reboot("id-1", 2), "", "PUT /infrastructures/id-1/vms/2/reboot", None),
    "alter": (lambda c: c.alter("id-1", 2, DOCUMENT), {"radl": []}, "PUT /infrastructures/id-1/vms/2", None),
    "snapshot": (
        lambda c: c.snapshot("id-1", 2, 0, "mine", auto_delete=True),
        "mock0://x\n",
        "PUT /infrastructures/id-1/vms/2/disks/0/snapshot?image_name=mine&auto_delete=true",
        "mock0://x",
    ),
    "state": (
        lambda c: c.state("id-1"),
        {"state": {"state": "running", "vm_states": {"10": "running", "2": "pending"}}},
        "GET /infrastructures/id-1/state",
        StateReport("running", {2: "pending", 10: "running"}),
    ),
    "machines": (
        lambda c: c.machines("id-1"),
        {"uri-list": [{"uri": f"{BASE}/id-1/vms/7"}]},
        "GET /infrastructures/id-1",
        [7],
    ),
    "info": (
        lambda c: c.info("id-1", 7),
        {"radl": [{"class": "system"}]},
        "GET /infrastructures/id-1/vms/7",
        [{"class": "system"}],
    ),
    "property": (
        lambda c: c.property("id-1", 7, "memory.size"),
        {"memory.size": 5},
        "GET /infrastructures/id-1/vms/7/memory.size",
        5,
    ),
    "contmsg": (lambda c: c.contmsg("id-1"), {"contmsg": "all"}, "GET /infrastructures/id-1/contmsg", "all"),
    "contmsg header": (
        lambda c: c.contmsg("id-1", header_only=True),
        {"contmsg": ""},
        "GET /infrastructures/id-1/contmsg?headeronly=true",
        "",
    ),
    "contmsg of one": (
        lambda c: c.contmsg("id-1", 7),
        {"contmsg": "one"},
        "GET /infrastructures/id-1/vms/7/contmsg",
        "one",
    ),
    "radl": (lambda c: c.radl("id-1"), {"radl": "system a ()"}, "GET /infrastructures/id-1/radl", "system a ()"),
    "tosca": (lambda c: c.tosca("id-1"), {"tosca": "a: 1"}, "GET /infrastructures/id-1/tosca", "a: 1"),
    "outputs": (
        lambda c: c.outputs("id-1"),
        {"outputs": {"a": 1}},
        "GET /infrastructures/id-1/outputs",
        Outputs({"a": 1}, {}),
    ),
    "export": (lambda c: c.export_document("id-1"), {"data": "{}"}, "GET /infrastructures/id-1/data", "{}"),
    "export and forget": (
        lambda c: c.export_document("id-1", delete=True),
        {"data": "{}"},
        "GET /infrastructures/id-1/data?delete=true",
        "{}",
    ),
    "import": (lambda c: c.import_document("{}"), {"uri": f"{BASE}/id-1"}, "PUT /infrastructures", "id-1"),
    "owners": (
        lambda c: c.owners("id-1"),
        {"authorization": ["a", "b"]},
        "GET /infrastructures/id-1/authorization",
        ["a", "b"],
    ),
    "change owners": (
        lambda c: c.change_owners("id-1", {"token": "t"}, overwrite=True),
        "",
        "POST /infrastructures/id-1/authorization?overwrite=true",
        None,
    ),
    "images": (
        lambda c: c.images("one", {"a": "b", "c": "d"}),
        {"images": [{"uri": "x://y", "name": "z"}]},
        "GET /clouds/one/images?filters=a%3Db%2Cc%3Dd",
        [Image("x://y", "z")],
    ),
    "quotas": (
        lambda c: c.quotas("one"),
        {"quotas": {"cores": {"used": 1, "limit": -1}, "a": {"b": {"used": 0, "limit": 2}}}},
        "GET /clouds/one/quotas",
        {"cores": Quota(1, -1), "a.b": Quota(0, 2)},
    ),
    "stats": (
        lambda c: c.stats(date(2024, 1, 2)),
        {"stats": [{"vm_count": 1}]},
        "GET /stats?init_date=2024-01-02",
        [{"vm_count": 1}],
    ),
    "version": (lambda c: c.version(), {"version": "1.2.3"}, "GET /version", "1.2.3"),
    "events": (
        lambda c: c.events("id-1", 3),
        {"events": [{"id": 4, "time": 1.5, "type": "state", "data": {"vm": 0}}]},
        "GET /infrastructures/id-1/events?after=3&limit=1000",
        [Event("id-1", 4, 1.5, "state", {"vm": 0})],
    ),
    "account events": (
        lambda c: c.account_events(3, 10),
        {"events": [{"id": 9, "sequence": 4, "infrastructure": "b", "time": 1.5, "type": "state", "data": {}}]},
        "GET /events?after=3&limit=10",
        [Event("b", 4, 1.5, "state", {}, position=9)],
    ),
    "audit": (
        lambda c: c.audit(),
        {"audit": [{"id": 9, "time": 1.5, "users": ["ana"], "address": "::1", "operation": "create", "result": "ok"}]},
        "GET /audit?after=0&limit=1000",
        [AuditRecord(1.5, ("ana",), "::1", "create", id=9)],
    ),
}


@pytest.mark.parametrize(("call", "answer", "asked", "outcome"), OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_is_the_request_that_the_api_describes(server, client, call, answer, asked, outcome):
    server.answers = [(200, answer)]

    assert call(client) == outcome

    ((method, path, headers, _),) = server.requests
    assert f"{method} {path.removeprefix('/im')}" == asked
    assert headers["Authorization"] == "the header"


def test_every_operation_is_tried_here():
    public = {name for name in vars(Client) if not name.startswith("_")} - {"follow", "follow_audit"}
    used = {name for call, *_ in OPERATIONS.values() for name in call.__code__.co_names}

    assert public - used == set()


@pytest.mark.parametrize(
    ("language", "media_type"),
    [(Language.RADL, "text/plain"), (Language.RADL_JSON, "application/json"), (Language.TOSCA, "text/yaml")],
)
def test_a_document_is_sent_as_it_is_in_its_language(server, client, language, media_type):
    server.answers = [(200, {"problems": []})]

    client.validate(Document("größe\n", language))

    ((_, _, headers, body),) = server.requests
    assert (headers["Content-Type"], body) == (media_type, "größe\n")


def test_credentials_given_as_a_list_arrive_as_they_are(server):
    items = [
        {"type": "InfrastructureManager", "username": "ana", "password": "a\\nb\\\\n;\"'"},
        {"type": "OpenStack", "id": "one", "proxy": "-----BEGIN\nü\n-----END\n"},
    ]
    server.answers = [(200, {"uri-list": []})]

    Client(server.url, items).list()

    ((_, _, headers, _),) = server.requests
    got = [{"type": item.type, **item.fields} for item in parse_header(headers["Authorization"])]
    assert got == [{name: value for name, value in item.items() if name != "id"} for item in items]


def test_credentials_in_lines_arrive_in_one(server):
    server.answers = [(200, {"uri-list": []})]

    Client(server.url, "type = A; x = 1\ntype = B\n").list()

    ((_, _, headers, _),) = server.requests
    assert headers["Authorization"] == "type = A; x = 1\\ntype = B"


# --- lost connections ------------------------------------------------------------------------------------------


def test_a_create_whose_answer_is_lost_is_sent_again_with_the_same_key(server, client, hung_up):
    server.answers = [hung_up, hung_up, (200, {"uri": f"{BASE}/id-1"}), (200, {"uri": f"{BASE}/id-2"})]

    assert client.create(DOCUMENT) == "id-1"
    assert client.create(DOCUMENT) == "id-2"

    first, second, third, other = [headers["Idempotency-Key"] for _, _, headers, _ in server.requests]
    assert first == second == third != other


def test_what_would_happen_twice_is_not_sent_again(server, client, hung_up):
    for call in (
        lambda: client.add("id-1", DOCUMENT),
        lambda: client.reboot("id-1", 0),
        lambda: client.apply("id-1.1"),
        lambda: client.snapshot("id-1", 0, 0, "x"),
        lambda: client.export_document("id-1", delete=True),
    ):
        server.answers, server.requests[:] = [hung_up], []
        with pytest.raises(Unreachable):
            call()
        assert len(server.requests) == 1


def test_a_deletion_whose_answer_is_lost_is_done_when_nothing_is_found(server, client, hung_up):
    server.answers = [hung_up, (404, {"message": "Deleted infrastructure.", "code": 404})]

    client.destroy("id-1")

    assert len(server.requests) == 2


def test_a_deletion_of_what_is_not_there_is_an_error(server, client):
    server.answers = [(404, {"message": "Deleted infrastructure.", "code": 404})]

    with pytest.raises(NotFound):
        client.destroy("id-1")


def test_a_service_that_has_answered_is_waited_for_until_it_is_back(server, client):
    away = (503, {"message": "starting", "code": 503})
    fine = (200, {"version": "1"})
    server.answers = [away, fine, away, away, fine]

    with pytest.raises(Unreachable, match="starting"):
        client.version()  # who was never there is not waited for
    assert (client.version(), client.version()) == ("1", "1")


def test_a_service_that_stays_away_is_given_up(server):
    client = Client(server.url, "h", persistence=0.3)  # and then hangs up on everybody

    with pytest.raises(Unreachable, match="cannot be reached"):
        client.version()

    assert len(server.requests) > 1


# --- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, PreconditionFailed),
        (413, TooLarge),
        (415, UnsupportedMediaType),
        (500, InternalError),
        (503, Unreachable),
        (504, DeadlineExceeded),
    ],
)
def test_an_error_is_raised_with_the_text_of_the_service(server, client, status, kind):
    server.answers = [(status, {"message": "Error Creating Inf.: Line 3: what", "code": status})]

    with pytest.raises(kind) as caught:
        client.state("id-1")

    assert str(caught.value) == "Error Creating Inf.: Line 3: what"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("cloud_error", CloudError), ("idempotency_mismatch", IdempotencyMismatch), ("of_the_future", InvalidRequest)],
)
def test_an_error_whose_code_is_told_in_words_is_of_that_class(server, client, code, kind):
    server.answers = [(400, {"type": f"urn:imframework:error:{code}", "detail": "no", "status": 400})]

    with pytest.raises(kind, match="no") as caught:
        client.state("id-1")

    assert type(caught.value) is kind
    assert "application/problem+json" in server.requests[0][2]["Accept"]


def test_the_problems_of_a_document_come_with_the_error(server, client):
    problem = {"line": 3, "column": 7, "kind": "syntax", "message": "what", "hint": ""}
    server.answers = [(400, {"message": "Error Creating Inf.: Line 3: what", "code": 400, "problems": [problem]})]

    with pytest.raises(InvalidDocument) as caught:
        client.create(DOCUMENT)

    assert caught.value.problems == (Problem("what", 3, 7, "syntax"),)
    assert str(caught.value) == "Error Creating Inf.: Line 3: what"


def test_who_asks_too_often_is_told_when_to_come_again(server, client):
    server.answers = [(429, {"message": "slowly", "code": 429}, ("Retry-After", "7"))]

    with pytest.raises(TooManyRequests) as caught:
        client.list()

    assert caught.value.retry_after == 7.0


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
        Client(f"http://127.0.0.1:{port}", "h").list()


def test_a_service_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "h", timeout=0.2)
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
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}", "h", persistence=0).list()
        thread.join()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8800", "ftp://x", "http://", "http://h:99999", "http://h/?q=1", "http://h:x"]
)
def test_what_is_no_url_of_a_service_is_refused(url):
    with pytest.raises(ConfigurationError, match="URL"):
        Client(url, "h")


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        Client("http://me:hush@h", "h")

    assert "hush" not in str(caught.value)
