"""Connections: limits, slow and broken clients, concurrency, time-outs, TLS, starting and stopping."""

import asyncio
import gc
import http.client
import socket
import ssl
import threading

import pytest

from imframework.api.errors import CloudError, ConfigurationError
from imframework.api.frontend import FrontEnd
from imframework.testing.certificates import Authority
from imframework_plugins.frontends.rest import declaration
from imframework_plugins.frontends.rest.frontend import RestFrontEnd

LIMIT = 64 * 1024
POST = b"POST /infrastructures HTTP/1.1\r\nHost: h\r\nAuthorization: ana\r\n"
GET = b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n"


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length from an open connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += received(connection)
    return head + b"\r\n\r\n" + body


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the connection was closed within an answer"
    return data


def accepted(connection: socket.socket, data: bytes) -> int:
    """How many bytes can be sent, `data` over and over, before the connection breaks."""
    total = 0
    while total < 1024 * 1024 * 1024:
        try:
            connection.sendall(data)
        except OSError:
            break
        total += len(data)
    return total


# --- bodies ---------------------------------------------------------------------------------------------------


def test_a_body_of_exactly_the_limit_is_accepted(server):
    assert server.post("/infrastructures", b"#" * LIMIT).status == 200
    assert len(server.service.calls[0][1].text) == LIMIT


def test_a_larger_body_is_refused_to_a_client_that_sends_all_of_it_first(server):
    answer = server.post("/infrastructures", b"#" * (8 * 1024 * 1024), Accept="application/json")
    assert answer.status == 413
    assert answer.json == {"message": f"The body is larger than {LIMIT} bytes", "code": 413}
    assert not server.service.calls


def test_a_body_that_is_announced_as_too_large_is_refused_at_once(server):
    for length in (b"65537", b"9" * 40):
        with server.connect() as connection:
            connection.sendall(POST + b"Content-Length: %s\r\n\r\n" % length)
            answer = read_answer(connection)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in answer


def test_a_client_that_asks_before_it_sends_too_much_is_told_no(server):
    answer = server.raw(POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(server):
    with server.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_a_chunked_body_is_accepted_within_the_limit(server):
    answer = server.post("/infrastructures", iter([b"system ", b"front ()"]))
    assert answer.status == 200
    assert server.service.calls[0][1].text == "system front ()"


def test_a_chunked_body_beyond_the_limit_is_refused(server):
    answer = server.post("/infrastructures", iter([b"#" * 40000] * 100))
    assert answer.status == 413
    assert not server.service.calls


def test_a_body_without_end_is_cut_off(server):
    with server.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"#" * 0x10000 + b"\r\n"
        assert accepted(connection, chunk) < 100 * 1024 * 1024
    assert not server.service.calls


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: -1\r\n",
        b"Content-Length: one\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked\r\nX: \x00\r\n",
        b"no colon\r\n",
    ],
)
def test_a_malformed_head_is_a_bad_request_and_ends_the_connection(server, framing):
    answer = server.raw(POST + framing + b"\r\n1\r\nx\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not server.service.calls


@pytest.mark.parametrize(
    "line", [b"GARBAGE", b"GET /version", b"GET /a b HTTP/1.1", b"GET /version HTTP/9.9", b"\x16\x03\x01"]
)
def test_a_malformed_request_line_is_a_bad_request(server, line):
    assert server.raw(line + b"\r\nHost: h\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_malformed_chunk_is_a_bad_request(server):
    answer = server.raw(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not server.service.calls


def test_a_request_whose_body_never_comes_whole_makes_nothing(server):
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 10\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert not server.service.calls


def test_a_head_without_end_closes_the_connection(server):
    with server.connect() as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nX: ")
        assert accepted(connection, b"x" * 65536) < 100 * 1024 * 1024


# --- slow clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beginning", [b"", b"GET /version HTTP/1.1\r\nHost", POST + b"Content-Length: 9\r\n\r\nabc", GET]
)
def test_a_client_that_stops_sending_loses_its_connection(serve, beginning):
    server = serve(REQUEST_TIMEOUT=1)
    answer = server.raw(beginning)
    assert answer.endswith(b"1.2.3") if beginning == GET else answer == b""


def test_a_client_that_does_not_read_loses_its_connection(serve):
    server = serve(REQUEST_TIMEOUT=1)
    server.service.infrastructures["inf"] = [0]
    size = 64 * 1024 * 1024
    server.service.properties["large"] = "x" * size
    listener = server.front_end._listener
    with server.connect() as connection:
        connection.sendall(b"GET /infrastructures/inf/vms/0/large HTTP/1.1\r\nHost: h\r\nAuthorization: ana\r\n\r\n")
        server.until(lambda: listener._busy)
        server.until(lambda: not listener._busy)
        total = 0
        while data := connection.recv(1024 * 1024):
            total += len(data)
        assert total < size


def test_a_client_that_leaves_within_its_answer_leaves_nothing_behind(server, infrastructure):
    server.service.properties["large"] = "x" * 32 * 1024 * 1024
    with server.connect() as connection:
        connection.sendall(b"GET /infrastructures/inf/vms/0/large HTTP/1.1\r\nHost: h\r\nAuthorization: ana\r\n\r\n")
        received(connection)
    server.until(lambda: not server.front_end._listener._exchanges)
    gc.collect()  # what nobody has looked at is told of when it is thrown away
    assert server.get("/version").status == 200


def test_a_large_answer_arrives_whole(server, infrastructure):
    server.service.properties["large"] = text = "0123456789" * 300_000
    assert server.get("/infrastructures/inf/vms/0/large").text == text


def test_a_client_that_leaves_does_not_end_its_operation(server):
    server.hold("create")
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 0\r\n\r\n")
        server.until(lambda: server.service.waiting.get("create"))
    server.release("create")
    server.until(lambda: server.service.infrastructures)
    assert server.get("/version").status == 200


# --- connections ----------------------------------------------------------------------------------------------


def test_a_connection_serves_many_requests_pipelined_or_not(server):
    with server.connect() as connection:
        connection.sendall(GET)
        assert read_answer(connection).endswith(b"1.2.3")
        connection.sendall(GET + GET.replace(b"1.1\r\n", b"1.1\r\nConnection: close\r\n"))
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert rest.count(b"HTTP/1.1 200 ") == 2


# --- waiting --------------------------------------------------------------------------------------------------


def in_threads(count, function):
    """Call a function in several threads; the threads, and a list that gets the results."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(function())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def test_only_so_many_changes_wait_at_a_time(serve):
    server = serve(REST_MAX_BLOCKING_CALLS=2)
    server.hold("create")
    threads, results = in_threads(5, lambda: server.post("/infrastructures").status)
    server.until(lambda: server.service.waiting.get("create") == 2)
    server.until(lambda: len(server.front_end._listener._busy) == 5)
    assert server.service.waiting["create"] == 2
    server.release("create")
    for thread in threads:
        thread.join()
    assert results == [200] * 5


def test_reading_deleting_and_asynchronous_calls_are_not_held_up_by_changes(serve):
    server = serve(REST_MAX_BLOCKING_CALLS=1)
    server.service.infrastructures.update(a=[0], b=[0])
    server.hold("stop")
    threads, results = in_threads(2, lambda: server.put("/infrastructures/a/stop").status)
    server.until(lambda: server.service.waiting.get("stop"))
    assert server.get("/infrastructures/a/state").status == 200
    assert server.post("/infrastructures?async=1").status == 200
    assert server.delete("/infrastructures/b").status == 200
    server.release("stop")
    for thread in threads:
        thread.join()
    assert results == [200, 200]


def test_a_call_beyond_the_patience_is_answered_and_goes_on(serve):
    server = serve(REST_BLOCKING_CALL_TIMEOUT=0.05)
    server.hold("create")
    answer = server.post("/infrastructures", Accept="application/json")
    assert answer.status == 504
    assert answer.json == {"message": "Operation timed out", "code": 504}
    assert not server.service.infrastructures
    server.release("create")
    server.until(lambda: server.service.infrastructures)


def test_a_call_within_the_patience_is_answered_as_ever(serve):
    server = serve(REST_BLOCKING_CALL_TIMEOUT=20)
    assert server.post("/infrastructures").status == 200
    server.service.failures["create"] = CloudError("no")
    assert server.post("/infrastructures").status == 400


def test_the_late_failure_of_a_call_is_logged(serve, caplog):
    server = serve(REST_BLOCKING_CALL_TIMEOUT=0.05)
    server.hold("create")
    server.service.failures["create"] = CloudError("too late")
    assert server.post("/infrastructures").status == 504
    server.release("create")
    server.until(lambda: any("too late" in record.getMessage() for record in caplog.records))


# --- starting and stopping ------------------------------------------------------------------------------------


def test_the_declaration_names_a_usable_front_end():
    assert declaration.target == f"{RestFrontEnd.__module__}:{RestFrontEnd.__name__}"
    assert issubclass(RestFrontEnd, FrontEnd)
    assert RestFrontEnd.faults() == []


def test_an_address_that_is_taken_is_a_configuration_error(server, serve):
    with pytest.raises(ConfigurationError, match=rf"REST_PORT = {server.port}: cannot listen: "):
        serve(REST_PORT=server.port)


def test_an_address_that_does_not_exist_is_a_configuration_error(serve):
    with pytest.raises(ConfigurationError, match=r"REST_ADDRESS = 192\.0\.2\.1"):
        serve(REST_ADDRESS="192.0.2.1")


def test_stopping_closes_idle_connections_and_the_port(server):
    with server.connect() as connection:
        connection.sendall(GET)
        read_answer(connection)
        server.run(server.front_end.stop())
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    server.run(server.front_end.stop())


def test_stopping_lets_requests_in_progress_end(server):
    server.hold("create")
    with server.connect() as idle, server.connect() as busy:
        idle.sendall(GET)
        read_answer(idle)
        busy.sendall(POST + b"Content-Length: 0\r\n\r\n")
        server.until(lambda: server.service.waiting.get("create"))
        stopped = server.start(server.front_end.stop())
        assert idle.recv(1) == b""
        assert not stopped.done()
        server.release("create")
        answer = read_answer(busy)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in answer
        assert busy.recv(1) == b""
        stopped.result(20)


def test_a_stop_that_is_cancelled_closes_what_is_left(server):
    server.hold("create")
    with server.connect() as busy:
        busy.sendall(POST + b"Content-Length: 0\r\n\r\n")
        server.until(lambda: server.service.waiting.get("create"))

        async def impatient():
            async with asyncio.timeout(0.05):
                await server.front_end.stop()

        with pytest.raises(TimeoutError):
            server.run(impatient())
        assert busy.recv(1) == b""


# --- TLS ------------------------------------------------------------------------------------------------------


def test_tls_is_served_by_the_options(serve, tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("localhost")
    server = serve(
        REST_SSL=True,
        REST_SSL_KEYFILE=pair.key,
        REST_SSL_CERTFILE=pair.certificate,
        REST_SSL_CA_CERTS=authority.certificate,
    )
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=authority.certificate)
    context.check_hostname = False
    connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=20)
    connection.request("POST", "/infrastructures", headers={"Authorization": "ana"})
    assert connection.getresponse().read().decode() == f"{server.url}/infrastructures/inf-0"
    connection.close()


def test_an_unusable_certificate_is_a_configuration_error(serve, tmp_path):
    pair = Authority(tmp_path).issue("localhost")
    with pytest.raises(ConfigurationError, match=r"REST_SSL_CERTFILE = .*cannot be used"):
        serve(REST_SSL=True, REST_SSL_KEYFILE=pair.key, REST_SSL_CERTFILE=pair.key)
