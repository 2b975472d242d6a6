"""Container applications: one system each, for clouds that run containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from imframework.languages.radl import Document, Network, OutPort, System, parse_outports
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.definitions import Artifact
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.operations import artifact_location
from imframework.languages.tosca.ports import Sides, port_text
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.source import invalid
from imframework.languages.tosca.sources import Library
from imframework.languages.tosca.topology import BLOCK_STORAGE, HOSTED_ON, Node, Topology
from imframework.languages.tosca.values import scalar_unit, text_of

_IMAGE: Final = "tosca.artifacts.Deployment.Image.Container.Docker"
_FILE: Final = "tosca.artifacts.File"
_REPLACED: Final = str.maketrans(dict.fromkeys("!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~_ ", "-"))


@dataclass(frozen=True, slots=True)
class ContainerNames:
    """Names and addresses of container systems; `suffix` is fixed per stored document."""

    suffix: str

    def system(self, node: Node) -> str:
        """The id of the system of a container application."""
        return self.system_of(node.name)

    def system_of(self, name: str) -> str:
        """The id of the system of the container application of that name."""
        return f"{name.translate(_REPLACED)}-{self.suffix}"

    def endpoints(self, evaluator: Evaluator, node: Node, public: str | None) -> list[str | None]:
        """Where the application can be reached: public ports first. `public` is its public address."""
        runtime = _runtime(node)
        if runtime is None:
            return []
        system = self.system(node)
        result: list[str | None] = []
        published = _port_list(evaluator, runtime, "publish_ports")
        for index, port in enumerate(_outports(published, Sides.ZERO)):
            name = published[0].get("endpoint") if index == 0 else None
            result.append(name or (f"{public}:{port.remote_port}" if public is not None else None))
        exposed = _port_list(evaluator, runtime, "expose_ports")
        for port in _outports(exposed, Sides.OTHER):
            result.append(f"{system}:{port.local_port}")
        return result


def _outports(ports: list[Any], sides: Sides) -> tuple[OutPort, ...]:
    return parse_outports(",".join(port_text(spec, sides) for spec in ports)) if ports else ()


def _runtime(node: Node) -> Node | None:
    return next((link.target for link in node.relationships if link.is_a(HOSTED_ON)), None)


def _port_list(evaluator: Evaluator, runtime: Node, name: str) -> list[Any]:
    host = runtime.capabilities.get("host")
    ports = evaluator.property(host.properties, name, Scope(runtime)) if host is not None else None
    return ports or []


def wanted(evaluator: Evaluator, node: Node) -> int:
    """How many are wanted: 0 or 1. Raises InvalidDocument for more."""
    runtime = _runtime(node)
    scalable = runtime.capabilities.get("scalable") if runtime is not None else None
    if runtime is None or scalable is None:
        return 1
    count = evaluator.property(scalable.properties, "count", Scope(runtime))
    if count not in (None, 0, 1):
        mark = scalable.properties.mark("count")
        raise invalid(f"{shortened(node.name)} can run once or not at all, not {count} times", mark, "container-scale")
    return 1 if count is None else int(count)


def translate_container(
    topology: Topology, evaluator: Evaluator, library: Library, names: ContainerNames, node: Node, document: Document
) -> System:
    """Add the system of a container application, and its networks. Raises InvalidDocument."""
    system = System(names.system(node))
    scope = Scope(node)
    system.set("disk.0.image.url", _image(topology, evaluator, node))
    files = [artifact for artifact in node.artifacts.values() if artifact.deploy_path is not None]
    disk = 1
    for artifact in files:
        if _FILE in topology.types.artifact(artifact.type, artifact.mark):
            system.set(f"disk.{disk}.content", _content(topology, evaluator, library, artifact, scope))
            system.set(f"disk.{disk}.mount_path", text_of(evaluator.value(artifact.deploy_path, scope, artifact.mark)))
            disk += 1
    environment = evaluator.property(node.properties, "environment", scope)
    if environment:
        variables = (_variable(str(key), value) for key, value in environment.items() if value is not None)
        system.set("environment.variables", ",".join(variables))
    command = evaluator.property(node.properties, "command", scope)
    if command:
        system.set("command", [text_of(part) for part in command])
    runtime = _runtime(node)
    if runtime is not None:
        _add_runtime(topology, evaluator, runtime, system, disk)
        _add_networks(evaluator, runtime, system, document)
    document.systems[system.id] = system
    return system


def _variable(name: str, value: Any) -> str:
    text = text_of(value)
    return f'{name}="{text}"' if "," in text else f"{name}={text}"


def _image(topology: Topology, evaluator: Evaluator, node: Node) -> str:
    for artifact in node.artifacts.values():
        if _IMAGE not in topology.types.artifact(artifact.type, artifact.mark):
            continue
        location = artifact_location(topology, evaluator, artifact, Scope(node))
        return f"docker://{location.partition('://')[2] or location}"
    message = f"{shortened(node.name)} has no image"
    raise invalid(message, node.mark, "container-without-image", f"give an artifact of the type {_IMAGE}")


def _content(topology: Topology, evaluator: Evaluator, library: Library, artifact: Artifact, scope: Scope) -> str:
    content = artifact.properties.get("content")
    if content is not None:
        return text_of(evaluator.value(content, scope, artifact.mark))
    return library.file(artifact_location(topology, evaluator, artifact, scope), artifact.mark)


def _add_runtime(topology: Topology, evaluator: Evaluator, runtime: Node, system: System, disk: int) -> None:
    host = runtime.capabilities.get("host")
    if host is None:
        return
    scope = Scope(runtime)
    cpus, gpus = (evaluator.property(host.properties, name, scope) for name in ("num_cpus", "num_gpus"))
    memory = evaluator.property(host.properties, "mem_size", scope)
    if cpus is not None:
        system.set("cpu.count", cpus)
    if memory is not None:
        system.set("memory.size", int(scalar_unit("scalar-unit.size", memory) or 0), "B")
    if gpus is not None:
        system.set("gpu.count", gpus)
    for volume in evaluator.property(host.properties, "volumes", scope) or ():
        name, _, path = volume.partition(":")
        system.set(f"disk.{disk}.mount_path", path or name)
        _add_volume(topology, evaluator, name, system, disk)
        disk += 1


def _add_volume(topology: Topology, evaluator: Evaluator, name: str, system: System, disk: int) -> None:
    node = topology.nodes.get(name)
    if node is None or not node.is_a(BLOCK_STORAGE):
        return
    size = evaluator.property(node.properties, "size", Scope(node))
    volume_id = evaluator.property(node.properties, "volume_id", Scope(node))
    if size is not None:
        system.set(f"disk.{disk}.size", int(scalar_unit("scalar-unit.size", size) or 0), "B")
    if volume_id:
        system.set(f"disk.{disk}.image.url", volume_id)


def _add_networks(evaluator: Evaluator, runtime: Node, system: System, document: Document) -> None:
    """Both kinds of ports may be used: the public network comes first."""
    interface = 0
    for name, kind, sides, outbound in (
        ("publish_ports", "pub", Sides.ZERO, "yes"),
        ("expose_ports", "priv", Sides.OTHER, "no"),
    ):
        ports = _port_list(evaluator, runtime, name)
        if not ports:
            continue
        network = Network(f"{system.id}_{kind}")
        network.set("outbound", outbound)
        network.set("outports", ",".join(port_text(port, sides) for port in ports))
        document.networks[network.id] = network
        system.set(f"net_interface.{interface}.connection", network.id)
        endpoint = ports[0].get("endpoint")
        if endpoint and kind == "pub":
            system.set(f"net_interface.{interface}.dns_name", endpoint)
            system.set(f"net_interface.{interface}.dns.0.name", endpoint)
        interface += 1
