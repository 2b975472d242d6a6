"""Events and audit records as those see them who follow them over HTTP, whatever happens to their connection."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.xdist_group("events")

STREAM = {"Accept": "text/event-stream"}


class Connection:
    """One answer that goes on."""

    def __init__(self, api: Any, path: str, **headers: str) -> None:
        self._http = http.client.HTTPConnection(api.server.host, api.server.port, timeout=60)
        try:
            self._http.request("GET", path, headers={"Authorization": api.authorization, **STREAM, **headers})
            self.response = self._http.getresponse()
        except BaseException:
            self._http.close()
            raise
        self._text = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def events(self, most_bytes: float = float("inf")) -> Iterator[dict[str, Any]]:
        """Its events, until it ends or as many bytes have been read."""
        while most_bytes > 0:
            piece = self.response.read1(int(min(most_bytes, 65536)))
            if not piece:
                return
            most_bytes -= len(piece)
            self._text += piece
            *blocks, self._text = self._text.split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if not line.startswith(":"))
                if "data" in fields:
                    record = json.loads(fields["data"])
                    assert fields["id"] == str(record["id"])
                    assert fields["event"] == record.get("type", "audit")
                    yield record


class Follower(threading.Thread):
    """Follows a stream over connections that it cuts at random places, until it has seen what `last` says."""

    def __init__(self, api: Any, path: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.api, self.path, self.random = api, path, random.Random(seed)
        self.seen: list[dict[str, Any]] = []
        self.reconnects = 0
        self.failure: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            while not self.over.is_set():
                with suppress(OSError, http.client.HTTPException):
                    self._follow()
                self.reconnects += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.failure = error

    def _follow(self) -> None:
        resume = {"Last-Event-ID": str(self.seen[-1]["id"])} if self.seen else {}
        with Connection(self.api, self.path, **resume) as connection:
            assert connection.response.status == 200, connection.response.read()
            for event in connection.events(self.random.choice([20, 200, 1000, 5000, 50_000]) * self.random.random()):
                self.seen.append(event)
                if self.over.is_set() or (event["type"] == "deleted" and self.path != "/events"):
                    self.over.set()
                    return


def pages(api: Any, path: str) -> list[dict[str, Any]]:
    """All records of a resource, in pages of JSON."""
    found: list[dict[str, Any]] = []
    name = path.rpartition("/")[2]
    while page := api.ok("GET", f"{path}?after={found[-1]['id'] if found else 0}&limit=100").json[name]:
        found += page
    return found


def test_nothing_is_missed_and_nothing_told_twice_whatever_is_cut_or_killed(new_server, document, eventually) -> None:
    server = new_server().start()
    server.options["REST_PORT"] = server.port
    api, stranger = server.api(), server.api("bob", "bob's-password-1177")
    account = Follower(api, "/events", 1)
    account.start()
    followers = []

    def created(text: str) -> str:
        id = api.create(text)
        followers.append(Follower(api, f"/infrastructures/{id}/events", len(followers) + 2))
        followers[-1].start()
        return id

    configured = created(document("\n".join(f"- debug: msg=line-{number}" for number in (1, 2, 3))))
    grown = created(document(cloud="dummy", count=3))
    theirs = stranger.create(document(cloud="dummy"))
    eventually(lambda: any(event["type"] == "step" for event in followers[0].seen), "configuration that has begun")
    server.kill()
    server.start()
    api.ok("POST", f"/infrastructures/{grown}", document(cloud="dummy", count=2))
    api.configured(configured)
    api.configured(grown)
    api.destroy(grown)
    last = created(document(cloud="dummy"))
    api.configured(last)
    for id in (configured, last):
        api.destroy(id)

    expected = pages(api, "/events")
    eventually(lambda: len(account.seen) >= len(expected) or account.failure, "account told to its end")
    round = 0
    while account.reconnects + sum(each.reconnects for each in followers) < 100:
        again = Follower(api, f"/infrastructures/{configured}/events", 100 + round)
        again.start()
        again.join(120)
        followers.append(again)
        round += 1
    for follower in followers:
        follower.join(120)
        assert follower.failure is None, follower.failure
        assert follower.over.is_set(), "a stream has not ended"
        assert follower.seen == pages(api, follower.path)
        assert [event["id"] for event in follower.seen] == list(range(1, len(follower.seen) + 1))
        assert follower.seen[-1]["type"] == "deleted"
    account.over.set()
    stranger.destroy(theirs)  # somebody else's news end nobody's connection
    api.create(document(cloud="dummy"))
    account.join(120)
    assert account.failure is None, account.failure
    assert account.seen[: len(expected)] == expected
    assert {event["infrastructure"] for event in expected} == {configured, grown, last}
    assert [event["id"] for event in expected] == sorted({event["id"] for event in expected})
    first = [event for event in expected if event["infrastructure"] == configured]
    assert [event["sequence"] for event in first] == list(range(1, len(first) + 1))

    log = "".join(event["data"]["text"] for event in first if event["type"] == "log" and event["data"].get("vm") == 0)
    assert all(f"line-{number}" in log for number in (1, 2, 3))
    steps = [event["data"] for event in first if event["type"] == "step"]
    assert {(step["task"], step["status"]) for step in steps} >= {("node_node", "started"), ("node_node", "done")}
    assert {(step["vm"], step["host"][:4]) for step in steps} == {(0, "127.")}
    done = [event["data"] for event in first if event["type"] == "operation"]
    assert [(each["operation"], each["status"]) for each in done] == [
        ("launch", "begun"), ("launch", "done"), ("destroy", "begun"), ("destroy", "done"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def dummies(new_module_server) -> Any:
    """A server for many small tests."""
    return new_module_server(CONNECTORS="dummy", ADMIN_USER="").start()


def test_a_stream_says_what_has_happened_and_ends_when_the_infrastructure_is_gone(dummies, document) -> None:
    api = dummies.api()
    id = api.create(document(cloud="dummy"))
    with Connection(api, f"/infrastructures/{id}/events") as connection:
        assert connection.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert connection.response.headers["Cache-Control"] == "no-store"
        events = connection.events()
        next(event for event in events if event["data"].get("state") == "configured")
        api.destroy(id)
        *_, last = events
        assert (last["type"], last["data"]) == ("deleted", {"left": []})
    with Connection(api, f"/infrastructures/{id}/events", **{"Last-Event-ID": str(last["id"])}) as connection:
        assert list(connection.events()) == []
    with Connection(api, f"/infrastructures/{id}/events?after={last['id'] - 1}") as connection:
        assert list(connection.events()) == [last]
    assert api.request("GET", f"/infrastructures/{id}/events?after=x", headers=STREAM).status == 400


def test_nobody_follows_what_is_not_theirs(dummies, document) -> None:
    api, stranger = dummies.api(), dummies.api("eve", "eve's-password-4e1d")
    id = api.create(document(cloud="dummy"))
    for headers in ({}, STREAM):
        assert stranger.request("GET", f"/infrastructures/{id}/events", headers=headers).status == 403
        assert stranger.request("GET", "/infrastructures/unknown/events", headers=headers).status == 404
    assert [event for event in pages(stranger, "/events") if event["infrastructure"] == id] == []
    mine = [event for event in pages(api, "/events") if event["infrastructure"] == id]
    assert [event["sequence"] for event in mine] == list(range(1, len(mine) + 1))
    with Connection(stranger, "/events") as theirs:
        api.destroy(id)
        own = stranger.create(document(cloud="dummy"))
        assert next(theirs.events())["infrastructure"] == own
    stranger.destroy(own)


def test_sigterm_ends_streams_in_order(new_server, document) -> None:
    server = new_server(CONNECTORS="dummy", SHUTDOWN_TIMEOUT=3600).start()
    api = server.api()
    id = api.create(document(cloud="dummy"))
    api.configured(id)
    streams = [Connection(api, path) for path in (f"/infrastructures/{id}/events", "/events", "/audit")]
    for stream in streams:
        next(stream.events())
    server.process.send_signal(signal.SIGTERM)
    for stream in streams:
        list(stream.events())  # raises IncompleteRead if it is cut
        stream.__exit__()
    assert server.process.wait(60) == 0


def test_readers_that_never_read_cost_no_memory_and_hold_up_nobody(new_server, document, eventually) -> None:
    server = new_server(CONNECTORS="dummy", REQUEST_TIMEOUT=5).start()
    api = server.api()
    id = api.create(document(cloud="dummy"))
    api.configured(id)
    assert server.stop() == 0
    count = 20_000
    with closing(sqlite3.connect(server.database)) as database, database:
        (last,) = database.execute("SELECT value FROM counters WHERE name = 'events'").fetchone()
        (sequence,) = database.execute("SELECT MAX(sequence) FROM events").fetchone()
        data = json.dumps({"text": "x" * 1000})
        rows = [(last + n, id, sequence + n, 1.0, "log", data) for n in range(1, count + 1)]
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.execute("UPDATE counters SET value = ? WHERE name = 'events'", (last + count,))
        (head,) = database.execute("SELECT data FROM infrastructures").fetchone()
        head = json.dumps({**json.loads(head), "sequence": sequence + count})
        database.execute("UPDATE infrastructures SET data = ?", (head,))
    server.start()
    process = psutil.Process(server.process.pid)
    with Connection(api, f"/infrastructures/{id}/events") as warm:
        for event in warm.events():
            if event["id"] == 2000:
                break
    before = process.memory_info().rss
    idle = []
    for _ in range(30):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.host, server.port))
        connection.sendall(
            f"GET /infrastructures/{id}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: {api.authorization}\r\n\r\n".encode()
        )
        idle.append(connection)
    with Connection(api, f"/infrastructures/{id}/events") as stream:
        seen = [event["id"] for _, event in zip(range(sequence + count), stream.events(), strict=False)]
    assert seen == list(range(1, sequence + count + 1))
    assert process.memory_info().rss - before < 60e6  # all of it, 30 times, would be 600 MB

    def dropped() -> bool:
        return sum(c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp")) < len(idle)

    eventually(dropped, "reader that was dropped")
    for connection in idle:
        connection.close()


def test_who_did_what_is_on_record_for_owners_and_administrators(new_server, document, eventually) -> None:
    server = new_server(
        CONNECTORS="dummy", ADMIN_USER='{"username": "root", "password": "root-password-90aa"}',
    )  # fmt: skip
    server.options["AUDIT_LOG_FILE"] = server.directory / "audit.log"
    server.start()
    api, eve = server.api(), server.api("eve", "eve's-password-4e1d")
    secrets = {"wrong-password-5522", "token-in-the-wrong-place-77", "root-password-90aa"}
    server.secrets |= secrets
    id = api.create(document(cloud="dummy"))
    api.configured(id)
    api.ok("PUT", f"/infrastructures/{id}/vms/0/stop")
    assert api.request("PUT", f"/infrastructures/{id}/vms/7/stop").status == 404
    assert eve.request("GET", f"/infrastructures/{id}/state").status == 403
    assert eve.request("DELETE", f"/infrastructures/{id}").status == 403
    assert api.request("POST", "/infrastructures", "system x ( password = 'wrong-password-5522' and").status == 400
    refused = server.api()
    for header in (
        "type = InfrastructureManager; username = ana; token = token-in-the-wrong-place-77",
        "type = InfrastructureManager; username = root; password = wrong-password-5522",
        "Bearer token-in-the-wrong-place-77",
    ):
        refused.authorization = header
        refused.request("GET", "/infrastructures")
    api.destroy(id)
    admin = server.api("root", "root-password-90aa")

    def of(user: Any) -> list[tuple[str, ...]]:
        return [
            (",".join(record["users"]), record["operation"], record["target"].replace(id, "ID"), record["result"])
            for record in pages(user, "/audit")
        ]

    mine = [
        ("ana", "create", "ID", "ok"),
        ("ana", "stop", "ID/0", "ok"),
        ("ana", "stop", "ID/7", "not_found"),
        ("ana", "create", "", "invalid_document"),
        ("ana", "destroy", "ID", "ok"),
    ]
    eves = [("eve", "read", "ID", "forbidden"), ("eve", "destroy", "ID", "forbidden")]
    eventually(lambda: len(of(api)) == len(mine), "audit records that are stored")
    assert of(api) == mine
    assert of(eve) == eves
    everything = of(admin)
    assert [record for record in everything if record[0] == "ana" and record[1] != "authenticate"] == mine
    assert [record for record in everything if record[0] == "eve"] == eves
    assert all(record[3] == "unauthenticated" for record in everything if record[1] == "authenticate")
    records = pages(admin, "/audit")
    assert {record["address"] for record in records} == {"127.0.0.1"}
    assert {record["front_end"] for record in records} == {"rest"}
    with Connection(admin, "/audit") as stream:
        events = stream.events()
        assert [event for _, event in zip(records, events, strict=False)] == records
        other = eve.create(document(cloud="dummy"))
        assert next(events)["target"] == other
    eve.destroy(other)
    assert server.stop() == 0
    lines = [json.loads(line.partition("{")[1] + line.partition("{")[2])
             for line in (server.directory / "audit.log").read_text().splitlines()]  # fmt: skip
    assert [line["operation"] for line in lines][: len(records)] == [record["operation"] for record in records]
    with closing(sqlite3.connect(server.database)) as database:
        (stored,) = database.execute("SELECT COUNT(*) FROM audit").fetchone()
    assert stored == len(lines)
    texts = (server.directory / "audit.log").read_text() + json.dumps(records)
    assert not [secret for secret in server.secrets if secret in texts]
