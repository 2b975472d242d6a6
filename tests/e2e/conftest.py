"""The service as its users have it: a process started by `imframework serve`, a database on disk, and HTTP.

A `Server` owns a directory with all that belongs to it, its machines included, so that what it leaves behind can be
told from everything else on the host. Every test ends with a look at the logs of all servers: a backtrace in one, or a
secret that was planted, fails the test.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import psutil
import pytest

from imframework.testing.openapi import Description
from imframework_plugins.frontends.rest import description

T = TypeVar("T")

#: What every answer to an `Api` is held against.
DESCRIPTION = Description(description.document())

IMFRAMEWORK = Path(sys.executable).with_name("imframework")
EXAMPLES = Path(__file__).parents[2] / "examples/radl"

#: Seconds in which whatever a test waits for happens, on a busy machine too.
PATIENCE = 120.0


def pytest_configure() -> None:
    """Let commands be interrupted, also where a shell has started all this in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_until(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """The first true value of `condition`, asked again and again."""
    until = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > until:
            pytest.fail(f"after {timeout:.0f} s there is no {what}")
        time.sleep(0.05)
    return value


# --- HTTP ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @cached_property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Api:
    """One user of a server, with the credentials of a header."""

    server: Server
    authorization: str | None

    def request(
        self, method: str, path: str, body: str | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own, and its answer."""
        sent = {"Authorization": self.authorization} if self.authorization is not None else {}
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=PATIENCE)
        try:
            content = body.encode() if isinstance(body, str) else body
            connection.request(method, path, content, {**sent, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        DESCRIPTION.check(method, path, answer.status, dict(answer.headers), answer.body)
        return answer

    def ok(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """The answer to a request that must succeed."""
        answer = self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.text}"
        return answer

    def create(self, document: str, *, asynchronous: bool = True) -> str:
        """The id of a new infrastructure."""
        return self.ok("POST", f"/infrastructures?async={int(asynchronous)}", document).headers["InfID"]

    def ids(self) -> list[str]:
        """The infrastructures of this user."""
        return [uri.rpartition("/")[2] for uri in self.ok("GET", "/infrastructures").text.split()]

    def vms(self, infrastructure: str) -> list[int]:
        """The numbers of the machines of an infrastructure."""
        uris = self.ok("GET", f"/infrastructures/{infrastructure}").text.split()
        return [int(uri.rpartition("/")[2]) for uri in uris]

    def state(self, infrastructure: str) -> tuple[str, dict[str, str]]:
        """The state of an infrastructure, and of each machine."""
        answer = self.ok("GET", f"/infrastructures/{infrastructure}/state").json["state"]
        return answer["state"], answer["vm_states"]

    def settled(self, infrastructure: str, *, among: Collection[str] = ("configured", "unconfigured", "failed")) -> str:
        """The state of an infrastructure once it is one of those."""

        def state() -> str:
            found = self.state(infrastructure)[0]
            return found if found in among else ""

        return wait_until(state, f"end in one of {', '.join(among)}")

    def configured(self, infrastructure: str) -> None:
        """Wait until an infrastructure is configured."""
        state = self.settled(infrastructure)
        assert state == "configured", f"{state}:\n{self.contmsg(infrastructure)}"

    def contmsg(self, infrastructure: str, vm: int | None = None) -> str:
        """The configuration log of an infrastructure, or of one of its machines."""
        machine = "" if vm is None else f"/vms/{vm}"
        return self.ok("GET", f"/infrastructures/{infrastructure}{machine}/contmsg").text

    def prop(self, infrastructure: str, vm: int, name: str) -> str:
        """A property of a machine."""
        return self.ok("GET", f"/infrastructures/{infrastructure}/vms/{vm}/{name}").text

    def events(self, infrastructure: str, after: int = 0) -> list[dict[str, Any]]:
        """What has happened to an infrastructure."""
        found: list[dict[str, Any]] = self.ok("GET", f"/infrastructures/{infrastructure}/events?after={after}").json[
            "events"
        ]
        return found

    def destroy(self, infrastructure: str) -> None:
        """Destroy an infrastructure, and wait until it is gone."""
        self.ok("DELETE", f"/infrastructures/{infrastructure}")
        assert infrastructure not in self.ids()


# --- the server ------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A service with a directory of its own."""

    directory: Path
    options: dict[str, object] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    """What the command is run by, such as a sandbox."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables it gets besides ours."""
    secrets: set[str] = field(default_factory=set)
    """What must never be seen in a log."""
    may_trace: bool = False
    """Whether backtraces in the log are what a test wants."""
    garbled: bool = False
    """Whether what is sent is mutilated, so that a password can stand where a name belongs, and is logged as such."""
    process: subprocess.Popen[bytes] | None = None
    addresses: list[str] = field(default_factory=list)
    """Where its front ends listen, the REST API first."""
    host: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self.options = {
            "ACTIVATE_REST": True,
            "ACTIVATE_XMLRPC": False,
            "REST_ADDRESS": "127.0.0.1",
            "REST_PORT": 0,
            "CONNECTORS": "local, dummy",
            "DATA_DB": f"sqlite://{self.database}",
            "STATE_DIR": self.directory / "state",
            "LOG_FILE": self.directory / "im.log",
            "LOG_LEVEL": "DEBUG",
            "LOCAL_DIR": self.machines,
            "LOCAL_NETWORK": f"127.{random.randint(100, 249)}.{random.randint(0, 255)}.0/24",
            "DUMMY_FILE": self.directory / "dummy.db",
            "DUMMY_BEHAVIOUR": self.directory / "dummy.json",
            "MAX_SIMULTANEOUS_LAUNCHES": 5,
            "DELAY_BETWEEN_VM_RETRIES": 0,
            "VM_INFO_UPDATE_FREQUENCY": 1,
            "SHUTDOWN_TIMEOUT": 5,
            **self.options,
        }
        self.behave()

    @property
    def config(self) -> Path:
        """Its im.cfg, written at each start."""
        return self.directory / "im.cfg"

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.directory / "inf.dat"

    @property
    def machines(self) -> Path:
        """The folder of the machines of connector `local`."""
        return self.directory / "machines"

    @property
    def runs(self) -> list[Path]:
        """The folders of configuration runs."""
        return sorted((self.directory / "state/runs").glob("*"))

    @property
    def log(self) -> str:
        """Everything it has logged or said so far, in all its lives."""
        texts = []
        for name in ("im.log", "output"):
            with suppress(FileNotFoundError):
                texts.append((self.directory / name).read_text(errors="replace"))
        return "".join(texts)

    def home(self, address: str) -> Path:
        """The home of the machine `local` has at an address."""
        for record in self.machines.glob("*/machine.json"):
            if json.loads(record.read_text())["address"] == address:
                return record.parent / "home"
        raise LookupError(address)

    def behave(self, **behaviour: object) -> None:
        """How the simulated cloud behaves from now on."""
        fresh = self.directory / "dummy.json.new"
        fresh.write_text(json.dumps(behaviour))
        fresh.rename(self.directory / "dummy.json")

    # --- life ------------------------------------------------------------------------------------------------

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process."""
        self.config.touch(0o600)
        self.config.write_text("[im]\n" + "".join(f"{name} = {value}\n" for name, value in self.options.items()))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IM_")}
        self.ready_file.unlink(missing_ok=True)
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *self.wrapper,
                    str(IMFRAMEWORK),
                    "serve",
                    "-c",
                    str(self.config),
                    "--ready-file",
                    str(self.ready_file),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment | self.environment,
                cwd=self.directory,
                start_new_session=True,
            )
        return self.process

    @property
    def ready_file(self) -> Path:
        """Written when it is ready."""
        return self.directory / "ready"

    def start(self) -> Server:
        """Start it and wait until it is ready."""
        process = self.launch()

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the server ended with {process.returncode}:\n{self.log}")
            return self.ready_file.exists()

        wait_until(ready, "server that is ready", 30)
        self.addresses = self.ready_file.read_text().split()
        url = urlsplit(self.addresses[0])
        assert url.hostname
        assert url.port
        self.host, self.port = url.hostname, url.port
        return self

    def refused(self) -> tuple[int, str]:
        """Start it; how it ended and what it said, as it was not to become ready."""
        said = len(self.log)
        process = self.launch()
        status = process.wait(90)
        assert not self.ready_file.exists()
        return status, self.log[said:]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process = None
        return status

    def kill(self) -> None:
        """End it as a power failure would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> Server:
        """Stop it in order, and start it again."""
        assert self.stop() == 0
        return self.start()

    def say(self, data: bytes, *, hang_up: bool = False) -> bytes:
        """Send bytes on a connection of its own; all that comes back until the server closes it.

        Our side stays open, unless we `hang_up` after the last byte.
        """
        with socket.create_connection((self.host, self.port), timeout=30) as connection:
            answer = b""
            with suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(data)
                if hang_up:
                    with suppress(OSError):  # the other side may have hung up first
                        connection.shutdown(socket.SHUT_WR)
                while received := connection.recv(65536):
                    answer += received
            return answer

    # --- who uses it, and what it leaves behind ----------------------------------------------------------------

    def api(self, user: str = "ana", password: str = "ana's-password-79bd", clouds: str = "") -> Api:  # noqa: S107
        """A user with an account on both clouds; `clouds` are further lines of the credential list."""
        self.secrets.add(password)
        lines = [
            f'type = InfrastructureManager; username = {user}; password = "{password}"',
            "id = here; type = Local",
            "id = sim; type = Dummy",
            *([clouds] if clouds else []),
        ]
        return Api(self, "\\n".join(lines))

    def offspring(self) -> list[psutil.Process]:
        """Processes that have to do with its directory, but for itself: machines, agents, what these have started."""
        mark, mine = str(self.directory), {os.getpid(), self.process.pid if self.process else 0}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid not in mine and process.status() != psutil.STATUS_ZOMBIE:
                    words = [*process.cmdline(), *process.environ().values(), process.cwd()]
                    if any(mark in word for word in words):
                        found.append(process)
        return found

    def agents(self) -> list[psutil.Process]:
        """Processes that run plays."""
        return [each for each in self.offspring() if "/runs/" in " ".join(_words(each))]

    def check_log(self) -> None:
        """Fail if there is something in the log that must not be."""
        log = self.log
        signs = ("Traceback (most recent call last)", "fault of the engine", "Task exception was never retrieved")
        for sign in () if self.may_trace else signs:
            assert sign not in log, log[max(0, log.index(sign) - 2000) : log.index(sign) + 5000]
        if self.garbled:
            log = re.sub(r'"users": \[.*?\], "address"', '"address"', log)
        for secret in self.secrets:
            assert secret not in log, f"a secret is in the log: {log[max(0, log.index(secret) - 300) :][:600]}"

    def close(self) -> None:
        """End whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None
        while left := self.offspring():
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=5)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class NewServer(Protocol):
    """Makes servers that are not started yet; keywords are options of im.cfg.

    The folder of one that is `public` can be passed through by every user of the host.
    """

    def __call__(self, wrapper: tuple[str, ...] = (), *, public: bool = False, **options: object) -> Server: ...


_LIVE: list[Server] = []


def _factory(base: Path) -> Iterator[NewServer]:
    made: list[Server] = []
    public_folders: list[TemporaryDirectory[str]] = []

    def new(wrapper: tuple[str, ...] = (), *, public: bool = False, **options: object) -> Server:
        directory = base / f"server{len(made)}"
        if public:
            public_folders.append(TemporaryDirectory(prefix="im-server-"))
            directory = Path(public_folders[-1].name)
            directory.chmod(0o755)
        else:
            directory.mkdir()
        server = Server(directory, options, wrapper)
        made.append(server)
        _LIVE.append(server)
        return server

    try:
        yield new
    finally:
        for server in made:
            server.close()
            _LIVE.remove(server)
        for folder in public_folders:
            folder.cleanup()


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewServer]:
    """Makes servers for one test."""
    yield from _factory(tmp_path_factory.mktemp("im"))


@pytest.fixture(scope="module")
def new_module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewServer]:
    """Makes servers for all tests of a module."""
    yield from _factory(tmp_path_factory.mktemp("im"))


@pytest.fixture(scope="module")
def server(new_module_server: NewServer) -> Server:
    """A running server that all tests of a module share."""
    return new_module_server().start()


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """A user of the shared server. What is left of the user's infrastructures after a test is destroyed."""
    api = server.api()
    yield api
    if server.process is not None and server.process.poll() is None:
        for infrastructure in api.ids():
            api.request("DELETE", f"/infrastructures/{infrastructure}?force=1")


@pytest.fixture(autouse=True)
def _clean_logs() -> Iterator[None]:
    yield
    for server in _LIVE:
        server.check_log()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the logs of the servers with a failure."""
    report = yield
    if report.failed:
        for server in _LIVE:
            report.sections.append((f"log of {server.directory}", server.log[-8000:]))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests have to tell when all is well, too."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "told" and report.when in ("call", "teardown"):
                terminalreporter.write_line(f"{report.nodeid}: {text}")


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say something at the end of the test run."""
    return lambda text: record_property("told", text)


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], T], str], T]:
    """See `wait_until`."""
    return wait_until


@pytest.fixture(scope="session")
def listening() -> Callable[[str, int], bool]:
    """Whether somebody accepts connections at an address and a port."""

    def connect(address: str, port: int) -> bool:
        try:
            socket.create_connection((address, port), timeout=10).close()
        except ConnectionRefusedError:
            return False
        return True

    return connect


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the example documents."""
    return EXAMPLES


# --- documents -------------------------------------------------------------------------------------------------


class NewDocument(Protocol):
    """Writes RADL for machines of one system, `node`.

    `recipe` are tasks in YAML (None: no configure section), `contextualize` is what stands in that section (None: no
    such section), `cloud` is `local` or `dummy`.
    """

    def __call__(
        self, recipe: str | None = None, *, count: int = 1, contextualize: str | None = None, cloud: str = "local"
    ) -> str: ...


@pytest.fixture(scope="session")
def document() -> NewDocument:
    """See `NewDocument`."""
    image = {"local": "local://localhost", "dummy": "mock0://linux.for.ev.er/image1"}

    def write(
        recipe: str | None = None, *, count: int = 1, contextualize: str | None = None, cloud: str = "local"
    ) -> str:
        parts = [
            "network net ()",
            f"system node (net_interface.0.connection = 'net' and disk.0.os.name = 'linux' and "
            f"disk.0.image.url = '{image[cloud]}')",
        ]
        if recipe is not None:
            tasks = "\n".join(f"    {line}" for line in recipe.strip().splitlines())
            parts.append(f"configure node (\n@begin\n- tasks:\n{tasks}\n@end\n)")
        if contextualize is not None or cloud == "dummy":
            parts.append(f"contextualize ({contextualize or ''})")
        parts.append(f"deploy node {count}" if count else "")
        return "\n".join(parts) + "\n"

    return write
