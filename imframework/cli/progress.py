"""What the events of an infrastructure say about its progress: a line for each, and a picture of all of them.

Pure: events in, text and records out. `display` shows them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from imframework.api.model import JSON, Event
from imframework.api.service import StateReport

#: States that something is still going to be done about. (Of a machine in state unknown the cloud will tell more.)
UNSETTLED = frozenset({"pending", "running", "unknown", "deleting"})


@dataclass(slots=True)
class Step:
    """One configuration task on one machine; `status` is started, done or failed. Times in seconds."""

    name: str
    status: str
    started: float
    ended: float | None = None
    message: str = ""


@dataclass(slots=True)
class Machine:
    """One machine. `trouble` is the last thing that went wrong with it."""

    number: int
    state: str = "pending"
    steps: dict[str, Step] = field(default_factory=dict)
    trouble: str = ""


@dataclass(slots=True)
class Progress:
    """The picture that the events so far give; what the states are in the end, `settle` is told."""

    state: str = ""
    machines: dict[int, Machine] = field(default_factory=dict)
    trouble: str = ""  #: what went wrong last that concerns no machine alone
    announced: str = ""  #: the state of the whole that the last event spoke of
    sequence: int = 0  #: number of the last event

    def apply(self, event: Event) -> None:
        """Take an event into account. Types that are not known are left out."""
        self.sequence = max(self.sequence, event.sequence)
        data = event.data
        machine = self._machine(data.get("vm"))
        match event.type:
            case "state" if machine is not None:
                machine.state = str(data.get("state", ""))
            case "state":
                self.state = self.announced = str(data.get("state", ""))
            case "step" if machine is not None:
                _apply_step(machine, event)
            case _:
                if trouble := _trouble(data):
                    if machine is not None:
                        machine.trouble = trouble
                    else:
                        self.trouble = trouble

    def settle(self, report: StateReport) -> None:
        """Take over the states as they are now; machines that are not among them are gone."""
        self.state = report.state
        for number in self.machines.keys() - report.vm_states.keys():
            del self.machines[number]
        for number, state in report.vm_states.items():
            self.machines.setdefault(number, Machine(number)).state = state

    @property
    def at_rest(self) -> bool:
        """Whether nothing more is to happen by itself, as far as the events tell."""
        return self.state != "deleting" and all(each.state not in UNSETTLED for each in self.machines.values())

    def _machine(self, number: JSON) -> Machine | None:
        if not isinstance(number, int):
            return None
        return self.machines.setdefault(number, Machine(number))

    def counts(self) -> Iterator[tuple[str, int]]:
        """How many machines there are of each state, in order of appearance."""
        found: dict[str, int] = {}
        for machine in self.machines.values():
            found[machine.state] = found.get(machine.state, 0) + 1
        yield from found.items()


def _apply_step(machine: Machine, event: Event) -> None:
    name, status = str(event.data.get("task", "")), str(event.data.get("status", ""))
    step = machine.steps.get(name)
    if step is None or status == "started":
        step = Step(name, status, event.time)
    step.status = status
    if status != "started":
        step.ended = event.time
    if status == "failed":
        step.message = str(event.data.get("message", ""))
        machine.trouble = f"{name}: {step.message}"
    machine.steps.pop(name, None)  # a step that runs again moves to the end
    machine.steps[name] = step


def _trouble(data: Mapping[str, JSON]) -> str:
    error = data.get("error")
    if not error:
        return ""
    what = data.get("resource") or data.get("operation") or data.get("action") or ""
    return f"{what}: {error}" if what else str(error)


# --- lines -------------------------------------------------------------------------------------------------


def line(event: Event) -> str:
    """One line (or more, where a message has more) about an event; empty if it is not worth one."""
    text = _words(event.type, event.data)
    if not text:
        return ""
    return f"{time.strftime('%H:%M:%S', time.localtime(event.time))} {plain(text)}"


def failure(event: Event) -> str:
    """What an event says has gone wrong; empty if nothing has."""
    failed = event.data.get("error") or (event.type == "step" and event.data.get("status") == "failed")
    return _words(event.type, event.data) if failed else ""


def _words(type: str, data: Mapping[str, JSON]) -> str:
    subject = f"machine {data['vm']}" if data.get("vm") is not None else "infrastructure"
    error = data.get("error") or ""
    match type:
        case "state":
            return f"{subject}: {data.get('state')}"
        case "step":
            message = f": {data['message']}" if data.get("message") else ""
            return f"{subject}: {data.get('task')} {data.get('status')}{message}"
        case "launch" | "resource" | "power":
            what = data.get("resource") or data.get("action") or "launch"
            attempt = f", attempt {data['attempt']}" if data.get("attempt") else ""
            return f"{subject}: {what}{attempt}: {error}" if error else ""
        case "operation":
            return f"{subject}: {data.get('operation')} failed: {error}" if error else ""
        case "drift":
            return f"{subject}: {data.get('resource')} was found {data.get('found')}, which nobody asked for"
        case "deleted":
            left = [str(entry) for entry in data.get("left") or ()]
            return f"{subject}: deleted" + (f"; may be left: {'; '.join(left)}" if left else "")
    return ""


def plain(text: str) -> str:
    """Text without control characters: messages come from clouds and recipes, and could command a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
