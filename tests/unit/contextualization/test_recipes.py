"""Users' recipes: what the server adds, and what it refuses."""

from __future__ import annotations

import pytest

from imframework.contextualization import recipes, yaml_text
from imframework.contextualization.recipes import RecipeError
from imframework.contextualization.vault import VaultError, decrypt

HEADER = {"name": "task", "hosts": "{{ ours }}", "become": True, "gather_facts": False}


def test_the_users_value_wins_except_for_the_hosts() -> None:
    prepared = recipes.prepare(
        "- {hosts: all, become: false, gather_facts: true, tasks: []}\n- {name: mine, roles: [r]}", HEADER, root=True
    )

    assert prepared.plays == (
        {"name": "task", "hosts": "{{ ours }}", "become": False, "gather_facts": True, "tasks": []},
        {"name": "mine", "hosts": "{{ ours }}", "become": True, "gather_facts": False, "roles": ["r"]},
    )


def test_maps_are_updated_and_lists_appended_by_the_users() -> None:
    merged = recipes.merged(
        {"hosts": "h", "vars": {"a": 1, "b": 1}, "pre_tasks": ["ours"]}, {"vars": {"b": 2}, "pre_tasks": ["mine"]}
    )

    assert merged == {"hosts": "h", "vars": {"a": 1, "b": 2}, "pre_tasks": ["ours", "mine"]}


def test_imported_playbooks_are_left_as_they_are() -> None:
    assert recipes.prepare("- import_playbook: other.yml", HEADER, root=True).plays == (
        {"import_playbook": "other.yml"},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: []", "not a list of plays but a mapping"),
        ("just text", "not a list of plays but a single value"),
        ("- [a]", "element 1 of the recipe is not a play but a list"),
        ("- tasks: []\n- text", "element 2 of the recipe is not a play but a single value"),
        ("- tasks: [", r"not YAML at line \d: "),
        ("- a: 1\n---\n- b: 2", "not YAML"),
    ],
)
def test_what_is_not_a_list_of_plays_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.prepare(text, HEADER, root=True)


def test_an_empty_recipe_has_no_plays() -> None:
    assert recipes.prepare("\n# nothing\n", HEADER, root=True).plays == ()


def test_plays_that_need_root_are_left_out_where_we_are_not() -> None:
    text = "- {name: root's, become: true}\n- {become: yes}\n- {name: mine}\n- {become: false}"

    prepared = recipes.prepare(text, {"hosts": "h"}, root=False)

    assert [play.get("name") for play in prepared.plays] == ["mine", None]
    assert prepared.skipped == ("root's", "number 2")


def test_tags_of_ansible_survive() -> None:
    text = (
        "- vars:\n    a: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6162\n    b: !unsafe '{{ x }}'\n    m: 0644\n"
    )

    written = yaml_text.dump(yaml_text.load(text))

    assert "a: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n" in written
    assert "b: !unsafe '{{ x }}'" in written
    assert "m: 420" in written


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("when: ansible_os_family == 'Debian'", True),
        ("msg: '{{ hostvars[x].ansible_default_ipv4.address }}'", True),
        ("when: ansible_facts.os_family is defined", True),
        ("- roles:\n    - some.role", True),
        ("- include_role: {name: x}", True),
        ("    - ansible.builtin.import_tasks: x.yml", True),
        ("msg: '{{ ansible_host }} {{ ansible_user }} {{ ansible_play_hosts }}'", False),
        ("- ansible.builtin.copy: {src: a, dest: b}", False),
        ("msg: '{{ my_ansible_distribution }}'", False),
    ],
)
def test_facts_are_gathered_for_recipes_that_look_as_if_they_used_them(text: str, wanted: bool) -> None:
    assert recipes.wants_facts(text) is wanted


# Made by ansible-vault of ansible-core 2.19 with the password "pass-word".
VAULT = """\
$ANSIBLE_VAULT;1.1;AES256
38396239396637313036333166666434643864306464663264323332386230656137383134376233
3938363238363637336531383430353063653032633635390a653864393336356563386635363330
39666630346534396133303664353831313438323632353038623366316462383061643330376134
6234336131666137370a356230643064616566633037303762613734326162666138626661666638
3264
"""


def test_encrypted_recipes_are_read_with_the_password_of_the_system() -> None:
    assert recipes.clear_text(VAULT, "pass-word") == "- tasks: []\n"


def test_a_wrong_or_missing_password_is_told() -> None:
    with pytest.raises(RecipeError, match=r"vault\.password is not the password"):
        recipes.clear_text(VAULT, "other")
    with pytest.raises(RecipeError, match=r"has no vault\.password"):
        recipes.clear_text(VAULT, None)


@pytest.mark.parametrize("text", ["$ANSIBLE_VAULT;9.9;AES256\nab", "$ANSIBLE_VAULT;1.1;AES256\nzz", "$ANSIBLE_VAULT"])
def test_damaged_vault_texts_are_told(text: str) -> None:
    with pytest.raises(VaultError):
        decrypt(text, "x")
