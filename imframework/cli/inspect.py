"""`imframework list`, `show`, `outputs` and `logs`: what there is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import click

from imframework.api.errors import NotFound
from imframework.api.model import JSON
from imframework.cli import watching
from imframework.cli.client import Client
from imframework.cli.deploy import state_record
from imframework.cli.log_following import LogDisplay
from imframework.cli.machines import MachineInfo, without_secrets
from imframework.cli.options import Target, json_option, target_options
from imframework.cli.progress import plain


@click.command("list")
@json_option
@target_options
def list_infrastructures(as_json: bool, target: Target) -> None:
    """List your infrastructures with their states."""
    reports = {}
    with target.open() as client:
        for infrastructure in client.list():
            try:
                reports[infrastructure] = client.state(infrastructure)
            except NotFound:
                continue  # deleted meanwhile
    if as_json:
        click.echo(json.dumps([state_record(id, report) for id, report in reports.items()], indent=2))
    elif reports:
        rows = [(id, report.state, len(report.vm_states)) for id, report in reports.items()]
        click.echo(table(("ID", "STATE", "MACHINES"), rows))
    else:
        click.echo("You have no infrastructures.", err=True)


@click.command()
@click.argument("infrastructure", metavar="ID")
@json_option
@click.option("--secrets", is_flag=True, help="With --json: include passwords and private keys of the machines.")
@target_options
def show(infrastructure: str, as_json: bool, secrets: bool, target: Target) -> None:
    """Show an infrastructure and its machines."""
    if secrets and not as_json:
        raise click.UsageError("--secrets is for --json.")
    with target.open() as client:
        report = client.state(infrastructure)
        descriptions = dict(_descriptions(client, infrastructure))
    machines = [MachineInfo.of(number, description) for number, description in descriptions.items()]
    if as_json:
        record = {
            **state_record(infrastructure, report),
            "machines": [
                {
                    "number": machine.number,
                    "system": machine.name,
                    "state": machine.state,
                    "addresses": machine.addresses,
                    "radl": descriptions[machine.number] if secrets else without_secrets(descriptions[machine.number]),
                }
                for machine in machines
            ],
        }
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(f"{infrastructure} is {report.state}")
    if machines:
        rows = [(each.number, each.name, each.state, " ".join(each.addresses) or "-", each.cloud) for each in machines]
        click.echo(table(("MACHINE", "SYSTEM", "STATE", "ADDRESS", "CLOUD"), rows))


def _descriptions(client: Client, infrastructure: str) -> Iterable[tuple[int, Sequence[Mapping[str, JSON]]]]:
    for number in client.machines(infrastructure):
        try:
            yield number, client.info(infrastructure, number)
        except NotFound:
            continue  # deleted meanwhile


@click.command()
@click.argument("infrastructure", metavar="ID")
@json_option
@target_options
def outputs(infrastructure: str, as_json: bool, target: Target) -> None:
    """Print the outputs of an infrastructure that was made from a TOSCA document.

    What cannot be told yet is empty, with the reason on standard error.
    """
    with target.open() as client:
        found = client.outputs(infrastructure)
    if as_json:
        click.echo(json.dumps({"outputs": found.values, "missing": found.missing}, indent=2))
        return
    for name, value in found.values.items():
        shown = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        click.echo(f"{plain(name)}: {plain(shown)}")
    for name, reasons in found.missing.items():
        click.echo(f"{plain(name)} is not known: {plain('; '.join(reasons))}", err=True)


@click.command()
@click.argument("infrastructure", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is new until nothing more happens.")
@click.option("--vm", type=click.IntRange(min=0), help="The log of this machine only.")
@target_options
def logs(infrastructure: str, follow: bool, vm: int | None, target: Target) -> None:
    """Print the configuration log of an infrastructure: what failed first, then the rest.

    With -f, lines come in the order in which they were written; those of a machine begin with "VM <number> |", and
    failures with "!".
    """
    with target.open() as client:
        if follow:
            with LogDisplay(vm) as display:
                watching.watch(client, infrastructure, display)
            if not display.empty:
                return
        # A service that is older than log events has the text all the same.
        click.echo(client.contmsg(infrastructure, vm), nl=False)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows in aligned columns."""
    cells = [list(headings), *([plain(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
