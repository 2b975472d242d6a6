"""Real machines for real Ansible: OpenSSH daemons of the current user on loopback addresses, and jobs for them."""

from __future__ import annotations

import asyncio
import inspect
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imframework.api.model import Access
from imframework.contextualization import Sandbox, ServerConfigurator, choose_sandbox
from imframework.core.ports import Job, Progress, Report, Target, Task
from imframework.languages import radl
from imframework.remote import KeyPair, generate_key_pair

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@dataclass
class Machine:
    """One daemon. Whatever is run over SSH has `home` as HOME."""

    home: Path
    access: Access
    daemon: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """End the daemon, and what was started over SSH: that outlives its connection."""
        self.daemon.kill()
        self.daemon.wait()
        for pid in _processes_with(str(self.home.parent)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def read(self, name: str) -> str:
        """A file of its home; empty if absent."""
        path = self.home / name
        return path.read_text() if path.exists() else ""


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def start_machine() -> Callable[..., Machine]:
    """Starts one machine; whoever calls it stops it."""
    if SSHD is None:
        pytest.skip("needs an OpenSSH server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    return _machine


def _machine(folder: Path, address: str, key: KeyPair, wrapper: Sequence[str] = ()) -> Machine:
    """In `folder`, which is new; `wrapper` is what the daemon is started by, if it is not started as it is."""
    home = folder / "home"
    home.mkdir(parents=True)
    host_key = generate_key_pair()
    (folder / "host_key").write_text(host_key.private)
    (folder / "host_key").chmod(0o600)
    (folder / "authorized_keys").write_text(key.public + "\n")
    command = folder / "command.sh"
    command.write_text(f"""#!/bin/sh
export HOME={home}; cd "$HOME"
case "$SSH_ORIGINAL_COMMAND" in
  */sftp-server|internal-sftp) exec /usr/lib/openssh/sftp-server -d "$HOME";;
  *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND";;
esac
""")
    command.chmod(0o755)
    port = _free_port(address)
    config = folder / "sshd_config"
    config.write_text(f"""\
ListenAddress {address}
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp /usr/lib/openssh/sftp-server
ForceCommand {command}
# The login shell must not take the time to read its start-up files.
SetEnv SHLVL=2
PermitTTY no
PrintMotd no
""")
    with (folder / "sshd.log").open("wb") as log:
        command_line = [*wrapper, str(SSHD), "-D", "-e", "-f", str(config)]
        daemon = subprocess.Popen(command_line, stderr=log, start_new_session=True)
    access = Access(
        address=address,
        port=port,
        host_key=host_key.public,
        private_key=key.private,
        # As no user is named, Ansible takes "~" for the HOME of the session.
        ssh_options={"User": pwd.getpwuid(os.geteuid()).pw_name},
        privileged=False,
    )
    machine = Machine(home, access, daemon)
    try:
        _await_port(machine)
    except BaseException:
        machine.stop()
        raise
    return machine


@pytest.fixture(scope="session")
def machines(start_machine: Callable[..., Machine]) -> Iterator[list[Machine]]:
    """Three machines that accept one key."""
    key = generate_key_pair()
    network = f"127.{random.randrange(100, 200)}.{random.randrange(256)}"
    with TemporaryDirectory(prefix="im-machines-") as name:
        started = []
        try:
            for number in range(3):
                started.append(start_machine(Path(name) / str(number), f"{network}.{number + 1}", key))
            yield started
        finally:
            for machine in started:
                machine.stop()


def _await_port(machine: Machine) -> None:
    for _ in range(100):
        try:
            socket.create_connection((machine.access.address, machine.access.port), 5).close()
        except OSError:
            assert machine.daemon.poll() is None, "sshd ended"
            time.sleep(0.05)
        else:
            return
    pytest.fail("sshd does not listen")


@dataclass
class Cluster:
    """A front node (number 0) and two workers (1 and 2), with empty homes, and jobs for them."""

    machines: Sequence[Machine]
    runs_dir: Path

    def host(self, number: int) -> str:
        """The name of a machine in the inventory."""
        return f"{self.machines[number].access.address}_{number}"

    def job(
        self,
        document: str,
        *,
        run_id: str = "run",
        seconds: float = 120,
        accesses: dict[int, Access] | None = None,
        **changes: object,
    ) -> Job:
        """A job that configures all machines as a document says (recipes only: systems and networks are added)."""
        parsed = radl.parse(
            f"""
            network net (outbound = 'yes')
            system front (net_interface.0.connection = 'net' and net_interface.0.dns_name = 'front')
            system worker (net_interface.0.connection = 'net' and net_interface.0.dns_name = 'worker-#N#')
            {document}
            deploy front 1
            deploy worker 2
        """.replace("            ", "")
        )
        numbers = {"front": (0,), "worker": (1, 2)}
        targets = tuple(
            Target(
                number=number,
                system=system,
                access=(accesses or {}).get(number, self.machines[number].access),
                facts={"net_interface.0.ip": self.machines[number].access.address},
                cloud_type="Local",
                cloud_id=f"m{number}",
            )
            for system, some in numbers.items()
            for number in some
        )
        tasks = [Task("basic", 1, system, some) for system, some in numbers.items()]
        tasks += [Task(f"main_{system}", 2, system, some) for system, some in numbers.items()]
        for step in radl.contextualization_plan(parsed).steps:
            for run in step.runs:
                name, body = f"{run.configure}_{run.system}", parsed.configures[run.configure].body
                tasks.append(Task(name, 3 + step.number, run.system, numbers[run.system], run.configure, body))
        job = Job(run_id, "infrastructure", parsed, targets, tuple(tasks), time.time() + seconds)
        return replace(job, **changes)  # type: ignore[arg-type]


@pytest.fixture
def cluster(machines: list[Machine], tmp_path: Path) -> Cluster:
    """The machines, with nothing in their homes."""
    for machine in machines:
        shutil.rmtree(machine.home)
        machine.home.mkdir()
    return Cluster(machines, tmp_path / "runs")


class Log:
    """Reports as they come in. `on` has something done when a text appears in a log."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._reactions: list[tuple[str, Callable[[], object]]] = []

    async def __call__(self, reports: list[Report]) -> None:
        self.reports += reports
        for report in reports:
            for reaction in list(self._reactions):
                if reaction[0] in report.text:
                    self._reactions.remove(reaction)
                    reaction[1]()

    def on(self, text: str, action: Callable[[], object]) -> None:
        """Call `action` once, when `text` is first reported."""
        self._reactions.append((text, action))

    def text(self, vm: int | None = None) -> str:
        """The log of a machine, or of the infrastructure."""
        return "".join(report.text for report in self.reports if report.kind is Progress.LOG and report.vm == vm)

    def of(self, kind: Progress) -> list[tuple[int | None, str]]:
        """Machine and task of all reports of a kind, in order."""
        return [(report.vm, report.task) for report in self.reports if report.kind is kind]

    def failures(self) -> dict[tuple[int | None, str], str]:
        """The message of each failed task, by machine and task."""
        return {
            (report.vm, report.task): report.message for report in self.reports if report.kind is Progress.TASK_FAILED
        }

    def end(self) -> str | None:
        """Message of the last report if that is FINISHED."""
        last = self.reports[-1]
        return last.message if last.kind is Progress.FINISHED else None

    def position(self, kind: Progress, vm: int, task: str) -> int:
        """Where a report stands among all."""
        return next(
            position
            for position, report in enumerate(self.reports)
            if (report.kind, report.vm, report.task) == (kind, vm, task)
        )


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(scope="session")
def sandboxes() -> Callable[..., Sandbox]:
    """Sandboxes by name; skips the test where one is not possible."""

    def choose(kind: str, runs_dir: Path, **options: object) -> Sandbox:
        from imframework.api.errors import ConfigurationError

        try:
            return choose_sandbox(kind, runs_dir=runs_dir, **options)  # type: ignore[arg-type]
        except ConfigurationError as error:
            if "not installed" in str(error) or "as root" in str(error):
                pytest.skip(str(error))
            raise

    return choose


@pytest.fixture
def configurator(cluster: Cluster, sandboxes: Callable[..., Sandbox]) -> ServerConfigurator:
    """One that runs everything in the sandbox of a service."""
    return ServerConfigurator(cluster.runs_dir, sandboxes("auto", cluster.runs_dir))


def _processes_with(text: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            content = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if text.encode() in content:
            found.append(int(name))
    return found


@pytest.fixture(scope="session")
def processes_with() -> Callable[[str], list[int]]:
    """Finds living processes by a text in their command line or environment."""
    return _processes_with


@pytest.fixture(scope="session")
def shared_python() -> Iterator[str]:
    """An interpreter with this environment's Ansible that every user may run."""
    system = "/usr/bin/python3"
    version = subprocess.run([system, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
    if version.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip("the system's Python is another version than this one")
    import ansible

    packages = Path(ansible.__file__).parents[1]
    if not all(folder.stat().st_mode & 0o001 for folder in (packages, *packages.parents)):
        pytest.skip("other users cannot read these packages")
    with TemporaryDirectory(prefix="im-python-") as name:
        subprocess.run([system, "-m", "venv", "--without-pip", name], check=True)
        Path(name).chmod(0o755)
        target = Path(name, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        (target / "shared.pth").write_text(f"{packages}\n")
        yield f"{name}/bin/python"
