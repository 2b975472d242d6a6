"""`imframework start`, `stop`, `reboot`, `alter`, `remove`, `reconfigure`: what is done to machines."""

from __future__ import annotations

from pathlib import Path

import click

from imframework.api.service import Document
from imframework.cli.documents import parse_parameters, read_document
from imframework.cli.options import Target, document_arguments, target_options

_infrastructure = click.argument("infrastructure", metavar="ID")
_number = click.IntRange(min=0)


@click.command()
@_infrastructure
@click.argument("vm", metavar="[VM]", type=_number, required=False)
@target_options
def start(infrastructure: str, vm: int | None, target: Target) -> None:
    """Start a machine, or all."""
    with target.open() as client:
        client.start(infrastructure, vm)


@click.command()
@_infrastructure
@click.argument("vm", metavar="[VM]", type=_number, required=False)
@target_options
def stop(infrastructure: str, vm: int | None, target: Target) -> None:
    """Stop a machine, or all."""
    with target.open() as client:
        client.stop(infrastructure, vm)


@click.command()
@_infrastructure
@click.argument("vm", metavar="VM", type=_number)
@target_options
def reboot(infrastructure: str, vm: int, target: Target) -> None:
    """Reboot a machine."""
    with target.open() as client:
        client.reboot(infrastructure, vm)


@click.command()
@_infrastructure
@click.argument("vm", metavar="VM", type=_number)
@document_arguments
@target_options
def alter(infrastructure: str, vm: int, document: Document, target: Target) -> None:
    """Change a machine to what the system of its name in FILE says: size, disks, public address."""
    with target.open() as client:
        client.alter(infrastructure, vm, document)


@click.command()
@_infrastructure
@click.argument("vms", metavar="VM...", type=_number, nargs=-1, required=True)
@click.option("--no-context", is_flag=True, help="Do not configure the other machines afterwards.")
@target_options
def remove(infrastructure: str, vms: tuple[int, ...], no_context: bool, target: Target) -> None:
    """Remove machines, and configure the others afterwards."""
    with target.open() as client:
        client.remove(infrastructure, vms, context=not no_context)


@click.command()
@_infrastructure
@click.argument("vms", metavar="[VM...]", type=_number, nargs=-1)
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A document with changed recipes."
)
@click.option("--param", "parameters", metavar="NAME=VALUE", multiple=True, help="A value for @input.NAME@ in it.")
@target_options
def reconfigure(
    infrastructure: str, vms: tuple[int, ...], file: Path | None, parameters: tuple[str, ...], target: Target
) -> None:
    """Configure all machines again, or those."""
    if parameters and file is None:
        raise click.UsageError("--param is for --file.")
    document = read_document(file, parse_parameters(parameters)) if file is not None else None
    with target.open() as client:
        client.reconfigure(infrastructure, document, vms or None)
