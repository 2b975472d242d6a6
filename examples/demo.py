"""A demonstration: three machines on this computer, made, configured, looked at over SSH, and removed again.

Run it by `make demo`, or with the Python of an environment that has imframework installed. It needs no root, no cloud
account and no network. It starts `imframework serve` on a free loopback port with everything in ./.demo, deploys
examples/radl/cluster.radl through the REST API, and leaves nothing behind, whatever happens on the way. With --keep the
server and the machines stay until --end.

Exit codes: 0 all is well; 1 something went wrong; 2 something that it needs is missing; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from imframework.api.errors import IMError, NotFound
from imframework.cli import watching
from imframework.cli.auth_file import authorization
from imframework.cli.display import display
from imframework.cli.documents import read_document
from imframework.cli.machines import MachineInfo
from imframework.client import Client
from imframework.contextualization import choose_sandbox

DOCUMENT = Path(__file__).parent / "radl" / "cluster.radl"

#: Port of the machines, each on an address of its own.
SSH_PORT = 2222
#: Seconds that the demonstration, and the cleaning up after it, may take before they are given up.
PATIENCE = 240
#: Seconds that the server may take to be ready, or to end.
SERVER_PATIENCE = 30

CONFIGURATION = """\
[im]
DATA_DB = sqlite:///{directory}/infrastructures.db
STATE_DIR = {directory}/state
LOG_FILE = {directory}/im.log
USER_DB = {directory}/users.json
CONNECTORS = local
LOCAL_DIR = {directory}/machines
LOCAL_PORT = {ssh_port}
ACTIVATE_REST = True
ACTIVATE_XMLRPC = False
REST_ADDRESS = 127.0.0.1
REST_PORT = 0
MAX_SIMULTANEOUS_LAUNCHES = 5
"""


class DemoError(Exception):
    """Something went wrong; the text says what."""


class Missing(Exception):
    """Something that the demonstration needs is not there; the text says what, and where to get it."""


# --- what is needed ----------------------------------------------------------------------------------------


def check_host() -> None:
    """Raise `Missing` if this computer lacks something."""
    if sys.platform != "linux":
        raise Missing("The machines of this demonstration are SSH daemons on Linux; this is another system.")
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin"
    if shutil.which("sshd", path=path) is None:
        raise Missing("There is no sshd, which every machine is one of. On Debian: apt install openssh-server")
    if shutil.which("ssh", path=path) is None:
        raise Missing("There is no ssh, by which the machines are configured. On Debian: apt install openssh-client")
    with tempfile.TemporaryDirectory() as folder:
        try:
            choose_sandbox("auto", runs_dir=Path(folder))
        except IMError as error:
            raise Missing(
                f"{error}\nOn Debian: apt install bubblewrap. It needs the right to make user namespaces."
            ) from None


# --- the folder and the server -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Where the demonstration keeps everything: configuration, database, machines."""

    path: Path

    def file(self, name: str) -> Path:
        """A file in it."""
        return self.path / name

    def make(self) -> None:
        """Make it, with a configuration and an account that nobody can guess. What is secret is ours to read only."""
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise Missing(f"{self.path} cannot be made: {error.strerror}") from None
        account = {"username": "demo", "password": secrets.token_urlsafe(24)}
        self._write("users.json", json.dumps({"users": [account]}))
        self._write(
            "auth.json",
            json.dumps([{"type": "InfrastructureManager", **account}, {"type": "Local", "id": "here"}]),
        )
        self._write("im.cfg", CONFIGURATION.format(directory=self.path, ssh_port=SSH_PORT))

    def _write(self, name: str, text: str) -> None:
        with open(os.open(self.file(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")

    def client(self, url: str) -> Client:
        """A client of the server at a URL, as the account of this folder."""
        return Client(url, authorization(self.file("auth.json")))

    def processes(self) -> dict[int, str]:
        """Processes of the server, its machines and its configuration runs: id to command line."""
        marks = [os.fsencode(self.file(name)) for name in ("im.cfg", "machines", "state")]
        pids = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
        return {pid: _command(pid) for pid in pids if _mentions(pid, marks)}


class Server:
    """`imframework serve` with the configuration of a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._pid_file = folder.file("serve.pid")
        self._ready_file = folder.file("serve.url")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._ready_file.read_text().strip()

    @property
    def pid(self) -> int | None:
        """Its process, if it runs; also if somebody else started it."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self._folder.file("im.cfg")) in _command(pid) else None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "imframework.cli", "serve"]
        options = ["-c", str(self._folder.file("im.cfg")), "--ready-file", str(self._ready_file)]
        with self._folder.file("serve.out").open("ab") as output:
            # In a session of its own: Ctrl-C is for us, who then clean up.
            self._child = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._child.pid}\n")
        deadline = time.monotonic() + SERVER_PATIENCE
        while not self._ready_file.exists():
            if self._child.poll() is not None:
                raise DemoError(f"The server ended with status {self._child.returncode}:\n{self._said()}")
            if time.monotonic() > deadline:
                raise DemoError(f"The server was not ready within {SERVER_PATIENCE} s:\n{self._said()}")
            time.sleep(0.02)

    def _said(self) -> str:
        texts = (self._folder.file(name) for name in ("serve.out", "im.log"))
        lines = [line for text in texts if text.exists() for line in text.read_text(errors="replace").splitlines()]
        return "\n".join(lines[-20:])

    def stop(self) -> None:
        """End it, in order if it can, and wait until it has."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError), _watched(pid) as ended:
                os.kill(pid, signal.SIGTERM)
                if not ended(SERVER_PATIENCE):
                    os.kill(pid, signal.SIGKILL)
                    ended(SERVER_PATIENCE)
        if self._child is not None:
            self._child.wait()
        self._pid_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[Callable[[float], bool]]:
    """A function that waits some seconds for the end of a process, and says whether it has come."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    try:
        yield lambda seconds: bool(poll.poll(seconds * 1000))
    finally:
        os.close(handle)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _mentions(pid: int, paths: Sequence[bytes]) -> bool:
    """Whether a process has a path in its command line or environment, is in it, or has something open below it."""
    folder = Path(f"/proc/{pid}")
    texts = []
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            texts.append((folder / name).read_bytes())
    with contextlib.suppress(OSError):
        for link in (folder / "cwd", *(folder / "fd").iterdir()):
            with contextlib.suppress(OSError):
                texts.append(os.fsencode(os.readlink(link)))
    return any(path in text for path in paths for text in texts)


# --- the acts ----------------------------------------------------------------------------------------------


def deploy(client: Client) -> str:
    """Show the plan, have the cluster made and configured with progress, and return its id."""
    document = read_document(DOCUMENT, {})
    for lot in client.plan(document)["create"]:
        if "refused" in lot:
            raise Missing(f"This computer cannot have machines: {lot['refused']}")
        say(f"  {len(lot['machines'])} × {lot['system']}: {lot['image']}, which {lot['why']}")
    infrastructure = client.create(document, asynchronous=True)
    with display(infrastructure) as shown:
        report = watching.watch(client, infrastructure, shown)
    if not watching.succeeded(report):
        raise DemoError(f"The cluster is {report.state}.")
    say(f"  state: {report.state}")
    return infrastructure


@dataclass(frozen=True)
class Login:
    """How one machine is reached by ssh."""

    machine: MachineInfo
    folder: Path

    @classmethod
    def prepare(cls, machine: MachineInfo, folder: Path) -> Login:
        """Write its key, and its host key where the service tells it, for ssh to use."""
        login = cls(machine, folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        login.key.touch(mode=0o600)
        login.key.write_text(machine.text("disk.0.os.credentials.private_key"))
        host_key = machine.text("ssh.host_key")
        login.known_hosts.write_text(f"[{login.address}]:{login.port} {host_key}\n" if host_key else "")
        return login

    @property
    def address(self) -> str:
        """Its address."""
        return self.machine.addresses[0]

    @property
    def port(self) -> int:
        """Its SSH port."""
        return int(self.machine.text("ssh.port") or SSH_PORT)

    @property
    def key(self) -> Path:
        """The private key."""
        return self.folder / f"{self.machine.number}.key"

    @property
    def known_hosts(self) -> Path:
        """The host key."""
        return self.folder / f"{self.machine.number}.known_hosts"

    def command(self, *words: str) -> list[str]:
        """The ssh command line; without words, for a shell."""
        pinned = "yes" if self.known_hosts.stat().st_size else "accept-new"
        options = {
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": pinned,
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "ConnectTimeout": "10",
            **({"BatchMode": "yes"} if words else {}),
        }
        return [
            *("ssh", "-F", "/dev/null", "-i", str(self.key), "-p", str(self.port)),
            *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
            f"{self.machine.text('disk.0.os.credentials.username')}@{self.address}",
            *words,
        ]

    def read(self, path: str) -> str:
        """The content of a file on it."""
        try:
            answer = subprocess.run(
                self.command("cat", path), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"ssh to {self.address} did not end within 30 s") from None
        if answer.returncode:
            raise DemoError(f"ssh to {self.address}: {answer.stderr.strip()}")
        return answer.stdout


def look(logins: Sequence[Login]) -> None:
    """Log in to every machine by ssh, and compare what the recipes have left there."""
    with ThreadPoolExecutor(len(logins)) as pool:
        texts = list(pool.map(lambda login: login.read("cluster/members.conf"), logins))
    keys: set[str] = set()
    workers: set[tuple[str, ...]] = set()
    for login, text in zip(logins, texts, strict=True):
        title, *lines = text.splitlines()
        pairs = [line.split(" = ", 1) for line in lines if " = " in line]
        keys.update(value for name, value in pairs if name == "key")
        workers.add(tuple(value for name, value in pairs if name == "worker"))
        machine = login.machine
        say(f"  machine {machine.number}  {machine.name:6}  {login.address:15}  ssh: ok  {title.removeprefix('# ')}")
    if len(keys) != 1 or len(workers) != 1 or len(workers.pop()) != len(logins) - 1:
        raise DemoError("The machines do not agree on their cluster:\n" + "\n".join(texts))
    say(f"  cluster/members.conf is on all {len(logins)} machines, with the same key and the same members")


def destroy_all(client: Client) -> None:
    """Delete every infrastructure of the demonstration, verified."""
    for infrastructure in client.list():
        with contextlib.suppress(NotFound):
            watching.destroy(client, infrastructure)
            say(f"  {infrastructure} is deleted")


def verify_nothing_left(folder: Folder, ports: Sequence[tuple[str, int]]) -> None:
    """Raise `DemoError` if a process, a port or a file of a machine is left."""
    if left := folder.processes():
        listed = "\n".join(f"  {pid}: {command}" for pid, command in left.items())
        raise DemoError(f"Processes are left:\n{listed}")
    for address, port in ports:
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex((address, port)) == 0:
                raise DemoError(f"Somebody still listens on {address} port {port}")
    machines = folder.file("machines")
    if machines.exists() and (names := os.listdir(machines)):
        raise DemoError(f"Files of machines are left in {machines}: {', '.join(names)}")


def end(folder: Folder, ports: Sequence[tuple[str, int]] = ()) -> None:
    """Delete everything, stop the server, and remove the folder once nothing else is left.

    The server is started again if it does not run: only it knows what there is.
    """
    server = Server(folder)
    try:
        if folder.file("infrastructures.db").exists():
            if server.pid is None:
                server.start()
            ports = [*ports, ("127.0.0.1", int(server.url.rpartition(":")[2]))]
            destroy_all(folder.client(server.url))
    finally:
        server.stop()
    verify_nothing_left(folder, ports)
    shutil.rmtree(folder.path)


# --- the play ----------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line for the audience."""
    click.echo(text)


def act(title: str) -> None:
    """The heading of a part."""
    say(click.style(f"\n▸ {title}", bold=True))


def play(folder: Folder, *, keep: bool) -> None:
    """The whole demonstration; raises after cleaning up if something goes wrong."""
    begun = time.monotonic()
    folder.make()
    server = Server(folder)
    ports: list[tuple[str, int]] = []
    try:
        act("A server, on loopback")
        server.start()
        client = folder.client(server.url)
        say(f"  imframework serve, process {server.pid}, at {server.url}")
        act(f"The cluster of {DOCUMENT.relative_to(DOCUMENT.parents[2])}")
        infrastructure = deploy(client)
        act("A look at each machine, over SSH")
        machines = [MachineInfo.of(n, client.info(infrastructure, n)) for n in client.machines(infrastructure)]
        logins = [Login.prepare(machine, folder.file("ssh")) for machine in machines]
        ports = [(login.address, login.port) for login in logins]
        look(logins)
        act("The same by hand")
        tell(folder, server.url, infrastructure, logins)
        if keep:
            act("Kept, as you asked")
            say(f"  The server and the machines stay. To end them:  {sys.executable} {__file__} --end")
            return
    except BaseException as error:
        act("Something went wrong")
        show_logs(server, folder)
        try:
            clean_up(folder, ports)
        except (DemoError, IMError) as failure:
            raise DemoError(f"{error}\nCleaning up failed, too: {failure}") from error
        raise
    act("The end of it all")
    clean_up(folder, ports)
    say(f"  no process, port or file is left; it took {time.monotonic() - begun:.0f} s")
    say(f"\nTo keep the machines and try the lines above:  {sys.executable} {__file__} --keep")
    say("To deploy without a server:  imframework deploy examples/radl/cluster.radl --local")
    say("To go on from here:  docs/tutorial.md")


def show_logs(server: Server, folder: Folder) -> None:
    """What the configuration logs say, as far as they can be had."""
    if server.pid is None:
        return
    with contextlib.suppress(IMError, OSError):
        client = folder.client(server.url)
        for infrastructure in client.list():
            say(client.contmsg(infrastructure))


def clean_up(folder: Folder, ports: Sequence[tuple[str, int]]) -> None:
    """`end`, with as much time as the play had."""
    signal.alarm(PATIENCE)
    end(folder, ports)


def tell(folder: Folder, url: str, infrastructure: str, logins: Sequence[Login]) -> None:
    """How to do by hand what was shown."""
    auth = folder.file("auth.json")
    imframework = Path(sys.executable).with_name("imframework")
    for line in (
        f"export IMFRAMEWORK_URL={url} IMFRAMEWORK_AUTH_FILE={auth}",
        f"{imframework} show {infrastructure}",
        f"{imframework} logs {infrastructure}",
        f'curl -H "Authorization: $(cat {auth})" {url}/infrastructures/{infrastructure}/state',
        " ".join(logins[0].command()),
    ):
        say(f"  {line}")


def _give_up(number: int, frame: object) -> None:
    raise DemoError(f"It takes more than {PATIENCE} s. That is too long.")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(arguments: Sequence[str]) -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(description="Deploy, check and delete a small cluster on this computer.")
    parser.add_argument("--keep", action="store_true", help="leave the server and the machines running")
    parser.add_argument("--end", action="store_true", help="end what --keep or a killed demonstration left")
    parser.add_argument(
        "--directory", type=Path, default=Path(".demo"), help="where to keep everything (default: .demo)"
    )
    options = parser.parse_args(arguments)
    folder = Folder(options.directory.resolve())
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.alarm(PATIENCE)
    try:
        if folder.path.exists():
            if not options.end and Server(folder).pid is not None:
                raise Missing(f"A demonstration is still there. End it:  {sys.executable} {__file__} --end")
            act("Ending what an earlier demonstration has left")
            end(folder)
        if options.end:
            return 0
        check_host()
        play(folder, keep=options.keep)
    except Missing as missing:
        click.echo(str(missing), err=True)
        return 2
    except (DemoError, IMError) as error:
        click.echo(f"The demonstration failed. {error}", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
