"""`imframework plan`, `apply` and `update`: what would be done, and doing exactly that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import click

from imframework.api.model import JSON
from imframework.api.service import Document
from imframework.cli import watching
from imframework.cli.client import Unreachable
from imframework.cli.deploy import see_through
from imframework.cli.options import Target, document_arguments, json_option, target_options, watch_option
from imframework.cli.progress import plain

Report = Mapping[str, JSON]


@click.command()
@document_arguments
@click.option("--infra", "infrastructure", metavar="ID", help="Plan to send FILE to this infrastructure.")
@json_option
@target_options
@click.pass_context
def plan(context: click.Context, document: Document, infrastructure: str | None, as_json: bool, target: Target) -> None:
    """Show what `deploy` would do with FILE, or sending FILE to an infrastructure, and why. Makes nothing.

    The plan is kept for a day, and `apply` carries it out as it is, unless the infrastructure has changed meanwhile.
    The exit code is 1 if there is a machine that no cloud can realise.
    """
    with target.open() as client:
        report = client.plan(document, infrastructure)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(report)
        if not report["refusals"]:
            click.echo(f"Carry it out: {target.command('apply ' + report['id'])}", err=True)
    context.exit(1 if report["refusals"] else 0)


@click.command()
@click.argument("plan", metavar="PLAN")
@watch_option
@json_option
@target_options
@click.pass_context
def apply(context: click.Context, plan: str, watch: bool, as_json: bool, target: Target) -> None:
    """Carry out a plan and print the id of the infrastructure. PLAN is the id that `plan` shows.

    It is refused if the infrastructure has changed since; the message says what.
    """
    with target.open() as client:
        progress = watching.caught_up(client, plan.partition(".")[0])
        try:
            infrastructure = client.apply(plan, asynchronous=True)
        except Unreachable as error:
            raise Unreachable(f"{error}\nIt may have been carried out all the same.") from error
        see_through(client, infrastructure, context, target, watch=watch, as_json=as_json, progress=progress)


@click.command()
@click.argument("infrastructure", metavar="ID")
@document_arguments
@watch_option
@json_option
@target_options
@click.pass_context
def update(
    context: click.Context, infrastructure: str, document: Document, watch: bool, as_json: bool, target: Target
) -> None:
    """Send FILE to an infrastructure: more or fewer machines, changed recipes and inputs.

    RADL is added to what there is; a TOSCA document says what there is to be from now on. What will be done is shown
    on standard error first.
    """
    with target.open() as client:
        report = client.plan(document, infrastructure)
        _show(report, err=True)
        if report["refusals"]:
            context.exit(1)
        progress = watching.caught_up(client, infrastructure)
        client.apply(report["id"], asynchronous=True)
        see_through(client, infrastructure, context, target, watch=watch, as_json=as_json, progress=progress)


# --- showing a plan --------------------------------------------------------------------------------------------


def _show(report: Report, *, err: bool = False) -> None:
    lines = [*_lines(report)]
    for line in lines or ["Nothing would be done."]:
        click.echo(plain(line), err=err)


def _lines(report: Report) -> Iterable[str]:
    """A plan, as people read it."""
    for lot in report["create"]:
        yield from _lot(lot)
    for machine in report["delete"]:
        where = f" in {machine['cloud']}" if machine["cloud"] else ""
        yield f"{machine['system']}: machine {machine['machine']}{where} is deleted"
        if machine["why"]:
            yield f"  because  {machine['why']}"
    for change in report["change"]:
        yield f"{change['system']}: {_machines(change['machines'])} configured again"
    if report["create"]:
        for network in report["networks"]:
            kind = "public" if network["public"] else "private"
            ports = f", ports {' '.join(network['ports'])}" if network["ports"] else ""
            yield f"network {network['name']}: {'exists' if network['exists'] else 'is made'}, {kind}{ports}"
    if report["public_ips"]:
        yield f"public addresses: {report['public_ips']}"
    for disk in report["disks"]:
        yield f"disk {disk['disk']} of {disk['system']}: {disk['size'] / 1000**3:g} GB, {_machines(disk['machines'])}"
    for recipe in report["recipes"]:
        yield f"step {recipe['step']}: recipe {recipe['recipe']} on {_machines(recipe['machines'])}"
    for warning in report["warnings"]:
        yield f"warning: {warning}"
    for refusal in report["refusals"]:
        if not any(lot.get("refused") == refusal["reason"] for lot in report["create"]):
            yield f"cannot be done ({_machines(refusal['machines'])}): {refusal['reason']}"


def _lot(lot: Report) -> Iterable[str]:
    """The lines about machines that are alike."""
    count = len(lot["machines"])
    yield f"{lot['system']}: {count} machine{'' if count == 1 else 's'}"
    if "refused" in lot:
        yield f"  cannot be made: {lot['refused']}"
        return
    price = f", {lot['price']:g} per hour each" if "price" in lot else ""
    yield f"  cloud    {lot['cloud']}{price}"
    yield f"  image    {lot['image']}"
    if lot.get("flavour"):
        yield f"  flavour  {lot['flavour']}"
    if lot.get("why"):
        yield f"  because  {lot['why']}"
    for cloud, reason in lot.get("rejected", {}).items():
        yield f"  not {cloud}: {reason}"


def _machines(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:10]) + (", …" if len(numbers) > 10 else "")
    return f"machine{'' if len(numbers) == 1 else 's'} {shown}"
