"""What the core needs from the rooms it may not import: handed in when the service is put together.

`Configurator` is what turns running machines into configured ones; `imframework.contextualization` provides it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from imframework.api.model import JSON, Access
from imframework.languages.radl import Document


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to configure.

    `facts` are its features as they are now (`net_interface.N.ip` …). `done` names tasks that are recorded as
    finished for this machine and must not run again.
    """

    number: int
    system: str
    access: Access
    facts: Mapping[str, JSON]
    cloud_type: str = ""
    cloud_server: str = ""
    cloud_id: str = ""
    done: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Task:
    """One play (list) for some machines: ``basic``, ``main_<system>`` or ``<configure>_<system>``.

    Tasks of a lower `step` end on all machines before those of a higher one start; tasks of one step run at the
    same time on different machines, and in the given order on one machine. `recipe` is the text of a configure
    section; None for the generated tasks.
    """

    name: str
    step: int
    system: str
    vms: tuple[int, ...]
    configure: str = ""
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One configuration run of one infrastructure. Repeating it with the same `run_id` continues it.

    `others` are machines that are not configured in this run; recipes may be about them all the same. `deadline` is an
    instant; `retries` the number of runs of each play (PLAYBOOK_RETRIES).
    """

    run_id: str
    infrastructure: str
    document: Document
    targets: tuple[Target, ...]
    tasks: tuple[Task, ...]
    deadline: float
    others: tuple[Target, ...] = ()
    retries: int = 1
    auth_value: str = field(default="", repr=False)
    vault_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


class Progress(StrEnum):
    """What a `Report` says."""

    TASK_STARTED = "task-started"
    TASK_DONE = "task-done"
    TASK_FAILED = "task-failed"
    LOG = "log"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Report:
    """News of a run. `sequence` counts from 1 within the run, so that a repeated report is recognised.

    For TASK_*: `task` and `vm` (one report per machine). For TASK_FAILED `message` is ``<ansible task>: <error>``.
    For LOG: text to append to the log of `vm` (None: of the infrastructure). For FINISHED: `message` is empty if all
    went well, else the reason that concerns the whole run (deadline, cancelled, agent lost).
    """

    sequence: int
    kind: Progress
    vm: int | None = None
    task: str = ""
    message: str = ""
    text: str = ""


class Configurator(Protocol):
    """Runs jobs somewhere: on the server, on the master machine, on every machine."""

    async def run(self, job: Job, after: int, report: Callable[[list[Report]], Awaitable[None]]) -> None:
        """Run a job, or reattach to it if it was started before, and return after its FINISHED report.

        Reports numbered up to `after` are known already and not repeated. Each call of `report` returns when its
        reports are stored for good; the next ones wait for that.

        Raises:
            imframework.api.errors.IMError: the run could not be started; nothing has run.
            asyncio.CancelledError: the caller goes away; the run itself goes on and can be reattached to.
        """

    async def cancel(self, run_id: str) -> None:
        """End a run at once, its processes included; returns when they are gone. Success if there is none."""

    async def discard(self, run_id: str) -> None:
        """Forget a finished run: its folder, with the keys in it, is removed."""

    async def reachable(self, access: Access, timeout: float) -> str:
        """Wait until a machine accepts our log-in; empty text, or why it did not within `timeout` seconds."""


class Hooks(Protocol):
    """The hooks of `imframework.api.hooks`, with whoever listens to them."""

    def active(self, name: str) -> bool:
        """Whether anybody listens; asking spares making the arguments."""

    async def veto(self, name: str, **arguments: object) -> None:
        """Ask a veto hook.

        Raises:
            Vetoed: somebody refuses, fails, or does not answer in time.
        """

    def observe(self, name: str, **arguments: object) -> None:
        """Tell an observer hook; returns at once."""


class NoHooks:
    """Nobody listens."""

    def active(self, name: str) -> bool:
        """See `Hooks`."""
        return False

    async def veto(self, name: str, **arguments: object) -> None:
        """See `Hooks`."""

    def observe(self, name: str, **arguments: object) -> None:
        """See `Hooks`."""
