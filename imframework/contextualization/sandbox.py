"""Confinement of agents: a recipe can execute anything where Ansible runs, and here that is the host of the service.

In a sandbox it sees the system, the interpreter that has Ansible and its own run folder: not the database, keys or
configuration of the service, not other runs, not the processes of the service. The network stays, as that is what
Ansible is for: what listens on this host must not trust whoever connects from it.

* `Bubblewrap`: namespaces of its own, made by bwrap. Needs nothing but unprivileged user namespaces, or root.
* `OtherUser`: the rights of another user; for services that run as root where namespaces cannot be had.
* `NoSandbox`: for single users, whose recipes may do what they may.

Every sandbox outlives the service: the agent in it goes on, and is found again by the lock it holds.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imframework.agent.agent
from imframework.api.errors import ConfigurationError, IMError
from imframework.contextualization import processes

AGENT = Path(imframework.agent.agent.__file__)

#: The user that agents of a service of root become within namespaces. No account has it.
UNPRIVILEGED = 1_900_000_000

_WRITABLE = ("/tmp", "/dev/shm")  # noqa: S108 - those of the sandbox
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINKED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")

#: What programs need of /etc; the rest may hold anything.
_ETC = (
    *(
        "alternatives",
        "ca-certificates",
        "crypto-policies",
        "gai.conf",
        "host.conf",
        "hostname",
        "hosts",
        "ld.so.cache",
    ),
    *("ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "os-release", "pki", "protocols"),
    *("resolv.conf", "services", "ssl", "timezone"),
)

#: Said by the probe when something can be read that must not be.
_EXPOSED = 77
_PROBE = f"""
import os, shutil, sys
import ansible
if not shutil.which("ssh"):
    sys.exit("there is no ssh")
if not os.access(sys.executable, os.X_OK):
    sys.exit(f"{sys.executable} cannot be executed by whom recipes run as")
folder, agent, *hidden = sys.argv[1:]
open(agent).close()
os.listdir(os.path.join(os.path.dirname(agent), "callbacks"))
open(os.path.join(folder, "written"), "w").close()
def files(path):
    try:
        return [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    except OSError:
        return []
exposed = [path for root in hidden for path in files(root) if os.path.isfile(path) and os.access(path, os.R_OK)]
sys.stderr.write(", ".join(exposed))
sys.exit({_EXPOSED} if exposed else 0)
"""


class Unavailable(Exception):
    """A sandbox does not work here; the message says why."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that runs agents, and the folders that must be there for it and for Ansible."""

    path: str
    folders: tuple[str, ...]

    @classmethod
    def inspect(cls, path: str) -> Interpreter:
        """Ask an interpreter. Raises ConfigurationError if it has no Ansible."""
        question = (
            "import os, sys, ansible; print(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, "
            "os.path.dirname(os.path.realpath(sys.executable)), "
            "os.path.dirname(os.path.dirname(os.path.realpath(ansible.__file__))), sep='\\n')"
        )
        answer = subprocess.run([path, "-I", "-c", question], capture_output=True, text=True, check=False, timeout=60)
        if answer.returncode:
            raise ConfigurationError(f"{path} cannot run Ansible: {_last_line(answer.stderr)}")
        return cls(path, tuple(dict.fromkeys(answer.stdout.split("\n")[:-1])))


class Sandbox(ABC):
    """How agents are started and kept in."""

    name: str

    #: Access to the folder that all run folders are in.
    runs_dir_mode = 0o700

    def __init__(self, interpreter: Interpreter, hidden: Iterable[Path] = ()) -> None:
        """`hidden` are files and folders that nothing inside may read, whatever else is visible."""
        self.interpreter = interpreter
        self.hidden = tuple(Path(os.path.abspath(path)) for path in hidden)

    @abstractmethod
    def owner(self, taken: Collection[int]) -> int | None:
        """The user a new run folder is to belong to; None if all there are have one (`taken`)."""

    @abstractmethod
    def command(self, folder: Path, command: Sequence[str], stack: ExitStack) -> tuple[list[str], list[int]]:
        """A command confined, and the descriptors it inherits, which `stack` closes."""

    def end_strays(self, folder: Path) -> bool:
        """End what is left of a run whose agent is gone; whether that worked. Blocks."""
        return processes.end(lambda: imframework.agent.agent.strays(str(folder)))

    def start(self, folder: Path) -> processes.AgentProcess:
        """Start the agent of a run folder. Blocks for milliseconds.

        Raises:
            imframework.api.errors.IMError: it cannot be started.
        """
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller
        try:
            child = self._popen(folder, [self.interpreter.path, "-I", "-B", str(AGENT), str(folder)], errors)
        except OSError as error:
            errors.close()
            raise IMError(f"The configuration agent cannot be started: {error.strerror}") from error
        return processes.AgentProcess(child.pid, child, errors)

    def _popen(self, folder: Path, command: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            confined, descriptors = self.command(folder, command, stack)
            return subprocess.Popen(
                confined,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
                cwd="/",
                pass_fds=descriptors,
                start_new_session=True,
                umask=0o077,
            )

    def check(self, runs_dir: Path) -> None:
        """Try it: start a program inside, and have it look for what is hidden. Raises `Unavailable`. Blocks."""
        make_runs_dir(runs_dir, self)
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=runs_dir) as name:
            folder = Path(name)
            give(folder, self.owner(()))
            probe = [self.interpreter.path, "-I", "-B", "-c", _PROBE, name, str(AGENT), *map(str, self.hidden)]
            with tempfile.TemporaryFile() as errors:
                try:
                    status = self._popen(folder, probe, errors).wait(30)
                except (OSError, subprocess.TimeoutExpired) as error:
                    raise Unavailable(f"{self.name}: {error}") from error
                errors.seek(0)
                said = errors.read().decode(errors="replace")
        if status == _EXPOSED:
            raise Unavailable(f"{self.name} would leave readable what must not be: {said}")
        if status:
            raise Unavailable(f"{self.name} does not work here: {_last_line(said)}")


class NoSandbox(Sandbox):
    """None at all."""

    name = "none"

    def owner(self, taken: Collection[int]) -> int | None:
        """See `Sandbox`."""
        return os.geteuid()

    def command(self, folder: Path, command: Sequence[str], stack: ExitStack) -> tuple[list[str], list[int]]:
        """See `Sandbox`."""
        return list(command), []


class Bubblewrap(Sandbox):
    """Mount and process namespaces. The agent is the first process in them: when it ends, all end."""

    name = "bubblewrap"

    def owner(self, taken: Collection[int]) -> int | None:
        """See `Sandbox`."""
        return UNPRIVILEGED if os.geteuid() == 0 else os.geteuid()

    def command(self, folder: Path, command: Sequence[str], stack: ExitStack) -> tuple[list[str], list[int]]:
        """See `Sandbox`."""
        user = self.owner(())
        accounts = {
            "/etc/passwd": f"im:x:{user}:{user}::{folder}/home:/bin/sh\n",
            "/etc/group": f"im:x:{user}:\n",
        }
        arguments = ["bwrap", "--new-session", "--as-pid-1", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        arguments += ["--unshare-cgroup-try", *self._system(), *self._folders(folder)]
        descriptors = []
        for path, text in accounts.items():
            # Given by value: a file in the run folder could be made a link to something else between two starts.
            descriptor = os.memfd_create(path)
            stack.callback(os.close, descriptor)
            os.write(descriptor, text.encode())
            os.lseek(descriptor, 0, os.SEEK_SET)
            descriptors.append(descriptor)
            arguments += ["--perms", "0644", "--ro-bind-data", str(descriptor), path]
        if os.geteuid() == 0:
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
                arguments += ["--cap-add", capability]
            command = [*_as_user(UNPRIVILEGED, UNPRIVILEGED), *command]
        else:
            arguments.append("--unshare-user")
        return [*arguments, "--", *command], descriptors

    def _system(self) -> list[str]:
        """The system, read only."""
        arguments = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
        for path in _WRITABLE:
            arguments += ["--perms", "1777", "--tmpfs", path]
        for path in _LINKED:
            if os.path.islink(path):
                arguments += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path):
                arguments += ["--ro-bind", path, path]
        arguments += ["--perms", "0755", "--dir", "/etc"]
        for name in _ETC:
            path = os.path.realpath(f"/etc/{name}")
            if os.path.exists(path):
                arguments += ["--ro-bind", path, f"/etc/{name}"]
        return arguments

    def _folders(self, folder: Path) -> list[str]:
        """What is ours: interpreter and agent read only, the run folder, and nothing in place of what is hidden."""
        folders = [*map(Path, self.interpreter.folders), AGENT.parent]
        visible = [path for path in dict.fromkeys(folders) if not path.is_relative_to("/usr")]
        above = {parent for path in visible for parent in path.parents} - {Path("/"), *map(Path, _WRITABLE)}
        arguments = []
        for path in sorted(above):
            arguments += ["--perms", "0755", "--dir", str(path)]
        for path in visible:
            arguments += ["--ro-bind", str(path), str(path)]
        for path in (*self.hidden, folder.parent):
            if any(path.is_relative_to(parent) for parent in (*visible, Path("/usr"))) and path.exists():
                arguments += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
        for path in sorted({*folder.parents} - {Path("/")}):  # what was hidden just now can be one of them
            arguments += ["--perms", "0755", "--dir", str(path)]
        return [*arguments, "--bind", str(folder), str(folder)]


class OtherUser(Sandbox):
    """Users that exist for this: each has one run at a time, as runs of one user could read each other."""

    name = "uid"
    runs_dir_mode = 0o711

    def __init__(self, interpreter: Interpreter, users: Sequence[str], hidden: Iterable[Path] = ()) -> None:
        """`users` are names or numbers of accounts that own nothing and run nothing else.

        Raises:
            imframework.api.errors.ConfigurationError: no such account, or not one to use.
        """
        super().__init__(interpreter, hidden)
        self._accounts = {account.pw_uid: account for account in map(_account, users)}

    def owner(self, taken: Collection[int]) -> int | None:
        """See `Sandbox`."""
        return next((uid for uid in self._accounts if uid not in taken), None)

    def command(self, folder: Path, command: Sequence[str], stack: ExitStack) -> tuple[list[str], list[int]]:
        """See `Sandbox`."""
        account = self._accounts[folder.stat().st_uid]
        return [*_as_user(account.pw_uid, account.pw_gid), *command], []

    def end_strays(self, folder: Path) -> bool:
        """See `Sandbox`. The user runs nothing else, so all of it goes."""
        uid = folder.stat().st_uid
        return uid not in self._accounts or processes.end(lambda: _processes_of(uid))


def choose_sandbox(
    kind: str, *, runs_dir: Path, hidden: Iterable[Path] = (), users: Sequence[str] = (), python: str = sys.executable
) -> Sandbox:
    """The sandbox that an operator asks for: ``auto``, ``bubblewrap``, ``uid`` or ``none``, tried out. Blocks.

    Raises:
        imframework.api.errors.ConfigurationError: it does not work here; for ``auto``, none of the real ones does.
    """
    interpreter, hidden = Interpreter.inspect(python), tuple(hidden)
    if kind == "none":
        return NoSandbox(interpreter, hidden)
    reasons = []
    for name in ("bubblewrap", "uid") if kind == "auto" else (kind,):
        try:
            sandbox = _sandbox(name, interpreter, users, hidden)
            sandbox.check(runs_dir)
        except Unavailable as unavailable:
            reasons.append(str(unavailable))
        else:
            return sandbox
    raise ConfigurationError(
        "Recipes cannot be run on this host, as there is no sandbox for them: " + "; ".join(reasons)
    )


def _sandbox(name: str, interpreter: Interpreter, users: Sequence[str], hidden: Iterable[Path]) -> Sandbox:
    if name == "bubblewrap":
        if shutil.which("bwrap", path=_PATH) is None:
            raise Unavailable("bubblewrap is not installed")
        return Bubblewrap(interpreter, hidden)
    if os.geteuid() != 0:
        raise Unavailable("uid needs a service that runs as root")
    if not users:
        raise Unavailable("uid needs users to run as, and none is configured")
    if shutil.which("setpriv", path=_PATH) is None:
        raise Unavailable("uid needs setpriv of util-linux, which is not installed")
    return OtherUser(interpreter, users, hidden)


def make_runs_dir(runs_dir: Path, sandbox: Sandbox) -> None:
    """Make the folder for run folders, if need be, and set its access."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    runs_dir.chmod(sandbox.runs_dir_mode)


def give(folder: Path, uid: int | None) -> None:
    """Give a folder, and all in it, to a user (None: to nobody else)."""
    if uid is None or uid == os.geteuid():
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid)


def _as_user(uid: int, gid: int) -> list[str]:
    dropped = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", *dropped]


def _account(name: str) -> pwd.struct_passwd:
    try:
        account = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(f"there is no user {name} to run recipes as") from None
    if account.pw_uid in (0, os.geteuid()):
        raise ConfigurationError(f"recipes cannot be confined as user {name}: that is root, or the service itself")
    return account


def _processes_of(uid: int) -> list[int]:
    """Every process that runs as a user, on its own account or by a setuid program."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                status = Path(f"/proc/{name}/status").read_text(errors="replace")
            except OSError:
                continue  # ended meanwhile
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if str(uid) in fields["Uid"].split() and not fields["State"].strip().startswith("Z"):
                found.append(int(name))
    return found


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a message"])[-1]
