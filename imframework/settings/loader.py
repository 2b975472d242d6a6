"""Finds im.cfg, reads it and the environment, and makes the settings of them.

`load` is for a service that starts: it raises every error at once and returns the rest. `check_file` is for somebody
who has edited a file. `from_values` makes settings without file and environment, for embedded use and tests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import imframework
from imframework.api.config import MAIN_SECTION
from imframework.settings.catalogue import Catalogue, PluginOptions
from imframework.settings.checks import CHECKS, SERVICE_CHECKS
from imframework.settings.environment import read_environment
from imframework.settings.evaluation import Assignment, evaluate
from imframework.settings.ini import Entry, read_ini
from imframework.settings.model import Settings
from imframework.settings.problems import ConfigProblem, Origin, Severity, problem_at, raise_errors

#: Where im.cfg and logging.conf are when the program's own directory has none.
SYSTEM_DIRECTORY = Path("/etc/im")

#: What a service can live with, but somebody who asks for a check wants to have right.
_STRICT_KINDS = ("unknown", "duplicate", "range")


def load(
    config: Path | None,
    environ: Mapping[str, str],
    plugin_options: PluginOptions | None = None,
    *,
    system_directory: Path = SYSTEM_DIRECTORY,
) -> tuple[Settings, list[ConfigProblem]]:
    """The settings of a service, and the warnings to log.

    `config` is the file given on the command line; without it the one that IM_CONFIG names is read, else
    ``$IM_PATH/etc/im.cfg``, else ``im.cfg`` of `system_directory`. Variables of `environ` take precedence over the
    file. `plugin_options` are the options of installed plugins.

    Raises `ConfigurationError` with all errors, each naming file, line and option.
    """
    catalogue = Catalogue(plugin_options)
    path, problems = find_file(config, environ, system_directory)
    assignments: list[Assignment] = []
    if path:
        assignments, found = _read_file(path, catalogue)
        problems += found
    overrides, found = read_environment(environ, catalogue)
    problems += found
    settings, found = evaluate(catalogue, [*assignments, *overrides], path, SERVICE_CHECKS)
    problems = [*catalogue.problems, *_in_order(problems, found)]
    raise_errors(problems)
    return settings, problems


def check_file(path: Path, strict: bool = True, plugin_options: PluginOptions | None = None) -> list[ConfigProblem]:
    """Everything there is to say about a file, in the order of its lines; the environment is left out.

    `strict` makes errors of what would only be ignored or replaced at a start. What is wrong with other files and
    directories is a warning, for the file may be checked on another machine than the server.
    """
    catalogue = Catalogue(plugin_options)
    assignments, problems = _read_file(path, catalogue)
    _, found = evaluate(catalogue, assignments, path, SERVICE_CHECKS)
    return [*catalogue.problems, *(_judge(problem, strict) for problem in _in_order(problems, found))]


def from_values(values: Mapping[str, object], plugin_options: PluginOptions | None = None) -> Settings:
    """Settings with some options set, by name, to text or typed values; ``Section.NAME`` outside [im].

    No front end needs to be active. Raises `ConfigurationError` if a value is not allowed and `KeyError` for a name
    that is no option.
    """
    catalogue = Catalogue(plugin_options)
    assignments = []
    for key, value in values.items():
        section, dot, name = key.rpartition(".")
        option = catalogue.find(section if dot else MAIN_SECTION, name)
        if option is None:
            raise KeyError(f"there is no option {key}")
        assignments.append(Assignment(option, value, Origin("given value")))
    settings, problems = evaluate(catalogue, assignments, None, CHECKS)
    raise_errors(problems)
    return settings


def find_file(
    config: Path | None, environ: Mapping[str, str], system_directory: Path = SYSTEM_DIRECTORY
) -> tuple[Path | None, list[ConfigProblem]]:
    """The im.cfg to read, None if there is none; a file that is there but is not read is named in a warning."""
    if config is None and environ.get("IM_CONFIG"):
        config = Path(environ["IM_CONFIG"])
    if config is not None:
        return config, []
    base = Path(environ.get("IM_PATH") or Path(imframework.__file__).parents[1])
    candidates = [base / "etc" / "im.cfg", system_directory / "im.cfg"]
    present = [path for path in candidates if path.is_file()]
    readable = [path for path in present if os.access(path, os.R_OK)]
    # A file that is there but cannot be read is an error rather than a reason to run with the defaults.
    chosen = next(iter(readable or present), None)
    if chosen is None:
        message = f"no im.cfg in {candidates[0].parent} nor in {candidates[1].parent}: the defaults are used"
        return None, [ConfigProblem(message, kind="ignored", severity=Severity.WARNING)]
    ignored = [path for path in present if path != chosen]
    message = f"is ignored, since {chosen} is read"
    return chosen, [
        problem_at(Origin(str(path)), "", message, kind="ignored", severity=Severity.WARNING) for path in ignored
    ]


def _read_file(path: Path, catalogue: Catalogue) -> tuple[list[Assignment], list[ConfigProblem]]:
    """The options that a file sets, and the names in it that mean nothing."""
    entries, problems = read_ini(path)
    assignments: dict[tuple[str, str], Assignment] = {}
    strangers: set[str] = set()

    def warn(entry: Entry, message: str, *, kind: str, option: str = "", hint: str = "") -> None:
        origin = Origin(str(path), entry.line)
        problems.append(problem_at(origin, option, message, kind=kind, hint=hint, severity=Severity.WARNING))

    for entry in entries:
        option = catalogue.find(entry.section, entry.name)
        if option:
            before = assignments.get((entry.section, entry.name))
            if before:
                message = f"is also set on line {before.origin.line}; the last line counts"
                warn(entry, message, kind="duplicate", option=option.name)
            assignments[entry.section, entry.name] = Assignment(option, entry.text, Origin(str(path), entry.line))
        elif entry.section in catalogue.sections:
            message = f"Unknown option in the IM config file. Ignoring it: {entry.name}"
            warn(entry, message, kind="unknown", hint=catalogue.hint(entry.section, entry.name))
        elif entry.section not in strangers:
            strangers.add(entry.section)
            message = f"no option belongs to section [{entry.section}]; all of it is ignored"
            warn(entry, message, kind="unknown", hint=catalogue.section_hint(entry.section))
    return list(assignments.values()), problems


def _in_order(*problems: list[ConfigProblem]) -> list[ConfigProblem]:
    """All problems in the order of the lines of the file; those without a line first."""
    return sorted(chain(*problems), key=lambda problem: problem.line or 0)


def _judge(problem: ConfigProblem, strict: bool) -> ConfigProblem:
    if problem.kind == "machine":
        return replace(problem, severity=Severity.WARNING)
    if strict and problem.kind in _STRICT_KINDS:
        return replace(problem, severity=Severity.ERROR)
    return problem
