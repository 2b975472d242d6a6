"""YAML as Ansible reads it: tags such as ``!vault`` and ``!unsafe`` are kept, not understood."""

from __future__ import annotations

from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Tagged:
    """A value with a tag of Ansible's."""

    def __init__(self, tag: str, node: yaml.Node) -> None:
        self.tag = tag
        self.node = node


class Unsafe(str):
    """A text that Ansible must not take for a template."""

    __slots__ = ()


class _AnsibleLoader(_Loader):  # type: ignore[misc]
    pass


class _AnsibleDumper(_Dumper):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _keep_tag(loader: Any, suffix: str, node: yaml.Node) -> Tagged:
    return Tagged("!" + suffix, node)


def _write_tag(dumper: Any, data: Tagged) -> yaml.Node:
    return data.node


def _write_unsafe(dumper: Any, data: Unsafe) -> yaml.Node:
    node: yaml.Node = dumper.represent_scalar("!unsafe", str(data))
    return node


_AnsibleLoader.add_multi_constructor("!", _keep_tag)
_AnsibleDumper.add_representer(Tagged, _write_tag)
_AnsibleDumper.add_representer(Unsafe, _write_unsafe)


def load(text: str) -> Any:
    """The one document in `text`. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_AnsibleLoader)  # noqa: S506 - a subclass of the safe loader


def dump(data: Any) -> str:
    """`data` as YAML, keys in the order given."""
    text: str = yaml.dump(data, Dumper=_AnsibleDumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
