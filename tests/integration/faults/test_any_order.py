"""Any requests in any order, on a cloud with any faults, with restarts in between: in the end all is as it should be.

A test run looks at a few examples, always the same. To look for more, at random, set ANY_ORDER_EXAMPLES to their number
(some nine a second): `ANY_ORDER_EXAMPLES=5000 pytest tests/integration/faults/test_any_order.py`, with
`--hypothesis-seed=N` for others than the last time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from imframework.api.errors import CloudBusy, CloudRefused, IMError, StorageError
from imframework.api.model import Recognition
from imframework.api.service import Document
from imframework.core import worker
from imframework.core.entities import Status
from imframework.core.imports import UNFINISHED
from imframework.core.ports import Job
from imframework.testing.memory_storage import MemoryStorage
from imframework_plugins.connectors.dummy.connector import DummyConnector

EXAMPLES = int(os.environ.get("ANY_ORDER_EXAMPLES", "0"))
#: Longest time in seconds that a story may take to come to rest, on a machine that has much else to do.
PATIENCE = 30

VERBS = ["candidates", "plan", "create", "find", "read", "update", "delete", "stop", "start", "reboot", "snapshot"]
EFFECTS = [
    "fail", "busy", "refuse", "quota", "reject", "crash",
    "lose-request", "lose-answer", "late-answer", "delay", "hang", "break",
]  # fmt: skip
KINDS = [
    "key_pair",
    "network",
    "security_group",
    "volume",
    "instance",
    "public_ip",
    "public_ip_attachment",
    "image",
    "*",
]

occasions = {
    "kind": st.sampled_from(KINDS),
    "times": st.integers(1, 3),
    "nth": st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
}
under_way = {
    "verb": st.sampled_from(["create", "delete"]), "effect": st.just("lose-answer"), "in_flight": st.just(0.02),
}  # fmt: skip
faults = st.one_of(
    st.fixed_dictionaries(
        {**occasions, "verb": st.sampled_from(VERBS), "effect": st.sampled_from(EFFECTS), "seconds": st.just(0.12)}
    ),
    st.fixed_dictionaries({**occasions, **under_way}),
)
behaviours = st.fixed_dictionaries(
    {
        "recognition": st.dictionaries(st.sampled_from(KINDS), st.sampled_from(Recognition), max_size=2),
        "boot": st.sampled_from([{}, {"instance": 0.03}]),
        "deletion": st.sampled_from([{}, {"*": 0.03}]),
        "steps": st.sampled_from([{}, {"instance": 1}]),
        "largest": st.sampled_from([{}, {}, {"cpu": 2}]),
        "faults": st.lists(faults, max_size=4, unique_by=partial(json.dumps, sort_keys=True)),
    }
)
#: What a connector has promised holds, whatever else its cloud does.
promises = st.fixed_dictionaries(
    {
        "window": st.just({"*": 0.06}),
        "visible_after": st.sampled_from([{"*": 0.0}, {"*": 0.03}]),
        "lag": st.sampled_from([{}, {"*": 0.02}]),
    }
)
setups = st.fixed_dictionaries(
    {
        "threads": st.sampled_from([2, 16]),
        "max_launches": st.sampled_from([1, 8]),
        #: Which commits of a life fail; the first one makes the infrastructure.
        "failing": st.lists(st.integers(2, 20), max_size=2, unique=True),
    }
)
documents = st.fixed_dictionaries({"count": st.integers(1, 2), "volumes": st.booleans(), "public": st.booleans()})
machines = st.integers(0, 5)
alterations = st.sampled_from(
    [
        "system node (cpu.count >= 2)",
        "system node (cpu.count >= 4 and disk.2.size = 1G)",
        "network private\nsystem node (cpu.count >= 1 and net_interface.0.connection = 'private')",
        "network private\nnetwork public\nsystem node (cpu.count >= 3 and"
        " net_interface.0.connection = 'private' and net_interface.1.connection = 'public')",
    ]
)
requests = st.one_of(
    st.tuples(st.just("add"), documents),
    st.tuples(st.just("remove"), st.lists(machines, min_size=1, max_size=2)),
    st.tuples(st.sampled_from(["stop", "start"]), st.none() | machines),
    st.tuples(st.just("reboot"), machines),
    st.tuples(st.just("alter"), st.tuples(machines, alterations)),
    st.tuples(st.just("snapshot"), st.tuples(machines, st.booleans())),
    st.tuples(st.just("reconfigure"), st.none()),
    st.tuples(st.just("state"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.02, 0.1])),
    st.tuples(st.just("behave"), behaviours),
    st.tuples(st.just("vanish"), st.integers(0, 20)),
    st.tuples(st.just("switch"), st.tuples(machines, st.booleans())),
    st.tuples(st.just("hand over"), st.none()),
    st.tuples(st.just("share"), st.none()),
    st.tuples(st.just("create again"), st.booleans()),
    st.tuples(st.just("restart"), st.sampled_from([0.0, worker.FAREWELL])),
    st.tuples(st.just("destroy"), st.fixed_dictionaries({"asynchronous": st.booleans(), "force": st.booleans()})),
)


class Making:
    """The things being made at this moment. A thread that makes one outlives a service, as it would not its process:
    no window is promised to be long enough for that."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0

    def __enter__(self) -> None:
        with self._changed:
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()

    def wait_for_the_end(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: not self._number, PATIENCE)


making = Making()


class Storage(MemoryStorage):
    """Some commits fail. What a service believes after that is void: it has to look at what is stored."""

    failing: Collection[int] = ()
    commits = 0

    def commit(self, commits):
        self.commits += 1
        if self.commits in self.failing:
            raise StorageError("The disk is full.")
        return super().commit(commits)


class Connector(DummyConnector):
    def create(self, resource, token):
        with making:
            return super().create(resource, token)

    def update(self, handle, resource):
        with making:
            return super().update(handle, resource)


class Story:
    """One infrastructure and what happens to it."""

    def __init__(self, ground, setup, promises) -> None:
        self.ground = ground
        self.setup = setup
        self.promises = promises
        self.lives = 0
        self.vanished: set[str] = set()
        self.altered: set[int] = set()
        self.snapshots = 0
        self.refuses_updates = False
        self.jobs: list[Job] = []
        self.pending: list[asyncio.Task] = []
        self.told: list[int] = []
        self.stack = AsyncExitStack()

    async def tell(self, count, behaviour, steps) -> None:
        """Let it all happen; then make peace, and look at what is there."""
        self.behave(**behaviour)
        await self.begin_life()
        self.document = Document(self.ground.document(count, volumes=True, recipe=True))
        self.id = await self.create()
        self.follower = asyncio.create_task(self.follow())
        for what, how in steps:
            await self.take(what, how)
        self.behave()
        self.storage.failing = ()
        await self.rest()
        if (await self.running.infra(self.id)).exported:  # and taken over by nobody yet
            self.ask(self.hand_over())
            await self.rest()
        self.check()
        for force in (False, True):  # by force what may be left is given up as well
            self.ask(self.destroy(force=force))
            await self.rest()
            self.check()
        await self.check_events()
        await self.end_life()

    def behave(self, **behaviour) -> None:
        verbs = [fault["verb"] for fault in behaviour.get("faults", ())]
        self.refuses_updates = self.refuses_updates or "update" in verbs or bool(behaviour.get("largest"))
        self.ground.behave(**behaviour, **self.promises)

    async def begin_life(self) -> None:
        self.lives += 1
        options = dict(self.setup)
        self.storage = Storage(database=self.ground.database)
        self.storage.failing = options.pop("failing")
        self.running = await self.stack.enter_async_context(
            self.ground.running(
                storage=self.storage,
                holder=f"life {self.lives}",
                lease_duration=1.5,
                timeout=0.06,
                max_vm_fails=3,
                retry_delay=0.005,
                update_frequency=0.0,
                wait_public_ip=PATIENCE,
                connectors={"Dummy": Connector},
                **options,
            )
        )

    async def end_life(self, farewell=0.0) -> None:
        self.follower.cancel()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "FAREWELL", farewell)
            await self.stack.aclose()
        self.jobs += self.running.configurator.jobs
        await asyncio.to_thread(making.wait_for_the_end)

    async def take(self, what, how) -> None:
        """Ask for something, and do not wait for its end; or let something else happen."""
        service, owner, id = self.running.service, self.running.owner, self.id
        match what:
            case "wait":
                await asyncio.sleep(how)
            case "behave":
                self.behave(**how)
            case "restart":
                await self.end_life(how)
                await self.begin_life()
                self.follower = asyncio.create_task(self.follow())
            case "vanish":
                self.vanish(how)
            case "switch":
                self.switch(*how)
            case "hand over":
                self.ask(self.hand_over())
            case "share":
                self.ask(service.change_owners(owner, id, {"username": "friend", "password": "f"}))
            case "create again":
                self.ask(self.create(asynchronous=how))
            case "add":
                self.ask(self.running.add(id, self.ground.document(**how, recipe=True)))
            case "alter":
                self.altered.add(how[0])
                self.ask(service.alter(owner, id, how[0], Document(how[1])))
            case "snapshot":
                self.snapshots += 1
                name = f"{'kept' if how[1] else 'free'}-{self.snapshots}"
                self.ask(service.snapshot(owner, id, how[0], 0, name, auto_delete=how[1]))
            case "destroy":
                self.ask(self.destroy(**how))
            case "reconfigure" | "state":
                self.ask(getattr(service, what)(owner, id))
            case _:
                self.ask(getattr(service, what)(owner, id, how))

    def vanish(self, position) -> None:
        """Somebody removes something at the cloud, behind everybody's back."""
        cloud = self.ground.cloud
        if there := self.ground.inventory():
            gone = there[position % len(there)]
            attached = cloud.attachments("cloud", [gone]).get(gone, [])
            with suppress(CloudRefused):  # it is gone since
                cloud.vanish("cloud", gone)
                self.vanished.update({gone, *(entry.provider_id for entry in attached)})

    def switch(self, position, on) -> None:
        """Somebody switches a machine at the cloud, behind everybody's back."""
        if there := self.ground.inventory("instance"):
            with suppress(CloudRefused, CloudBusy):  # it is gone since, or is being made
                self.ground.cloud.power("cloud", there[position % len(there)], "by hand", on=on)

    async def create(self, *, asynchronous=True) -> str:
        """Ask for the infrastructure, for the first time or again."""
        id = await self.running.service.create(
            self.running.owner, self.document, asynchronous=asynchronous, idempotency_key="key"
        )
        assert id == getattr(self, "id", id), "one key has made two infrastructures"
        return id

    async def hand_over(self) -> None:
        """Export the infrastructure and delete it here; then take it over again."""
        service, owner = self.running.service, self.running.owner
        text = await service.export_document(owner, self.id, delete=True)
        await service.import_document(owner, text)

    async def follow(self) -> None:
        """Be told all events, from where the last follower has stopped."""
        while True:
            with suppress(IMError):
                last = self.told[-1] if self.told else 0
                async for event in self.running.service.follow(self.running.owner, self.id, last):
                    self.told.append(event.sequence)
            await asyncio.sleep(0.01)  # it was deleted, and may come back

    async def check_events(self) -> None:
        """No event is missing, or twice, of those that are stored and of those that were told."""
        events = self.storage.events(self.id, 0, 1_000_000)
        stored = [event.sequence for event in events]
        await self.running.until(lambda: self.told[-1:] == stored[-1:], PATIENCE)
        assert stored == list(range(stored[0], stored[0] + len(stored)))
        assert self.told[-len(stored) :] == stored
        assert all(one < other for one, other in pairwise(self.told))
        positions = [event.position for event in events]
        assert all(one < other for one, other in pairwise(positions))

    async def destroy(self, **how) -> None:
        await self.running.service.destroy(self.running.owner, self.id, **how)

    def ask(self, request) -> None:
        self.pending.append(asyncio.ensure_future(request))

    async def rest(self) -> None:
        """Wait until all requests are answered, and nothing is left to do."""
        answers = await asyncio.wait_for(asyncio.gather(*self.pending, return_exceptions=True), PATIENCE)
        self.pending = []
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, IMError):
                raise answer
        await self.running.infra(self.id)
        self.running.ids = [self.id]
        await self.running.until(self.at_rest, PATIENCE)

    def at_rest(self) -> bool:
        running, infra = self.running, self.running.repository.cached(self.id)
        if infra is None or running.engine.works_on(self.id) or running.unended(self.id):
            return False
        # What a lost thing uses cannot be deleted, and is tried again and again, ever more seldom.
        return infra.due is None or (lost(infra) > 0 and infra.due > time.time())

    def check(self) -> None:
        """What must hold once nothing is left to do."""
        infra = self.running.repository.cached(self.id)
        wrong = [*self.wrong_entries(infra), *self.wrong_machines(infra)]
        if infra.operations or infra.runs:
            wrong.append("something has not come to its end")
        assert not wrong, "\n".join([*wrong, self.running.describe()])

    def wrong_entries(self, infra) -> Iterator[str]:
        left = lost(infra)
        ledger = Counter(
            entry.provider_id for entry in infra.entries.values() if entry.provider_id and entry.status != Status.LOST
        )
        things = self.ground.cloud.inventory()
        free = Counter(thing.name for thing in things if thing.name.startswith("free-"))
        if twice := [name for name, number in free.items() if number > 1 + left]:
            yield f"snapshots were taken twice: {twice}"
        released = {thing.provider_id for thing in things if thing.name in free} - ledger.keys()
        inventory = Counter(thing.provider_id for thing in things if thing.provider_id not in released)
        specs = {thing.provider_id: thing.spec for thing in things}
        if missing := (ledger - inventory).keys() - self.vanished:
            yield f"the cloud has no {missing}"
        if (inventory - ledger).total() > left:
            yield f"forgotten: {list(inventory - ledger)}; of {left} it is known that they may be left"
        if infra.deleted and len(infra.entries) > left:
            yield "it is deleted, and something is left in the ledger"
        if not infra.wanted and not infra.deleted and (infra.force or not left):
            yield "it was to be deleted, and is not"
        for entry in infra.entries.values():
            held = entry.status == Status.DELETING and entry.attempts and left and not infra.force
            if entry.status not in (Status.READY, Status.FAILED, Status.LOST) and not held:
                yield f"{entry.key} is {entry.status}"
            if entry.outdated:
                yield f"{entry.key} is outdated"
            known = entry.status == Status.READY and not entry.adopted and not self.refuses_updates
            if known and specs.get(entry.provider_id, entry.resolved) != entry.resolved:
                yield f"{entry.key} is not what the cloud has"

    def wrong_machines(self, infra) -> Iterator[str]:
        for vm in infra.vms.values():
            if vm.alteration:
                yield f"machine {vm.number} is still being altered"
            states = {"failed", "configured" if vm.power_on else "stopped"} if vm.wanted else {"off"}
            if vm.power_on and vm.config_error == UNFINISHED:  # it was handed over before it was configured
                states.add("unconfigured")
            if vm.facts.get("instance_id") in self.vanished or (not vm.wanted and lost(infra) and not infra.force):
                states |= {"off", "deleting"}
            if vm.state() not in states:
                yield f"machine {vm.number} is {vm.state()} instead of {' or '.join(states)}"
        for target in (target for job in (*self.jobs, *self.running.configurator.jobs) for target in job.targets):
            definition = infra.documents[infra.vms[target.number].definition].text
            if target.number in self.altered:
                continue
            if "net_interface.1." in definition and "net_interface.1.ip" not in target.facts:
                yield f"machine {target.number} was configured without the address that it was to have"
        made = {entry.machine for entry in infra.entries.values() if entry.status == Status.READY} - {None}
        if made != {vm.number for vm in infra.alive() if vm.wanted and not vm.failure}:
            yield f"of the machines, {sorted(made)} are there"


def lost(infra) -> int:
    """How many things it is known of that they may be left."""
    return sum(entry.status == Status.LOST for entry in infra.entries.values())


class Faults(logging.Handler):
    """Whatever the engine did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record) -> None:
        self.seen.append(self.format(record))


@pytest.fixture(scope="module")
def faults_of_the_engine():
    faults = Faults()
    loggers = [logging.getLogger(f"imframework.{name}") for name in ("worker", "engine", "repository")]
    for logger in loggers:
        logger.addHandler(faults)
    yield faults.seen
    for logger in loggers:
        logger.removeHandler(faults)


@settings(
    max_examples=EXAMPLES or 90,
    derandomize=not EXAMPLES,
    # Shrinking an example takes minutes, and what depends on the moment has no smallest example.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if EXAMPLES else [])],
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    count=st.integers(1, 3),
    setup=setups,
    promises=promises,
    behaviour=behaviours,
    steps=st.lists(requests, max_size=8),
)
def test_in_the_end_everything_is_as_it_should_be(
    ground_class, faults_of_the_engine, count, setup, promises, behaviour, steps
):
    faults_of_the_engine.clear()
    with tempfile.TemporaryDirectory() as directory:
        story = Story(ground_class(Path(directory)), setup, promises)
        asyncio.run(asyncio.wait_for(story.tell(count, behaviour, steps), 4 * PATIENCE))
    assert not faults_of_the_engine, faults_of_the_engine[0]
