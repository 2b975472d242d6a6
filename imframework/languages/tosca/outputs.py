"""Outputs of a document, evaluated on the machines as they are now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imframework.api.errors import InvalidDocument
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca import faas
from imframework.languages.tosca.ansible_output import ansible_output
from imframework.languages.tosca.containers import ContainerNames
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.expressions import indexed
from imframework.languages.tosca.references import AttributeTarget, Scope
from imframework.languages.tosca.source import Mark, plain
from imframework.languages.tosca.stored import Stored
from imframework.languages.tosca.topology import CONTAINER, FUNCTION, PORT, Node
from imframework.languages.tosca.translation import stored_topology


def _no_log() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class CloudAccess:
    """The cloud that runs a function: type, URL, and how to get in (``username``, ``password``, ``token``)."""

    type: str
    url: str
    auth: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveMachine:
    """What outputs can say about a machine. `id` is the cloud's; `log` is called only if an output needs it."""

    system: str
    id: str
    public_ip: str | None = None
    private_ip: str | None = None
    #: interface number → address
    addresses: Mapping[int, str] = field(default_factory=dict)
    user: str | None = None
    password: str | None = None
    private_key: str | None = None
    #: DNS name → {cert, key}
    certificates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    log: Callable[[], str] = _no_log
    cloud: CloudAccess | None = None


@dataclass(frozen=True, slots=True)
class Outputs:
    """Values of outputs, and why some of them are not, or not wholly, there: name → reasons."""

    values: dict[str, Any]
    missing: dict[str, tuple[str, ...]]


def outputs(stored: Stored, machines: Sequence[LiveMachine], names: Iterable[str] | None = None) -> Outputs:
    """The outputs of an infrastructure (those of `names`, if given), on its machines in creation order.

    What cannot be told yet is None, with the reason. Raises InvalidDocument only if the stored document is broken.
    """
    topology = stored_topology(stored)
    live = _Live(stored.suffix, machines)
    values: dict[str, Any] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for name in topology.outputs if names is None else names:
        value, mark = topology.outputs.get(name, (None, None))
        live.missing.clear()
        live.evaluator = Evaluator(topology, live)
        try:
            values[name] = plain(live.evaluator.value(value, Scope(), mark))
        except InvalidDocument as error:
            values[name] = None
            live.missing[str(error)] = None
        if live.missing:
            missing[name] = tuple(live.missing)
    return Outputs(values, missing)


class _Live:
    """Attributes of running machines."""

    evaluator: Evaluator

    def __init__(self, suffix: str, machines: Sequence[LiveMachine]) -> None:
        self._containers = ContainerNames(suffix)
        self._machines: dict[str, list[LiveMachine]] = {}
        for machine in machines:
            self._machines.setdefault(machine.system, []).append(machine)
        self._outputs: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, None] = {}

    def attribute(self, target: AttributeTarget, mark: Mark) -> Any:
        """See `evaluation.Attributes`."""
        node = target.node
        if not isinstance(node, Node):
            return None
        if target.name == "tosca_name":
            return node.name
        if node.is_a(CONTAINER):
            return self._container(node, target)
        if node.is_a(FUNCTION):
            return self._function(node, target)
        machines = self._of(node.host.name if node.host is not None else "", node)
        if not machines:
            return None
        if node.is_a(PORT) and target.name == "ip_address":
            order = int(self.evaluator.property(node.properties, "order", Scope(node)) or 0)
            return self._noted(machines[0].addresses.get(order), node, f"address on interface {order}")
        if target.name in ("private_address", "public_address"):
            return self._address(node, machines, target)
        return self._other(node, machines, target)

    def _of(self, system: str, node: Node) -> list[LiveMachine]:
        machines = self._machines.get(system, [])
        if not machines:
            self.missing[f"{shortened(node.name)} has no machine"] = None
        return machines

    def _noted(self, value: Any, node: Node, what: str) -> Any:
        if value is None:
            self.missing[f"a machine of {shortened(node.name)} has no {what}"] = None
        return value

    def _address(self, node: Node, machines: list[LiveMachine], target: AttributeTarget) -> Any:
        kind = target.name.removesuffix("_address")
        addresses: list[Any] = [machine.public_ip if kind == "public" else machine.private_ip for machine in machines]
        if target.path:
            return self._noted(indexed(addresses, target.path), node, f"{kind} address")
        if not node.is_extended:
            return self._noted(addresses[0], node, f"{kind} address")
        for address in addresses:
            self._noted(address, node, f"{kind} address")
        return addresses

    def _other(self, node: Node, machines: list[LiveMachine], target: AttributeTarget) -> Any:
        first = machines[0]
        match target.name:
            case "tosca_id":
                return first.id
            case "ip_address":
                return self._noted(first.public_ip or first.private_ip, node, "address")
            case "tls_certificates":
                return _inside(first.certificates, target.path)
            case "credential" if node.is_extended and target.capability:
                credentials = [_credential(machine) for machine in machines]
                return _inside(indexed(credentials, target.path[:1]), target.path[1:])
            case "ctxt_log" if node.is_extended:
                return first.log()
            case "ansible_output" if node.is_extended:
                if first.system not in self._outputs:
                    self._outputs[first.system] = ansible_output(first.log())
                return _inside(self._outputs[first.system], target.path)
        return None

    def _container(self, node: Node, target: AttributeTarget) -> Any:
        system = self._containers.system(node)
        machines = self._of(system, node)
        if target.name == "tosca_id" and machines:
            return machines[0].id
        if target.name != "endpoints":
            return None
        public = machines[0].public_ip if machines else None
        return indexed(self._containers.endpoints(self.evaluator, node, public), target.path)

    def _function(self, node: Node, target: AttributeTarget) -> Any:
        hosted = faas.is_hosted(node)
        machines = self._of(node.host.name if hosted and node.host is not None else node.name, node)
        match target.name:
            case "endpoint" if hosted:
                host = faas.dns_host(self.evaluator, node)
                address = (machines[0].public_ip or machines[0].private_ip) if machines else None
                return f"https://{host}" if host else (f"http://{address}" if address else None)
            case "credential" if hosted:
                token = faas.password(self.evaluator, node)
                credential = {"user": faas.OSCAR_USER, "token_type": "password", "token": token}
                return _inside(credential, target.path)
        cloud = machines[0].cloud if machines else None
        if cloud is None:
            return None
        if target.name == "endpoint":
            return cloud.url
        if target.name == "credential":
            return _inside(_cloud_credential(cloud), target.path)
        return machines[0].id if target.name == "tosca_id" else None


def _credential(machine: LiveMachine) -> dict[str, Any]:
    if machine.private_key:
        return {"user": machine.user, "token": machine.private_key, "token_type": "private_key"}
    return {"user": machine.user, "token": machine.password, "token_type": "password"}


def _cloud_credential(cloud: CloudAccess) -> dict[str, Any] | None:
    if cloud.auth.get("password") is not None:
        return {"user": cloud.auth.get("username"), "token_type": "password", "token": cloud.auth["password"]}
    if cloud.auth.get("token") is not None:
        return {"user": "", "token_type": "bearer", "token": cloud.auth["token"]}
    return None


def _inside(value: Any, path: tuple[Any, ...]) -> Any:
    """What is found by these keys; None if there is nothing."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list):
            value = indexed(value, (step,)) if isinstance(step, int) else None
        else:
            return None
    return value
