"""One machine, from its first start to its deletion. All changes are made under the machine's lock, one at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from imframework.api.errors import CloudError, CloudRefused, CloudUnavailable, OutcomeUnknown
from imframework.api.model import JSON, Action, Phase

from . import daemon
from .folder import Folder
from .processes import Process, arguments, end, environment, open_files, processes, with_descendants
from .site import Site


def phase(site: Site, folder: Folder) -> tuple[Phase, str]:
    """How a machine is, with a word of explanation where it is needed."""
    if not folder.path.exists():
        return (Phase.DELETING, "") if site.trash(folder) else (Phase.ABSENT, "")
    try:
        record = folder.record()
    except CloudError as error:
        return Phase.FAILED, str(error)
    if record is None:
        return Phase.ABSENT, ""
    if (running := daemon.running(folder)) is not None:
        return (Phase.READY if daemon.listens(folder, running) else Phase.CREATING), ""
    if not daemon.started_ever(folder):
        return Phase.CREATING, "It has not been started yet."
    return Phase.STOPPED, "Its SSH daemon has ended by itself." if record.on else ""


def bring_up(site: Site, folder: Folder) -> None:
    """See a machine through its creation: start it, unless it runs or was stopped on purpose.

    Raises:
        imframework.api.errors.CloudError: it cannot be started, and nothing is left of it.
        imframework.api.errors.OutcomeUnknown: it cannot be started, and something may be left of it.
    """
    try:
        with folder.locked() as lock:
            failure = _start_if_wanted(folder, lock)
            if failure is None:
                return
            _end(folder)
            site.discard(folder)
        site.empty_trash(folder)
    except FileNotFoundError:
        raise OutcomeUnknown("The machine was deleted while it was made.") from None
    except (CloudError, OSError) as error:
        raise OutcomeUnknown(f"The machine could neither be made nor removed: {error}") from error
    raise failure


def _start_if_wanted(folder: Folder, lock: int) -> CloudError | None:
    """Start a machine that should run and does not; what went wrong with that, if anything."""
    try:
        record = folder.record()
    except CloudError:
        return None  # damaged: it is there, and `phase` says how it is
    try:
        if record is not None and record.on and not daemon.comes_up(folder):
            daemon.start(folder, record, lock)
    except OSError as error:
        return CloudUnavailable(f"The machine cannot be started: {error.strerror}.")
    except CloudError as error:
        return error
    return None


def act(folder: Folder, action: Action) -> None:
    """Start, stop or reboot a machine.

    Raises:
        imframework.api.errors.CloudError: it cannot be done, or only half of it could; repeating it is harmless.
    """
    try:
        with folder.locked() as lock:
            record = folder.record()
            if record is None:
                raise FileNotFoundError
            on = action is not Action.STOP
            if record.on != on:
                record = replace(record, on=on)
                folder.write(record)
            if action is Action.START and daemon.running(folder) is not None:
                return
            _end(folder)
            if on:
                daemon.start(folder, record, lock)
    except FileNotFoundError:
        raise CloudRefused("There is no such machine.") from None


def describe(folder: Folder, about: Mapping[str, JSON]) -> None:
    """Record other things about a machine; it need not run, and goes on if it does.

    Raises:
        imframework.api.errors.CloudError: there is no such machine, or its record is damaged.
    """
    try:
        with folder.locked():
            record = folder.record()
            if record is None:
                raise FileNotFoundError
            folder.write(replace(record, spec={**record.spec, **about}))
    except FileNotFoundError:
        raise CloudRefused("There is no such machine.") from None


def delete(site: Site, folder: Folder) -> None:
    """End everything that runs in a machine and remove its files; success if there is no such machine.

    Raises:
        imframework.api.errors.CloudError: something could not be ended or removed; repeating it is harmless.
    """
    try:
        with folder.locked():
            _end(folder)
            site.discard(folder)
    except FileNotFoundError:
        _end(folder)  # somebody has removed the folder by hand: the processes are not gone for that
    site.empty_trash(folder)


def _end(folder: Folder) -> None:
    """End all processes of a machine: its daemon last, because it holds the others together."""
    end(lambda: [member for member in members(folder) if not _is_daemon(member, folder)])
    end(lambda: members(folder))


def members(folder: Folder) -> set[Process]:
    """All processes of a machine.

    That is its daemon with everything below it; and, should the daemon have been killed, whatever carries the
    machine's mark or is one of the daemon's sessions, with everything below that.
    """
    present = processes()
    mark = daemon.mark(folder)
    own = [
        each for each in present if mark in environment(each) or _is_daemon(each, folder) or _is_session(each, folder)
    ]
    return with_descendants(own, present)


def _is_daemon(of: Process, folder: Folder) -> bool:
    return os.fsencode(folder.config) in arguments(of) and of.name.startswith("sshd")


def _is_session(of: Process, folder: Folder) -> bool:
    """Whether it is an SSH session of the machine: those have its log open, but no environment left to look at."""
    log = str(folder.log)
    return of.name.startswith("sshd") and not open_files(of).isdisjoint((log, f"{log} (deleted)"))
