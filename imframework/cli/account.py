"""`imframework events`, `owners`, `export`, `import`, `images`, `quotas`, `stats`: what belongs to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click

from imframework.api.model import JSON, Event, Quota
from imframework.cli.auth_file import identity
from imframework.cli.client import Client
from imframework.cli.inspect import table
from imframework.cli.options import Target, json_option, target_options
from imframework.cli.progress import line, plain

_infrastructure = click.argument("infrastructure", metavar="ID")
_cloud = click.argument("cloud", metavar="CLOUD")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_day = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.argument("infrastructure", metavar="[ID]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until the infrastructure is deleted.")
@click.option("--after", metavar="NUMBER", type=click.IntRange(min=0), default=0, help="Leave out those before.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@target_options
def events(infrastructure: str | None, follow: bool, after: int, as_json: bool, target: Target) -> None:
    """Print what has happened to an infrastructure, or to all of yours."""
    with target.open() as client:
        for event in client.follow(infrastructure, after) if follow else _so_far(client, infrastructure, after):
            if as_json:
                click.echo(json.dumps(asdict(event)))
            elif text := line(event):
                click.echo(text if infrastructure else f"{event.infrastructure} {text}")


def _so_far(client: Client, infrastructure: str | None, after: int) -> Iterator[Event]:
    while page := client.events(infrastructure, after) if infrastructure else client.account_events(after):
        yield from page
        after = page[-1].sequence if infrastructure else page[-1].position


@click.command()
@_infrastructure
@click.option("--add", type=_file, help="The authorization file of one more owner.")
@click.option("--set", "only", type=_file, help="The authorization file of who is the only owner from now on.")
@json_option
@target_options
def owners(infrastructure: str, add: Path | None, only: Path | None, as_json: bool, target: Target) -> None:
    """List the owners of an infrastructure, after changing them if asked to."""
    if add and only:
        raise click.UsageError("Either --add or --set.")
    with target.open() as client:
        if file := add or only:
            client.change_owners(infrastructure, identity(file), overwrite=only is not None)
        names = list(client.owners(infrastructure))
    click.echo(json.dumps(names) if as_json else "\n".join(map(plain, names)))


@click.command("export")
@_infrastructure
@click.option("--delete", is_flag=True, help="Forget it here; its machines go on, for whoever imports it.")
@target_options
def export(infrastructure: str, delete: bool, target: Target) -> None:
    """Print an infrastructure as a document for `imframework import`. It holds secrets."""
    with target.open() as client:
        click.echo(client.export_document(infrastructure, delete=delete))


@click.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@target_options
def import_(file: TextIO, target: Target) -> None:
    """Take over an infrastructure that was exported to FILE (- for standard input), and print its id."""
    with target.open() as client:
        click.echo(client.import_document(file.read()))


@click.command()
@_cloud
@click.option("--filter", "filters", metavar="NAME=VALUE", multiple=True, help="As the cloud understands it.")
@json_option
@target_options
def images(cloud: str, filters: tuple[str, ...], as_json: bool, target: Target) -> None:
    """List the images of a cloud; CLOUD is the id of its item in your authorization file."""
    pairs = [each.partition("=") for each in filters]
    if not all(mark for _, mark, _ in pairs):
        raise click.UsageError("--filter has the form NAME=VALUE.")
    with target.open() as client:
        found = client.images(cloud, {name: value for name, _, value in pairs})
    if as_json:
        click.echo(json.dumps([asdict(image) for image in found], indent=2))
    else:
        click.echo(table(("IMAGE", "NAME"), [(image.uri, image.name) for image in found]))


@click.command()
@_cloud
@json_option
@target_options
def quotas(cloud: str, as_json: bool, target: Target) -> None:
    """Show what your account at a cloud uses and may use; CLOUD is the id of its item in your authorization file."""
    with target.open() as client:
        found = client.quotas(cloud)
    if as_json:
        click.echo(json.dumps({name: asdict(quota) for name, quota in found.items()}, indent=2))
    else:
        click.echo(table(("QUOTA", "USED", "LIMIT"), [(name, *_amounts(quota)) for name, quota in found.items()]))


def _amounts(quota: Quota) -> tuple[str, str]:
    return f"{quota.used:g}", "unlimited" if quota.limit < 0 else f"{quota.limit:g}"


@click.command()
@click.option("--since", metavar="DAY", type=_day, help="Made on this day (YYYY-MM-DD) or later.")
@click.option("--until", metavar="DAY", type=_day, help="Made before this day.")
@json_option
@target_options
def stats(since: datetime | None, until: datetime | None, as_json: bool, target: Target) -> None:
    """Show what you have deployed so far, also what is deleted."""
    with target.open() as client:
        records = client.stats(since and since.date(), until and until.date())
    if as_json:
        click.echo(json.dumps([dict(record) for record in records], indent=2))
        return
    headings = {
        "inf_id": "ID",
        "creation_date": "CREATED",
        "vm_count": "MACHINES",
        "cpu_count": "CPUS",
        "memory_size": "MEMORY (MB)",
        "cloud_type": "CLOUD",
        "deleted": "DELETED",
    }
    click.echo(table(list(headings.values()), [[_cell(record.get(name)) for name in headings] for record in records]))


def _cell(value: JSON) -> object:
    return "-" if value is None else value
