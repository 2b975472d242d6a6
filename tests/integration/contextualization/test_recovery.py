"""Killed at any moment: server and agent are found again, and what is recorded does not run again."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imframework.contextualization import ServerConfigurator
from imframework.contextualization.processes import lock_holder
from imframework.core.ports import Progress, Report

DOCUMENT = """
configure front (
@begin
- tasks:
    - shell: echo ran >> ~/first
@end
)
configure second (
@begin
- tasks:
    - name: Begin
      shell: echo ran >> ~/second
    - name: Hold
      wait_for: path=~/go timeout=100
@end
)
configure worker (
@begin
- tasks:
    - shell: echo ran >> ~/first
@end
)
contextualize (
system front configure front step 1
system worker configure worker step 1
system front configure second step 2
system worker configure second step 2
)
"""


class Service:
    """A service as a process, and what it has stored."""

    def __init__(self, folder: Path, sandbox: str, runs_dir: Path, job: object) -> None:
        self._job, self._reports = folder / "job", folder / "reports"
        self._arguments = [sandbox, str(runs_dir), str(self._job)]
        self._job.write_bytes(pickle.dumps(job))
        self._reports.touch()
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it; what is stored it knows already."""
        after = max((report.sequence for report in self.reports()), default=0)
        program = Path(__file__).with_name("server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), *self._arguments, str(after), str(self._reports)]
        )

    def reports(self) -> list[Report]:
        """What has been stored, by all that were started."""
        lines = self._reports.read_bytes().split(b"\n")[:-1]
        return [pickle.loads(bytes.fromhex(line.decode())) for line in lines]  # noqa: S301 - the test's own

    def wait_for(self, text: str, vms: set[int]) -> None:
        """Until a text is in the logs of machines."""

        def there() -> bool:
            return vms <= {report.vm for report in self.reports() if text in report.text}

        _wait(there, f"{text} of {vms}, reported: {self.reports()[-5:]}")

    def kill(self) -> None:
        """With nothing said."""
        self.process.kill()
        self.process.wait()


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, f"no {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("sandbox", ["none", "bubblewrap"])
def test_a_run_survives_the_death_of_the_service_and_of_its_agent(
    cluster, sandboxes, tmp_path: Path, processes_with, sandbox: str
) -> None:
    sandboxes(sandbox, cluster.runs_dir)
    job = cluster.job(DOCUMENT)
    folder = cluster.runs_dir / job.run_id
    service = Service(tmp_path, sandbox, cluster.runs_dir, job)

    service.start()
    service.wait_for("TASK [Hold]", {0, 1, 2})
    agent = lock_holder(folder / "agent.pid")
    service.kill()

    assert lock_holder(folder / "agent.pid") == agent, "the agent outlives the service"

    service.start()
    os.kill(agent, signal.SIGKILL)
    service.wait_for("The agent was started again", {None})  # type: ignore[arg-type]
    for machine in cluster.machines:
        (machine.home / "go").touch()
    assert service.process.wait(60) == 0

    reports = service.reports()
    assert [report.sequence for report in reports] == list(range(1, len(reports) + 1))
    assert (reports[-1].kind, reports[-1].message) == (Progress.FINISHED, "")
    done = [(report.vm, report.task) for report in reports if report.kind is Progress.TASK_DONE]
    assert len(done) == len(set(done)) == 12
    assert [machine.read("first") for machine in cluster.machines] == ["ran\n"] * 3, "recorded: not run again"
    assert [machine.read("second") for machine in cluster.machines] == ["ran\nran\n"] * 3, "was interrupted"
    assert processes_with(str(folder)) == []

    service.start()  # it was killed before it could note that the run is over
    assert service.process.wait(60) == 0
    assert service.reports() == reports


async def test_a_run_whose_agent_cannot_live_ends_with_the_reason(cluster, configurator, log) -> None:
    job = cluster.job(DOCUMENT)

    async def kill_agents() -> None:
        path = cluster.runs_dir / job.run_id / "agent.pid"
        while True:
            if pid := lock_holder(path):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)

    killer = asyncio.create_task(kill_agents())
    await configurator.run(job, 0, log)
    killer.cancel()

    assert log.end() == "ERROR: The configuration agent ended unexpectedly."


async def test_folders_of_runs_that_nobody_knows_are_removed_with_their_processes(
    cluster, configurator: ServerConfigurator, log, processes_with
) -> None:
    job = cluster.job(DOCUMENT, run_id="forgotten")
    holding = asyncio.Event()
    log.on("TASK [Begin]", holding.set)
    run = asyncio.create_task(configurator.run(job, 0, log))
    await asyncio.wait_for(holding.wait(), 60)
    run.cancel()
    (cluster.runs_dir / "known").mkdir()
    (cluster.runs_dir / ".gone-half-removed").mkdir()

    assert await configurator.sweep({"known"}) == ["forgotten"]

    assert [path.name for path in cluster.runs_dir.iterdir()] == ["known"]
    assert processes_with(str(cluster.runs_dir)) == []
