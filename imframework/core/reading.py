"""Documents as they come in, alone and combined with the one an infrastructure has.

All this is reckoning with texts. Where a text is long it is done in a thread, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from imframework.api.errors import InvalidDocument, Problem
from imframework.api.service import Document, Language
from imframework.core import documents
from imframework.languages import radl

P = ParamSpec("P")
T = TypeVar("T")

#: Texts with more characters than this are long.
LONG = 32 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """A document that makes sense: all of it, its text as it is stored, and what of it the client has just sent."""

    whole: radl.Document
    text: str
    sent: radl.Document


def of_new(document: Document) -> Reading:
    """The document of a new infrastructure.

    Raises:
        InvalidDocument: this, and what is below, if something is wrong with it.
    """
    whole = radl.resolve_references(_checked(document), radl.Document())
    return Reading(whole, radl.dumps(whole), whole)


def of_addition(stored: str, document: Document) -> Reading:
    """The stored document, with resources added to it."""
    before = documents.parsed(stored)
    sent = radl.resolve_references(_checked(document), before)
    radl.check(sent)
    whole = radl.merge_addition(before, sent)
    radl.check(whole)
    return Reading(whole, radl.dumps(whole), sent)


def of_change(stored: str, document: Document) -> Reading:
    """The stored document with other recipes. What is sent need not make sense alone."""
    sent = _parsed(document)
    whole = radl.merge_reconfigure(documents.parsed(stored), sent)
    radl.check(whole)
    return Reading(whole, radl.dumps(whole), sent)


async def reckon(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function makes of `size` characters. Nobody else gets a turn meanwhile, unless they are many."""
    if size < LONG:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def _checked(document: Document) -> radl.Document:
    parsed = _parsed(document)
    radl.check(parsed)
    return parsed


def _parsed(document: Document) -> radl.Document:
    match document.language:
        case Language.RADL:
            return radl.parse(document.text)
        case Language.RADL_JSON:
            return radl.parse_json(document.text)
        case _:
            raise InvalidDocument(Problem("TOSCA documents are not supported yet", kind="unsupported"))
