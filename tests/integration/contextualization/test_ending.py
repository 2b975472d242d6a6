"""Runs that end before they are through: cancelled, or out of time. Nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from imframework.api.errors import InvalidRequest
from imframework.contextualization import ServerConfigurator, server_placement
from imframework.contextualization.processes import lock_holder
from imframework.core.ports import Progress

# A daemon in a session of its own, a child of Ansible, and Ansible itself waiting for a machine.
DOCUMENT = """
configure front (
@begin
- tasks:
    - name: Leave a daemon behind
      debug: msg="{{ lookup('pipe', 'setsid sh -c \\"sleep 1000 & sleep 1001\\" >/dev/null 2>&1 & echo started') }}"
    - name: Sleep here
      debug: msg="{{ lookup('pipe', 'sleep 1002') }}"
@end
)
configure worker (
@begin
- tasks:
    - name: Sleep there
      wait_for: path=~/never timeout=1000
@end
)
"""


@pytest.mark.parametrize("sandbox", ["none", "bubblewrap"])
async def test_cancelling_ends_every_process_of_a_run_at_once(
    cluster, sandboxes: Callable, log, processes_with: Callable, sandbox: str
) -> None:
    configurator = ServerConfigurator(cluster.runs_dir, sandboxes(sandbox, cluster.runs_dir))
    job = cluster.job(DOCUMENT)
    asleep = [asyncio.Event(), asyncio.Event()]
    log.on("TASK [Sleep here]", asleep[0].set)
    log.on("TASK [Sleep there]", asleep[1].set)
    run = asyncio.create_task(configurator.run(job, 0, log))
    for event in asleep:
        await asyncio.wait_for(event.wait(), 60)
    async with asyncio.timeout(60):
        while not processes_with("sleep\0001002"):  # noqa: ASYNC110 - the task has been announced, and begins now
            await asyncio.sleep(0.05)
    ours = f"IMFRAMEWORK_RUN={cluster.runs_dir / job.run_id}"
    assert len(processes_with(ours)) >= 5

    await configurator.cancel(job.run_id)

    assert processes_with(ours) == []
    assert processes_with(f"agent.py\0{cluster.runs_dir}") == []
    await asyncio.wait_for(run, 10)
    assert log.end() == "cancelled"
    assert log.of(Progress.TASK_DONE)
    await configurator.discard(job.run_id)
    assert list(cluster.runs_dir.iterdir()) == []


async def test_a_run_ends_at_its_deadline(cluster, configurator: ServerConfigurator, log, processes_with) -> None:
    await configurator.run(cluster.job(DOCUMENT, seconds=4), 0, log)

    assert log.end() == "ERROR: Max contextualization time passed."
    assert processes_with(str(cluster.runs_dir)) == []


async def test_an_agent_that_does_not_end_at_its_deadline_is_killed(
    cluster, configurator: ServerConfigurator, log, processes_with, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_placement, "OVERTIME", 0.5)
    monkeypatch.setattr(server_placement, "GRACE", 0.5)
    job = cluster.job(DOCUMENT, seconds=3)
    pid_file = cluster.runs_dir / job.run_id / "agent.pid"
    log.on("Launch task", lambda: os.kill(lock_holder(pid_file), signal.SIGSTOP))

    await configurator.run(job, 0, log)

    assert log.end() == "ERROR: Max contextualization time passed."
    await configurator.discard(job.run_id)
    assert processes_with(str(cluster.runs_dir)) == []


async def test_whatever_a_recipe_does_to_its_folder_it_is_removed(
    cluster, configurator: ServerConfigurator, tmp_path, log
) -> None:
    (tmp_path / "outside").mkdir(mode=0o500)
    document = """
configure front (
@begin
- tasks:
    - shell: mkdir -p a/b && touch a/b/c && chmod 000 a/b && chmod 500 a && ln -s OUTSIDE link && chmod 500 .
      args: {chdir: "{{ lookup('env', 'TMPDIR') }}"}
      delegate_to: localhost
      connection: local
@end
)
""".replace("OUTSIDE", str(tmp_path / "outside"))

    await configurator.run(cluster.job(document), 0, log)
    assert not log.failures()
    await configurator.discard("run")

    assert list(cluster.runs_dir.iterdir()) == []
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o500


async def test_cancelling_or_discarding_what_is_not_there_succeeds(configurator: ServerConfigurator) -> None:
    await configurator.cancel("never-was")
    await configurator.discard("never-was")


async def test_the_id_of_a_run_cannot_lead_out_of_the_folder_of_runs(
    cluster, configurator: ServerConfigurator, log
) -> None:
    for run_id in ("../x", "", ".", "a/b", "a\0b", "-x"):
        with pytest.raises(InvalidRequest):
            await configurator.run(cluster.job(DOCUMENT, run_id=run_id), 0, log)
        with pytest.raises(InvalidRequest):
            await configurator.discard(run_id)
