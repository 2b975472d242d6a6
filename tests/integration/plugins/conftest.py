"""Distributions built and installed by pip, and services that run with them: all in processes of their own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "third_party_plugin"
DISTRIBUTIONS = Path(__file__).with_name("distributions")
PROGRAM = str(Path(sys.executable).with_name("imframework"))

#: How long anything may take that has no reason to take long, in seconds.
PATIENCE = 60


def pip(*arguments: str | Path) -> None:
    """Run pip; without network and without dependencies."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Builds the wheel of a source directory, once; from a copy, so that nothing is left in the directory."""
    wheels: dict[Path, Path] = {}

    def wheel(source: Path) -> Path:
        if source not in wheels:
            folder = tmp_path_factory.mktemp(source.name)
            copy = shutil.copytree(
                source, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
            )
            pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, copy)
            (wheels[source],) = folder.glob("*.whl")
        return wheels[source]

    return wheel


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def exchange(method: str, url: str, headers: Mapping[str, str], body: str = "") -> Answer:
    """One HTTP request."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    finally:
        connection.close()


@dataclass(frozen=True)
class Api:
    """A running service, for one user."""

    url: str
    authorization: str

    def ask(self, method: str, path: str, body: str = "") -> Answer:
        """One request; `path` may be a whole URL."""
        headers = {"Authorization": self.authorization, "Accept": "application/json", "Content-Type": "text/plain"}
        return exchange(method, path if "://" in path else self.url + path, headers, body)

    def create(self, document: str) -> str:
        """Make an infrastructure; its URL."""
        answer = self.ask("POST", "/infrastructures", document)
        assert answer.status == 200, answer.text
        return str(answer.json["uri"])

    def state(self, infrastructure: str) -> Mapping[str, Any]:
        """The states of an infrastructure and its machines."""
        state: Mapping[str, Any] = self.ask("GET", f"{infrastructure}/state").json["state"]
        return state

    def wait_for(self, infrastructure: str, state: str) -> None:
        """Wait until an infrastructure has a state."""
        deadline = time.monotonic() + PATIENCE
        while (seen := self.state(infrastructure))["state"] != state:
            assert time.monotonic() < deadline, f"{seen}\n{self.ask('GET', infrastructure + '/contmsg').text}"
            time.sleep(0.02)


class Site:
    """A directory in which distributions are installed, beside those of this interpreter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("IM_")},
            "PYTHONPATH": str(directory),
        }

    def install(self, wheel: Path) -> None:
        """Have pip install a wheel."""
        pip("install", "--no-deps", "--no-index", "--no-compile", "--target", self.directory, wheel)

    def run(self, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program that sees what is installed here."""
        arguments = list(map(str, command))
        return subprocess.run(
            arguments, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )

    def plugins(self, config: Path) -> dict[tuple[str, str], dict[str, Any]]:
        """What `imframework plugins list` says, by kind and name."""
        done = self.run(PROGRAM, "plugins", "list", "--json", "-c", config)
        assert done.returncode == 0, done.stderr
        return {(line["kind"], line["name"]): line for line in json.loads(done.stdout)}

    @contextmanager
    def serve(self, config: Path, items: str) -> Iterator[Api]:
        """A service as a process; `items` are the credentials of the user for the clouds."""
        ready, log = config.with_suffix(".ready"), config.with_suffix(".out")
        ready.unlink(missing_ok=True)
        command = [PROGRAM, "serve", "-c", str(config), "--ready-file", str(ready)]
        with log.open("w") as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
            try:
                deadline = time.monotonic() + PATIENCE
                while not ready.exists():
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, "the service does not get ready"
                    time.sleep(0.02)
                yield Api(
                    ready.read_text().split()[0],
                    f"type = InfrastructureManager; username = alice; password = a\\n{items}",
                )
                assert process.poll() is None, log.read_text()
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()


@pytest.fixture(scope="session")
def make_site(tmp_path_factory: pytest.TempPathFactory, wheel: Callable[[Path], Path]) -> Callable[..., Site]:
    """Makes sites with the example distribution and others, named by their folders in `distributions`."""

    def make_site(*others: str) -> Site:
        site = Site(tmp_path_factory.mktemp("site"))
        for source in (EXAMPLE, *(DISTRIBUTIONS / name for name in others)):
            site.install(wheel(source))
        return site

    return make_site


@pytest.fixture(scope="session")
def example(make_site: Callable[..., Site]) -> Site:
    """A site with the example distribution alone."""
    return make_site()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    """Writes an im.cfg for a service of its own, with these options."""

    def configure(**options: object) -> Path:
        path = tmp_path / "im.cfg"
        defaults = {
            "DATA_DB": f"sqlite:///{tmp_path}/im.db",
            "LOG_FILE": tmp_path / "im.log",
            "ACTIVATE_XMLRPC": "no",
            "ACTIVATE_REST": "yes",
            "REST_ADDRESS": "127.0.0.1",
            "REST_PORT": 0,
            "MAX_SIMULTANEOUS_LAUNCHES": 4,
        }
        lines = [f"{name} = {value}" for name, value in {**defaults, **options}.items()]
        path.write_text("\n".join(["[im]", *lines, ""]))
        return path

    return configure


class Cloud:
    """The cloud of the example: a process that says what it has."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.credentials = f"id = cloud; type = Example; host = {url}; username = demo; password = demo-password"

    def machines(self) -> list[dict[str, str]]:
        """All machines, as the cloud itself lists them."""
        login = base64.b64encode(b"demo:demo-password").decode()
        machines: list[dict[str, str]] = exchange(
            "GET", f"{self.url}/machines", {"Authorization": f"Basic {login}"}
        ).json
        return machines


@pytest.fixture
def start_cloud() -> Iterator[Callable[..., Cloud]]:
    """Starts clouds, with the arguments of their program."""
    with ExitStack() as stack:

        def start(*arguments: str) -> Cloud:
            command = [sys.executable, str(EXAMPLE / "cloud.py"), "--port", "0", "--boot", "0.2", *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.terminate)
            assert process.stdout
            return Cloud(process.stdout.readline().strip())

        yield start
