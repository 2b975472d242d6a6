"""A policy as code: what users may ask for, and a record of what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from imframework.api.errors import Vetoed
from imframework.api.hooks import HookPlugin, InfrastructureSummary, MachineSummary, hookimpl
from imframework.api.model import JSON, Event

from imframework_example import declarations
from imframework_example.audit import AuditFile


class Policy(HookPlugin):
    """Refuses plans with too many machines, and keeps the audit file.

    The two vetoes also record what they allow. If they cannot, the error refuses it: that is how the host takes any
    error of a veto. Errors of the observers are logged by the host.
    """

    info = declarations.policy.info

    def __init__(self, options: Mapping[str, object]) -> None:
        """Raises `ConfigurationError` if the audit file cannot be written."""
        super().__init__(options)
        self._most = cast(int, options["EXAMPLE_MAX_MACHINES"])
        path = cast("Path | None", options["EXAMPLE_AUDIT_FILE"])
        self._audit = AuditFile(path) if path else None

    # --- vetoes --------------------------------------------------------------------------------------------

    @hookimpl
    def imframework_approve_plan(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary]
    ) -> None:
        """Not more machines in one request than EXAMPLE_MAX_MACHINES."""
        allowed = len(machines) <= self._most
        self._record("plan allowed" if allowed else "plan refused", infrastructure, machines=_named(machines))
        if not allowed:
            raise Vetoed(
                f"At most {self._most} machines may be made by one request here, and {len(machines)} are asked for."
            )

    @hookimpl
    def imframework_before_contextualize(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary]
    ) -> None:
        """Everything may be configured."""
        self._record("configuration allowed", infrastructure, machines=_named(machines))

    # --- observers -----------------------------------------------------------------------------------------

    @hookimpl
    def imframework_before_launch(self, infrastructure: InfrastructureSummary, machine: MachineSummary) -> None:
        """Record where the machine is going to be."""
        self._record("launch", infrastructure, machine=machine.number, cloud=machine.cloud, flavour=machine.flavour)

    @hookimpl
    def imframework_after_launch(
        self, infrastructure: InfrastructureSummary, machine: MachineSummary, error: str
    ) -> None:
        """Record how the launch ended."""
        self._record("launched", infrastructure, machine=machine.number, error=error)

    @hookimpl
    def imframework_after_contextualize(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary], error: str
    ) -> None:
        """Record how the configuration ended."""
        self._record("configured", infrastructure, machines=_named(machines), error=error)

    @hookimpl
    def imframework_event(self, infrastructure: InfrastructureSummary, event: Event) -> None:
        """Record the event, by its number: those of one infrastructure have no gaps."""
        self._record("event", infrastructure, sequence=event.sequence, type=event.type, data=event.data)

    def _record(self, what: str, infrastructure: InfrastructureSummary, **details: JSON) -> None:
        if self._audit:
            self._audit.write(what, infrastructure, **details)


def _named(machines: Sequence[MachineSummary]) -> list[JSON]:
    return [{"number": machine.number, "system": machine.system, "cloud": machine.cloud} for machine in machines]
