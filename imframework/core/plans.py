"""Plans: what a change would do, worked out on a copy, kept, and carried out as it is.

A plan is the difference between an infrastructure and that copy, record by record: machines with their clouds, images
and sizes, the lines of the ledger, documents. Carrying it out puts that difference into the records of the
infrastructure, and from there the engine goes on as ever. It is stored with the infrastructure, so that any instance
of the service can carry it out; for an infrastructure that does not exist yet, one is stored that is not there until
then (`planned`).

A plan is good for the state it was made for. What matters of that state is its *basis*; if that has changed, the plan
is refused with what has.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from imframework.api.errors import Conflict, NotFound
from imframework.api.model import JSON
from imframework.api.storage import Table
from imframework.core import changes, forecast
from imframework.core.activities import Activities
from imframework.core.changes import Change
from imframework.core.entities import RECORDS, VM, DocumentText, Entry, Record, Status
from imframework.core.infrastructure import Infrastructure
from imframework.core.launching import Launching
from imframework.core.reading import Reading
from imframework.core.workbench import Tools, Workbench

#: Plans kept with an infrastructure; older ones are forgotten.
KEPT = 8
#: Seconds for which a plan is good: images, sizes and prices of clouds change.
LIFETIME = 24 * 3600.0

_PREFIX = "plan/"
#: The fields of an infrastructure's head that a change moves.
_HEAD = ("name", "title", "generation", "config_generation", "next_vm")


class Plans:
    """Makes and carries out plans."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def make(self, infra: Infrastructure, read: Reading, *, creates: bool) -> JSON:
        """What a document would change, as JSON. The plan is put into the records of the infrastructure.

        Raises:
            InvalidRequest: it never can be carried out (too many machines).
        """
        before, basis = infra.copy(), _basis(infra)
        after = infra.copy()
        change = changes.apply(after, read, context=True, creates=creates)
        launching = self._launching(after)
        proposal = await launching.propose(after.vms[number] for number in change.added)
        if proposal.obstacles and proposal.error is None:
            names = ", ".join(f"{entry.kind} {entry.name}" for entry in proposal.obstacles)
            proposal = replace(proposal, error=Conflict(f"Still being deleted: {names}"))
        refused = bool(proposal.refusals())
        if not refused:
            launching.enter(proposal)
        report = await forecast.describe(before, after, change, read, proposal, self._tools)
        id = secrets.token_hex(8)
        made = time.time()
        plan = {
            "made": made,
            "basis": basis,
            "applicable": not refused,
            "change": [change.added, change.removed, change.configured],
            "head": {name: getattr(after, name) for name in _HEAD},
            "rows": list(_difference(before, after)),
        }
        infra.put(DocumentText(f"{_PREFIX}{id}", json.dumps(plan)))
        for record in _plans(infra)[:-KEPT]:
            infra.drop(record)
        return {
            "id": f"{infra.id}.{id}",
            "infrastructure": infra.id,
            "new": creates,
            "expires": made + LIFETIME,
            **report,
        }

    async def estimate(self, infra: Infrastructure) -> JSON:
        """What the machines of an infrastructure that is not stored would use, by cloud id.

        Raises:
            IMError: some of them cannot be realised anywhere.
        """
        lots, choices = await self._launching(infra).choose(infra.alive())
        return forecast.usage(lots, choices, infra, self._tools)

    def apply(self, infra: Infrastructure, plan_id: str) -> Change:
        """Have an infrastructure changed as a plan says.

        Raises:
            NotFound: no such plan.
            Conflict: it cannot be carried out, now or ever; the text says why.
        """
        record = infra.documents.get(f"{_PREFIX}{plan_id.partition('.')[2]}")
        if record is None:
            raise NotFound("There is no such plan. It was carried out, or newer ones have taken its place.")
        plan = json.loads(record.text)
        if not plan["applicable"]:
            raise Conflict("The plan cannot be carried out: there are machines that no cloud can realise.")
        if time.time() > plan["made"] + LIFETIME:
            raise Conflict(f"The plan is older than {LIFETIME / 3600:g} hours. Make a new one.")
        if news := list(_news(plan["basis"], infra)):
            raise Conflict(f"The plan is out of date: {'; '.join(news)}. Make a new one.")
        for name, value in plan["head"].items():
            setattr(infra, name, value)
        for row in plan["rows"]:
            infra.put(_changed(infra, row))
        for old in _plans(infra):
            infra.drop(old)
        infra.touch()
        return Change(*(tuple(numbers) for numbers in plan["change"]))

    def _launching(self, infra: Infrastructure) -> Launching:
        def failed(error: BaseException) -> None:
            raise error  # nothing is started on a copy

        bench = Workbench(infra, self._tools, Activities(failed))
        bench.graph.rebuild()
        return Launching(bench)


def _plans(infra: Infrastructure) -> list[DocumentText]:
    """The plans of an infrastructure, oldest first."""
    found = [record for name, record in infra.documents.items() if name.startswith(_PREFIX)]
    return sorted(found, key=lambda record: float(json.loads(record.text)["made"]))


# --- the difference --------------------------------------------------------------------------------------------


def _difference(before: Infrastructure, after: Infrastructure) -> Iterator[JSON]:
    """The records that are new, whole, and of the others the fields that are changed."""
    for (table, key), record in after.pending.records.items():
        if record is None:
            continue
        former = before.record(table, key)
        if former is None:
            yield {"table": table.value, "key": key, "new": record.to_row().data}
        elif changed := _changed_fields(former, record):
            yield {"table": table.value, "key": key, "changed": changed}


def _changed_fields(former: Record, now: Record) -> dict[str, JSON]:
    changed = {}
    for item in fields(now):  # type: ignore[arg-type]
        value = getattr(now, item.name)
        if value != getattr(former, item.name):
            changed[item.name] = sorted(value) if isinstance(value, frozenset) else value
    return changed


def _changed(infra: Infrastructure, row: Mapping[str, Any]) -> Record:
    """The record that a row of the difference leads to."""
    table = Table(row["table"])
    kind = RECORDS[table]
    if "new" in row:
        record = kind.from_data(row["new"])
        return replace(record, created=time.time()) if isinstance(record, VM) else record
    former = infra.record(table, row["key"])
    if former is None:
        raise Conflict(f"The plan is out of date: {table.value} {row['key']} is gone. Make a new one.")
    values = {name: kind.restore(name, value) for name, value in row["changed"].items()}
    return replace(former, **values)  # type: ignore[type-var]


# --- the basis -------------------------------------------------------------------------------------------------


def _basis(infra: Infrastructure) -> dict[str, JSON]:
    """What a plan depends on; what may change without any consequence for it is left out."""
    return {
        "wanted": infra.wanted,
        "generations": [infra.generation, infra.config_generation],
        "documents": [hashlib.sha256(text.encode()).hexdigest() for text in (infra.radl, infra.template)],
        "machines": {vm.key: _facts(vm) for vm in infra.alive()},
        "resources": {entry.key: _is_doomed(entry) for entry in infra.entries.values() if not entry.lasting},
    }


def _facts(vm: VM) -> list[JSON]:
    return [vm.wanted, vm.power_on, bool(vm.failure), vm.cloud, vm.image, vm.flavour, vm.definition]


def _is_doomed(entry: Entry) -> bool:
    return entry.status in (Status.FAILED, Status.DELETING, Status.LOST)


def _news(basis: Mapping[str, Any], infra: Infrastructure) -> Iterator[str]:
    """What has changed since the basis of a plan, in words."""
    now = _basis(infra)
    if now["wanted"] != basis["wanted"]:
        yield "the infrastructure is being deleted"
    if now["documents"] != basis["documents"]:
        yield "its document was changed"
    former, machines = basis["machines"], now["machines"]
    for number in sorted({*former, *machines}, key=int):
        if number not in former:
            yield f"machine {number} was added"
        elif number not in machines or (former[number][0] and not machines[number][0]):
            yield f"machine {number} was removed"
        elif former[number] != machines[number]:
            yield f"machine {number} {_difference_of(former[number], machines[number])}"
    for key, doomed in basis["resources"].items():
        if key not in now["resources"]:
            yield f"resource {key} is gone"
        elif now["resources"][key] != doomed:
            yield f"resource {key} {'is not usable any more' if not doomed else 'was made'}"
    if now["generations"] != basis["generations"] and machines == former and now["documents"] == basis["documents"]:
        yield "another change was asked for"


def _difference_of(former: list[JSON], now: list[JSON]) -> str:
    if former[1] != now[1]:
        return "was started" if now[1] else "was stopped"
    if former[2] != now[2]:
        return "has failed" if now[2] else "is being launched again"
    return "got another cloud, image or size"
