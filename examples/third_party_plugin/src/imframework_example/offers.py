"""What the cloud can offer for a system: pure, from its lists of images and flavours to candidates and refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imframework.api.model import Candidate, Features, Refusal

SCHEME = "example://"
MIB = 1024**2

#: An image or a flavour, as the cloud lists it.
Item = Mapping[str, Any]


def offers(images: Sequence[Item], flavours: Sequence[Item], system: Features) -> list[Candidate | Refusal]:
    """Each flavour that is large enough with each image that is wanted, cheapest first; and what cannot be, and why."""
    known = {SCHEME + image["id"]: image for image in images}
    wanted = system.texts("disk.0.image.url") or [url for url, image in known.items() if _is_like(image, system)]
    if not wanted:
        return [Refusal("", "none of the images of this cloud has the operating system that is asked for")]
    fitting = sorted((each for each in flavours if _is_enough(each, system)), key=lambda each: float(each["price"]))
    obstacle = "" if fitting else "no flavour of this cloud has the size that is asked for"
    if len(list(system.indices("net_interface"))) > 1:
        obstacle = "a machine of this cloud has one network interface"
    reasons = {url: obstacle if url in known else "this cloud has no such image" for url in wanted}
    possible = [url for url in wanted if not reasons[url]]
    candidates = [_candidate(url, known[url], flavour) for flavour in fitting for url in possible]
    return [*candidates, *(Refusal(url, reason) for url, reason in reasons.items() if reason)]


def _is_enough(flavour: Item, system: Features) -> bool:
    return (
        system.interval("cpu.count").admits(flavour["cpus"])
        and system.interval("memory.size").admits(flavour["memory"] * MIB)
        and system.text("instance_type", flavour["name"]) == flavour["name"]
    )


def _is_like(image: Item, system: Features) -> bool:
    """Whether an image has the operating system that is asked for, as far as anything is asked."""
    name = image["name"].lower()
    return all(system.text(f"disk.0.os.{part}").lower() in name for part in ("flavour", "version"))


def _candidate(url: str, image: Item, flavour: Item) -> Candidate:
    facts = {
        "cpu.count": flavour["cpus"],
        "memory.size": flavour["memory"] * MIB,
        "disk.0.os.name": "linux",
        "disk.0.os.credentials.username": image["user"],
    }
    return Candidate(url, flavour["name"], facts, flavour["price"], why=f"costs {flavour['price']:g} an hour")
