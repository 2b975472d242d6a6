"""Which recipes run, in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from imframework.languages.radl import ContextualizationPlan, Run, Step, contextualization_plan, parse

SYSTEMS = "system a () system b () "
RECIPES = "".join(f"configure {id} (\n@begin\n- tasks: []\n@end\n) " for id in ("a", "c", "d"))


def plan(contextualize: str = "", *, more: str = "") -> ContextualizationPlan:
    return contextualization_plan(parse(SYSTEMS + RECIPES + more + contextualize))


@pytest.mark.parametrize("contextualize", ["", "contextualize (option ansible_version = '9')"])
def test_without_items_systems_get_the_recipe_of_the_same_id_in_step_1(contextualize: str) -> None:
    chosen = plan(contextualize)
    assert chosen.uses_ansible
    assert chosen.steps == (Step(1, (Run("a", "a"),)),)


def test_listed_pairs_run_by_step_in_document_order() -> None:
    chosen = plan(
        "contextualize 60 (system a configure d step 2 system b configure c system a configure c system b configure d"
        " step 2)"
    )
    assert chosen.steps == (
        Step(0, (Run("b", "c"), Run("a", "c"))),
        Step(2, (Run("a", "d"), Run("b", "d"))),
    )
    assert chosen.max_time == 60


@pytest.mark.parametrize("contextualize", ["contextualize ()", "contextualize 60 ()"])
def test_empty_contextualize_switches_configuration_off(contextualize: str) -> None:
    chosen = plan(contextualize)
    assert not chosen.uses_ansible
    assert chosen.steps == ()


def test_cloud_init_alone_needs_no_ansible() -> None:
    chosen = plan("contextualize (system a configure c with cloud_init)")
    assert not chosen.uses_ansible
    assert chosen.cloud_init == (Run("a", "c"),)
    assert chosen.steps == ()


def test_tools_can_be_mixed_and_unknown_ones_do_not_run() -> None:
    chosen = plan(
        "contextualize (system a configure c with cloud_init system b configure c with Ansible system b configure d"
        " with Puppet)"
    )
    assert chosen.uses_ansible
    assert chosen.cloud_init == (Run("a", "c"),)
    assert chosen.steps == (Step(0, (Run("b", "c"),)),)


def test_empty_recipe_of_the_same_id_switches_a_system_off() -> None:
    chosen = plan("contextualize (system a configure c system b configure c)", more="configure b () ")
    assert chosen.skipped == {"b"}
    assert chosen.steps == (Step(0, (Run("a", "c"),)),)


def test_when_every_system_is_switched_off_nothing_runs() -> None:
    chosen = contextualization_plan(parse("system a () configure a ()"))
    assert not chosen.uses_ansible
    assert chosen.skipped == {"a"}


def test_empty_recipe_of_another_id_is_passed_over() -> None:
    chosen = plan("contextualize (system a configure e system a configure c)", more="configure e () ")
    assert chosen.steps == (Step(0, (Run("a", "c"),)),)


def test_machines_without_recipes_are_still_prepared_with_ansible() -> None:
    chosen = contextualization_plan(parse("system a ()"))
    assert chosen.uses_ansible
    assert chosen.steps == ()


def test_version_of_ansible_is_an_option() -> None:
    assert plan("contextualize (option ansible_version = '9.5.1')").ansible_version == "9.5.1"
    assert plan("contextualize (option ansible_version = 9.5)").ansible_version == "9.5"
    assert plan().ansible_version is None
    assert plan().max_time is None


def test_example_of_steps(vectors: Path) -> None:
    chosen = contextualization_plan(parse((vectors / "12-steps.radl").read_text()))
    assert [(step.number, [run.configure for run in step.runs]) for step in chosen.steps] == [
        (0, ["base", "base"]),
        (1, ["db_setup"]),
        (2, ["app_setup"]),
    ]
    assert (chosen.max_time, chosen.ansible_version) == (1800, "9.5.1")


def test_example_of_switching_off(vectors: Path) -> None:
    chosen = contextualization_plan(parse((vectors / "14-no-contextualize.radl").read_text()))
    assert not chosen.uses_ansible
    assert chosen.skipped == {"silent"}
