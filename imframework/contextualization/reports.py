"""What an agent has written, as reports for the core.

The file lies in a folder that the recipes of a user can write to: whatever is in it is checked, and it may be anything.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from pathlib import Path

from imframework.agent.agent import EVENTS
from imframework.core.ports import Progress, Report

#: Bytes taken at one time, of one line, and of one run.
_PORTION, _LONGEST_LINE, _LONGEST_FILE = 1 << 20, 1 << 20, 256 << 20


class TooMuch(Exception):
    """The run has written more than any agent would."""


class EventReader:
    """Follows the events of one run."""

    def __init__(self, folder: Path, after: int, vms: Collection[int]) -> None:
        """Events up to number `after`, and those of machines that are not among `vms`, are passed over."""
        self._path = folder / EVENTS
        self._vms = vms
        self._offset = 0
        self._rest = b""
        #: Number of the last event that is known, and whether the end of the run is.
        self.last = after
        self.finished = False

    def read(self) -> list[Report]:
        """What is new; nothing if nothing is. Does not wait. Raises `TooMuch`."""
        data = self._portion()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE or self._offset > _LONGEST_FILE:
            raise TooMuch
        reports = []
        for line in lines:
            report = self._report(line)
            if report is not None:
                self.last = report.sequence
                reports.append(report)
        return reports

    def _portion(self) -> bytes:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""  # not there yet, or a trap
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return b""
            data = os.pread(file, _PORTION, self._offset)
        finally:
            os.close(file)
        self._offset += len(data)
        return data

    def _report(self, line: bytes) -> Report | None:
        try:
            event = json.loads(line)
            sequence, kind, vm = event["seq"], Progress(event["kind"]), event.get("vm")
            texts = [event.get(name, "") for name in ("task", "message", "text")]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        if not isinstance(sequence, int):
            return None
        self.finished = self.finished or kind is Progress.FINISHED
        if not self.last < sequence < 1 << 53:
            return None
        if not all(isinstance(text, str) for text in texts):
            return None
        if not (isinstance(vm, int) and vm in self._vms) and not (
            vm is None and kind in (Progress.LOG, Progress.FINISHED)
        ):
            return None
        task, message, text = map(_printable, texts)
        return Report(sequence, kind, vm, task, message, text)


_KEPT = {ord("\n"), ord("\t")}


def _printable(text: str) -> str:
    """A text without control characters and broken surrogates: it will be stored, sent and shown on terminals."""
    if text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode()
    return "".join(char for char in text if char.isprintable() or ord(char) in _KEPT)
