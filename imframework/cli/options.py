"""Options that several commands have: which service, as whom, and the values for a document's parameters."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from imframework.api.service import Document
from imframework.cli.client import Client
from imframework.cli.documents import parse_parameters, prompt, read_document

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "http://127.0.0.1:8800"
_PATH = click.Path(path_type=Path, dir_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
watch_option = click.option(
    "--watch", is_flag=True, help="Show progress until all machines are configured; --local does so in any case."
)


@dataclass(frozen=True, slots=True)
class Target:
    """The service that a command is for."""

    url: str
    auth_file: Path | None
    local: bool
    artifacts: Path | None = None
    ca_file: Path | None = None
    certificate: Path | None = None

    @contextmanager
    def open(self) -> Iterator[Client]:
        """A client of it.

        Raises:
            click.UsageError: nobody said who asks.
            ConfigurationError: a wrong URL or authorization file, or an embedded service that cannot be started.
        """
        if self.local:
            from imframework.cli.embedded import EmbeddedClient

            with EmbeddedClient(artifacts=self.artifacts) as client:
                yield client
            return
        if self.auth_file is None:
            raise click.UsageError(
                "Say who you are and which clouds to use: --auth-file FILE or IMFRAMEWORK_AUTH_FILE. "
                "(With --local no service and no authorization file is needed.)"
            )
        from imframework.cli.auth_file import authorization
        from imframework.client import Client as RestClient

        yield RestClient(self.url, authorization(self.auth_file), ca_file=self.ca_file, certificate=self.certificate)

    def command(self, text: str) -> str:
        """A command line for this service, to be shown to the person."""
        return f"imframework {text}{' --local' if self.local else ''}"


def target_options(command: F) -> F:
    """Add the options that say which service, and as whom, and hand them over as `target`."""

    @click.option(
        "--url", envvar="IMFRAMEWORK_URL", default=DEFAULT_URL, show_default=True, show_envvar=True, help="The service."
    )
    @click.option(
        "--auth-file",
        envvar="IMFRAMEWORK_AUTH_FILE",
        show_envvar=True,
        type=_PATH,
        help="Who you are and your cloud accounts, as lines or JSON; may use file(…) and command(…).",
    )
    @click.option(
        "--ca-file",
        envvar="IMFRAMEWORK_CA_FILE",
        show_envvar=True,
        type=_PATH,
        help="Authorities (PEM) that vouch for the service, instead of those of the system.",
    )
    @click.option(
        "--certificate",
        envvar="IMFRAMEWORK_CERTIFICATE",
        show_envvar=True,
        type=_PATH,
        help="Your certificate and its key (PEM), for a service that asks for one.",
    )
    @click.option(
        "--local", is_flag=True, help="Use no service: run one in this command, for machines on this computer."
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapper(
        context: click.Context,
        /,
        *args: Any,
        url: str,
        auth_file: Path | None,
        local: bool,
        ca_file: Path | None,
        certificate: Path | None,
        artifacts: Path | None = None,
        **kwargs: Any,
    ) -> Any:
        if local:
            for option in ("--url", "--auth-file", "--ca-file", "--certificate"):
                parameter = option.removeprefix("--").replace("-", "_")
                if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
                    raise click.UsageError(f"--local uses no service elsewhere: leave out {option}.")
        target = Target(url, auth_file, local, artifacts, ca_file, certificate)
        return command(*args, target=target, **kwargs)

    return wrapper  # type: ignore[return-value]


def document_arguments(command: F) -> F:
    """Add FILE, --param and --artifacts, and hand over the `document` with its parameters filled in."""

    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--param",
        "parameters",
        metavar="NAME=VALUE",
        multiple=True,
        help="A value for @input.NAME@ in the document, asked for on a terminal; in TOSCA, for an input.",
    )
    @click.option(
        "--artifacts",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="With --local: where the files are that a TOSCA document names by relative paths; by default in "
        "the folder 'artifacts' beside FILE. (A service looks in its own: TOSCA_ARTIFACTS_DIR.)",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any, file: Path, parameters: tuple[str, ...], artifacts: Path | None, local: bool, **kwargs: Any
    ) -> Any:
        if artifacts is not None and not local:
            raise click.UsageError("--artifacts is for --local: a service has its own (TOSCA_ARTIFACTS_DIR).")
        ask = prompt if sys.stdin.isatty() else None
        document: Document = read_document(file, parse_parameters(parameters), ask)
        return command(*args, document=document, artifacts=artifacts or artifacts_beside(file), local=local, **kwargs)

    return wrapper  # type: ignore[return-value]


def artifacts_beside(file: Path) -> Path | None:
    """The folder with the artifacts of a document, where that is usual; None if there is none."""
    folder = file.absolute().parent / "artifacts"
    return folder if folder.is_dir() else None
