"""What is asked about the service itself, by probes, monitors and people without credentials."""

from __future__ import annotations

import re
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
