"""`imframework deploy` and `imframework destroy`: making infrastructures and deleting them.

Standard output gets the result only (the id, or JSON); progress and explanations go to standard error. Exit codes: see
`imframework.cli.main`.
"""

from __future__ import annotations

import json

import click

from imframework.api.errors import NotFound
from imframework.api.service import Document, StateReport
from imframework.cli import watching
from imframework.cli.client import Client, Unreachable
from imframework.cli.display import display
from imframework.cli.options import Target, document_arguments, json_option, target_options, watch_option
from imframework.cli.progress import Progress, plain

#: Exit code of a command that was interrupted.
INTERRUPTED = 130


@click.command()
@document_arguments
@watch_option
@json_option
@target_options
@click.pass_context
def deploy(context: click.Context, document: Document, watch: bool, as_json: bool, target: Target) -> None:
    """Make the infrastructure that FILE describes (RADL: .radl, RADL JSON: .json, TOSCA: .yaml) and print its id.

    With --watch the exit code is 1 unless all machines end up configured. Interrupting it (Ctrl-C) only ends the
    watching: the deployment goes on.
    """
    with target.open() as client:
        try:
            infrastructure = client.create(document, asynchronous=True)
        except Unreachable as error:
            hint = f"It may have been made all the same: {target.command('list')} shows what there is."
            raise Unreachable(f"{error}\n{hint}") from error
        see_through(client, infrastructure, context, target, watch=watch, as_json=as_json)


def see_through(
    client: Client,
    infrastructure: str,
    context: click.Context,
    target: Target,
    *,
    watch: bool,
    as_json: bool,
    progress: Progress | None = None,
) -> None:
    """Print the id of an infrastructure under way and, if it is to be watched, how it ends up.

    `progress` is what had happened to it before.
    """
    if not as_json:
        click.echo(infrastructure)
    if not (watch or target.local):
        if as_json:
            click.echo(json.dumps({"id": infrastructure}))
        return
    report = _watch(client, infrastructure, context, target, progress)
    if as_json:
        click.echo(json.dumps(state_record(infrastructure, report), indent=2))
    if not watching.succeeded(report):
        _explain(report, infrastructure, target)
        context.exit(1)
    click.echo(f"{infrastructure} is {report.state}. Machines: {target.command(f'show {infrastructure}')}", err=True)


def _watch(
    client: Client, infrastructure: str, context: click.Context, target: Target, progress: Progress | None
) -> StateReport:
    try:
        with display(infrastructure) as shown:
            return watching.watch(client, infrastructure, shown, progress)
    except KeyboardInterrupt:
        click.echo(_goes_on(infrastructure, target), err=True)
        context.exit(INTERRUPTED)
    except NotFound:
        click.echo(f"{infrastructure} was deleted meanwhile.", err=True)
        context.exit(1)


def _goes_on(infrastructure: str, target: Target) -> str:
    if target.local:
        first = f"Interrupted. {infrastructure} is kept, and its deployment goes on with the next command with --local:"
    else:
        first = f"Interrupted. The deployment of {infrastructure} goes on without this command:"
    return (
        f"{first}\n  {target.command(f'logs {infrastructure} -f')}   follows it\n"
        f"  {target.command(f'destroy {infrastructure}')}   ends it"
    )


def _explain(report: StateReport, infrastructure: str, target: Target) -> None:
    click.echo(
        f"{infrastructure} is {report.state}. What happened: {target.command(f'logs {infrastructure}')}\n"
        f"Delete it: {target.command(f'destroy {infrastructure}')}",
        err=True,
    )


def state_record(infrastructure: str, report: StateReport) -> dict[str, object]:
    """An infrastructure with its states, as it is printed in JSON."""
    return {
        "id": infrastructure,
        "state": report.state,
        "machines": {str(number): state for number, state in report.vm_states.items()},
    }


@click.command()
@click.argument("infrastructure", metavar="ID")
@click.option(
    "--force", is_flag=True, help="Give up what cannot be deleted; the service keeps a list of what may be left."
)
@json_option
@target_options
def destroy(infrastructure: str, force: bool, as_json: bool, target: Target) -> None:
    """Delete an infrastructure, and wait until its clouds confirm that everything is gone."""
    with target.open() as client:
        try:
            watching.destroy(client, infrastructure, force=force)
        except KeyboardInterrupt:
            when = "with the next command with --local" if target.local else "without this command"
            click.echo(f"Interrupted. The deletion of {plain(infrastructure)} goes on {when}.", err=True)
            raise
    if as_json:
        click.echo(json.dumps({"id": infrastructure, "deleted": True}))
    else:
        click.echo(f"{infrastructure} is deleted.", err=True)
