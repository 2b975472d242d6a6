"""What a plan tells people: machines with their clouds and why, networks, disks, recipes, quotas, refusals."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imframework.api.errors import IMError
from imframework.api.model import JSON, Candidate, Quota
from imframework.core.changes import Change
from imframework.core.clouds import Account
from imframework.core.documents import parsed
from imframework.core.entities import VM, Entry
from imframework.core.infrastructure import Infrastructure
from imframework.core.launching import Proposal
from imframework.core.planning import Choice, Lot
from imframework.core.reading import Reading
from imframework.core.workbench import Tools
from imframework.languages import radl

#: Bytes in the gigabytes in which clouds report memory.
GB = 1024**3


async def describe(
    before: Infrastructure, after: Infrastructure, change: Change, read: Reading, proposal: Proposal, tools: Tools
) -> dict[str, JSON]:
    """A change in words and numbers; `after` is the infrastructure as it would be."""
    reasons = read.removals or {}
    quotas = await _quotas(after, proposal, tools)
    return {
        "create": [_lot(lot, proposal.choices[position]) for position, lot in enumerate(proposal.lots)],
        "delete": [_deletion(before.vms[number], reasons.get(number, "")) for number in change.removed],
        "change": _changes(after, change),
        "networks": list(_networks(before, proposal.lots)),
        "public_ips": sum(_public_interfaces(lot) * len(lot.vms) for lot in proposal.lots),
        "disks": [disk for lot in proposal.lots for disk in _disks(lot)],
        "recipes": list(_recipes(read.whole, after, {*change.added, *change.configured})),
        "resources": [_resource(entry) for key, entry in after.entries.items() if key not in before.entries],
        "quotas": quotas,
        "refusals": list(_refusals(proposal)),
        "warnings": list(_warnings(quotas)),
    }


def usage(lots: Sequence[Lot], choices: Mapping[int, Choice | IMError], infra: Infrastructure, tools: Tools) -> JSON:
    """What machines would use, by cloud id: type, endpoint, one record for each machine and each disk.

    Raises:
        IMError: there is a lot that no cloud can realise.
    """
    answer: dict[str, JSON] = {}
    credentials = {credential.id: credential for credential in tools.keyring.credentials(infra)}
    for position, lot in enumerate(lots):
        choice = choices[position]
        if isinstance(choice, IMError):
            raise choice
        credential = credentials[choice.account]
        cloud = answer.setdefault(
            choice.account,
            {"cloudType": credential.type, "cloudEndpoint": credential.get("host"), "compute": [], "storage": []},
        )
        for _ in lot.vms:
            cloud["compute"].append(_compute(lot, choice.candidate))
            cloud["storage"].extend(_storage(lot))
    return answer


# --- machines --------------------------------------------------------------------------------------------------


def _lot(lot: Lot, choice: Choice | IMError) -> dict[str, JSON]:
    """Machines that are alike: cloud, image and size with the reasons, or why there is none."""
    entry: dict[str, JSON] = {"system": lot.system.id, "machines": list(lot.vms)}
    if isinstance(choice, IMError):
        return {**entry, "refused": str(choice)}
    candidate = choice.candidate
    entry.update(
        cloud=choice.account,
        image=candidate.image,
        flavour=candidate.flavour,
        facts={name: value for name, value in candidate.facts.items() if not radl.is_secret(name)},
        why=candidate.why,
        rejected=dict(choice.rejected),
    )
    if candidate.price is not None:
        entry["price"] = candidate.price
    return entry


def _deletion(vm: VM, reason: str) -> dict[str, JSON]:
    instance = vm.facts.get("instance_id", "")
    return {"machine": vm.number, "system": vm.system, "cloud": vm.cloud, "instance": instance, "why": reason}


def _changes(after: Infrastructure, change: Change) -> list[JSON]:
    systems: defaultdict[str, list[int]] = defaultdict(list)
    for number in change.configured:
        systems[after.vms[number].system].append(number)
    return [{"system": system, "machines": numbers} for system, numbers in systems.items()]


def _recipes(document: radl.Document, after: Infrastructure, numbers: Iterable[int]) -> Iterable[JSON]:
    """The recipes that would run, in their order, and on which machines."""
    machines: defaultdict[str, list[int]] = defaultdict(list)
    for number in sorted(numbers):
        machines[after.vms[number].system].append(number)
    plan = radl.contextualization_plan(document)
    for step in plan.steps if plan.uses_ansible else ():
        for run in step.runs:
            if run.system in machines:
                yield {
                    "step": step.number, "system": run.system, "recipe": run.configure,
                    "machines": machines[run.system],
                }  # fmt: skip


# --- what comes with them --------------------------------------------------------------------------------------


def _networks(before: Infrastructure, lots: Iterable[Lot]) -> Iterable[JSON]:
    present = {
        network
        for name in {vm.definition for vm in before.alive() if vm.wanted and vm.cloud}
        for network in parsed(before.documents[name].text).networks
    }
    networks = {network.id: network for lot in lots for network in lot.definition.networks.values()}
    for id, network in networks.items():
        yield {
            "name": id,
            "public": network.is_public,
            "ports": [str(port) for port in network.outports],
            "exists": id in present,
        }


def _public_interfaces(lot: Lot) -> int:
    networks = lot.definition.networks
    return sum(
        (network := networks.get(id)) is not None and network.is_public for id in lot.system.connections().values()
    )


def _disks(lot: Lot) -> Iterable[JSON]:
    for number in lot.system.disks():
        size = lot.system.value(f"disk.{number}.size")
        if number and size is not None:
            yield {"system": lot.system.id, "disk": number, "size": size, "machines": list(lot.vms)}


def _resource(entry: Entry) -> dict[str, JSON]:
    return {"cloud": entry.account, "kind": entry.kind, "name": entry.name, "machines": sorted(entry.owners)}


def _compute(lot: Lot, candidate: Candidate) -> dict[str, JSON]:
    record: dict[str, JSON] = {
        "cpuCores": _number(lot, candidate, "cpu.count", 1),
        "memoryInMegabytes": round(_number(lot, candidate, "memory.size", 0) / 1000**2),
    }
    disk = sum(_size(lot, name) for name in ("disk.0.free_size", "disk.0.size"))
    if disk:
        record["diskSizeInGigabytes"] = _gigabytes(disk)
    if _public_interfaces(lot):
        record["publicIP"] = 1
    if gpus := _number(lot, candidate, "gpu.count", 0):
        record["GPU"] = gpus
    return record


def _storage(lot: Lot) -> Iterable[JSON]:
    for number in lot.system.disks():
        if size := _size(lot, f"disk.{number}.size"):
            kind = lot.system.text(f"disk.{number}.type")
            yield {"sizeInGigabytes": _gigabytes(size), **({"type": kind} if kind else {})}


def _size(lot: Lot, name: str) -> float:
    value = lot.system.value(name)
    return value if isinstance(value, int | float) else 0


def _gigabytes(size: float) -> float:
    value = round(size / 1000**3, 3)
    return int(value) if value == int(value) else value


def _number(lot: Lot, candidate: Candidate, name: str, default: float) -> float:
    """A number as the chosen candidate has it, else as it is asked for."""
    for value in (candidate.facts.get(name), lot.system.value(name)):
        if isinstance(value, int | float):
            return value
    return default


# --- whether it can be done ------------------------------------------------------------------------------------


def _refusals(proposal: Proposal) -> Iterable[JSON]:
    reasons: defaultdict[str, list[int]] = defaultdict(list)
    for number, error in proposal.refusals().items():
        reasons[str(error)].append(number)
    for reason, numbers in reasons.items():
        yield {"machines": numbers, "reason": reason}


async def _quotas(after: Infrastructure, proposal: Proposal, tools: Tools) -> dict[str, JSON]:
    """By cloud, what is needed and what there is left of it, as far as the cloud tells."""
    needs: dict[str, dict[str, float]] = {}
    for position, lot in enumerate(proposal.lots):
        choice = proposal.choices[position]
        if isinstance(choice, Choice):
            need = needs.setdefault(choice.account, defaultdict(float))
            count = len(lot.vms)
            need["instances"] += count
            need["cores"] += count * _number(lot, choice.candidate, "cpu.count", 1)
            need["ram"] += count * _number(lot, choice.candidate, "memory.size", 0) / GB
            need["floating_ips"] += count * _public_interfaces(lot)
    accounts = tools.clouds.accounts(tools.keyring.credentials(after))
    known = [(name, account) for name, account in accounts.items() if name in needs and isinstance(account, Account)]
    answers = await asyncio.gather(*(_quota(account) for _, account in known))
    return {
        name: {
            what: {
                "needed": round(needs[name][what], 3), "used": quota.used, "limit": quota.limit,
                "enough": quota.limit < 0 or quota.used + needs[name][what] <= quota.limit,
            }
            for what, quota in answer.items()
            if needs[name].get(what)
        }
        for (name, _), answer in zip(known, answers, strict=True)
        if answer
    }  # fmt: skip


async def _quota(account: Account) -> Mapping[str, Quota]:
    try:
        return await account.quotas()
    except IMError:  # not supported, or no answer: it may well take machines all the same
        return {}


def _warnings(quotas: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for cloud, answer in quotas.items():
        for what, quota in answer.items():
            if not quota["enough"]:
                yield (
                    f"cloud {cloud}: {quota['needed']:g} more of {what} are needed, "
                    f"and {quota['used']:g} of {quota['limit']:g} are in use"
                )
