"""This host and its user: what machines can be made of, and why none can."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Where daemons are, besides PATH: an ordinary user has no sbin there.
SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The Linux distribution, in the words of os-release."""

    id: str
    version: str
    title: str


def obstacle() -> str:
    """Why this host and user cannot have machines; empty if they can."""
    if platform.system() != "Linux" or not hasattr(os, "pidfd_open"):
        return "it needs Linux 5.3 or newer"
    if not sshd():
        return "OpenSSH's sshd is not installed on this host (package openssh-server)"
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        return f"user id {os.getuid()} has no account on this host, and sshd lets in accounts only"
    if Path(account.pw_shell).name in ("nologin", "false") or not os.access(account.pw_shell or "/bin/sh", os.X_OK):
        return f"account '{account.pw_name}' has no login shell, and sshd starts every session with it"
    if _locked(account.pw_name):
        return f"account '{account.pw_name}' is locked (usermod -U unlocks it), and sshd lets nobody in to such"
    return ""


def _locked(account: str) -> bool:
    """Whether the account is locked, as far as we may know: only root can read that."""
    try:
        lines = Path("/etc/shadow").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith(f"{account}:!") for line in lines)


def account() -> str:
    """Name of the account everything runs as."""
    return pwd.getpwuid(os.getuid()).pw_name


def sshd() -> str:
    """Absolute path of the SSH daemon; empty if there is none."""
    path = shutil.which("sshd", path=f"{SBIN}:{os.environ.get('PATH', os.defpath)}")
    return os.path.abspath(path) if path else ""


@cache
def sshd_knows(daemon: str, option: str) -> bool:
    """Whether an SSH daemon has an option: newer ones have options that older ones refuse to start with."""
    try:
        answer = subprocess.run(
            [daemon, "-T", "-f", os.devnull, "-o", option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=10,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"Bad configuration option" not in answer.stderr


def sftp_server() -> str:
    """Path of the SFTP server; empty if there is none."""
    return next((path for path in SFTP_SERVERS if os.access(path, os.X_OK)), "")


def terminals() -> bool:
    """Whether an SSH daemon of this user can open terminals.

    It insists on terminals that belong to group tty. Where the kernel does not make them so, only root can change it.
    """
    if os.getuid() == 0:
        return True
    try:
        wanted = grp.getgrnam("tty").gr_gid
        ours, theirs = os.openpty()
    except (KeyError, OSError):
        return False
    try:
        return os.fstat(theirs).st_gid == wanted
    finally:
        os.close(ours)
        os.close(theirs)


def cpus() -> int:
    """Number of processors."""
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_space(folder: Path) -> int:
    """Bytes free where a folder is, or will be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def architecture() -> str:
    """Name of the processor architecture, as in ``cpu.arch``."""
    return platform.machine()


def distribution() -> Distribution:
    """The Linux distribution; as empty as its description is."""
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        facts = {}
    return Distribution(facts.get("ID", "linux"), facts.get("VERSION_ID", ""), facts.get("PRETTY_NAME", "Linux"))
