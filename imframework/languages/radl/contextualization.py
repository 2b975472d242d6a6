"""What the configuration of a document runs: which recipe on the machines of which system, in which order, with what.

Pure selection from the document. How recipes are run, on which machine, and what happens when one fails is the business
of `imframework.contextualization`.
"""

from __future__ import annotations

from dataclasses import dataclass

from imframework.languages.radl.document import Configure, ContextualizeItem, Document

DEFAULT_STEP = 1


@dataclass(frozen=True, slots=True)
class Run:
    """A recipe to run on the machines of a system."""

    system: str
    configure: str


@dataclass(frozen=True, slots=True)
class Step:
    """Runs that come after those of lower steps; parallel over machines, in this order on one machine."""

    number: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class ContextualizationPlan:
    """What runs. Without `uses_ansible` the server only waits for addresses.

    `skipped` are the systems whose machines are not configured, because of an empty recipe of the same id.
    `max_time` is the limit of the document in seconds, or None for the server's default.
    """

    uses_ansible: bool
    steps: tuple[Step, ...] = ()
    cloud_init: tuple[Run, ...] = ()
    skipped: frozenset[str] = frozenset()
    max_time: int | None = None
    ansible_version: str | None = None


def contextualization_plan(document: Document) -> ContextualizationPlan:
    """What the configuration of `document` (checked, references resolved) consists of."""
    contextualize = document.contextualize
    skipped = frozenset(id for id in document.systems if _is_empty(document.configures.get(id)))
    items = _items(document)
    runnable = [
        item for item in items if item.system not in skipped and not _is_empty(document.configures.get(item.configure))
    ]
    steps: dict[int, list[Run]] = {}
    for item in runnable:
        if item.uses_ansible:
            steps.setdefault(item.step, []).append(Run(item.system, item.configure))
    switched_off = contextualize is not None and not (items or len(contextualize.options))
    without_ansible = bool(items) and not any(item.uses_ansible for item in items)
    everything_skipped = bool(document.systems) and len(skipped) == len(document.systems)
    version = None if contextualize is None else contextualize.options.value("ansible_version")
    return ContextualizationPlan(
        uses_ansible=not (switched_off or without_ansible or everything_skipped),
        steps=tuple(Step(number, tuple(runs)) for number, runs in sorted(steps.items())),
        cloud_init=tuple(Run(item.system, item.configure) for item in runnable if item.uses_cloud_init),
        skipped=skipped,
        max_time=int(contextualize.max_time) or None if contextualize is not None else None,
        ansible_version=None if version is None else str(version),
    )


def _items(document: Document) -> list[ContextualizeItem]:
    """The items given, or the default ones if there is no contextualize, or one of options only."""
    contextualize = document.contextualize
    if contextualize is not None and (contextualize.items or not len(contextualize.options)):
        return list(contextualize.items.values())
    return [ContextualizeItem(id, id, DEFAULT_STEP) for id in document.systems if id in document.configures]


def _is_empty(configure: Configure | None) -> bool:
    return configure is not None and configure.is_empty
