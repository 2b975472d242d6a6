"""Who may do what, and what nobody gets to see: owners, administrators, the user database, and secrets at rest."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("access")

NOT_GRANTED = "Access to this infrastructure not granted."


def write_users(file: Path, **users: str) -> None:
    """Replace a user database in one step."""
    fresh = file.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_text(json.dumps({"users": [{"username": name, "password": word} for name, word in users.items()]}))
    fresh.rename(file)


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with a user database and an administrator."""
    server = new_module_server(CONNECTORS="dummy")
    users = server.directory / "users.json"
    write_users(users, ana="ana-pass-1", bob="bob-pass-1", root="root-pass-1")
    server.options |= {"USER_DB": users, "ADMIN_USER": json.dumps({"username": "root", "password": "root-pass-1"})}
    server.secrets |= {"ana-pass-1", "bob-pass-1", "root-pass-1"}
    return server.start()


OPERATIONS = [
    ("GET", ""), ("GET", "/state"), ("GET", "/radl"), ("GET", "/contmsg"), ("GET", "/events"), ("GET", "/vms/0"),
    ("GET", "/vms/0/state"), ("GET", "/vms/0/contmsg"), ("POST", ""), ("PUT", "/reconfigure"), ("PUT", "/stop"),
    ("PUT", "/start"), ("PUT", "/vms/0/stop"), ("PUT", "/vms/0/start"), ("PUT", "/vms/0/reboot"),
    ("DELETE", "/vms/0"), ("DELETE", ""),
]  # fmt: skip


def test_only_owners_and_administrators_get_at_an_infrastructure(server, document) -> None:
    ana, bob, root = (server.api(name, f"{name}-pass-1") for name in ("ana", "bob", "root"))
    infrastructure = ana.create(document(cloud="dummy"), asynchronous=False)
    ana.configured(infrastructure)
    assert (ana.ids(), bob.ids(), root.ids()) == ([infrastructure], [], [infrastructure])
    for method, path in OPERATIONS:
        answer = bob.request(method, f"/infrastructures/{infrastructure}{path}")
        assert (answer.status, answer.text.endswith(NOT_GRANTED)) == (403, True), f"{method} {path}: {answer.text}"
    assert ana.state(infrastructure) == ("configured", {"0": "configured"})

    root.ok("PUT", f"/infrastructures/{infrastructure}/vms/0/stop")
    assert root.state(infrastructure)[1] == {"0": "stopped"}
    root.ok("DELETE", f"/infrastructures/{infrastructure}")
    for user in (ana, root):
        gone = user.request("GET", f"/infrastructures/{infrastructure}")
        assert (gone.status, gone.text) == (404, "Error Getting Inf. info: Deleted infrastructure.")
        unknown = user.request("GET", "/infrastructures/00000000-0000-0000-0000-000000000000/state")
        assert unknown.status == 404


def test_a_wrong_password_and_an_unknown_user_are_answered_alike(server) -> None:
    answers = [
        server.api(name, word).request("GET", "/infrastructures")
        for name, word in (("ana", "ana-pass-2"), ("ana", "bob-pass-1"), ("nobody", "ana-pass-1"), ("ana", ""))
    ]
    server.secrets.discard("")
    text = "Error Getting Inf. List: Invalid InfrastructureManager credentials"
    assert [(answer.status, answer.text) for answer in answers] == [(401, text)] * 4


def test_an_admin_flag_of_a_client_counts_for_nothing(server, document) -> None:
    ana, bob = server.api("ana", "ana-pass-1"), server.api("bob", "bob-pass-1")
    infrastructure = ana.create(document(cloud="dummy"))
    pretender = type(bob)(
        server,
        json.dumps([{"type": "InfrastructureManager", "username": "bob", "password": "bob-pass-1", "admin": "1"}]),
    )
    assert pretender.ids() == []
    assert pretender.request("DELETE", f"/infrastructures/{infrastructure}").status == 403
    ana.destroy(infrastructure)


def test_changes_of_the_user_database_count_at_once(server, eventually) -> None:
    users = Path(server.options["USER_DB"])
    before = {name: f"{name}-pass-1" for name in ("ana", "bob", "root")}
    carl, bob = server.api("carl", "carl-pass-1"), server.api("bob", "bob-pass-1")

    def status(api: Any) -> int:
        return int(api.request("GET", "/infrastructures").status)

    assert (status(carl), status(bob)) == (401, 200)
    try:
        write_users(users, ana="ana-pass-1", carl="carl-pass-1")
        eventually(lambda: status(carl) == 200, "login of the new user", 10)
        assert status(bob) == 401
        users.write_text('{"users": [')
        eventually(lambda: status(carl) == 401, "end of all logins", 10)
        assert "users.json" in server.log
    finally:
        write_users(users, **before)
    eventually(lambda: status(bob) == 200, "login of the former user", 10)


def test_without_a_user_database_a_name_with_another_password_is_somebody_else(new_server, document) -> None:
    server = new_server(CONNECTORS="dummy").start()
    one, other = server.api("ana", "first-4242"), server.api("ana", "second-4242")
    infrastructure = one.create(document(cloud="dummy"))
    assert other.ids() == []
    assert other.request("GET", f"/infrastructures/{infrastructure}/radl").status == 403
    assert other.request("DELETE", f"/infrastructures/{infrastructure}").status == 403
    one.destroy(infrastructure)


# --- secrets -----------------------------------------------------------------------------------------------------

PLANTED = {
    "im": "pl4nted-of-the-service",
    "basic": "pl4nted-of-basic",
    "cloud": "pl4nted-of-the-cloud",
    "token": "pl4nted-token-of-the-cloud",
    "radl": "Pl4nted-of-the-guest",
    "vault": "pl4nted-of-the-vault",
}

SECRETIVE = """
network net ()
system node (
  net_interface.0.connection = 'net' and disk.0.image.url = '{image}' and
  disk.0.os.credentials.username = 'user' and disk.0.os.credentials.password = '{radl}' and vault.password = '{vault}'
)
{rest}
deploy node 1
"""

TELLS = """configure node (
@begin
- tasks:
    - debug: {{msg: "the owner is {{{{ IM_INFRASTRUCTURE_AUTH }}}}"}}
    - shell: echo "{{{{ IM_INFRASTRUCTURE_AUTH }}}}"; exit 1
      ignore_errors: true
@end
)""".format()


def at_rest(server: Any) -> bytes:
    """Everything the service has on disk but for its configuration and its key, and what the cloud has."""
    files = [path for path in server.directory.rglob("*") if path.is_file()]
    mine = {server.config, server.directory / "state/encryption.key"}
    cloud = [server.machines, *server.directory.glob("dummy.*")]
    return b"".join(
        path.read_bytes() for path in files if path not in mine and not any(path.is_relative_to(each) for each in cloud)
    )


def sees_no_secret(data: bytes) -> None:
    """Fail if there is a planted secret or a private key in some bytes, also as base64."""
    for secret in PLANTED.values():
        for form in (secret.encode(), *(base64.b64encode(b"x" * pad + secret.encode())[4:-4] for pad in range(3))):
            assert form not in data, f"{secret} at {data[max(0, data.index(form) - 100) :][:200]!r}"
    assert b"PRIVATE KEY" not in data
    assert b"b3BlbnNzaC1rZXk" not in data  # how an OpenSSH key begins


def test_secrets_are_sealed_in_the_database_and_shown_nowhere(new_server, eventually) -> None:
    server = new_server(CONNECTORS="dummy", MAX_VM_FAILS=1)
    server.secrets |= set(PLANTED.values())
    # A cloud that repeats the credentials it was given in its complaints.
    complaint = f"login with {PLANTED['cloud']} refused; Authorization: Bearer {PLANTED['token']}"
    server.behave(faults=[{"verb": "create", "kind": "instance", "nth": 2, "effect": "fail", "message": complaint}])
    server.start()
    api = server.api(
        "ana",
        PLANTED["im"],
        clouds=f"id = own; type = Dummy; password = {PLANTED['cloud']}; token = {PLANTED['token']}",
    )
    text = SECRETIVE.format(image="mock0://linux.for.ev.er/image1", rest="contextualize ()", **PLANTED)
    text = text.replace("deploy node 1", "deploy node 1 own")
    infrastructure = api.create(text)
    api.configured(infrastructure)
    basic = type(api)(server, "Basic " + base64.b64encode(f"eve:{PLANTED['basic']}".encode()).decode())
    assert basic.ids() == []

    refused = api.request(
        "POST", f"/infrastructures/{infrastructure}", "network net ()\nsystem node\ndeploy node 1 own"
    )
    assert refused.status == 400
    wrong = type(api)(server, f"type = InfrastructureManager; id = a b; username = u; password = {PLANTED['im']}")
    garbled = text.replace("contextualize ()", "contextualize (")
    shown = [
        refused,
        wrong.request("GET", "/infrastructures"),
        api.request("POST", "/infrastructures", garbled),
        api.ok("GET", f"/infrastructures/{infrastructure}/contmsg"),
        api.ok("GET", f"/infrastructures/{infrastructure}/events"),
        api.ok("GET", f"/infrastructures/{infrastructure}/state"),
        api.ok("GET", "/metrics"),
        api.ok("GET", "/readyz"),
    ]
    for answer in shown:
        sees_no_secret(answer.body)
    assert "refused" in refused.text
    # The owner is shown what the owner wrote.
    stored = api.ok("GET", f"/infrastructures/{infrastructure}/radl").text
    assert PLANTED["radl"] in stored
    assert PLANTED["vault"] in stored

    sees_no_secret(at_rest(server))
    server.restart()
    sees_no_secret(at_rest(server))
    assert api.ok("GET", f"/infrastructures/{infrastructure}/radl").text == stored
    api.destroy(infrastructure)
    server.stop()
    sees_no_secret(at_rest(server))


@pytest.mark.slow
def test_a_recipe_that_prints_the_password_of_its_owner_does_not_get_it_into_the_log(new_server, eventually) -> None:
    server = new_server()
    server.secrets |= set(PLANTED.values())
    server.start()
    api = server.api("ana", PLANTED["im"])
    infrastructure = api.create(SECRETIVE.format(image="local://localhost", rest=TELLS, **PLANTED))
    api.configured(infrastructure)
    told = api.contmsg(infrastructure)
    assert "the owner is" in told
    sees_no_secret(told.encode() + json.dumps(api.events(infrastructure)).encode())
    eventually(lambda: not server.runs, "end of the run, whose folder needs the password")
    sees_no_secret(at_rest(server))
    api.destroy(infrastructure)


def test_what_the_service_keeps_on_disk_is_for_itself(server) -> None:
    private = [server.database, server.directory / "state/encryption.key", server.directory / "state/instance"]
    private += [path for path in (Path(f"{server.database}{suffix}") for suffix in ("-wal", "-shm")) if path.exists()]
    for path in private:
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode) & 0o077, status.st_uid) == (0, os.geteuid()), path
    for path in (server.directory / "state", server.directory / "state/runs"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o066 == 0, path
