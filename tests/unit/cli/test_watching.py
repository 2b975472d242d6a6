"""Following an infrastructure, with a service that plays a given piece."""

import pytest

from imframework.api.errors import CloudError, NotFound
from imframework.api.model import Event
from imframework.api.service import StateReport
from imframework.cli import watching
from imframework.cli.client import Unreachable


class Piece:
    """A service whose answers are written down as scenes; whoever follows it moves on to the next one.

    A scene is a state with the events that have become known by then, or a connection that is lost, or an error.
    """

    def __init__(self, *scenes):
        self.scenes = list(scenes)
        self.now = 0

    def state(self, infrastructure):
        if isinstance(self.scenes[self.now], Exception):
            raise self.scenes[self.now]
        return self.scenes[self.now][0]

    def events(self, infrastructure, after=0, limit=1000):
        scenes = [scene for scene in self.scenes[: self.now + 1] if not isinstance(scene, Exception)]
        known = [event for _, events in scenes for event in events]
        events = [Event(infrastructure, n, 0.0, type, data) for n, (type, data) in enumerate(known, 1) if n > after]
        return events[:limit]

    def follow(self, infrastructure, after=0, *, lost=lambda error: None):
        while True:
            for event in self.events(infrastructure, after):
                after = event.sequence
                yield event
                if event.type == "deleted":
                    return
            self.now += 1
            scene = self.scenes[self.now]
            if isinstance(scene, Unreachable):
                lost(scene)
            elif isinstance(scene, Exception):
                raise scene

    def destroy(self, infrastructure, *, force, asynchronous):
        assert asynchronous


class Notebook:
    """A display that remembers."""

    def __init__(self):
        self.events, self.notes = [], []

    def update(self, progress, news):
        self.events.extend((event.type, dict(event.data)) for event in news)

    def note(self, text):
        self.notes.append(text)


def states(*names):
    order = ("failed", "unknown", "pending", "running", "unconfigured", "deleting", "stopped", "off", "configured")
    return StateReport(min(names, key=order.index), dict(enumerate(names)))


def whole(state):
    return ("state", {"state": state})


def of(vm, state):
    return ("state", {"vm": vm, "state": state})


def raise_(error):
    raise error


def test_it_ends_when_the_last_machine_rests_and_every_event_was_shown():
    step = ("step", {"vm": 1, "task": "basic", "status": "done"})
    notebook = Notebook()

    report = watching.watch(
        Piece(
            (states("pending", "pending"), [whole("pending"), of(0, "pending"), of(1, "pending")]),
            (states("configured", "running"), [of(0, "configured"), of(1, "running"), whole("running")]),
            (states("configured", "configured"), [step, of(1, "configured"), whole("configured")]),
        ),
        "inf",
        notebook,
    )

    assert report.state == "configured"
    assert notebook.events[-3:] == [step, of(1, "configured"), whole("configured")]
    assert len(notebook.events) == 9


def test_one_failed_machine_does_not_end_it_while_others_are_on_their_way():
    piece = Piece(
        (states("failed", "running"), [of(1, "running"), of(0, "failed"), whole("failed")]),
        (states("failed", "configured"), [of(1, "configured")]),
    )

    report = watching.watch(piece, "inf", Notebook())

    assert report.vm_states == {0: "failed", 1: "configured"}


def test_rest_in_the_past_is_no_end():
    """An infrastructure at work again: what events tell of it begins with an earlier time."""
    piece = Piece(
        (states("running"), [of(0, "running"), whole("running"), of(0, "configured"), whole("configured")]),
        (states("running"), [of(0, "running"), whole("running")]),
        (states("configured"), [of(0, "configured"), whole("configured")]),
    )

    watching.watch(piece, "inf", Notebook())

    assert piece.now == 2


def test_events_that_never_come_do_not_keep_it_waiting_for_ever(monkeypatch):
    monkeypatch.setattr(watching, "EVENTS_WITHIN", 0.05)

    assert watching.watch(Piece((states("configured"), [])), "inf", Notebook()).state == "configured"


def test_a_connection_that_is_lost_is_noted():
    away = Unreachable("http://h cannot be reached: Connection refused")
    notebook = Notebook()

    report = watching.watch(
        Piece((states("running"), []), away, away, (states("configured"), [of(0, "configured"), whole("configured")])),
        "inf",
        notebook,
    )

    assert report.state == "configured"
    assert notebook.notes == ["http://h cannot be reached: Connection refused. Trying again."] * 2


def test_what_is_deleted_meanwhile_is_not_found():
    gone = NotFound("Deleted infrastructure.")
    told = Piece((states("running"), [of(0, "running")]), (None, [("deleted", {"left": []})]), gone)
    told.state = lambda infrastructure: Piece.state(told, infrastructure) if told.now < 1 else raise_(gone)

    for piece in (told, Piece((states("running"), [of(0, "running")]), gone)):
        with pytest.raises(NotFound):
            watching.watch(piece, "inf", Notebook())


@pytest.mark.parametrize(
    ("report", "rests", "succeeds"),
    [
        (states("configured", "configured"), True, True),
        (StateReport("pending", {}), True, True),
        (states("unconfigured", "configured"), True, False),
        (states("stopped", "configured"), True, False),
        (states("failed"), True, False),
        (states("unknown", "configured"), False, False),
        (StateReport("deleting", {0: "configured"}), False, False),
    ],
)
def test_rest_and_success(report, rests, succeeds):
    assert watching.at_rest(report) is rests
    if rests:
        assert watching.succeeded(report) is succeeds


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 5678])
def test_the_last_of_many_events_is_found_without_reading_them(count):
    piece = Piece((states("configured"), [of(0, "running")] * count))
    asked = []
    events = piece.events
    piece.events = lambda *arguments: asked.append(arguments) or events(*arguments)

    assert watching.last_event(piece, "inf") == count
    assert [limit for _, _, limit in asked[1:]] == [1] * (len(asked) - 1)
    assert len(asked) < 20


def test_what_happened_before_is_not_shown():
    piece = Piece((states("configured"), [of(0, "configured"), whole("configured")]))
    before = watching.caught_up(piece, "inf")
    piece.scenes += [
        (states("running"), [of(0, "running"), whole("running")]),
        (states("configured"), [of(0, "configured"), whole("configured")]),
    ]
    piece.now, notebook = 1, Notebook()

    watching.watch(piece, "inf", notebook, before)

    assert notebook.events == [of(0, "running"), whole("running"), of(0, "configured"), whole("configured")]


FAILED = ("operation", {"operation": "destroy", "error": "volume v: in use"})


def test_destroy_returns_when_the_deletion_is_told():
    piece = Piece(
        (None, [whole("running"), whole("deleting"), FAILED]),  # an earlier attempt has failed
        Unreachable("for a moment"),
        (None, [whole("deleting"), of(0, "off")]),
        (None, [("deleted", {"left": []})]),
    )

    watching.destroy(piece, "inf")

    assert piece.now == 3


def test_destroy_returns_when_the_infrastructure_is_no_longer_found():
    watching.destroy(Piece((None, []), NotFound("Deleted infrastructure.")), "inf")


def test_what_cannot_be_deleted_is_an_error_with_the_reason():
    piece = Piece((None, [whole("running")]), (None, [whole("deleting"), FAILED, of(0, "deleting")]))

    with pytest.raises(CloudError, match="inf could not be deleted: volume v: in use"):
        watching.destroy(piece, "inf")
