"""The service without its front end, as processes that tests can kill.

Started once, this program makes a process for each line of its input, `[DIRECTORY, MODE, COMMIT]` as JSON, and answers
with the process id; a line with that id has it answer with the exit code. Each is a fork of this one: what takes a
second is importing everything, and that is done once.

Modes: ``live`` carries out the requests of DIRECTORY/requests.json one after the other; ``recover`` gets no request and
ends when there is nothing left to do. With a COMMIT other than 0 the process kills itself after (negative: instead of)
that commit. Machines are configured by a stand-in that notes every task in DIRECTORY/tasks.log, and whether it was
recorded.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
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


async def live(service: CoreService, caller: Caller, requests: Sequence[dict[str, object]], document: Path) -> None:
    """Carry out the requests; names stand for ids of infrastructures. What is exported goes to `document`."""
    ids: dict[object, str] = {}
    for request in requests:
        name, verb = request["infrastructure"], request["verb"]
        sent = Document(str(request.get("document", "")))
        try:
            match verb:
                case "create":
                    ids[name] = await service.create(caller, sent)
                case "repeat":
                    ids[name] = await service.create(caller, sent, idempotency_key="key")
                case "begin":
                    ids[name] = await service.create(caller, sent, asynchronous=True)
                case "add":
                    await service.add(caller, ids[name], sent)
                case "remove":
                    await service.remove(caller, ids[name], request["vms"])  # type: ignore[arg-type]
                case "settle":
                    while (await service.state(caller, ids[name])).state in ("pending", "running"):  # noqa: ASYNC110 - as clients do
                        await asyncio.sleep(0.01)
                case "reboot":
                    await service.reboot(caller, ids[name], request["vm"])  # type: ignore[arg-type]
                case "export":
                    text = await service.export_document(caller, ids[name], delete=True)
                    document.write_text(text)  # noqa: ASYNC240 - it is short
                case "import":
                    ids[name] = await service.import_document(caller, document.read_text())  # noqa: ASYNC240
                case "regain":
                    for record in await service.stats(caller):
                        ids[name] = str(record["inf_id"])
                        if record["deleted"]:
                            text = await service.export_document(caller, ids[name], delete=True)
                            await service.import_document(caller, text)
                case "alter":
                    await service.alter(caller, ids[name], request["vm"], sent)  # type: ignore[arg-type]
                case "snapshot":
                    await service.snapshot(caller, ids[name], request["vm"], 0, "saved", auto_delete=True)  # type: ignore[arg-type]
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
        await live(service, await service.authenticate(AUTH), setup["requests"], directory / "export.json")
    while not engine.idle:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)
    await engine.stop()
    await repository.close()
    print("commits", DyingStorage.seen, flush=True)


#: No process lives longer than so many seconds, whatever becomes of the tests.
LONGEST = 120


def bear(directory: Path, mode: str, fatal: int) -> int:
    """Fork a process that lives in a directory; its id. Its output goes to DIRECTORY/output."""
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("a process with threads must not be forked")
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.alarm(LONGEST)
        output = os.open(directory / "output", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(output, descriptor)
        asyncio.run(main(directory, mode, fatal))
        code = 0
    except BaseException:  # noqa: BLE001 - must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def serve() -> None:
    """Bear processes until the input ends."""
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(order, 0)[1])
        else:
            answer = bear(Path(order[0]), order[1], order[2])
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
