"""Connectors that misbehave do it in the way they are named for, and only in the verbs asked for."""

import threading
import uuid

import pytest

from imframework.api.errors import CloudBusy, CloudUnavailable, OutcomeUnknown
from imframework.api.model import Credential, Features, Resource
from imframework.testing.clouds import failing, flaky, never_ending, slow
from imframework_plugins.connectors.dummy.connector import DummyConnector

VOLUME = Resource("volume/1/1", "volume", "data")


@pytest.fixture
def made():
    """Makes connectors of one account, of any class."""
    credential = Credential(uuid.uuid4().hex, "Dummy", {})
    return lambda cls: cls(credential, {})


def test_a_slow_connector_answers_when_the_pause_is_over(made):
    pauses = []
    connector = made(slow(DummyConnector, lambda: pauses.append("pause"), verbs=("create",)))

    assert connector.create(VOLUME, "token").provider_id
    connector.candidates(Features("node"))

    assert pauses == ["pause"]


def test_a_never_ending_connector_answers_nobody_until_it_is_released(made):
    released, answered = threading.Event(), threading.Event()
    connector = made(never_ending(DummyConnector, released))

    def ask():
        with pytest.raises(OutcomeUnknown):
            connector.create(VOLUME, "token")
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    assert not answered.wait(timeout=0.05)
    released.set()

    assert answered.wait(timeout=30)
    assert made(DummyConnector).find(VOLUME, "token") == []


def test_a_failing_connector_does_nothing(made):
    with pytest.raises(CloudUnavailable):
        made(failing(DummyConnector)).create(VOLUME, "token")
    with pytest.raises(CloudBusy):
        made(failing(DummyConnector, CloudBusy, verbs=("delete", "create"))).create(VOLUME, "token")

    assert made(DummyConnector).find(VOLUME, "token") == []


def test_a_flaky_connector_loses_each_nth_answer_but_not_its_effect(made):
    cls = flaky(DummyConnector, every=3, verbs=("create",))
    made(cls).create(VOLUME, "a")
    made(cls).create(VOLUME, "b")

    with pytest.raises(OutcomeUnknown):
        made(cls).create(VOLUME, "c")

    assert len(made(DummyConnector).find(VOLUME, "c")) == 1
    made(cls).create(VOLUME, "d")


def test_a_misbehaving_connector_is_still_a_plugin_of_its_kind(made):
    cls = flaky(DummyConnector)

    assert cls.info is DummyConnector.info
    assert cls.faults() == []
    assert cls.__name__ == "FlakyDummyConnector"


def test_verbs_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="no verbs destroy"):
        failing(DummyConnector, verbs=("create", "destroy"))
