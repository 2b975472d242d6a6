"""Stopping: what was begun is finished or goes on at the next start; nothing is done twice."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPException
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("shutdown")


def cloud(server: Any) -> list[str]:
    """What exists in the simulated cloud, by kind."""
    inventory = server.directory / "dummy.db"
    if not inventory.exists():
        return []
    command = [sys.executable, "-m", "imframework_plugins.connectors.dummy", str(inventory)]
    lines = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.splitlines()
    return sorted(json.loads(line)["kind"] for line in lines)


def in_thread(function: Any, *arguments: Any) -> tuple[threading.Thread, list[Any]]:
    """Call something in a thread; what it answers is in the list when the thread ends."""
    answers: list[Any] = []

    def call() -> None:
        try:
            answers.append(function(*arguments))
        except (OSError, HTTPException) as error:
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, answers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_in_order_when_it_is_told_to(new_server, document, number: signal.Signals, listening) -> None:
    server = new_server(CONNECTORS="dummy").start()
    api = server.api()
    infrastructure = api.create(document(cloud="dummy"))
    api.configured(infrastructure)
    host, port = server.host, server.port
    assert server.stop(number) == 0
    assert not listening(host, port)
    server.start()
    assert api.state(infrastructure) == ("configured", {"0": "configured"})


def test_requests_in_progress_are_answered_before_it_ends(new_server, document, eventually, listening) -> None:
    server = new_server(CONNECTORS="dummy", SHUTDOWN_TIMEOUT=30)
    server.behave(latency={"create": 1.5})
    server.start()
    api = server.api()
    thread, answers = in_thread(api.request, "POST", "/infrastructures", document(cloud="dummy"))
    eventually(lambda: "instance" in cloud(server) or api.ids(), "infrastructure in progress")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: not listening(server.host, server.port), "closed port")
    server.process.send_signal(signal.SIGTERM)  # impatience changes nothing
    thread.join()
    (answer,) = answers
    assert answer.status == 200
    assert answer.headers["Connection"] == "close"
    assert server.process.wait(30) == 0
    server.start()
    assert api.ids() == [answer.headers["InfID"]]
    api.configured(answer.headers["InfID"])


def test_what_takes_longer_than_it_may_goes_on_at_the_next_start(new_server, document, eventually) -> None:
    server = new_server(CONNECTORS="dummy", SHUTDOWN_TIMEOUT=1)
    server.behave(faults=[{"verb": "create", "kind": "instance", "nth": 1, "effect": "late-answer", "seconds": 5}])
    server.start()
    api = server.api()
    thread, answers = in_thread(api.request, "POST", "/infrastructures", document(cloud="dummy"))
    eventually(lambda: "instance" in cloud(server), "machine whose creation is not answered yet")
    assert server.stop() == 0
    thread.join()
    assert isinstance(answers[0], OSError | HTTPException)
    server.start()
    (infrastructure,) = api.ids()
    api.configured(infrastructure)
    assert cloud(server).count("instance") == 1
    api.destroy(infrastructure)
    assert cloud(server) == []


@pytest.mark.slow
def test_a_recipe_goes_on_while_the_service_is_away(new_server, document, eventually) -> None:
    server = new_server().start()
    api = server.api()
    recipe = '- shell: "echo run >> runs; while [ ! -e gate ]; do sleep 0.1; done; echo through >> runs"'
    infrastructure = api.create(document(recipe))
    eventually(lambda: api.state(infrastructure)[0] == "running", "machine that runs")
    home = server.home(api.prop(infrastructure, 0, "net_interface.0.ip"))
    eventually((home / "runs").exists, "recipe that runs")
    assert server.stop() == 0
    assert server.agents() != []
    (home / "gate").touch()
    eventually(lambda: "through" in (home / "runs").read_text(), "end of the recipe")
    server.start()
    api.configured(infrastructure)
    assert (home / "runs").read_text() == "run\nthrough\n"
    assert "TASK [shell]" in api.contmsg(infrastructure)
    api.destroy(infrastructure)
    assert server.offspring() == []


def test_clients_that_do_not_go_on_hold_it_up_no_longer_than_they_may(new_server) -> None:
    server = new_server(CONNECTORS="dummy", SHUTDOWN_TIMEOUT=1, REQUEST_TIMEOUT=600).start()
    address = (server.host, server.port)
    with socket.create_connection(address) as idle, socket.create_connection(address) as slow:
        slow.sendall(b"POST /infrastructures HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsystem")
        idle.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096)
        assert server.stop() == 0
        assert slow.recv(4096) == b""
