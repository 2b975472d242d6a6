"""Following an infrastructure until it rests or is gone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from imframework.api.errors import CloudError, NotFound
from imframework.api.model import Event
from imframework.api.service import StateReport
from imframework.cli.client import Client, Unreachable
from imframework.cli.display import Display
from imframework.cli.progress import UNSETTLED, Progress

#: Seconds that the last events may take to be stored after the state they speak of is known, and between two looks.
EVENTS_WITHIN, LOOK_AGAIN = 2.0, 0.1


def at_rest(report: StateReport) -> bool:
    """Whether nothing more is going to happen to any machine by itself."""
    return report.state != "deleting" and UNSETTLED.isdisjoint(report.vm_states.values())


def succeeded(report: StateReport) -> bool:
    """Whether an infrastructure at rest is what was asked for. One without machines is."""
    return not report.vm_states or report.state == "configured"


def caught_up(client: Client, infrastructure: str) -> Progress:
    """Progress for `watch` to show only what comes after now."""
    state = ""
    with suppress(NotFound):  # it is only planned yet
        state = client.state(infrastructure).state
    return Progress(state=state, announced=state, sequence=last_event(client, infrastructure))


def last_event(client: Client, infrastructure: str) -> int:
    """The number of the last event so far. History can be long, so it is searched for, not read."""
    page = client.events(infrastructure)
    low = high = page[-1].sequence if page else 0
    while client.events(infrastructure, high, 1):
        low, high = high + 1, 2 * high + 1
    while low < high:
        middle = (low + high) // 2
        if client.events(infrastructure, middle, 1):
            low = middle + 1
        else:
            high = middle
    return low


def watch(client: Client, infrastructure: str, display: Display, progress: Progress | None = None) -> StateReport:
    """Show what happens until the infrastructure rests, and return its state; `progress` is what was shown before.

    Raises:
        NotFound: there is none, or it was deleted meanwhile.
        Unreachable: the service has been away for a minute.
    """
    progress = progress or Progress()

    def lost(error: Unreachable) -> None:
        display.note(f"{error}. Trying again.")

    resting_since: float | None = None
    while True:
        # The state first: whatever led to it is then among the events, or about to be.
        report = client.state(infrastructure)
        news = _news(client, infrastructure, progress)
        progress.settle(report)
        display.update(progress, news)
        if at_rest(report):
            now = time.monotonic()
            resting_since = resting_since or now
            if progress.announced == report.state or now - resting_since > EVENTS_WITHIN:
                return report
            time.sleep(LOOK_AGAIN)
            continue
        resting_since = None
        for event in client.follow(infrastructure, progress.sequence, lost=lost):
            progress.apply(event)
            display.update(progress, [event])
            if event.type == "state" and progress.at_rest:
                break  # as far as events tell


def _news(client: Client, infrastructure: str, progress: Progress) -> Sequence[Event]:
    """The events that are not yet part of the progress, after making them so."""
    news: list[Event] = []
    while page := client.events(infrastructure, progress.sequence):
        for event in page:
            progress.apply(event)
        news.extend(page)
    return news


def destroy(client: Client, infrastructure: str, *, force: bool = False) -> None:
    """Have an infrastructure deleted, and return when the service says that it is.

    Raises:
        NotFound: there is none.
        CloudError: something could not be deleted; the message says what and why.
        Unreachable: the service has been away for a minute.
    """
    before = 0
    with suppress(NotFound):  # that is for the deletion to say
        before = last_event(client, infrastructure)
    client.destroy(infrastructure, force=force, asynchronous=True)
    with suppress(NotFound):
        for event in client.follow(infrastructure, before):
            if event.type == "operation" and event.data.get("operation") == "destroy" and event.data.get("error"):
                raise CloudError(f"{infrastructure} could not be deleted: {event.data['error']}")
