"""What may be said about the simulated cloud, and what is answered to nonsense."""

import os

import pytest

from imframework.api.errors import ConfigurationError
from imframework.api.model import Recognition
from imframework_plugins.connectors.dummy.behaviour import (
    KINDS,
    VERBS,
    Behaviour,
    BehaviourSource,
    Effect,
    Fault,
    Moment,
    parse,
)


def fault(**fields):
    return Fault.model_validate({"effect": "fail", **fields})


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{", "the object", "JSON"),
        ("[]", "the object", "object"),
        ('{"latensy": {"create": 1}}', "latensy", "not permitted"),
        ('{"latency": {"creat": 1}}', "the object", "unknown verb 'creat'"),
        ('{"latency": {"create": "long"}}', "latency.create", "number"),
        ('{"latency": {"create": -1}}', "latency.create", "greater than or equal to 0"),
        ('{"boot": {"machine": 1}}', "the object", "unknown kind 'machine'"),
        ('{"recognition": {"instance": "luck"}}', "recognition.instance", "'token'"),
        ('{"quota": {"instance": 1.5}}', "quota.instance", "integer"),
        ('{"faults": [{"verb": "create"}]}', "faults.0.effect", "required"),
        ('{"faults": [{"effect": "explode"}]}', "faults.0.effect", "'lose-answer'"),
        ('{"faults": [{"effect": "fail", "verb": "destroy"}]}', "faults.0", "unknown verb 'destroy'"),
        ('{"faults": [{"effect": "fail", "nth": 0}]}', "faults.0.nth", "greater than or equal to 1"),
        ('{"faults": [{"effect": "fail", "probability": 2}]}', "faults.0.probability", "less than or equal to 1"),
        ('{"faults": [{"effect": "fail"}, {"effect": "fail"}]}', "the object", "two faults are alike"),
    ],
)
def test_a_wrong_behaviour_is_refused_naming_the_place(text, place, reason):
    with pytest.raises(ConfigurationError) as refusal:
        parse(text)

    assert str(refusal.value).startswith(f"DUMMY_BEHAVIOUR: {place}")
    assert reason in str(refusal.value)


def test_every_problem_of_a_behaviour_is_told():
    with pytest.raises(ConfigurationError) as refusal:
        parse('{"boot": {"instance": -1}, "quota": {"volume": "many"}}')

    assert len(refusal.value.problems) == 2


def test_kinds_are_recognised_as_the_behaviour_says():
    behaviour = parse(
        '{"recognition": {"instance": "tag", "*": "name"}, "window": {"instance": 2.5}, "lag": {"volume": 1}}'
    )

    kinds = behaviour.kinds()

    assert set(kinds) == set(KINDS)
    assert (kinds["instance"].recognised_by, kinds["instance"].window) == (Recognition.TAG, 2.5)
    assert (kinds["volume"].recognised_by, kinds["volume"].lag) == (Recognition.NAME, 1.0)


def test_without_a_behaviour_everything_is_recognised_by_its_token_at_once():
    assert {(kind.recognised_by, kind.window, kind.lag) for kind in Behaviour().kinds().values()} == {
        (Recognition.TOKEN, 0.0, 0.0)
    }


@pytest.mark.parametrize(
    ("rule", "concerned"),
    [
        ({}, True),
        ({"verb": "create"}, True),
        ({"verb": ["delete", "create"]}, True),
        ({"verb": "delete"}, False),
        ({"kind": "instance"}, True),
        ({"kind": ["volume", "network"]}, False),
        ({"resource": "instance/*"}, True),
        ({"resource": "instance/4"}, False),
        ({"account": "one@*"}, True),
        ({"account": "two@*"}, False),
        ({"verb": "create", "kind": "instance", "resource": "instance/3", "account": "one@here"}, True),
    ],
)
def test_a_fault_concerns_the_calls_it_describes(rule, concerned):
    assert fault(**rule).concerns(("create",), (("instance", "instance/3"),), "one@here") is concerned


def test_a_fault_of_acting_concerns_every_action_and_one_of_stopping_only_that():
    stop, machine = ("act", "stop"), (("instance", "instance/3"),)

    assert fault(verb="act").concerns(stop, machine, "one")
    assert fault(verb="stop").concerns(stop, machine, "one")
    assert not fault(verb="reboot").concerns(stop, machine, "one")


def test_a_fault_concerns_a_bulk_read_if_one_of_the_resources_is_meant():
    handles = (("instance", "instance/1"), ("volume", "volume/1/1"))

    assert fault(kind="volume").concerns(("read",), handles, "one")
    assert not fault(kind="volume", resource="volume/2/*").concerns(("read",), handles, "one")
    assert not fault(kind="instance", resource="volume/1/1").concerns(("read",), handles, "one")


def test_a_fault_happens_on_the_calls_it_counts():
    assert [call for call in range(1, 6) if fault(nth=3).strikes(call, 0)] == [3]
    assert [call for call in range(1, 6) if fault(nth=[1, 4]).strikes(call, 0)] == [1, 4]
    assert [fired for fired in range(4) if fault(times=2).strikes(1, fired)] == [0, 1]


def test_chance_depends_on_the_seed_and_nothing_else():
    def struck(seed):
        return [call for call in range(1, 1001) if fault(probability=0.2, seed=seed, name="dice").strikes(call, 0)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 140 < len(struck(1)) < 260
    assert not any(fault(probability=0).strikes(call, 0) for call in range(1, 100))


def test_a_behaviour_file_is_read_again_when_it_has_changed(tmp_path):
    file = tmp_path / "behaviour.json"
    file.write_text('{"boot": {"instance": 5}}')
    source = BehaviourSource(str(file))
    assert source.current().boot == {"instance": 5}

    changed = tmp_path / "new.json"
    changed.write_text("{}")
    os.replace(changed, file)

    assert source.current().boot == {}


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b'{"secret-key": 1}'])
def test_a_behaviour_file_that_cannot_be_used_is_refused_without_its_path_or_content(tmp_path, content):
    file = tmp_path / "behaviour.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError) as refusal:
        BehaviourSource(str(file)).current()

    assert str(refusal.value).startswith("DUMMY_BEHAVIOUR: ")
    assert str(tmp_path) not in str(refusal.value)


# --- the reference page ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs/reference/connectors/dummy.md").read_text("utf-8")


def test_the_documented_example_is_a_behaviour(page):
    example = page.partition("```json\n")[2].partition("```")[0]

    assert len(parse(example).faults) == 3


@pytest.mark.parametrize("name", [*Behaviour.model_fields, *Fault.model_fields, *Effect, *Moment, *KINDS, *VERBS])
def test_everything_that_can_be_said_is_documented(page, name):
    assert f"`{name}`" in page
