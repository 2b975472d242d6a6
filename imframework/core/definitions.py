"""Definitions of machines, and what a document that is sent to alter one makes of them. Pure.

Of such a document the system of the machine's name counts, and of that only what can be altered: the size, disks that
the machine does not have, and the interfaces on public networks. So it need not be complete: what it does not speak of
stays.
"""

from __future__ import annotations

import hashlib

from imframework.api.errors import InvalidRequest
from imframework.core.entities import DocumentText
from imframework.languages import radl
from imframework.languages.radl import Document, Features, Network, Number, System

#: The features that say how large a machine is.
SIZE = ("cpu.count", "memory.size", "gpu.count", "disks.free_size", "instance_type")
_BY_NUMBERS = ("cpu.count", "memory.size", "gpu.count")


def text_of(document: Document, system: str) -> DocumentText:
    """The text that a machine is launched with: its system and the networks that one uses, named by its digest."""
    text = radl.dumps(document.for_machine(document.systems[system]))
    return DocumentText(f"definition/{hashlib.sha256(text.encode()).hexdigest()[:16]}", text)


def altered(definition: Document, stored: Document, sent: Document) -> Document:
    """The definition of a machine as a document has it; `stored` is that of the infrastructure, whose networks count.

    Raises:
        InvalidRequest: it says nothing of such a system, or asks for what cannot be changed.
    """
    system = next(iter(definition.systems.values())).copy()
    news = sent.systems.get(system.id)
    if news is None or news.reference:
        raise InvalidRequest(f"Incorrect RADL no system with name {system.id} provided.")
    networks = (
        {id: net for id, net in sent.networks.items() if not net.reference} | stored.networks | definition.networks
    )
    _resize(system, news)
    _add_disks(system, news)
    _connect(system, news, networks)
    return Document(networks=networks, systems={system.id: system})


def _resize(system: System, news: System) -> None:
    """A size by type takes the place of one by numbers, and the other way round."""
    if "instance_type" in news.features:
        for name in _BY_NUMBERS:
            system.features.discard(name)
    elif any(name in news.features for name in _BY_NUMBERS):
        system.features.discard("instance_type")
    for name in SIZE:
        if (feature := news.features.get(name)) is not None:
            system.features.discard(name)
            system.features.add(name, feature)


def _add_disks(system: System, news: System) -> None:
    present = system.disks()
    for number, disk in news.disks().items():
        if number == 0:
            continue
        if number not in present:
            _take(system, disk, f"disk.{number}")
            continue
        former, size = present[number].get("size"), disk.get("size")
        if isinstance(former, Number) and isinstance(size, Number) and former.intersection(size) is None:
            raise InvalidRequest(f"The size of disk {number} cannot be changed.")
        if (image := disk.texts("image.url")) and image != present[number].texts("image.url"):
            raise InvalidRequest(f"Disk {number} cannot be another image.")


def _connect(system: System, news: System, networks: dict[str, Network]) -> None:
    """If a document has interfaces, the public ones are all that the machine is to have."""
    former, wanted = system.connections(), news.connections()
    if not wanted:
        return
    for name in wanted.values():
        if name not in networks:
            raise InvalidRequest(f"There is no network {name}.")

    def public(name: str | None) -> bool:
        return name is not None and name in networks and networks[name].is_public

    for number in sorted({*former, *wanted}):
        before, now = former.get(number), wanted.get(number)
        if before == now or (now is None and not public(before)):
            continue
        if before is None and public(now):
            _take(system, news.interfaces()[number], f"net_interface.{number}")
        elif now is None:
            for name in list(system.features):
                if name.startswith(f"net_interface.{number}."):
                    system.features.discard(name)
        else:
            raise InvalidRequest(f"The network of interface {number} cannot be changed: only public ones come and go.")


def _take(system: System, features: Features, prefix: str) -> None:
    for name, feature in features.items():
        system.features.add(f"{prefix}.{name}", feature)
