"""Machines of the `local` connector: real SSH daemons, real clients, real processes that die at bad moments."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from imframework.api.errors import CloudRefused, CloudUnavailable
from imframework.api.model import (
    Action,
    Candidate,
    Credential,
    Deployment,
    Features,
    Handle,
    Interval,
    Machine,
    Observation,
    Phase,
    Resource,
)
from imframework_plugins.connectors.local import host, processes
from imframework_plugins.connectors.local.connector import LocalConnector

#: A machine is recognised by its token everywhere on the host, and several of these processes may run at once.
TOKEN = f"token-{os.getpid()}"

pytestmark = pytest.mark.skipif(bool(host.obstacle()), reason=f"no local machines here: {host.obstacle()}")

NETWORK = "127.90.0.0/16"
PORT = 2222


def connector_at(directory: Path) -> LocalConnector:
    options = {"LOCAL_DIR": directory, "LOCAL_NETWORK": (ipaddress.ip_network(NETWORK),), "LOCAL_PORT": PORT}
    return LocalConnector(Credential("here", "Local", {}), options)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A LOCAL_DIR; whatever a failed test leaves running in it is killed."""
    directory = tmp_path / "site"
    yield directory
    for each in running_in(directory):
        os.kill(each.pid, signal.SIGKILL)


def running_in(directory: Path) -> list[processes.Process]:
    """Processes whose command line or home says that they belong to a LOCAL_DIR."""
    path = os.fsencode(directory)
    return [
        each
        for each in processes.processes()
        if any(path in word for word in processes.arguments(each))
        or any(word.startswith(b"HOME=" + path) for word in processes.environment(each))
        or any(name.startswith(str(directory)) for name in processes.open_files(each) if each.pid != os.getpid())
    ]


@pytest.fixture
def connector(directory: Path) -> LocalConnector:
    return connector_at(directory)


@pytest.fixture
def key(tmp_path: Path) -> SimpleNamespace:
    """A user's key pair: path of the private key, text of the public one."""
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return SimpleNamespace(path=path, public=public)


@pytest.fixture
def resource(connector: LocalConnector, key: SimpleNamespace) -> Resource:
    features = Features(
        "node",
        {
            "cpu.count": Interval(minimum=1),
            "memory.size": Interval(minimum=2**29),
            "net_interface.0.connection": "public",
            "net_interface.1.connection": "private",
        },
    )
    candidate = connector.candidates(features)[0]
    assert isinstance(candidate, Candidate)
    (resource,) = connector.plan(Deployment("8ae1c2d3", "test", (Machine(0, features, candidate, key.public),)))
    # As the ledger keeps it: JSON, and nothing but JSON.
    return Resource(resource.key, resource.kind, resource.name, json.loads(json.dumps(resource.spec)), machine=0)


@pytest.fixture
def machine(connector: LocalConnector, resource: Resource) -> Iterator[Handle]:
    """A machine that is ready."""
    observed = connector.create(resource, TOKEN)
    assert observed.phase is Phase.READY
    handle = Handle(resource, TOKEN, observed.provider_id, observed.attributes)
    yield handle
    connector.delete(handle)


Ssh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def client(tmp_path: Path, key: SimpleNamespace) -> Callable[[Handle], list[str]]:
    """The command line of an OpenSSH client that accepts this machine only."""

    def command(handle: Handle, program: str = "ssh") -> list[str]:
        access = handle.attributes["access"]
        known = tmp_path / f"known-{handle.provider_id}"
        known.write_text(f"[{access['address']}]:{access['port']} {access['host_key']}\n")
        options = {
            **access["ssh_options"],
            "Port": access["port"],
            "IdentityFile": key.path,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [program, "-F", "/dev/null", *words, access["address"]]

    return command


@pytest.fixture
def ssh(client: Callable[[Handle], list[str]]) -> Ssh:
    """Runs a command in a machine."""

    def run(handle: Handle, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*client(handle), *command], input=text, capture_output=True, text=True, timeout=30, check=False
        )

    return run


def phase(connector: LocalConnector, handle: Handle) -> Phase:
    return connector.read([handle])[0].phase


def daemon_of(connector: LocalConnector, handle: Handle) -> processes.Process:
    pid = int(connector.site.folder(handle.provider_id).pid_file.read_text())
    found = processes.process(pid)
    assert found is not None
    return found


def accepts(handle: Handle) -> bool:
    access = handle.attributes["access"]
    try:
        with socket.create_connection((access["address"], access["port"]), timeout=5) as connection:
            return connection.recv(8) == b"SSH-2.0-"
    except ConnectionRefusedError:
        return False


# --- what a machine is ------------------------------------------------------------------------------------


def test_a_command_runs_in_the_home_of_the_machine(
    connector: LocalConnector, machine: Handle, directory: Path, ssh: Ssh
) -> None:
    answer = ssh(
        machine, 'echo $HOME; pwd; echo ~; echo $TMPDIR; echo $IM_LOCAL_MACHINE $IM_LOCAL_NAME; test -d "$TMPDIR"'
    )
    own = directory / machine.provider_id
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        *[str(own / "home")] * 3,
        str(own / "tmp"),
        f"{machine.provider_id} node-8ae1c2d3-0",
    ]


def test_the_exit_status_and_both_streams_come_through(machine: Handle, ssh: Ssh) -> None:
    answer = ssh(machine, "cat; echo oops >&2; exit 7", text="through\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (7, "through\n", "oops\n")


def test_a_log_in_without_a_command_is_a_login_shell_at_home(machine: Handle, directory: Path, ssh: Ssh) -> None:
    assert str(directory / machine.provider_id / "home") in ssh(machine, text="pwd\n").stdout


def test_terminals_are_given_where_the_host_allows_it_and_refused_in_words_elsewhere(
    machine: Handle, client: Callable[[Handle], list[str]], ssh: Ssh
) -> None:
    command = [*client(machine)[:1], "-tt", *client(machine)[1:], "tty"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    if host.terminals():
        assert answer.stdout.startswith("/dev/pts/")
    else:
        assert "PTY allocation request failed" in answer.stderr
    assert ssh(machine, "tty").stdout == "not a tty\n"


def test_only_the_given_key_lets_anybody_in(machine: Handle, tmp_path: Path) -> None:
    access = machine.attributes["access"]
    with paramiko.Transport((access["address"], access["port"])) as transport:
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey(host.account(), paramiko.ECDSAKey.generate())
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_password(host.account(), "secret", fallback=False)
        assert refused.value.allowed_types == ["publickey"]


def test_files_go_over_sftp_to_the_home_of_the_machine(
    machine: Handle, directory: Path, key: SimpleNamespace, tmp_path: Path
) -> None:
    access = machine.attributes["access"]
    kind, data = access["host_key"].split()
    with paramiko.SSHClient() as client:
        name = f"[{access['address']}]:{access['port']}"
        client.get_host_keys().add(name, kind, paramiko.Ed25519Key(data=base64.b64decode(data)))
        client.connect(
            access["address"],
            access["port"],
            username=access["ssh_options"]["User"],
            key_filename=str(key.path),
            look_for_keys=False,
            allow_agent=False,
        )
        with client.open_sftp() as sftp:
            assert sftp.normalize(".") == str(directory / machine.provider_id / "home")
            with sftp.open("note", "w") as file:
                file.write("hello")
    assert (directory / machine.provider_id / "home" / "note").read_text() == "hello"


def test_facts_and_access_say_how_the_machine_is_reached(machine: Handle) -> None:
    facts, access = machine.attributes["facts"], machine.attributes["access"]
    address = facts["net_interface.0.ip"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(NETWORK)
    assert facts["net_interface.1.ip"] == address == access["address"]
    assert access["port"] == PORT
    assert access["privileged"] is False
    assert access["user"] == ""
    assert access["ssh_options"] == {"User": host.account()}
    assert facts["disk.0.os.credentials.username"] == host.account()
    assert (facts["cpu.count"], facts["memory.size"], facts["provider.type"]) == (1, 2**29, "Local")
    json.dumps(machine.attributes)


def test_ansible_takes_the_home_of_the_machine_for_its_own_when_it_is_given_no_user(
    machine: Handle, directory: Path, client: Callable[[Handle], list[str]], tmp_path: Path
) -> None:
    facts = {
        "ansible_host": machine.attributes["access"]["address"],
        "ansible_ssh_common_args": " ".join(client(machine)[1:-1]),
        "ansible_python_interpreter": "auto_silent",
    }
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"node": facts}}}))
    program = Path(sys.executable).with_name("ansible")
    if not program.exists():
        pytest.skip("ansible is not installed beside this Python")
    command = [str(program), "-i", str(inventory), "node", "-m", "copy", "-a", "content=hello dest=~/from-ansible"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
    }
    # The path of a socket for shared connections below tmp_path could be too long for the system.
    with TemporaryDirectory(prefix="im-cp-", dir="/tmp") as sockets:
        environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] = sockets
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    home = directory / machine.provider_id / "home"
    assert (home / "from-ansible").read_text() == "hello"
    assert list((home / ".ansible" / "tmp").iterdir())


def test_many_connections_at_once_are_all_let_in(machine: Handle, client: Callable[[Handle], list[str]]) -> None:
    crowd = [
        subprocess.Popen([*client(machine), f"echo {number}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for number in range(15)
    ]
    assert sorted(int(each.communicate(timeout=60)[0]) for each in crowd) == list(range(15))


def test_quotas_count_what_the_machines_asked_for(connector: LocalConnector, machine: Handle) -> None:
    quotas = connector.quotas()
    assert (quotas["instances"].used, quotas["cores"].used, quotas["ram"].used) == (1, 1, 0.5)


# --- making the same machine again ------------------------------------------------------------------------


def test_create_again_gives_the_same_machine(connector: LocalConnector, machine: Handle, directory: Path) -> None:
    daemon = daemon_of(connector, machine)
    again = connector_at(directory).create(machine.resource, TOKEN)
    assert again == Observation(Phase.READY, machine.provider_id, machine.attributes)
    assert daemon_of(connector, machine) == daemon


def test_create_again_does_not_start_what_was_stopped(connector: LocalConnector, machine: Handle) -> None:
    connector.act(machine, Action.STOP)
    assert connector.create(machine.resource, TOKEN).phase is Phase.STOPPED


def test_threads_that_create_with_one_token_get_one_machine(
    connector: LocalConnector, resource: Resource, directory: Path
) -> None:
    found: list[Observation] = []
    threads = [
        threading.Thread(target=lambda: found.append(connector_at(directory).create(resource, TOKEN))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.provider_id for each in found} == {connector.find(resource, TOKEN)[0].provider_id}
    assert len(daemons(directory)) == 1
    connector.delete(Handle(resource, TOKEN, ""))


def daemons(directory: Path) -> list[int]:
    """Process ids of the daemons of a site."""
    path = os.fsencode(directory)
    return [
        each.pid
        for each in processes.processes()
        if each.name == "sshd" and any(path in word for word in processes.arguments(each))
    ]


def test_find_knows_a_machine_by_its_token_alone(connector: LocalConnector, machine: Handle, directory: Path) -> None:
    (found,) = connector_at(directory).find(machine.resource, TOKEN)
    assert (found.phase, found.provider_id, found.attributes) == (
        Phase.READY,
        machine.provider_id,
        machine.attributes,
    )
    assert connector.find(machine.resource, "another token") == []


# --- power ------------------------------------------------------------------------------------------------


def test_a_stopped_machine_takes_no_connection_and_comes_back_as_itself(
    connector: LocalConnector, machine: Handle, ssh: Ssh
) -> None:
    assert ssh(machine, "echo kept > note").returncode == 0
    connector.act(machine, Action.STOP)
    (observed,) = connector.read([machine])
    assert (observed.phase, observed.message, observed.attributes) == (Phase.STOPPED, "", machine.attributes)
    assert not accepts(machine)
    connector.act(machine, Action.STOP)
    connector.act(machine, Action.START)
    assert phase(connector, machine) is Phase.READY
    assert ssh(machine, "cat note").stdout == "kept\n"


def test_starting_what_runs_changes_nothing(connector: LocalConnector, machine: Handle) -> None:
    daemon = daemon_of(connector, machine)
    connector.act(machine, Action.START)
    assert daemon_of(connector, machine) == daemon


def test_reboot_ends_everything_and_keeps_address_and_host_key(
    connector: LocalConnector, machine: Handle, directory: Path, ssh: Ssh
) -> None:
    daemon = daemon_of(connector, machine)
    assert ssh(machine, "(sleep 300 >/dev/null 2>&1 </dev/null &)").returncode == 0
    connector.act(machine, Action.REBOOT)
    (observed,) = connector.read([machine])
    assert (observed.phase, observed.attributes) == (Phase.READY, machine.attributes)
    assert daemon_of(connector, machine) != daemon
    assert [each.name for each in running_in(directory)] == ["sshd"]
    assert ssh(machine, "true").returncode == 0


def test_reboot_starts_a_stopped_machine(connector: LocalConnector, machine: Handle) -> None:
    connector.act(machine, Action.STOP)
    connector.act(machine, Action.REBOOT)
    assert phase(connector, machine) is Phase.READY


def test_stop_finds_daemons_that_left_their_session_and_their_environment(
    connector: LocalConnector, machine: Handle, ssh: Ssh
) -> None:
    script = """
        setsid sh -c 'trap "" TERM HUP; echo $$ > stubborn; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &
        setsid env -i /bin/sh -c 'echo $$ > bare; exec sleep 300' >/dev/null 2>&1 </dev/null &
        while ! [ -s stubborn ] || ! [ -s bare ]; do sleep 0.05; done; cat stubborn bare
    """
    pids = [int(line) for line in ssh(machine, script).stdout.split()]
    assert len(pids) == 2
    assert all(processes.process(pid) for pid in pids)
    connector.act(machine, Action.STOP)
    assert not any(processes.process(pid) for pid in pids)


def test_a_start_at_an_address_taken_meanwhile_is_refused_with_the_daemons_words(
    connector: LocalConnector, machine: Handle
) -> None:
    connector.act(machine, Action.STOP)
    access = machine.attributes["access"]
    with (
        socket.create_server((access["address"], access["port"])),
        pytest.raises(CloudUnavailable, match="Address already in use"),
    ):
        connector.act(machine, Action.START)
    assert phase(connector, machine) is Phase.STOPPED
    connector.act(machine, Action.START)
    assert phase(connector, machine) is Phase.READY


def test_actions_on_a_machine_that_is_not_there_are_refused(connector: LocalConnector, resource: Resource) -> None:
    for action in Action:
        with pytest.raises(CloudRefused, match="no such machine"):
            connector.act(Handle(resource, TOKEN, ""), action)


# --- things that happen -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_somebody_ends_is_a_stopped_machine(
    connector: LocalConnector, machine: Handle, number: signal.Signals
) -> None:
    daemon = daemon_of(connector, machine)
    os.kill(daemon.pid, number)
    assert processes.wait_for_end(daemon, 10)
    (observed,) = connector.read([machine])
    assert (observed.phase, observed.message) == (Phase.STOPPED, "Its SSH daemon has ended by itself.")
    connector.act(machine, Action.START)
    assert phase(connector, machine) is Phase.READY


def test_sessions_that_outlive_their_daemon_are_ended_with_the_machine(
    connector: LocalConnector, machine: Handle, directory: Path, client: Callable[[Handle], list[str]]
) -> None:
    busy, idle = (
        subprocess.Popen([*client(machine), *rest], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for rest in (["echo ready; exec sleep 300"], ["-N", "-v"])
    )
    try:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"ready\n"
        while sum(each.name.startswith("sshd") for each in running_in(directory)) < 3:
            assert idle.poll() is None
        daemon = daemon_of(connector, machine)
        os.kill(daemon.pid, signal.SIGKILL)
        assert processes.wait_for_end(daemon, 10)
        assert len(running_in(directory)) >= 3
        connector.delete(machine)
        assert running_in(directory) == []
    finally:
        for each in (busy, idle):
            each.kill()
            each.communicate()


def test_a_process_id_used_again_is_not_taken_for_the_daemon(connector: LocalConnector, machine: Handle) -> None:
    connector.act(machine, Action.STOP)
    run_file = connector.site.folder(machine.provider_id).run_file
    boot, _, started = run_file.read_text().split()
    with subprocess.Popen(["sleep", "300"]) as bystander:
        try:
            found = processes.process(bystander.pid)
            assert found is not None
            for record in (f"{boot} {found.pid} {started}", f"an-earlier-boot {found.pid} {found.started}"):
                run_file.write_text(record)
                assert phase(connector, machine) is Phase.STOPPED
                connector.act(machine, Action.STOP)
            connector.delete(machine)
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_user_who_looks_at_the_log_is_not_ended_with_the_machine(connector: LocalConnector, machine: Handle) -> None:
    log = connector.site.folder(machine.provider_id).log
    with subprocess.Popen(["tail", "-f", str(log)], stdout=subprocess.DEVNULL, cwd=log.parent / "home") as reader:
        try:
            connector.delete(machine)
            assert reader.poll() is None
        finally:
            reader.kill()


def test_a_machine_whose_folder_somebody_removed_is_absent_and_its_processes_go_with_delete(
    connector: LocalConnector, machine: Handle, directory: Path
) -> None:
    subprocess.run(["rm", "-rf", str(directory / machine.provider_id)], check=True)
    assert phase(connector, machine) is Phase.ABSENT
    assert len(daemons(directory)) == 1
    connector.delete(machine)
    assert daemons(directory) == []


def test_a_damaged_machine_has_failed_and_can_be_deleted(
    connector: LocalConnector, machine: Handle, directory: Path
) -> None:
    (directory / machine.provider_id / "machine.json").write_text("[]")
    (observed,) = connector.read([machine])
    assert observed.phase is Phase.FAILED
    assert str(directory) not in observed.message
    connector.delete(machine)
    assert phase(connector, machine) is Phase.ABSENT
    assert running_in(directory) == []


def test_a_daemon_that_does_not_start_leaves_nothing_of_the_new_machine(
    connector: LocalConnector, resource: Resource, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "sshd"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(host, "sshd", lambda: str(broken))
    with pytest.raises(CloudUnavailable, match="does not start: it is broken"):
        connector.create(resource, TOKEN)
    broken.unlink()
    with pytest.raises(CloudUnavailable, match="cannot be launched: sshd: No such file or directory"):
        connector.create(resource, TOKEN)
    monkeypatch.undo()
    assert connector.find(resource, TOKEN) == []
    assert list(directory.iterdir()) == []
    assert connector.create(resource, TOKEN).phase is Phase.READY
    connector.delete(Handle(resource, TOKEN, ""))


def test_root_gets_the_folder_that_sshd_wants_where_no_sshd_ever_ran(
    connector: LocalConnector, resource: Resource, program: Callable[..., subprocess.Popen[str]]
) -> None:
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("it takes root, and a mount namespace to hide the folder in")
    body = "print(connector.create(resource, asked['token']).phase, flush=True)"
    child = program(body, prefix=["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"])
    assert child.communicate(timeout=60)[0] == "ready\n"
    connector.delete(Handle(resource, TOKEN, ""))


# --- deletion ---------------------------------------------------------------------------------------------


def test_delete_leaves_no_process_no_port_and_no_file(
    connector: LocalConnector, machine: Handle, directory: Path, ssh: Ssh
) -> None:
    ssh(machine, "mkdir -p go/pkg && echo x > go/pkg/mod && chmod -R a-w go; (sleep 300 >/dev/null 2>&1 </dev/null &)")
    connector.delete(machine)
    (observed,) = connector.read([machine])
    assert (observed.phase, observed.attributes) == (Phase.ABSENT, {})
    assert not accepts(machine)
    assert running_in(directory) == []
    assert list(directory.iterdir()) == []


def test_deleting_what_is_not_there_succeeds(connector: LocalConnector, machine: Handle, directory: Path) -> None:
    for _ in range(2):
        connector.delete(machine)
    connector.delete(Handle(machine.resource, "never made", ""))
    assert list(directory.iterdir()) == []


# --- several at once, and after a kill --------------------------------------------------------------------


_PROGRAM = """
import ipaddress, json, os, signal, subprocess, sys, threading
from contextlib import chdir
from pathlib import Path
from imframework.api.model import Action, Credential, Handle, Resource
from imframework_plugins.connectors.local import daemon, folder, machine, site
from imframework_plugins.connectors.local.connector import LocalConnector

asked = json.loads(sys.stdin.readline())
options = {{"LOCAL_DIR": Path(asked["directory"]), "LOCAL_NETWORK": (ipaddress.ip_network(asked["network"]),),
           "LOCAL_PORT": asked["port"]}}
connector = LocalConnector(Credential("here", "Local", {{}}), options)
resource = Resource("instance/0", "instance", "node", asked["spec"])
handle = Handle(resource, asked["token"], "")

def die(*_arguments, **_keywords):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(function):
    def call(*arguments, **keywords):
        function(*arguments, **keywords)
        die()
    return call

def die_while_launching(command, **keywords):
    del keywords["timeout"], keywords["check"]
    subprocess.Popen(command, **keywords)
    die()

{body}
"""


@pytest.fixture
def program(directory: Path, resource: Resource) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that works on the same LOCAL_DIR."""

    def start(body: str, token: str = TOKEN, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        code = _with_our_packages(_PROGRAM.format(body=textwrap.dedent(body)))
        child = subprocess.Popen(
            [*prefix, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        asked = {"directory": str(directory), "network": NETWORK, "port": PORT, "spec": resource.spec, "token": token}
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked) + "\n")
        child.stdin.flush()
        return child

    return start


def test_processes_that_create_at_once_get_machines_with_addresses_of_their_own(
    connector: LocalConnector, resource: Resource, directory: Path, program: Callable[..., subprocess.Popen[str]]
) -> None:
    body = """
        for number in range(3):
            threading.Thread(target=connector.create, args=(resource, asked["token"] + str(number))).start()
    """
    children = [program(body, token) for token in ("a", "b", "c")]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    found = [connector.find(resource, f"{token}{number}")[0] for token in "abc" for number in range(3)]
    assert {each.phase for each in found} == {Phase.READY}
    assert len({each.attributes["access"]["address"] for each in found}) == 9
    assert len({each.attributes["access"]["host_key"] for each in found}) == 9
    for token in "abc":
        for number in range(3):
            connector.delete(Handle(resource, f"{token}{number}", ""))
    assert list(directory.iterdir()) == []


CREATION = {
    "before anything is written": "site.Site.settle = die",
    "in the middle of writing": "folder.Folder.write = die",
    "before it appears": "site.os.rename = die",
    "when it has appeared": "site.os.rename = die_after(os.rename)",
    "before its configuration": "daemon._configure = die",
    "before the launch": "daemon._launch = die",
    "during the launch": "daemon.subprocess = type('', (), {**vars(subprocess), 'run': die_while_launching})",
    "before it listens": "daemon.listens = die",
    "when its daemon has not started": "daemon.host.sshd = lambda: '/bin/false'; daemon._log_from = die",
    "before the answer": "connector._observe = die",
}


@pytest.mark.parametrize("moment", CREATION)
def test_a_creation_killed_at_any_moment_ends_with_one_machine(
    moment: str,
    connector: LocalConnector,
    resource: Resource,
    directory: Path,
    program: Callable[..., subprocess.Popen[str]],
    client: Callable[[Handle], list[str]],
) -> None:
    child = program(f"{CREATION[moment]}\nconnector.create(resource, asked['token'])")
    assert child.wait(60) == -signal.SIGKILL
    found = connector.find(resource, TOKEN)
    assert [each.phase for each in found] in ([], [Phase.CREATING], [Phase.READY], [Phase.STOPPED])
    observed = connector.create(resource, TOKEN)
    assert observed.phase is Phase.READY
    assert all(each.attributes == observed.attributes for each in found)
    assert len(daemons(directory)) == 1
    handle = Handle(resource, TOKEN, observed.provider_id, observed.attributes)
    assert subprocess.run([*client(handle), "true"], timeout=30).returncode == 0
    connector.delete(handle)
    assert running_in(directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("moment", CREATION)
def test_a_creation_killed_at_any_moment_can_be_deleted_at_once(
    moment: str,
    connector: LocalConnector,
    resource: Resource,
    directory: Path,
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    child = program(f"{CREATION[moment]}\nconnector.create(resource, asked['token'])")
    assert child.wait(60) == -signal.SIGKILL
    connector.delete(Handle(resource, TOKEN, ""))
    assert connector.find(resource, TOKEN) == []
    assert running_in(directory) == []
    assert [path for path in directory.glob("*") if not path.name.startswith(".")] == []


@pytest.mark.parametrize("milliseconds", [1, 8, 20, 35, 60])
def test_a_creation_killed_after_some_time_ends_with_one_machine(
    milliseconds: int,
    connector: LocalConnector,
    resource: Resource,
    directory: Path,
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    body = """
        print("begins", flush=True)
        connector.create(resource, asked["token"])
        sys.stdin.read()
    """
    child = program(body)
    assert child.stdout is not None
    assert child.stdout.readline() == "begins\n"
    try:
        child.wait(milliseconds / 1000)
    except subprocess.TimeoutExpired:
        child.kill()
    child.communicate()
    assert connector.create(resource, TOKEN).phase is Phase.READY
    assert len(daemons(directory)) == 1
    connector.delete(Handle(resource, TOKEN, ""))
    assert running_in(directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "fault"),
    {
        "before anything": "machine._end = die",
        "between the sessions and the daemon": "machine.end = die_after(machine.end)",
        "before it disappears": "site.Site.discard = die",
        "when it has disappeared": "site.Site.empty_trash = die",
        "in the middle of removing files": "site.shutil.rmtree = die_after(lambda path: (path / 'lock').unlink())",
    }.items(),
)
def test_a_deletion_killed_at_any_moment_is_never_taken_for_done(
    moment: str,
    fault: str,
    connector: LocalConnector,
    machine: Handle,
    directory: Path,
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    child = program(f"{fault}\nconnector.delete(handle)")
    assert child.wait(60) == -signal.SIGKILL
    assert phase(connector, machine) in (Phase.READY, Phase.STOPPED, Phase.DELETING)
    assert len(connector.find(machine.resource, TOKEN)) == 1
    connector.delete(machine)
    assert phase(connector, machine) is Phase.ABSENT
    assert running_in(directory) == []
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("action", [Action.STOP, Action.REBOOT])
@pytest.mark.parametrize(
    "fault", ["folder.Folder.write = die", "machine._end = die", "machine._end = die_after(machine._end)"]
)
def test_an_action_killed_at_any_moment_can_be_repeated(
    fault: str,
    action: Action,
    connector: LocalConnector,
    machine: Handle,
    directory: Path,
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    child = program(f"{fault}\nconnector.act(handle, Action.{action.name})\ndie()")
    assert child.wait(60) == -signal.SIGKILL
    assert phase(connector, machine) in (Phase.READY, Phase.STOPPED)
    connector.act(machine, action)
    assert phase(connector, machine) is (Phase.STOPPED if action is Action.STOP else Phase.READY)
    assert len(daemons(directory)) == (0 if action is Action.STOP else 1)


def test_a_machine_outlives_the_process_that_made_it(
    connector: LocalConnector, resource: Resource, program: Callable[..., subprocess.Popen[str]], ssh: Ssh
) -> None:
    child = program("print(connector.create(resource, asked['token']).phase, flush=True)\nsys.stdin.read()")
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (found,) = connector.find(resource, TOKEN)
    handle = Handle(resource, TOKEN, found.provider_id, found.attributes)
    assert ssh(handle, "true").returncode == 0
    connector.delete(handle)


# --- without privileges -----------------------------------------------------------------------------------


def test_an_account_without_a_login_shell_is_refused_with_that_reason(tmp_path: Path) -> None:
    interpreter = _interpreter_for_nobody(tmp_path)
    code = "from imframework_plugins.connectors.local import host; print(host.obstacle())"
    answer = subprocess.run(
        [*_AS_NOBODY, *interpreter, "-c", _with_our_packages(code)], capture_output=True, text=True, check=True
    )
    assert re.search(r"account '\w+' has no login shell", answer.stdout)


@pytest.mark.slow
def test_all_of_this_holds_for_a_user_without_privileges(tmp_path: Path) -> None:
    interpreter = _interpreter_for_nobody(tmp_path)
    work = Path("/tmp") / f"im-local-{os.getpid()}"
    work.mkdir()
    os.chown(work, NOBODY, NOBODY)
    # In mount namespace of its own: /etc/passwd names an account that may log in.
    passwd = tmp_path / "passwd"
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if line.split(":")[2] != str(NOBODY)]
    passwd.write_text("\n".join([*lines, f"imtest:x:{NOBODY}:{NOBODY}::{work}:/bin/sh", ""]))
    passwd.chmod(0o644)
    root = Path(__file__).parents[3]
    tests = [str(Path(__file__)), str(root / "tests/unit/plugins/connectors/local")]
    # The kills at every moment are the same for every user, and most of the time of these tests.
    options = [
        "-q",
        "-k",
        "not killed",
        "-c",
        str(root / "pyproject.toml"),
        "--rootdir",
        str(root),
        "--basetemp",
        f"{work}/pytest",
        *tests,
    ]
    code = _with_our_packages(f"import sys, pytest; sys.exit(pytest.main({options!r}))")
    script = 'mount --bind "$1" /etc/passwd && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(passwd), *_AS_NOBODY, *interpreter, "-c", code]
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    try:
        answer = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=250)
        assert answer.returncode == 0, answer.stdout[-8000:] + answer.stderr[-2000:]
        assert " passed" in answer.stdout
    finally:
        subprocess.run(["rm", "-rf", str(work)], check=True)


NOBODY = 65534
_AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]


def _with_our_packages(code: str) -> str:
    """Python code that runs with the packages of this environment."""
    places = [path for path in sys.path if path.endswith("site-packages")]
    return f"import site\nfor path in {places!r}: site.addsitedir(path)\n{code}"


def _interpreter_for_nobody(tmp_path: Path) -> Sequence[str]:
    """A Python like ours that an account without privileges can run; skips the test where that cannot be had."""
    if os.getuid() != 0:
        pytest.skip("these tests run without privileges already")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("root may not make a mount namespace here")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        code = _with_our_packages("import imframework_plugins, paramiko, pytest")
        # Through a shell, so that the path is looked up without privileges, too.
        probe = [*_AS_NOBODY, "sh", "-c", 'exec "$@"', "sh", path, "-I", "-c", code]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return [path, "-I"]
    pytest.skip("no Python here that an account without privileges could run")


def test_a_machine_is_made_from_the_snapshot_of_another(
    connector: LocalConnector, directory: Path, resource: Resource
) -> None:
    first = Handle(resource, f"{TOKEN}-a", connector.create(resource, f"{TOKEN}-a").provider_id)
    home = directory / first.provider_id / "home"
    (home / "folder").mkdir(mode=0o750)
    (home / "folder" / "file").write_text("kept")
    (home / "link").symlink_to("/nowhere")
    with socket.socket(socket.AF_UNIX) as listener, chdir(home):  # the system takes short paths only
        listener.bind("socket")
    (home / "secret").touch(mode=0o600)

    image = connector.snapshot(first, 0, "../saved/as it is")
    made = connector.create(image, f"{TOKEN}-image")
    url = made.attributes["url"]
    assert (url, "../saved/as it is") in [(each.uri, each.name) for each in connector.images({})]
    connector.delete(first)

    candidate = connector.candidates(Features("node", {"disk.0.image.url": url}))[0]
    assert isinstance(candidate, Candidate)
    machine = Machine(1, Features("node", {}), candidate, resource.spec["public_key"])
    (copy,) = connector.plan(Deployment("8ae1c2d3", "test", (machine,)))
    second = Handle(copy, f"{TOKEN}-b", connector.create(copy, f"{TOKEN}-b").provider_id)
    home = directory / second.provider_id / "home"
    assert (home / "folder" / "file").read_text() == "kept"
    assert (home / "folder").stat().st_mode & 0o777 == 0o750
    assert (home / "secret").stat().st_mode & 0o777 == 0o600
    assert os.readlink(home / "link") == "/nowhere"
    assert not (home / "socket").exists()

    connector.delete(Handle(image, "of somebody else", made.provider_id))
    assert connector.find(image, f"{TOKEN}-image") == [made], "an id alone, as in a document, is not enough"
    connector.delete(Handle(image, f"{TOKEN}-image", made.provider_id))
    assert (home / "folder" / "file").exists(), "the machine does not need its image any more"
    connector.delete(second)
    assert list(directory.iterdir()) == []


def test_a_machine_that_is_altered_goes_on_running(connector: LocalConnector, resource: Resource) -> None:
    made = connector.create(resource, TOKEN)
    handle = Handle(resource, TOKEN, made.provider_id)
    larger = {**resource.spec, "facts": {**resource.spec["facts"], "memory.size": 2**28}}

    changed = connector.update(handle, Resource(resource.key, resource.kind, resource.name, larger, machine=0))

    assert changed.phase is made.phase
    assert changed.attributes["facts"]["memory.size"] == 2**28
    assert changed.attributes["access"] == made.attributes["access"]
    assert connector.quotas()["ram"].used == 0.25
    connector.delete(handle)
