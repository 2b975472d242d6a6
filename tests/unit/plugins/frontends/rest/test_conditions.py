"""ETag, If-None-Match and If-Match."""

import pytest

pytestmark = pytest.mark.usefixtures("infrastructure")

PARTS = ["", "/contmsg", "/radl", "/tosca", "/outputs", "/authorization"]
#: Polled by every client: they have an ETag for those who send If-None-Match.
POLLED = ["/state", "/vms/0", "/vms/0/state"]


def etag(server, path, **headers):
    return server.get(path, **{"If_None_Match": '"?"', **headers}).headers["ETag"]


@pytest.mark.parametrize("part", [*PARTS, *POLLED])
def test_who_has_it_already_is_told_so_and_no_more(server, part):
    path = f"/infrastructures/inf{part}"
    known = etag(server, path)
    for header in (known, f"W/{known}", f'"other", {known}', "*"):
        answer = server.get(path, If_None_Match=header)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", known)
        assert answer.headers["Content-Length"] is None
    server.service.version_of["inf"] = "2-b"
    answer = server.get(path, If_None_Match=known)
    assert (answer.status, answer.headers["ETag"] != known) == (200, True)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_an_infrastructure_has_an_etag(server, part):
    assert server.get(f"/infrastructures/inf{part}").headers["ETag"] == etag(server, f"/infrastructures/inf{part}")


@pytest.mark.parametrize("part", POLLED)
def test_who_polls_without_a_condition_does_not_wait_for_an_etag(server, part):
    assert "ETag" not in server.get(f"/infrastructures/inf{part}").headers
    assert "tag" not in [name for name, *_ in server.service.calls]


def test_text_and_json_are_told_apart(server):
    text = etag(server, "/infrastructures/inf/radl")
    assert server.get("/infrastructures/inf/radl", Accept="application/json", If_None_Match=text).status == 200


def test_a_condition_does_not_hide_an_error(server):
    assert server.get("/infrastructures/none/state", If_None_Match="*").status == 404
    assert server.get("/infrastructures/inf/vms/8", If_None_Match=etag(server, "/infrastructures/inf")).status == 404


def test_a_connection_goes_on_after_not_modified(server):
    request = (
        b"GET /infrastructures/inf HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nIf-None-Match: *\r\n\r\n"
        b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    first, _, rest = server.raw(request).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


CHANGES = [
    ("POST", ""),
    ("PUT", "/start"),
    ("PUT", "/stop"),
    ("PUT", "/reconfigure"),
    ("PUT", "/vms/0"),
    ("PUT", "/vms/0/start"),
    ("PUT", "/vms/0/stop"),
    ("PUT", "/vms/0/reboot"),
    ("PUT", "/vms/0/disks/0/snapshot?image_name=i"),
    ("POST", "/authorization"),
    ("DELETE", "/vms/1"),
    ("GET", "/data?delete=1"),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "part"), CHANGES)
def test_a_change_is_made_only_while_the_infrastructure_is_as_expected(server, method, part):
    body = "{}" if part == "/authorization" else ""
    expected = etag(server, "/infrastructures/inf")
    server.service.version_of["inf"] = "2-b"
    answer = server.request(method, f"/infrastructures/inf{part}", body, If_Match=expected)
    assert answer.status == 412
    assert answer.text.endswith("The infrastructure has changed.")
    now = etag(server, "/infrastructures/inf/state", Accept="application/json")
    assert server.request(method, f"/infrastructures/inf{part}", body, If_Match=f"{expected}, {now}").status == 200


@pytest.mark.parametrize(("header", "status"), [("*", 200), ('W/"1-a"', 412), ('"1"', 412)])
def test_only_the_very_tag_or_any_will_do(server, header, status):
    assert server.put("/infrastructures/inf/start", If_Match=header).status == status


@pytest.mark.parametrize("header", ["1-a", "", '"1-a', '"1-a" and more'])
def test_an_expectation_that_cannot_be_read_is_refused(server, header):
    answer = server.put("/infrastructures/inf/start", If_Match=header)
    assert (answer.status, answer.text) == (400, "Incorrect value in If-Match header")
    assert not server.service.calls
