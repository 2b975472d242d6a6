"""Placement `server`: agents on the host of the service, each in a sandbox and a run folder of its own.

What is known of a run is what is in its folder and who holds its lock, so that it is all the same to this module
whether it started a run itself or a former process of the service did.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path

from imframework import remote
from imframework.agent.agent import CANCEL, CANCELLED, OVERDUE, PID_FILE
from imframework.api.errors import IMError
from imframework.api.model import Access
from imframework.contextualization import bundle
from imframework.contextualization.bundle import Tools
from imframework.contextualization.inventory import NameDefaults
from imframework.contextualization.processes import AgentProcess, agent_of
from imframework.contextualization.reports import EventReader, TooMuch
from imframework.contextualization.sandbox import Sandbox, give, make_runs_dir
from imframework.core.ports import Job, Progress, Report

_log = logging.getLogger(__name__)

#: Seconds between looks at what an agent writes: its file tells nobody that it has grown.
INTERVAL = 0.1

#: Seconds an agent gets to end by itself when it is told to, and after its deadline.
GRACE, OVERTIME = 5.0, 30.0

#: How often an agent that ended without saying so is started again.
RESTARTS = 1

#: Reasons for the end of a run; users see these texts.
LOST = "ERROR: The configuration agent ended unexpectedly."
TOO_MUCH = "ERROR: The configuration wrote more output than is allowed."

#: What the names of folders begin with that are being removed.
_GONE = ".gone-"

ReportSink = Callable[[list[Report]], Awaitable[None]]


class ServerConfigurator:
    """The `Configurator` of the core that runs everything on this host."""

    def __init__(
        self, runs_dir: Path, sandbox: Sandbox, *, defaults: NameDefaults | None = None, tools: Tools | None = None
    ) -> None:
        """`runs_dir` gets a folder for each run, with keys in it: it is for this service alone, on this host."""
        self._runs_dir = Path(os.path.abspath(runs_dir))
        self._sandbox = sandbox
        self._defaults = defaults or NameDefaults()
        self._tools = tools or Tools(python=sandbox.interpreter.path)
        #: Held while a run folder is made; tells of removed ones.
        self._folders = asyncio.Condition()
        #: What we have started and are following, by run.
        self._started: dict[str, AgentProcess] = {}

    # --- running -------------------------------------------------------------------------------------------

    async def run(self, job: Job, after: int, report: ReportSink) -> None:
        """See `imframework.core.ports.Configurator`."""
        folder = bundle.run_folder(self._runs_dir, job.run_id)
        await self._make(folder, job, after)
        reader = EventReader(folder, after, {target.number for target in job.targets})
        try:
            reason = await self._watch(folder, job, reader, report)
        except TooMuch:
            await self.cancel(job.run_id)
            reason = TOO_MUCH
        if reason is not None:
            await report([Report(reader.last + 1, Progress.FINISHED, message=reason)])

    async def _make(self, folder: Path, job: Job, first_sequence: int) -> None:
        """Have the run folder there. Where each run needs a user of its own, this waits until one is free."""
        async with self._folders:
            while not os.path.lexists(folder):  # noqa: ASYNC240 - as fast as anything
                if await asyncio.to_thread(self._write, folder, job, first_sequence):
                    return
                try:
                    async with asyncio.timeout(max(0.0, job.deadline - time.time())):
                        await self._folders.wait()
                except TimeoutError:
                    raise IMError("There were too many other configurations to run.") from None

    def _write(self, folder: Path, job: Job, first_sequence: int) -> bool:
        make_runs_dir(self._runs_dir, self._sandbox)
        uid = self._sandbox.owner({entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(self._runs_dir)})
        if uid is None:
            return False
        draft = bundle.draft(folder, job, self._defaults, self._tools, first_sequence)
        give(draft, uid)
        draft.rename(folder)
        return True

    async def _watch(self, folder: Path, job: Job, reader: EventReader, report: ReportSink) -> str | None:
        """Follow a run to its end, starting agents as need be; the reason if no agent tells the end."""
        starts = 0
        while True:
            agent = await self._agent(folder)
            if agent is None:
                if await self._pass_on(reader, report):
                    return None
                if os.path.lexists(folder / CANCEL):  # noqa: ASYNC240 - as fast as anything
                    return CANCELLED
                if time.time() >= job.deadline:
                    return OVERDUE
                if starts > RESTARTS:
                    return LOST
                starts += 1
                agent = await asyncio.to_thread(self._sandbox.start, folder)
            try:
                self._started[job.run_id] = agent
                if await self._follow(agent, folder, job.deadline + OVERTIME, reader, report):
                    return None
            finally:
                self._started.pop(job.run_id, None)
                words = agent.close()
                if words:
                    _log.error("the agent of configuration run %s said: %s", job.run_id, words)

    async def _follow(
        self, agent: AgentProcess, folder: Path, until: float, reader: EventReader, report: ReportSink
    ) -> bool:
        """Pass on what an agent says, until it has finished; False if it ended without saying so."""
        while True:
            ended = agent.has_ended()  # asked before reading, so that its last words are read
            if await self._pass_on(reader, report):
                await agent.wait(GRACE)  # it ends now
                return True
            if ended:
                return False
            if time.time() > until:
                await self._end(folder)
            await agent.wait(INTERVAL)

    @staticmethod
    async def _pass_on(reader: EventReader, report: ReportSink) -> bool:
        """Pass on all there is; whether the run is over."""
        while reports := reader.read():
            await report(reports)
        return reader.finished

    async def _agent(self, folder: Path) -> AgentProcess | None:
        return await asyncio.to_thread(agent_of, folder / PID_FILE)

    # --- ending --------------------------------------------------------------------------------------------

    async def cancel(self, run_id: str) -> None:
        """See `imframework.core.ports.Configurator`."""
        folder = bundle.run_folder(self._runs_dir, run_id)
        if not os.path.lexists(folder):  # noqa: ASYNC240 - as fast as anything
            return
        _mark_cancelled(folder)
        await self._end(folder)
        started = self._started.get(run_id)
        if started is not None and not started.has_ended():  # it was about to take its lock: it will see the mark
            await started.wait(GRACE)
            await self._end(folder)
        if not await asyncio.to_thread(self._sandbox.end_strays, folder):
            raise IMError("Processes of a configuration do not end.")

    async def _end(self, folder: Path) -> None:
        """End the agent of a run, with all it has started."""
        agent = await self._agent(folder)
        if agent is None:
            return
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                agent.signal(number)
                await agent.wait(GRACE)
        finally:
            agent.close()

    async def discard(self, run_id: str) -> None:
        """See `imframework.core.ports.Configurator`."""
        await self.cancel(run_id)
        folder = bundle.run_folder(self._runs_dir, run_id)
        await asyncio.to_thread(_remove, folder)
        async with self._folders:
            self._folders.notify_all()

    async def sweep(self, known: Collection[str]) -> list[str]:
        """End and remove runs that are not among `known` (ids): the core has forgotten them. Their ids.

        Meant for the start of the service, before anything runs.
        """
        if not self._runs_dir.is_dir():
            return []
        unknown = []
        for entry in sorted(os.listdir(self._runs_dir)):
            path = self._runs_dir / entry
            if entry.startswith("."):  # half made, or half removed, when somebody was killed
                await asyncio.to_thread(_remove, path)
            elif entry not in known and bundle.is_run_id(entry):
                await self.discard(entry)
                unknown.append(entry)
        return unknown

    # --- machines ------------------------------------------------------------------------------------------

    async def reachable(self, access: Access, timeout: float) -> str:
        """See `imframework.core.ports.Configurator`."""
        return await remote.reachable(access, timeout)


def _mark_cancelled(folder: Path) -> None:
    with suppress(OSError):  # it is there, in whatever form
        os.close(os.open(folder / CANCEL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _remove(folder: Path) -> None:
    """Remove a run folder, whatever a recipe has made of what is in it."""
    gone = folder.with_name(f"{_GONE}{folder.name}-{time.time_ns()}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
        if sys.version_info >= (3, 12):
            shutil.rmtree(gone, onexc=_open_and_retry)
        else:
            shutil.rmtree(gone, onerror=_open_and_retry)


def _open_and_retry(function: Callable[[str], object], path: str, _: object) -> None:
    """A folder without access for its owner: nothing runs there any more, so that it can be opened without a race."""
    for each in (os.path.dirname(path), path):
        if stat.S_ISDIR(os.lstat(each).st_mode):
            os.chmod(each, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
