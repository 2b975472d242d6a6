"""Real servers on loopback, and fetchers that may reach them."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imframework.fetching import Fetcher, Limits, Policy

PATIENCE = 30


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the function of its server; `send` writes a whole answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append(self)
        self.server.answer(self)

    def send(self, body=b"", status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Servers of tests are silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, host, answer):
        super().__init__((host, 0), Handler)
        self.answer = answer
        self.requests = []
        self.scheme = "http"

    @property
    def port(self):
        return self.server_address[1]

    def url(self, path="/file", host=None):
        return f"{self.scheme}://{host or self.server_address[0]}:{self.port}{path}"

    def handle_error(self, request, client_address):
        """Clients that go away early are what is tested."""


@pytest.fixture
def released():
    """What hanging servers and resolvers wait for; set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def serve(released):
    """Start a server: what it answers (a body, or a function of the handler), and where."""
    servers = []

    def start(answer, host="127.0.0.1", context=None):
        body = answer
        server = Server(host, answer if callable(answer) else lambda handler: handler.send(body))
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    released.set()
    for server, thread in servers:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


@pytest.fixture
def serve_bytes(released):
    """Start a server below HTTP, a function of the connection for one client; returns its URL."""
    started = []

    def start(talk: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def run():
            try:
                connection, _ = listener.accept()
                with connection:
                    talk(connection)
            except OSError:
                return  # the client has hung up, or there never was one

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        started.append((listener, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"

    yield start
    released.set()
    for listener, thread in started:
        listener.close()
        thread.join(PATIENCE)


@pytest.fixture
def fetcher():
    """Make a fetcher that may reach 127.0.0.1, with these limits and arguments."""

    def make(allowed=("127.0.0.1",), schemes=("https", "http"), private=(), cache=None, **options):
        names = {"resolver", "context", "clock"}
        limits = {name: value for name, value in options.items() if name not in names}
        rest = {name: value for name, value in options.items() if name in names}
        return Fetcher(Policy(schemes, allowed, private), Limits(**limits), cache=cache, **rest)

    return make


@dataclass
class Authority:
    """A certificate authority; `server` makes the TLS of a server with these names, `client` trusts it."""

    directory: object
    key: object = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self):
        self.certificate = self._signed("authority", self.key.public_key(), [], is_authority=True)

    def server(self, *names: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(names[0], key.public_key(), names, is_authority=False)
        path = self.directory / f"{names[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def client(self) -> ssl.SSLContext:
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def _signed(self, name, public_key, names, *, is_authority):
        now = datetime.datetime.now(datetime.UTC)
        alternatives = [_general_name(text) for text in names]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if is_authority:
            usage = {"key_cert_sign": True, "crl_sign": True}
            others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
            usage |= dict.fromkeys((*others, "key_agreement", "encipher_only", "decipher_only"), False)
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _general_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))
