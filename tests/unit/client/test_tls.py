"""Services with certificates, and clients with theirs."""

import ssl

import pytest

from imframework.api.errors import ConfigurationError
from imframework.client import Client, Unreachable
from imframework.testing.certificates import Authority


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with the certificates of an authority, a server at 127.0.0.1 and a client, with their keys."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder, "ca")
    for name, file in (("127.0.0.1", "server"), ("client", "client")):
        pair = authority.issue(name, file)
        pair.certificate.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    return folder


@pytest.fixture
def secure(server, certificates):
    """The server over TLS, which wants a certificate of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = server.url.replace("http:", "https:")
    return server


def test_a_service_is_verified_by_given_authorities_and_shown_our_certificate(secure, certificates):
    secure.answers = [(200, {"version": "1"})]

    client = Client(
        secure.url, "h", ca_file=certificates / "ca.pem", certificate=certificates / "client.pem", persistence=0
    )

    assert client.version() == "1"


def test_a_service_that_nobody_vouches_for_is_not_spoken_to(secure, certificates):
    with pytest.raises(Unreachable, match="TLS: self-signed certificate"):
        Client(secure.url, "h", certificate=certificates / "client.pem").version()

    assert secure.requests == []


@pytest.mark.parametrize("option", ["ca_file", "certificate"])
def test_a_file_that_cannot_be_used_is_named(tmp_path, option):
    for file, reason in ((tmp_path / "none.pem", "No such file"), (tmp_path / "bad.pem", "")):
        (tmp_path / "bad.pem").write_text("no certificate")
        with pytest.raises(ConfigurationError, match=f"{file.name} cannot be used: .*{reason}"):
            Client("https://h", "h", **{option: file})
