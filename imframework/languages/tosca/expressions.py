"""Attributes while translating: nothing runs yet, so they become Ansible expressions that the recipes will evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from imframework.languages.tosca.containers import ContainerNames
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.faas import dns_host, is_hosted
from imframework.languages.tosca.references import AttributeTarget, Scope
from imframework.languages.tosca.source import Mark
from imframework.languages.tosca.topology import CONTAINER, FUNCTION, PORT, Node

_ADDRESS: Final = {"private_address": "IM_NODE_PRIVATE_IP", "public_address": "IM_NODE_PUBLIC_IP"}


class Expressions:
    """Attributes as text with ``{{ … }}``; None for what no recipe can know."""

    def __init__(self, containers: ContainerNames, evaluator: Callable[[], Evaluator]) -> None:
        self._containers = containers
        self._evaluator = evaluator

    def attribute(self, target: AttributeTarget, mark: Mark) -> Any:
        """See `evaluation.Attributes`."""
        node = target.node
        if not isinstance(node, Node):
            return None
        if target.name == "tosca_name":
            return node.name
        if node.is_a(CONTAINER):
            return self._container(node, target)
        if node.is_a(FUNCTION) and is_hosted(node):
            host = dns_host(self._evaluator(), node) if target.name == "endpoint" else ""
            return f"https://{host}" if host else None
        if node.is_a(PORT) and target.name == "ip_address":
            order = self._evaluator().property(node.properties, "order", Scope(node)) or 0
            return _of_machine(node, f"IM_NODE_NET_{order}_IP")
        return _machine_attribute(node, target)

    def _container(self, node: Node, target: AttributeTarget) -> Any:
        if target.name != "endpoints":
            return None
        public = f"{{{{ {_variable(self._containers.system(node), 0, 'IM_NODE_PUBLIC_IP')} }}}}"
        endpoints = self._containers.endpoints(self._evaluator(), node, public)
        return indexed(endpoints, target.path)


def indexed(values: list[Any], path: tuple[Any, ...]) -> Any:
    """All of a list or, if `path` says so, one of it: the last one if it is shorter. None for one of none."""
    if not path:
        return values
    return values[min(int(path[0]), len(values) - 1)] if values else None


def _machine_attribute(node: Node, target: AttributeTarget) -> Any:
    host = node.host
    if host is None:
        return None
    match target.name:
        case "private_address" | "public_address":
            return _address(node, host, _ADDRESS[target.name], target)
        case "tosca_id":
            return "{{ IM_NODE_VMID }}" if target.local else _of_machine(node, "IM_NODE_VMID")
        case "ip_address":
            public = _variable(host.name, 0, "IM_NODE_PUBLIC_IP")
            private = _variable(host.name, 0, "IM_NODE_PRIVATE_IP")
            return f"{{{{ {public} | default({private}) }}}}"
        case "tls_certificates":
            name = "IM_NODE_TLS_CERTIFICATES"
            variable = name if target.local else _variable(host.name, 0, name)
            return f"{{{{ {variable}{''.join(f'[{_quoted(step)}]' for step in target.path)} }}}}"
    return None


def _address(node: Node, host: Node, name: str, target: AttributeTarget) -> str | None:
    if target.path:
        return f"{{{{ {_variable(host.name, int(target.path[0]), name)} }}}}"
    if node.is_extended:
        group = _quoted(host.name)
        listed = f"groups[{group}]|map('extract', hostvars,'{name}')|list if {group} in groups else []"
        return f"{{{{ {listed}}}}}"
    return f"{{{{ {name} }}}}" if target.local else _of_machine(node, name)


def _of_machine(node: Node, name: str) -> str | None:
    return None if node.host is None else f"{{{{ {_variable(node.host.name, 0, name)} }}}}"


def _variable(system: str, index: int, name: str) -> str:
    return f"hostvars[groups[{_quoted(system)}][{index}]][{_quoted(name)}]"


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
