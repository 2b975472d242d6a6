"""The folder of one machine: where its things are, its record, and the lock that orders what is done to it.

machine.json   the record: all that is needed to make everything else again; written whole and durably
lock           held while the machine is changed
run            which process the daemon started last is (see `launch`)
etc/           configuration of the daemon, written at each start
home/, tmp/    HOME and TMPDIR of whoever logs in
sshd.log, sshd.pid    of the daemon; it writes sshd.pid when it listens
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from imframework.api.errors import CloudError
from imframework.api.model import JSON


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a machine.

    `host_key` and `identity` are the public and the private key it identifies itself with; `on` is the power wanted.
    """

    token: str
    infrastructure: str
    name: str
    address: str
    port: int
    host_key: str
    identity: str = field(repr=False)
    spec: Mapping[str, JSON] = field(default_factory=dict)
    on: bool = True


def machine_id(token: str) -> str:
    """The id of the machine made with a token: the name of its folder."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


class Folder:
    """Paths and record of one machine; the machine need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.record_file = path / "machine.json"
        self.lock_file = path / "lock"
        self.run_file = path / "run"
        self.etc = path / "etc"
        self.config = self.etc / "sshd_config"
        self.host_key = self.etc / "host_key"
        self.authorized_keys = self.etc / "authorized_keys"
        self.session = self.etc / "session"
        self.home = path / "home"
        self.tmp = path / "tmp"
        self.log = path / "sshd.log"
        self.pid_file = path / "sshd.pid"

    def record(self) -> Record | None:
        """The record; None if there is no such machine.

        Raises:
            imframework.api.errors.CloudError: there is one, but somebody has damaged it.
        """
        try:
            return Record(**json.loads(self.record_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            if self.path.exists():
                raise CloudError(f"The record of machine {self.id} is missing.") from None
            return None
        except (ValueError, TypeError):
            raise CloudError(f"The record of machine {self.id} is damaged.") from None

    def write(self, record: Record) -> None:
        """Store the record: when this returns, it survives the loss of power."""
        new = self.record_file.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.record_file)
        fsync_folder(self.path)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the machine's lock; its file descriptor.

        Raises:
            FileNotFoundError: there is no such machine (any more).
        """
        with exclusive(self.lock_file) as lock:
            yield lock


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the lock that a file stands for, against other threads and processes; its file descriptor.

    It is given back when the last copy of the descriptor is closed, so also when the process ends.

    Raises:
        FileNotFoundError: the folder of the file does not exist (any more).
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file we have locked is still the one that others will lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def fsync_folder(path: Path) -> None:
    """Make renames and new names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
