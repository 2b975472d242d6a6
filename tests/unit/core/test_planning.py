"""Which machines go where, and why: groups, pins, forced clouds, scores, and the reasons against."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from imframework.api.errors import CloudUnavailable, CredentialsRejected, IMError, InvalidRequest, NoCandidate
from imframework.api.model import Candidate, Credential, Interval, Refusal
from imframework.core import planning
from imframework.core.calls import CallPool
from imframework.core.clouds import Account
from imframework.core.launching import lot_of
from imframework.core.planning import Choice, Defaults
from imframework.languages import radl
from imframework_plugins.connectors.dummy.connector import DummyConnector


class Cloud(DummyConnector):
    """Offers what the test says."""

    offers: Sequence[Candidate | Refusal] | Exception = (Candidate("image"),)

    def candidates(self, system):
        self.asked = system
        if isinstance(self.offers, Exception):
            raise self.offers
        return list(self.offers)


def account(name: str, *offers: Candidate | Refusal | Exception) -> Account:
    connector = Cloud(Credential(name, "Cloud", {}), {})
    if offers:
        connector.offers = offers[0] if isinstance(offers[0], Exception) else offers  # type: ignore[assignment]
    return Account(connector, CallPool("cloud", 4), 5.0)


def lots(text: str):
    """The lots of a document, as the service makes them."""
    document = radl.parse(text)
    radl.check(document)
    found, number = [], 0
    for deploy in document.deploys:
        numbers = tuple(range(number, number + deploy.count))
        number += deploy.count
        definition = radl.dumps(document.for_machine(document.systems[deploy.system]))
        found.append(lot_of(definition, deploy.cloud or "", numbers))
    return found


def choose(text: str, *accounts: Account | IMError, pins=None, names=None):
    named = {item.id: item for item in accounts} if names is None else dict(zip(names, accounts, strict=True))
    return asyncio.run(planning.choose(lots(text), named, pins or {}, Defaults()))


def system(name: str, *networks: str, extra: str = "") -> str:
    features = [f"net_interface.{i}.connection = '{network}'" for i, network in enumerate(networks)]
    features += ["disk.0.image.url = 'a://b'"] + ([extra] if extra else [])
    return f"system {name} ({' and '.join(features)})\n"


NETWORKS = "network public (outbound = 'yes')\n" + "".join(f"network n{i} ()\n" for i in range(4))


def clouds(choices) -> list[str | None]:
    return [choice.account if isinstance(choice, Choice) else None for _, choice in sorted(choices.items())]


# --- groups ----------------------------------------------------------------------------------------------------


def good(name: str, *images: str) -> Account:
    """A cloud that scores 100 for machines that want the application `app`, and only offers these images."""
    return account(name, *(Candidate(image, applications={"app": "1"}) for image in images))


def picky(name: str, systems: dict[str, float]) -> Account:
    """A cloud with a score for each system."""
    found = account(name)

    def candidates(asked):
        if asked.name not in systems:
            return [Refusal("", "not here")]
        return [Candidate("image", applications={f"a{n}": "1" for n in range(int(-systems[asked.name]))})]

    found.connector.candidates = candidates
    return found


def test_machines_without_private_networks_go_each_where_it_is_best():
    text = NETWORKS + system("a", "public") + system("b", "public") + "deploy a 1\ndeploy b 1"
    assert clouds(choose(text, picky("x", {"a": 0, "b": -5}), picky("y", {"a": -5, "b": 0}))) == ["x", "y"]


def test_machines_that_share_a_private_network_go_to_one_cloud():
    text = NETWORKS + system("a", "n0") + system("b", "n0", "public") + "deploy a 1\ndeploy b 1"
    assert clouds(choose(text, picky("x", {"a": 0, "b": -5}), picky("y", {"a": -3, "b": 0}))) == ["y", "y"]


def test_networks_connect_machines_through_others():
    text = NETWORKS + system("a", "n0") + system("b", "n1") + system("c", "n2") + system("d", "n0", "n1")
    text += "deploy a 1\ndeploy b 1\ndeploy c 1\ndeploy d 1"
    one = picky("one", {"a": -1, "b": -1, "c": 0, "d": -1})
    other = picky("other", {"a": 0, "b": 0, "c": -1, "d": 0})
    assert clouds(choose(text, one, other)) == ["other", "other", "one", "other"]


def test_the_score_of_a_group_counts_machines():
    text = NETWORKS + system("a", "n0") + system("b", "n0") + "deploy a 1\ndeploy b 10"
    assert clouds(choose(text, picky("x", {"a": 0, "b": -1}), picky("y", {"a": -9, "b": 0}))) == ["y", "y"]


def test_one_machine_that_fits_nowhere_else_decides_for_its_group():
    text = NETWORKS + system("a", "n0") + system("b", "n0") + "deploy a 1\ndeploy b 1"
    choices = choose(text, picky("x", {"a": 0}), picky("y", {"a": -9, "b": 0}))
    assert clouds(choices) == ["y", "y"]
    assert choices[0].rejected == {"x": "not here"}


def test_a_group_that_fits_nowhere_has_no_cloud_and_others_are_not_affected():
    text = NETWORKS + system("a", "n0") + system("b", "n0") + system("c", "n1") + "deploy a 1\ndeploy b 1\ndeploy c 1"
    choices = choose(text, picky("x", {"a": 0, "c": 0}), picky("y", {"b": 0}))
    assert clouds(choices) == [None, None, "x"]
    assert isinstance(choices[0], NoCandidate)
    assert str(choices[1]) == (
        "No VMI obtained from Sites to system 'b': x: not here; y: not here. Check if a correct image is being used"
    )


# --- forced and pinned -----------------------------------------------------------------------------------------


def test_a_cloud_named_in_a_deploy_is_taken_and_no_other_is_asked():
    x, y = account("x"), account("y")
    text = NETWORKS + system("a", "n0") + "deploy a 1 y"
    assert clouds(choose(text, x, y)) == ["y"]
    assert not hasattr(x.connector, "asked")


def test_a_cloud_named_for_one_is_taken_for_its_group():
    text = NETWORKS + system("a", "n0") + system("b", "n0") + "deploy a 1 y\ndeploy b 1"
    assert clouds(choose(text, account("x"), account("y"))) == ["y", "y"]


def test_two_clouds_named_in_one_group_are_an_error():
    text = NETWORKS + system("a", "n0") + system("b", "n0") + "deploy a 1 y\ndeploy b 1 x"
    choices = choose(text, account("x"), account("y"))
    for choice in choices.values():
        assert isinstance(choice, InvalidRequest)
        assert str(choice).startswith("Two deployments that have to be launched in the same cloud provider are asked")
        assert str(choice).endswith("y, x")


def test_two_clouds_named_without_a_common_network_are_fine():
    text = NETWORKS + system("a", "public") + "deploy a 1 y\ndeploy a 1 x"
    assert clouds(choose(text, account("x"), account("y"))) == ["y", "x"]


def test_an_unknown_cloud_is_an_error_that_names_it():
    choices = choose(NETWORKS + system("a") + "deploy a 1 nowhere", account("x"))
    assert str(choices[0]) == "No auth data for cloud with ID: nowhere"


def test_no_cloud_at_all_is_an_error():
    assert str(choose(NETWORKS + system("a") + "deploy a 1")[0]) == "No cloud provider available"


def test_a_network_that_has_machines_binds_its_group_to_their_cloud():
    text = NETWORKS + system("a", "n0") + system("b", "n0", "n1") + "deploy a 1\ndeploy b 1"
    assert clouds(choose(text, account("x"), account("y"), pins={"n1": "y"})) == ["y", "y"]


def test_a_network_bound_to_a_cloud_that_is_not_there_any_more_is_an_error():
    text = NETWORKS + system("a", "n0") + "deploy a 1"
    assert str(choose(text, account("x"), pins={"n0": "gone"})[0]) == "No auth data for cloud with ID: gone"


def test_a_cloud_that_cannot_be_used_is_a_reason():
    broken = IMError("install imframework[ec2]")
    text = NETWORKS + system("a") + "deploy a 1"
    assert clouds(choose(text, broken, account("x"), names=["b", "x"])) == ["x"]
    assert "b: install imframework[ec2]" in str(choose(text, broken, names=["b"])[0])


# --- scores ----------------------------------------------------------------------------------------------------


def test_of_equals_the_cloud_listed_first_wins():
    text = NETWORKS + system("a") + "deploy a 1"
    choices = choose(text, account("x"), account("y"))
    assert clouds(choices) == ["x"]
    assert choices[0].rejected == {"y": "scores as much, and comes later in the credentials"}


def test_of_equal_candidates_the_first_wins_since_connectors_answer_cheapest_first():
    choices = choose(NETWORKS + system("a") + "deploy a 1", account("x", Candidate("cheap"), Candidate("dear")))
    assert choices[0].candidate.image == "cheap"


def test_the_cloud_that_has_the_higher_score_says_so_of_the_others():
    text = NETWORKS + system("a", extra="disk.0.applications contains (name = 'app')") + "deploy a 2"
    choices = choose(text, account("x"), good("y", "image"))
    assert clouds(choices) == ["y"]
    assert choices[0].rejected == {"x": "scores 0, less than 200"}


@pytest.mark.parametrize(
    ("wanted", "installed", "score"),
    [
        ("name = 'app'", {"app": "1.0"}, 100),
        ("name = 'app'", {"app": ""}, 100),
        ("name = 'app' and version = '1.9'", {"app": "1.10"}, 100),
        ("name = 'app' and version = '1.9'", {"app": "1.9"}, 100),
        ("name = 'app' and version = '1.9'", {"app": "1.8"}, -1),
        ("name = 'app' and version = '1.9'", {}, 0),
        ("name = 'app'", {"app": "1", "other": "2"}, 99),
        ("name = 'app'", {"app": "1", "other": ""}, 100),
    ],
)
def test_applications_in_the_image_count_with_their_versions(wanted, installed, score):
    (lot,) = lots(NETWORKS + system("a", extra=f"disk.0.applications contains ({wanted})") + "deploy a 1")
    assert planning._score(lot.system, Candidate("i", applications=installed)) == score


def test_soft_features_count_most():
    extra = "soft 20 (memory.size >= 8G) and soft 5 (cpu.count >= 4)"
    (lot,) = lots(NETWORKS + system("a", extra=extra) + "deploy a 1")

    def score(**facts):
        return planning._score(lot.system, Candidate("i", facts={k.replace("_", "."): v for k, v in facts.items()}))

    assert score(cpu_count=8, memory_size=8 * 2**30) == 250_000
    assert score(cpu_count=2, memory_size=8 * 2**30) == 200_000
    assert score(cpu_count=8, memory_size=2**30) == 50_000
    assert score(cpu_count=1, memory_size=2**30) == 0


# --- what is asked for -----------------------------------------------------------------------------------------


def test_what_is_not_asked_for_is_asked_for_by_default():
    x = account("x")
    choose(NETWORKS + system("a", extra="disk.0.applications contains (name = 'app')") + "deploy a 1", x)
    asked = x.connector.asked.values
    assert asked["cpu.count"] == Interval(minimum=1)
    assert asked["memory.size"] == Interval(minimum=512 * 2**20)
    assert asked["cpu.arch"] == "x86_64"
    assert "disk.0.applications" not in asked


def test_defaults_do_not_stand_in_the_way_of_soft_features():
    x = account("x")
    choose(NETWORKS + system("a", extra="cpu.arch = 'arm64' and soft 10 (memory.size >= 8G)") + "deploy a 1", x)
    assert "memory.size" not in x.connector.asked.values
    assert x.connector.asked.values["cpu.arch"] == "arm64"


# --- clouds that cannot answer ---------------------------------------------------------------------------------


def test_a_cloud_that_cannot_be_reached_leaves_the_choice_to_the_others():
    text = NETWORKS + system("a") + "deploy a 1"
    choices = choose(text, account("x", CloudUnavailable("down")), account("y"))
    assert clouds(choices) == ["y"]
    assert choices[0].rejected == {"x": "down"}


def test_it_is_worth_trying_again_if_a_cloud_could_not_be_reached():
    text = NETWORKS + system("a") + "deploy a 1"
    choice = choose(text, account("x", CloudUnavailable("down")), account("y", Refusal("i", "too small")))[0]
    assert choice.retryable
    assert str(choice) == "No VMI obtained from Sites to system 'a': x: down; y: i: too small"
    final = choose(text, account("x", CredentialsRejected("who are you")), account("y", Refusal("", "no")))[0]
    assert not final.retryable


def test_what_a_faulty_connector_answers_is_a_reason():
    x = account("x")
    x.connector.candidates = lambda asked: None
    choice = choose(NETWORKS + system("a") + "deploy a 1", x)[0]
    assert "The Dummy connector failed in 'candidates' (TypeError" in str(choice)


# --- cloud-init ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("packages: [vim]", f"#cloud-config\npackages:\n- vim\nmerge_how: {planning.MERGE_HOW}\n"),
        ("#!/bin/bash\necho hello", "#!/bin/bash\necho hello"),
        ("#!/bin/bash\ncase $1 in\n  a) x: [ ;;\nesac", "#!/bin/bash\ncase $1 in\n  a) x: [ ;;\nesac"),
    ],
)
def test_cloud_init_text_is_merged_if_it_is_a_dictionary_and_passed_on_if_it_is_a_script(recipe, expected):
    document = radl.parse(
        system("a") + f"configure c (\n@begin\n{recipe}\n@end\n)\n"
        "contextualize (system a configure c with cloud_init)\ndeploy a 1"
    )
    assert planning.user_data(document, "a").strip() == expected.strip()
    assert planning.user_data(document, "b") == ""
