"""What goes wrong does so as its rule says: with or without effect, once or by chance, and across kills."""

import json
import subprocess
import sys
import threading

import pytest

from imframework.api.errors import (
    CloudBusy,
    CloudRefused,
    CloudUnavailable,
    CredentialsRejected,
    OutcomeUnknown,
    QuotaExceeded,
    UsedByOthers,
)
from imframework.api.model import Credential, Handle, Phase, Resource
from imframework_plugins.connectors.dummy.behaviour import Behaviour
from imframework_plugins.connectors.dummy.cloud import DummyCloud
from imframework_plugins.connectors.dummy.connector import DummyConnector
from imframework_plugins.connectors.dummy.faults import FOREVER, Circumstances, FaultPlan


class Killed(BaseException):
    """Stands for the death of the process."""


class Stage:
    """A fault plan with a clock that writes down, a kill that can be watched, and a call that counts its effects."""

    def __init__(self):
        self.cloud = DummyCloud()
        self.events = []
        self.circumstances = None
        self.plan = FaultPlan(self.cloud, pause=lambda seconds: self.events.append(seconds), kill=self.die)

    def die(self):
        self.events.append("killed")
        raise Killed

    def effect(self, circumstances):
        self.events.append("effect")
        self.circumstances = circumstances
        return "answer"

    def call(self, behaviour, effect=None, verbs=("create",)):
        behaviour = Behaviour.model_validate(behaviour)
        return self.plan.run(behaviour, "one", verbs, (("instance", "instance/1"),), effect or self.effect)


@pytest.fixture
def stage():
    return Stage()


def test_without_faults_a_call_is_just_made(stage):
    assert stage.call({}) == "answer"
    assert stage.events == ["effect"]
    assert stage.circumstances == Circumstances()


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ("fail", CloudUnavailable),
        ("busy", CloudBusy),
        ("refuse", CloudRefused),
        ("quota", QuotaExceeded),
        ("reject", CredentialsRejected),
        ("used-by-others", UsedByOthers),
        ("crash", RuntimeError),
        ("lose-request", OutcomeUnknown),
    ],
)
def test_a_failing_call_has_no_effect(stage, effect, error):
    with pytest.raises(error) as raised:
        stage.call({"faults": [{"effect": effect}]})

    assert type(raised.value) is error
    assert stage.events == []


def test_a_fault_can_bring_its_own_words(stage):
    with pytest.raises(CloudUnavailable, match=r"^maintenance until noon$"):
        stage.call({"faults": [{"effect": "fail", "message": "maintenance until noon"}]})


def test_a_lost_answer_had_its_effect(stage):
    with pytest.raises(OutcomeUnknown):
        stage.call({"faults": [{"effect": "lose-answer"}]})

    assert stage.events == ["effect"]


def test_an_error_can_get_lost_like_any_answer(stage):
    def refuse(_):
        raise CloudRefused("no")

    with pytest.raises(OutcomeUnknown):
        stage.call({"faults": [{"effect": "lose-answer"}]}, refuse)


def test_a_delayed_call_has_its_effect_later_and_a_late_answer_comes_after_it(stage):
    faults = [{"effect": "delay", "seconds": 2}, {"effect": "late-answer", "seconds": 3}]

    assert stage.call({"faults": faults}) == "answer"
    assert stage.events == [2, "effect", 3]


@pytest.mark.parametrize(("seconds", "paused"), [({}, FOREVER), ({"seconds": 5}, 5)])
def test_a_hanging_call_ends_without_effect_and_without_certainty(stage, seconds, paused):
    with pytest.raises(OutcomeUnknown):
        stage.call({"faults": [{"effect": "hang", **seconds}]})

    assert stage.events == [paused]


def test_each_verb_takes_its_own_time(stage):
    behaviour = {"latency": {"create": 1, "act": 2, "stop": 3, "*": 4}}
    for verbs in (("create",), ("act", "start"), ("act", "stop"), ("read",)):
        stage.call(behaviour, verbs=verbs)

    assert [event for event in stage.events if event != "effect"] == [1, 2, 3, 4]


def test_what_is_made_can_be_broken_or_in_flight(stage):
    stage.call({"faults": [{"effect": "break"}, {"effect": "late-answer", "in_flight": 4}]})

    assert stage.circumstances == Circumstances(in_flight=4, broken=True)


@pytest.mark.parametrize(
    ("moment", "events"), [("before", ["killed"]), ("during", ["effect", "killed"]), ("after", ["effect", "killed"])]
)
def test_a_kill_comes_at_its_moment(stage, moment, events):
    with pytest.raises(Killed):
        stage.call({"faults": [{"effect": "kill", "at": moment}]})

    assert stage.events == events


def test_a_kill_can_come_some_time_after_the_answer():
    dead = threading.Event()
    plan = FaultPlan(DummyCloud(), kill=dead.set)
    behaviour = Behaviour.model_validate({"faults": [{"effect": "kill", "at": "after", "seconds": 0.01}]})

    assert plan.run(behaviour, "one", ("create",), (), lambda _: "answer") == "answer"
    assert dead.wait(timeout=30)


def test_a_fault_that_does_not_concern_a_call_is_not_counted(stage):
    behaviour = {"faults": [{"name": "second", "effect": "fail", "verb": "create", "nth": 2}]}
    stage.call(behaviour)
    for _ in range(5):
        stage.call(behaviour, verbs=("read",))

    with pytest.raises(CloudUnavailable):
        stage.call(behaviour)
    stage.call(behaviour)
    assert stage.cloud.fired("second") == 1


# --- through the connector, for real ------------------------------------------------------------------------

PROGRAM = """
import json, sys
from imframework_plugins.connectors.dummy.connector import DummyConnector
from imframework.api.model import Credential, Handle, Resource
file, behaviour, verb = sys.argv[1:]
connector = DummyConnector(Credential("one", "Dummy", {}), {"DUMMY_FILE": file, "DUMMY_BEHAVIOUR": behaviour})
volume = Resource("volume/1/1", "volume", "data")
if verb == "create":
    connector.create(volume, "token")
else:
    connector.delete(Handle(volume, "token", "vol-000001"))
print("survived")
"""


def run(file, behaviour, verb):
    """Call one verb in a process of its own; whether it survived."""
    command = [sys.executable, "-c", PROGRAM, file, json.dumps(behaviour), verb]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode in (0, -9), process.stderr
    return process.returncode == 0


def make(file, behaviour=None):
    options = {"DUMMY_FILE": file, "DUMMY_BEHAVIOUR": json.dumps(behaviour or {})}
    return DummyConnector(Credential("one", "Dummy", {}), options)


@pytest.mark.parametrize(("moment", "left"), [("before", 0), ("during", 1), ("after", 1)])
def test_a_process_killed_in_create_leaves_what_the_cloud_was_asked_for(tmp_path, moment, left):
    file = tmp_path / "cloud.sqlite"
    behaviour = {"faults": [{"effect": "kill", "at": moment, "verb": "create", "times": 1}]}

    assert not run(file, behaviour, "create")

    assert len(DummyCloud(file).inventory()) == left
    assert run(file, behaviour, "create"), "a fault that is to happen once happened again after the restart"
    assert len(DummyCloud(file).inventory()) == 1


@pytest.mark.parametrize(("moment", "left"), [("before", 1), ("during", 0), ("after", 0)])
def test_a_process_killed_in_delete_has_deleted_or_not(tmp_path, moment, left):
    file = tmp_path / "cloud.sqlite"
    behaviour = {"faults": [{"effect": "kill", "at": moment, "verb": "delete", "nth": 1}]}
    make(file).create(Resource("volume/1/1", "volume", "data"), "token")

    assert not run(file, behaviour, "delete")

    assert len(DummyCloud(file).inventory()) == left
    assert run(file, behaviour, "delete")
    assert DummyCloud(file).inventory() == []


def test_a_request_in_flight_when_its_sender_died_still_arrives(tmp_path):
    file = tmp_path / "cloud.sqlite"
    behaviour = {"faults": [{"effect": "kill", "at": "during", "verb": "create", "in_flight": 1000}]}

    assert not run(file, behaviour, "create")

    assert DummyCloud(file).inventory() == []
    later = DummyCloud(file, clock=lambda: 4e9)
    assert [entry.name for entry in later.inventory()] == ["data"]


def test_a_lost_answer_is_found_again(tmp_path):
    lost = {"recognition": {"*": "tag"}, "faults": [{"effect": "lose-answer", "verb": "create", "times": 1}]}
    volume = Resource("volume/1/1", "volume", "data")
    with pytest.raises(OutcomeUnknown):
        make(tmp_path / "cloud.sqlite", lost).create(volume, "token")

    (found,) = make(tmp_path / "cloud.sqlite", lost).find(volume, "token")

    assert found.provider_id == "vol-000001"


def test_a_broken_instance_is_reported_as_failed_with_a_message(tmp_path):
    broken = {"faults": [{"effect": "break", "verb": "create", "kind": "volume"}]}
    connector = make(tmp_path / "cloud.sqlite", broken)
    volume = Resource("volume/1/1", "volume", "data")
    made = connector.create(volume, "token")

    (seen,) = connector.read([Handle(volume, "token", made.provider_id)])

    assert seen.phase is Phase.FAILED
    assert "data" in seen.message


def test_a_cloud_can_be_healed_while_it_is_used(tmp_path):
    file = tmp_path / "behaviour.json"
    file.write_text('{"faults": [{"effect": "fail", "verb": "create"}]}')
    options = {"DUMMY_FILE": tmp_path / "cloud.sqlite", "DUMMY_BEHAVIOUR": str(file)}
    connector = DummyConnector(Credential("one", "Dummy", {}), options)
    volume = Resource("volume/1/1", "volume", "data")
    with pytest.raises(CloudUnavailable):
        connector.create(volume, "token")

    file.write_text("{}")

    assert connector.create(volume, "token").phase is Phase.READY
