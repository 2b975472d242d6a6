"""Every problem of a document in any of the languages: what the command line and the service answer to "validate".

The problems are those for which the document would be refused, and no others; but those of all stages together, by
position. What must exist elsewhere (the stored definitions of RADL references, machines, clouds) is
taken on trust.
"""

from __future__ import annotations

from typing import Final

from imframework.api.errors import InvalidDocument, Problem
from imframework.api.service import Language
from imframework.languages import radl, tosca
from imframework.languages.radl.lexical import MAX_PROBLEMS

__all__ = ["MAX_PROBLEMS", "problems"]

_NO_SOURCES: Final = tosca.Sources()


def problems(text: str, language: Language, sources: tosca.Sources = _NO_SOURCES) -> tuple[Problem, ...]:
    """What is wrong with a document, in the order of its lines, each thing once, at most `MAX_PROBLEMS`.

    Nothing if it is sound. `sources` is where TOSCA gets the files it refers to: by default nowhere, so that only those
    that ship with the project are found. Never raises; may take as long as `sources` do.
    """
    match language:
        case Language.RADL:
            return _in_order(radl.all_problems(radl.read(text)))
        case Language.RADL_JSON:
            return _of_json(text)
        case Language.TOSCA:
            return tosca.validate(text, sources=sources)


def _of_json(text: str) -> tuple[Problem, ...]:
    try:
        radl.check(radl.parse_json(text))
    except InvalidDocument as error:
        # Reading with positions takes longer: only what is wrong is read again.
        return _in_order(radl.all_problems(radl.read_json(text)) or error.problems)
    return ()


def _in_order(found: tuple[Problem, ...]) -> tuple[Problem, ...]:
    def place(problem: Problem) -> tuple[bool, int, int]:
        return problem.line is None, problem.line or 0, problem.column or 0

    return tuple(sorted(dict.fromkeys(found), key=place)[:MAX_PROBLEMS])
