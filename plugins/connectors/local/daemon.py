"""The SSH daemon of a machine: its configuration, its start, and whether it runs and listens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from imframework.api.errors import CloudRefused, CloudUnavailable

from . import host
from .folder import Folder, Record
from .processes import Process, boot_id, process, wait_for_end

#: Seconds a start waits for the daemon to listen. It takes some tens of milliseconds; a busy host may need longer,
#: and then the machine is still starting when the start returns.
LISTENS_WITHIN = 1.0
#: Seconds after which a launcher that does not come back is given up.
LAUNCHED_WITHIN = 10.0
_LOOK_EVERY = 0.005
_LAUNCHER = Path(__file__).with_name("launch.py")

#: Marks every process of a machine in its environment.
MARK = "IM_LOCAL_MACHINE"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: What sshd runs for every session, through the login shell of the account.
_SESSION = """\
cd "$HOME" || exit 1
if [ -n "$SSH_ORIGINAL_COMMAND" ]; then
  exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
fi
exec "${SHELL:-/bin/sh}" -l
"""

_MISSING_FOLDER = re.compile(r"Missing privilege separation directory: (/\S+)")


def mark(folder: Folder) -> bytes:
    """The variable that every process of a machine is started with."""
    return f"{MARK}={folder.id}".encode()


def running(folder: Folder) -> Process | None:
    """The daemon that was started last, if it still runs."""
    try:
        boot, pid, started = folder.run_file.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    found = process(int(pid))
    return found if found is not None and found.started == int(started) and boot == boot_id() else None


def started_ever(folder: Folder) -> bool:
    """Whether a daemon was ever started."""
    return folder.run_file.exists()


def listens(folder: Folder, daemon: Process) -> bool:
    """Whether a running daemon takes connections: it writes its id only after it has bound its address."""
    try:
        return folder.pid_file.read_text(encoding="ascii").strip() == str(daemon.pid)
    except FileNotFoundError:
        return False


def start(folder: Folder, record: Record, lock: int) -> None:
    """Start the daemon and wait a moment for it to listen. The caller holds the machine's lock (`lock`).

    Raises:
        imframework.api.errors.CloudUnavailable: it ended at once; nothing runs.
    """
    sshd = host.sshd()
    if not sshd:
        raise CloudRefused("OpenSSH's sshd is not installed on this host any more.")
    _configure(folder, record, sshd)
    seen = folder.log.stat().st_size if folder.log.exists() else 0
    if _launch(folder, sshd, lock):
        return
    complaint = _log_from(folder, seen)
    # Debian and others make this folder when the system's own daemon starts, which it may never have.
    if (missing := _MISSING_FOLDER.search(complaint)) and os.getuid() == 0:
        os.makedirs(missing[1], mode=0o755, exist_ok=True)
        seen = folder.log.stat().st_size
        if _launch(folder, sshd, lock):
            return
        complaint = _log_from(folder, seen)
    raise CloudUnavailable(f"The SSH daemon does not start: {complaint or 'it gives no reason'}")


def _launch(folder: Folder, sshd: str, lock: int) -> bool:
    """Start the daemon; False if it has ended before it listened."""
    folder.pid_file.unlink(missing_ok=True)
    command = [sshd, "-D", "-f", str(folder.config), "-E", str(folder.log)]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(folder.run_file), str(folder.log), str(lock)]
    try:
        answer = subprocess.run(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": _SEARCH_PATH},
            pass_fds=(lock,),
            start_new_session=True,
            timeout=LAUNCHED_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CloudUnavailable(f"The SSH daemon cannot be launched ({type(error).__name__}).") from error
    if answer.returncode != 0:
        raise CloudUnavailable(f"The SSH daemon cannot be launched: {answer.stderr.decode(errors='replace')[-200:]}")
    return comes_up(folder)


def comes_up(folder: Folder) -> bool:
    """Whether the daemon runs; if so, it is given a moment to listen."""
    deadline = time.monotonic() + LISTENS_WITHIN
    while (daemon := running(folder)) is not None:
        if listens(folder, daemon) or time.monotonic() > deadline:
            return True
        wait_for_end(daemon, _LOOK_EVERY)
    return False


def _log_from(folder: Folder, offset: int) -> str:
    """What the daemon has logged since; without the paths of this host."""
    with folder.log.open("rb") as log:
        log.seek(offset)
        text = log.read(4096).decode(errors="replace")
    return " ".join(text.replace(f"{folder.path}/", "").split())


def _configure(folder: Folder, record: Record, sshd: str) -> None:
    """Write everything the daemon needs. It is made anew for each start, so a lost or old file does no harm."""
    for path in (folder.etc, folder.home, folder.tmp):
        path.mkdir(mode=0o700, exist_ok=True)
    texts = {
        folder.host_key: record.identity,
        folder.authorized_keys: f"{record.spec['public_key']}\n",
        folder.session: _SESSION,
        folder.config: _configuration(folder, record, sshd),
    }
    for path, text in texts.items():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _configuration(folder: Folder, record: Record, sshd: str) -> str:
    environment = {
        "HOME": str(folder.home),
        "TMPDIR": str(folder.tmp),
        "PATH": _SEARCH_PATH,
        MARK: folder.id,
        "IM_LOCAL_NAME": re.sub(r"[^\w.-]", "-", record.name),
    }
    lines = [
        f"ListenAddress {record.address}",
        f"Port {record.port}",
        f"HostKey {folder.host_key}",
        f"PidFile {folder.pid_file}",
        f"AuthorizedKeysFile {folder.authorized_keys}",
        "AuthenticationMethods publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "StrictModes no",
        "UsePAM no",
        "UseDNS no",
        # A bash that takes itself for the first one under sshd reads .bashrc before every command.
        f"SetEnv SHLVL=2 {' '.join(f'{name}={value}' for name, value in environment.items())}",
        "AcceptEnv LANG LC_*",
        f"ForceCommand /bin/sh {folder.session}",
        f"PermitTTY {'yes' if host.terminals() else 'no'}",
        "PermitUserRC no",
        "PrintMotd no",
        "PrintLastLog no",
        # Ansible opens many connections at once, all of them from 127.0.0.1.
        "MaxStartups 200",
        "MaxSessions 200",
    ]
    if os.getuid() == 0:
        lines.append(f"AllowUsers {host.account()}")
    if host.sshd_knows(sshd, "PerSourcePenalties=no"):
        lines.append("PerSourcePenalties no")
    if server := host.sftp_server():
        lines.append(f"Subsystem sftp {server}")
    return "\n".join(lines) + "\n"
