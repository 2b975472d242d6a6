"""Connectors as the engine sees them: faults are errors of ours, without secrets, and answers are checked."""

from __future__ import annotations

import pytest

from imframework.api.errors import (
    CloudError,
    CloudRefused,
    CloudUnavailable,
    IMError,
    OutcomeUnknown,
    PluginUnavailable,
)
from imframework.api.model import Action, Credential, Deployment, Features, Handle, Observation, Phase, Resource
from imframework.core.calls import Bulkheads
from imframework.core.clouds import Clouds
from imframework_plugins.connectors.dummy.connector import DummyConnector

RESOURCE = Resource("instance/0", "instance", "name")
HANDLE = Handle(RESOURCE, "token", "i-1")
SECRET = "correct horse battery staple"
CREDENTIAL = Credential("c", "Dummy", {"host": "https://cloud.example.org:5000/v3", "password": SECRET})


class Source:
    def __init__(self, cls):
        self.cls = cls

    def connector(self, type_name):
        if isinstance(self.cls, Exception):
            raise self.cls
        return self.cls, {}


def connector_with(**methods):
    """A connector with these methods in place of its own; a value is answered, an exception raised."""

    def method(answer):
        def call(self, *arguments):
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call

    return type("Odd", (DummyConnector,), {name: method(answer) for name, answer in methods.items()})


def account(cls=DummyConnector, credential=CREDENTIAL, **options):
    return Clouds(Source(cls), Bulkheads(4), 5.0, **options).account(credential)


CALLS = {
    "capabilities": lambda account: account.capabilities(),
    "candidates": lambda account: account.candidates(Features("s")),
    "images": lambda account: account.images({}),
    "quotas": lambda account: account.quotas(),
    "plan": lambda account: account.plan(Deployment("i", "", ())),
    "create": lambda account: account.create(RESOURCE, "token", lambda answer, error: None),
    "find": lambda account: account.find(RESOURCE, "token", urgent=False),
    "read": lambda account: account.read([HANDLE], urgent=False),
    "update": lambda account: account.update(HANDLE, RESOURCE),
    "delete": lambda account: account.delete(HANDLE),
    "act": lambda account: account.act(HANDLE, Action.STOP),
}
WITH_EFFECT = {"create", "update", "delete", "act"}


@pytest.mark.parametrize("verb", CALLS)
async def test_a_fault_of_a_connector_is_a_cloud_error_without_details(verb, caplog):
    odd = account(connector_with(**{verb: RuntimeError(f"bad login with {SECRET}")}))
    with pytest.raises(CloudError) as caught:
        await CALLS[verb](odd)
    assert "connector failed in" in str(caught.value)
    assert "RuntimeError" in str(caught.value)
    assert "bad login" not in str(caught.value)
    assert isinstance(caught.value, OutcomeUnknown) == (verb in WITH_EFFECT), "a fault proves nothing about the effect"
    assert "bad login with ***" in caplog.text, "for the operator"
    assert SECRET not in caplog.text
    incident = str(caught.value).rpartition("see log ")[2].rstrip(").")
    assert incident in caplog.text


@pytest.mark.parametrize("verb", CALLS)
async def test_a_lost_answer_without_an_effect_is_only_a_cloud_that_was_not_reached(verb):
    odd = account(connector_with(**{verb: OutcomeUnknown("connection reset")}))
    with pytest.raises(CloudError, match="connection reset") as caught:
        await CALLS[verb](odd)
    assert type(caught.value) is (OutcomeUnknown if verb in WITH_EFFECT else CloudUnavailable)


@pytest.mark.parametrize("verb", CALLS)
async def test_the_texts_of_errors_hold_no_secrets(verb):
    odd = account(connector_with(**{verb: CloudRefused(f"user u with {SECRET} is unknown; token=abcdef")}))
    with pytest.raises(CloudRefused) as caught:
        await CALLS[verb](odd)
    assert str(caught.value).startswith("user u with *** is unknown")
    assert "abcdef" not in str(caught.value)


READY = Observation(Phase.READY, "i-1")
NONSENSE = {
    "candidates": [None, 42, "text", [None], [READY]],
    "plan": [None, [READY], [Resource("k", "kind", "n", {"s": {1, 2}})], [Resource(7, "kind", "n")]],
    "create": [
        None, "i-1", Observation(Phase.READY), Observation(Phase.ABSENT, "i-1"), Observation(Phase.READY, 17),
        Observation(Phase.READY, "i", {"x": object()}), Observation(Phase.READY, "i", {"x": float("nan")}),
        Observation(Phase.READY, "i", {1: "x"}),
    ],
    "find": [None, READY, [None], [Observation(Phase.READY)]],
    "read": [None, [], [READY, READY], [None], [Observation(Phase.READY, "i-1", {"facts": {"x": b"bytes"}})]],
    "update": [None, Observation(Phase.READY, "i", {"x": {1}})],
}  # fmt: skip


@pytest.mark.parametrize(("verb", "answer"), [(verb, answer) for verb in NONSENSE for answer in NONSENSE[verb]])
async def test_an_answer_that_makes_no_sense_is_a_fault_of_the_connector(verb, answer):
    with pytest.raises(CloudError, match="connector") as caught:
        await CALLS[verb](account(connector_with(**{verb: answer})))
    assert isinstance(caught.value, OutcomeUnknown) == (verb in WITH_EFFECT)


async def test_what_was_found_absent_was_not_found():
    odd = account(connector_with(find=[Observation(Phase.ABSENT), READY]))
    assert await CALLS["find"](odd) == [READY]


async def test_a_kind_that_the_connector_no_longer_knows_is_an_error():
    with pytest.raises(CloudError, match="no longer handles resources of kind 'floppy'"):
        account().kind("floppy")


@pytest.mark.parametrize(
    ("host", "server"),
    [("https://cloud.example.org:5000/v3", "cloud.example.org"), ("cloud.example.org", "cloud.example.org"),
     ("cloud.example.org:80", "cloud.example.org"), ("", "")],
)  # fmt: skip
def test_a_cloud_is_known_by_its_host(host, server):
    assert account(credential=Credential("c", "Dummy", {"host": host} if host else {})).server == server


def test_one_credential_is_one_account_and_another_is_another():
    clouds = Clouds(Source(DummyConnector), Bulkheads(4), 5.0)
    first = clouds.account(CREDENTIAL)
    assert clouds.account(Credential("c", "Dummy", dict(CREDENTIAL.fields))) is first
    others = [
        Credential("d", "Dummy", CREDENTIAL.fields),
        Credential("c", "Dummy", {**CREDENTIAL.fields, "password": "renewed"}),
        Credential("c", "Dummy", {}),
        Credential("c", "Dummy", {"host": CREDENTIAL.fields["host"] + "\0password", "x": ""}),
    ]
    assert len({id(clouds.account(other)) for other in [CREDENTIAL, *others]}) == 5


def test_accounts_are_bounded_in_number():
    clouds = Clouds(Source(DummyConnector), Bulkheads(4), 5.0, limit=3)
    first = clouds.account(CREDENTIAL)
    for number in range(5):
        clouds.account(Credential(f"c{number}", "Dummy", {}))
    assert clouds.account(CREDENTIAL) is not first
    assert len(clouds._accounts) == 3


class Unmakable(DummyConnector):
    def __init__(self, credential, options):
        raise KeyError(credential.get("password"))


class Homeless(DummyConnector):
    @property
    def endpoint(self):
        raise RuntimeError(self.credential.get("password"))


@pytest.mark.parametrize("cls", [Unmakable, Homeless])
def test_a_connector_that_cannot_be_made_is_one_that_cannot_be_used(cls, caplog):
    with pytest.raises(PluginUnavailable, match="connector does not take this credential") as caught:
        account(cls)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text


def test_the_accounts_of_a_list_come_in_its_order_with_errors_in_their_places():
    class Choosy(Source):
        def connector(self, type_name):
            if type_name == "Broken":
                raise PluginUnavailable("install imframework[broken]")
            return super().connector(type_name)

    clouds = Clouds(Choosy(DummyConnector), Bulkheads(4), 5.0)
    found = clouds.accounts([Credential("b", "Broken", {}), Credential("a", "Dummy", {})])
    assert list(found) == ["b", "a"]
    assert isinstance(found["b"], IMError)
