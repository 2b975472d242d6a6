"""The file USER_DB: reading it, noticing that it changed, and finding a user in it.

``{"users": [{"username": "…", "password": "…"}, …]}``; a password of the form ``$…$…`` is a hash. A file that is
missing or malformed lets nobody in: half of it is not taken for the whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from imframework_plugins.auth.userdb.passwords import PasswordHash

logger = logging.getLogger("imframework.auth.userdb")

_KEY = secrets.token_bytes(32)
_HASHED = re.compile(r"\$[^$]*\$.*", re.DOTALL)

#: A file whose last change is younger than this (in ns) may change again without its times showing it.
_SETTLING = 100_000_000
_MAX_REMEMBERED = 4096


def fingerprint(username: str, password: str) -> bytes:
    """A keyed digest of a name and password, good in this process.

    Finding digests in a set takes a time that depends on digests under a random key: it tells nothing of the
    passwords, and not which user comes nearest.
    """
    # BLAKE2 has a key of its own, and for short input it does not let other threads in between, as HMAC does: on the
    # path of every request that would mean to wait for them.
    return hashlib.blake2b(f"{username}\0{password}".encode(), key=_KEY, digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Users:
    """What one version of the file says."""

    plain: frozenset[bytes]
    hashed: dict[str, tuple[PasswordHash, ...]]
    _verified: set[bytes] = field(default_factory=set)

    def admit(self, username: str, password: str) -> bool:
        """Whether a user of this name has this password.

        Where there are hashes, refusing takes the time of one for known and unknown names alike. A verified password
        is remembered, as a fingerprint, as long as this version of the file is.
        """
        mark = fingerprint(username, password)
        if mark in self.plain or mark in self._verified:
            return True
        if not self.hashed:
            return False
        known = self.hashed.get(username)
        if known is None:
            next(iter(self.hashed.values()))[0].verify(password)
            return False
        if not any(candidate.verify(password) for candidate in known):
            return False
        if len(self._verified) >= _MAX_REMEMBERED:
            self._verified.clear()
        self._verified.add(mark)
        return True


@dataclass(frozen=True, slots=True)
class _Reading:
    """A version of the file. `stamp` is None if it must be read again; `users` is None if it lets nobody in."""

    stamp: tuple[int, ...] | None = None
    users: Users | None = None
    problem: str = ""


class UserFile:
    """The file at `path`, read again whenever it has changed. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._reading = _Reading()
        self.current()

    def current(self) -> Users | None:
        """The users; None if the file is missing or malformed, which the log then says once."""
        reading = self._reading
        if reading.stamp is None or reading.stamp != self._stamp():
            with self._lock:
                previous, reading = self._reading, self._read()
                if reading.problem != previous.problem:
                    self._log(reading.problem)
                self._reading = reading
        return reading.users

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            return _stamp(os.stat(self._path))
        except OSError:
            return None

    def _read(self) -> _Reading:
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):  # opening a pipe would wait for its writer
                return _Reading(problem="it is not a file")
            with open(self._path, "rb") as file:
                stamp = _stamp(os.fstat(file.fileno()))
                content = file.read()
                after = os.fstat(file.fileno())
        except OSError as error:
            return _Reading(problem=error.strerror or type(error).__name__)
        settled = stamp == _stamp(after) and time.time_ns() - after.st_ctime_ns > _SETTLING
        try:
            return _Reading(stamp if settled else None, parse(content))
        except ValueError as error:
            return _Reading(stamp if settled else None, None, str(error))

    def _log(self, problem: str) -> None:
        if problem:
            logger.error("USER_DB %s: %s. All user names and passwords are refused.", self._path, problem)
        else:
            logger.info("USER_DB %s is in order again.", self._path)


def parse(content: bytes) -> Users:
    """The users in the content of the file. `ValueError` says what is wrong and where, without a value."""
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON that can be read") from None
    entries = document.get("users") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('it must be an object with an array "users"')
    return _users(entries)


def _users(entries: Iterable[object]) -> Users:
    plain: set[bytes] = set()
    hashed: defaultdict[str, tuple[PasswordHash, ...]] = defaultdict(tuple)
    for number, entry in enumerate(entries, 1):
        username, password = _pair(entry, number)
        if _HASHED.fullmatch(password):
            try:
                hashed[username] += (PasswordHash.parse(password),)
            except ValueError as error:
                raise ValueError(f"the password of user {number} {error}") from None
        else:
            plain.add(fingerprint(username, password))
    return Users(frozenset(plain), dict(hashed))


def _pair(entry: object, number: int) -> tuple[str, str]:
    """Name and password of one entry."""
    if isinstance(entry, dict):
        username, password = entry.get("username"), entry.get("password")
        if isinstance(username, str) and isinstance(password, str) and username and password:
            try:
                f"{username}{password}".encode()
            except UnicodeEncodeError:
                raise ValueError(f"the name or password of user {number} is not Unicode text") from None
            return username, password
    raise ValueError(f'user {number} needs a "username" and a "password", both text and not empty')


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
