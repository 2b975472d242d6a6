"""What can be done next with resources: all decisions of the graph, without clock, cloud or database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from imframework.api.model import Phase
from imframework.api.storage import Lease
from imframework.core.entities import VM, Entry, Status
from imframework.core.graph import Graph
from imframework.core.infrastructure import Infrastructure


def machine(number: int, **levels) -> VM:
    return VM(number=number, system="s", definition="d", generation=1, created=0.0, cloud="c", **levels)


def entry(name: str, owners: Iterable[int], needs: Iterable[str] = (), **fields) -> Entry:
    """`needs` are names, with an optional condition behind a colon."""
    dependencies = [(need.partition(":")[0], need.partition(":")[2] or "ready") for need in needs]
    defaults = {"provider_id": f"id-{name}"} if fields.get("status", "planned") not in ("planned", "intended") else {}
    return Entry(
        **{
            "account": "c", "name_in_plan": name, "kind": "thing", "name": name, "token": f"t-{name}", "generation": 1,
            "owners": frozenset(owners), "depends_on": tuple(dependencies), **defaults, **fields,
        }
    )  # fmt: skip


class World:
    """An infrastructure and its graph."""

    def __init__(self, vms: Iterable[VM], entries: Iterable[Entry]) -> None:
        self.infra = Infrastructure("i", frozenset(), 0.0, Lease("i", "h", 1, 0.0))
        for record in (*vms, *entries):
            self.infra.put(record)
        self.graph = Graph(self.infra)

    def change(self, name: str, **fields) -> None:
        self.infra.put(replace(self.infra.entries[f"c/{name}"], **fields))
        self.graph.changed(f"c/{name}")

    def drop(self, name: str) -> None:
        gone = self.infra.entries[f"c/{name}"]
        self.infra.drop(gone)
        self.graph.dropped(gone)

    def level(self, number: int, **fields) -> None:
        self.infra.put(replace(self.infra.vms[number], **fields))
        self.graph.machine_changed(number)

    def names(self, keys: Iterable[str]) -> set[str]:
        return {key.removeprefix("c/") for key in keys}

    @property
    def creatable(self) -> set[str]:
        return self.names(self.graph.creatable)

    @property
    def deletable(self) -> set[str]:
        return self.names(self.graph.deletable)

    @property
    def waiting(self) -> set[str]:
        return self.names(self.graph.waiting)


def test_what_needs_nothing_is_made_first():
    world = World([machine(0)], [entry("net", [0]), entry("vm", [0], ["net"], machine=0)])
    assert world.creatable == {"net"}
    assert world.waiting == {"net", "vm"}


@pytest.mark.parametrize(
    ("condition", "status", "met"),
    [("exists", Status.EXISTS, True), ("exists", Status.READY, True), ("exists", Status.INTENDED, False),
     ("ready", Status.EXISTS, False), ("ready", Status.READY, True), ("ready", Status.FAILED, False)],
)  # fmt: skip
def test_a_dependent_is_made_when_its_condition_is_met(condition, status, met):
    world = World([machine(0)], [entry("net", [0]), entry("vm", [0], [f"net:{condition}"])])
    world.change("net", status=status, provider_id="n")
    assert ("vm" in world.creatable) == met


def test_a_dependent_on_a_configured_machine_waits_for_its_configuration():
    front = entry("front", [0], machine=0, status=Status.READY, phase=Phase.READY)
    world = World([machine(0, config_wanted=1), machine(1)], [front, entry("node", [1], ["front:configured"])])
    assert world.creatable == set()
    world.level(0, configured=False, config_done=1)
    assert world.creatable == set()
    world.level(0, configured=True, config_done=1)
    assert world.creatable == {"node"}
    world.level(0, config_wanted=2)
    assert world.creatable == set()


def test_what_waits_for_a_machine_that_could_not_be_configured_is_hopeless():
    front = entry("front", [0], machine=0, status=Status.READY, phase=Phase.READY)
    world = World([machine(0, config_wanted=1), machine(1)], [front, entry("node", [1], ["front:configured"])])
    assert world.graph.hopeless == {}
    world.level(0, configured=False, config_done=1)
    assert "front, which it waits for, is not configured" in world.graph.hopeless["c/node"]


def test_what_waits_for_a_thing_that_nobody_wants_any_more_is_hopeless():
    world = World([machine(0), machine(1)], [entry("disk", [0]), entry("node", [1], ["disk"])])
    world.level(0, wanted=False)
    assert world.names(world.graph.hopeless) == {"node"}
    world.drop("disk")
    assert world.names(world.graph.hopeless) == {"node"}
    world.level(1, failure="so be it")
    assert world.deletable == {"node"}


def test_it_is_known_what_cannot_be_made_before_a_machine_is_configured():
    front = entry("front", [0], machine=0, status=Status.READY, phase=Phase.READY)
    node = entry("node", [1], ["front:configured"], machine=1)
    world = World([machine(0, config_wanted=1), machine(1)], [front, node, entry("ip", [1], ["node"]), entry("x", [1])])
    assert world.names(world.graph.held()) == {"node", "ip"}
    world.level(0, configured=True, config_done=1)
    assert world.graph.held() == set()


def test_nothing_is_made_for_a_machine_that_is_not_wanted_or_has_failed():
    for levels in ({"wanted": False}, {"failure": "no"}, {"destroyed": True}):
        world = World([machine(0, **levels)], [entry("net", [0])])
        assert world.creatable == set()
        assert world.deletable == {"net"}


def test_a_shared_thing_stays_while_one_of_its_owners_is_wanted():
    world = World([machine(0), machine(1)], [entry("net", [0, 1], status=Status.READY)])
    world.level(0, wanted=False)
    assert world.deletable == set()
    world.level(1, failure="no")
    assert world.deletable == {"net"}


def test_a_thing_is_deleted_only_after_everything_that_needs_it_is_gone():
    made = {"status": Status.READY}
    world = World(
        [machine(0)],
        [entry("net", [0], **made), entry("group", [0], ["net"], **made), entry("vm", [0], ["group"], **made)],
    )
    world.level(0, wanted=False)
    assert world.deletable == {"vm"}
    world.change("vm", status=Status.DELETING)
    assert world.deletable == {"vm"}
    world.drop("vm")
    assert world.deletable == {"group"}
    world.drop("group")
    assert world.deletable == {"net"}


def test_what_goes_with_another_thing_is_looked_at_only_after_that_is_gone():
    made = {"status": Status.READY}
    attachment = entry("attachment", [0], ["vm", "ip"], goes_with="vm", **made)
    world = World([machine(0)], [entry("vm", [0], **made), entry("ip", [0], **made), attachment])
    world.level(0, wanted=False)
    assert world.deletable == {"vm"}
    world.drop("vm")
    assert world.deletable == {"attachment"}
    world.drop("attachment")
    assert world.deletable == {"ip"}


def test_what_goes_with_a_thing_it_does_not_depend_on_is_looked_at_after_that_is_gone():
    made = {"status": Status.READY}
    world = World([machine(0)], [entry("vm", [0], **made), entry("record", [0], goes_with="vm", **made)])
    world.level(0, wanted=False)
    assert world.deletable == {"vm"}
    world.drop("vm")
    assert world.deletable == {"record"}


def test_what_goes_with_a_thing_that_stays_is_deleted_by_itself():
    made = {"status": Status.READY}
    attachment = entry("attachment", [1], ["vm"], goes_with="vm", **made)
    world = World([machine(0), machine(1)], [entry("vm", [0], **made), attachment])
    world.level(1, wanted=False)
    assert world.deletable == {"attachment"}


def test_what_may_be_left_holds_nothing_back():
    made = {"status": Status.READY}
    attachment = entry("attachment", [0], ["vm", "net"], goes_with="vm", **made)
    world = World([machine(0)], [entry("net", [0], **made), entry("vm", [0], ["net"], **made), attachment])
    world.level(0, wanted=False)
    assert world.deletable == {"vm"}
    world.change("vm", status=Status.LOST, owners=frozenset())
    assert world.deletable == {"attachment"}
    world.drop("attachment")
    assert world.deletable == {"net"}


def test_what_may_be_left_holds_nothing_back_after_a_restart():
    lost = entry("vm", [], ["net"], status=Status.LOST)
    world = World([machine(0, wanted=False)], [entry("net", [0], status=Status.READY), lost])
    assert world.deletable == {"net"}


def test_an_intent_is_uncertain_whether_it_is_wanted_or_not():
    for wanted in (True, False):
        world = World([machine(0, wanted=wanted)], [entry("vm", [0], status=Status.INTENDED)])
        assert world.names(world.graph.uncertain) == {"vm"}
        assert world.creatable == world.deletable == set()


def test_an_accepted_deletion_is_read_until_it_is_gone():
    world = World([machine(0, wanted=False)], [entry("vm", [0], status=Status.DELETING)])
    assert world.deletable == {"vm"}
    world.graph.accepted.add("c/vm")
    world.graph.evaluate("c/vm")
    assert world.deletable == set()
    assert world.names(world.graph.unsettled) == {"vm"}


def test_what_is_not_finished_is_advanced_and_what_is_on_its_way_is_read():
    coming = entry("a", [0], status=Status.EXISTS, phase=Phase.CREATING)
    open_end = entry("b", [0], status=Status.EXISTS, phase=Phase.UPDATING)
    world = World([machine(0)], [coming, open_end])
    assert world.names(world.graph.unsettled) == {"a"}
    assert world.names(world.graph.unfinished) == {"b"}
    assert world.waiting == {"a", "b"}


def test_what_a_call_is_under_way_for_is_in_no_set_but_still_waited_for():
    world = World([machine(0)], [entry("ip", [0])])
    world.graph.busy.add("c/ip")
    world.graph.evaluate("c/ip")
    assert world.creatable == set()
    assert world.waiting == {"ip"}


def test_looking_at_everything_again_changes_nothing():
    made = {"status": Status.READY}
    world = World([machine(0), machine(1)], [entry("net", [0, 1], **made), entry("vm", [0], ["net"])])
    world.graph.busy.add("c/vm")
    world.graph.evaluate("c/vm")
    world.graph.rebuild()
    assert world.waiting == {"vm"}, "a call is under way for it: it must not be taken for done"
    world.graph.busy.discard("c/vm")
    world.graph.evaluate("c/vm")
    assert world.creatable == {"vm"}


def test_new_owners_keep_a_thing_alive():
    world = World([machine(0, wanted=False), machine(1)], [entry("net", [0], status=Status.READY)])
    assert world.deletable == {"net"}
    world.infra.put(replace(world.infra.entries["c/net"], owners=frozenset({0, 1})))
    world.graph.added("c/net")
    assert world.deletable == set()


def test_machines_know_what_is_theirs_alone():
    world = World(
        [machine(0), machine(1)],
        [entry("net", [0, 1]), entry("vm0", [0], machine=0), entry("ip0", [0]), entry("vm1", [1], machine=1)],
    )
    assert [own.name for own in world.graph.own(0)] == ["ip0", "vm0"]
    assert world.graph.machine(1).name == "vm1"
    world.drop("vm1")
    assert world.graph.machine(1) is None


def test_an_intent_of_unknown_outcome_is_waited_for_while_its_machine_is_wanted():
    world = World([machine(0)], [entry("a", [0], status=Status.INTENDED)])
    assert world.names(world.graph.waiting) == {"a"}
    world.graph.rebuild()
    assert world.names(world.graph.waiting) == {"a"}
    world.level(0, wanted=False)
    assert not world.graph.waiting
