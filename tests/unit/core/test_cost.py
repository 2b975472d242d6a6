"""The cost of a machine does not depend on how many others there are: work is counted, not timed."""

from __future__ import annotations

from collections import Counter

import pytest

from imframework.core.graph import Graph
from imframework.core.infrastructure import Infrastructure
from imframework.core.ledger import Ledger
from imframework.core.repository import Repository
from imframework.core.worker import Worker

FEW, MANY = 10, 100
#: How much more than `MANY / FEW` times as much work may be done: what is shared is shared by more, never the contrary.
TOLERANCE = 1.5


class Counts(Counter):
    """Calls of the methods that make up the cost."""

    def watch(self, monkeypatch, cls, name, weight=lambda *arguments: 1):
        original = getattr(cls, name)

        def counted(instance, *arguments, **named):
            self[f"{cls.__name__}.{name}"] += weight(instance, *arguments)
            return original(instance, *arguments, **named)

        monkeypatch.setattr(cls, name, counted)


def owners_looked_at(graph, entry):
    """How many owners of a thing are looked at to find out whether somebody wants it."""
    for number, owner in enumerate(entry.owners, 1):
        vm = graph._infra.vms.get(owner)
        if vm is not None and vm.wanted and vm.alive and not vm.failure:
            return number
    return len(entry.owners)


async def life(running, count):
    """An infrastructure from its creation to its end, with a grown-up's worth of requests."""
    id = await running.create(running.ground.document(count, volumes=True))
    await running.settled(id, timeout=60)
    await running.service.stop(running.owner, id)
    await running.service.start(running.owner, id)
    await running.service.reconfigure(running.owner, id)
    await running.settled(id, timeout=60)
    await running.service.destroy(running.owner, id)


#: What is done for many changes at once.
GROUPED = {"Repository._submit", "Worker._decide"}


@pytest.mark.parametrize(
    "behaviour",
    [
        {},
        {"boot": {"instance": 0.1}, "deletion": {"*": 0.1}},
        {"faults": [{"verb": ["create", "delete"], "effect": "fail", "probability": 0.05, "seed": 1}]},
        {"recognition": {"*": "tag"}, "faults": [{"verb": "create", "effect": "lose-answer", "probability": 0.05}]},
    ],
    ids=["plain", "slow", "failing", "losing"],
)
async def test_ten_times_as_many_machines_are_ten_times_the_work(ground, monkeypatch, behaviour):
    ground.behave(**behaviour)
    counts = Counts()
    counts.watch(monkeypatch, Graph, "evaluate")
    counts.watch(monkeypatch, Graph, "wanted", owners_looked_at)
    counts.watch(monkeypatch, Infrastructure, "put")
    counts.watch(monkeypatch, Infrastructure, "emit")
    counts.watch(monkeypatch, Ledger, "_read", lambda ledger, name, entries: len(entries))
    counts.watch(monkeypatch, Repository, "_submit")
    counts.watch(monkeypatch, Worker, "_decide")
    async with ground.running(max_vm_fails=50, update_frequency=0.0) as running:
        await life(running, FEW)
        few, calls = Counter(counts), len(ground.cloud.calls())
        counts.clear()
        await life(running, MANY)
    for name, count in counts.items():
        if name in GROUPED:  # how many changes go together is a matter of time; that each goes alone is the worst
            assert count <= counts["Infrastructure.put"], (name, count)
        else:
            assert count <= few[name] * MANY / FEW * TOLERANCE, (name, few[name], count)
    assert len(ground.cloud.calls()) - calls <= calls * MANY / FEW * TOLERANCE


async def test_what_is_stored_of_a_step_does_not_grow_with_the_infrastructure(ground, monkeypatch):
    rows = []
    original = Infrastructure.rows
    monkeypatch.setattr(Infrastructure, "rows", lambda self, pending: rows.append(original(self, pending)) or rows[-1])
    async with ground.running() as running:
        id = await running.create(ground.document(30, public=False))
        await running.settled(id)
        rows.clear()
        await running.service.stop(running.owner, id, 7)
        await running.settled(id)
        assert sum(len(upserts) + len(deletes) for upserts, deletes in rows) <= 8
        rows.clear()
        await running.add(id, ground.document(1, public=False))
        await running.settled(id)
        again = [row for upserts, _ in rows for row in upserts if row.table == "vm" and row.key != "30"]
        assert len(again) <= 2 * 30, "the others are configured again: wanted, and done"


async def test_a_quiet_infrastructure_costs_nothing(ground, monkeypatch):
    counts = Counts()
    async with ground.running() as running:
        id = await running.create(ground.document(20, public=False))
        await running.settled(id)
        await running.service.state(running.owner, id)
        await running.settled(id)
        counts.watch(monkeypatch, Worker, "_decide")
        counts.watch(monkeypatch, Repository, "_submit")
        counts.watch(monkeypatch, Graph, "evaluate")
        for _ in range(50):
            await running.service.state(running.owner, id)
            await running.service.vm_property(running.owner, id, 3, "state")
        assert not counts
