"""Following an infrastructure, with a service that plays a given piece."""

from collections.abc import Sequence

import pytest

from imframework.api.errors import CloudError, NotFound
from imframework.api.model import Event
from imframework.api.service import StateReport
from imframework.cli import watching
from imframework.cli.client import Unreachable


class Piece:
    """A service whose answers are written down: each look at the state moves on to the next scene.

    A scene is the state of each machine with the events that have become known by then, or an error.
    """

    def __init__(self, *scenes):
        self.scenes = list(scenes)
        self.now = -1
        self.deleting = False

    def scene(self):
        scene = self.scenes[min(self.now, len(self.scenes) - 1)]
        if isinstance(scene, Exception):
            raise scene
        return scene

    def state(self, infrastructure):
        self.now += 1
        return self.scene()[0]

    def events(self, infrastructure, after=0) -> Sequence[Event]:
        if self.deleting:
            self.now += 1
        known = [
            event for scene in self.scenes[: self.now + 1] if not isinstance(scene, Exception) for event in scene[1]
        ]
        self.scene()
        return [Event(infrastructure, n, 0.0, type, data) for n, (type, data) in enumerate(known, 1) if n > after]

    def contmsg(self, infrastructure, vm=None):
        return self.scene()[1]

    def destroy(self, infrastructure, *, force=False):
        self.deleting = True


class Notebook:
    """A display that remembers."""

    def __init__(self):
        self.events, self.notes = [], []

    def update(self, progress, news):
        self.events.extend((event.type, dict(event.data)) for event in news)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def haste(monkeypatch):
    """Nobody waits here."""
    monkeypatch.setattr(watching, "SHORTEST", 0.0)
    monkeypatch.setattr(watching, "LONGEST", 0.0)


def states(*names):
    order = ("failed", "unknown", "pending", "running", "unconfigured", "deleting", "stopped", "off", "configured")
    return StateReport(min(names, key=order.index), dict(enumerate(names)))


def whole(state):
    return ("state", {"state": state})


def test_it_ends_when_the_last_machine_rests_and_every_event_was_shown():
    step = ("step", {"vm": 1, "task": "basic", "status": "done"})
    notebook = Notebook()

    report = watching.watch(
        Piece(
            (states("pending", "pending"), [whole("pending")]),
            (states("configured", "running"), [whole("running")]),
            (states("configured", "configured"), []),  # what led there is not stored yet
            (states("configured", "configured"), [step, whole("configured")]),
        ),
        "inf",
        notebook,
    )

    assert report.state == "configured"
    assert notebook.events == [whole("pending"), whole("running"), step, whole("configured")]


def test_one_failed_machine_does_not_end_it_while_others_are_on_their_way():
    piece = Piece(
        (states("failed", "running"), [whole("failed")]),
        (states("failed", "configured"), []),
    )

    report = watching.watch(piece, "inf", Notebook())

    assert report.vm_states == {0: "failed", 1: "configured"}


def test_events_that_never_come_do_not_keep_it_waiting_for_ever(monkeypatch):
    monkeypatch.setattr(watching, "EVENTS_WITHIN", 0.05)

    assert watching.watch(Piece((states("configured"), [])), "inf", Notebook()).state == "configured"


def test_a_service_that_is_away_for_a_while_is_waited_for_and_that_is_said():
    away = Unreachable("http://h cannot be reached: Connection refused")
    notebook = Notebook()

    report = watching.watch(
        Piece((states("running"), []), away, away, (states("configured"), [whole("configured")])), "inf", notebook
    )

    assert report.state == "configured"
    assert notebook.notes == ["http://h cannot be reached: Connection refused. Trying again."] * 2


def test_a_service_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(watching, "PATIENCE", 0.05)

    with pytest.raises(Unreachable):
        watching.watch(Piece((states("running"), []), Unreachable("gone")), "inf", Notebook())


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


FAILED = ("operation", {"operation": "destroy", "error": "volume v: in use"})


def test_destroy_returns_when_the_infrastructure_is_no_longer_found():
    piece = Piece(
        ((), [whole("deleting"), FAILED, whole("deleting")]),  # an earlier attempt has failed
        Unreachable("for a moment"),
        ((), [("state", {"vm": 0, "state": "off"})]),
        NotFound("Deleted infrastructure."),
    )

    watching.destroy(piece, "inf")

    assert piece.now == 3


def test_what_cannot_be_deleted_is_an_error_with_the_reason():
    piece = Piece(((), [whole("running"), whole("deleting")]), ((), [FAILED]))

    with pytest.raises(CloudError, match="inf could not be deleted: volume v: in use"):
        watching.destroy(piece, "inf")


def test_machines_on_their_way_out_do_not_hide_what_cannot_be_deleted():
    piece = Piece(((), [whole("deleting"), FAILED, ("state", {"vm": 0, "state": "deleting"})]))

    with pytest.raises(CloudError):
        watching.destroy(piece, "inf")


def test_a_log_is_handed_on_until_the_infrastructure_rests_and_says_no_more():
    shown = []

    watching.follow(
        Piece(
            (states("running"), "one"),
            (states("running"), "one"),
            Unreachable("for a moment"),
            (states("configured"), "one two"),
            (states("configured"), "one two three"),
            (states("configured"), "one two three"),
        ),
        "inf",
        shown.append,
    )

    assert shown == ["one", "one two", "one two three"]
