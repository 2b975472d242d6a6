"""Secrets at rest: one key file, what is sealed with it, and the keyed hashes by which owners are found.

The file holds two sorts of keys, and they live differently:

* *sealing keys* encrypt (Fernet: AES-CBC with HMAC). The first one seals, all of them open, so that `rotate` puts a new
  one in front at any time and what older ones sealed stays readable until it is sealed again.
* the *index key* never encrypts. From it (HKDF) comes the key of the HMAC that turns an owner into the opaque text
  stored in the searchable columns. It is made once and never rotated: another index key would give every owner another
  name in the database, and everybody's infrastructures would be lost to them. Should it ever have to change, owners
  must be hashed anew from their sealed identities, infrastructure by infrastructure.

What is sealed carries its context (the infrastructure's id) inside the ciphertext: moved to another infrastructure's
row it is refused. The file is not in the database on purpose. Whoever has only one of the two has nothing; whoever
loses the file has lost all sealed secrets, so it belongs into the backup, apart from the database's.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from imframework.api.errors import ConfigurationError, StorageError
from imframework.api.model import JSON

logger = logging.getLogger("imframework.secrets")

_HEADER = "# Keys of imframework. Keep it secret, keep a copy: without it stored credentials cannot be read."
_INDEX, _SEALING = "index", "sealing"
_OWNER_PURPOSE = b"imframework owner keys 1"

#: Which state of a file was read: its inode and the time of its last change, in ns.
_Stamp = tuple[int, int]


class SecretBox:
    """Seals, opens and hashes with the keys of one file. May be used from several threads."""

    def __init__(self, path: Path, keys: _Keys, stamp: _Stamp) -> None:
        """Use `load`."""
        self._path = path
        self._use(keys, stamp)

    @classmethod
    def load(cls, path: Path, *, create: bool = True) -> Self:
        """The box of a key file, which is made if there is none and `create` allows it.

        A service whose database already holds infrastructures should not allow it: the keys are missing, not new.

        Raises:
            ConfigurationError: the file or its directory cannot be used; the text names it and says why.
        """
        if create and not os.path.lexists(os.path.realpath(path)):
            with _locked_directory(path) as directory:
                if not os.path.lexists(os.path.realpath(path)):  # another process may have been faster
                    _write(path, directory, _Keys.generate())
        keys, status = _read(path)
        return cls(path, keys, _stamp(status))

    def seal(self, value: JSON, context: str) -> str:
        """Encrypt a JSON value for one context; ASCII text."""
        return self._fernet.encrypt(json.dumps([context, value], separators=(",", ":")).encode()).decode()

    def open(self, text: str, context: str) -> JSON:
        """The value that was sealed for this context.

        A key that another process has meanwhile added to the file is found.

        Raises:
            StorageError: sealed with other keys or for another context, or changed since.
        """
        token = text.encode("utf-8", "replace")
        try:
            plain = self._fernet.decrypt(token)
        except InvalidToken:
            if not self._reload():
                raise _unreadable(context) from None
            try:
                plain = self._fernet.decrypt(token)
            except InvalidToken:
                raise _unreadable(context) from None
        sealed_for, value = json.loads(plain)
        if sealed_for != context:
            raise StorageError(f"A secret stored with {context} was sealed for another infrastructure.")
        return value

    def owner_key(self, subject: str) -> str:
        """The opaque name of an owner in the database: the same for ever, and useless without the key file."""
        return hmac.new(self._owner_secret, subject.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def rotate(self) -> None:
        """Put a new sealing key in front; it is in the file, for good, before anything is sealed with it.

        Raises:
            ConfigurationError: the file cannot be replaced; the keys in use stay as they are.
        """
        with _locked_directory(self._path) as directory:
            keys, status = _read(self._path)  # another process may have rotated since we read it
            if keys.index != self._index:
                raise ConfigurationError(f"Key file {self._path}: is not the one that is in use.")
            keys = keys.with_new_sealing_key()
            self._use(keys, _write(self._path, directory, keys, like=status))

    def _reload(self) -> bool:
        """Read the file again if it was replaced; whether there are new keys."""
        try:
            if _stamp(self._path.stat()) == self._stamp:
                return False
            keys, status = _read(self._path)
        except (OSError, ConfigurationError) as error:
            logger.error("the key file was replaced and cannot be read: %s", error)
            return False
        if keys.index != self._index:
            logger.error("the key file was replaced by another one; the keys read at the start stay in use")
            return False
        self._use(keys, _stamp(status))
        return True

    def _use(self, keys: _Keys, stamp: _Stamp) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys.sealing])
        self._owner_secret = HKDF(SHA256(), length=32, salt=None, info=_OWNER_PURPOSE).derive(keys.index)
        self._index = keys.index
        self._stamp = stamp


def _unreadable(context: str) -> StorageError:
    return StorageError(
        f"A secret stored with {context} cannot be opened: it was sealed with keys that are not in the key file, "
        "or it was changed."
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """The contents of a key file."""

    index: bytes = field(repr=False)
    sealing: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def generate(cls) -> _Keys:
        return cls(secrets.token_bytes(32), (Fernet.generate_key(),))

    def with_new_sealing_key(self) -> _Keys:
        return _Keys(self.index, (Fernet.generate_key(), *self.sealing))

    def dump(self) -> str:
        lines = [_HEADER, f"{_INDEX} {base64.urlsafe_b64encode(self.index).decode()}"]
        lines += [f"{_SEALING} {key.decode()}" for key in self.sealing]
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> _Keys:
        """Raises `ValueError` saying in which line what is wrong, without repeating it."""
        found: dict[str, list[bytes]] = {_INDEX: [], _SEALING: []}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, value = line.partition(" ")
            try:
                key = base64.b64decode(value.strip(), altchars=b"-_", validate=True)
            except ValueError:
                key = b""
            if name not in found or len(key) != 32:
                raise ValueError(f"line {number} is not '{_INDEX}' or '{_SEALING}' and a key")
            found[name].append(key)
        if len(found[_INDEX]) != 1 or not found[_SEALING]:
            raise ValueError(f"it must have one '{_INDEX}' line and at least one '{_SEALING}' line")
        return cls(found[_INDEX][0], tuple(base64.urlsafe_b64encode(key) for key in found[_SEALING]))


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_mtime_ns


# --- the file -----------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[_Keys, os.stat_result]:
    """The keys of a file that nobody else can have read or written, and which state of the file that was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, encoding="ascii") as file:
            status = os.fstat(descriptor)
            _check_private(path, status)
            return _Keys.parse(file.read()), status
    except OSError as error:
        raise ConfigurationError(f"Key file {path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"Key file {path}: is not a key file.") from None
    except ValueError as error:
        raise ConfigurationError(f"Key file {path}: {error}.") from None


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"Key file {path}: is not a file.")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigurationError(
            f"Key file {path}: others than its owner can use it (mode {mode:04o}). "
            "If nobody has, run: chmod 600 on it; if somebody may have, rotate the keys too."
        )


@contextmanager
def _locked_directory(path: Path) -> Iterator[int]:
    """Keep other processes from making or replacing the file; its directory must be fit to hold it."""
    directory = os.path.dirname(os.path.realpath(path))
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"Key file {path}: directory {directory}: {error.strerror}.") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ConfigurationError(f"Key file {path}: everybody can write to the directory {directory}.")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    except OSError as error:
        raise ConfigurationError(f"Key file {path}: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def _write(path: Path, directory: int, keys: _Keys, like: os.stat_result | None = None) -> _Stamp:
    """Put the file in place whole and durably, or leave all as it was. `directory` is locked and open."""
    target = Path(os.path.realpath(path))
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)  # left by a process that was killed here; under the lock nobody else uses it
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if like is not None and like.st_uid != os.geteuid():
                os.fchown(descriptor, like.st_uid, like.st_gid)  # rotated by root, used by the service
            file.write(keys.dump())
            file.flush()
            os.fsync(descriptor)
            stamp = _stamp(os.fstat(descriptor))
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    os.fsync(directory)
    return stamp
