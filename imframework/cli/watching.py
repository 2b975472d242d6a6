"""Following an infrastructure until it rests or is gone, by asking again and again, in ever longer intervals."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from imframework.api.errors import CloudError, NotFound
from imframework.api.model import Event
from imframework.api.service import StateReport
from imframework.cli.client import EVENTS_PAGE, Client, Unreachable
from imframework.cli.display import Display
from imframework.cli.progress import UNSETTLED, Progress

T = TypeVar("T")

#: Seconds between two questions: at first and after each news, and at most. Each pause is longer than the one before.
SHORTEST, LONGEST, GROWTH = 0.2, 2.0, 1.4
#: Seconds that a service which does not answer is waited for: it may be starting again.
PATIENCE = 60.0
#: Seconds that the last events may take to be stored after the state they speak of is known.
EVENTS_WITHIN = 2.0


class Rhythm:
    """When to ask again, and how long to put up with a service that does not answer."""

    def __init__(self) -> None:
        self._pause = SHORTEST
        self._silent_since: float | None = None

    def rest(self, *, news: bool) -> None:
        """Pause: shortly after news, longer and longer without."""
        if news:
            self._pause = SHORTEST
        time.sleep(self._pause)
        self._pause = min(self._pause * GROWTH, LONGEST)

    def answered(self) -> None:
        """The service has answered."""
        self._silent_since = None

    def bear(self, silence: Unreachable) -> None:
        """The service has not answered; raises that once it has lasted too long."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > PATIENCE:
            raise silence


def at_rest(report: StateReport) -> bool:
    """Whether nothing more is going to happen to any machine by itself."""
    return report.state != "deleting" and UNSETTLED.isdisjoint(report.vm_states.values())


def succeeded(report: StateReport) -> bool:
    """Whether an infrastructure at rest is what was asked for. One without machines is."""
    return not report.vm_states or report.state == "configured"


def caught_up(client: Client, infrastructure: str) -> Progress:
    """The progress of an infrastructure up to now, so that `watch` only shows what comes after."""
    progress = Progress()
    _news(client, infrastructure, progress)
    return progress


def watch(client: Client, infrastructure: str, display: Display, progress: Progress | None = None) -> StateReport:
    """Show what happens until the infrastructure rests, and return its state; `progress` is what was shown before.

    Raises:
        NotFound: there is none, or it was deleted meanwhile.
        Unreachable: the service has not answered for a minute.
    """
    progress = progress or Progress()

    def look() -> tuple[StateReport, bool]:
        # The state first: whatever led to it is then among the events, or about to be.
        report = client.state(infrastructure)
        news = _news(client, infrastructure, progress)
        progress.settle(report)
        display.update(progress, news)
        return report, bool(news)

    rhythm = Rhythm()
    resting_since: float | None = None
    while True:
        try:
            report, news = look()
        except Unreachable as silence:
            rhythm.bear(silence)
            display.note(f"{silence}. Trying again.")
            rhythm.rest(news=False)
            continue
        rhythm.answered()
        now = time.monotonic()
        resting_since = (resting_since or now) if at_rest(report) else None
        if resting_since and (progress.announced == report.state or now - resting_since > EVENTS_WITHIN):
            return report
        rhythm.rest(news=news)


def _news(client: Client, infrastructure: str, progress: Progress) -> list[Event]:
    """The events that are not yet part of the progress, after making them so."""
    news: list[Event] = []
    while True:
        page = client.events(infrastructure, progress.sequence)
        for event in page:
            progress.apply(event)
        news.extend(page)
        if len(page) < EVENTS_PAGE:
            return news


def destroy(client: Client, infrastructure: str, *, force: bool = False) -> None:
    """Have an infrastructure deleted, and return when the service says that it is.

    Raises:
        NotFound: there is none.
        CloudError: something could not be deleted; the message says what and why.
        Unreachable: the service has not answered for a minute.
    """
    client.destroy(infrastructure, force=force)
    progress, rhythm = Progress(), Rhythm()
    failure = ""
    while True:
        news: list[Event] = []
        try:
            news = _news(client, infrastructure, progress)
        except NotFound:
            return
        except Unreachable as silence:
            rhythm.bear(silence)
        else:
            rhythm.answered()
        for event in news:
            if event.type == "deleted":
                return
            if event.type == "state" and event.data.get("state") == "deleting" and "vm" not in event.data:
                failure = ""  # what came before concerns earlier requests
            elif event.type == "operation" and event.data.get("operation") == "destroy":
                failure = str(event.data.get("error") or "")
        if failure:
            raise CloudError(f"{infrastructure} could not be deleted: {failure}")
        rhythm.rest(news=bool(news))


def follow(client: Client, infrastructure: str, show: Callable[[str], None]) -> None:
    """Hand the configuration log to `show`, now and whenever it has changed, until the infrastructure rests.

    Raises:
        NotFound: there is none, or it was deleted meanwhile.
        Unreachable: the service has not answered for a minute.
    """
    rhythm = Rhythm()
    last: str | None = None
    while True:
        try:
            resting = at_rest(client.state(infrastructure))
            text = client.contmsg(infrastructure)
        except Unreachable as silence:
            rhythm.bear(silence)
            rhythm.rest(news=False)
            continue
        rhythm.answered()
        if text != last:
            show(text)
        elif resting:
            return  # and what it wrote at the end has had the time to be stored
        rhythm.rest(news=text != last)
        last = text
