"""A real service for the benches: `imframework serve` in a process and a folder of its own, and a client of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

USER, PASSWORD = "ana", "correct horse"
LOGIN = f"type = InfrastructureManager; username = {USER}; password = '{PASSWORD}'"
#: What clients really send: the items of several clouds, one of which is used.
CREDENTIALS = (
    f"{LOGIN}\\n"
    "id = simulated; type = Dummy\\n"
    "id = one; type = OpenNebula; host = 'http://one.example.org:2633'; username = 'ana'; password = 'battery staple'"
)
PROGRAM = (sys.executable, "-m", "imframework.cli")
#: Longest wait for anything, in seconds.
PATIENCE = 300.0


def cluster(machines: int) -> str:
    """A document of so many simulated machines that are not configured, one of whose networks is private."""
    return f"""network private ()
system node (
    cpu.count >= 1 and
    memory.size >= 512Mi and
    net_interface.0.connection = 'private' and
    net_interface.0.dns_name = 'node-#N#' and
    disk.0.os.name = 'linux' and
    disk.0.image.url = 'mock0://linux.for.ev.er/image1'
)
contextualize ()
deploy node {machines}
"""


class Service:
    """One service on SQLite with the dummy cloud and a user file; can be started again on the same data."""

    def __init__(self, folder: Path, options: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self.cloud = folder / "cloud.sqlite"
        self.ready_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        # Chosen beforehand, so that what waits for the service can ask it before it says that it is ready.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (folder / "users.json").write_text(json.dumps({"users": [{"username": USER, "password": PASSWORD}]}))
        settings = {
            "DATA_DB": f"sqlite:///{folder}/im.sqlite",
            "USER_DB": folder / "users.json",
            "LOG_FILE": folder / "im.log",
            "CONNECTORS": "dummy",
            "DUMMY_FILE": self.cloud,
            "ACTIVATE_REST": True,
            "ACTIVATE_XMLRPC": False,
            "REST_ADDRESS": "127.0.0.1",
            "REST_PORT": self.port,
            "MAX_SIMULTANEOUS_LAUNCHES": 10,
            **(options or {}),
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (folder / "im.cfg").write_text("\n".join(["[im]", *lines, ""]))

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait for its first answer; `ready_seconds` is how long that took."""
        began = time.perf_counter()
        command = [*PROGRAM, "serve", "-c", str(self.folder / "im.cfg")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while not self._answers():
            if self._process.poll() is not None:
                raise SystemExit(f"the service ended with {self._process.returncode}; see {self.folder / 'im.log'}")
            if time.perf_counter() - began > PATIENCE:
                raise SystemExit("the service does not answer")
            time.sleep(0.005)
        self.ready_seconds = time.perf_counter() - began
        return self

    def stop(self) -> float:
        """End it with SIGTERM; the seconds until it was gone."""
        assert self._process is not None
        began = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise SystemExit("the service does not end") from None
        finally:
            self._process = None
        return time.perf_counter() - began

    def close(self) -> None:
        """Make sure that nothing is left running."""
        if self._process is not None:
            self.stop()

    def client(self, credentials: str = CREDENTIALS) -> Client:
        """A connection to it."""
        return Client(self.port, credentials)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/version")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    # --- what the system says of the process ---------------------------------------------------------------

    def resident(self) -> float:
        """Resident memory in MB."""
        return self._status("VmRSS") / 1024

    def threads(self) -> int:
        """How many it has now."""
        return self._status("Threads")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

    def processor_seconds(self) -> float:
        """Processor time it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(options: Mapping[str, object] | None = None) -> Iterator[Service]:
    """A started service in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="imframework-bench-") as folder:
        service = Service(Path(folder), options)
        try:
            yield service.start()
        finally:
            service.close()


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int, credentials: str) -> None:
        self._credentials = credentials
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, bytes]:
        """Status and body of an answer."""
        headers = {"Authorization": self._credentials}
        if body:
            headers["Content-Type"] = "text/plain"
        self._connection.request(method, path, body.encode(), headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def create(self, document: str) -> str:
        """The id of a new infrastructure, whose machines are made in the background."""
        status, body = self.ask("POST", "/infrastructures?async=true", document)
        if status != 200:
            raise SystemExit(f"POST: {status} {body.decode()}")
        return body.decode().rpartition("/")[2]

    def state(self, id: str) -> str:
        """The aggregated state; empty for an infrastructure that is gone."""
        status, body = self.ask("GET", f"/infrastructures/{id}/state")
        return str(json.loads(body)["state"]["state"]) if status == 200 else ""

    def until(self, id: str, state: str) -> float:
        """Poll until an infrastructure is in a state; the seconds that took."""
        return waiting(lambda: self.state(id) == state)

    def busy(self) -> int:
        """How many infrastructures are being worked on."""
        _, body = self.ask("GET", "/metrics")
        values = dict(line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
        return int(float(values["imframework_infrastructures_in_progress"]))


def waiting(done: Callable[[], bool], pause: float = 0.05) -> float:
    """Ask again and again; the seconds until the answer was yes."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit("it takes too long")
        time.sleep(pause)
    return time.perf_counter() - began
