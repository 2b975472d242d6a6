"""Documents as they come in, alone and combined with the one an infrastructure has.

All this is reckoning with texts. Where a text is long, or others may have to be fetched for it (TOSCA), it is done in a
thread, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from imframework.api.errors import CloudUnavailable, DeadlineExceeded, InvalidDocument, OutcomeUnknown, Problem
from imframework.api.service import Document, Language
from imframework.core import definitions, documents
from imframework.core.calls import CallPool
from imframework.core.entities import DocumentText
from imframework.core.infrastructure import Infrastructure
from imframework.languages import radl, tosca, validation

T = TypeVar("T")

#: Texts with more characters than this are long.
LONG = 32 * 1024
#: Longest time in seconds for a TOSCA document and all that it refers to. What is fetched has limits of its own.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Former:
    """What a new document is combined with: the stored RADL, the stored TOSCA (JSON, or empty) and, for TOSCA, the
    machines."""

    radl: str
    template: str = ""
    machines: tuple[tosca.ExistingMachine, ...] = ()

    @classmethod
    def of(cls, infra: Infrastructure, language: Language) -> Former:
        """What an infrastructure has that matters to a document in that language."""
        if language is not Language.TOSCA:
            return cls(infra.radl, infra.template)
        wanted = (vm for vm in infra.alive() if vm.wanted)
        machines = tuple(tosca.ExistingMachine(str(vm.number), vm.system, vm.image) for vm in wanted)
        return cls(infra.radl, infra.template, machines)


@dataclass(frozen=True, slots=True)
class Reading:
    """A document that makes sense: all of it, its text as it is stored, and what of it the client has just sent.

    `template` is the TOSCA to store (JSON), empty where there is none; `title` is what it is called. `removals` are the
    machines that an update takes away, with the reasons. `touched` are the systems that have other recipes than before;
    None stands for all.
    """

    whole: radl.Document
    text: str
    sent: radl.Document
    template: str = ""
    removals: Mapping[int, str] | None = None
    touched: frozenset[str] | None = None
    title: str = ""


class Reader:
    """Reads documents of all languages."""

    def __init__(self, sources: Callable[[], tosca.Sources], threads: CallPool) -> None:
        """`sources` is asked for each TOSCA document where that gets what it refers to; `threads` wait for that."""
        self._sources = sources
        self._threads = threads

    async def new(self, document: Document, token: str | None = None) -> Reading:
        """The document of a new infrastructure. `token` is the caller's bearer token, for ``access_token()``.

        Raises:
            InvalidDocument: this, and what is below, if something is wrong with it.
        """
        if document.language is Language.TOSCA:
            return await self._translate(partial(_new_template, document.text, self._sources(), token))
        return await _reckon(len(document.text), partial(_new, document))

    async def addition(self, former: Former, document: Document, token: str | None = None) -> Reading:
        """The stored document with resources added to it or, in TOSCA, as it is to be from now on."""
        if document.language is Language.TOSCA:
            return await self._translate(partial(_update, former, document.text, self._sources(), token))
        return await _reckon(len(former.radl) + len(document.text), partial(_addition, former, document))

    async def change(self, former: Former, document: Document, token: str | None = None) -> Reading:
        """The stored document with other recipes. What is sent need not make sense alone."""
        if document.language is Language.TOSCA:
            return await self._translate(partial(_update, former, document.text, self._sources(), token))
        return await _reckon(len(former.radl) + len(document.text), partial(_change, former, document))

    async def alteration(
        self, definition: str, stored: str, document: Document, token: str | None = None
    ) -> DocumentText:
        """The definition that a document gives to a machine which has one; `stored` is the infrastructure's RADL.

        Raises:
            InvalidRequest: it has no system of the machine's name, or asks for what cannot be changed.
        """

        def altered(sent: radl.Document) -> DocumentText:
            former = documents.parsed(definition)
            whole = definitions.altered(former, documents.parsed(stored), sent)
            radl.check(whole, boot_disk_required=False)
            return definitions.text_of(whole, next(iter(former.systems)))

        if document.language is Language.TOSCA:
            sources = self._sources()
            return await self._translate(
                lambda: altered(tosca.translate(document.text, sources=sources, token=token).radl)
            )
        return await _reckon(len(stored) + len(document.text), lambda: altered(_parsed(document)))

    async def outputs(self, template: str, machines: Sequence[tosca.LiveMachine]) -> tosca.Outputs:
        """The outputs of a stored template on machines."""
        return await self._translate(lambda: tosca.outputs(documents.template(template), machines))

    async def problems(self, document: Document) -> Sequence[Problem]:
        """Every problem of a document: those that the others here raise, of all stages together."""
        if document.language is Language.TOSCA:
            check = partial(validation.problems, document.text, document.language, self._sources())
            return await self._translate(check)
        return await _reckon(len(document.text), partial(validation.problems, document.text, document.language))

    async def _translate(self, function: Callable[[], T]) -> T:
        try:
            return await self._threads.call(function, PATIENCE)
        except OutcomeUnknown:
            raise DeadlineExceeded(f"The TOSCA document could not be read within {PATIENCE:g} s.") from None
        except CloudUnavailable:
            raise DeadlineExceeded("Too many TOSCA documents are being read. Try again later.") from None


async def _reckon(size: int, function: Callable[[], T]) -> T:
    """What a function makes of `size` characters. Nobody else gets a turn meanwhile, unless they are many."""
    if size < LONG:
        return function()
    return await asyncio.to_thread(function)


# --- RADL ------------------------------------------------------------------------------------------------------


def _new(document: Document) -> Reading:
    whole = radl.resolve_references(_checked(document), radl.Document())
    return Reading(whole, radl.dumps(whole), whole)


def _addition(former: Former, document: Document) -> Reading:
    before = documents.parsed(former.radl)
    sent = radl.resolve_references(_checked(document), before)
    radl.check(sent)
    whole = radl.merge_addition(before, sent)
    radl.check(whole, boot_disk_required=not former.template)
    return Reading(whole, radl.dumps(whole), sent, former.template, touched=frozenset())


def _change(former: Former, document: Document) -> Reading:
    sent = _parsed(document)
    whole = radl.merge_reconfigure(documents.parsed(former.radl), sent)
    radl.check(whole, boot_disk_required=not former.template)
    return Reading(whole, radl.dumps(whole), sent, former.template)


def _checked(document: Document) -> radl.Document:
    try:
        parsed = _parsed(document)
        radl.check(parsed)
    except InvalidDocument as error:  # at the first thing that is wrong; the user is told of all
        problems = validation.problems(document.text, document.language) or error.problems
        unreadable = document.language is Language.RADL and problems[0].kind == "syntax"
        raise InvalidDocument(problems, prefix="Parse error in: " if unreadable else "") from None
    return parsed


def _parsed(document: Document) -> radl.Document:
    return radl.parse_json(document.text) if document.language is Language.RADL_JSON else radl.parse(document.text)


# --- TOSCA -----------------------------------------------------------------------------------------------------


def _new_template(text: str, sources: tosca.Sources, token: str | None) -> Reading:
    translation = tosca.translate(text, sources=sources, token=token)
    whole = translation.radl
    template = documents.template_text(translation.stored)
    return Reading(whole, radl.dumps(whole), whole, template, title=documents.title(template))


def _update(former: Former, text: str, sources: tosca.Sources, token: str | None) -> Reading:
    stored = documents.template(former.template) if former.template else None
    translation = tosca.translate(text, sources=sources, token=token, stored=stored, existing=former.machines)
    before = documents.parsed(former.radl)
    sent = translation.radl
    whole = radl.merge_addition(before, sent)
    _forget_recipes(whole, sent, {*sent.systems, *translation.dropped})
    radl.check(whole, boot_disk_required=False)
    template = documents.template_text(translation.stored)
    return Reading(
        whole,
        radl.dumps(whole),
        sent,
        template,
        {int(id): reason for id, reason in translation.removals.items()},
        _touched(before, whole),
        documents.title(template),
    )


def _forget_recipes(whole: radl.Document, sent: radl.Document, systems: set[str]) -> None:
    """Systems of a template have the recipes that the template says, and no others."""
    if whole.contextualize is None or sent.contextualize is None:
        return
    for key, item in list(whole.contextualize.items.items()):
        if item.system in systems and key not in sent.contextualize.items:
            del whole.contextualize.items[key]


def _touched(before: radl.Document, after: radl.Document) -> frozenset[str]:
    """The systems that are configured differently in two documents."""
    former, now = _recipes(before), _recipes(after)
    return frozenset(system for system in now if former.get(system) != now[system])


def _recipes(document: radl.Document) -> dict[str, object]:
    """By system, all that its configuration depends on."""
    plan = radl.contextualization_plan(document)
    recipes: dict[str, list[object]] = {id: [] for id in document.systems}
    for step in plan.steps:
        for run in step.runs:
            recipes[run.system].append((step.number, run.configure, document.configures[run.configure].body))
    common = (plan.uses_ansible, plan.ansible_version)
    return {
        id: (common, recipes[id], [(app.name, app.version) for app in system.applications()])
        for id, system in document.systems.items()
    }
