"""`imframework validate FILE...`: every problem of documents at once, without a service.

Exit codes: 0 all are sound, 1 there are problems, 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from imframework.api.errors import Problem
from imframework.api.service import Language
from imframework.cli.documents import LANGUAGES, parse_parameters
from imframework.cli.filling import Filled, filled
from imframework.cli.options import artifacts_beside, json_option

if TYPE_CHECKING:
    from imframework.languages.tosca import Sources

FORMATS: Final[Mapping[str, Language]] = {"radl": Language.RADL, "json": Language.RADL_JSON, "tosca": Language.TOSCA}
STANDARD_INPUT: Final = "-"
#: Why a file is missing that nobody tried to get.
NOT_FETCHED: Final = "--no-fetch was given"
_MISSING_FILES: Final = ("import-not-found", "recipe-not-found")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file, and what could not be checked."""

    file: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


@click.command("validate")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(tuple(FORMATS)),
    help="The language, whatever the extension; needed for standard input (-).",
)
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value for @input.NAME@ in the documents; in TOSCA, for an input.",
)
@click.option(
    "--fetch/--no-fetch",
    default=True,
    show_default=True,
    help="Get the files that a TOSCA document refers to, or check it without those that do not ship with imframework.",
)
@json_option
@click.pass_context
def validate(
    context: click.Context,
    files: tuple[str, ...],
    format_: str | None,
    parameters: tuple[str, ...],
    fetch: bool,
    as_json: bool,
) -> None:
    """Tell what is wrong with the documents in FILE..., with line, column and a hint; - is standard input.

    The extension says the language: .radl, .json (RADL JSON), .yaml or .yml (TOSCA). No service is needed. Lines with a
    parameter (@input.NAME@) that has no value are not checked.
    """
    values = parse_parameters(parameters)
    texts = [(file, _language(file, format_), _text(file)) for file in files]
    used = {name for _, language, text in texts for name in _names(text, language)}
    unknown = [name for name in values if name not in used]
    if unknown:
        raise click.UsageError(f"No document has a parameter {', '.join(unknown)}.")
    sources = _fetching(fetch)
    findings = [
        _finding(_shown_name(file), text, language, values, partial(sources, file)) for file, language, text in texts
    ]
    if as_json:
        click.echo(json.dumps([_record(one.file, problem) for one in findings for problem in one.problems], indent=2))
    else:
        for one in findings:
            for problem in one.problems:
                click.echo("\n".join(_lines(one.file, problem)))
    for one in findings:
        for note in one.notes:
            click.echo(f"{one.file}: note: {note}", err=True)
    click.echo(_summary(findings), err=True)
    context.exit(1 if any(one.problems for one in findings) else 0)


# --- what comes in -----------------------------------------------------------------------------------------


def _language(file: str, format_: str | None) -> Language:
    if format_ is not None:
        return FORMATS[format_]
    if file == STANDARD_INPUT:
        raise click.UsageError(f"Say in which language standard input is: --format {'|'.join(FORMATS)}.")
    language = LANGUAGES.get(Path(file).suffix.lower())
    if language is None:
        known = ", ".join(LANGUAGES)
        raise click.UsageError(f"{file}: the extension tells no language ({known}); give --format {'|'.join(FORMATS)}.")
    return language


def _text(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"{_shown_name(file)}: it is not UTF-8 text") from None


def _shown_name(file: str) -> str:
    return "<stdin>" if file == STANDARD_INPUT else file


def _names(text: str, language: Language) -> Iterable[str]:
    if language is not Language.TOSCA:
        return filled(text, {}).without_value
    from imframework.languages import tosca

    return tosca.input_names(text)


def _fetching(fetch: bool) -> Callable[[str], Sources]:
    """What gives each TOSCA file the way to the files it refers to."""
    from imframework.fetching import ArtifactFolder, Fetcher, Limits, Policy
    from imframework.languages.tosca import Sources
    from imframework.languages.tosca.sources import no_artifact

    fetcher = Fetcher(Policy(), Limits()) if fetch else None

    def sources(file: str) -> Sources:
        folder = None if file == STANDARD_INPUT else artifacts_beside(Path(file))
        return Sources(
            fetch=_refuse_to_fetch if fetcher is None else fetcher.for_document(),
            artifact=no_artifact if folder is None else ArtifactFolder(folder),
        )

    return sources


def _refuse_to_fetch(url: str) -> str:
    raise OSError(NOT_FETCHED)


# --- checking ----------------------------------------------------------------------------------------------


def _finding(
    file: str, text: str, language: Language, values: Mapping[str, str], sources: Callable[[], Sources]
) -> Finding:
    from imframework.languages.validation import MAX_PROBLEMS, problems

    notes = []
    if language is Language.TOSCA:
        found = _tosca_problems(text, values, sources)
        kept = [problem for problem in found if not _is_unfetched(problem)]
        if len(kept) < len(found):
            notes.append("some files it refers to were not fetched, and what depends on them was not checked")
    else:
        document = filled(text, values)
        found = problems(document.text, language)
        kept = _placed(found, document)
        if document.without_value:
            notes.append(f"lines with parameters without a value were not checked: {', '.join(document.without_value)}")
    if len(found) >= MAX_PROBLEMS:
        notes.append(f"there may be more: at most {MAX_PROBLEMS} problems are told at once")
    return Finding(file, tuple(kept), tuple(notes))


def _placed(found: Iterable[Problem], document: Filled) -> list[Problem]:
    """The problems where they are in the file, but for those of lines that nobody knows yet."""
    kept = []
    for problem in found:
        if problem.line is None or problem.column is None:
            kept.append(problem)
            continue
        line, column = document.place(problem.line, problem.column)
        if line not in document.open_lines:
            kept.append(replace(problem, line=line, column=column))
    return kept


def _tosca_problems(text: str, values: Mapping[str, str], sources: Callable[[], Sources]) -> tuple[Problem, ...]:
    """The problems with the inputs that are given, at their places in the text without them."""
    from imframework.api.errors import InvalidDocument
    from imframework.languages import tosca
    from imframework.languages.validation import problems

    found = problems(text, Language.TOSCA, sources())
    given = {name: value for name, value in values.items() if name in tosca.input_names(text)}
    if not given:
        return found
    try:
        with_values = problems(tosca.with_inputs(text, given), Language.TOSCA, sources())
    except InvalidDocument as error:
        return (*found, *(problem for problem in error.problems if problem not in found))
    places = {(problem.kind, problem.message): problem for problem in found}
    return tuple(
        places.get((problem.kind, problem.message), replace(problem, line=None, column=None)) for problem in with_values
    )


def _is_unfetched(problem: Problem) -> bool:
    return problem.kind in _MISSING_FILES and problem.message.endswith(NOT_FETCHED)


# --- what goes out -----------------------------------------------------------------------------------------


def _lines(file: str, problem: Problem) -> list[str]:
    place = "".join(f":{number}" for number in (problem.line, problem.column) if number is not None)
    lines = [f"{file}{place}: {_one_line(problem.message)} ({problem.kind})"]
    if problem.hint:
        lines.append(f"  hint: {_one_line(problem.hint)}")
    return lines


def _one_line(text: str) -> str:
    """`text` without what would move the cursor of a terminal: parts of a document are shown."""
    return "".join(character if character.isprintable() else " " for character in text)


def _record(file: str, problem: Problem) -> dict[str, Any]:
    return {
        "file": file,
        "line": problem.line,
        "column": problem.column,
        "kind": problem.kind,
        "message": problem.message,
        "hint": problem.hint,
    }


def _summary(findings: list[Finding]) -> str:
    count = sum(len(one.problems) for one in findings)
    files = _counted(len(findings), "document")
    return f"{files}: {_counted(count, 'problem') if count else 'no problems'}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
