"""A configuration log as it is written."""

import itertools

import pytest

from imframework.api.model import Event
from imframework.cli.log_following import LogDisplay
from imframework.cli.progress import Progress


@pytest.fixture
def shown():
    """Gives the lines that are printed of events, each a type and its data."""

    def shown(*events, vm=None):
        lines, numbers = [], itertools.count(1)
        with LogDisplay(vm, lines.append) as display:
            for type, data in events:
                display.update(Progress(), [Event("inf", next(numbers), 0.0, type, data)])
        return lines

    return shown


def log(text, **data):
    return ("log", {"text": text, **data})


def test_lines_say_which_machine_they_are_of(shown):
    assert shown(log("begun\n"), log("Launch task: basic\nok\n", vm=0), log("\n", vm=1), log("ended\n")) == [
        "begun",
        "VM 0 | Launch task: basic",
        "VM 0 | ok",
        "VM 1 | ",
        "ended",
    ]


def test_a_line_that_comes_in_parts_is_printed_whole(shown):
    assert shown(log("one\ntw", vm=0), log("x\n", vm=1), log("o\nthr", vm=0), log("ee", vm=0)) == [
        "VM 0 | one",
        "VM 1 | x",
        "VM 0 | two",
        "VM 0 | three",
    ]


def test_the_log_of_one_machine_has_nothing_of_others(shown):
    events = [log("all\n"), log("mine\n", vm=1), log("theirs\n", vm=0), ("power", {"vm": 0, "error": "busy"})]

    assert shown(*events, vm=1) == ["VM 1 | mine"]


def test_failures_are_marked_and_other_events_are_no_part_of_the_log(shown):
    assert shown(
        ("state", {"vm": 0, "state": "running"}),
        ("step", {"vm": 0, "task": "basic", "status": "done"}),
        ("step", {"vm": 0, "task": "join", "status": "failed", "message": "no\nsuch file"}),
        ("launch", {"vm": 1, "error": "no image fits"}),
    ) == ["! machine 0: join failed: no", "! such file", "! machine 1: launch: no image fits"]


def test_a_log_cannot_command_the_terminal(shown):
    (line,) = shown(log("\x1b]0;owned\x07 red\n", vm=0))

    assert line == "VM 0 | �]0;owned� red"


def test_it_knows_whether_there_was_a_log(shown):
    display = LogDisplay(show=str)
    assert display.empty
    display.update(Progress(), [Event("inf", 1, 0.0, *log("x"))])
    assert not display.empty
