"""TLS of front ends: what is spoken, whose certificates are accepted, and what happens when the files change."""

import logging
import os
import re
import socket
import ssl
import threading
import warnings
from contextlib import closing, suppress

import pytest

from imframework.api import tls
from imframework.api.errors import ConfigurationError
from imframework.api.tls import ServerTls
from imframework.testing.certificates import Authority

PATIENCE = 30


class Echo:
    """A server that sends back what it gets, on every connection until its client leaves."""

    def __init__(self, context):
        self.context = context
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(PATIENCE)
        with suppress(OSError), self.context.wrap_socket(connection, server_side=True) as wrapped:
            while data := wrapped.recv(1000):
                wrapped.sendall(data)


@pytest.fixture(autouse=True)
def watched_closely(monkeypatch):
    """A change of a file is noticed by the next connection."""
    monkeypatch.setattr(tls, "PERIOD", 0.0)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def echo():
    """Make a server of the options."""
    made = []

    def make(pair, authorities=None):
        made.append(Echo(ServerTls("REST", pair.certificate, pair.key, authorities)))
        return made[-1]

    yield make
    for server in made:
        server.socket.close()


def client(authority, pair=None):
    """A context of a client that trusts an authority and has a certificate or none."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def connect(server, context, name="localhost"):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    return context.wrap_socket(connection, server_hostname=name)


def echoed(connection):
    connection.sendall(b"hello")
    return connection.recv(100)


def said(server, context, name="localhost"):
    """What a new connection sends back."""
    with connect(server, context, name) as connection:
        return echoed(connection)


def refused(server, context):
    """Check that the server refuses the certificate of a client. (With TLS 1.3 it learns of that when it reads.)"""
    with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"), connect(server, context) as connection:
        connection.recv(100)


# --- what is spoken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_versions_are_spoken_with_modern_ciphers(echo, authority, version):
    server, context = echo(authority.issue("localhost")), client(authority)
    context.minimum_version = context.maximum_version = version
    with connect(server, context) as connection:
        assert echoed(connection) == b"hello"
        assert connection.cipher()[0].startswith(("ECDHE-", "TLS_"))
        assert re.search("GCM|POLY1305", connection.cipher()[0])


def test_tls_1_1_is_refused(echo, authority):
    server, context = echo(authority.issue("localhost")), client(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        connect(server, context)


def test_old_ciphers_are_refused(echo, authority):
    server, context = echo(authority.issue("localhost")), client(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        connect(server, context)


def test_the_chain_is_completed_from_the_file_of_authorities(echo, tmp_path):
    root = Authority(tmp_path, "root")
    middle = Authority(tmp_path, "middle", root)
    server = echo(middle.issue("localhost"), middle.certificate)
    assert said(server, client(root)) == b"hello"


# --- certificates of clients ----------------------------------------------------------------------------------


def test_a_client_needs_no_certificate(echo, authority):
    server = echo(authority.issue("localhost"), authority.certificate)
    assert said(server, client(authority)) == b"hello"


def test_a_certificate_of_the_authorities_is_accepted(echo, authority):
    server = echo(authority.issue("localhost"), authority.certificate)
    assert said(server, client(authority, authority.issue("ana"))) == b"hello"


def test_an_authority_is_trusted_without_the_one_above_it(echo, tmp_path):
    middle = Authority(tmp_path, "middle", Authority(tmp_path, "root"))
    server = echo(middle.issue("localhost"), middle.certificate)
    context = client(middle, middle.issue("ana"))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    assert said(server, context) == b"hello"


def test_a_certificate_of_somebody_else_is_refused(echo, authority, tmp_path):
    server = echo(authority.issue("localhost"), authority.certificate)
    stranger = Authority(tmp_path, "stranger").issue("eve")
    refused(server, client(authority, stranger))


@pytest.mark.parametrize("file", [None, "none.pem"])
def test_without_authorities_nobody_is_asked_for_a_certificate(echo, authority, tmp_path, file):
    server = echo(authority.issue("localhost"), file and tmp_path / file)
    assert said(server, client(authority, Authority(tmp_path, "stranger").issue("eve"))) == b"hello"


# --- files that change ----------------------------------------------------------------------------------------


def test_a_new_certificate_is_used_without_losing_a_connection(echo, authority):
    server, context = echo(authority.issue("localhost", "server")), client(authority)
    with connect(server, context) as early:
        assert echoed(early) == b"hello"

        authority.issue("new.example.org", "server")

        assert said(server, context, "new.example.org") == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(server, context, "localhost")
        assert echoed(early) == b"hello"


def test_new_authorities_count_for_new_connections(echo, authority, tmp_path):
    file = tmp_path / "authorities.pem"
    server = echo(authority.issue("localhost"), file)
    other = Authority(tmp_path, "other")
    ana = client(authority, authority.issue("ana"))
    assert said(server, ana) == b"hello"

    file.write_bytes(other.certificate.read_bytes())
    refused(server, ana)

    file.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    assert said(server, ana) == b"hello"


def test_a_broken_pair_is_logged_once_and_the_former_one_stays(echo, authority, caplog):
    pair = authority.issue("localhost", "server")
    server, context = echo(pair), client(authority)
    pair.certificate.write_bytes(authority.issue("new.example.org", "new").certificate.read_bytes())

    assert [said(server, context) for _ in range(3)] == [b"hello"] * 3
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("TLS goes on with the former certificate. REST_SSL_CERTFILE = ")

    pair.key.write_bytes((authority.folder / "new-key.pem").read_bytes())
    assert said(server, context, "new.example.org") == b"hello"


def test_files_that_vanish_leave_the_former_ones_in_use(echo, authority):
    pair = authority.issue("localhost")
    server = echo(pair, authority.certificate)
    context = client(authority)
    pair.certificate.unlink()
    pair.key.unlink()
    assert said(server, context) == b"hello"


def test_a_file_that_is_replaced_by_one_of_the_same_age_and_size_is_noticed(echo, authority):
    pair = authority.issue("localhost", "server")
    server, age = echo(pair), pair.certificate.stat().st_mtime_ns
    for name in ("server.pem", "server-key.pem"):
        (authority.folder / name).unlink()
    authority.issue("newname99", "server")
    os.utime(pair.certificate, ns=(age, age))
    assert said(server, client(authority), "newname99") == b"hello"


def test_the_files_are_not_looked_at_with_every_connection(echo, authority, monkeypatch):
    monkeypatch.setattr(tls, "PERIOD", 3600.0)
    server = echo(authority.issue("localhost", "server"))
    authority.issue("new.example.org", "server")
    assert said(server, client(authority)) == b"hello"


# --- configuration --------------------------------------------------------------------------------------------


def test_files_that_cannot_be_used_are_configuration_errors(authority, tmp_path):
    good, other, none = authority.issue("localhost"), authority.issue("other"), tmp_path / "none.pem"
    for certificate, key, authorities, option in (
        (good.certificate, none, None, "REST_SSL_KEYFILE"),
        (none, good.key, None, "REST_SSL_CERTFILE"),
        (good.certificate, other.key, None, "REST_SSL_KEYFILE"),
        (good.certificate, good.key, good.key, "REST_SSL_CA_CERTS"),
        (good.certificate, good.key, tmp_path, "REST_SSL_CA_CERTS"),
    ):
        with pytest.raises(ConfigurationError, match=rf"{option} = .*cannot be used"):
            ServerTls("REST", certificate, key, authorities)
    with pytest.raises(ConfigurationError, match="XMLRCP_SSL needs XMLRCP_SSL_CERTFILE"):
        ServerTls("XMLRCP", None, None, None)


def test_it_serves_asyncio_too(authority):
    pair = authority.issue("localhost")
    server = ServerTls("REST", pair.certificate, pair.key, None)
    context = client(authority)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(there, back, server_side=True), context.wrap_bio(back, there, server_hostname="localhost")]
    for _ in range(5):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert [end.version() for end in ends] == ["TLSv1.3"] * 2


def test_a_client_without_tls_gets_no_answer(echo, authority):
    server = echo(authority.issue("localhost"))
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in connection.recv(1000)
