"""`imframework config`: a sample im.cfg, its JSON schema, and what is wrong with a file.

Exit codes: 0 in order (warnings may be printed), 1 the file has errors, 2 wrong usage.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from imframework.registry.registry import Registry
from imframework.settings.catalogue import Catalogue
from imframework.settings.loader import check_file
from imframework.settings.problems import ConfigProblem, Severity
from imframework.settings.sample import sample
from imframework.settings.schema import schema


@click.group("config")
def config() -> None:
    """Print a sample im.cfg or its schema, or check a file. Options of all installed plugins are included."""


@config.command("sample")
def print_sample() -> None:
    """Print an im.cfg with every option, its help and its default."""
    click.echo(sample(_installed()), nl=False)


@config.command("schema")
def print_schema() -> None:
    """Print a JSON schema of the settings."""
    click.echo(json.dumps(schema(_installed()), indent=2))


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of problems.")
@click.pass_context
def check(context: click.Context, file: Path, as_json: bool) -> None:
    """Check FILE strictly: an option that is unknown, repeated or has a bad value is an error.

    Environment variables are left out. Files and directories that are missing here are warnings, since they may be on
    another machine.
    """
    problems = check_file(file, plugin_options=Registry.discover().options())
    counts = Counter(problem.severity for problem in problems)
    if as_json:
        click.echo(json.dumps([_record(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(_line(problem))
        summary = [f"{counts[severity]} {severity}s" for severity in (Severity.ERROR, Severity.WARNING)]
        click.echo(f"{file}: {', '.join(summary)}", err=True)
    context.exit(1 if counts[Severity.ERROR] else 0)


def _installed() -> Catalogue:
    return Catalogue(Registry.discover().options())


def _line(problem: ConfigProblem) -> str:
    """``file:line: severity: option: message (hint)``"""
    where = problem.source if problem.line is None else f"{problem.source}:{problem.line}"
    option = f"{problem.option}: " if problem.option else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{where}: {problem.severity}: {option}{problem.message}{hint}"


def _record(problem: ConfigProblem) -> dict[str, Any]:
    return {
        "file": problem.source,
        "line": problem.line,
        "severity": str(problem.severity),
        "kind": problem.kind,
        "option": problem.option,
        "message": problem.message,
        "hint": problem.hint,
    }
