"""From machines to the resources of the simulated cloud. Pure: the same deployment always gives the same plan.

One key pair for all machines; a network and a security group for each network they use; for each machine an instance,
a volume for each disk with a size, and for each interface on a public network an address and its attachment, made once
the instance has booted. Given networks and volumes (`provider_id`, `disk.N.image.url`) are adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imframework.api.connector import machine_name
from imframework.api.model import JSON, Dependency, Deployment, Machine, NetworkRequest, PortRule, Ref, Resource
from imframework_plugins.connectors.dummy.behaviour import (
    INSTANCE,
    KEY_PAIR,
    NETWORK,
    PUBLIC_IP,
    PUBLIC_IP_ATTACHMENT,
    SECURITY_GROUP,
    VOLUME,
)

SSH = PortRule(22, 22)


def plan(deployment: Deployment) -> list[Resource]:
    """All resources for the machines of a deployment."""
    if not deployment.machines:
        return []
    layouts = [_Layout.of(machine, deployment) for machine in deployment.machines]
    everybody = frozenset(layout.machine.number for layout in layouts)
    resources = [Resource(KEY_PAIR, KEY_PAIR, f"im-{deployment.infrastructure}", owners=everybody)]
    for name, network in deployment.networks.items():
        owners = frozenset(layout.machine.number for layout in layouts if name in layout.interfaces.values())
        if owners:
            resources.extend(_network(deployment, network, owners))
    for layout in layouts:
        resources.extend(_machine(deployment, layout))
    return resources


@dataclass(frozen=True, slots=True)
class _Layout:
    """What hangs on a machine: networks by interface, disks that get a volume."""

    machine: Machine
    interfaces: Mapping[int, str]
    volumes: tuple[int, ...]

    @classmethod
    def of(cls, machine: Machine, deployment: Deployment) -> _Layout:
        system = machine.system
        connections = {
            number: system.text(f"net_interface.{number}.connection") for number in system.indices("net_interface")
        }
        disks = (
            number
            for number in system.indices("disk")
            if number > 0 and (system.interval(f"disk.{number}.size").value or system.text(f"disk.{number}.image.url"))
        )
        return cls(machine, {i: name for i, name in connections.items() if name in deployment.networks}, tuple(disks))


def _network(deployment: Deployment, network: NetworkRequest, owners: frozenset[int]) -> Iterator[Resource]:
    name = f"im-{deployment.infrastructure}-{network.id}"
    ports = [*network.ports, SSH] if network.public and SSH not in network.ports else network.ports
    group: dict[str, JSON] = {"rules": [_rule(port) for port in ports]}
    needs: tuple[Dependency, ...] = ()
    if not network.public:
        key = f"{NETWORK}/{network.id}"
        given = network.features.text("provider_id")
        spec = {} if given else {"cidr": network.features.text("cidr")}
        yield Resource(key, NETWORK, name, spec, owners, adopted=bool(given), provider_id=given)
        group["network"], needs = Ref(key), (Dependency(key),)
    yield Resource(f"{SECURITY_GROUP}/{network.id}", SECURITY_GROUP, name, group, owners, needs)


def _rule(port: PortRule) -> dict[str, JSON]:
    last = port.local if port.is_range else port.remote
    return {"protocol": port.protocol, "from": port.remote, "to": last, "cidr": port.cidr}


def _machine(deployment: Deployment, layout: _Layout) -> Iterator[Resource]:
    machine, number = layout.machine, layout.machine.number
    owners = frozenset({number})
    name = machine_name(machine, deployment.infrastructure)
    public = {i: network for i, network in layout.interfaces.items() if deployment.networks[network].public}
    volumes = [_volume(machine, disk, name) for disk in layout.volumes]
    yield from volumes

    networks = _unique(f"{NETWORK}/{network}" for i, network in layout.interfaces.items() if i not in public)
    groups = _unique(f"{SECURITY_GROUP}/{network}" for network in layout.interfaces.values())
    attached = [volume.key for volume in volumes]
    instance = Resource(
        f"{INSTANCE}/{number}",
        INSTANCE,
        name,
        {
            "image": machine.candidate.image,
            "flavour": machine.candidate.flavour,
            "cpu": machine.candidate.facts.get("cpu.count", 1),
            "memory": machine.candidate.facts.get("memory.size", 0),
            "key_pair": Ref(KEY_PAIR),
            "public_key": machine.public_key,
            "networks": [Ref(key) for key in networks],
            "security_groups": [Ref(key) for key in groups],
            "volumes": [Ref(key) for key in attached],
            "disks": list(layout.volumes),
            "interfaces": {str(i): "public" if i in public else "private" for i in layout.interfaces},
            "tags": dict(machine.tags),
        },
        owners,
        tuple(Dependency(key) for key in (KEY_PAIR, *networks, *groups, *attached)),
        machine=number,
    )
    yield instance
    for i in public:
        address = Resource(f"{PUBLIC_IP}/{number}/{i}", PUBLIC_IP, f"{name}-{i}", owners=owners)
        yield address
        yield Resource(
            f"{PUBLIC_IP_ATTACHMENT}/{number}/{i}",
            PUBLIC_IP_ATTACHMENT,
            f"{name}-{i}",
            {"public_ip": Ref(address.key), "instance": Ref(instance.key), "interface": i},
            owners,
            (Dependency(address.key), Dependency(instance.key)),
            goes_with=instance.key,
        )


def _volume(machine: Machine, disk: int, name: str) -> Resource:
    system = machine.system
    given = system.text(f"disk.{disk}.image.url")
    return Resource(
        f"{VOLUME}/{machine.number}/{disk}",
        VOLUME,
        f"{name}-{disk}",
        {} if given else {"size": system.interval(f"disk.{disk}.size").value, "type": system.text(f"disk.{disk}.type")},
        frozenset({machine.number}),
        adopted=bool(given),
        provider_id=given,
    )


def _unique(keys: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys(keys))
