"""The YAML check of recipes."""

from __future__ import annotations

import pytest

from imframework.languages.radl import parse
from imframework.languages.radl.recipes import MAX_NODES, recipe_problems, yaml_problem


@pytest.mark.parametrize(
    "recipe",
    [
        "",
        "- tasks: []",
        "---\n- vars: &v {a: 1}\n- vars: *v\n...",
        "$ANSIBLE_VAULT;1.1;AES256\n6638643965396664",
        "a: !vault |\n  $ANSIBLE_VAULT;1.1\nb: !unsafe '{{'",
        "#!/bin/sh\necho started > /tmp/started",
        "a: '{{ x }}'\nb: \"{{ y }}: z\"",
        "a: [b, {c: d}]\n? e\n: f",
    ],
)
def test_yaml_is_accepted(recipe: str) -> None:
    assert yaml_problem(recipe) is None


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("a: [", "line"),
        ("a:\n\t- b", "line 2"),
        ("a: *nowhere", "alias"),
        ("a: &a [*a]", "alias"),
        ("- a\n---\n- b", "more than one document"),
        ("a: \x01", "not allowed"),
        ("[" * 100_000, "nested"),
        ("\n".join(f"{'  ' * depth}a:" for depth in range(200)), "nested"),
    ],
)
def test_what_is_not_yaml_or_harmful_is_refused(recipe: str, said: str) -> None:
    wrong = yaml_problem("\n" + recipe + "\n")
    assert wrong is not None
    assert said in wrong[0]


def test_unquoted_template_gets_a_hint() -> None:
    wrong = yaml_problem("- debug:\n    msg: {{ greeting }}")
    assert wrong is not None
    assert "needs quotes" in wrong[1]


def test_alias_bomb_is_refused_without_being_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    wrong = yaml_problem("\n".join(lines))
    assert wrong is not None
    assert str(MAX_NODES) in wrong[0]


def test_script_for_cloud_init_need_not_be_yaml() -> None:
    script = "configure c (\n@begin\n#!/bin/sh\necho 'a: b: [\n@end\n)"
    assert not list(recipe_problems(parse(script + "contextualize (system s configure c with cloud_init)")))
    assert list(recipe_problems(parse(script)))
    both = "contextualize (system s configure c with cloud_init system t configure c)"
    assert list(recipe_problems(parse(script + both)))


def test_problem_is_at_the_configure_and_names_it() -> None:
    (problem,) = recipe_problems(parse("\nconfigure setup (\n@begin\n- a\n- b: [\n@end\n)"))
    assert (problem.line, problem.column, problem.kind) == (2, 1, "bad-yaml")
    assert "'setup'" in problem.message
