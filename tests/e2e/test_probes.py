"""What is asked about the service itself, by probes, monitors and people without credentials."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("probes")


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines."""
    return new_module_server(CONNECTORS="dummy").start()


@pytest.fixture
def anybody(server: Any) -> Any:
    """A client without credentials."""
    api = server.api()
    return type(api)(server, None)


def test_probes_answer_without_credentials(anybody) -> None:
    assert anybody.ok("GET", "/healthz").text == "ok"
    ready = anybody.ok("GET", "/readyz")
    assert ready.headers.get_content_type() == "application/json"
    assert ready.json == {"status": "ok", "components": {"storage": "ok"}}
    for path in ("/healthz", "/readyz", "/metrics", "/version"):
        head = anybody.ok("HEAD", path)
        assert (head.body, int(head.headers["Content-Length"]) > 0) == (b"", True)


def test_the_version_is_told_as_text_and_as_json(anybody) -> None:
    text = anybody.ok("GET", "/version").text
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", text)
    assert anybody.ok("GET", "/version", Accept="application/json").json == {"version": text}


def test_it_speaks_tls_with_the_certificate_of_the_operator(new_server) -> None:
    server = new_server(CONNECTORS="dummy")
    certificate, key = server.directory / "server-cert.pem", server.directory / "server-key.pem"
    openssl = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*openssl.split(), *files], check=True, capture_output=True, timeout=60)
    server.options |= {"REST_SSL": True, "REST_SSL_CERTFILE": certificate, "REST_SSL_KEYFILE": key}
    server.start()
    assert server.ready_file.read_text().startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=30)
    connection.request("GET", "/infrastructures", headers={"Authorization": server.api().authorization})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.close()
    assert server.say(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n") in (b"", b"\x15\x03\x03\x00\x02\x02F")
    assert server.stop() == 0


def metrics(api: Any) -> dict[str, float]:
    """The samples of /metrics, by name with labels."""
    answer = api.ok("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_follow_what_the_service_does(server, anybody, document, eventually) -> None:
    before = metrics(anybody)
    assert before["imframework_storage_writes_waiting"] == 0
    assert before["process_resident_memory_bytes"] > 1e7
    assert any(name.startswith("imframework_info{version=") for name in before)
    server.behave(latency={"create": 1})
    api = server.api()
    infrastructure = api.create(document(cloud="dummy"))
    eventually(lambda: metrics(anybody)["imframework_infrastructures_in_progress"] == 1, "work in progress")
    assert (
        metrics(anybody)["imframework_infrastructures_in_memory"] == before["imframework_infrastructures_in_memory"] + 1
    )
    api.configured(infrastructure)
    eventually(lambda: metrics(anybody)["imframework_infrastructures_in_progress"] == 0, "end of the work", 30)
    server.behave()
    api.destroy(infrastructure)
