"""What is new in a configuration log."""

import pytest

from imframework.cli.log_following import LogFollower

RULER = "*" * 75


@pytest.fixture
def new_lines():
    follower = LogFollower()
    return lambda log: list(follower.new_lines(log))


def log(*, failures="", head="", **machines):
    """A log as the service writes it; machines by name, as in ``vm0``."""
    blocks = [
        f"VM {name[2:]}:\n{text}{'' if text.endswith(chr(10)) else chr(10)}{RULER}\n" for name, text in machines.items()
    ]
    return failures + head + "".join(blocks)


def test_every_part_that_grows_yields_its_new_lines_only(new_lines):
    assert new_lines(log(head="2024-01-01 10:00:00: begun\n")) == ["2024-01-01 10:00:00: begun"]
    assert new_lines(log(head="2024-01-01 10:00:00: begun\n", vm0="Launch task: basic\n")) == [
        "VM 0 | Launch task: basic"
    ]
    assert new_lines(
        log(
            head="2024-01-01 10:00:00: begun\n2024-01-01 10:00:09: ended\n",
            vm0="Launch task: basic\nok\n",
            vm1="Launch task: basic\n",
        )
    ) == ["2024-01-01 10:00:09: ended", "VM 0 | ok", "VM 1 | Launch task: basic"]


def test_a_log_that_is_as_it_was_yields_nothing(new_lines):
    text = log(failures="ERROR: VM 0: x\n", head="2024-01-01 10:00:00: begun\n", vm0="a\n")
    new_lines(text)

    assert new_lines(text) == []


def test_a_failure_that_comes_to_stand_first_does_not_repeat_the_rest(new_lines):
    head = "2024-01-01 10:00:00: begun\n"
    new_lines(log(head=head, vm0="a\n"))

    assert new_lines(log(failures="ERROR: VM 1: join: no\nsuch file\n", head=head, vm0="a\n")) == [
        "! ERROR: VM 1: join: no",
        "! such file",
    ]
    failures = "ERROR: VM 0: join: broken\nERROR: VM 1: join: no\nsuch file\n"
    assert new_lines(log(failures=failures, head=head, vm0="a\n")) == ["! ERROR: VM 0: join: broken"]


def test_a_line_that_was_cut_goes_on_without_being_repeated(new_lines):
    assert new_lines(log(vm0="one\ntw")) == ["VM 0 | one", "VM 0 | tw"]
    assert new_lines(log(vm0="one\ntwo\nthree\n")) == ["VM 0 | o", "VM 0 | three"]


def test_a_log_that_begins_anew_is_shown_anew(new_lines):
    new_lines(log(vm0="old\nlines\n"))

    assert new_lines(log(vm0="fresh\n")) == ["VM 0 | fresh"]


def test_stars_and_empty_lines_of_a_play_are_part_of_its_block(new_lines):
    text = f"PLAY [all] {'*' * 60}\n\nTASK [x] {'*' * 70}\n"

    assert new_lines(log(vm0=text)) == [f"VM 0 | PLAY [all] {'*' * 60}", "VM 0 | ", f"VM 0 | TASK [x] {'*' * 70}"]
