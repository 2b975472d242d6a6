"""How progress is shown: a table that lives on a terminal, plain lines anywhere else. Always on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from imframework.api.model import Event
from imframework.cli.progress import UNSETTLED, Machine, Progress, Step, line, plain

#: Most machines in the table; of more than these, the ones about which something is going on come first.
MOST_ROWS = 24

_STATE_STYLES = {
    "configured": "green",
    "failed": "bold red",
    "unconfigured": "bold red",
    "running": "cyan",
    "deleting": "magenta",
}
_STEP_MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "started": ("▶", "cyan")}


class Display(Protocol):
    """Shows progress while its context lasts."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def update(self, progress: Progress, news: Sequence[Event]) -> None:
        """The picture as it is now, and the events that changed it."""

    def note(self, text: str) -> None:
        """Something that is no event: that the service does not answer, for example."""


def display(title: str) -> Display:
    """The display that fits standard error."""
    console = Console(stderr=True)
    return LiveDisplay(title, console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay()


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """A line for each event."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to undo."""

    def update(self, progress: Progress, news: Sequence[Event]) -> None:
        """See `Display.update`."""
        for event in news:
            if text := line(event):
                click.echo(text, err=True)

    def note(self, text: str) -> None:
        """See `Display.note`."""
        click.echo(plain(text), err=True)


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """A table of machines and their steps that is drawn again and again."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._progress = Progress()
        self._note = ""
        self._begun = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> LiveDisplay:
        """Begin to draw."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def update(self, progress: Progress, news: Sequence[Event]) -> None:
        """See `Display.update`."""
        self._progress, self._note = progress, ""  # drawn before long: events come faster than anybody can look

    def note(self, text: str) -> None:
        """See `Display.note`."""
        self._note = plain(text)

    def _render(self) -> RenderableType:
        elapsed = time.monotonic() - self._begun
        return picture(self._title, self._progress, elapsed=elapsed, note=self._note)


def picture(title: str, progress: Progress, *, elapsed: float, note: str = "") -> RenderableType:
    """The table with a heading and what is wrong; `elapsed` is in seconds."""
    heading = Text.assemble((plain(title), "bold"), "  ", _state(progress.state or "pending"), f"  {elapsed:.0f} s")
    counts = ", ".join(f"{count} {state}" for state, count in progress.counts())
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for kind in ("spinner", "machine", "state"):
        table.add_column(kind, no_wrap=True)
    table.add_column("steps", overflow="fold")
    machines = sorted(progress.machines.values(), key=lambda each: each.number)
    if len(machines) > MOST_ROWS:
        machines.sort(key=lambda each: each.state not in UNSETTLED)
    for machine in machines[:MOST_ROWS]:
        table.add_row(*_row(machine))
    parts: list[RenderableType] = [heading, table]
    if len(machines) > MOST_ROWS:
        parts.append(Text(f"… and {len(machines) - MOST_ROWS} more: {counts}", "dim"))
    parts.extend(Text(text, "red") for text in _troubles(progress, machines[:MOST_ROWS]))
    if note:
        parts.append(Text(note, "yellow"))
    return Group(*parts)


def _row(machine: Machine) -> tuple[RenderableType, ...]:
    busy = machine.state in UNSETTLED
    steps = Text()
    for step in machine.steps.values():
        mark, style = _STEP_MARKS.get(step.status, ("·", ""))
        steps.append(f"{mark} ", style)
        steps.append(f"{plain(step.name)}{_duration(step)}  ", "" if step.status == "started" else "dim")
    return (Spinner("dots") if busy else Text(" "), Text(f"machine {machine.number}"), _state(machine.state), steps)


def _duration(step: Step) -> str:
    return "" if step.ended is None else f" {max(0.0, step.ended - step.started):.1f} s"


def _state(state: str) -> Text:
    return Text(plain(state), _STATE_STYLES.get(state, "yellow"))


def _troubles(progress: Progress, machines: Iterable[Machine]) -> Iterable[str]:
    if progress.trouble:
        yield plain(progress.trouble)
    for machine in machines:
        if machine.trouble:
            yield plain(f"machine {machine.number}: {machine.trouble}")
