"""From the files of operations to one recipe: playbooks are joined, scripts are copied and run.

The files are read as YAML with every tag kept as it is (``!vault``, ``!unsafe``), and never modified.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import yaml

from imframework.languages.radl.lexical import shortened
from imframework.languages.radl.recipes import yaml_problem
from imframework.languages.tosca.operations import Run
from imframework.languages.tosca.source import Mark, invalid
from imframework.languages.tosca.sources import base_name
from imframework.languages.tosca.values import text_of

_MAX_CHARACTERS: Final = 500_000
#: Plays that stand for other files cannot have tasks or variables added.
_INCLUSIONS: Final = ("import_playbook", "ansible.builtin.import_playbook", "include")

_Play = dict[str, Any]


def recipe(node_name: str, runs: Sequence[Run]) -> str:
    """The recipe that runs all of these, in order. Raises InvalidDocument for files that are no plays."""
    inputs: dict[str, Any] = {}
    tasks: list[Any] = []
    for run in runs:
        if _is_playbook(run.file):
            inputs.update(run.inputs)
        tasks.extend(_download(url) for url in run.downloads)
    first: _Play = {}
    if inputs:
        first["vars"] = inputs
    if tasks:
        first["tasks"] = tasks
    plays = [first]
    for run in runs:
        if _is_playbook(run.file):
            added = [_without_hosts(play) for play in _plays(run.content, run.file, run.mark)]
        else:
            added = [{"tasks": _script_tasks(node_name, run)}]
        plays = _joined(plays, added, inputs)
    text: str = yaml.dump(plays, Dumper=_Dumper, default_flow_style=False, explicit_start=True, allow_unicode=True)
    return text


def _is_playbook(file: str) -> bool:
    return file.partition("?")[0].lower().endswith((".yml", ".yaml"))


def _plays(content: str, file: str, mark: Mark) -> list[_Play]:
    """The plays of a file. Raises InvalidDocument if it is no list of them."""
    name = shortened(base_name(file))
    if len(content) > _MAX_CHARACTERS:
        raise invalid(f"{name} has more than {_MAX_CHARACTERS} characters", mark, "bad-recipe")
    wrong = _content_problem(content)
    if wrong:
        raise invalid(f"{name} is not valid YAML: {wrong}", mark, "bad-recipe")
    plays = _parsed(content)
    if not isinstance(plays, list) or not plays or not all(isinstance(play, dict) for play in plays):
        raise invalid(f"{name} is not a list of plays", mark, "bad-recipe")
    return plays


@lru_cache(maxsize=64)
def _content_problem(content: str) -> str:
    wrong = yaml_problem(content)
    return wrong[0] if wrong is not None else ""


@lru_cache(maxsize=64)
def _parsed(content: str) -> Any:
    try:
        return yaml.load(content, Loader=_Loader)  # noqa: S506  # derived from the safe loader
    except (yaml.YAMLError, ValueError):
        return None


def _without_hosts(play: _Play) -> _Play:
    return {key: value for key, value in play.items() if key not in ("hosts", "connection")}


def _joined(plays: list[_Play], added: list[_Play], inputs: Mapping[str, Any]) -> list[_Play]:
    """The plays with others appended: the first of them is combined with the last one there, so order is kept."""
    result = list(plays)
    for number, play in enumerate(added):
        if _is_inclusion(play):
            result.append(play)
        elif number == 0 and not _is_inclusion(result[-1]):
            result[-1] = _combined(result[-1], play)
        else:
            result.append(_combined({"vars": dict(inputs)}, play) if inputs else play)
    return [play for play in result if play] or [{}]


def _is_inclusion(play: _Play) -> bool:
    return any(key in play for key in _INCLUSIONS)


def _combined(play: _Play, added: _Play) -> _Play:
    """Lists are concatenated, maps updated, anything else is taken from the new one."""
    result = dict(play)
    for key, value in added.items():
        present = result.get(key)
        if isinstance(present, list) and isinstance(value, list):
            result[key] = [*present, *value]
        elif isinstance(present, dict) and isinstance(value, dict):
            result[key] = {**present, **value}
        else:
            result[key] = value
    return result


def _download(url: str) -> _Play:
    target = f"/tmp/{base_name(url)}"  # noqa: S108  # on the machine that is configured
    name = f"Download artifact {url.partition('?')[0]}"
    if _fits_one_line(url):
        return {"name": name, "get_url": f"dest={target} url='{url}'"}
    return {"name": name, "get_url": {"dest": target, "url": url}}


def _script_tasks(node_name: str, run: Run) -> list[_Play]:
    target = f"/tmp/{base_name(run.file)}"  # noqa: S108  # on the machine that is configured
    name = f"{node_name}_{run.name}"
    copy: Any = {"dest": target, "content": run.content, "mode": "0755"}
    if _fits_one_line(run.content):
        copy = f"dest={target} content='{run.content}' mode=0755"
    start: _Play = {"name": name, "shell": target}
    if run.inputs:
        start["environment"] = {key: _environment_value(value) for key, value in run.inputs.items()}
    return [{"name": f"Copy contents of script of interface {name}", "copy": copy}, start]


def _fits_one_line(text: str) -> bool:
    """Whether Ansible's ``key='value'`` notation holds `text`; clients know the recipes in this form."""
    return bool(text) and text.isprintable() and not any(character in text for character in "'\\")


def _environment_value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else text_of(value)


class _Tagged:
    """A value with a tag of Ansible."""

    def __init__(self, node: Any) -> None:
        self.node = node


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:
        return True


def _keep_tag(loader: Any, suffix: str, node: Any) -> _Tagged:
    return _Tagged(node)


def _represent_tagged(dumper: Any, tagged: _Tagged) -> Any:
    return tagged.node


_Loader.add_multi_constructor("!", _keep_tag)
_Dumper.add_representer(_Tagged, _represent_tagged)
