"""Processes of this host as /proc shows them: recognised beyond doubt, found by what they belong to, ended for good.

A process id alone proves nothing, because ids are used again: a `Process` carries its start time, and signals go
through pidfds opened before that was compared. Nothing here knows machines.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from imframework.api.errors import CloudError

PROC = Path("/proc")
#: Seconds that processes get to end by themselves, and seconds after which those that cannot be killed are an error.
GRACE, PATIENCE = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` is in clock ticks since the host was booted. Parent and name may change while it lives."""

    pid: int
    started: int
    parent: int = field(compare=False)
    name: str = field(compare=False)


def process(pid: int) -> Process | None:
    """The process with an id; None if there is none that we may see, or if only its exit status is left."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None  # it has ended, or this host hides what is not ours
    # The name is in parentheses and may hold any byte: the fields begin after the last one.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[19]), int(fields[1]), head.partition(b"(")[2].decode(errors="replace"))


def boot_id() -> str:
    """Names the time since the host was booted: start times of different boots do not compare."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def processes() -> list[Process]:
    """All processes there are at this moment."""
    pids = (int(name) for name in os.listdir(PROC) if name.isdecimal())
    return [found for pid in pids if (found := process(pid)) is not None]


def arguments(of: Process) -> Sequence[bytes]:
    """The words of its command line, as far as it shows them (a process may overwrite them with a title)."""
    return _read(of, "cmdline").replace(b"\0", b" ").split()


def environment(of: Process) -> frozenset[bytes]:
    """The variables it was started with, as ``NAME=value``; empty where we may not look."""
    return frozenset(_read(of, "environ").split(b"\0"))


def open_files(of: Process) -> frozenset[str]:
    """The paths it has open; empty where we may not look."""
    folder = PROC / str(of.pid) / "fd"
    found = set()
    try:
        for name in os.listdir(folder):
            found.add(os.readlink(folder / name))
    except OSError:
        pass  # it has ended or closed the file meanwhile, or belongs to somebody else
    return frozenset(found)


def _read(of: Process, name: str) -> bytes:
    try:
        return (PROC / str(of.pid) / name).read_bytes()
    except OSError:
        return b""  # it has ended meanwhile, or belongs to somebody else


def with_descendants(roots: Iterable[Process], among: Iterable[Process]) -> set[Process]:
    """The roots and every process below them."""
    children: Mapping[int, list[Process]] = defaultdict(list)
    for each in among:
        children[each.parent].append(each)
    found: set[Process] = set()
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting.extend(children[each.pid])
    return found


def end(find: Callable[[], Iterable[Process]]) -> None:
    """End what `find` finds until it finds nothing: SIGTERM first, SIGKILL after `GRACE` seconds.

    Raises:
        imframework.api.errors.CloudError: some belong to another user, or are still there after `PATIENCE` seconds.
    """
    begun = time.monotonic()
    kill_at, give_up_at = begun + GRACE, begun + PATIENCE
    while found := list(find()):
        now = time.monotonic()
        if now >= give_up_at:
            raise CloudError(f"Processes do not end: {_listed(found)}.")
        forced = now >= kill_at
        number, until = (signal.SIGKILL, give_up_at) if forced else (signal.SIGTERM, kill_at)
        denied = _signal_and_wait(found, number, until)
        if denied:
            raise CloudError(f"Processes of another user run in the machine and cannot be ended: {_listed(denied)}.")


def _listed(found: Iterable[Process]) -> str:
    return ", ".join(f"{each.name} ({each.pid})" for each in sorted(found, key=lambda each: each.pid))


def _signal_and_wait(found: Iterable[Process], number: signal.Signals, until: float) -> list[Process]:
    """Send a signal to processes and wait until they have ended; those we may not signal."""
    denied = []
    poll = select.poll()
    with ExitStack() as stack:
        waiting = set()
        for each in found:
            try:
                handle = os.pidfd_open(each.pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, handle)
            if process(each.pid) != each:
                continue  # it has ended; this may be another process under the same id
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                continue
            except PermissionError:
                denied.append(each)
                continue
            poll.register(handle, select.POLLIN)
            waiting.add(handle)
        while waiting and (left := until - time.monotonic()) > 0:
            for handle, _ in poll.poll(left * 1000):
                poll.unregister(handle)
                waiting.discard(handle)
    return denied


def wait_for_end(of: Process, seconds: float) -> bool:
    """Wait until a process has ended; whether it has."""
    try:
        handle = os.pidfd_open(of.pid)
    except ProcessLookupError:
        return True
    try:
        if process(of.pid) != of:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(handle)
