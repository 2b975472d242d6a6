"""From the machines somebody asked for to the resources that must exist: which cloud, which image, which flavour.

Machines that share private networks go to one cloud together (specification: radl.md §9). Everything decided here
comes with its reason, and with the reasons against the others, so that a plan can be shown before it is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from imframework.api.errors import CloudUnavailable, IMError, InvalidRequest, NoCandidate
from imframework.api.model import (
    JSON,
    Candidate,
    Deployment,
    Fact,
    Handle,
    Interval,
    Machine,
    NetworkRequest,
    PortRule,
    Refusal,
)
from imframework.api.model import Features as RequestedFeatures
from imframework.core.clouds import Account
from imframework.languages.radl import (
    Bound,
    Collection,
    Document,
    Features,
    Network,
    Number,
    OnConflict,
    System,
    Text,
    TextList,
)

#: Requested applications with these prefixes are installed by Ansible, never looked for in an image.
GALAXY = ("ansible.roles.", "ansible.collections.", "ansible.modules.")
#: How cloud-init is to merge what the user gives with what a cloud adds.
MERGE_HOW = "list(append)+dict(recurse_array,no_replace)+str()"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is asked for when a document does not say (options DEFAULT_VM_*). Memory in bytes."""

    memory: int = 512 * 1024**2
    cpus: int = 1
    arch: str = "x86_64"


@dataclass(frozen=True, slots=True)
class Lot:
    """Machines that are alike: one definition, one forced cloud. `private` are the private networks they use."""

    definition: Document
    system: System
    forced: str
    vms: tuple[int, ...]
    private: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The cloud and candidate for a lot; `rejected` says why the other clouds were not taken."""

    account: str
    candidate: Candidate
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidate, and how well it fits."""

    candidate: Candidate
    score: float


async def choose(
    lots: Sequence[Lot],
    accounts: Mapping[str, Account | IMError],
    pins: Mapping[str, str],
    defaults: Defaults,
) -> dict[int, Choice | IMError]:
    """For each lot (by position) the choice, or why there is none.

    `accounts` are the caller's clouds in the order given, an error in the place of one that cannot be used; `pins`
    are private networks already bound to a cloud.
    """
    offers: dict[tuple[int, str], Offer | IMError] = {}
    groups = _groups(lots)
    candidates = {position: _allowed(group, lots, accounts, pins) for group in groups for position in group}

    async def ask(position: int, name: str) -> None:
        account = accounts[name]
        if isinstance(account, IMError):
            offers[position, name] = account
            return
        try:
            answers = await account.candidates(requested(lots[position].system, defaults))
        except IMError as error:
            offers[position, name] = error
            return
        offers[position, name] = best(lots[position].system, answers)

    await asyncio.gather(
        *(
            ask(position, name)
            for position, names in candidates.items()
            if not isinstance(names, IMError)
            for name in names
        )
    )
    result: dict[int, Choice | IMError] = {}
    for group in groups:
        names = candidates[group[0]]
        if isinstance(names, IMError):
            result.update(dict.fromkeys(group, names))
        else:
            result.update(_decide(group, names, lots, offers))
    return result


def _groups(lots: Sequence[Lot]) -> list[list[int]]:
    """Positions of lots that must share a cloud: those connected through private networks."""
    groups: list[tuple[set[str], list[int]]] = []
    for position, lot in enumerate(lots):
        networks, members = set(lot.private), [position]
        rest = []
        for other in groups:
            if lot.private and not other[0].isdisjoint(networks):
                networks |= other[0]
                members = other[1] + members
            else:
                rest.append(other)
        groups = [*rest, (networks, sorted(members))]
    return sorted(members for _, members in groups)


def _allowed(
    group: Sequence[int], lots: Sequence[Lot], accounts: Mapping[str, object], pins: Mapping[str, str]
) -> list[str] | IMError:
    """The clouds a group may go to."""
    forced = list(dict.fromkeys(lots[position].forced for position in group if lots[position].forced))
    if len(forced) > 1:
        return InvalidRequest(
            "Two deployments that have to be launched in the same cloud provider are asked to be deployed in "
            f"different cloud providers: {', '.join(forced)}"
        )
    if forced:
        if forced[0] not in accounts:
            return InvalidRequest(f"No auth data for cloud with ID: {forced[0]}")
        return forced
    pinned = list(
        dict.fromkeys(pins[net] for position in group for net in sorted(lots[position].private) if net in pins)
    )
    if pinned:
        return pinned[:1] if pinned[0] in accounts else InvalidRequest(f"No auth data for cloud with ID: {pinned[0]}")
    return list(accounts) or InvalidRequest("No cloud provider available")


def _decide(
    group: Sequence[int], names: Sequence[str], lots: Sequence[Lot], offers: Mapping[tuple[int, str], Offer | IMError]
) -> dict[int, Choice | IMError]:
    best: tuple[float, str] | None = None
    rejected: dict[str, str] = {}
    undecided = False  #: a cloud that could not be asked just now might have taken it
    for name in names:
        score = 0.0
        for position in group:
            offer = offers[position, name]
            if isinstance(offer, IMError):
                rejected[name] = str(offer)
                undecided = undecided or offer.retryable
                break
            score += len(lots[position].vms) * offer.score
        else:
            if best is None or score > best[0]:
                if best is not None:
                    rejected[best[1]] = f"scores {best[0]:g}, less than {score:g}"
                best = (score, name)
            else:
                equal = "scores as much, and comes later in the credentials"
                rejected[name] = equal if score == best[0] else f"scores {score:g}, less than {best[0]:g}"
    result: dict[int, Choice | IMError] = {}
    for position in group:
        if best is None:
            system = lots[position].system.id
            details = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
            text = f"No VMI obtained from Sites to system '{system}': {details}"
            result[position] = (
                CloudUnavailable(text) if undecided else NoCandidate(f"{text}. Check if a correct image is being used")
            )
        else:
            offer = offers[position, best[1]]
            assert isinstance(offer, Offer)  # noqa: S101 - a cloud that refused one lot of the group is not chosen
            result[position] = Choice(best[1], offer.candidate, rejected)
    return result


def best(system: System, answers: Iterable[Candidate | Refusal]) -> Offer | NoCandidate:
    """The candidate with the highest score (the first of equals: connectors answer cheapest first), or why none."""
    reasons = []
    best: Offer | None = None
    for answer in answers:
        if isinstance(answer, Refusal):
            reasons.append(f"{answer.image}: {answer.reason}" if answer.image else answer.reason)
            continue
        score = _score(system, answer)
        if best is None or score > best.score:
            best = Offer(answer, score)
    return best or NoCandidate(", ".join(reasons) or "no image fits")


def _score(system: System, candidate: Candidate) -> float:
    score = 0.0
    if system.features.softs:
        concrete = system.features.combined(as_features(candidate.facts), on_conflict=OnConflict.TAKE)
        score += 10000 * concrete.apply_soft_groups()[1]
    wanted = {application.name: application.version or "" for application in system.applications()}
    for name, version in candidate.applications.items():
        if name in wanted and _is_at_least(version, wanted[name]):
            score += 100
        elif version:  # older than asked for, or not asked for
            score -= 1
    return score


def _is_at_least(installed: str, wanted: str) -> bool:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split(".") if part.isdecimal()]

    return numbers(installed) >= numbers(wanted)


# --- between the language and the plugin API ---------------------------------------------------------------


def as_features(facts: Mapping[str, JSON]) -> Features:
    """Facts of a machine as features of the language."""
    features = Features()
    for name, value in facts.items():
        if isinstance(value, str | int | float):
            features.set(name, value)
        elif isinstance(value, list | tuple):
            features.set(name, tuple(str(item) for item in value))
    return features


def requested(system: System, defaults: Defaults) -> RequestedFeatures:
    """What a connector is asked for: the system without its applications, with the defaults filled in."""
    soft = {name for group in system.features.softs for name in group.features}
    values = dict(_plain(system.features))
    values.pop("disk.0.applications", None)
    for name, value in (
        ("cpu.count", Interval(minimum=defaults.cpus)),
        ("memory.size", Interval(minimum=defaults.memory)),
        ("cpu.arch", defaults.arch),
    ):
        if name not in values and name not in soft:
            values[name] = value
    return RequestedFeatures(system.id, values)


def _plain(
    features: Features,
) -> Iterable[tuple[str, str | Interval | tuple[str, ...] | tuple[Mapping[str, JSON], ...]]]:
    for name, feature in features.items():
        match feature:
            case Text():
                yield name, feature.value
            case TextList():
                yield name, feature.values
            case Number():
                yield name, Interval(_base(feature.low), _base(feature.high))
            case Collection():
                yield name, tuple(dict(_facts(element)) for element in feature)


def _base(bound: Bound | None) -> int | float | None:
    return None if bound is None else bound.base


def _facts(features: Features) -> Iterable[tuple[str, Fact]]:
    for name, _ in features.items():
        value = features.value(name)
        if value is not None:
            yield name, value


def network_request(network: Network) -> NetworkRequest:
    """A network of the document as connectors get it."""
    return NetworkRequest(
        features=RequestedFeatures(network.id, dict(_plain(network.features))),
        ports=tuple(
            PortRule(port.remote_port, port.local_port, port.protocol, port.is_range, port.remote_cidr)
            for port in network.outports
        ),
    )


def machines(
    lot: Lot,
    candidates: Mapping[int, Candidate],
    public_key: str,
    user_data: str,
    tags: Mapping[str, str],
    defaults: Defaults,
) -> Iterable[Machine]:
    """The machines of a lot in a deployment, with what was chosen for each. What they have in common they share."""
    features = lot.system.features
    system = requested(lot.system, defaults)
    named = dict(part.split("=", 1) for part in (features.text("instance_tags") or "").split(",") if "=" in part)
    given_key = features.text("disk.0.os.credentials.public_key")
    for number, candidate in candidates.items():
        yield Machine(
            number=number,
            system=system,
            candidate=candidate,
            public_key=given_key or public_key,
            user_data=user_data,
            tags={**tags, **named},
        )


def deployment(
    infrastructure: str,
    name: str,
    machines: Sequence[Machine],
    lots: Iterable[Lot],
    existing: Mapping[str, Handle],
) -> Deployment:
    """All machines of one account with the networks they use, and what that account has of them."""
    networks = {network.id: network_request(network) for lot in lots for network in lot.definition.networks.values()}
    return Deployment(infrastructure, name, tuple(machines), networks, existing)


def user_data(document: Document, system: str) -> str:
    """The cloud-init text for machines of a system: its recipe `with cloud_init`, empty if there is none."""
    if document.contextualize is None:
        return ""
    for item in document.contextualize.items.values():
        if item.system == system and item.uses_cloud_init:
            configure = document.configures.get(item.configure)
            text = configure.body if configure is not None else ""
            try:
                content = yaml.safe_load(text) if text else None
            except yaml.YAMLError:
                content = None  # a script
            if isinstance(content, dict):
                content.setdefault("merge_how", MERGE_HOW)
                return "#cloud-config\n" + yaml.safe_dump(content, sort_keys=False)
            return text.lstrip("\n")
    return ""
