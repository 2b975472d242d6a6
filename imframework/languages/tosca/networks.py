"""Networks and the interfaces of machines: from Network and Port nodes, else from the endpoints of what runs there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from imframework.languages.radl import Document, Network, System
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.ports import port_text, port_texts
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.source import invalid
from imframework.languages.tosca.topology import BINDS_TO, ENDPOINT, NETWORK, PORT, Capability, Node, Topology
from imframework.languages.tosca.values import text_of

_LINKS_TO: Final = "tosca.relationships.network.LinksTo"
_PRIVATE: Final = "private_net"
_PUBLIC: Final = "public_net"


@dataclass(slots=True)
class Endpoints:
    """What all endpoints of a machine ask for together."""

    public: bool = False
    private_ip: bool = True
    provider_id: str = ""
    pool: str = ""
    dns_name: str = ""
    tls: bool = False
    additional_ip: str = ""
    additional_dns_names: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)


# --- network nodes -----------------------------------------------------------------------------------------


def translate_network(evaluator: Evaluator, node: Node) -> Network:
    """The network of a Network node. Raises InvalidDocument for a proxy without credential."""
    network = Network(node.name)
    scope = Scope(node)

    def value(name: str) -> str:
        return text_of(evaluator.property(node.properties, name, scope))

    if value("network_type").lower() == "public":
        network.set("outbound", "yes")
    if value("network_name"):
        network.set("provider_id", value("network_name"))
    if value("cidr"):
        network.set("cidr", value("cidr"))
        network.set("create", "yes")
    if value("gateway_ip"):
        network.set("router", value("gateway_ip"))
    if value("proxy_host"):
        _add_proxy(network, node, value("proxy_host"), evaluator.property(node.properties, "proxy_credential", scope))
    return network


def _add_proxy(network: Network, node: Node, host: str, credential: Any) -> None:
    if not credential or not credential.get("user"):
        message = f"the proxy of {shortened(node.name)} needs a credential with a user"
        raise invalid(message, node.properties.mark("proxy_host"), "proxy-credential", "give proxy_credential")
    user, token = credential["user"], text_of(credential.get("token"))
    if credential.get("token_type") == "private_key":
        network.set("proxy_host", f"{user}@{host}")
        network.set("proxy_key", token)
    else:
        network.set("proxy_host", f"{user}:{token}@{host}" if token else f"{user}@{host}")


# --- interfaces --------------------------------------------------------------------------------------------


def add_interfaces(topology: Topology, evaluator: Evaluator, node: Node, system: System, document: Document) -> None:
    """Connect the system of a compute node to networks, made here where none is given. Raises InvalidDocument."""
    endpoints = _endpoints(topology, evaluator, node)
    ports = [related.source for related in node.incoming if related.is_a(BINDS_TO) and related.source.is_a(PORT)]
    if ports:
        ports.sort(key=lambda port: port.index)
        _explicit(evaluator, node, ports, endpoints, system, document)
    else:
        _implicit(topology, endpoints, system, document)


def _endpoints(topology: Topology, evaluator: Evaluator, node: Node) -> Endpoints:
    result = Endpoints()
    for owner in (*(hosted for hosted in topology.hosted[node] if hosted is not node), node):
        for capability in owner.capabilities.values():
            if capability.type.root == ENDPOINT and (owner is not node or capability.name == "endpoint"):
                _collect(evaluator, owner, capability, result)
    return result


def _collect(evaluator: Evaluator, owner: Node, capability: Capability, result: Endpoints) -> None:
    properties, scope = capability.properties, Scope(owner)

    def value(name: str) -> Any:
        return evaluator.property(properties, name, scope)

    _read_network_name(text_of(value("network_name")), result)
    port = value("port")
    if port is not None:
        spec = {"source": port, "protocol": value("protocol"), "remote_cidr": value("remote_cidr")}
        result.ports.append(port_text(spec, mark=properties.mark("port")))
    result.ports.extend(port_texts(value("ports"), properties.mark("ports")))
    # Only what is given: a default of a later endpoint says nothing about an earlier one.
    if properties.is_given("private_ip") and value("private_ip") is not None:
        result.private_ip = value("private_ip")
    if properties.is_given("tls") and value("tls") is not None:
        result.tls = value("tls")
    result.dns_name = value("dns_name") or result.dns_name
    result.additional_ip = value("additional_ip") or result.additional_ip
    names = value("additional_dns_names")
    result.additional_dns_names = [text_of(name) for name in names] if names else result.additional_dns_names


def _read_network_name(name: str, result: Endpoints) -> None:
    name, comma, pool = name.partition(",")
    name = name.strip()
    if comma:
        result.public = True
        result.pool = pool.strip() or result.pool
    if name in ("", "PRIVATE"):
        return
    if name == "PUBLIC":
        result.public = True
    elif name.endswith(".PUBLIC"):
        result.public = True
        result.provider_id = name.removesuffix(".PUBLIC")
    else:
        result.provider_id = name.removesuffix(".PRIVATE")


def _explicit(
    evaluator: Evaluator, node: Node, ports: list[Node], endpoints: Endpoints, system: System, document: Document
) -> None:
    connected: dict[int, str] = {}
    for port in ports:
        scope = Scope(port)
        order = int(evaluator.property(port.properties, "order", scope) or 0)
        target = next(
            (link.target for link in port.relationships if link.is_a(_LINKS_TO) and link.target.is_a(NETWORK)), None
        )
        if target is None:
            raise invalid(f"the port {shortened(port.name)} is linked to no network", port.mark, "requirement-missing")
        if order in connected:
            message = f"two ports of {shortened(node.name)} have the order {order}"
            raise invalid(message, port.properties.mark("order") or port.mark, "constraint", "number them from 0 on")
        connected[order] = target.name
        interface = f"net_interface.{order}"
        system.set(f"{interface}.connection", target.name)
        ip, extra = (evaluator.property(port.properties, name, scope) for name in ("ip_address", "additional_ip"))
        if ip:
            system.set(f"{interface}.ip", ip)
        if extra:
            system.set(f"{interface}.additional_ip", extra)
        name = evaluator.property(port.properties, "dns_name", scope)
        names = evaluator.property(port.properties, "additional_dns_names", scope) or ()
        for index, entry in enumerate([*([name] if name else ()), *names]):
            system.set(f"{interface}.dns.{index}.name", text_of(entry))
    missing = next(number for number in range(len(connected) + 1) if number not in connected)
    if missing < len(connected):
        message = f"{shortened(node.name)} has an interface {max(connected)}, but no interface {missing}"
        raise invalid(message, ports[0].mark, "constraint", "the order of ports counts from 0 without gaps")
    _add_names(system, endpoints)
    if endpoints.ports:
        public = (name for name in connected.values() if document.networks[name].is_public)
        _open_ports(document.networks[next(public, connected[0])], endpoints.ports)


def _implicit(topology: Topology, endpoints: Endpoints, system: System, document: Document) -> None:
    private = public = None
    if not endpoints.public or endpoints.private_ip:
        private = _private_network(topology, document)
        system.set("net_interface.0.connection", private.id)
    number = 0
    if endpoints.public:
        number = 0 if private is None else 1
        public = Network(_new_name(document, _PUBLIC))
        public.set("outbound", "yes")
        document.networks[public.id] = public
        system.set(f"net_interface.{number}.connection", public.id)
        if endpoints.pool:
            public.set("provider_id", endpoints.pool)
    if endpoints.provider_id:
        owner = private or public
        if owner is not None:
            owner.set("provider_id", endpoints.provider_id)
    if endpoints.ports:
        target = public or private
        if target is not None:
            _open_ports(target, endpoints.ports)
    _add_names(system, endpoints)
    if public is not None:
        first = 1 if number == 0 and endpoints.dns_name else 0
        for index, name in enumerate(endpoints.additional_dns_names, start=first):
            system.set(f"net_interface.{number}.dns.{index}.name", name)
            if endpoints.tls:
                system.set(f"net_interface.{number}.dns.{index}.tls", "true")


def _private_network(topology: Topology, document: Document) -> Network:
    """The first network that is not public, of those the document describes; else one shared by all."""
    for network in document.networks.values():
        if network.id in topology.nodes and not network.is_public:
            return network
    present = document.networks.get(_PRIVATE)
    if present is None or present.id in topology.nodes:
        present = Network(_PRIVATE if present is None else f"{_PRIVATE}_shared")
        present = document.networks.setdefault(present.id, present)
        present.set("outbound", "no")
    return present


def _new_name(document: Document, name: str) -> str:
    number, candidate = 0, name
    while candidate in document.networks:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _add_names(system: System, endpoints: Endpoints) -> None:
    if endpoints.dns_name:
        system.set("net_interface.0.dns_name", endpoints.dns_name)
        system.set("net_interface.0.dns.0.name", endpoints.dns_name)
        if endpoints.tls:
            system.set("net_interface.0.dns.0.tls", "true")
    if endpoints.additional_ip:
        system.set("net_interface.0.additional_ip", endpoints.additional_ip)


def _open_ports(network: Network, ports: list[str]) -> None:
    present = network.text("outports")
    network.set("outports", ",".join([*([present] if present else ()), *ports]))


# --- finishing ---------------------------------------------------------------------------------------------


def connect_the_rest(document: Document) -> None:
    """Make sure that there is a network, and that every system has an interface 0."""
    if not document.networks:
        network = Network("public")
        network.set("outbound", "yes")
        document.networks[network.id] = network
    networks = list(document.networks.values())
    first_public = next((network for network in networks if network.is_public), networks[-1])
    for system in document.systems.values():
        if "net_interface.0.connection" not in system.features:
            system.set("net_interface.0.connection", first_public.id)


def split_by_cloud(document: Document, order: Iterator[tuple[str, str]]) -> None:
    """Give each cloud a private network of its own.

    `order` are the machines, those that exist first: (system, URL of its image). The first cloud seen on a private
    network keeps it; systems of another one get a copy, named after its host.
    """
    keeper: dict[str, str] = {}
    copies: dict[tuple[str, str], str] = {}
    for system_id, image in order:
        system, cloud = document.systems.get(system_id), _cloud(image)
        if system is None or not cloud:
            continue
        for number, network_id in system.connections().items():
            network = document.networks.get(network_id)
            if network is None or network.is_public or network_id in copies.values():
                continue
            if keeper.setdefault(network_id, cloud) == cloud:
                continue
            if (network_id, cloud) not in copies:
                copies[network_id, cloud] = _copied(document, network, cloud)
            system.set(f"net_interface.{number}.connection", copies[network_id, cloud])


def _cloud(image: str) -> str:
    scheme, separator, rest = image.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    return f"{scheme}://{host}" if separator and host else ""


def _copied(document: Document, network: Network, cloud: str) -> str:
    host = cloud.partition("://")[2]
    safe = "".join(
        character if character.isascii() and (character.isalnum() or character in ".-_") else "_" for character in host
    )
    copied = Network(_new_name(document, f"private.{safe}"))
    copied.set("outbound", "no")
    for name in ("provider_id", "cidr", "create", "router", "outports"):
        feature = network.features.get(name)
        if feature is not None:
            copied.features.replace(name, feature)
    document.networks[copied.id] = copied
    return copied.id
