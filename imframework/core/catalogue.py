"""The catalogue of TOSCA templates: the files of one folder, read in a thread, and again when they change.

A file that is no template costs itself its place, and one line of the log, until it changes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imframework.api.errors import InvalidDocument
from imframework.api.service import Template
from imframework.languages import tosca

logger = logging.getLogger("imframework.catalogue")

SUFFIXES: Final = (".yaml", ".yml")
#: Largest file that is read, in bytes.
LARGEST: Final = 1024 * 1024
#: How long, in seconds, what was found is taken for true without looking.
FRESH: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Which state of a file was read."""

    inode: int
    changed: int
    size: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The templates, by name, and the fingerprints that they are recognised by."""

    templates: Sequence[Template] = ()
    fingerprints: frozenset[str] = frozenset()


class Catalogue:
    """The templates of a folder; none of no folder."""

    def __init__(self, folder: Path | None = None, *, fresh: float = FRESH) -> None:
        """`fresh` is for how long nobody looks again, in seconds."""
        self._folder = folder
        self._fresh = fresh
        self._contents = Contents()
        self._read: dict[str, tuple[_Stamp, tosca.Sketch | None]] = {}
        self._trouble = ""
        self._looked = -1e9
        self._looking: asyncio.Future[None] | None = None

    async def contents(self) -> Contents:
        """What is in the folder now."""
        if self._folder is not None and time.monotonic() - self._looked >= self._fresh:
            if self._looking is None:  # those who ask meanwhile wait for the same look
                self._looking = asyncio.ensure_future(asyncio.to_thread(self._look, self._folder))
                self._looking.add_done_callback(self._seen)
            await asyncio.shield(self._looking)
        return self._contents

    def _seen(self, look: asyncio.Future[None]) -> None:
        self._looking = None
        if not look.cancelled():
            look.exception()  # told to those who wait

    def _look(self, folder: Path) -> None:
        """Read what is new or has changed. Only one thread at a time is here."""
        began = time.monotonic()
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES))
            self._trouble = ""
        except OSError as error:
            self._complain(f"the folder of templates {folder} cannot be read: {error.strerror}")
            names = []
        read: dict[str, tuple[_Stamp, tosca.Sketch | None]] = {}
        for name in names:
            try:
                status = (folder / name).stat()
            except OSError:
                continue  # removed just now, or a link to nowhere
            if stat.S_ISREG(status.st_mode):
                stamp = _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)
                known = self._read.get(name)
                read[name] = known if known is not None and known[0] == stamp else (stamp, _sketch(folder / name))
        if read != self._read or not self._contents.templates:
            sketches = {name: found for name, (_, found) in read.items() if found is not None}
            self._contents = Contents(
                tuple(Template(name, found.metadata) for name, found in sketches.items()),
                frozenset(found.fingerprint for found in sketches.values()),
            )
        self._read = read
        self._looked = began

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble


def _sketch(path: Path) -> tosca.Sketch | None:
    """The template of a file; None, and a line in the log, if it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        return tosca.sketch(data.decode("utf-8"))
    except InvalidDocument as error:
        reason = str(error.problems[0])
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (OSError, ValueError) as error:
        reason = str(error)
    logger.warning("%s is left out of the catalogue: %s", path, reason)
    return None
