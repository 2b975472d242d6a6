"""`imframework ssh`: a shell on a machine, or one command.

Run by the program `ssh` with a configuration of its own, in a folder that only we can read and that is removed
afterwards. A password is handed over by a helper (SSH_ASKPASS), never on a command line.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from imframework.api.errors import IMError, NotFound
from imframework.api.model import JSON
from imframework.cli.client import Client
from imframework.cli.machines import MachineInfo
from imframework.cli.options import Target, target_options
from imframework.languages.radl import parse_outports, remote_port

#: Seconds after which a machine, or the one on the way to it, that does not answer counts as not there.
CONNECT_TIMEOUT = 30
_CREDENTIALS = "disk.0.os.credentials"
#: What is taken into a configuration file of ssh: documents of others can say anything.
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*")
_HOST_KEY = re.compile(r"[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+(?: [^\r\n]*)?")


@dataclass(frozen=True, slots=True)
class Login:
    """How a machine is reached. `direct` says that no machine is needed on the way, as far as is known."""

    address: str
    port: int
    user: str
    direct: bool
    host_key: str = ""
    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, number: int, description: Sequence[Mapping[str, JSON]]) -> Login:
        """Out of what `Client.info` returns.

        Raises:
            NotFound: it has no address (yet).
            IMError: what is said of it is nothing that ssh could use.
        """
        machine = MachineInfo.of(number, description)
        if not machine.addresses:
            raise NotFound(f"Machine {number} has no address; it is {machine.state or 'unknown'}")
        networks = {str(part.get("id")): part for part in description if part.get("class") == "network"}
        found = [(_network(machine, address, networks), address) for address in machine.addresses]
        direct = [(network, address) for network, address in found if _is_direct(network, address)]
        network, address = (direct or found)[0]
        user = machine.text(f"{_CREDENTIALS}.username") or "root"
        host_key = machine.text("ssh.host_key").strip()
        for pattern, value in ((_ADDRESS, address), (_USER, user), (_HOST_KEY, host_key)):
            if value and pattern.fullmatch(value) is None:
                raise IMError(f"Machine {number} cannot be logged in to: ssh would not understand '{value}'")
        return cls(
            address=address,
            port=_port(machine, network),
            user=user,
            direct=bool(direct),
            host_key=host_key,
            private_key=machine.text(f"{_CREDENTIALS}.private_key").strip(),
            password=machine.text(f"{_CREDENTIALS}.password"),
        )


def _network(machine: MachineInfo, address: str, networks: Mapping[str, Mapping[str, JSON]]) -> Mapping[str, JSON]:
    """The network of the interface with an address."""
    interface = next(name for name, value in machine.system.items() if value == address and name.endswith(".ip"))
    return networks.get(machine.text(interface.removesuffix("ip") + "connection"), {})


def _port(machine: MachineInfo, network: Mapping[str, JSON]) -> int:
    """The port that its cloud has given it, or what leads to its port 22 from where we are."""
    port = int(machine.text("ssh.port") or 22)
    ports = network.get("outports") or ""
    text = ",".join(ports) if isinstance(ports, list) else str(ports)
    return remote_port(parse_outports(text), 22) if port == 22 and text else port


def _is_direct(network: Mapping[str, JSON], address: str) -> bool:
    """Whether an address can be reached from anywhere, or is of this computer."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return network.get("outbound") == "yes"
    return network.get("outbound") == "yes" or ip.is_global or ip.is_loopback


# --- the command -----------------------------------------------------------------------------------------------


class _Remote(click.Command):
    """A command whose arguments after ``--`` are left as they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ours, and keep theirs."""
        mark = args.index("--") if "--" in args else len(args)
        theirs = tuple(args[mark + 1 :])
        left = super().parse_args(ctx, args[:mark])
        ctx.params["command"] = (*ctx.params["command"], *theirs)
        return left


@click.command(cls=_Remote)
@click.argument("infrastructure", metavar="ID")
@click.argument("vm", metavar="[VM]", type=click.IntRange(min=0), required=False)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1)
@target_options
@click.pass_context
def ssh(context: click.Context, infrastructure: str, vm: int | None, command: tuple[str, ...], target: Target) -> None:
    """Open a shell on a machine, by default the first one, or run COMMAND there and end as it ends.

    A machine without a public address is reached through the first one that has one.
    """
    with target.open() as client:
        login, jump = _logins(client, infrastructure, vm)
    with _signals_as_exits(), _configuration(login, jump, infrastructure) as (file, environment):
        arguments = ["ssh", "-F", str(file), "machine", *(["--", " ".join(command)] if command else [])]
        code = _run(arguments, {**os.environ, **environment})
    context.exit(code)


def _logins(client: Client, infrastructure: str, vm: int | None) -> tuple[Login, Login | None]:
    """The machine, and the one on the way to it."""
    numbers = client.machines(infrastructure)
    if vm is None and not numbers:
        raise NotFound(f"{infrastructure} has no machines")
    vm = numbers[0] if vm is None else vm
    login = Login.of(vm, client.info(infrastructure, vm))
    for number in [] if login.direct else numbers:
        try:
            jump = Login.of(number, client.info(infrastructure, number))
        except NotFound:
            continue
        if jump.direct and jump.private_key:
            return login, jump
    return login, None


@contextmanager
def _configuration(login: Login, jump: Login | None, infrastructure: str) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """A configuration file of ssh with the hosts `machine` and `jump`, and the environment that it needs."""
    with tempfile.TemporaryDirectory(prefix="imframework-ssh-") as name:
        folder, environment = Path(name), {}
        text = _host("machine", login, folder, infrastructure)
        if jump is not None:
            text += "  ProxyJump jump\n" + _host("jump", jump, folder, infrastructure)
        _write(folder / "config", text)
        if login.password and not login.private_key:
            _write(folder / "password", login.password + "\n")
            _write(folder / "askpass", f"#!/bin/sh\nexec cat {shlex.quote(str(folder / 'password'))}\n", 0o700)
            environment = {"SSH_ASKPASS": str(folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        yield folder / "config", environment


def _host(host: str, login: Login, folder: Path, infrastructure: str) -> str:
    """The section of a host; what it refers to is put into the folder."""
    alias = f"{re.sub('[^A-Za-z0-9-]', '', infrastructure)}-{login.address}"
    known_hosts = _known_hosts()
    if login.host_key:
        known_hosts = folder / f"{host}.known_hosts"
        _write(known_hosts, f"{alias} {login.host_key}\n")
    lines: dict[str, object] = {
        "HostName": login.address,
        "Port": login.port,
        "User": login.user,
        "HostKeyAlias": alias,
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes" if login.host_key else "accept-new",
        "IdentityAgent": "none",
        "ConnectTimeout": CONNECT_TIMEOUT,
        "LogLevel": "ERROR",
    }
    if login.private_key:
        _write(folder / f"{host}.key", login.private_key + "\n")
        lines |= {"IdentityFile": f'"{folder / host}.key"', "PreferredAuthentications": "publickey"}
    else:
        lines |= {"PreferredAuthentications": "password,keyboard-interactive", "NumberOfPasswordPrompts": 1}
    return f"Host {host}\n" + "".join(f"  {name} {value}\n" for name, value in lines.items())


def _known_hosts() -> Path:
    """Where the keys of machines are kept whose clouds cannot tell them."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")) / "imframework"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "known_hosts"


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Let signals that would end us at once raise `SystemExit`, so that nothing is left behind."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ssh, with our signals, to its end; its exit code."""
    try:
        process = subprocess.Popen(arguments, env=environment)
    except FileNotFoundError:
        raise IMError("There is no program ssh. On Debian: apt install openssh-client") from None
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except SystemExit as end:
            process.send_signal(int(end.code or 0) - 128)
