"""What holds for every resource: who asks, in which form, by which URL, and how a refusal looks."""

import logging
from ipaddress import ip_network

import pytest

from imframework.api.errors import (
    ConfigurationError,
    DeadlineExceeded,
    IdempotencyMismatch,
    IMError,
    InternalError,
    InvalidDocument,
    PluginUnavailable,
    Problem,
    QuotaExceeded,
    StorageConflict,
    StorageError,
    StorageUnavailable,
    TooManyRequests,
    Vetoed,
)

pytestmark = pytest.mark.usefixtures("infrastructure")

# --- credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [None, ""])
def test_a_request_without_credentials_is_refused(server, auth):
    answer = server.get("/infrastructures", auth=auth)
    assert (answer.status, answer.text) == (401, "No authentication data provided")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_wrong_credentials_are_refused_with_the_reason(server):
    answer = server.get("/infrastructures/inf/state", auth="nobody")
    assert (answer.status, answer.text) == (401, "Error Getting Inf. prop: Invalid InfrastructureManager credentials")
    assert not server.service.calls


def test_unreadable_credentials_are_refused_with_the_reason(server):
    answer = server.get("/infrastructures", auth="malformed")
    assert (answer.status, answer.text) == (401, "Error parsing authentication data: item 1 has no type")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_credentials_beyond_ascii_are_read_as_they_were_meant(server, encoding):
    server.get("/infrastructures", auth="contraseña".encode(encoding))
    assert server.service.credentials == "contraseña"


def test_credentials_of_100_kib_are_accepted(server):
    assert server.get("/infrastructures", auth="k" * 100 * 1024).status == 200
    assert len(server.service.credentials) == 100 * 1024


@pytest.mark.parametrize(("proxies", "address"), [("127.0.0.0/8", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1")])
def test_the_service_is_told_the_address_of_the_client_by_trusted_proxies_alone(serve, proxies, address):
    server = serve(TRUSTED_PROXIES=(ip_network(proxies),))
    server.get("/infrastructures", X_Forwarded_For="10.0.0.9, 192.0.2.7")
    assert server.service.address == address


# --- paths and methods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/nothing", "Not Found"),
        ("GET", "//", "Not Found"),
        ("GET", "//infrastructures", "Not Found"),
        ("GET", "/infrastructures//", "Not Found"),
        ("GET", "/infrastructures/inf/vms", "Not Found"),
        ("GET", "/infrastructures/inf/vms/0/state/more", "Not Found"),
        ("GET", "/clouds/one", "Not Found"),
        ("GET", "/clouds/one/prices", "Incorrect cloud property"),
        ("GET", "/infrastructures/inf/secrets", "Incorrect infrastructure property"),
        ("PUT", "/infrastructures/inf/explode", "Incorrect operation"),
        ("POST", "/infrastructures/inf/explode", "Incorrect operation"),
    ],
)
def test_an_unknown_path_is_not_found(server, method, path, text):
    answer = server.request(method, path)
    assert (answer.status, answer.text) == (404, text)


@pytest.mark.parametrize(
    "path", ["/infrastructures/", "/infrastructures/inf/", "/infrastructures/inf/vms/0/", "/version/"]
)
def test_a_slash_at_the_end_makes_no_difference(server, path):
    assert server.get(path).body == server.get(path[:-1]).body


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/infrastructures", "GET, HEAD, OPTIONS, POST, PUT"),
        ("DELETE", "/infrastructures", "GET, HEAD, OPTIONS, POST, PUT"),
        ("POST", "/infrastructures/inf/vms/0", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("GET", "/infrastructures/inf/start", "OPTIONS, PUT"),
        ("POST", "/version", "GET, HEAD, OPTIONS"),
        ("BREW", "/infrastructures/inf/state", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_a_resource_lacks_is_refused_with_those_it_has(server, method, path, allow):
    answer = server.request(method, path, Accept="application/json")
    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    assert answer.json == {"message": "Method Not Allowed", "code": 405}


def test_head_has_the_headers_of_get_and_no_body(server):
    for path in ("/version", "/infrastructures/inf/state", "/infrastructures/none/state"):
        head, get = server.request("HEAD", path), server.get(path)
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/infrastructures", "GET, HEAD, OPTIONS, POST, PUT"), ("/nothing", "OPTIONS"), ("*", "OPTIONS")],
)
def test_options_needs_no_credentials(server, path, allow):
    answer = server.request("OPTIONS", path, auth=None)
    assert (answer.status, answer.body, answer.headers["Allow"]) == (200, b"", allow)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/infrastructures/in%zz/state",
        "/infrastructures/inf%2/state",
        "/infrastructures/inf%FF/state",
        "/infrastructures?filter=%",
        "/infrastructures?filter=%C3",
        "/infrastructures/inf/state?x=%G0",
        "/version?" + "&".join(f"p{number}=1" for number in range(101)),
    ],
)
def test_a_malformed_target_is_a_bad_request(server, path):
    answer = server.get(path)
    assert answer.status == 400
    assert "Malformed" in answer.text


def test_a_target_with_bytes_that_are_no_utf8_is_a_bad_request(server):
    request = (
        b"GET /infrastructures/\xff\xfe/state HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nConnection: close\r\n\r\n"
    )
    answer = server.raw(request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"Malformed path: not UTF-8")


def test_a_target_in_absolute_form_is_understood(server):
    for target in (b"http://im.example.org/version", b"HTTPS://im.example.org/version?x=1"):
        answer = server.raw(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target)
        assert answer.endswith(b"\r\n\r\n1.2.3")


# --- the form of answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/uri-list"),
        ("*/*", "text/uri-list"),
        ("text/*", "text/uri-list"),
        ("text/uri-list", "text/uri-list"),
        ("text/plain", "text/plain"),
        ("application/*", "application/json"),
        ("application/json;q=0.1, text/uri-list", "application/json"),
        ("image/png, Text/Plain;q=0.9", "text/plain"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/uri-list"),
        (" , ", "text/uri-list"),
    ],
)
def test_the_first_acceptable_form_is_chosen(server, accept, media_type):
    assert server.get("/infrastructures", Accept=accept).media_type == media_type


def test_a_form_that_does_not_exist_is_refused_before_anything_is_done(server):
    answer = server.post("/infrastructures", "x", Accept="image/png, text/csv;q=1")
    assert (answer.status, answer.text) == (415, "Unsupported Accept Media Types: image/png,text/csv")
    assert not server.service.calls


@pytest.mark.parametrize(
    ("accept", "media_type", "body"),
    [
        (None, "text/plain", "Not Found"),
        ("image/png", "text/plain", "Not Found"),
        ("text/html, application/json", "application/json", '{"message":"Not Found","code":404}'),
    ],
)
def test_an_error_has_the_form_that_is_accepted(server, accept, media_type, body):
    answer = server.get("/nothing", Accept=accept)
    assert (answer.media_type, answer.text) == (media_type, body)


def test_an_error_page_is_escaped(server):
    server.service.failures["list"] = IMError("<script>alert(1)</script> & co")
    answer = server.get("/infrastructures", Accept="text/html,*/*")
    assert (answer.status, answer.media_type) == (400, "text/html")
    assert "<title>Error 400.</title>" in answer.text
    assert "<h1>Code: 400.</h1>" in answer.text
    message = "Error Getting Inf. List: &lt;script&gt;alert(1)&lt;/script&gt; &amp; co"
    assert f"<h1>Message: {message}</h1>" in answer.text


def test_text_that_utf8_cannot_hold_does_not_break_an_answer(server):
    server.service.failures["list"] = IMError("a lone surrogate: \ud800")
    assert server.get("/infrastructures").text.endswith(r"a lone surrogate: \ud800")
    assert server.get("/infrastructures", Accept="application/json").json["message"].endswith("\ud800")


def test_answers_are_not_kept_by_caches(server):
    headers = server.get("/infrastructures/inf/vms/0").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Date"].endswith(" GMT")


# --- status of errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (IMError("why"), 400, "Error Creating Inf.: why"),
        (QuotaExceeded("no cores left"), 400, "Error Creating Inf.: no cores left"),
        (PluginUnavailable("ec2: install imframework[ec2]"), 400, "Error Creating Inf.: ec2: install imframework[ec2]"),
        (Vetoed("not on Fridays"), 403, "Error Creating Inf.: not on Fridays"),
        (StorageConflict("written meanwhile"), 409, "Error Creating Inf.: written meanwhile"),
        (IdempotencyMismatch("another document"), 422, "Error Creating Inf.: another document"),
        (TooManyRequests("come again", 1.5), 429, "Error Creating Inf.: come again"),
        (StorageUnavailable("try again"), 503, "Error Creating Inf.: try again"),
        (DeadlineExceeded("Operation timed out"), 504, "Operation timed out"),
        (InternalError("Incident 17"), 500, "Incident 17"),
    ],
)
def test_each_class_of_errors_has_its_status(server, error, status, text):
    server.service.failures["create"] = error
    answer = server.post("/infrastructures")
    assert (answer.status, answer.text) == (status, text)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret detail"),
        StorageError("/var/lib/im/secret detail"),
        ConfigurationError("/etc/im.cfg: secret detail"),
        UnicodeDecodeError("utf-8", b"secret detail", 0, 1, "bad"),
    ],
)
def test_an_unexpected_fault_shows_an_incident_number_and_logs_the_rest(server, caplog, error):
    server.service.failures["create"] = error
    answer = server.post("/infrastructures", "body of the request", Accept="application/json")
    assert answer.status == 500
    message = answer.json["message"]
    assert message.startswith("Internal error. Incident: ")
    assert "secret" not in answer.text
    assert "body" not in answer.text
    (record,) = [record for record in caplog.records if message.rpartition(" ")[2] in record.getMessage()]
    assert record.exc_info[1] is error


@pytest.mark.parametrize(("wait", "header"), [(0.01, "1"), (1.5, "2"), (60.0, "60")])
def test_who_asks_too_often_is_told_when_to_come_again(server, wait, header):
    server.service.failures["list"] = TooManyRequests("10 requests in a minute are enough", wait)
    answer = server.get("/infrastructures")
    assert (answer.status, answer.headers["Retry-After"]) == (429, header)


def test_problem_details_are_for_those_who_ask_for_them(server):
    server.service.failures["list"] = Vetoed("hoy no, señor")
    for accept in ("application/problem+json", "application/json, application/problem+json", "text/html, */*"):
        answer = server.get("/infrastructures", Accept=accept + ", text/plain")
        assert (answer.media_type == "application/problem+json") == ("problem" in accept)
    answer = server.get("/infrastructures", Accept="application/problem+json, */*")
    assert answer.json == {
        "type": "urn:imframework:error:vetoed",
        "title": "Vetoed",
        "status": 403,
        "detail": "Error Getting Inf. List: hoy no, señor",
    }


def test_problem_details_have_the_problems_of_a_document(server):
    server.service.failures["create"] = InvalidDocument(Problem("there is no system 'a'", 3))
    answer = server.post("/infrastructures", "deploy a 1", Accept="application/problem+json, */*")
    assert (answer.status, answer.json["type"]) == (400, "urn:imframework:error:invalid_document")
    assert [problem["line"] for problem in answer.json["problems"]] == [3]


def test_problem_details_have_the_number_of_an_incident(server):
    server.service.failures["create"] = ZeroDivisionError("secret detail")
    answer = server.post("/infrastructures", Accept="application/problem+json, */*")
    incident = answer.json["detail"].rpartition(" ")[2]
    assert (answer.json["incident"], answer.json["instance"]) == (incident, f"urn:imframework:incident:{incident}")
    assert answer.json["title"] == "Internal"


def test_reading_is_logged_at_debug_and_changes_at_info_without_the_query(server, caplog):
    caplog.set_level(logging.DEBUG, "imframework.rest")
    server.get("/infrastructures?filter=private")
    server.post("/infrastructures?async=1")
    server.get("/nothing")
    server.until(lambda: len(caplog.records) >= 3)
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "imframework.rest"]
    assert [level for level, _ in lines] == ["DEBUG", "INFO", "INFO"]
    assert "127.0.0.1 POST /infrastructures 200" in lines[1][1]
    assert not any("private" in line or "ana" in line for _, line in lines)


# --- probes ---------------------------------------------------------------------------------------------------


def test_the_version_is_public(server):
    assert server.get("/version", auth=None).text == "1.2.3"
    assert server.get("/version", auth=None, Accept="application/json").json == {"version": "1.2.3"}


def test_healthz_answers_whatever_the_service_is_like(server):
    server.service.condition = {"storage": "unreachable"}
    assert server.get("/healthz", auth=None).status == 200


def test_readyz_names_what_is_not_well(server):
    answer = server.get("/readyz", auth=None)
    assert (answer.status, answer.json["status"]) == (200, "ok")
    server.service.condition = {"storage": "unreachable", "engine": "ok"}
    answer = server.get("/readyz", auth=None)
    assert answer.status == 503
    assert answer.json == {"status": "unavailable", "components": {"storage": "unreachable", "engine": "ok"}}


def test_metrics_are_in_the_format_of_prometheus(server):
    answer = server.get("/metrics", auth=None)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == b"im_infrastructures 0\n"


# --- the public URL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"Host": "im.example.org"}, "http://im.example.org"),
        ({"Host": "im.example.org:80"}, "http://im.example.org"),
        ({"Host": "im.example.org:8800"}, "http://im.example.org:8800"),
        ({"Host": "[::1]:8800"}, "http://[::1]:8800"),
        ({"Host": "i", "X_Forwarded_Proto": "https"}, "https://i"),
        ({"Host": "i", "X_Forwarded_Proto": "gopher"}, "http://i"),
        ({"Host": "i", "X_Forwarded_Host": "far.example.org, near.example.org"}, "http://near.example.org"),
        ({"Host": "i:1", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "p:443"}, "https://p"),
        ({"Host": "i", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "8443"}, "https://i:8443"),
        ({"Host": "i", "X_Forwarded_Host": 'x"><script>'}, "http://i"),
        ({"Host": "i", "X_Forwarded_Port": "http"}, "http://i"),
        ({"Host": "i", "X_Forwarded_Prefix": "/im/"}, "http://i/im"),
        ({"Host": "i", "X_Forwarded_Prefix": "/"}, "http://i"),
        ({"Host": "i", "X_Forwarded_Prefix": "//evil.example.org"}, "http://i"),
    ],
)
def test_uris_begin_with_the_address_that_the_client_used(server, headers, base):
    assert server.post("/infrastructures", **headers).text == f"{base}/infrastructures/inf-1"


def test_the_root_path_stands_in_for_a_missing_forwarded_prefix(serve):
    server = serve(REST_ROOT_PATH="/site/im/")
    assert server.post("/infrastructures", Host="i").text == "http://i/site/im/infrastructures/inf-0"
    assert server.post("/infrastructures", Host="i", X_Forwarded_Prefix="/p").text == "http://i/p/infrastructures/inf-1"


def test_a_malformed_host_makes_nothing(server):
    answer = server.post("/infrastructures", Host="a b/c")
    assert (answer.status, answer.text) == (400, "Error Creating Inf.: Malformed Host header")
    assert not server.service.calls


def test_http_1_1_needs_a_host(server):
    answer = server.raw(b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"Missing Host header")


def test_http_1_0_without_a_host_gets_uris_of_the_listening_address(server):
    answer = server.raw(b"GET /infrastructures HTTP/1.0\r\nAuthorization: ana\r\n\r\n")
    assert answer.endswith(f"\r\n\r\n{server.url}/infrastructures/inf".encode())


# --- CORS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/version", "/nothing", "/infrastructures"])
def test_cors_headers_are_on_every_answer_when_enabled(serve, path):
    server = serve(ENABLE_CORS=True)
    for method in ("GET", "OPTIONS"):
        headers = server.request(method, path, auth=None).headers
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Allow-Methods"] == "PUT, GET, POST, DELETE, OPTIONS"
        assert headers["Access-Control-Allow-Headers"] == "Origin, Accept, Content-Type, Authorization"
        assert "Vary" not in headers


def test_answers_vary_with_the_origin_when_only_one_is_admitted(serve):
    server = serve(ENABLE_CORS=True, CORS_ORIGIN="https://dashboard.example.org")
    headers = server.get("/version").headers
    assert headers["Access-Control-Allow-Origin"] == "https://dashboard.example.org"
    assert headers["Vary"] == "Origin"
