"""The database is away for a while, or partly damaged, while the service runs: nothing that was answered is lost."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("database")


@contextmanager
def locked(server: Any) -> Iterator[None]:
    """Another program writes to the database, and takes its time."""
    with closing(sqlite3.connect(server.database, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(server: Any) -> Iterator[None]:
    """The disk takes no more: files of the server cannot grow."""
    pid, kind = server.process.pid, resource.RLIMIT_FSIZE
    before = resource.prlimit(pid, kind)
    largest = max(path.stat().st_size for path in server.directory.glob("inf.dat*"))
    resource.prlimit(pid, kind, (largest, before[1]))
    yield
    resource.prlimit(pid, kind, before)


@pytest.mark.parametrize(("trouble", "reason"), [(locked, "locked by another program"), (full, "disk of the database")])
def test_requests_wait_while_the_database_is_away_and_nothing_is_lost(
    new_server, document, eventually, trouble: Any, reason: str
) -> None:
    server = new_server(CONNECTORS="dummy", LOG_LEVEL="INFO").start()
    api = server.api()
    here = api.create(document(cloud="dummy"))
    api.configured(here)
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(api.create(""))) for _ in range(4)]
    with trouble(server):
        for thread in threads:
            thread.start()
        waiting = eventually(
            lambda: (answer := api.request("GET", "/readyz")).status == 503 and answer, "service that is not ready"
        )
        assert waiting.json["status"] == "unavailable"
        assert reason in waiting.json["components"]["storage"]
        assert api.state(here) == ("configured", {"0": "configured"})
        assert api.ok("GET", f"/infrastructures/{here}/vms/0").text
        assert api.request("GET", "/healthz").status == 200
        assert made == []
    for thread in threads:
        thread.join()
    assert sorted(api.ids()) == sorted([here, *made])
    eventually(lambda: api.request("GET", "/readyz").status == 200, "service that is ready again")
    api.ok("PUT", f"/infrastructures/{here}/stop")
    server.kill()
    server.start()
    assert sorted(api.ids()) == sorted([here, *made])
    assert api.state(here)[1] == {"0": "stopped"}
    assert reason in server.log


def test_it_can_be_stopped_while_the_database_is_away(new_server, document, eventually) -> None:
    server = new_server(CONNECTORS="dummy", SHUTDOWN_TIMEOUT=1).start()
    api = server.api()
    here = api.create(document(cloud="dummy"))
    api.configured(here)
    answers: list[Any] = []

    def change() -> None:
        try:
            answers.append(api.request("DELETE", f"/infrastructures/{here}"))
        except (OSError, HTTPException) as error:
            answers.append(error)

    with locked(server):
        thread = threading.Thread(target=change)
        thread.start()
        eventually(lambda: api.request("GET", "/readyz").status == 503, "change that waits")
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 40
        thread.join()
    (answer,) = answers
    assert isinstance(answer, OSError | HTTPException) or answer.status == 503
    server.start()
    assert api.state(here) == ("configured", {"0": "configured"})
    api.destroy(here)


def test_one_infrastructure_that_cannot_be_read_keeps_nobody_from_the_others(new_server, document) -> None:
    server = new_server(CONNECTORS="dummy").start()
    api = server.api()
    damaged, whole = api.create(document(cloud="dummy")), api.create(document(cloud="dummy"))
    for infrastructure in (damaged, whole):
        api.configured(infrastructure)
    server.stop()
    with closing(sqlite3.connect(server.database)) as database, database:
        database.execute("UPDATE rows SET data = '{\"' WHERE infrastructure = ? AND tab = 'vm'", (damaged,))
        database.execute("UPDATE infrastructures SET due = 1")
    server.may_trace = True
    server.start()
    assert sorted(api.ids()) == sorted([damaged, whole])
    answer = api.request("GET", f"/infrastructures/{damaged}/state")
    assert answer.status == 500
    assert "Incident: " in answer.text
    assert answer.text.rpartition(" ")[2] in server.log
    assert api.state(whole) == ("configured", {"0": "configured"})
    assert api.request("GET", "/readyz").status == 200
    api.destroy(whole)
