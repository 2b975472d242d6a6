"""The ``outports`` feature of networks: which ports are open to whom, read from its compact text.

    outports = rule , { "," , rule } ;
    rule     = [ cidr , "-" ] , side , [ "-" , side ] ;
    side     = DIGITS , [ ":" , DIGITS ] , [ "/" , ( "tcp" | "udp" | "icmp" ) ] ;

There are no spaces. Port 22/tcp is opened besides what is listed; that is up to who reads the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened

ANYWHERE = "0.0.0.0/0"

_RULE = re.compile(
    r"""
    (?: (?P<cidr> [0-9]{1,3} (?: \. [0-9]{1,3} ){3} / [0-9]{1,2} ) - )?
    (?P<remote> [0-9]{1,9} ) (?: : (?P<last> [0-9]{1,9} ) )? (?: / (?P<protocol> tcp | udp | icmp ) )?
    (?: - (?P<local> [0-9]{1,9} ) (?: : [0-9]{1,9} )? (?: / (?P<local_protocol> tcp | udp | icmp ) )? )?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class OutPort:
    """One rule of the list.

    A range opens the ports `remote_port` to `local_port` as they are; otherwise `remote_port`, seen from outside,
    leads to `local_port` of the machine. Remote port 0 leaves the choice to the cloud.
    """

    remote_port: int
    local_port: int
    protocol: str = "tcp"
    is_range: bool = False
    remote_cidr: str = ANYWHERE

    def __str__(self) -> str:
        source = "" if self.remote_cidr == ANYWHERE else self.remote_cidr + "-"
        if self.is_range:
            return f"{source}{self.remote_port}:{self.local_port}/{self.protocol}"
        return f"{source}{self.remote_port}/{self.protocol}-{self.local_port}/{self.protocol}"


def parse_outports(text: str) -> tuple[OutPort, ...]:
    """The rules of an ``outports`` text, in its order. Raises InvalidDocument naming the wrong rule."""
    return tuple(_rule(rule) for rule in text.split(","))


def remote_port(ports: Iterable[OutPort], local_port: int) -> int:
    """The outside port that leads to `local_port` over TCP (22 for SSH, say); the same number if no rule says so."""
    for port in ports:
        if port.local_port == local_port and port.protocol == "tcp" and not port.is_range:
            return port.remote_port
    return local_port


def _rule(rule: str) -> OutPort:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise InvalidDocument(Problem(f"'{shortened(rule)}' is not a port rule", kind="wrong-value", hint=_hint(rule)))
    protocol = match["protocol"] or "tcp"
    local_protocol = match["local_protocol"] or protocol
    if local_protocol != protocol:
        raise InvalidDocument(
            Problem(
                f"'{rule}' has protocol {protocol} on the left but {local_protocol} on the right",
                kind="wrong-value",
                hint=f"write {match['remote']}/{local_protocol} on the left as well",
            )
        )
    is_range = match["last"] is not None
    return OutPort(
        remote_port=int(match["remote"]),
        local_port=int(match["last"] if is_range else match["local"] or match["remote"]),
        protocol=protocol,
        is_range=is_range,
        remote_cidr=match["cidr"] or ANYWHERE,
    )


def _hint(rule: str) -> str:
    if not rule:
        return "between two commas stands a port, and at least one is needed"
    if rule != rule.strip():
        return "write the list without spaces"
    if rule != rule.lower():
        return "protocols are written in lower case: tcp, udp, icmp"
    return "examples: 22, 53/udp, 8080/tcp-80/tcp, 9000:9100, 10.0.0.0/24-22"
