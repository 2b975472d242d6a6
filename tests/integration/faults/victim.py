"""The service without its front end, as a process that tests can kill: `victim.py DIRECTORY MODE [COMMIT]`.

Modes: ``live`` carries out the requests of DIRECTORY/requests.json one after the other; ``recover`` gets no request and
ends when there is nothing left to do. With COMMIT the process kills itself after (negative: instead of) that commit.
Machines are configured by a stand-in that notes every task in DIRECTORY/tasks.log, and whether it was recorded.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from imframework.api.errors import IMError, StorageError
from imframework.api.model import Access
from imframework.api.service import Caller, Document
from imframework.api.storage import Commit
from imframework.core.at_rest import AtRest
from imframework.core.calls import Bulkheads
from imframework.core.clouds import Clouds
from imframework.core.engine import Engine, EngineOptions
from imframework.core.keyring import Keyring
from imframework.core.ports import Job, Progress, Report
from imframework.core.repository import Repository
from imframework.core.secrets import SecretBox
from imframework.core.service import CoreService, ServiceOptions, Surroundings
from imframework_plugins.auth.userdb.provider import UserDatabase
from imframework_plugins.connectors.dummy.connector import DummyConnector
from imframework_plugins.storage.sql.storage import SqlStorage

AUTH = "type = InfrastructureManager; username = u; password = p\\nid = cloud; type = Dummy; host = dummy.example.org"


class DyingStorage(SqlStorage):
    """A real database whose process is killed at a commit."""

    fatal = 0
    seen = 0

    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        type(self).seen += 1
        if self.fatal == -self.seen:
            os.kill(os.getpid(), signal.SIGKILL)
        result = super().commit(commits)
        if self.fatal == self.seen:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class NotingConfigurator:
    """Stands in for the agent: every task of every machine is a line in a file that outlives the process."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def _note(self, *words: object) -> None:
        with self._log.open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    async def run(self, job: Job, after: int, report: Callable[[list[Report]], Awaitable[None]]) -> None:
        sequence = after
        done = {target.number: target.done for target in job.targets}
        for task in sorted(job.tasks, key=lambda task: task.step):
            for vm in task.vms:
                if task.name in done[vm]:
                    continue
                self._note("ran", job.run_id, vm, task.name)
                sequence += 1
                await report([Report(sequence, Progress.TASK_DONE, vm, task.name)])
                self._note("recorded", job.run_id, vm, task.name)
        await report([Report(sequence + 1, Progress.FINISHED)])

    async def cancel(self, run_id: str) -> None:
        self._note("cancelled", run_id)

    async def discard(self, run_id: str) -> None:
        self._note("discarded", run_id)

    async def reachable(self, access: Access, timeout: float) -> str:
        return ""


async def live(service: CoreService, caller: Caller, requests: Sequence[dict[str, object]]) -> None:
    """Carry out the requests; names stand for ids of infrastructures."""
    ids: dict[object, str] = {}
    for request in requests:
        name, verb = request["infrastructure"], request["verb"]
        text = Document(str(request.get("document", "")))
        try:
            match verb:
                case "create":
                    ids[name] = await service.create(caller, text)
                case "add":
                    await service.add(caller, ids[name], text)
                case "remove":
                    await service.remove(caller, ids[name], request["vms"])  # type: ignore[arg-type]
                case "settle":
                    while (await service.state(caller, ids[name])).state in ("pending", "running"):  # noqa: ASYNC110 - as clients do
                        await asyncio.sleep(0.01)
                case "destroy":
                    await service.destroy(caller, ids[name], force=bool(request.get("force")))
                case _:
                    await getattr(service, str(verb))(caller, ids[name])
        except IMError as error:
            print(f"{verb}: {error}", flush=True)


async def main(directory: Path, mode: str, fatal: int) -> None:
    DyingStorage.fatal = fatal
    setup = json.loads((directory / "requests.json").read_text())
    storage = DyingStorage(f"sqlite://{directory}/im.db", {})
    repository = Repository(storage, "victim")
    box = SecretBox.load(directory / "key")
    repository.seal_with(AtRest(box))
    bulkheads = Bulkheads(16)
    options = {"DUMMY_FILE": directory / "cloud.db", "DUMMY_BEHAVIOUR": json.dumps(setup.get("behaviour", {}))}

    class Source:
        def connector(self, type: str) -> tuple[type[DummyConnector], dict[str, object]]:
            return DummyConnector, options

    engine = Engine(
        repository,
        Clouds(Source(), bulkheads, setup.get("timeout", 10.0)),
        NotingConfigurator(directory / "tasks.log"),
        Keyring(box),
        EngineOptions(
            max_launches=4,
            retry_delay=0.05,
            update_frequency=3600,
            delete_grace=0.5,
            max_vm_fails=setup.get("max_vm_fails", 3),
        ),
    )

    async def health() -> dict[str, str]:
        return {}

    service = CoreService(
        engine,
        [UserDatabase({"USER_DB": None, "ADMIN_USER": ()})],
        ServiceOptions(),
        Surroundings(list, health, lambda: b""),
        bulkheads,
    )
    await repository.open()
    await engine.start()
    print("started", flush=True)
    if mode == "live":
        await live(service, await service.authenticate(AUTH), setup["requests"])
    while not engine.idle:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)
    await engine.stop()
    await repository.close()
    print("commits", DyingStorage.seen, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
