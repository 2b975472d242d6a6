"""What comes over the wire: paths, bodies that are no calls, hostile XML, compressed bodies, limits."""

import gc
import gzip
import socket
import xmlrpc.client
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imframework.api.errors import InvalidRequest
from imframework.testing.service import PASSWORD
from imframework_plugins.frontends.xmlrpc.wire import read_call, wire_value

VERSION = b"<methodCall><methodName>GetVersion</methodName></methodCall>"
LIMIT = 1024 * 1024


def call_with(value: str) -> bytes:
    return (
        f"<methodCall><methodName>Foo</methodName><params><param><value>{value}</value></param></params></methodCall>"
    ).encode()


def nested(depth: int) -> str:
    return "<array><data><value>" * depth + "x" + "</value></data></array>" * depth


# --- HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/RPC2", "/RPC2?x=1"])
def test_calls_are_answered_at_two_paths(server, path):
    answer = server.request(VERSION, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert answer.value == [True, "1.2.3"]


@pytest.mark.parametrize("path", ["/foo", "/RPC2/", "/rpc2", "//", "/infrastructures"])
def test_there_is_nothing_at_any_other(server, path):
    assert server.request(VERSION, path).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_answered(server, method):
    answer = server.request(b"", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_a_connection_serves_many_calls(server):
    with xmlrpc.client.ServerProxy(server.url) as proxy:
        assert [proxy.GetVersion() for _ in range(3)] == [[True, "1.2.3"]] * 3
    assert len(server.front_end._listener._exchanges) <= 1


# --- bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GetVersion",
        b'{"method": "GetVersion"}',
        b"\x00\x01\x02",
        VERSION[:-5],
        VERSION + VERSION,
        b"<methodCall/>",
        b"<methodCall><methodName></methodName></methodCall>",
        b"<html><body>GetVersion</body></html>",
        b"<methodResponse><params><param><value>x</value></param></params></methodResponse>",
        b"<fault><value><struct/></value></fault>",
        call_with("<struct><member><name>a</name></member></struct>"),
        call_with("<struct><member><value>a</value></member></struct>"),
        call_with("<int>seven</int>"),
        call_with("<int>" + "9" * 5000 + "</int>"),
        call_with("<double>x</double>"),
        call_with("<boolean>2</boolean>"),
        call_with("<dateTime.iso8601>never</dateTime.iso8601>"),
        call_with("<base64>a</base64>"),
        call_with("<unknown>1</unknown>"),
        b'<?xml version="1.0" encoding="klingon"?>' + VERSION,
        b"\xff\xfe" + VERSION,
    ],
)
def test_what_is_no_call_is_a_bad_request(server, body):
    answer = server.request(body)
    assert answer.status == 400
    assert answer.text.startswith("The body ")
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_the_encoding_that_a_body_declares_counts(server, encoding):
    body = f'<?xml version="1.0" encoding="{encoding}"?>' + call_with("ñ").decode().replace("Foo", "system.methodHelp")
    assert "ñ" in server.request(body.encode(encoding)).text


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE methodCall [<!ENTITY a "a"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE methodCall SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE methodCall [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE methodCall>",
    ],
)
def test_document_types_and_entities_are_refused(server, prolog):
    answer = server.request(b"<?xml version='1.0'?>" + prolog.encode() + call_with("x"))
    assert (answer.status, answer.text) == (400, "The body declares a document type or entities")


def test_values_are_nested_and_counted_within_limits(server):
    assert "not supported" in server.request(call_with(nested(15))).text
    for value in (nested(30), nested(20_000), "<nil/>" * 100_000):
        answer = server.request(call_with(value))
        assert answer.status == 400
        assert answer.text == "The call has more than 100000 elements, or 64 within each other"


@pytest.mark.parametrize("tag", ["<" + "a" * 9000 + "/>", "<a " + " ".join(f"a{n}=''" for n in range(2000)) + "/>"])
def test_tags_are_short(server, tag):
    answer = server.request(call_with(tag))
    assert (answer.status, answer.text) == (400, "The body has a tag of more than 4096 bytes")
    assert "not supported" in server.request(call_with(f"<![CDATA[{'x' * 9000}]]>")).text
    assert "not supported" in server.request(call_with("x" * 9000)).text


def test_a_flood_of_elements_is_given_up_soon_and_holds_up_nobody(server):
    flood = call_with("<array><data>" + "<value><int>1</int></value>" * 38_000 + "</data></array>")
    assert len(flood) < LIMIT
    assert server.request(flood).status == 200  # a fault: the method is unknown
    assert server.call("GetVersion") == [True, "1.2.3"]


def test_a_compressed_body_is_unpacked(server):
    assert server.request(gzip.compress(VERSION), Content_Encoding="gzip").value == [True, "1.2.3"]


def test_a_compressed_body_is_limited_when_it_is_unpacked(server):
    bomb = gzip.compress(b"<methodCall>" + b" " * (LIMIT * 50))
    assert len(bomb) < LIMIT / 10
    answer = server.request(bomb, Content_Encoding="gzip")
    assert (answer.status, answer.text) == (413, f"The body is larger than {LIMIT} bytes")


@pytest.mark.parametrize(("body", "encoding", "status"), [(VERSION, "gzip", 400), (VERSION, "br", 415)])
def test_other_compression_is_refused(server, body, encoding, status):
    assert server.request(body, Content_Encoding=encoding).status == status


def test_a_body_beyond_the_limit_is_refused(server):
    for body in (b" " * (LIMIT + 1), iter([b" " * 65536] * 40)):
        answer = server.request(body)
        assert (answer.status, answer.text) == (413, f"The body is larger than {LIMIT} bytes")
        assert answer.headers["Connection"] == "close"
    assert server.request(b"", Content_Length="9" * 40).status == 413
    assert server.request(b" " * (LIMIT - len(VERSION)) + VERSION).status == 200


def test_a_client_that_asks_before_it_sends_too_much_is_told_no(server):
    assert server.request(b"", Expect="100-continue", Content_Length=str(LIMIT + 1)).status == 413


# --- what else can come ----------------------------------------------------------------------------------------

xml = st.recursive(
    st.sampled_from(
        ["x", "<int>1</int>", "<nil/>", "<i8>9</i8>", "<boolean>1</boolean>", "&#0;", "&lt;", "<a b='c'/>"]
    ),
    lambda inner: st.one_of(
        inner.map(lambda value: f"<value>{value}</value>"),
        inner.map(lambda value: f"<array><data>{value}</data></array>"),
        inner.map(lambda value: f"<struct><member><name>n</name>{value}</member></struct>"),
        inner.map(lambda value: f"<params><param>{value}</param></params>"),
        inner.map(lambda value: f"<methodCall><methodName>Foo</methodName>{value}</methodCall>"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=8,
)


@given(st.one_of(xml.map(str.encode), st.binary(max_size=200)))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_call_or_a_bad_request(body):
    with suppress(InvalidRequest):
        assert read_call(body, "", LIMIT).method


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_every_value_of_json_can_be_sent_and_read(value):
    sent = wire_value(value)
    (read,), _ = xmlrpc.client.loads(xmlrpc.client.dumps((sent,), methodresponse=True))
    if not isinstance(sent, str):
        assert type(read) is type(sent)


# --- clients that leave ----------------------------------------------------------------------------------------


def request_for_the_log() -> bytes:
    auth = [{"type": "InfrastructureManager", "username": "ana", "password": PASSWORD}]
    body = xmlrpc.client.dumps(("inf", auth), "GetInfrastructureContMsg").encode()
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_a_client_that_leaves_within_its_answer_leaves_nothing_behind(server):
    server.service.log = "x" * 32 * 1024 * 1024
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(request_for_the_log())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    server.until(lambda: not server.front_end._listener._exchanges)
    assert not server.front_end._listener._busy
    gc.collect()  # what nobody has looked at is told of when it is thrown away
    assert server.call("GetVersion") == [True, "1.2.3"]


def test_a_client_that_does_not_read_loses_its_connection(serve):
    server = serve(REQUEST_TIMEOUT=1)
    server.service.log = "x" * 32 * 1024 * 1024
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(request_for_the_log())
        server.until(lambda: server.front_end._listener._busy)
        server.until(lambda: not server.front_end._listener._busy)
        total = 0
        while data := connection.recv(1024 * 1024):
            total += len(data)
        assert total < len(server.service.log)


def test_a_client_that_leaves_does_not_end_its_operation(server):
    server.service.hold("contmsg")
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(request_for_the_log())
        server.until(lambda: server.service.waiting("contmsg"))
    server.loop.call_soon_threadsafe(server.service.release, "contmsg")
    server.until(lambda: not server.front_end._listener._busy)
    assert server.call("GetVersion") == [True, "1.2.3"]
