"""The folder all machines live in: which there are, which address is free, how one comes and goes as a whole.

A machine appears and disappears by a rename, so there is never half of one. What a killed process leaves behind has a
name beginning with a dot: ``.new-…`` was never a machine, ``.trash-…`` is none any more.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from imframework.api.errors import CloudError, CloudRefused, QuotaExceeded

from . import images
from .folder import Folder, Record, exclusive, fsync_folder, machine_id

logger = logging.getLogger("imframework.plugins.local")

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What a path may consist of that goes unquoted into sshd's configuration and through any login shell.
_PLAIN_PATH = re.compile(r"[\w/.+@=,:~-]+")


class Site:
    """All machines of one LOCAL_DIR. Several processes may use it at once."""

    def __init__(self, directory: Path, networks: Sequence[Network], port: int) -> None:
        self.directory = directory
        self.networks = networks
        self.port = port
        self._lock_file = directory / ".lock"

    def obstacle(self) -> str:
        """Why machines cannot be made here; empty if they can. Speaks of LOCAL_DIR, not of its path."""
        if not _PLAIN_PATH.fullmatch(str(self.directory)):
            return "the path in LOCAL_DIR has a character that sshd or a shell could misread, such as a space"
        try:
            status = self.directory.stat()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"LOCAL_DIR cannot be used: {error.strerror}"
        if not stat.S_ISDIR(status.st_mode):
            return "LOCAL_DIR is not a folder"
        if status.st_uid != os.getuid():
            return "LOCAL_DIR belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "LOCAL_DIR can be written by other users"
        return ""

    def folder(self, machine: str) -> Folder:
        """The folder of a machine, existing or not."""
        return Folder(self.directory / machine)

    def records(self) -> Iterator[Record]:
        """The records of all machines."""
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith("."):
                continue
            try:
                record = self.folder(name).record()
            except CloudError as error:
                logger.warning("%s", error)
                continue
            except NotADirectoryError:
                continue
            if record is not None:
                yield record

    def capacity(self) -> int:
        """How many machines there can be at most."""
        return sum(len(_Hosts(network)) for network in self.networks)

    # --- coming --------------------------------------------------------------------------------------------

    def settle(self, draft: Record) -> Folder:
        """The folder of the machine with the draft's token: the one there is, or a new one with an address of its own.

        Raises:
            imframework.api.errors.QuotaExceeded: every address is taken.
        """
        folder = self.folder(machine_id(draft.token))
        if folder.path.exists():
            return folder
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(self._lock_file):
            if folder.path.exists():
                return folder
            for left in self.directory.glob(".new-*"):  # of somebody who was killed: he would hold the lock otherwise
                remove(left)
            new = Folder(self.directory / f".new-{folder.id}")
            new.path.mkdir(mode=0o700)
            new.home.mkdir(mode=0o700)
            if image := draft.spec.get("image"):
                images.unpack(self, image, new.home)
            new.write(replace(draft, address=self._free_address(), port=self.port))
            os.rename(new.path, folder.path)
            fsync_folder(self.directory)
        return folder

    def _free_address(self) -> str:
        """An address that no machine has and nobody listens on.

        The search begins anywhere, so that an address is not soon used again and that several LOCAL_DIRs on one host,
        which do not know of each other's stopped machines, hardly ever meet.
        """
        taken = {record.address for record in self.records()}
        for network in self.networks:
            hosts = _Hosts(network)
            start = secrets.randbelow(len(hosts))
            for offset in range(len(hosts)):
                address = hosts[(start + offset) % len(hosts)]
                if address not in taken and _bindable(address, self.port):
                    return address
        named = ", ".join(str(network) for network in self.networks)
        raise QuotaExceeded(f"No address of {named} (LOCAL_NETWORK) has its port {self.port} (LOCAL_PORT) free.")

    # --- going ---------------------------------------------------------------------------------------------

    def discard(self, folder: Folder) -> None:
        """Take a machine out of the site; `empty_trash` removes what is left of it.

        Raises:
            imframework.api.errors.CloudRefused: a file system is mounted in it, whose files would be lost.
        """
        if mounted := sorted(_mounts_below(folder.path)):
            raise CloudRefused(f"A file system is mounted at {', '.join(mounted)} of the machine; unmount it first.")
        os.rename(folder.path, self.directory / f".trash-{folder.id}-{secrets.token_hex(4)}")

    def trash(self, folder: Folder) -> list[Path]:
        """What is left of earlier machines of this id."""
        return sorted(self.directory.glob(f".trash-{folder.id}-*"))

    def empty_trash(self, folder: Folder) -> None:
        """Remove what is left of a machine from the disk.

        Raises:
            imframework.api.errors.CloudError: something cannot be removed.
        """
        for left in self.trash(folder):
            remove(left)
        self.tidy()

    def tidy(self) -> None:
        """Remove the site's own lock when there is nothing else any more."""
        try:
            with exclusive(self._lock_file):
                if os.listdir(self.directory) == [self._lock_file.name]:
                    self._lock_file.unlink()
        except FileNotFoundError:
            pass  # there is no site


class _Hosts:
    """The addresses of a network that a machine can have, by position; a /8 is not written out."""

    def __init__(self, network: Network) -> None:
        usable = network.num_addresses > 2
        self._first = int(network.network_address) + usable
        self._count = network.num_addresses - 2 * usable
        self._make = type(network.network_address)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> str:
        return str(self._make(self._first + position))


def _bindable(address: str, port: int) -> bool:
    """Whether a daemon could listen there now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As sshd does it: connections of a former machine that fade out are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise CloudRefused(f"Cannot listen on {address} port {port}: {error.strerror}.") from None
    return True


def _mounts_below(path: Path) -> set[str]:
    """Mount points inside a folder, relative to it."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    points = (Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4])) for line in lines)
    root = path.resolve()
    return {str(point.relative_to(root)) for point in points if root in point.parents}


def remove(path: Path) -> None:
    """Remove a folder with all it holds, folders that were made read-only included."""
    unlocked = False
    while os.path.lexists(path):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue  # somebody else removes it, too
        except OSError as error:
            if isinstance(error, PermissionError) and not unlocked:
                _unlock(path)
                unlocked = True
                continue
            where = Path(error.filename or path).name
            raise CloudError(f"'{where}' of the machine cannot be removed: {error.strerror}.") from error


def _unlock(path: Path) -> None:
    """Give ourselves all rights on the folders of a tree, as far as they are ours."""
    for parent, names, _ in os.walk(path):
        for name in (".", *names):
            folder = os.path.join(parent, name)
            if not os.path.islink(folder):
                with suppress(OSError):
                    os.chmod(folder, 0o700)
