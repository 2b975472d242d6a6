"""Port specifications of TOSCA as port texts of RADL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from imframework.languages.tosca.source import Mark, invalid, own_mark, value_mark


class Sides(Enum):
    """What stands for the missing side of a port."""

    OTHER = "the other side"
    ZERO = "0"


def port_text(spec: Mapping[str, Any], sides: Sides = Sides.OTHER, mark: Mark = None) -> str:
    """``[cidr-]S/proto-T/proto``, or ``[cidr-]A:B/proto``. Raises InvalidDocument if there is no port number."""
    protocol = spec.get("protocol") or "tcp"
    cidr = f"{spec['remote_cidr']}-" if spec.get("remote_cidr") else ""
    source, target, source_range = spec.get("source"), spec.get("target"), spec.get("source_range")
    if source_range:
        return f"{cidr}{source_range[0]}:{source_range[1]}/{protocol}"
    if source is None and target is None:
        hint = "give source, target or source_range"
        raise invalid("this port has no number", own_mark(spec, mark), "port-without-number", hint)
    missing = 0 if sides is Sides.ZERO else None
    source_text = (target if missing is None else missing) if source is None else source
    target_text = (source if missing is None else missing) if target is None else target
    return f"{cidr}{source_text}/{protocol}-{target_text}/{protocol}"


def port_texts(ports: Any, mark: Mark = None) -> Iterator[str]:
    """The texts of a map or list of port specifications."""
    for key, spec in ports.items() if isinstance(ports, dict) else enumerate(ports or ()):
        if isinstance(spec, Mapping):
            yield port_text(spec, mark=value_mark(ports, key) or mark)
