"""What events say about progress."""

import itertools

import pytest

from imframework.api.model import Event
from imframework.api.service import StateReport
from imframework.cli.progress import Progress, line


@pytest.fixture
def event():
    """Makes events that follow each other a second apart."""
    numbers = itertools.count(1)

    def event(type, **data):
        number = next(numbers)
        return Event("inf", number, 1_000_000.0 + number, type, data)

    return event


def test_machines_and_their_steps_follow_the_events(event):
    progress = Progress()
    for each in (
        event("state", vm=0, state="pending"),
        event("state", vm=0, state="running"),
        event("state", state="running"),
        event("step", vm=0, task="basic", status="started"),
        event("step", vm=0, task="basic", status="done"),
        event("step", vm=0, task="join_wn", status="started"),
    ):
        progress.apply(each)

    machine = progress.machines[0]
    assert (progress.state, machine.state, progress.sequence) == ("running", "running", 6)
    assert [(step.name, step.status) for step in machine.steps.values()] == [("basic", "done"), ("join_wn", "started")]
    assert machine.steps["basic"].ended - machine.steps["basic"].started == 1.0
    assert machine.steps["join_wn"].ended is None


def test_a_step_that_runs_again_is_the_last_and_begins_anew(event):
    progress = Progress()
    for task, status in (("a", "started"), ("a", "failed"), ("b", "started"), ("b", "done"), ("a", "started")):
        progress.apply(event("step", vm=1, task=task, status=status))

    assert [(step.name, step.status) for step in progress.machines[1].steps.values()] == [
        ("b", "done"),
        ("a", "started"),
    ]
    assert progress.machines[1].steps["a"].ended is None


def test_what_goes_wrong_is_kept_where_it_belongs(event):
    progress = Progress()
    progress.apply(event("step", vm=1, task="a", status="failed", message="Install it: no such package"))
    progress.apply(event("launch", resource="network/net", kind="network", attempt=2, error="quota exceeded"))
    progress.apply(event("launch", vm=2, error="no image fits"))
    progress.apply(event("operation", operation="launch", id="x", error=""))

    assert progress.machines[1].trouble == "a: Install it: no such package"
    assert progress.machines[2].trouble == "no image fits"
    assert progress.trouble == "network/net: quota exceeded"


def test_the_states_of_the_moment_replace_those_of_the_events(event):
    progress = Progress()
    for number in (0, 1):
        progress.apply(event("state", vm=number, state="running"))
    progress.apply(event("state", state="running"))

    progress.settle(StateReport("configured", {1: "configured", 2: "pending"}))

    assert progress.state == "configured"
    assert progress.announced == "running"
    assert {number: machine.state for number, machine in progress.machines.items()} == {1: "configured", 2: "pending"}
    assert dict(progress.counts()) == {"configured": 1, "pending": 1}


@pytest.mark.parametrize(
    ("type", "data", "said"),
    [
        ("state", {"vm": 0, "state": "running"}, "machine 0: running"),
        ("state", {"state": "configured"}, "infrastructure: configured"),
        ("step", {"vm": 2, "task": "basic", "status": "done"}, "machine 2: basic done"),
        (
            "step",
            {"vm": 2, "task": "join_wn", "status": "failed", "message": "Fetch: no\nsuch file"},
            "machine 2: join_wn failed: Fetch: no\nsuch file",
        ),
        ("launch", {"vm": 1, "error": "no image fits"}, "machine 1: launch: no image fits"),
        (
            "launch",
            {"resource": "instance/0", "kind": "instance", "attempt": 1, "error": "busy"},
            "infrastructure: instance/0, attempt 1: busy",
        ),
        ("power", {"vm": 1, "action": "stop", "attempt": 2, "error": "busy"}, "machine 1: stop, attempt 2: busy"),
        ("operation", {"operation": "destroy", "id": "x", "error": "quota"}, "infrastructure: destroy failed: quota"),
        (
            "drift",
            {"resource": "instance/0", "kind": "instance", "found": "absent"},
            "infrastructure: instance/0 was found absent, which nobody asked for",
        ),
        ("deleted", {"left": []}, "infrastructure: deleted"),
        ("deleted", {"left": ["volume v"]}, "infrastructure: deleted; may be left: volume v"),
    ],
)
def test_an_event_is_one_line_with_the_time(event, type, data, said):
    time, _, text = line(event(type, **data)).partition(" ")

    assert len(time.split(":")) == 3
    assert text == said


@pytest.mark.parametrize(
    ("type", "data"), [("operation", {"operation": "launch", "id": "x", "error": ""}), ("news", {"of": "tomorrow"})]
)
def test_an_event_that_is_not_worth_a_line_or_not_known_has_none(event, type, data):
    assert line(event(type, **data)) == ""


def test_a_message_cannot_command_the_terminal(event):
    text = line(event("step", vm=0, task="a", status="failed", message="\x1b]0;owned\x07\x9b31m red"))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\x9b" not in text
    assert "red" in text
