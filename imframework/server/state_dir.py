"""The directory in which one instance of the service keeps what is its own: its name, its key, its run folders.

A lock on it makes sure that it belongs to one process at a time. So a service that was killed finds its own leases
again under its own name, at once, and no second one can have taken the name meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from imframework.api.errors import ConfigurationError


class StateDir:
    """A locked state directory; `close` (or leaving the context) unlocks it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make(path)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.instance = self._name()
        except BlockingIOError:
            self.close()
            raise ConfigurationError(f"STATE_DIR: another instance of the service is running in {path}") from None
        except OSError as error:
            self.close()
            raise _unusable(path, error) from None

    def _name(self) -> str:
        """The name of this instance among all that share the database; made at the first start."""
        file = self.path / "instance"
        with suppress(FileNotFoundError):
            if name := file.read_text(encoding="ascii").strip():
                return name
        name = uuid.uuid4().hex
        fresh = file.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(name + "\n", encoding="ascii")
        fresh.replace(file)
        return name

    def directory(self, name: str) -> Path:
        """A directory of ours inside, readable by nobody else."""
        path = self.path / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unusable(path, error) from None
        return path

    def close(self) -> None:
        """Give the directory free."""
        os.close(self._lock)

    def __enter__(self) -> StateDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _make(path: Path) -> None:
    """Make the directory if there is none: one that others can pass through and not look into.

    The users that recipes run as in the sandbox `uid` have their folders inside; all else in there protects itself.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return
    path.chmod(0o711)


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"STATE_DIR: {path} cannot be used: {error.strerror}")
