"""Compute nodes as systems: hardware, operating system, disks, roles to install; and the external Ansible node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from imframework.languages.radl import AnsibleNode, Bound, Collection, Features, Number, System, Text
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.topology import Assigned, Node, Topology
from imframework.languages.tosca.values import is_operator, scalar_unit, text_of

_OPERATORS: Final = {
    "equal": "=",
    "greater_than": ">",
    "greater_or_equal": ">=",
    "less_than": "<",
    "less_or_equal": "<=",
}
#: Capability, property, feature.
_TEXTS: Final = (
    ("os", "type", "disk.0.os.name"),
    ("os", "distribution", "disk.0.os.flavour"),
    ("os", "version", "disk.0.os.version"),
    ("os", "architecture", "cpu.arch"),
    ("host", "disk_type", "disk.0.type"),
    ("host", "instance_type", "instance_type"),
    ("host", "gpu_vendor", "gpu.vendor"),
    ("host", "gpu_model", "gpu.model"),
)
_NUMBERS: Final = (("host", "num_cpus", "cpu.count"), ("host", "num_gpus", "gpu.count"))
_SIZES: Final = (
    ("host", "mem_size", "memory.size"),
    ("host", "disk_size", "disk.0.size"),
    ("host", "sgx_epc_size", "cpu.sgx.epc_size"),
)
_SWITCHES: Final = (("host", "preemtible_instance", "spot"), ("host", "sgx", "cpu.sgx"))
_TOKENS: Final = ("password", "private_key", "public_key")
_ROLE: Final = "tosca.artifacts.AnsibleGalaxy.role"
_COLLECTION: Final = "tosca.artifacts.AnsibleGalaxy.collection"


def count(evaluator: Evaluator, node: Node) -> int:
    """How many machines are wanted."""
    scalable = node.capabilities.get("scalable")
    if scalable is None:
        return 1
    for name in ("count", "default_instances", "min_instances"):
        value = evaluator.property(scalable.properties, name, Scope(node))
        if value is not None:
            return int(value)
    return 1


def translate_compute(topology: Topology, evaluator: Evaluator, node: Node) -> System:
    """The system of a compute node, without its interfaces. Raises InvalidDocument."""
    system = System(node.name)
    scope = Scope(node)
    system.set("instance_name", evaluator.property(node.properties, "instance_name", scope) or node.name)
    tags = evaluator.property(node.properties, "tags", scope)
    if tags:
        system.set("instance_tags", ",".join(f"{key}={text_of(value)}" for key, value in tags.items()))
    _add_texts(evaluator, node, system)
    _add_image(evaluator, node, system)
    _add_numbers(evaluator, node, system)
    _add_disks(evaluator, node, system)
    _add_applications(topology, evaluator, node, system)
    return system


def _value(evaluator: Evaluator, node: Node, capability: str, name: str) -> Any:
    found = node.capabilities.get(capability)
    return evaluator.property(found.properties, name, Scope(node)) if found is not None else None


def _operator(value: Any, default: str) -> tuple[str, Any]:
    if is_operator(value):
        ((operator, inner),) = value.items()
        return _OPERATORS[operator], inner
    return default, value


def _add_texts(evaluator: Evaluator, node: Node, system: System) -> None:
    for capability, name, feature in _TEXTS:
        operator, value = _operator(_value(evaluator, node, capability, name), "=")
        if value is not None:
            system.features.replace(feature, Text(text_of(value), operator))


def _add_image(evaluator: Evaluator, node: Node, system: System) -> None:
    operator, image = _operator(_value(evaluator, node, "os", "image"), "=")
    if image:
        image = text_of(image)
        url = image if "://" in image else f"docker://{image}"
        system.features.replace("disk.0.image.url", Text(url, operator))
    credential = _value(evaluator, node, "os", "credential")
    if credential and credential.get("user"):
        token_type = credential.get("token_type")
        system.set("disk.0.os.credentials.username", credential["user"])
        if token_type in _TOKENS and credential.get("token") is not None:
            system.set(f"disk.0.os.credentials.{token_type}", text_of(credential["token"]))


def _add_numbers(evaluator: Evaluator, node: Node, system: System) -> None:
    for capability, name, feature in _NUMBERS:
        value = _value(evaluator, node, capability, name)
        if value is not None:
            system.features.replace(feature, Number.of(Bound(">=", value)))
    for capability, name, feature in _SIZES:
        size = scalar_unit("scalar-unit.size", _value(evaluator, node, capability, name))
        if size is not None:
            system.features.replace(feature, Number.of(Bound(">=", int(size), "B")))
    frequency = scalar_unit("scalar-unit.frequency", _value(evaluator, node, "host", "cpu_frequency"))
    if frequency is not None:
        system.features.replace("cpu.performance", Number.of(Bound(">=", frequency, "HRZ")))
    for capability, name, feature in _SWITCHES:
        value = _value(evaluator, node, capability, name)
        if value is not None:
            system.set(feature, bool(value))


def _add_disks(evaluator: Evaluator, node: Node, system: System) -> None:
    links = (
        link
        for link in node.relationships
        if any(name.endswith("AttachesTo") for name in link.type.lineage)
        and any(name.endswith(".BlockStorage") for name in link.target.type.lineage)
    )
    for number, link in enumerate(links, start=1):
        disk = f"disk.{number}"
        volume = Scope(link.target)
        storage = link.target.properties
        size = scalar_unit("scalar-unit.size", evaluator.property(storage, "size", volume))
        volume_id = evaluator.property(storage, "volume_id", volume)
        if volume_id:
            system.set(f"{disk}.image.url", volume_id)
        elif size is not None:
            system.set(f"{disk}.size", int(size), "B")
        kind = evaluator.property(storage, "type", volume)
        if kind is not None:
            system.set(f"{disk}.type", text_of(kind))
        device, location, filesystem = (
            evaluator.property(link.properties, name, Scope(link)) for name in ("device", "location", "fs_type")
        )
        if device:
            system.set(f"{disk}.device", device)
        if location:
            system.set(f"{disk}.mount_path", location)
            system.set(f"{disk}.fstype", filesystem or "ext4")


def _add_applications(topology: Topology, evaluator: Evaluator, node: Node, system: System) -> None:
    nodes = topology.hosted[node]
    names = [
        *(f"ansible.collections.{file}" for file in _galaxy(topology, evaluator, nodes, _COLLECTION)),
        *(f"ansible.roles.{file}" for file in _galaxy(topology, evaluator, nodes, _ROLE)),
    ]
    if not names:
        return
    applications = Collection()
    for name in dict.fromkeys(names):
        element = Features()
        element.set("name", name)
        applications.add(element)
    system.features.replace("disk.0.applications", applications)


def _galaxy(topology: Topology, evaluator: Evaluator, nodes: Iterable[Node], kind: str) -> Iterable[str]:
    """The files of the artifacts of this kind, of the nodes themselves and of what they require."""
    for node in nodes:
        for owner in (node, *(link.target for link in node.relationships)):
            for artifact in owner.artifacts.values():
                if kind in topology.types.artifact(artifact.type, artifact.mark):
                    yield text_of(evaluator.value(artifact.file, Scope(owner), artifact.mark))


def translate_ansible_host(evaluator: Evaluator, node: Node) -> AnsibleNode:
    """The external node that drives the configuration."""
    ansible = AnsibleNode("ansible_host")
    properties: Assigned = node.properties
    ansible.set("host", text_of(evaluator.property(properties, "host", Scope(node))))
    credential = evaluator.property(properties, "credential", Scope(node)) or {}
    ansible.set("credentials.username", text_of(credential.get("user")))
    secret = "private_key" if credential.get("token_type") == "private_key" else "password"
    ansible.set(f"credentials.{secret}", text_of(credential.get("token")))
    return ansible
