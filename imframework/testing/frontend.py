"""The conformance suite of front ends: inherit from `FrontEndContract` and say how yours is made and talked to.

::

    class TestMyFrontEnd(FrontEndContract):
        @pytest.fixture
        def make_front_end(self):
            def make(service, *, port=0, body_limit=65536, patience=60, tls=None):
                return MyFrontEnd(service, {"MY_ADDRESS": "127.0.0.1", "MY_PORT": port, …})

            return make

        @pytest.fixture
        def call(self):
            def call(address, operation, *, user="", password="", infrastructure="", document=""):
                …

            return call
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import pytest

from imframework.api.errors import ConfigurationError, Conflict
from imframework.api.frontend import FrontEnd
from imframework.api.http_settings import option_names
from imframework.api.plugin import PluginKind
from imframework.testing.certificates import Authority
from imframework.testing.service import PASSWORD, MemoryService

T = TypeVar("T")

#: Seconds in which everything that is waited for happens, on a busy machine too.
PATIENCE = 60.0
#: Bodies are limited to so many bytes in these tests.
BODY_LIMIT = 64 * 1024
USER = "ana"


class Refused(Exception):
    """What `call` raises when the answer is an error; its text is the whole of the answer, as the client sees it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files that the options for TLS are to name."""

    certificate: Path
    key: Path
    authorities: Path


def http_options(
    prefix: str, *, port: int = 0, body_limit: int = BODY_LIMIT, patience: float = 60, tls: TlsFiles | None = None
) -> dict[str, object]:
    """The options of an `imframework.api.http_frontend.HttpFrontEnd` on loopback, which trusts no proxy."""
    values: dict[str, object] = {
        f"{prefix}_ADDRESS": "127.0.0.1",
        f"{prefix}_PORT": port,
        f"{prefix}_SSL": tls is not None,
        f"{prefix}_SSL_KEYFILE": tls and tls.key,
        f"{prefix}_SSL_CERTFILE": tls and tls.certificate,
        f"{prefix}_SSL_CA_CERTS": tls and tls.authorities,
        "REST_MAX_BLOCKING_CALLS": 32,
        "REST_BLOCKING_CALL_TIMEOUT": 0,
        "MAX_BODY_SIZE": body_limit,
        "REQUEST_TIMEOUT": patience,
        "TRUSTED_PROXIES": (),
    }
    return {name: values[name] for name in option_names(prefix)}


class MakeFrontEnd(Protocol):
    """Makes a front end that is not started yet, and listens on 127.0.0.1.

    `port` 0 is a free one, `body_limit` is in bytes, `patience` is how many seconds a client may take to send its
    request.
    """

    def __call__(
        self,
        service: MemoryService,
        *,
        port: int = 0,
        body_limit: int = BODY_LIMIT,
        patience: float = PATIENCE,
        tls: TlsFiles | None = None,
    ) -> FrontEnd: ...


class CallFrontEnd(Protocol):
    """Asks for an operation as a client does, and gives the text of the answer.

    `operation` is ``version``, ``state`` (of an infrastructure) or ``create`` (from a RADL document). Credentials are
    an InfrastructureManager item of `user` and `password`; without `user` none are sent.

    Raises:
        Refused: the answer is an error.
    """

    def __call__(
        self,
        address: str,
        operation: str,
        *,
        user: str = "",
        password: str = PASSWORD,
        infrastructure: str = "",
        document: str = "",
    ) -> str: ...


class Running:
    """A front end that runs on a loop in a thread of its own, and its service."""

    def __init__(self, front_end: FrontEnd, service: MemoryService, loop: asyncio.AbstractEventLoop) -> None:
        self.front_end, self.service, self.loop = front_end, service, loop
        self.run(front_end.start())
        self.address = front_end.address
        parts = urlsplit(self.address)
        assert parts.hostname, "the address is no URL"
        assert parts.port, "the address has no port"
        self.host, self.port = parts.hostname, parts.port

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the loop."""
        return self.begin(coroutine).result(PATIENCE)

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection((self.host, self.port), timeout=PATIENCE)

    def held(self, operation: str, count: int = 1) -> None:
        """Wait until calls of an operation are being held."""
        _until(lambda: self.service.waiting(operation) >= count)

    def release(self, operation: str) -> None:
        """Let these calls go on."""
        self.loop.call_soon_threadsafe(self.service.release, operation)


class FrontEndContract:
    """What every front end must do. Override the fixtures; add tests of your own beside them."""

    @pytest.fixture
    def make_front_end(self) -> MakeFrontEnd:
        """How your front end is made."""
        raise NotImplementedError("Override the fixture `make_front_end`.")

    @pytest.fixture
    def call(self) -> CallFrontEnd:
        """How a client talks to it."""
        raise NotImplementedError("Override the fixture `call`.")

    @pytest.fixture
    def beginning(self) -> bytes:
        """The beginning of a request whose rest never comes."""
        return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n<"

    @pytest.fixture
    def speaks_tls(self) -> bool:
        """Whether it can serve TLS."""
        return True

    @pytest.fixture
    def start(self, make_front_end: MakeFrontEnd) -> Iterator[Callable[..., Running]]:
        """Starts a front end; keywords are those of `make_front_end`. It is stopped after the test."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        started: list[Running] = []

        def start(**options: Any) -> Running:
            service = MemoryService()
            service.infrastructures["inf"] = [0]
            started.append(Running(make_front_end(service, **options), service, loop))
            return started[-1]

        yield start
        for running in started:
            running.run(running.front_end.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()

    @pytest.fixture
    def running(self, start: Callable[..., Running]) -> Running:
        """A front end with the defaults."""
        return start()

    @pytest.fixture
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        """For calls that wait."""
        with ThreadPoolExecutor(8) as pool:
            yield pool

    # --- starting ------------------------------------------------------------------------------------------

    def test_is_a_well_formed_plugin(self, make_front_end: MakeFrontEnd) -> None:
        front_end = make_front_end(MemoryService())
        assert front_end.info.kind is PluginKind.FRONTEND
        assert type(front_end).faults() == []

    def test_tells_where_it_listens(self, running: Running) -> None:
        running.connect().close()
        assert running.front_end.address == running.address

    def test_refuses_to_start_at_an_address_that_is_taken(
        self, running: Running, start: Callable[..., Running]
    ) -> None:
        with pytest.raises(ConfigurationError, match=str(running.port)):
            start(port=running.port)

    # --- calls ---------------------------------------------------------------------------------------------

    def test_tells_the_version_to_anybody(self, running: Running, call: CallFrontEnd) -> None:
        assert running.service.version() in call(running.address, "version")

    def test_hands_a_document_over_as_it_is(self, running: Running, call: CallFrontEnd) -> None:
        document = "system café (cpu.count >= 1 and name = '<ñ & 漢字 \U0001f600>')\n"
        answer = call(running.address, "create", user=USER, document=document)
        assert [given.text for given, _ in running.service.asked("create")] == [document]
        assert set(running.service.infrastructures) == {"inf", "inf-1"}
        assert "inf-1" in answer

    def test_tells_the_service_who_calls_from_where(self, running: Running, call: CallFrontEnd) -> None:
        call(running.address, "state", user=USER, infrastructure="inf")
        assert running.service.addresses == ["127.0.0.1"]

    def test_answers_others_while_a_call_waits(
        self, running: Running, call: CallFrontEnd, threads: ThreadPoolExecutor
    ) -> None:
        running.service.hold("create")
        waiting = [threads.submit(call, running.address, "create", user=USER, document="x") for _ in range(3)]
        running.held("create", 3)
        assert "running" in call(running.address, "state", user=USER, infrastructure="inf")
        running.release("create")
        assert len({future.result(PATIENCE) for future in waiting}) == 3

    # --- refusals ------------------------------------------------------------------------------------------

    def test_asks_for_credentials(self, running: Running, call: CallFrontEnd) -> None:
        for user, password in (("", PASSWORD), (USER, "wrong-password-4712")):
            with pytest.raises(Refused):
                call(running.address, "create", user=user, password=password, document="x")
        assert running.service.calls == []

    def test_tells_the_errors_of_the_service(self, running: Running, call: CallFrontEnd) -> None:
        running.service.failures["state"] = Conflict("Invalid State to perform this operation.")
        with pytest.raises(Refused, match="Invalid State to perform this operation\\."):
            call(running.address, "state", user=USER, infrastructure="inf")
        running.service.failures.clear()
        with pytest.raises(Refused, match="Access to this infrastructure not granted\\."):
            call(running.address, "state", user=USER, infrastructure="foreign")

    def test_shows_nothing_of_the_inside_when_something_breaks(
        self, running: Running, call: CallFrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        running.service.failures["state"] = RuntimeError("secret-8315 in /srv/inside.py")
        with pytest.raises(Refused) as refusal:
            call(running.address, "state", user=USER, infrastructure="inf")
        for inside in ("secret-8315", "inside.py", "RuntimeError", "Traceback"):
            assert inside not in str(refusal.value)
        assert "secret-8315" in caplog.text, "the operator finds nothing in the log"

    def test_writes_no_credentials_into_the_log(
        self, running: Running, call: CallFrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        running.service.failures["state"] = RuntimeError("broken")
        with caplog.at_level(logging.DEBUG):
            for user, password in ((USER, PASSWORD), (USER, "wrong-password-4712")):
                with pytest.raises(Refused) as refusal:
                    call(running.address, "state", user=user, password=password, infrastructure="inf")
                assert password not in str(refusal.value)
                assert password not in caplog.text

    def test_keeps_the_limit_of_bodies(self, running: Running, call: CallFrontEnd) -> None:
        with pytest.raises(Refused):
            call(running.address, "create", user=USER, document="#" * (BODY_LIMIT + 1))
        assert running.service.calls == []
        call(running.address, "create", user=USER, document="#" * (BODY_LIMIT // 2))

    def test_lets_go_of_clients_that_send_nothing_more(
        self, start: Callable[..., Running], call: CallFrontEnd, beginning: bytes
    ) -> None:
        running = start(patience=1)
        for sent in (b"", beginning):
            with running.connect() as connection:
                connection.sendall(sent)
                _closed(connection)
        assert running.service.version() in call(running.address, "version")

    def test_survives_noise(self, running: Running, call: CallFrontEnd) -> None:
        for noise in (b"\x00" * 1000, b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n"):
            with running.connect() as connection, suppress(ConnectionError):
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                _closed(connection)
        assert running.service.version() in call(running.address, "version")

    # --- stopping ------------------------------------------------------------------------------------------

    def test_lets_requests_in_progress_end_when_it_stops(
        self, running: Running, call: CallFrontEnd, threads: ThreadPoolExecutor
    ) -> None:
        running.service.hold("create")
        with running.connect() as idle:
            waiting = threads.submit(call, running.address, "create", user=USER, document="x")
            running.held("create")
            stopped = running.begin(running.front_end.stop())
            _closed(idle)
        with pytest.raises(OSError, match=r"(?i)refused|reset"):
            running.connect()
        assert not stopped.done()
        running.release("create")
        assert "inf-1" in waiting.result(PATIENCE)
        stopped.result(PATIENCE)

    def test_can_be_stopped_twice(self, running: Running) -> None:
        running.run(running.front_end.stop())
        running.run(running.front_end.stop())

    def test_closes_everything_when_stopping_is_cancelled(
        self, running: Running, call: CallFrontEnd, threads: ThreadPoolExecutor
    ) -> None:
        running.service.hold("create")
        waiting = threads.submit(call, running.address, "create", user=USER, document="x")
        running.held("create")

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await running.front_end.stop()

        with pytest.raises(TimeoutError):
            running.run(impatient())
        # Not so late that the client itself may have given up.
        assert isinstance(waiting.exception(PATIENCE / 2), Exception)

    # --- TLS -----------------------------------------------------------------------------------------------

    @pytest.fixture
    def authority(self, speaks_tls: bool, tmp_path: Path) -> Authority:
        """An authority for a server and its clients."""
        if not speaks_tls:
            pytest.skip("the fixture `speaks_tls` says that it does not")
        return Authority(tmp_path)

    @pytest.fixture
    def secure(self, start: Callable[..., Running], authority: Authority) -> Running:
        """A front end that serves TLS."""
        pair = authority.issue("localhost", "server")
        return start(tls=TlsFiles(pair.certificate, pair.key, authority.certificate))

    def test_speaks_tls_1_2_and_later_only(self, secure: Running, authority: Authority) -> None:
        assert secure.address.startswith("https://")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = _trusting(authority)
            context.minimum_version = context.maximum_version = version
            _shake_hands(secure, context)
        context = _trusting(authority)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            _shake_hands(secure, context)

    def test_answers_nothing_to_a_client_without_tls(self, secure: Running) -> None:
        with secure.connect() as connection, suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in _closed(connection)

    def test_accepts_certificates_of_its_authorities_only(self, secure: Running, authority: Authority) -> None:
        ana, eve = authority.issue("ana"), Authority(authority.folder, "stranger").issue("eve")
        for pair, accepted in ((ana, True), (eve, False)):
            context = _trusting(authority)
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # where a refused client learns of it at once
            context.load_cert_chain(pair.certificate, pair.key)
            if accepted:
                _shake_hands(secure, context)
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    _shake_hands(secure, context)

    def test_takes_up_a_new_certificate_and_keeps_its_connections(self, secure: Running, authority: Authority) -> None:
        with _trusting(authority).wrap_socket(secure.connect(), server_hostname="localhost") as early:
            authority.issue("new.example.org", "server")

            def renewed() -> bool:
                with suppress(ssl.SSLCertVerificationError):
                    _shake_hands(secure, _trusting(authority), "new.example.org")
                    return True
                return False

            _until(renewed)
            early.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                early.recv(1)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for has not happened"
        time.sleep(0.01)


def _closed(connection: socket.socket) -> bytes:
    """What comes until the other side closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


def _shake_hands(running: Running, context: ssl.SSLContext, name: str = "localhost") -> None:
    context.wrap_socket(running.connect(), server_hostname=name).close()
