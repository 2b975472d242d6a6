#!/usr/bin/env python3
"""Runs the plays of one configuration run, to their end, whatever becomes of the one who started it.

    python3 agent.py RUN_DIR

RUN_DIR holds the bundle: ``job.json``, the inventory, the playbooks, keys and known hosts. The agent starts
ansible-playbook as often as needed (see `Agent`), and writes what happens, numbered from 1, as lines of JSON to
``events.jsonl``: that file is both its report and its memory. Killed and started again on the same folder it goes on
where it was: what is recorded as done on a machine never runs again. It ends by a ``finished`` event, always; on
SIGTERM, a file called ``cancel`` or the job's deadline at once, with every process it has started, and those they have.

As long as it runs it holds a lock (POSIX, exclusive) on ``agent.pid``, in which are its process id and start time: who
holds the lock is the agent, even where process ids differ or are used again.

What it leaves to others: what the plays are, who may see the folder, and the confinement of all this. It needs only the
standard library of Python 3.8. `docs/design/agent.md` describes the files.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

#: Of the bundle; we do not touch others.
FORMAT = 1
JOB, EVENTS, PID_FILE, CANCEL = "job.json", "events.jsonl", "agent.pid", "cancel"

#: Names the run in the environment of every process that belongs to it.
MARK = "IMFRAMEWORK_RUN"

#: How a run as a whole can end other than well; users see these texts.
CANCELLED = "cancelled"
OVERDUE = "ERROR: Max contextualization time passed."

GO, STOP = b"g", b"s"
PR_SET_CHILD_SUBREAPER = 36

#: Seconds between looks for the file `CANCEL`, and for which text is collected before it is written.
CANCEL_INTERVAL, TEXT_INTERVAL = 0.25, 0.05

#: Characters of log text in one event, and in one run: a recipe must not fill the disk.
MAX_TEXT, MAX_LOG = 64 * 1024, 32 * 1024 * 1024

#: Bytes of one line from a child; longer ones are dropped.
MAX_LINE = 1024 * 1024

#: Processes that are started before their step, to wait at its gate: that hides how long it takes to start one.
EARLY = 1

#: Lines of a child's output that are kept to explain its failure.
KEPT_LINES = 40

ALREADY_RUNNING, UNUSABLE = 3, 2


class Ended(Exception):
    """The run ends now; the text says why."""


# --- processes -------------------------------------------------------------------------------------------------


def parents() -> dict[int, int]:
    """The parent of every process there is, by process id."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields:
                found[int(name)] = int(fields[1])
    return found


def stat_fields(pid: int) -> list[bytes]:
    """What /proc says of a process, from its state on; nothing if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since the machine was booted; 0 if there is none."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


def descendants(root: int) -> list[int]:
    """Every process below another one."""
    children = defaultdict(list)
    for pid, parent in parents().items():
        children[parent].append(pid)
    found, waiting = [], [root]
    while waiting:
        below = children[waiting.pop()]
        found += below
        waiting += below
    return found


def strays(run_dir: str) -> list[int]:
    """Processes of a run whose agent is gone: they carry its mark, or work in its folder.

    The mark alone is not enough: OpenSSH writes its title over its environment.
    """
    mark = f"{MARK}={run_dir}".encode()
    ours = {os.getpid(), *ancestors(os.getpid())}
    found = []
    for pid in parents():
        if pid in ours:
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                marked = mark in file.read().split(b"\0")
            if marked or os.readlink(f"/proc/{pid}/cwd") == run_dir:
                found.append(pid)
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def ancestors(pid: int) -> Iterator[int]:
    """The parent of a process, and so on."""
    above = parents()
    while above.get(pid):
        pid = above[pid]
        yield pid


def kill(pids: Collection[int]) -> bool:
    """Kill processes; whether there were any."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue  # ended meanwhile
    return bool(pids)


def reap(block: bool = False) -> Iterator[tuple[int, int]]:
    """The (pid, status) of each child that has ended; with `block`, wait until there is one or no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0 if block else os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status
        block = False


def end_descendants() -> None:
    """Kill everything below this process. Orphans are handed to us as they appear, so nobody gets away."""
    while kill(descendants(os.getpid())):
        for _ in reap(block=True):
            pass


# --- memory ----------------------------------------------------------------------------------------------------


class Journal:
    """The events of the run, on disk: appended, made durable, and read back after a restart."""

    def __init__(self, path: str, folder: str, secrets: Collection[str] = (), first_sequence: int = 0) -> None:
        """Users get to see neither `secrets` nor where our `folder` is."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._folder = folder + "/"
        self._secret = re.compile("|".join(map(re.escape, secrets))) if secrets else None
        self._texts: dict[int | None, str] = {}
        self._logged = 0
        self._sequence = first_sequence
        #: Whether an agent was here before us, and whether the run is over.
        self.resumed = self.finished = False
        #: What is recorded, as (task, vm).
        self.started: set[tuple[str, int]] = set()
        self.done: set[tuple[str, int]] = set()
        self.failed: set[tuple[str, int]] = set()
        self._attempts: dict[tuple[str, int], int] = defaultdict(int)
        self._replay()

    def _replay(self) -> None:
        records = {"task-started": self.started, "task-done": self.done, "task-failed": self.failed}
        with open(self._file, "rb", closefd=False) as file:
            data = file.read()
        for line in data.split(b"\n"):
            try:
                event = json.loads(line.decode())
                self._sequence = max(self._sequence, int(event["seq"]))
                kind, key = event["kind"], (event.get("task"), event.get("vm"))
            except (ValueError, TypeError, KeyError):
                continue  # cut off when we were killed
            self.resumed = True
            self._logged += len(event.get("text", ""))
            self.finished = self.finished or kind == "finished"
            records.get(kind, set()).add(key)
            if "attempt" in event:
                self._attempts[key] = event["attempt"]
        if data and not data.endswith(b"\n"):
            self._write("\n")

    def say(self, vm: int | None, text: str) -> None:
        """Append to the log of a machine, or of the infrastructure; written with the next event or `flush`."""
        if self._logged > MAX_LOG:
            return
        self._logged += len(text)
        if self._logged > MAX_LOG:
            text = f"[the log is longer than {MAX_LOG} characters: the rest is left out]\n"
        self._texts[vm] = self._texts.get(vm, "") + text

    @property
    def waiting(self) -> bool:
        """Whether there is text to flush."""
        return bool(self._texts)

    def flush(self) -> None:
        """Write the text collected so far."""
        texts, self._texts = self._texts, {}
        for vm, text in texts.items():
            for start in range(0, len(text), MAX_TEXT):
                self._record("log", vm=vm, text=text[start : start + MAX_TEXT])

    def start(self, task: str, vm: int) -> None:
        """A task begins on a machine."""
        self.started.add((task, vm))
        self.flush()
        self._record("task-started", task=task, vm=vm)

    def end(self, task: str, vm: int) -> None:
        """A task is done on a machine; returns when that is on disk."""
        self.done.add((task, vm))
        self.flush()
        self._record("task-done", task=task, vm=vm)
        os.fsync(self._file)

    def fail(self, task: str, vm: int, message: str) -> None:
        """A task has failed on a machine for good; returns when that is on disk."""
        self.failed.add((task, vm))
        self.flush()
        self._record("task-failed", task=task, vm=vm, message=message[:MAX_TEXT])
        os.fsync(self._file)

    def attempt(self, task: str, vm: int, of: int) -> int:
        """A task has failed on a machine once more; the number of times it has."""
        self._attempts[task, vm] += 1
        number = self._attempts[task, vm]
        text = f"ERROR executing task {task}: ({number}/{of})\n"
        self.flush()
        self._record("log", vm=vm, text=text, task=task, attempt=number)
        return number

    def finish(self, message: str) -> None:
        """The run is over."""
        self.finished = True
        self.flush()
        self._record("finished", message=message)
        os.fsync(self._file)

    def _record(self, kind: str, **values: Any) -> None:
        self._sequence += 1
        for name in {"text", "message"} & set(values):
            values[name] = values[name].replace(self._folder, "")
            if self._secret:
                values[name] = self._secret.sub("***", values[name])
        self._write(json.dumps({"seq": self._sequence, "time": round(time.time(), 3), "kind": kind, **values}) + "\n")

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._file, data) :]


# --- children --------------------------------------------------------------------------------------------------


class Child:
    """A process of ours. `on_output` gets each line it writes; `on_message` what Ansible's callback plugin says.

    With `on_message` it has a gate: the plugin waits there for an answer before it begins a playbook.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        selector: selectors.BaseSelector,
        on_output: Callable[[str], None],
        on_message: Callable[[Any, str], None] | None = None,
    ) -> None:
        self._selector = selector
        self._buffers: dict[int, bytes] = {}
        self._gate: int | None = None
        self.lines: list[str] = []
        inherited: list[int] = []
        if on_message:
            gate, self._gate = os.pipe()
            stream = self._listen(lambda line: on_message(self, line))
            inherited = [gate, stream]
            environment = {**environment, "IMFRAMEWORK_GATE_FD": str(gate), "IMFRAMEWORK_STREAM_FD": str(stream)}
        output = self._listen(lambda line: self._keep(line, on_output))
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=inherited,
            )
        except OSError as error:
            raise Ended(f"ERROR: {os.path.basename(command[0])} cannot be started: {error.strerror}") from error
        finally:
            for descriptor in (*inherited, output):
                os.close(descriptor)
        self.pid = process.pid
        process.returncode = 0  # we wait for it ourselves, together with the orphans

    def _listen(self, handle: Callable[[str], None]) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._buffers[reader] = b""
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._read(reader, handle))
        return writer

    def _read(self, reader: int, handle: Callable[[str], None]) -> None:
        """Take what there is. The end of the file means nothing, as others may hold the other end."""
        while reader in self._buffers:
            try:
                data = os.read(reader, 65536)
            except BlockingIOError:
                return
            if not data:
                self._forget(reader)
                return
            *lines, rest = (self._buffers[reader] + data).split(b"\n")
            self._buffers[reader] = rest[: MAX_LINE + 1]
            for line in lines:
                if len(line) <= MAX_LINE:
                    handle(line.decode(errors="replace"))

    def _keep(self, line: str, then: Callable[[str], None]) -> None:
        then(line)
        self.lines = [*self.lines[-KEPT_LINES:], line.strip()]

    def _forget(self, reader: int) -> None:
        del self._buffers[reader]
        self._selector.unregister(reader)
        os.close(reader)

    def answer(self, word: bytes) -> None:
        """Let it begin the playbook it waits with, or have it end."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: we shall be told
            if self._gate is not None:
                os.write(self._gate, word)

    def close(self) -> None:
        """It has ended: read the rest, and let go."""
        for reader in list(self._buffers):
            self._selector.get_key(reader).data()
        for reader in list(self._buffers):
            self._forget(reader)
        if self._gate is not None:
            os.close(self._gate)

    def last_words(self) -> str:
        """Why it ended, as far as it said so."""
        lines = [line for line in self.lines if line]
        for number, line in enumerate(lines):
            found = re.match(r"(?:ERROR!|\[ERROR\]:|fatal:)\s*(.+)", line)
            if found:
                return " ".join([found.group(1), *lines[number + 1 : number + 3]])
        return lines[-1] if lines else "it ended without a message"


class Process(Child):
    """An ansible-playbook that runs the items of a lane. `plan` maps each item to the hosts it was started for."""

    def __init__(self, lane: int, plan: dict[Item, list[str]], *args: Any) -> None:
        self.lane, self.plan = lane, plan
        #: The item it has come to, and the same while it waits with that at the gate; whether it was sent home there.
        self.item: Item | None = None
        self.at_gate: Item | None = None
        self.stopped = False
        #: Host to message, as counted at the end of a playbook; whether any task was done.
        self.failed: dict[str, object] = {}
        self.productive = False
        super().__init__(*args)


# --- the work --------------------------------------------------------------------------------------------------


class Item:
    """A playbook of one step, and the task it means for each of its machines (hosts of the inventory).

    Without a playbook there is nothing to run: the task is done at once, or has failed if there is an `error`.
    `left` are the hosts where it is still to be done.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.id: str = data["id"]
        self.step: int = data["step"]
        self.tasks: dict[str, str] = data["tasks"]
        self.playbook: str = data["playbook"]
        self.error: str = data["error"]
        self.notes: dict[str, str] = data["notes"]
        self.left = list(self.tasks)


class Agent:
    """Carries out one job.

    The work is cut into *lanes*: lists of items that one ansible-playbook process runs one after the other, as
    starting one takes about a second. Lanes run beside each other. Before each playbook its process asks at the gate,
    and is let through when all tasks of lower steps are over on all machines, whichever lane they are in. A process
    ends when a machine has failed in it (Ansible goes no further then): the rest of its lane, and what is to be
    tried again, is given to a new process. So what runs is always derived from what is recorded.
    """

    def __init__(self, run_dir: str, job: dict[str, Any], journal: Journal) -> None:
        self._job, self._journal = job, journal
        self._vms: dict[str, int] = job["hosts"]
        self._lanes = [[Item(item) for item in lane] for lane in job["lanes"]]
        self._items = sorted((item for lane in self._lanes for item in lane), key=lambda item: item.step)
        self._environment = {**job["environment"], MARK: run_dir}
        self._selector = selectors.DefaultSelector()
        self._processes: dict[int, Process] = {}
        self._pauses: dict[int, float] = {}
        self._launched = 0
        #: Lanes whose process is not started early again, as it has failed.
        self._punctual: set[int] = set()
        self._cancelled = False
        self._recall()
        self._listen_to_signals()

    def _recall(self) -> None:
        """Leave out what is recorded."""
        dropped = {vm for _, vm in self._journal.failed}
        for item in self._items:
            item.left = [
                host
                for host in item.left
                if self._vms[host] not in dropped and (item.tasks[host], self._vms[host]) not in self._journal.done
            ]

    def _listen_to_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, 4096))
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_cancel)

    def _on_cancel(self, *_: object) -> None:
        self._cancelled = True

    def run(self) -> None:
        """Work until there is nothing left to do. Raises `Ended` if it is not to come to that."""
        if self._journal.resumed:
            self._journal.say(None, "The agent was started again and goes on.\n")
        else:
            for line in self._job["say"]:
                self._journal.say(None, line + "\n")
        self._prepare()
        self._advance()
        while self._step() is not None or self._processes:
            self._wait()
            self._advance()

    # --- waiting -------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until something happens."""
        now = time.time()
        until = [now + CANCEL_INTERVAL, self._job["deadline"], *self._pauses.values()]
        if self._journal.waiting:
            until.append(now + TEXT_INTERVAL)
        self._listen(max(0.0, min(until) - now))
        for pid, status in reap():
            process = self._processes.pop(pid, None)
            if process is not None:
                process.close()
                self._over(process, status)

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()
        self._journal.flush()
        if self._cancelled or os.path.lexists(CANCEL):
            raise Ended(CANCELLED)
        if time.time() >= self._job["deadline"]:
            raise Ended(OVERDUE)

    # --- before the plays ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Run the commands that the plays need the results of, such as the installation of roles."""
        for command in self._job["prepare"]:
            for attempt in range(command["attempts"]):
                if attempt:
                    self._pause(command["pause"])
                child = Child(command["command"], self._environment, self._selector, self._log)
                if self._status(child) == 0:
                    break
            else:
                raise Ended(f"ERROR: {command['title']}: {child.last_words()}")

    def _pause(self, seconds: float) -> None:
        until = time.time() + seconds
        while time.time() < until:
            self._listen(CANCEL_INTERVAL)

    def _status(self, child: Child) -> int:
        """Wait for a child to end."""
        while True:
            self._listen(CANCEL_INTERVAL)
            for pid, status in reap():
                if pid == child.pid:
                    child.close()
                    return status

    def _log(self, line: str) -> None:
        self._journal.say(None, line + "\n")

    # --- what comes next -----------------------------------------------------------------------------------

    def _step(self) -> float | None:
        """The lowest step that is not over; None when all are."""
        return next((item.step for item in self._items if item.left), None)

    def _advance(self) -> None:
        """Do whatever need not wait for anything."""
        while self._settle():
            pass
        now, step = time.time(), self._step()
        step = float("inf") if step is None else step
        for process in self._processes.values():
            if process.at_gate is not None and process.at_gate.step <= step:
                self._open(process, process.at_gate)
        self._pauses = {lane: until for lane, until in self._pauses.items() if until > now}
        busy = {*self._pauses, *(process.lane for process in self._processes.values())}
        early = sum(min(item.step for item in process.plan) > step for process in self._processes.values())
        for lane, items in enumerate(self._lanes):
            left = [item for item in items if item.playbook and item.left]
            may_be_early = early < EARLY and lane not in self._punctual
            if left and lane not in busy and (left[0].step == step or may_be_early):
                early += left[0].step > step
                self._launch(lane, left)

    def _settle(self) -> bool:
        """Deal with an item of the present step that needs no playbook; whether there was one."""
        step = self._step()
        for item in self._items:
            if item.left and item.step == step and not item.playbook:
                for host in list(item.left):
                    self._begin(item, host)
                    if item.error:
                        self._journal.attempt(item.tasks[host], self._vms[host], 1)
                        self._fail(item, host, item.error)
                    else:
                        self._done(item, host)
                return True
        return False

    # --- Ansible -------------------------------------------------------------------------------------------

    def _launch(self, lane: int, items: list[Item]) -> None:
        """Have one process run items, on the machines where they are still to be done."""
        plan = {item: list(item.left) for item in items}
        self._launched += 1
        targets = f"targets-{self._launched}.json"
        with open(targets, "w", encoding="utf-8") as file:
            json.dump({"im_targets": {item.id: hosts for item, hosts in plan.items()}}, file)
        forks = min(self._job["forks"], max(len(hosts) for hosts in plan.values()))
        environment = {
            **self._environment,
            "ANSIBLE_CALLBACK_PLUGINS": os.path.join(os.path.dirname(os.path.abspath(__file__)), "callbacks"),
            "ANSIBLE_STDOUT_CALLBACK": "imframework_stream",
            "ANSIBLE_FORKS": str(forks),
        }
        command = [*self._job["ansible_playbook"], "-e", "@" + targets, *(item.playbook for item in items)]
        process = Process(lane, plan, command, environment, self._selector, self._log, self._hear)
        self._processes[process.pid] = process

    def _hear(self, process: Process, line: str) -> None:
        """What the callback plugin says. A recipe may have forged it: nothing but its own run depends on that."""
        try:
            message = json.loads(line)
            kind, host = message["type"], message.get("host")
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        if kind == "playbook":
            process.item = next(
                (item for item in process.plan if os.path.basename(item.playbook) == message["file"]), None
            )
            process.at_gate = process.item
        elif kind == "text":
            self._text(process, host, str(message["text"]))
        elif kind == "done" and process.item is not None and host in process.item.left:
            process.productive = True
            self._done(process.item, host)
        elif kind == "end":
            process.failed = message["failed"]

    def _text(self, process: Process, host: str | None, text: str) -> None:
        if host is not None or process.item is None:
            self._journal.say(None if host is None else self._vms.get(host), text)
        else:
            for each in process.plan[process.item]:
                self._journal.say(self._vms[each], text)

    def _open(self, process: Process, item: Item) -> None:
        """Let a process begin an item, unless its machines are no longer those it was started for."""
        process.at_gate = None
        if process.plan[item] == item.left:
            for host in item.left:
                self._begin(item, host)
            process.answer(GO)
        else:
            process.stopped = True
            process.answer(STOP)

    def _over(self, process: Process, status: int) -> None:
        """A process has ended: find out who failed. What is still to be done then is given to another one."""
        item = process.item
        if process.stopped:
            return
        if item is not None and process.at_gate is None and item.left:
            failed = {host: str(message) for host, message in process.failed.items() if host in item.left}
        elif process.productive:
            return
        else:  # it did not even begin
            failed = {}
            item = next((item for item in process.plan if item.left), None)
            if item is None:
                return
            if item.step != self._step():  # it was early: let us see when its time has come
                self._punctual.add(process.lane)
                return
        if not failed:
            why = process.last_words() if status else "the plays ended before they were complete"
            failed = {host: why for host in process.plan[item] if host in item.left}
        for host, message in failed.items():
            self._attempted(process.lane, item, host, message)

    def _attempted(self, lane: int, item: Item, host: str, message: str) -> None:
        """An attempt has failed on a machine: try again, a little later each time, or give up."""
        self._begin(item, host)
        number = self._journal.attempt(item.tasks[host], self._vms[host], self._job["retries"])
        if number >= self._job["retries"]:
            self._fail(item, host, message)
        elif number > 1:
            self._pauses[lane] = time.time() + 5 * (number - 1) ** 2

    # --- tasks ---------------------------------------------------------------------------------------------

    def _begin(self, item: Item, host: str) -> None:
        task, vm = item.tasks[host], self._vms[host]
        if (task, vm) not in self._journal.started:
            self._journal.say(vm, f"Launch task: {task}\n")
            if host in item.notes:
                self._journal.say(vm, item.notes[host] + "\n")
            self._journal.start(task, vm)

    def _done(self, item: Item, host: str) -> None:
        task, vm = item.tasks[host], self._vms[host]
        item.left.remove(host)
        self._journal.say(vm, f"Task {task} finished successfully\n")
        self._journal.end(task, vm)
        if not any(host in each.left for each in self._items):
            self._journal.say(vm, "Process finished\n")

    def _fail(self, item: Item, host: str, message: str) -> None:
        """A machine is lost for this run: what was still to be done there is dropped."""
        vm = self._vms[host]
        for each in self._items:
            if host in each.left:
                each.left.remove(host)
        self._journal.fail(item.tasks[host], vm, message)
        self._journal.say(vm, "Process finished\n")


# --- the program -----------------------------------------------------------------------------------------------


def hold(path: str) -> int | None:
    """Become the one agent of this folder; None if there is one.

    The lock is lost when this process closes the file, by whatever descriptor: nothing else here may open it.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return None
        raise
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()} {start_time(os.getpid())}\n".encode())
    return file


def detach() -> None:
    """Have a session of our own, and be handed the orphans of our children."""
    with contextlib.suppress(PermissionError):  # we have one already
        os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(run_dir: str) -> int:
    """Run the job of a folder; 0 once it is over."""
    run_dir = os.path.abspath(run_dir)
    os.umask(0o077)
    try:
        os.chdir(run_dir)
        detach()
        held = hold(PID_FILE)
        if held is None:
            return ALREADY_RUNNING
        with open(JOB, encoding="utf-8") as file:
            job = json.load(file)
        if job["format"] != FORMAT:
            raise ValueError(f"{JOB} has format {job['format']} instead of {FORMAT}")
        journal = Journal(EVENTS, run_dir, job["secrets"], job["first_sequence"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        sys.stderr.write(f"{run_dir}: {error}\n")
        return UNUSABLE
    if journal.finished:
        return 0
    message = ""
    try:
        kill(strays(run_dir))
        Agent(run_dir, job, journal).run()
    except Ended as ended:
        message = str(ended)
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for us must be told
        message = f"ERROR: the agent failed: {type(error).__name__}: {error}"
    end_descendants()
    journal.finish(message)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
