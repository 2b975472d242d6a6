"""What the service adds to Ansible: configuring the demonstration's cluster, against a plain ansible-playbook.

One round deploys examples/radl/cluster.radl on `local` by a real service, agents in their sandbox, and takes the time
from when all machines run until the infrastructure is configured. The next one makes the same machines, exports the job
that the service would carry out, and runs it by one plain ansible-playbook. Rounds alternate, each on machines freshly
made; the ratio of a pair of rounds is what counts, the median of the pairs is the figure.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import service
from figures import Figure, table

from imframework.api.service import Document, Language
from imframework.cli.embedded import EmbeddedClient
from imframework.contextualization import ServerConfigurator
from imframework.contextualization.bundle import Tools, export
from imframework.contextualization.inventory import NameDefaults
from imframework.core.ports import Job, Progress, Report
from imframework.server import host

ROUNDS = 3
DOCUMENT = Path(__file__).parents[2] / "examples" / "radl" / "cluster.radl"
MACHINES = 3
CREDENTIALS = f"{service.LOGIN}\\nid = here; type = Local"


class PlainConfigurator(ServerConfigurator):
    """Takes the place of the one that runs agents, and runs each job by a plain ansible-playbook."""

    seconds = 0.0

    async def run(self, job: Job, after: int, report: Callable[[list[Report]], Awaitable[None]]) -> None:
        """See `imframework.core.ports.Configurator`."""
        with tempfile.TemporaryDirectory(prefix="imframework-bench-") as folder:
            place = Path(folder) / "run"
            command = export(place, job, NameDefaults(), Tools())
            environment = {**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "HOME": str(place / "home")}
            output = Path(folder) / "output"
            with output.open("wb") as file:
                began = time.perf_counter()
                process = await asyncio.create_subprocess_exec(
                    *command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
                )
                status = await process.wait()
                PlainConfigurator.seconds = time.perf_counter() - began
            message = f"ansible-playbook ended with {status}: {output.read_text()[-2000:]}" if status else ""
        await report([Report(after + 1, Progress.FINISHED, message=message)])


def by_service(real: service.Service) -> float:
    """Seconds that the service takes for the configuration."""
    client = real.client(CREDENTIALS)
    id = client.create(DOCUMENT.read_text())
    service.waiting(lambda: client.state(id) in ("configured", "unconfigured", "failed"))
    _, body = client.ask("GET", f"/infrastructures/{id}/events")
    seconds = configuration_time(json.loads(body)["events"])
    client.ask("DELETE", f"/infrastructures/{id}")
    return seconds


def by_ansible(folder: Path) -> float:
    """Seconds that Ansible takes for the same by itself."""
    with EmbeddedClient(folder) as client:
        id = client.create(Document(DOCUMENT.read_text(), Language.RADL))
        service.waiting(lambda: client.state(id).state in ("configured", "unconfigured", "failed"))
        if client.state(id).state != "configured":
            raise SystemExit(f"not configured: {client.contmsg(id)}")
        client.destroy(id)
        service.waiting(lambda: id not in client.list())
    return PlainConfigurator.seconds


def configuration_time(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from when the last machine runs until all are configured."""
    states = [(event["time"], event["data"]) for event in events if event["type"] == "state"]
    running = [time for time, data in states if "vm" in data and data["state"] == "running"]
    configured = [time for time, data in states if "vm" not in data and data["state"] == "configured"]
    if len(running) != MACHINES or not configured:
        raise SystemExit(f"the machines were not configured: {states}")
    return configured[-1] - running[-1]


def measure() -> Iterator[Figure]:
    pairs = []
    with (
        tempfile.TemporaryDirectory(prefix="imframework-bench-") as folder,
        service.running({"CONNECTORS": "local", "LOCAL_DIR": Path(folder) / "machines"}) as real,
        patch.object(host, "ServerConfigurator", PlainConfigurator),
    ):
        for _ in range(ROUNDS):
            pairs.append((by_service(real), by_ansible(Path(folder) / "plain")))
    beyond = statistics.median(mine / plain - 1 for mine, plain in pairs)
    yield Figure(
        "configuration beyond plain ansible-playbook", 100 * beyond, "%", 25,
        detail="; ".join(f"{mine:.1f} s against {plain:.1f} s" for mine, plain in pairs),
    )  # fmt: skip


if __name__ == "__main__":
    print(table(measure()))
