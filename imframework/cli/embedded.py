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
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from imframework.api.errors import ConfigurationError, InternalError
from imframework.api.model import JSON, Event, Image, Quota
from imframework.api.service import Caller, Document, Language, Outputs, Service, StateReport
from imframework.cli.client import Unreachable
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

#: Seconds that a question may take: it is answered from memory or one row of the database, or waits for clouds.
PATIENCE = 60.0
WORK_PATIENCE = 900.0


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

    def _await(self, question: Coroutine[Any, Any, T], patience: float | None = PATIENCE) -> T:
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return answer.result(patience)
        except TimeoutError:
            raise InternalError(f"The embedded service did not answer within {patience:g} s") from None
        finally:
            answer.cancel()  # if it is still being asked: it took too long, or the command is interrupted

    # --- the operations ------------------------------------------------------------------------------------

    def list(self, pattern: str | None = None) -> Sequence[str]:
        """See `imframework.client.Client.list`."""
        return self._await(self._service.list(self._caller, pattern))

    def create(self, document: Document, *, asynchronous: bool = False) -> str:
        """See `imframework.client.Client.create`."""
        return self._await(self._service.create(self._caller, document, asynchronous=asynchronous), WORK_PATIENCE)

    def plan(self, document: Document, infrastructure: str | None = None) -> JSON:
        """See `imframework.client.Client.plan`."""
        return self._await(self._service.plan(self._caller, document, infrastructure), WORK_PATIENCE)

    def apply(self, plan: str, *, asynchronous: bool = False) -> str:
        """See `imframework.client.Client.apply`."""
        return self._await(self._service.apply(self._caller, plan, asynchronous=asynchronous), WORK_PATIENCE)

    def destroy(self, infrastructure: str, *, force: bool = False, asynchronous: bool = False) -> None:
        """See `imframework.client.Client.destroy`."""
        deletion = self._service.destroy(self._caller, infrastructure, force=force, asynchronous=asynchronous)
        return self._await(deletion, WORK_PATIENCE)

    def remove(self, infrastructure: str, vms: Sequence[int], *, context: bool = True) -> int:
        """See `imframework.client.Client.remove`."""
        return self._await(self._service.remove(self._caller, infrastructure, vms, context=context), WORK_PATIENCE)

    def reconfigure(
        self, infrastructure: str, document: Document | None = None, vms: Sequence[int] | None = None
    ) -> None:
        """See `imframework.client.Client.reconfigure`."""
        return self._await(self._service.reconfigure(self._caller, infrastructure, document, vms), WORK_PATIENCE)

    def start(self, infrastructure: str, vm: int | None = None) -> None:
        """See `imframework.client.Client.start`."""
        return self._await(self._service.start(self._caller, infrastructure, vm), WORK_PATIENCE)

    def stop(self, infrastructure: str, vm: int | None = None) -> None:
        """See `imframework.client.Client.stop`."""
        return self._await(self._service.stop(self._caller, infrastructure, vm), WORK_PATIENCE)

    def reboot(self, infrastructure: str, vm: int) -> None:
        """See `imframework.client.Client.reboot`."""
        return self._await(self._service.reboot(self._caller, infrastructure, vm), WORK_PATIENCE)

    def alter(self, infrastructure: str, vm: int, document: Document) -> None:
        """See `imframework.client.Client.alter`."""
        return self._await(self._service.alter(self._caller, infrastructure, vm, document), WORK_PATIENCE)

    def state(self, infrastructure: str) -> StateReport:
        """See `imframework.client.Client.state`."""
        return self._await(self._state(infrastructure))

    async def _state(self, infrastructure: str) -> StateReport:
        """A copy, made on the loop: the service goes on changing its own."""
        report = await self._service.state(self._caller, infrastructure)
        return StateReport(str(report.state), {vm: str(report.vm_states[vm]) for vm in sorted(report.vm_states)})

    def machines(self, infrastructure: str) -> Sequence[int]:
        """See `imframework.client.Client.machines`."""
        return self._await(self._service.machines(self._caller, infrastructure))

    def info(self, infrastructure: str, vm: int) -> Sequence[Mapping[str, JSON]]:
        """See `imframework.client.Client.info`."""
        text = self._await(self._service.vm_info(self._caller, infrastructure, vm, Language.RADL_JSON))
        found: Sequence[Mapping[str, JSON]] = json.loads(text)
        return found

    def contmsg(self, infrastructure: str, vm: int | None = None) -> str:
        """See `imframework.client.Client.contmsg`."""
        return self._await(self._service.contmsg(self._caller, infrastructure, vm))

    def outputs(self, infrastructure: str) -> Outputs:
        """See `imframework.client.Client.outputs`."""
        return self._await(self._service.outputs(self._caller, infrastructure))

    def export_document(self, infrastructure: str, *, delete: bool = False) -> str:
        """See `imframework.client.Client.export_document`."""
        return self._await(self._service.export_document(self._caller, infrastructure, delete=delete))

    def import_document(self, text: str) -> str:
        """See `imframework.client.Client.import_document`."""
        return self._await(self._service.import_document(self._caller, text))

    def owners(self, infrastructure: str) -> Sequence[str]:
        """See `imframework.client.Client.owners`."""
        return self._await(self._service.owners(self._caller, infrastructure))

    def change_owners(self, infrastructure: str, owner: Mapping[str, str], *, overwrite: bool = False) -> None:
        """See `imframework.client.Client.change_owners`."""
        return self._await(self._service.change_owners(self._caller, infrastructure, owner, overwrite=overwrite))

    def images(self, cloud: str, filters: Mapping[str, str] | None = None) -> Sequence[Image]:
        """See `imframework.client.Client.images`."""
        return self._await(self._service.images(self._caller, cloud, filters or {}), WORK_PATIENCE)

    def quotas(self, cloud: str) -> Mapping[str, Quota]:
        """See `imframework.client.Client.quotas`."""
        return self._await(self._service.quotas(self._caller, cloud), WORK_PATIENCE)

    def stats(self, since: date | None = None, until: date | None = None) -> Sequence[Mapping[str, JSON]]:
        """See `imframework.client.Client.stats`."""
        return self._await(self._service.stats(self._caller, since, until))

    def events(self, infrastructure: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """See `imframework.client.Client.events`."""
        return self._await(self._service.events(self._caller, infrastructure, after, limit))

    def account_events(self, after: int = 0) -> Sequence[Event]:
        """See `imframework.client.Client.account_events`."""
        return self._await(self._service.account_events(self._caller, after))

    def follow(
        self, infrastructure: str | None = None, after: int = 0, *, lost: Callable[[Unreachable], None] | None = None
    ) -> Iterator[Event]:
        """See `imframework.client.Client.follow`; nothing is ever lost here."""
        events = self._service.follow(self._caller, infrastructure, after)

        async def following() -> Event | None:
            return await anext(events, None)

        while (event := self._await(following(), None)) is not None:
            yield event
