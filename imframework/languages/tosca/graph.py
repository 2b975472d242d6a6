"""What follows from how nodes hang together: the compute node that each runs on, the order of configuration."""

from __future__ import annotations

from imframework.api.errors import Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.source import problem
from imframework.languages.tosca.topology import BINDS_TO, COMPUTE, HOSTED_ON, ORDERING, Node, Topology


def settle_hosts(topology: Topology) -> None:
    """Give each node its host: the compute node that HostedOn and BindsTo relationships lead to, if any."""
    settled: set[Node] = set()
    for node in topology.nodes.values():
        passed: set[Node] = set()
        current: Node | None = node
        while current is not None and current not in settled and current not in passed:
            passed.add(current)
            if current.is_a(COMPUTE):
                current.host = current
                break
            links = (link for link in current.relationships if link.is_a(HOSTED_ON, BINDS_TO))
            current = next((link.target for link in links), None)
        host = current.host if current is not None else None
        for member in passed:
            member.host = host
        settled |= passed


def settle_levels(topology: Topology) -> Problem | None:
    """Give each node its level: 1, or one more than the highest it depends on. A problem if some form a cycle."""
    waiting = {
        node.name: sum(1 for related in node.relationships if related.is_a(*ORDERING))
        for node in topology.nodes.values()
    }
    ready = [node for node in topology.nodes.values() if not waiting[node.name]]
    for node in ready:  # grows while it is walked through
        levels = (related.target.level if related.is_a(*ORDERING) else 0 for related in node.relationships)
        node.level = 1 + max(levels, default=0)
        for related in node.incoming:
            if related.is_a(*ORDERING):
                waiting[related.source.name] -= 1
                if not waiting[related.source.name]:
                    ready.append(related.source)
    if len(ready) == len(topology.nodes):
        return None
    return _cycle(topology, {node.name for node in ready})


def _cycle(topology: Topology, sound: set[str]) -> Problem:
    node = next(node for node in topology.nodes.values() if node.name not in sound)
    visited: dict[Node, None] = {}
    while node not in visited:
        visited[node] = None
        edges = (related for related in node.relationships if related.is_a(*ORDERING))
        node = next(related.target for related in edges if related.target.name not in sound)
    path = list(visited)
    cycle = path[path.index(node) :]
    mark = next(related.mark for related in cycle[0].relationships if related.target.name not in sound)
    names = " → ".join(shortened(member.name) for member in [*cycle[:20], cycle[0]])
    return problem(f"these nodes depend on each other: {names}", mark, "cycle", "leave out one of the dependencies")
