"""Hooks: what wants to act around launch and contextualization. Called through pluggy.

Every specification is one of three sorts, in `SORTS`:

* *observer*: told after the fact; an error is logged and changes nothing;
* *veto*: asked before; raising `imframework.api.errors.Vetoed` (or anything else) refuses the operation;
* *first-result*: asked in turn until one answers.

Implementations are plain functions or methods marked with `hookimpl`. They run in a worker thread with a deadline,
never on the event loop, and get immutable values without secrets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pluggy

from imframework.api.model import JSON, Event, VMState
from imframework.api.plugin import Plugin

PROJECT = "imframework"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class InfrastructureSummary:
    """What a hook may know of an infrastructure."""

    id: str
    name: str
    owners: tuple[str, ...]
    state: VMState
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MachineSummary:
    """What a hook may know of a machine."""

    number: int
    system: str
    cloud: str
    state: VMState
    image: str = ""
    flavour: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)


class HookPlugin(Plugin):
    """Base of hook plugins: a class whose methods are marked with `hookimpl`."""

    def __init__(self, options: Mapping[str, object]) -> None:
        """`options` are this plugin's options of im.cfg, by name, typed."""
        self.options = options

    def close(self) -> None:
        """Called at shutdown: give back what is held; returns within seconds."""


class HookSpecs:
    """The hooks that exist. `docs/reference/hooks.md` is checked against this class."""

    @hookspec
    def imframework_approve_plan(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary]
    ) -> None:
        """Veto: the machines in `machines` are about to be made, or altered; nothing has been done yet."""

    @hookspec
    def imframework_before_launch(self, infrastructure: InfrastructureSummary, machine: MachineSummary) -> None:
        """Observer: the cloud is about to be asked for a machine."""

    @hookspec
    def imframework_after_launch(
        self, infrastructure: InfrastructureSummary, machine: MachineSummary, error: str
    ) -> None:
        """Observer: the machine exists in its cloud (`error` empty), or its launch was given up."""

    @hookspec
    def imframework_before_contextualize(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary]
    ) -> None:
        """Veto: these machines are about to be configured. A refusal makes them unconfigured."""

    @hookspec
    def imframework_after_contextualize(
        self, infrastructure: InfrastructureSummary, machines: Sequence[MachineSummary], error: str
    ) -> None:
        """Observer: configuration ended, well (`error` empty) or not."""

    @hookspec
    def imframework_event(self, infrastructure: InfrastructureSummary, event: Event) -> None:
        """Observer: something happened, in the order of `event.sequence`; every change of state is one."""


#: Sort of each hook: ``observer``, ``veto`` or ``first-result``.
SORTS: Mapping[str, str] = {
    "imframework_approve_plan": "veto",
    "imframework_before_launch": "observer",
    "imframework_after_launch": "observer",
    "imframework_before_contextualize": "veto",
    "imframework_after_contextualize": "observer",
    "imframework_event": "observer",
}
