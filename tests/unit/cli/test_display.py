"""How progress looks."""

import io

import pytest
from rich.console import Console

from imframework.api.model import Event
from imframework.cli.display import MOST_ROWS, LiveDisplay, PlainDisplay, display, picture
from imframework.cli.progress import Machine, Progress, Step


def drawn(progress, **options):
    console = Console(file=io.StringIO(), width=100)
    console.print(picture("inf-1", progress, elapsed=7.4, **options))
    return console.file.getvalue()


def test_the_picture_has_the_whole_and_each_machine_with_its_steps():
    progress = Progress(state="running")
    progress.machines[0] = Machine(0, "configured", {"basic": Step("basic", "done", 1.0, 3.5)})
    progress.machines[1] = Machine(1, "running", {"join_wn": Step("join_wn", "started", 1.0)})

    heading, first, second = drawn(progress).splitlines()

    assert heading.split() == ["inf-1", "running", "7", "s"]
    assert first.split() == ["machine", "0", "configured", "✓", "basic", "2.5", "s"]
    assert second.split()[-4:] == ["1", "running", "▶", "join_wn"]


def test_what_went_wrong_stands_below_without_markup_or_control_characters():
    progress = Progress(state="failed", trouble="network/net: [bold]quota[/bold]")
    progress.machines[0] = Machine(0, "failed", {"a": Step("a", "failed", 1.0, 2.0)}, trouble="a: \x1b[2Jgone")

    text = drawn(progress, note="the service does not answer")

    assert "✗ a 1.0 s" in text
    assert "network/net: [bold]quota[/bold]" in text
    assert "machine 0: a: �[2Jgone" in text
    assert text.splitlines()[-1] == "the service does not answer"


def test_of_many_machines_the_busy_ones_are_shown_and_the_rest_counted():
    progress = Progress(state="running")
    for number in range(1000):
        progress.machines[number] = Machine(number, "running" if number == 999 else "configured")

    lines = drawn(progress).splitlines()

    assert len(lines) == MOST_ROWS + 2
    assert "machine 999" in lines[1]
    assert lines[-1] == f"… and {1000 - MOST_ROWS} more: 999 configured, 1 running"


def test_without_a_terminal_every_event_is_a_line_on_standard_error(capsys):
    with display("inf-1") as shown:
        assert isinstance(shown, PlainDisplay)
        shown.update(
            Progress(), [Event("i", 1, 0.0, "state", {"vm": 3, "state": "running"}), Event("i", 2, 0.0, "x", {})]
        )
        shown.note("The service does not answer.")

    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.endswith("machine 3: running")
    assert second == "The service does not answer."
    assert captured.out == ""


def test_on_a_terminal_the_picture_is_drawn_over_and_left_there_at_the_end():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = Progress(state="running")

    with LiveDisplay("inf-1", console) as shown:
        progress.machines[0] = Machine(0, "running")
        shown.update(progress, [])
        progress.state = progress.machines[0].state = "configured"
        shown.update(progress, [])

    *_, last = console.file.getvalue().rpartition("inf-1")
    assert "configured" in last
    assert "running" not in last
    assert "\x1b[?25h" in last, "the cursor is shown again"


def test_the_terminal_is_as_it_was_also_after_an_error():
    console = Console(file=io.StringIO(), force_terminal=True)

    with pytest.raises(KeyboardInterrupt), LiveDisplay("inf-1", console):
        raise KeyboardInterrupt

    assert console.file.getvalue().rstrip("\n").endswith("\x1b[?25h")
