"""The command line: `imframework COMMAND`. Commands live in modules of their own, imported when they are used.

Exit codes, for all commands:

====  ================================================================================================================
   0  done. `deploy`, `apply`, `update` with --watch: all machines are configured. `destroy`: everything is gone
   1  the operation failed: the service refuses it or knows no such thing, or what was checked has problems.
      With --watch: the infrastructure ends up unconfigured, failed, stopped, or deleted. `plan`, `update`: some machine
      cannot be realised. `destroy`: something could not be deleted. (`ssh` ends as what runs on the machine)
   2  nothing was tried, or nobody answered: wrong usage, a parameter without a value, a wrong authorization file or
      configuration; the service or its database cannot be reached
 130  interrupted (Ctrl-C). What the service was told to do goes on
====  ================================================================================================================
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

import click

from imframework.api.errors import ConfigurationError, IMError, StorageError
from imframework.api.version import __version__
from imframework.cli.client import Unreachable

#: Command to module and attribute. Importing them all would make every command as slow as the slowest.
COMMANDS: Mapping[str, str] = {
    "serve": "imframework.cli.serve:serve",
    "deploy": "imframework.cli.deploy:deploy",
    "validate": "imframework.cli.validate:validate",
    "plan": "imframework.cli.planning:plan",
    "apply": "imframework.cli.planning:apply",
    "update": "imframework.cli.planning:update",
    "list": "imframework.cli.inspect:list_infrastructures",
    "show": "imframework.cli.inspect:show",
    "outputs": "imframework.cli.inspect:outputs",
    "logs": "imframework.cli.inspect:logs",
    "ssh": "imframework.cli.ssh:ssh",
    "events": "imframework.cli.account:events",
    "start": "imframework.cli.operate:start",
    "stop": "imframework.cli.operate:stop",
    "reboot": "imframework.cli.operate:reboot",
    "alter": "imframework.cli.operate:alter",
    "remove": "imframework.cli.operate:remove",
    "reconfigure": "imframework.cli.operate:reconfigure",
    "destroy": "imframework.cli.deploy:destroy",
    "owners": "imframework.cli.account:owners",
    "export": "imframework.cli.account:export",
    "import": "imframework.cli.account:import_",
    "images": "imframework.cli.account:images",
    "quotas": "imframework.cli.account:quotas",
    "stats": "imframework.cli.account:stats",
    "plugins": "imframework.cli.plugins:plugins",
    "config": "imframework.cli.config:config",
}


class Commands(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give one command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imframework")
def cli() -> None:
    """Deploy and configure virtual infrastructures on any cloud."""


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ConfigurationError, StorageError, Unreachable) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except IMError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
