"""Services with certificates, and clients with theirs."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from imframework.api.errors import ConfigurationError
from imframework.client import Client, Unreachable


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority with certificates for a server at 127.0.0.1 and for a client, as files with their keys."""
    folder = tmp_path_factory.mktemp("tls")
    authority = _certificate(folder / "ca.pem", "authority")
    _certificate(folder / "server.pem", "server", authority)
    _certificate(folder / "client.pem", "client", authority)
    return folder


def _certificate(file, name, authority=None):
    """Write a certificate and its key to a file; both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, issuer_key = (authority[0].subject, authority[1]) if authority else (subject, key)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + encoded)
    return certificate, key


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
