"""A service in this very process, for the person who runs the command: what ``--local`` stands for.

The service runs on an event loop in a thread of its own while the command lasts. Its state is on disk, under
``$XDG_STATE_HOME/imframework`` (or ``~/.local/state/imframework``): machines outlive the command, and what was begun
goes on with the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from imframework.api.errors import ConfigurationError, InternalError
from imframework.api.model import JSON, Event
from imframework.api.service import Caller, Document, Language, Outputs, Service, StateReport
from imframework.cli.client import EVENTS_PAGE
from imframework.registry import Choice, Registry
from imframework.server.host import running
from imframework.settings import Settings, from_values
from imframework.settings.log_setup import set_up_logging

T = TypeVar("T")

#: The person at the keyboard. There is nobody to be told apart from, so the name and password are nothing to hide.
LOCAL_USER: Sequence[Mapping[str, str]] = (
    {"type": "InfrastructureManager", "username": "local", "password": "local"},
    {"type": "Local", "id": "local"},
    {"type": "Dummy", "id": "dummy"},
)

#: Seconds that a question may take. They are answered from memory or one row of the database, but for a plan.
PATIENCE = 60.0
PLAN_PATIENCE = 300.0


def state_directory() -> Path:
    """Where the embedded service keeps everything."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base).absolute() / "imframework"


def settings_for(directory: Path, registry: Registry, artifacts: Path | None = None) -> Settings:
    """The settings of an embedded service that keeps everything in a directory, with artifacts from another."""
    return from_values(
        {
            "STATE_DIR": directory / "state",
            "DATA_DB": f"sqlite:///{directory / 'infrastructures.db'}",
            "LOG_FILE": directory / "imframework.log",
            "CONNECTORS": "local, dummy",
            "LOCAL_DIR": directory / "local",
            "DUMMY_FILE": directory / "dummy.db",
            "MAX_SIMULTANEOUS_LAUNCHES": 5,
            **({"TOSCA_ARTIFACTS_DIR": artifacts.absolute()} if artifacts is not None else {}),
        },
        registry.options(),
    )


class EmbeddedClient:
    """A `Client` of a service that runs as long as this context lasts."""

    def __init__(self, directory: Path | None = None, *, artifacts: Path | None = None) -> None:
        """`artifacts` is the folder with the files that TOSCA documents name by relative paths."""
        self._directory = directory or state_directory()
        self._artifacts = artifacts
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: Future[tuple[Service, Caller]] = Future()
        self._thread = threading.Thread(target=self._run, name="embedded-service", daemon=True)

    def __enter__(self) -> EmbeddedClient:
        """Start the service.

        Raises:
            ConfigurationError: it cannot be started; another command may be running on the same state.
            StorageError: its database cannot be opened.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{self._directory} cannot be made: {error.strerror}") from None
        self._thread.start()
        try:
            self._service, self._caller = self._ready.result()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the service. What it was doing is on record and goes on at its next start."""
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                if self._ready.done():
                    raise
                self._ready.set_exception(error)  # raised where the service was asked for

    async def _serve(self) -> None:
        registry = Registry.discover()
        settings = settings_for(self._directory, registry, self._artifacts)
        registry.choose(Choice.of_options(dict(settings.sections["im"])))
        set_up_logging(settings, system_directory=self._directory)
        async with running(settings, registry, embedded=True) as host:
            self._ready.set_result((host.service, await host.service.authenticate(LOCAL_USER)))
            await self._stop.wait()

    def _await(self, question: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return answer.result(patience)
        except TimeoutError:
            answer.cancel()
            raise InternalError(f"The embedded service did not answer within {patience:g} s") from None

    # --- the operations ------------------------------------------------------------------------------------

    def plan(self, document: Document, infrastructure: str | None = None) -> JSON:
        """See `Client.plan`."""
        return self._await(self._service.plan(self._caller, document, infrastructure), PLAN_PATIENCE)

    def apply(self, plan: str) -> str:
        """See `Client.apply`."""
        return self._await(self._service.apply(self._caller, plan, asynchronous=True))

    def outputs(self, infrastructure: str) -> Outputs:
        """See `Client.outputs`."""
        return self._await(self._service.outputs(self._caller, infrastructure))

    def create(self, document: Document) -> str:
        """See `Client.create`."""
        return self._await(self._service.create(self._caller, document, asynchronous=True))

    def list(self) -> Sequence[str]:
        """See `Client.list`."""
        return self._await(self._service.list(self._caller))

    def state(self, infrastructure: str) -> StateReport:
        """See `Client.state`."""
        return self._await(self._state(infrastructure))

    async def _state(self, infrastructure: str) -> StateReport:
        """A copy, made on the loop: the service goes on changing its own."""
        report = await self._service.state(self._caller, infrastructure)
        return StateReport(str(report.state), {vm: str(report.vm_states[vm]) for vm in sorted(report.vm_states)})

    def machines(self, infrastructure: str) -> Sequence[int]:
        """See `Client.machines`."""
        return self._await(self._service.machines(self._caller, infrastructure))

    def info(self, infrastructure: str, vm: int) -> Sequence[Mapping[str, JSON]]:
        """See `Client.info`."""
        text = self._await(self._service.vm_info(self._caller, infrastructure, vm, Language.RADL_JSON))
        found: Sequence[Mapping[str, JSON]] = json.loads(text)
        return found

    def contmsg(self, infrastructure: str, vm: int | None = None) -> str:
        """See `Client.contmsg`."""
        return self._await(self._service.contmsg(self._caller, infrastructure, vm))

    def events(self, infrastructure: str, after: int = 0) -> Sequence[Event]:
        """See `Client.events`."""
        return self._await(self._service.events(self._caller, infrastructure, after, EVENTS_PAGE))

    def destroy(self, infrastructure: str, *, force: bool = False) -> None:
        """See `Client.destroy`."""
        self._await(self._service.destroy(self._caller, infrastructure, force=force, asynchronous=True))
