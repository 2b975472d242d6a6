"""Logging in to machines as the service describes them; the program ssh is a stand-in that tells what it is given."""

import stat

import pytest
from click.testing import CliRunner

from imframework.api.errors import IMError, NotFound
from imframework.cli import ssh as module
from imframework.cli.ssh import Login, ssh

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"
CREDENTIALS = "disk.0.os.credentials"

PUBLIC = {"class": "network", "id": "pub", "outbound": "yes"}
PRIVATE = {"class": "network", "id": "priv"}


def machine(**features):
    """A description with both networks; underscores of names stand for dots."""
    names = {
        "ip": "net_interface.0.ip",
        "on": "net_interface.0.connection",
        "ip1": "net_interface.1.ip",
        "on1": "net_interface.1.connection",
        "port": "ssh.port",
        "host_key": "ssh.host_key",
        "user": f"{CREDENTIALS}.username",
        "key": f"{CREDENTIALS}.private_key",
        "password": f"{CREDENTIALS}.password",
    }
    system = {"class": "system", "id": "node", "state": "running"}
    return [PUBLIC, PRIVATE, {**system, **{names[name]: value for name, value in features.items()}}]


# --- how a machine is reached ----------------------------------------------------------------------------------


def test_the_public_address_is_taken_with_user_key_and_port():
    login = Login.of(
        0, machine(ip="10.0.0.1", on="priv", ip1="10.9.0.1", on1="pub", user="ubuntu", key="K\n", port=2222)
    )

    assert (login.address, login.port, login.user, login.direct, login.private_key) == (
        "10.9.0.1",
        2222,
        "ubuntu",
        True,
        "K",
    )


@pytest.mark.parametrize(
    ("address", "network", "direct"),
    [
        ("10.0.0.1", "priv", False),
        ("10.0.0.1", "pub", True),
        ("8.8.8.8", "priv", True),
        ("127.3.4.5", "priv", True),
        ("2001:4860:4860::8888", "priv", True),
        ("node.example.org", "priv", False),
        ("node.example.org", "pub", True),
        ("10.0.0.1", "unheard-of", False),
    ],
)
def test_whether_a_machine_is_needed_on_the_way(address, network, direct):
    assert Login.of(0, machine(ip=address, on=network)).direct is direct


@pytest.mark.parametrize(
    ("outports", "port", "expected"),
    [
        (None, 22, 22),
        ("8080/tcp-80/tcp,8022/tcp-22/tcp", 22, 8022),
        (["8022/tcp-22/tcp", "443"], 22, 8022),
        ("8022-22", 2200, 2200),
        ("443", None, 22),
    ],
)
def test_the_port_is_that_of_the_cloud_or_what_leads_to_port_22(outports, port, expected):
    description = machine(ip="10.0.0.1", on="pub", **({"port": port} if port else {}))
    description[0] = {**PUBLIC, **({"outports": outports} if outports else {})}

    assert Login.of(0, description).port == expected


def test_a_machine_without_an_address_is_not_found():
    with pytest.raises(NotFound, match="Machine 3 has no address; it is running"):
        Login.of(3, machine())


@pytest.mark.parametrize(
    "features",
    [
        {"ip": "-oProxyCommand=x"},
        {"ip": "10.0.0.1\n  ProxyCommand x"},
        {"ip": "10.0.0.1", "user": "a\n  ProxyCommand x"},
        {"ip": "10.0.0.1", "user": "a b"},
        {"ip": "10.0.0.1", "host_key": f"{HOST_KEY}\n* {HOST_KEY}"},
    ],
)
def test_what_could_command_ssh_is_refused(features):
    with pytest.raises(IMError, match="ssh would not understand"):
        Login.of(0, machine(**features))


# --- what ssh is given -----------------------------------------------------------------------------------------


class Machines:
    """A service with these machines."""

    def __init__(self, *descriptions):
        self.descriptions = dict(enumerate(descriptions))

    def machines(self, infrastructure):
        return list(self.descriptions)

    def info(self, infrastructure, vm):
        return self.descriptions[vm]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command against machines; what the stand-in for ssh was given is in the attributes of the result."""
    programs, home, temporary = (tmp_path / name for name in ("bin", "home", "tmp"))
    for folder in (programs, home, temporary):
        folder.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\nprintf \'%s\\n\' "$@" > {tmp_path}/arguments\ncp -a "$(dirname "$2")" {tmp_path}/given\n'
        f'[ -z "$SSH_ASKPASS" ] || "$SSH_ASKPASS" "password?" > {tmp_path}/answer\nexit 42\n'
    )
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.delenv("SSH_ASKPASS", raising=False)
    monkeypatch.setattr(module.tempfile, "tempdir", str(temporary))

    def run(machines, *arguments):
        monkeypatch.setattr("imframework.cli.options.Target.open", lambda target: _Open(machines))
        result = CliRunner().invoke(ssh, ["inf-1", *arguments])
        assert list(temporary.iterdir()) == [], "something was left behind"
        result.folder = tmp_path
        return result

    return run


class _Open:
    def __init__(self, client):
        self.client = client

    def __enter__(self):
        return self.client

    def __exit__(self, *arguments):
        pass


def test_a_pinned_host_key_is_the_only_one_that_is_accepted(run):
    result = run(Machines(machine(ip="10.9.0.1", on="pub", host_key=HOST_KEY, key="THE KEY")), "--", "ls", "-l", "a b")

    assert result.exit_code == 42
    given = result.folder / "given"
    config = (given / "config").read_text()
    assert "StrictHostKeyChecking yes" in config
    assert (given / "machine.known_hosts").read_text() == f"inf-1-10.9.0.1 {HOST_KEY}\n"
    assert (given / "machine.key").read_text() == "THE KEY\n"
    assert stat.S_IMODE((given / "machine.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(given.stat().st_mode) == 0o700
    assert (result.folder / "arguments").read_text().splitlines()[2:] == ["machine", "--", "ls -l a b"]


def test_an_unknown_host_key_is_remembered_in_a_file_of_our_own(run):
    result = run(Machines(machine(ip="10.9.0.1", on="pub", key="K")))

    config = (result.folder / "given/config").read_text()
    assert "StrictHostKeyChecking accept-new" in config
    assert "ConnectTimeout 30" in config, "nobody waits for ever for a machine that is not there"
    assert f'UserKnownHostsFile "{result.folder}/home/imframework/known_hosts"' in config
    assert (result.folder / "arguments").read_text().splitlines()[2:] == ["machine"]


def test_a_password_is_given_when_asked_for_and_nowhere_else(run):
    result = run(Machines(machine(ip="10.9.0.1", on="pub", password="it's $HUSH\\n")))

    assert (result.folder / "answer").read_text() == "it's $HUSH\\n\n"
    assert "HUSH" not in (result.folder / "arguments").read_text() + (result.folder / "given/config").read_text()


def test_a_private_machine_is_reached_through_the_first_public_one(run):
    hidden = machine(ip="10.0.0.3", on="priv", key="K3")
    front = machine(ip="10.9.0.1", on="pub", key="K1")

    result = run(Machines(machine(), machine(ip="10.0.0.2", on="priv", key="K2"), front, hidden), "3")

    config = (result.folder / "given/config").read_text()
    first, second = config.split("Host jump\n")
    assert "HostName 10.0.0.3" in first
    assert "ProxyJump jump" in first
    assert "HostName 10.9.0.1" in second
    assert (result.folder / "given/jump.key").read_text() == "K1\n"


def test_the_first_machine_is_meant_if_none_is_named(run):
    result = run(Machines(machine(ip="10.9.0.1", on="pub", key="K"), machine(ip="10.9.0.2", on="pub", key="K")))

    assert "HostName 10.9.0.1" in (result.folder / "given/config").read_text()


def test_an_infrastructure_without_machines_has_none_to_log_in_to(run):
    assert isinstance(run(Machines()).exception, NotFound)
