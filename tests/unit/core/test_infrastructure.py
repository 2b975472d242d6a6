"""States of machines and of the whole, and what of an infrastructure has to be stored."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imframework.api.model import Phase, VMState
from imframework.api.storage import Lease, Stored, Table
from imframework.core.entities import (
    RECORDS,
    VM,
    DocumentText,
    Entry,
    Operation,
    OperationKind,
    Run,
    Secret,
    Status,
    Step,
)
from imframework.core.infrastructure import Infrastructure


def new() -> Infrastructure:
    return Infrastructure("i", frozenset({"o"}), 1.0, Lease("i", "h", 1, 0.0))


def machine(number: int = 0, **fields) -> VM:
    return VM(number=number, system="s", definition="d", generation=1, created=0.0, **fields)


UP = {"launched": True, "phase": Phase.READY}
#: Machines in each state that clients can see.
IN_STATE = {
    VMState.PENDING: machine(),
    VMState.RUNNING: machine(**UP, config_wanted=1),
    VMState.CONFIGURED: machine(**UP, config_wanted=1, config_done=1, configured=True),
    VMState.UNCONFIGURED: machine(**UP, config_wanted=1, config_done=1, configured=False),
    VMState.STOPPED: machine(launched=True, phase=Phase.STOPPED),
    VMState.OFF: machine(launched=True, phase=Phase.ABSENT),
    VMState.FAILED: machine(failure="no"),
    VMState.UNKNOWN: machine(launched=True, phase=Phase.UNKNOWN),
    VMState.DELETING: machine(wanted=False, **UP),
}


@pytest.mark.parametrize("state", VMState)
def test_a_machine_can_be_in_every_state(state):
    assert IN_STATE[state].state() == state


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("launched", [True, False])
def test_a_machine_has_a_state_whatever_its_cloud_says(phase, launched):
    assert machine(phase=phase, launched=launched).state() in VMState


def test_a_machine_that_failed_in_its_cloud_after_its_launch_has_failed():
    assert machine(launched=True, phase=Phase.FAILED).state() == "failed"


def test_a_machine_is_pending_until_its_cloud_has_it():
    assert machine(phase=Phase.CREATING).state() == "pending"
    assert machine(launched=True, phase=Phase.CREATING).state() == "pending"
    assert machine(launched=True, phase=Phase.UPDATING).state() == "pending"


def test_a_machine_configured_once_is_running_while_it_is_configured_again():
    configured = IN_STATE[VMState.CONFIGURED]
    assert replace(configured, config_wanted=2).state() == "running"
    assert replace(configured, config_wanted=2, config_done=2, configured=False).state() == "unconfigured"


def test_a_machine_without_configuration_asked_for_is_running():
    assert machine(**UP).state() == "running"


SEVERITY = ["failed", "unknown", "pending", "running", "unconfigured", "stopped", "off", "configured"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_whole_is_in_the_most_severe_state_of_its_machines_in_any_order(length):
    for states in itertools.product(SEVERITY, repeat=length):
        infra = new()
        for number, state in enumerate(states):
            infra.put(replace(IN_STATE[VMState(state)], number=number))
        assert infra.state() == min(states, key=SEVERITY.index)


def test_machines_on_their_way_out_say_nothing_about_the_others():
    infra = new()
    infra.put(IN_STATE[VMState.CONFIGURED])
    infra.put(replace(IN_STATE[VMState.DELETING], number=1))
    assert infra.state() == "configured"


def test_the_whole_without_machines_is_pending_and_one_being_deleted_is_deleting_whatever_it_has():
    infra = new()
    assert infra.state() == "pending"
    infra.put(IN_STATE[VMState.FAILED])
    infra.wanted = False
    assert infra.state() == "deleting"


def test_destroyed_machines_are_not_counted():
    infra = new()
    infra.put(IN_STATE[VMState.CONFIGURED])
    infra.put(replace(IN_STATE[VMState.FAILED], number=1))
    assert infra.state() == "failed"
    infra.put(replace(IN_STATE[VMState.FAILED], number=1, wanted=False, destroyed=True))
    assert infra.state() == "configured"
    assert dict(infra.vm_states()) == {0: "configured"}
    assert [vm.number for vm in infra.alive()] == [0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*VMState, "destroyed"])), max_size=30))
def test_counting_on_the_way_gives_what_counting_at_the_end_would(changes):
    infra = new()
    for number, state in changes:
        if state == "destroyed":
            infra.put(machine(number, wanted=False, destroyed=True))
        else:
            infra.put(replace(IN_STATE[state], number=number))
    fresh = Infrastructure.restore(Stored(infra.head(), infra.rows(infra.take_pending())[0]), infra.lease)
    assert fresh.vms == infra.vms
    assert dict(fresh.vm_states()) == dict(infra.vm_states())
    assert fresh.state() == infra.state()


def test_every_change_of_state_is_one_event_of_the_machine_and_one_of_the_whole_if_it_changed_too():
    infra = new()
    for state in (VMState.PENDING, VMState.RUNNING, VMState.RUNNING, VMState.CONFIGURED):
        infra.put(IN_STATE[state])
    infra.put(replace(IN_STATE[VMState.CONFIGURED], facts={"cpu.count": 2}))
    events = [(event.data.get("vm"), event.data["state"]) for event in infra.pending.events]
    assert events == [(0, "pending"), (0, "running"), (None, "running"), (0, "configured"), (None, "configured")]
    assert [event.sequence for event in infra.pending.events] == [1, 2, 3, 4, 5]


EVERY = [
    DocumentText("radl", "text"),
    Secret("credentials", "sealed"),
    machine(facts={"cpu.count": 2, "list": ["a"]}, attempts=("Attempt 1: no",), price=0.5),
    Entry(
        account="c", name_in_plan="net", kind="network", name="n", token="t", generation=1, owners=frozenset({2, 10}),
        spec={"a": [{"$ref": ["x", "id"]}]}, depends_on=(("x", "ready"),), status=Status.DELETING, busy_since=2.0,
    ),
    Operation(id="op", kind=OperationKind.REBOOT, created=1.0, generation=2, vms=(1, 2), attempted=True),
    Step(0, "basic", 3),
    Run(id="r", generation=1, started=1.0, deadline=2.0, vms=(0, 1), failed=(1,), seen=4, superseded=True),
]  # fmt: skip


@pytest.mark.parametrize("record", EVERY, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_its_row_as_it_was(record):
    import json

    row = record.to_row()
    assert (row.table, row.key) == (record.table, record.key)
    assert RECORDS[row.table].from_data(json.loads(json.dumps(dict(row.data)))) == record


@pytest.mark.parametrize("record", EVERY, ids=lambda record: type(record).__name__)
def test_a_field_of_a_later_version_is_ignored(record):
    assert RECORDS[record.table].from_data({**record.to_row().data, "of_tomorrow": 1}) == record


def test_what_is_as_usual_is_not_stored():
    assert set(machine().to_row().data) == {"number", "system", "definition", "generation", "created"}


@pytest.mark.parametrize("record", EVERY, ids=lambda record: type(record).__name__)
def test_what_is_put_is_pending_once_and_what_is_dropped_is_deleted(record):
    infra = new()
    infra.put(record)
    infra.put(record)
    upserts, deletes = infra.rows(infra.take_pending())
    assert [row.key for row in upserts] == [record.key]
    assert deletes == ()
    assert not infra.pending
    if record.table is Table.VM:
        with pytest.raises(TypeError):
            infra.drop(record)
        return
    infra.drop(record)
    assert infra.rows(infra.take_pending()) == ((), ((record.table, record.key),))


def test_each_line_of_the_common_log_has_a_date_and_those_of_machines_have_none():
    infra = new()
    infra.log("first\n\nthird")
    infra.log("raw\n", 3)
    whole, one = infra.pending.log
    first, empty, third = whole.text.splitlines()
    assert first.endswith(": first")
    assert first[4] == "-"
    assert empty == ""
    assert third.endswith(": third")
    assert (one.stream, one.text) == ("3", "raw\n")
