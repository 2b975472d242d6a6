"""Whatever clients send: the answer says what is wrong and where, and nothing is half made."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("bad-input")

MAX_BODY = 1024 * 1024

#: Stands in bodies where no message has a reason to repeat it.
MARK = "Marker-4711"

SYSTEM = "network n ()\nsystem node (net_interface.0.connection = 'n')\n"


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service that knows simulated machines only, and is quick to lose patience."""
    return new_module_server(CONNECTORS="dummy", MAX_BODY_SIZE=MAX_BODY, REQUEST_TIMEOUT=2).start()


@pytest.fixture
def api(server: Any) -> Any:
    """A user who has no infrastructure before and after."""
    api = server.api("sim")
    yield api
    left = api.ids()
    for infrastructure in left:
        api.destroy(infrastructure)
    assert left == []


def reveals_nothing(server: Any, text: str) -> None:
    """Check that an answer has nothing of the inside of the server or of the body."""
    for inner in (str(server.directory), "/work", "site-packages", "Traceback", ".py", "0x", MARK):
        assert inner not in text, text


def refused(server: Any, answer: Any, status: int, *words: str) -> None:
    """Check an answer that is an error."""
    assert answer.status == status, answer.text
    for word in words:
        assert word in answer.text
    reveals_nothing(server, answer.text)


# --- documents -------------------------------------------------------------------------------------------------

GARBAGE = {
    "bytes of a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(0x20, 0x7F)), "invalid byte at offset 0"),
    "Latin-1": (f"# {MARK} \n".encode() + b"description d (name = 'caf\xe9')", "invalid byte at offset 41"),
    "NUL": (b"system node (\x00)", "Line 1"),
    "half a surrogate": (b"system \xed\xa0\x80 ()", "invalid byte at offset 7"),
    "prose": (f"system node () please\n# {MARK}".encode(), "Line 1"),
    "an operator that there is not": (f"network n ()\n# {MARK}\nsystem s (cpu.count != 2)".encode(), "Line 3"),
    "another language": (b'resource "aws_instance" "web" {}', "Line 1"),
    "a negative number of machines": (f"{SYSTEM}deploy node -1".encode(), "Line 3"),
    "a fraction of a machine": (f"{SYSTEM}deploy node 0.5".encode(), "Line 3"),
    "more machines than there can be": (f"{SYSTEM}deploy node 99999".encode(), "at most 10000 machines"),
    "very many machines": (f"{SYSTEM}deploy node {'9' * 400}".encode(), "Line 3"),
    "a system that is not there": (f"{SYSTEM}deploy nodes 1".encode(), "Line 3"),
    "a network that is not there": (b"system node (net_interface.0.connection = 'n')\ndeploy node 1", "Line 1"),
    "a reference to nothing": (b"network n\nsystem node\ndeploy node 1", "node"),
    "a cloud that is not there": (f"{SYSTEM}deploy node 1 moon".encode(), "No auth data for cloud with ID: moon"),
    "groups within groups": (b"description d (" + b"a = (" * 5000 + b")" * 5001, "Line 1"),
    "a recipe that is not YAML": (
        f"{SYSTEM}configure node (\n@begin\n- tasks: [\n# {MARK}\n@end\n)\ndeploy node 1".encode(), "Line"
    ),
    "a recipe nested too deep": (
        f"{SYSTEM}configure node (\n@begin\n{'[' * 5000}{']' * 5000}\n@end\n)\ndeploy node 1".encode(), "deep"
    ),
    "a recipe that explodes": (
        (f"{SYSTEM}configure node (\n@begin\na0: &a0 x\n"
        + "".join(f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(9))
        + "@end\n)\ndeploy node 1").encode(), "node"
    ),
    "a step before the first": (
        f"{SYSTEM}configure c (\n@begin\n- tasks: []\n@end\n)\n"
        "contextualize (system node configure c step -1)\ndeploy node 1".encode(), "Line 8"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
def test_a_document_that_makes_no_sense_is_refused_saying_where(server, api, name: str) -> None:
    body, where = GARBAGE[name]
    answer = api.request("POST", "/infrastructures", body)
    refused(server, answer, 400, "Error Creating Inf.: ", where)
    assert len(answer.text) < 2000
    as_json = api.request("POST", "/infrastructures?async=1", body, {"Accept": "application/json"})
    told = as_json.json
    problems = told.pop("problems", [])  # of the document; bytes that are no text have none
    assert told == {"message": answer.text, "code": 400}
    assert all(problem["message"] in answer.text for problem in problems)
    assert bool(problems) == ("Line " in answer.text)


def test_every_truncation_of_a_document_is_refused_or_makes_a_whole_infrastructure(server, api, examples) -> None:
    text = (examples / "cluster.radl").read_text().replace("local://localhost", "mock0://linux.for.ev.er/image1")
    for end in range(0, len(text), len(text) // 40):
        answer = api.request("POST", "/infrastructures?async=1", text[:end])
        if answer.status == 200:
            machines = api.vms(answer.headers["InfID"])
            assert len(machines) == (1 if "deploy front 1" in text[:end] else 0)
            api.destroy(answer.headers["InfID"])
        else:
            refused(server, answer, 400, "Error Creating Inf.: ", "Line ")


JSON_GARBAGE = [
    "{}", "null", "true", "17", '"text"', "[1]", "[[]]", "[null]", "[{}]", '[{"class": 5}]', '[{"class": "planet"}]',
    '[{"class": "system"}]', '[{"class": "system", "id": 5}]', '[{"class": "system", "id": "a b"}]',
    '[{"class": "system", "id": "s", "id": "t"}]', '[{"class": "deploy"}]',
    '[{"class": "network", "id": "n"}, {"class": "network", "id": "n"}]',
    '[{"class": "deploy", "system": "s", "vm_number": -1}]', '[{"class": "deploy", "system": [], "vm_number": {}}]',
    '[{"class": "system", "id": "s", "net_interface.0.connection": 5}]',
    '[{"class": "configure", "id": "c", "recipes": 5}]', '[{"class": "configure", "id": "c", "recipes": "a: ["}]',
    '[{"class": "contextualize", "items": 5}]', '[{"class": "contextualize", "items": [5]}]',
    '[{"class": "system", "id": "s", "cpu.count": NaN}]', '[{"class": "system", "id": "s", "cpu.count": 1e999}]',
    '[{"class": "system", "id": "s", "cpu.count": ' + "9" * 5000 + "}]",
    '[{"class": "description", "id": "d", "x": "\\ud800"}, 5]',
    "[" * 100_000, '{"a":' * 100_000,
    '[{"class": "description", "id": "d", "x": ' + '{"x": ' * 500 + "1" + "}" * 502 + "]",
    "[", '[{"class"', "network n ()", "",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(JSON_GARBAGE)))
def test_json_of_the_wrong_shape_is_refused(server, api, number: int) -> None:
    body = JSON_GARBAGE[number]
    answer = api.request("POST", "/infrastructures", body, {"Content-Type": "application/json"})
    if body:
        refused(server, answer, 400, "Error Creating Inf.: ")
        assert len(answer.text) < 2000
    else:  # an empty body is an empty document, whatever its type
        api.destroy(answer.headers["InfID"])


def test_an_empty_document_makes_a_valid_empty_infrastructure(server, api) -> None:
    for body in ("", "# only a comment\n", "description d (name = 'empty')"):
        infrastructure = api.create(body, asynchronous=False)
        assert api.vms(infrastructure) == []
        assert api.state(infrastructure) == ("pending", {})
        assert api.ok("POST", f"/infrastructures/{infrastructure}", "").text == ""
        api.destroy(infrastructure)


def test_what_cannot_be_added_leaves_the_infrastructure_as_it_was(server, api, document) -> None:
    infrastructure = api.create(document(cloud="dummy"))
    api.configured(infrastructure)
    before = api.ok("GET", f"/infrastructures/{infrastructure}/radl").text
    for body in (
        "system node (cpu.count = 'many')", "deploy node -1", "system nothing\ndeploy nothing 1", "\x00", "{",
        "system more ()\ndeploy more 99999", "network net ()\nsystem node\ndeploy node 1 moon",
        "description other (name = 'renamed')\nsystem more ()\ndeploy more 10000",
    ):  # fmt: skip
        answer = api.request("POST", f"/infrastructures/{infrastructure}", body)
        refused(server, answer, 400, "Error Adding resources: ")
        answer = api.request(
            "PUT", f"/infrastructures/{infrastructure}/reconfigure", "configure c (\n@begin\na: [\n@end\n)"
        )
        refused(server, answer, 400, "Error reconfiguring infrastructure: ")
        assert api.vms(infrastructure) == [0]
        assert api.ok("GET", f"/infrastructures/{infrastructure}/radl").text == before
    server.restart()
    assert api.ok("GET", f"/infrastructures/{infrastructure}/radl").text == before
    assert api.state(infrastructure) == ("configured", {"0": "configured"})
    api.destroy(infrastructure)


# --- media types, parameters, paths --------------------------------------------------------------------------------

TYPES = [
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415,
     "Unsupported Media Type ['application/x-www-form-urlencoded']"),
    ({"Content-Type": "image/png, audio/ogg"}, 415, "Unsupported Media Type ['image/png', 'audio/ogg']"),
    ({"Content-Type": "text/yaml"}, 400, "Error Creating Inf.: "),
    ({"Content-Encoding": "gzip"}, 415, "Unsupported Content-Encoding"),
    ({"Accept": "image/png"}, 415, "Unsupported Accept Media Types: image/png"),
    ({"Accept": "text/csv;q=1, image/*"}, 415, "Unsupported Accept Media Types: text/csv,image/*"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "status", "text"), TYPES)
def test_a_media_type_that_nobody_knows_is_refused_before_anything_is_done(
    server, api, headers: dict[str, str], status: int, text: str
) -> None:
    refused(server, api.request("POST", "/infrastructures", "network n ()", headers), status, text)


def test_errors_come_as_text_json_or_a_page_as_the_client_likes(server, api) -> None:
    path = "/infrastructures/%3Cscript%3E/state"
    text = "Error Getting Inf. prop: Invalid infrastructure ID or access not granted."
    plain = api.request("GET", path)
    assert (plain.status, plain.text, plain.headers.get_content_type()) == (404, text, "text/plain")
    as_json = api.request("GET", path, headers={"Accept": "image/png, application/json"})
    assert (as_json.json, as_json.headers.get_content_type()) == ({"message": text, "code": 404}, "application/json")
    page = api.request("GET", "/infrastructures?filter=%3Cb%3E(", headers={"Accept": "text/html, */*"})
    assert page.headers.get_content_type() == "text/html"
    assert "<title>Error 400.</title>" in page.text
    assert "<b>" not in page.text


WRONG = [
    ("GET", "/nowhere", 404, "Not Found"),
    ("GET", "//", 404, "Not Found"),
    ("GET", "/infrastructures//state", 404, "Not Found"),
    ("GET", "/infrastructures/../../etc/passwd", 404, "Not Found"),
    ("GET", "/infrastructures/..%2f..%2fetc%2fpasswd", 404, "Invalid infrastructure ID"),
    ("GET", "/infrastructures/nope", 404, "Error Getting Inf. info: Invalid infrastructure ID or access not granted."),
    ("GET", "/infrastructures/%00", 404, "Invalid infrastructure ID"),
    ("GET", "/infrastructures/" + "a" * 5000, 404, "Invalid infrastructure ID"),
    ("GET", "/infrastructures/%ff", 400, "Malformed path: not UTF-8"),
    ("GET", "/infrastructures/%zz", 400, "Malformed path: '%' without two hexadecimal digits"),
    ("DELETE", "/infrastructures/nope", 404, "Error Destroying Inf: Invalid infrastructure ID"),
    ("PUT", "/infrastructures/nope/reconfigure", 404, "Error reconfiguring infrastructure: Invalid infrastructure ID"),
    ("GET", "/infrastructures/nope/vms/0", 404, "Error Getting VM. info: Invalid infrastructure ID"),
    ("GET", "/infrastructures/nope/nonsense", 404, "Incorrect infrastructure property"),
    ("PUT", "/infrastructures/nope/explode", 404, "Incorrect operation"),
    ("PUT", "/infrastructures/nope/vms/0/explode", 404, "Incorrect operation"),
    ("DELETE", "/infrastructures", 405, "Method Not Allowed"),
    ("BREW", "/infrastructures", 405, "Method Not Allowed"),
    ("POST", "/version", 405, "Method Not Allowed"),
    ("POST", "/infrastructures?async=perhaps", 400, "Incorrect value in async parameter"),
    ("POST", "/infrastructures?async=", 400, "Incorrect value in async parameter"),
    ("GET", "/infrastructures?filter=(", 400, "Error Getting Inf. List: the filter is not a regular expression"),
    ("GET", "/infrastructures?filter=" + "a" * 300, 400, "the filter is longer than 256 characters"),
    ("GET", "/infrastructures?x=%ff", 400, "Malformed query: not UTF-8"),
    ("GET", "/infrastructures?" + "&".join(["a=1"] * 200), 400, "Malformed query: more than 100 parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status", "text"), WRONG)
def test_a_path_or_parameter_that_is_wrong_is_named(
    server, api, method: str, path: str, status: int, text: str
) -> None:
    answer = api.request(method, path)
    refused(server, answer, status, text)
    if status == 405:
        assert answer.headers["Allow"]


WRONG_IN_ONE = [
    ("GET", "vms/1", 404, "Error Getting VM. info: Invalid VM ID"),
    ("GET", "vms/-1", 404, "Invalid VM ID"),
    ("GET", "vms/0x0", 404, "Invalid VM ID"),
    ("GET", "vms/٣", 404, "Invalid VM ID"),
    ("GET", "vms/99999999999999999999", 404, "Invalid VM ID"),
    ("GET", "vms/0/nonsense", 404, "Incorrect property nonsense for VM ID 0"),
    ("DELETE", "vms/0,7", 404, "Error Removing resources: Invalid VM ID"),
    ("DELETE", "vms/,", 404, "Error Removing resources: Invalid VM ID"),
    ("PUT", "vms/7/reboot", 404, "Error in reboot op in VM: Invalid VM ID"),
    ("PUT", "reconfigure?vm_list=a,b", 400, "Incorrect vm_list format."),
    ("PUT", "reconfigure?vm_list=0,5", 404, "Error reconfiguring infrastructure: Invalid VM ID"),
    ("GET", "events?after=-1", 400, "Incorrect value in after parameter"),
    ("GET", "events?limit=0", 400, "Incorrect value in limit parameter"),
    ("GET", "contmsg?headeronly=2", 400, "Incorrect value in headeronly parameter"),
    ("GET", "secrets", 404, "Incorrect infrastructure property"),
    ("GET", "tosca", 403, "'tosca' infrastructure property is not valid in this infrastructure"),
]  # fmt: skip


def test_what_an_infrastructure_does_not_have_is_not_found(server, api, document) -> None:
    infrastructure = api.create(document(cloud="dummy"), asynchronous=False)
    for method, path, status, text in WRONG_IN_ONE:
        quoted = path.encode().replace("٣".encode(), b"%D9%A3").decode()
        refused(server, api.request(method, f"/infrastructures/{infrastructure}/{quoted}"), status, text)
    api.configured(infrastructure)
    assert api.vms(infrastructure) == [0]
    api.destroy(infrastructure)


# --- credentials -----------------------------------------------------------------------------------------------

IM = "type = InfrastructureManager; username = u; password = p"
PARSING = "Error parsing authentication data: "

CREDENTIALS = [
    (None, 401, "No authentication data provided"),
    ("", 401, "No authentication data provided"),
    ("nonsense", 401, PARSING + "item 1 has no type"),
    ("Basic !!!", 401, PARSING),
    ("Basic ", 401, ""),
    ("Bearer ", 401, ""),
    ("Bearer abc.def.ghi", 401, "Error Getting Inf. List: Invalid InfrastructureManager credentials"),
    ("[", 401, PARSING),
    ('{"type": "InfrastructureManager"}', 401, ""),
    ("[1, 2]", 401, PARSING),
    ("[[[[", 401, PARSING),
    ("[" * 60_000, 401, PARSING),
    ('[{"type": []}]', 401, PARSING),
    (f"{IM}; id = a b", 401, PARSING + "Incorrect value in auth item id: a b"),
    (f"{IM}; host = https://x:port", 401, PARSING),
    ("id = one; type = OpenNebula; host = h; username = u; password = p", 401,
     "No credentials provided for the InfrastructureManager."),
    ("type = InfrastructureManager; username = u", 401, "Invalid InfrastructureManager credentials"),
    ("type = InfrastructureManager; password = p", 401, "No username nor token for the InfrastructureManager."),
    ("type = InfrastructureManager; username = __OPENID__u; password = p", 401,
     "Invalid username used for the InfrastructureManager."),
    (r"\n".join([IM] * 300), 401, PARSING),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CREDENTIALS)))
def test_credentials_that_make_no_sense_are_refused(server, api, number: int) -> None:
    header, status, text = CREDENTIALS[number]
    stranger = type(api)(server, header)
    for method, path, body in (("GET", "/infrastructures", None), ("POST", "/infrastructures", "network n ()")):
        answer = stranger.request(method, path, body)
        refused(server, answer, status, text if method == "GET" else "")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_credential_list_may_be_in_latin_1_or_utf_8(server, api) -> None:
    request = b"GET /infrastructures HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
    for name in ("josé".encode(), "josé".encode("latin-1"), b"\xff\xfe\x80"):
        item = b"type = InfrastructureManager; username = " + name + b"; password = p"
        answer = server.say(request + item + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer


def test_a_cloud_that_cannot_be_used_is_named_and_nothing_is_made(server, api, document) -> None:
    for item, text in (
        ("id = one; type = Moon", "Cloud provider not supported: Moon"),
        ("id = one; type = Local", "The connector local is not in use: im.cfg does not choose it."),
    ):
        user = type(api)(server, rf"type = InfrastructureManager; username = m; password = moon\n{item}")
        refused(server, user.request("POST", "/infrastructures", document(cloud="dummy")), 400, text)
        assert user.ids() == []
    none = type(api)(server, "type = InfrastructureManager; username = m; password = moon")
    answer = none.request("POST", "/infrastructures?async=1", document(cloud="dummy"))
    refused(server, answer, 400, "Error Creating Inf.: No cloud provider available")
    assert none.ids() == []


# --- HTTP ------------------------------------------------------------------------------------------------------


def head(api: Any, *lines: str, method: str = "POST", path: str = "/infrastructures") -> bytes:
    fields = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: {api.authorization}", *lines]
    return "\r\n".join(fields).encode() + b"\r\n\r\n"


def chunked(body: bytes, size: int = 65536) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_body_that_is_too_large_is_refused_however_it_comes(server, api) -> None:
    too_large = f"The body is larger than {MAX_BODY} bytes"
    body = b"#" * (MAX_BODY + 1)
    refused(server, api.request("POST", "/infrastructures", body), 413, too_large)
    largest = api.request("POST", "/infrastructures?async=1", body[:-1])
    assert largest.status == 200
    api.destroy(largest.headers["InfID"])
    for data in (
        head(api, "Transfer-Encoding: chunked") + chunked(body),
        head(api, "Transfer-Encoding: chunked") + chunked(body * 8),
        head(api, f"Content-Length: {10**15}") + b"network n ()",
        head(api, f"Content-Length: {10**30}"),
        head(api, f"Content-Length: {10**9}", "Expect: 100-continue"),
    ):
        answer = server.say(data).decode()
        assert answer.startswith("HTTP/1.1 413 "), answer
        assert answer.endswith(too_large)


def test_a_content_length_that_lies_makes_nothing_that_was_not_sent_whole(server, api) -> None:
    # longer than what comes: the client is gone, or holds the connection until the server has enough
    assert server.say(head(api, "Content-Length: 1000") + b"network n ()") == b""
    assert server.say(head(api, "Content-Length: 1000") + b"network n ()", hang_up=True) == b""
    assert server.say(head(api, "Transfer-Encoding: chunked") + b"ff\r\nnetwork n ()", hang_up=True) == b""
    # shorter: what is left is a request that makes no sense
    answer = server.say(head(api, "Content-Length: 4") + b"GARBAGE AND MORE\r\n\r\n").decode()
    assert answer.startswith("HTTP/1.1 400 "), answer
    reveals_nothing(server, answer)
    assert api.ids() == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /version HTTP/1.1\r\nHost\r\n\r\n",
        b"GET /version HTTP/1.1\r\n\r\n", b"GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /infrastructures HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /infrastructures HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST /infrastructures HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /infrastructures HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cunked\r\n\r\n0\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 300_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_http_is_answered_by_400_or_not_at_all(server, api, data: bytes) -> None:
    answer = server.say(data, hang_up=True)
    assert answer == b"" or answer.split()[1] in (b"400", b"404", b"413", b"415", b"431", b"501", b"200"), answer
    if answer.startswith(b"HTTP/1.1 200"):
        assert data.startswith(b"GET /version")
    reveals_nothing(server, answer.decode("latin-1"))
    assert api.request("GET", "/version").status == 200


def test_slow_clients_do_not_keep_others_waiting(server, api) -> None:
    slow = [socket.create_connection((server.host, server.port), timeout=30) for _ in range(50)]
    for number, connection in enumerate(slow):
        connection.sendall(
            head(api, "Content-Length: 100")[: 40 + number] if number % 2 else head(api, "Content-Length: 9")
        )
    assert api.ids() == []
    for connection in slow:
        while connection.recv(4096):
            pass
        connection.close()


def test_json_bodies_of_errors_are_json_whatever_was_sent(server, api) -> None:
    answer = api.request("GET", "/infrastructures?filter=%22%5C%0a%C3%A9(", headers={"Accept": "application/json"})
    assert json.loads(answer.body)["code"] == 400
