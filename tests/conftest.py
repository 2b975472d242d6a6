"""What the tests of several rooms share: coroutines as tests, and the core at work in this process.

`ground` is a place for services: one database in memory, one simulated cloud whose behaviour can be changed at any
time, and machines that are configured by a stand-in for the agent.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from imframework.api.connector import Connector
    from imframework.api.model import Access
    from imframework.api.service import Caller
    from imframework.api.storage import Storage
    from imframework.core.engine import Engine
    from imframework.core.entities import Record
    from imframework.core.infrastructure import Infrastructure
    from imframework.core.ports import Hooks, Job, Report
    from imframework.core.repository import Repository
    from imframework.core.service import CoreService
    from imframework_plugins.connectors.dummy.cloud import DummyCloud


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), PATIENCE))
    return True


#: Longest time in seconds that such a test may take: what hangs fails.
PATIENCE = float(os.environ.get("IMFRAMEWORK_TEST_PATIENCE", "60"))


#: A credential list of a user with an account of the simulated cloud.
OWNER = "type = InfrastructureManager; username = owner; password = secret-of-owner\\nid = cloud; type = Dummy"

ADMIN = {"username": "admin", "password": "secret-of-admin"}


class StandIn:
    """Configures machines without doing anything; notes what it was asked, and fails where it is told to.

    `failing` are (machine, task) that fail; `unreachable` machines accept no log-in; `hold`, when cleared, keeps runs
    from going on.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.ran: Counter[tuple[str, int, str]] = Counter()
        self.cancelled: list[str] = []
        self.discarded: list[str] = []
        self.failing: set[tuple[int, str]] = set()
        self.unreachable: set[int] = set()
        self.refusal: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self._ended: dict[str, asyncio.Event] = {}
        self._addresses: dict[str, int] = {}

    async def run(self, job: Job, after: int, report: Callable[[list[Report]], Awaitable[None]]) -> None:
        from imframework.core.ports import Progress, Report

        if self.refusal is not None:
            raise self.refusal
        self.jobs.append(job)
        ended = self._ended.setdefault(job.run_id, asyncio.Event())
        done = {target.number: target.done for target in job.targets}
        failed: set[int] = set()
        sequence = after
        for task in sorted(job.tasks, key=lambda task: task.step):
            for vm in task.vms:
                if task.name in done[vm] or vm in failed:
                    continue
                await self._held(ended)
                if ended.is_set():
                    await report([Report(sequence + 1, Progress.FINISHED, message="cancelled")])
                    return
                self.ran[job.run_id, vm, task.name] += 1
                sequence += 1
                if (vm, task.name) in self.failing:
                    failed.add(vm)
                    await report([Report(sequence, Progress.TASK_FAILED, vm, task.name, "a task: it does not work")])
                else:
                    await report([Report(sequence, Progress.TASK_DONE, vm, task.name)])
        await report([Report(sequence + 1, Progress.FINISHED)])

    async def _held(self, ended: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self.hold, ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)
        self._ended.setdefault(run_id, asyncio.Event()).set()

    async def discard(self, run_id: str) -> None:
        self.discarded.append(run_id)

    async def reachable(self, access: Access, timeout: float) -> str:
        return "it does not answer" if access.port in self.unreachable else ""


@dataclass
class Running:
    """A service at work."""

    service: CoreService
    engine: Engine
    repository: Repository
    configurator: StandIn
    owner: Caller
    ground: Ground = field(repr=False)
    ids: list[str] = field(default_factory=list)

    async def caller(self, credentials: str) -> Caller:
        """Whoever has these credentials."""
        return await self.service.authenticate(credentials)

    async def create(self, document: str, caller: Caller | None = None, *, asynchronous: bool = True) -> str:
        """Ask for an infrastructure."""
        from imframework.api.service import Document

        id = await self.service.create(caller or self.owner, Document(document), asynchronous=asynchronous)
        self.ids.append(id)
        return id

    async def add(self, id: str, document: str, *, context: bool = True) -> Sequence[int]:
        """Ask for more machines."""
        from imframework.api.service import Document

        return await self.service.add(self.owner, id, Document(document), context=context)

    async def infra(self, id: str) -> Infrastructure:
        """The infrastructure as the service has it in memory."""
        infra = await self.repository.get(id)
        assert infra is not None
        return infra

    async def log(self, id: str) -> str:
        """The configuration log, of deleted infrastructures too."""
        return "".join((await self.repository.logs(id)).values())

    def unended(self, id: str) -> Mapping[str, float]:
        """The calls that were given up and have not ended."""
        return self.engine.tools.abandoned.of(id)

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time\n{self.describe()}"
            await asyncio.sleep(0.002)

    async def settled(self, id: str, timeout: float = 10.0) -> Infrastructure:
        """The infrastructure, once there is nothing to do with it now."""
        infra = await self.infra(id)
        await self.until(lambda: not self.engine.works_on(id), timeout)
        return infra

    def describe(self) -> str:
        """What there is, a line for each record, for failed tests: what is as usual, and what is long, is left out."""
        lines = []
        for infra in filter(None, map(self.repository.cached, self.ids)):
            lines.append(f"{infra.id}: wanted={infra.wanted} deleted={infra.deleted} due={infra.due} lost={infra.lost}")
            lines += [f"  {_line(vm)}; {vm.state()}" for vm in infra.vms.values()]
            lines += [f"  {_line(entry)}" for entry in infra.entries.values()]
            lines += [f"  {_line(record)}" for record in (*infra.operations.values(), *infra.runs.values())]
        return "\n".join([*lines, f"cloud: {self.ground.inventory()}", f"now: {time.time():.3f}"])


#: Fields of records that say little about what went wrong, and much of it.
TEDIOUS = {
    *("system", "definition", "cloud", "cloud_type", "image", "why", "planned", "facts", "user_data"),
    *("account", "name_in_plan", "name", "kind", "token", "spec", "attributes", "resolved", "depends_on"),
}


def _line(record: Record) -> str:
    """A record on one line."""
    about = [
        f"{name}={round(value, 3) if isinstance(value, float) else value}"
        for name, value in record.to_row().data.items()
        if name not in TEDIOUS
    ]
    return f"{type(record).__name__} {record.key}: {' '.join(about)}"


class Ground:
    """Where services run: what outlives them, and what the cloud is like."""

    owner = OWNER

    def __init__(self, directory: Path) -> None:
        from imframework.core.secrets import SecretBox
        from imframework.testing.memory_storage import MemoryDatabase
        from imframework_plugins.connectors.dummy.cloud import shared_cloud

        self.directory = directory
        self.database = MemoryDatabase()
        self.cloud: DummyCloud = shared_cloud(directory / "cloud.db")
        self.box = SecretBox.load(directory / "key")
        self._behaviour = directory / "behaviour.json"
        self.behave()

    @staticmethod
    def document(
        count: int = 1,
        *,
        system: str = "node",
        volumes: bool = False,
        public: bool = True,
        private: bool = True,
        recipe: bool = False,
        cloud: str = "",
    ) -> str:
        """A RADL document with one system: on a private and a public network, with a volume, with a recipe to run."""
        networks = [name for name, wanted in (("private", private), ("public", public)) if wanted]
        features = [f"net_interface.{i}.connection = '{name}'" for i, name in enumerate(networks)]
        features += ["disk.0.image.url = 'mock0://linux.for.ev.er/image1'", "disk.0.os.name = 'linux'"]
        features += ["disk.1.size = 1G"] * volumes
        lines = [
            "network private ()",
            "network public (outbound = 'yes')",
            f"system {system} ({' and '.join(features)})",
        ]
        lines += [f"configure {system} (\n@begin\n---\n- tasks: []\n@end\n)" if recipe else "contextualize ()"]
        lines += [f"deploy {system} {count} {cloud}"]
        return "\n".join(lines)

    def behave(self, **behaviour: Any) -> None:
        """Give the cloud another behaviour, from the next call on."""
        new = self._behaviour.with_suffix(".new")
        new.write_text(json.dumps(behaviour))
        os.replace(new, self._behaviour)

    def inventory(self, kind: str | None = None, account: str | None = None) -> list[str]:
        """Ids of what exists in the cloud, of one kind or of all."""
        return [entry.provider_id for entry in self.cloud.inventory(account) if kind in (None, entry.kind)]

    def calls(self, verb: str, kind: str | None = None) -> int:
        """How many requests of a verb have reached the cloud."""
        return sum(call.verb == verb and kind in (None, call.kind) for call in self.cloud.calls())

    @asynccontextmanager
    async def running(
        self,
        *,
        storage: Storage | None = None,
        holder: str = "one",
        lease_duration: float = 30.0,
        timeout: float = 5.0,
        threads: int = 16,
        connectors: Mapping[str, type[Connector] | Exception] | None = None,
        hooks: Hooks | None = None,
        service_options: Mapping[str, Any] | None = None,
        user_db: Path | None = None,
        recipes: Mapping[str, str] | None = None,
        **options: Any,
    ) -> AsyncIterator[Running]:
        """A service; `options` are those of the engine, `recipes` what TOSCA may refer to. Leaving stops it."""
        from imframework.api.errors import PluginUnavailable
        from imframework.core.at_rest import AtRest
        from imframework.core.calls import Bulkheads
        from imframework.core.clouds import Clouds
        from imframework.core.engine import Engine, EngineOptions
        from imframework.core.keyring import Keyring
        from imframework.core.repository import Repository
        from imframework.core.service import CoreService, ServiceOptions, Surroundings
        from imframework.languages.tosca import Sources
        from imframework.testing.memory_storage import MemoryStorage
        from imframework_plugins.auth.userdb.provider import UserDatabase
        from imframework_plugins.connectors.dummy.connector import DummyConnector

        known = {"Dummy": DummyConnector, **(connectors or {})}
        plugin_options = {"DUMMY_FILE": self.directory / "cloud.db", "DUMMY_BEHAVIOUR": str(self._behaviour)}

        class Source:
            def connector(self, type_name: str) -> tuple[type[Connector], Mapping[str, object]]:
                found = known.get(type_name, PluginUnavailable(f"There is no connector for '{type_name}'."))
                if isinstance(found, Exception):
                    raise found
                return found, plugin_options

        async def health() -> dict[str, str]:
            return {}

        chosen: dict[str, Any] = {
            "max_launches": 8,
            "retry_delay": 0.02,
            "update_frequency": 3600.0,
            "delete_grace": 0.2,
            "wait_running": 5.0,
            "wait_public_ip": 5.0,
            **options,
        }
        bulkheads = Bulkheads(threads)
        configurator = StandIn()

        def on_events(infra: Infrastructure, events: Sequence[Any]) -> None:
            engine.observe_events(infra, events)

        repository = Repository(
            storage or MemoryStorage(database=self.database), holder, lease_duration=lease_duration, on_events=on_events
        )
        repository.seal_with(AtRest(self.box))
        engine = Engine(
            repository,
            Clouds(Source(), bulkheads, timeout),
            configurator,
            Keyring(self.box),
            EngineOptions(**chosen),
            hooks,
        )
        service = CoreService(
            engine,
            [UserDatabase({"USER_DB": user_db, "ADMIN_USER": [ADMIN]})],
            ServiceOptions(**(service_options or {})),
            Surroundings(list, health, lambda: b""),
            bulkheads,
            partial(Sources, artifact=(recipes or {}).get),
        )
        await repository.open()
        await engine.start()
        owner = await service.authenticate(self.owner)
        try:
            yield Running(service, engine, repository, configurator, owner, self)
        finally:
            await engine.stop()
            await repository.close()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A place for services of the core."""
    return Ground(tmp_path)


@pytest.fixture(scope="session")
def ground_class() -> type[Ground]:
    """For tests that need many places."""
    return Ground
