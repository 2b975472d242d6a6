"""Users' recipes: text in, plays out, with what the server adds to each play.

What Ansible itself will say about them is not anticipated here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from imframework.contextualization import vault, yaml_text

Play: TypeAlias = dict[str, Any]

#: Variables called ansible_… that are there without gathering facts.
_NO_FACTS = (
    "host port user password connection ssh_ become python_interpreter play version loop forks inventory limit "
    "run_tags skip_tags verbosity search_path role_ parent_role dependent_role config_file diff_mode index_var "
    "playbook_python check_mode winrm shell_ managed remote_tmp timeout collection_name"
)
_FACT = re.compile(rf"\bansible_(?!{'|'.join(_NO_FACTS.split())})\w")
#: Plays that bring texts we do not see: those probably use facts.
_OTHER_TEXTS = re.compile(
    r"^\s*(?:-\s+)?(?:[\w.]+\.)?(?:roles|(?:include|import)_(?:role|tasks|playbook))\s*:", re.MULTILINE
)

#: A play of this kind stands for others: it takes no hosts.
_IMPORTS = {"import_playbook", "ansible.builtin.import_playbook"}


class RecipeError(Exception):
    """A recipe that cannot be run; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The plays of a recipe, ready to run, and the names of those left out because they need root."""

    plays: tuple[Play, ...]
    skipped: tuple[str, ...] = ()


def wants_facts(text: str) -> bool:
    """Whether a recipe looks as if it used gathered facts."""
    return bool(_FACT.search(text) or _OTHER_TEXTS.search(text))


def clear_text(recipe: str, password: str | None) -> str:
    """A recipe as YAML text, decrypted if it is an Ansible Vault text."""
    if not vault.is_encrypted(recipe):
        return recipe
    if password is None:
        raise RecipeError("the recipe is encrypted with Ansible Vault, but the system has no vault.password")
    try:
        return vault.decrypt(recipe, password)
    except vault.VaultError as error:
        raise RecipeError(str(error)) from None


def prepare(text: str, header: Mapping[str, Any], *, root: bool) -> Prepared:
    """The plays of a recipe, each merged with `header`; without `root`, those that ask for it are left out."""
    plays, skipped = [], []
    for number, play in enumerate(_plays(text), start=1):
        if not root and play.get("become") in (True, "yes", "true"):
            skipped.append(str(play.get("name", f"number {number}")))
        else:
            plays.append(play if _IMPORTS & play.keys() else merged(header, play))
    return Prepared(tuple(plays), tuple(skipped))


def merged(header: Mapping[str, Any], play: Play) -> Play:
    """A play with what the server adds: maps are updated by the user's, lists put before it; the user's value wins.

    Except for the hosts, which are the server's.
    """
    result = dict(header)
    for key, value in play.items():
        ours = header.get(key)
        if key == "hosts":
            continue
        if isinstance(ours, Mapping) and isinstance(value, Mapping):
            result[key] = {**ours, **value}
        elif isinstance(ours, Sequence) and not isinstance(ours, str) and isinstance(value, list):
            result[key] = [*ours, *value]
        else:
            result[key] = value
    return result


def _plays(text: str) -> list[Play]:
    try:
        data = yaml_text.load(text)
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RecipeError(f"the recipe is not YAML{where}: {error.problem or 'syntax error'}") from None
    except yaml.YAMLError:
        raise RecipeError("the recipe is not YAML") from None
    if data is None:
        return []
    if not isinstance(data, list):
        raise RecipeError(f"the recipe is not a list of plays but a {_kind(data)}; each play starts with '- '")
    for number, play in enumerate(data, start=1):
        if not isinstance(play, dict):
            raise RecipeError(f"element {number} of the recipe is not a play but a {_kind(play)}")
    return data


def _kind(data: object) -> str:
    return "mapping" if isinstance(data, dict) else "list" if isinstance(data, list) else "single value"
