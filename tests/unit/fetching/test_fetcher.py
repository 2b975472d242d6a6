"""Fetching from real servers: what arrives, what is refused, and what happens when servers misbehave."""

import gzip
import logging
import socket
import struct
import threading
import tracemalloc
import zlib
from ipaddress import ip_network

import pytest

from imframework.api.errors import IMError
from imframework.fetching import FetchFailed, FetchRefused, Limits, Policy

NAME = "files.test"


def at(*answers):
    """A resolver that gives the lists of addresses one after the other, and keeps the names it was asked for."""
    remaining = list(answers)

    def resolve(host, port):
        resolve.asked.append(host)
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    resolve.asked = []
    return resolve


def redirect(target, status=302):
    return lambda handler: handler.send(status=status, Location=target)


# --- what arrives


def test_a_text_arrives_as_it_is(serve, fetcher):
    server = serve("- hosts: all # ñ €\r\n".encode())

    assert fetcher()(server.url("/a b.yml?x=1#frag")) == "- hosts: all # ñ €\r\n"
    (request,) = server.requests
    assert request.path == "/a%20b.yml?x=1"
    assert request.headers.get_all("Host") == [f"127.0.0.1:{server.port}"]
    assert request.headers.get_all("Accept-Encoding") == ["identity"]
    assert "Authorization" not in request.headers


def test_a_byte_order_mark_is_no_part_of_the_text(serve, fetcher):
    assert fetcher()(serve(b"\xef\xbb\xbfa: 1").url()) == "a: 1"


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_a_file_that_is_compressed_unasked_is_decompressed(serve, fetcher, encoding, compress):
    body = compress(b"a: 1\n" * 1000)
    server = serve(lambda handler: handler.send(body, Content_Encoding=encoding))

    assert fetcher()(server.url()) == "a: 1\n" * 1000
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_file_of_exactly_the_largest_size_arrives(serve, fetcher):
    assert len(fetcher(max_bytes=70_000)(serve(b"x" * 70_000).url())) == 70_000


def test_an_empty_file_is_an_empty_text(serve, fetcher):
    assert fetcher()(serve(b"").url()) == ""


def test_a_file_in_chunks_arrives(serve, fetcher):
    def answer(handler):
        handler.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked")

    assert fetcher()(serve(answer).url()) == "hello world"


def test_the_login_of_the_url_is_sent(serve, fetcher):
    server = serve(b"x")

    fetcher()(server.url().replace("//", "//me:p%40ss@"))
    fetcher()(server.url().replace("//", "//token@"))

    assert [request.headers["Authorization"] for request in server.requests] == [
        "Basic bWU6cEBzcw==",
        "Basic dG9rZW46",
    ]


def test_proxies_of_the_environment_are_not_used(serve, fetcher, monkeypatch):
    proxy = serve(b"from the proxy")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url(""))

    assert fetcher()(serve(b"from the server").url()) == "from the server"
    assert proxy.requests == []


def test_an_address_that_refuses_leaves_the_others(serve, fetcher):
    server = serve(b"here")
    fetch = fetcher(allowed=[NAME], resolver=at(["127.0.0.9", "127.0.0.1", "127.0.0.1"]))

    assert fetch(server.url(host=NAME)) == "here"
    assert server.requests[0].headers["Host"] == f"files.test:{server.port}"


# --- what is refused


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "ssh", "FILE", "unix"])
def test_other_schemes_are_refused(fetcher, scheme):
    with pytest.raises(FetchRefused, match=f"{scheme.lower()} is not fetched here, only https and http"):
        fetcher()(f"{scheme}://127.0.0.1/etc/passwd")


def test_the_operator_can_allow_https_only(serve, fetcher):
    server = serve(b"x")

    with pytest.raises(FetchRefused, match="http is not fetched here, only https"):
        fetcher(schemes=["https"])(server.url())
    assert server.requests == []


def test_no_policy_can_be_made_that_reads_files():
    with pytest.raises(ValueError, match="file is not a scheme"):
        Policy(["https", "FILE"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::]"]
)
def test_this_machine_is_refused_however_it_is_written(serve, fetcher, host):
    server = serve(b"secret")

    with pytest.raises(FetchRefused, match=r"its host has an? (loopback|unspecified) address, and is not among"):
        fetcher(allowed=())(server.url(host=host))
    assert server.requests == []


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]"])
def test_addresses_inside_are_refused(fetcher, address):
    with pytest.raises(FetchRefused, match="address, and is not among those that the operator allows"):
        fetcher()(f"http://{address}/latest/meta-data")


def test_a_public_host_that_also_has_an_address_inside_is_refused(serve, fetcher):
    server = serve(b"x")

    with pytest.raises(FetchRefused, match="a private address"):
        fetcher(resolver=at(["127.0.0.1", "10.0.0.1"]))(server.url(host=NAME))
    assert server.requests == []


def test_public_addresses_of_the_site_can_be_private(fetcher):
    fetch = fetcher(private=[ip_network("8.8.8.0/24")], resolver=at(["8.8.8.8"]))

    with pytest.raises(FetchRefused, match="a private address"):
        fetch("http://files.test/x")


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8", "files.test", "FILES.test."])
def test_the_operator_can_allow_hosts_by_name_address_and_network(serve, fetcher, allowed):
    server = serve(b"inside")

    assert fetcher(allowed=[allowed], resolver=at(["127.0.0.1"]))(server.url(host=NAME)) == "inside"


def test_a_name_that_is_allowed_does_not_allow_others(serve, fetcher):
    server = serve(b"x")

    with pytest.raises(FetchRefused):
        fetcher(allowed=["files.test"], resolver=at(["127.0.0.1"]))(server.url(host="other.files.test"))


def test_the_address_that_was_checked_is_the_one_that_is_asked(serve, fetcher):
    allowed, inside = serve(b"allowed"), serve(b"secret", host="127.0.0.2")
    resolver = at(["127.0.0.1"], ["127.0.0.2"])
    fetch = fetcher(resolver=resolver)

    assert fetch(allowed.url(host=NAME)) == "allowed"
    assert resolver.asked == [NAME]
    with pytest.raises(FetchRefused):
        fetch(inside.url(host=NAME))
    assert inside.requests == []


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(serve, fetcher, status):
    target = serve(b"there")
    start = serve(redirect(target.url("/new"), status))

    assert fetcher()(start.url()) == "there"
    assert target.requests[0].path == "/new"


def test_a_relative_redirect_is_followed(serve, fetcher):
    server = serve(lambda handler: handler.send(b"here") if handler.path == "/b/c" else redirect("c")(handler))

    assert fetcher()(server.url("/b/a")) == "here"


def test_the_login_is_not_sent_to_where_it_was_redirected(serve, fetcher):
    target = serve(b"there")
    start = serve(redirect(target.url()))

    fetcher()(start.url().replace("//", "//me:secret@"))

    assert "Authorization" in start.requests[0].headers
    assert "Authorization" not in target.requests[0].headers


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://169.254.169.254/latest", "link-local address.*169.254.169.254/latest"),
        ("http://127.0.0.2/", "loopback address"),
        ("//[::1]/x", "loopback address"),
        ("file:///etc/passwd", "file is not fetched here"),
        ("ftp://127.0.0.1/x", "ftp is not fetched here"),
        ("https:///x", "complete URL"),
        ("http://[::1/", "not a URL|not a valid URL"),
    ],
)
def test_a_redirect_to_where_nothing_may_be_fetched_is_refused(serve, fetcher, target, reason):
    with pytest.raises(FetchRefused, match=reason):
        fetcher()(serve(redirect(target)).url())


def test_a_redirect_is_resolved_and_checked_like_the_first_url(serve, fetcher):
    inside = serve(b"secret", host="127.0.0.2")
    start = serve(redirect(inside.url(host="inner.test")))
    resolver = at(["127.0.0.1"], ["127.0.0.2"])

    with pytest.raises(FetchRefused, match=r"loopback address.*inner\.test"):
        fetcher(resolver=resolver)(start.url(host=NAME))
    assert inside.requests == []
    assert resolver.asked == [NAME, "inner.test"]


def test_redirects_in_a_circle_end(serve, fetcher):
    server = serve(redirect("/file"))

    with pytest.raises(FetchRefused, match="redirects more than 5 times"):
        fetcher()(server.url())
    assert len(server.requests) == 6


def test_five_redirects_are_followed(serve, fetcher):
    def answer(handler):
        number = int(handler.path[1:])
        handler.send(b"end") if number == 5 else redirect(f"/{number + 1}")(handler)

    assert fetcher()(serve(answer).url("/0")) == "end"


def test_a_redirect_to_nowhere_is_an_error(serve, fetcher):
    with pytest.raises(FetchFailed, match="redirects without saying where to"):
        fetcher()(serve(lambda handler: handler.send(status=302)).url())


# --- servers that misbehave


@pytest.mark.parametrize(
    ("status", "text"), [(404, "404 Not Found"), (500, "500 Internal"), (403, "403 F"), (206, "206"), (799, "799")]
)
def test_any_other_status_is_an_error_that_names_it(serve, fetcher, status, text):
    server = serve(lambda handler: handler.send(b"<html>secret", status=status))

    with pytest.raises(FetchFailed, match=rf"its server answers {text}.* \(http://127.0.0.1:\d+/a.yml\)$"):
        fetcher()(server.url("/a.yml?token=secret").replace("//", "//me:secret@"))


def test_not_modified_is_an_error_when_nobody_asked(serve, fetcher):
    with pytest.raises(FetchFailed, match="304"):
        fetcher()(serve(lambda handler: handler.send(status=304)).url())


@pytest.mark.parametrize("body", ["ñ".encode("latin-1"), "a: 1".encode("utf-16"), b"\xff\xfe\x00", b"ok\xc3"])
def test_what_is_not_utf8_is_refused(serve, fetcher, body):
    with pytest.raises(FetchFailed, match=r"it is not UTF-8 text \(byte \d\)"):
        fetcher()(serve(body).url())


def test_a_file_that_is_too_large_is_not_read_to_the_end(serve, fetcher, released):
    def endless(handler):
        handler.send(b"x" * 5000, Content_Length=None)
        released.wait()

    with pytest.raises(FetchFailed, match="it has more than 4096 bytes"):
        fetcher(max_bytes=4096)(serve(endless).url())


@pytest.mark.parametrize("layers", [1, 2])
def test_a_small_file_that_decompresses_to_a_large_one_is_refused(serve, fetcher, layers):
    body = b"\0" * 50_000_000
    for _ in range(layers):
        body = gzip.compress(body)
    server = serve(lambda handler: handler.send(body, Content_Encoding=", ".join(["gzip"] * layers)))

    tracemalloc.start()
    try:
        with pytest.raises(FetchFailed, match="it has more than 1048576 bytes"):
            fetcher()(server.url())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"x" * 1000)[:20] + b"\xff" * 10], ids=["no gzip", "damaged"]
)
def test_what_cannot_be_decompressed_is_an_error(serve, fetcher, body):
    server = serve(lambda handler: handler.send(body, Content_Encoding="gzip"))

    with pytest.raises(FetchFailed, match="it cannot be decompressed"):
        fetcher()(server.url())


def test_a_file_that_ends_early_is_an_error(serve, fetcher):
    server = serve(lambda handler: (handler.send(b"half", Content_Length="8"), handler.connection.close()))

    with pytest.raises(FetchFailed, match="not to the end"):
        fetcher()(server.url())


def _reset(connection):
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "talk",
    [
        _reset,
        lambda connection: connection.recv(65536),
        lambda connection: (connection.recv(65536), connection.sendall(b"SSH-2.0-OpenSSH\r\n")),
        lambda connection: (connection.recv(65536), connection.sendall(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000)),
        lambda connection: (connection.recv(65536), connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200)),
        lambda connection: (
            connection.recv(65536),
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ),
    ],
    ids=["reset", "closed", "not HTTP", "long header", "many headers", "bad chunk"],
)
def test_a_server_that_breaks_off_or_speaks_no_http_is_an_error(serve_bytes, fetcher, talk):
    with pytest.raises(FetchFailed, match=r"its server (does not answer as HTTP|cannot be reached)"):
        fetcher()(serve_bytes(talk))


def test_a_port_where_nobody_listens_is_an_error(fetcher):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(FetchFailed, match="its server cannot be reached: connection refused"):
            fetcher()(f"http://127.0.0.1:{taken.getsockname()[1]}/x")


def _drip(prefix, drop):
    """Answer with `prefix`, then a byte now and then: each keeps within any time-out of the socket."""

    def talk(connection, released):
        connection.recv(65536)
        connection.sendall(prefix)
        while not released.wait(0.02):
            connection.sendall(drop)

    return talk


@pytest.mark.parametrize(
    "talk",
    [
        lambda connection, released: released.wait(),
        _drip(b"HTTP/1.1 200 OK\r\nA: ", b"x"),
        _drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    ],
    ids=["hang", "header", "body", "counted body", "continue", "empty gzip members"],
)
def test_no_server_can_hold_a_fetch_beyond_its_time(serve_bytes, fetcher, released, talk):
    url = serve_bytes(lambda connection: talk(connection, released))

    with pytest.raises(FetchFailed, match=r"there is no complete answer within 0\.3 s"):
        fetcher(timeout=0.3)(url)


def _drip_over_tls(context):
    def talk(connection, released):
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not released.wait(0.02):
                secured.sendall(b"x")

    return talk


def test_a_server_cannot_hold_a_fetch_by_tls_either(serve_bytes, fetcher, authority, released):
    talk = _drip_over_tls(authority.server("127.0.0.1"))
    url = serve_bytes(lambda connection: talk(connection, released))

    with pytest.raises(FetchFailed, match=r"no complete answer within 0\.5 s"):
        fetcher(timeout=0.5, context=authority.client())(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "talk",
    [lambda connection, released: released.wait(), _drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\0")],
    ids=["hang", "drip"],
)
def test_a_server_that_does_not_end_the_tls_handshake_cannot_either(serve_bytes, fetcher, released, talk):
    url = serve_bytes(lambda connection: talk(connection, released))

    with pytest.raises(FetchFailed, match=r"no complete answer within 0\.3 s"):
        fetcher(timeout=0.3)(url.replace("http:", "https:"))


def test_redirects_share_the_time(serve, fetcher, released):
    hanging = serve(lambda handler: released.wait())

    with pytest.raises(FetchFailed, match=rf"within 0\.3 s \({hanging.url()}\)"):
        fetcher(timeout=0.3)(serve(redirect(hanging.url())).url())


def test_a_name_that_is_not_resolved_in_time_is_an_error(fetcher, released):
    def hanging(host, port):
        released.wait()
        return ["127.0.0.1"]

    with pytest.raises(FetchFailed, match=r"no complete answer within 0\.2 s"):
        fetcher(resolver=hanging, timeout=0.2)("http://files.test/x")


def test_a_name_that_nobody_knows_is_an_error(fetcher):
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolver in (unknown, at([])):
        with pytest.raises(FetchFailed, match=r"its host name (cannot be resolved|has no address)"):
            fetcher(resolver=resolver)("http://files.test/x")


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "a..test", ".test", "-", "[fe80::1%25lo]", "a" * 300])
def test_odd_host_names_are_errors_like_others(fetcher, host):
    with pytest.raises(IMError):
        fetcher(timeout=2)(f"http://{host}/x")


def test_urls_with_secrets_are_not_logged(serve_bytes, fetcher, caplog):
    def talk(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 1\r\n\r\nx")

    with caplog.at_level(logging.DEBUG):
        fetcher()(serve_bytes(talk) + "?sig=s3cret")

    assert "s3cret" not in caplog.text


# --- TLS


def test_a_certificate_for_the_name_is_accepted_at_the_checked_address(serve, fetcher, authority):
    server = serve(b"safe", context=authority.server("files.test"))
    fetch = fetcher(allowed=["127.0.0.1"], resolver=at(["127.0.0.1"]), context=authority.client())

    assert fetch(server.url(host=NAME)) == "safe"


def test_a_certificate_for_the_address_is_accepted(serve, fetcher, authority):
    server = serve(b"safe", context=authority.server("127.0.0.1"))

    assert fetcher(context=authority.client())(server.url()) == "safe"


@pytest.mark.parametrize("names", [("other.test",), ("127.0.0.1",), ("www.files.test", "*.files.test")])
def test_a_certificate_for_another_name_is_refused(serve, fetcher, authority, names):
    server = serve(b"x", context=authority.server(*names))
    fetch = fetcher(resolver=at(["127.0.0.1"]), context=authority.client())

    with pytest.raises(FetchFailed, match="certificate of its server is not accepted: Hostname mismatch"):
        fetch(server.url(host=NAME))
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(serve, fetcher, authority):
    server = serve(b"x", context=authority.server("127.0.0.1"))

    with pytest.raises(FetchFailed, match="certificate of its server is not accepted: "):
        fetcher()(server.url())
    assert server.requests == []


def test_a_server_without_tls_is_an_error(serve, fetcher):
    with pytest.raises(FetchFailed, match="TLS does not come about"):
        fetcher()(serve(b"x").url().replace("http:", "https:"))


def test_a_redirect_from_https_to_http_is_refused(serve, fetcher, authority):
    plain = serve(b"x")
    start = serve(redirect(plain.url()), context=authority.server("127.0.0.1"))

    with pytest.raises(FetchRefused, match="redirects from https to http"):
        fetcher(context=authority.client())(start.url())
    assert plain.requests == []


def test_a_redirect_from_http_to_https_is_followed(serve, fetcher, authority):
    target = serve(b"safe", context=authority.server("127.0.0.1"))

    assert fetcher(context=authority.client())(serve(redirect(target.url())).url()) == "safe"


# --- what it leaves behind


def test_threads_end_with_their_fetch(serve, fetcher):
    fetch = fetcher()
    server = serve(lambda handler: handler.send(b"x", status=404 if handler.path == "/no" else 200))

    fetch(server.url())
    with pytest.raises(FetchFailed):
        fetch(server.url("/no"))

    assert not [thread for thread in threading.enumerate() if thread.name == "fetch-watchdog"]


def test_the_limits_are_those_of_the_reference():
    assert Limits() == Limits(20.0, 1024 * 1024, 5, 60.0, 300, 16 * 1024 * 1024)
