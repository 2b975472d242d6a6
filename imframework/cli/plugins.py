"""`imframework plugins`: what is installed, what is in use, and what is wrong with it.

Exit codes: 0 listed, whatever state the plugins are in; 2 wrong usage or configuration.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from imframework.api.service import PluginReport
from imframework.registry import Choice, Registry
from imframework.settings.catalogue import Catalogue
from imframework.settings.environment import read_environment
from imframework.settings.evaluation import Assignment, evaluate
from imframework.settings.ini import read_ini
from imframework.settings.loader import find_file
from imframework.settings.problems import Origin, Severity, raise_errors

HEADINGS = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "API", "ENABLED", "HEALTH", "REASON")


@click.group("plugins")
def plugins() -> None:
    """Connectors, storage, auth, front ends and hooks."""


@plugins.command("list")
@click.option("-c", "--config", type=click.Path(path_type=Path, dir_okay=False), help="The im.cfg that chooses.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object for each plugin.")
def list_plugins(config: Path | None, as_json: bool) -> None:
    """List the plugins that are installed or that im.cfg names, after importing those in use."""
    registry = Registry.discover()
    registry.choose(_choice(config, registry))
    registry.load()
    report = registry.report()
    click.echo(json.dumps([asdict(line) for line in report], indent=2) if as_json else table(report))


def _choice(config: Path | None, registry: Registry) -> Choice:
    """What im.cfg and the environment choose.

    Whether a service could start with them is not asked: a list of plugins is wanted most when it cannot. Values that
    cannot be used are shown, and their defaults taken.
    """
    catalogue = Catalogue(registry.options())
    path, _ = find_file(config, os.environ)
    assignments = []
    if path:
        entries, problems = read_ini(path)
        raise_errors(problems)
        for entry in entries:
            option = catalogue.find(entry.section, entry.name)
            if option:
                assignments.append(Assignment(option, entry.text, Origin(str(path), entry.line)))
    overrides, _ = read_environment(os.environ, catalogue)
    settings, problems = evaluate(catalogue, [*assignments, *overrides], path, ())
    for problem in problems:
        if problem.severity is Severity.ERROR:
            click.echo(f"Error: {problem}", err=True)
    return Choice.of_options(dict(settings.sections["im"]))


def table(report: Iterable[PluginReport]) -> str:
    """The report in aligned columns; the reason comes last, since it may be long."""
    rows = [HEADINGS, *map(_cells, report)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(line: PluginReport) -> tuple[str, ...]:
    return (
        line.kind,
        line.name,
        line.distribution or "-",
        line.version or "-",
        line.api_version or "-",
        "yes" if line.enabled else "no",
        line.health,
        line.reason,
    )
