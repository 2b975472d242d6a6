"""A configuration log as it is written: the log events of an infrastructure, and what goes wrong besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

import click

from imframework.api.model import JSON, Event
from imframework.cli.progress import Progress, failure, plain


class LogDisplay(AbstractContextManager["LogDisplay"]):
    """A `Display` that prints lines: of a machine beginning with ``VM <number> | ``, of failures with ``! ``.

    With `vm` it prints those of one machine only. A line that is not finished is kept until it is.
    """

    def __init__(self, vm: int | None = None, show: Callable[[str], None] = click.echo) -> None:
        self._vm = vm
        self._show = show
        self._unfinished: dict[JSON, str] = {}
        self.empty = True  #: whether no text has come

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Print lines that were never finished."""
        for vm, text in self._unfinished.items():
            if text:
                self._print(vm, text)

    def update(self, progress: Progress, news: Sequence[Event]) -> None:
        """See `Display.update`."""
        for event in news:
            vm = event.data.get("vm")
            if self._vm is not None and vm != self._vm:
                continue
            if event.type == "log":
                self.empty = False
                text = self._unfinished.get(vm, "") + str(event.data.get("text", ""))
                *lines, self._unfinished[vm] = text.split("\n")
                for line in lines:
                    self._print(vm, line)
            elif text := failure(event):
                for line in text.splitlines():
                    self._show(plain(f"! {line}"))

    def note(self, text: str) -> None:
        """See `Display.note`."""
        click.echo(plain(text), err=True)

    def _print(self, vm: JSON, line: str) -> None:
        self._show(plain(line if vm is None else f"VM {vm} | {line}"))
