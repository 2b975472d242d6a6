"""Starting: what keeps the service from it is said in one line, with exit status 2; other plugins may be broken."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

IMFRAMEWORK = Path(sys.executable).with_name("imframework")


def refusal(server: Any) -> str:
    """The one line that a server ends with instead of starting."""
    status, said = server.refused()
    assert status == 2, said
    (line,) = (line for line in said.splitlines() if line.startswith("Error: "))
    server.check_log()
    return str(line)


def locked(server: Any) -> str:
    server.start()
    server.stop()
    with closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        return refusal(server)


def not_a_database(server: Any) -> str:
    server.database.write_bytes(b"These are my notes. " * 1000)
    line = refusal(server)
    assert server.database.read_bytes() == b"These are my notes. " * 1000
    return line


def damaged(server: Any) -> str:
    server.start()
    server.stop()
    with server.database.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(20_000))
    return refusal(server)


def of_a_later_version(server: Any) -> str:
    server.start()
    server.stop()
    with closing(sqlite3.connect(server.database)) as database, database:
        database.execute("UPDATE schema_revision SET version_num = '9999'")
    return refusal(server)


def nowhere(server: Any) -> str:
    server.options["DATA_DB"] = f"sqlite://{server.directory}/no/such/folder/inf.dat"
    return refusal(server)


def unknown_database(server: Any) -> str:
    server.options["DATA_DB"] = "oracle://scott:tiger-pass@db/im"
    server.secrets.add("tiger-pass")
    return refusal(server)


def full_disk(server: Any) -> str:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    small = server.directory / "small"
    small.mkdir()
    server.wrapper = ("bwrap", "--dev-bind", "/", "/", "--size", "65536", "--tmpfs", str(small), "--")
    server.options |= {"DATA_DB": f"sqlite://{small}/inf.dat", "STATE_DIR": server.directory / "state"}
    return refusal(server)


def state_is_a_file(server: Any) -> str:
    server.options["STATE_DIR"] = server.directory / "file"
    (server.directory / "file").touch()
    return refusal(server)


def state_in_use(server: Any) -> str:
    first = type(server)(server.directory).start()
    try:
        return refusal(server)
    finally:
        first.close()


def lost_key(server: Any) -> str:
    server.start()
    server.api().create("")
    server.stop()
    (server.directory / "state/encryption.key").unlink()
    line = refusal(server)
    assert not (server.directory / "state/encryption.key").exists()
    return line


def damaged_key(server: Any) -> str:
    server.start()
    server.stop()
    (server.directory / "state/encryption.key").write_text("no key at all\n")
    return refusal(server)


def port_in_use(server: Any) -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.options["REST_PORT"] = taken.getsockname()[1]
        return refusal(server)


def no_front_end(server: Any) -> str:
    server.options["ACTIVATE_REST"] = False
    return refusal(server)


def nonsense_in_the_configuration(server: Any) -> str:
    server.options["REST_PORT"] = "many"
    return refusal(server)


def no_certificate(server: Any) -> str:
    server.options |= {"REST_SSL": True, "REST_SSL_CERTFILE": "/nowhere/c", "REST_SSL_KEYFILE": "/nowhere/c"}
    return refusal(server)


REFUSALS: dict[Callable[[Any], str], tuple[str, ...]] = {
    locked: ("inf.dat", "The database is locked by another program."),
    not_a_database: ("inf.dat", "The database file is not an SQLite database."),
    damaged: ("inf.dat", "The database file is damaged."),
    of_a_later_version: ("(9999) is newer than this version of the software",),
    nowhere: ("im.cfg:", "DATA_DB", "no/such/folder is not a directory that this user can write to"),
    unknown_database: ("DATA_DB", "No storage plugin in use serves oracle: URLs"),
    full_disk: ("inf.dat", "There is no space left for the database."),
    state_is_a_file: ("STATE_DIR", "cannot be used: "),
    state_in_use: ("STATE_DIR", "another instance of the service is running in"),
    lost_key: ("encryption.key",),
    damaged_key: ("encryption.key",),
    port_in_use: ("REST_PORT", "cannot listen: Address already in use"),
    no_front_end: ("im.cfg:", "ACTIVATE_REST: no front end is active"),
    nonsense_in_the_configuration: ("im.cfg:", "REST_PORT"),
    no_certificate: ("im.cfg:", "REST_SSL_", "/nowhere/c cannot be read"),
}


@pytest.mark.parametrize("why", REFUSALS, ids=lambda why: why.__name__)
def test_what_keeps_the_service_from_starting_is_said_in_one_line(new_server, why: Callable[[Any], str]) -> None:
    line = why(new_server(CONNECTORS="dummy"))
    for word in REFUSALS[why]:
        assert word in line


def test_a_database_that_is_free_again_after_a_while_is_waited_for(new_server) -> None:
    server = new_server(CONNECTORS="dummy").start()
    infrastructure = server.api().create("")
    server.stop()
    locker = subprocess.Popen(
        [sys.executable, "-c", "import sqlite3, sys, time\n"
         "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
         "db.execute('PRAGMA locking_mode = EXCLUSIVE'); db.execute('BEGIN EXCLUSIVE'); print(flush=True)\n"
         "time.sleep(7)", str(server.database)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with locker:
        assert locker.stdout is not None
        locker.stdout.readline()
        server.start()
    assert server.api().ids() == [infrastructure]


def test_a_second_service_on_the_same_database_leaves_alone_what_the_first_works_on(new_server, document) -> None:
    first = new_server(CONNECTORS="dummy").start()
    api = first.api()
    infrastructure = api.create(document(cloud="dummy"))
    api.configured(infrastructure)
    second = new_server(CONNECTORS="dummy", DATA_DB=f"sqlite://{first.database}")
    second.options |= {
        "SECRET_KEY_FILE": first.directory / "state/encryption.key",
        "DUMMY_FILE": first.directory / "dummy.db",
    }
    second.start()
    other = second.api()
    assert other.ids() == [infrastructure]
    answer = other.request("PUT", f"/infrastructures/{infrastructure}/stop")
    assert (answer.status, answer.text) == (
        409, "Error in stop operation: Another instance of the service is working on this infrastructure."
    )  # fmt: skip
    first.stop()  # gives its leases up
    other.ok("PUT", f"/infrastructures/{infrastructure}/stop")
    second.stop()


# --- plugins ---------------------------------------------------------------------------------------------------

BROKEN = {
    "quits": "raise SystemExit(3)",
    "raises": "raise RuntimeError('the SDK is for another planet')",
    "lacks": "import sdk_of_the_other_planet",
    "nothing": "",
}


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder of installed distributions whose connectors are broken, each in a way of its own."""
    for name, code in BROKEN.items():
        (tmp_path / f"{name}_plugin.py").write_text(code + "\n")
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[imframework.connectors]\n{name} = {name}_plugin:declaration\n")
    return tmp_path


def test_broken_plugins_are_listed_with_their_reasons_and_the_service_runs_without_them(
    new_server, document, plugins: Path
) -> None:
    server = new_server(CONNECTORS=", ".join(["dummy", *BROKEN]))
    server.environment["PYTHONPATH"] = str(plugins)
    server.start()
    api = server.api(clouds=r"\n".join(f"id = {name}; type = {name}" for name in BROKEN))
    good = api.create(document(cloud="dummy"))
    api.configured(good)
    for name in BROKEN:
        text = document(cloud="dummy").replace("deploy node 1", f"deploy node 1 {name}")
        answer = api.request("POST", "/infrastructures", text)
        assert answer.status == 400
        assert name in answer.text
        assert "Traceback" not in answer.text
        assert f"plugin connectors {name}" in server.log
    assert api.ids() == [good]
    assert api.ok("GET", "/readyz").json["status"] == "ok"

    listed = subprocess.run(
        [IMFRAMEWORK, "plugins", "list", "--json", "-c", server.config],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(plugins)},
        timeout=60,
    )
    lines = {line["name"]: line for line in json.loads(listed.stdout) if line["kind"].startswith("connector")}
    reasons = {name: lines[name]["reason"] for name in BROKEN}
    assert "sys.exit(3)" in reasons["quits"]
    assert "the SDK is for another planet" in reasons["raises"]
    assert "sdk_of_the_other_planet" in reasons["lacks"]
    assert "declaration" in reasons["nothing"]
    assert lines["dummy"]["health"] == "ok"
