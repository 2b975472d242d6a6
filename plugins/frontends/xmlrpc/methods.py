"""The methods of the API: their parameters in order, and what they do.

A method is a coroutine of a `Context` and its parameters but for the credentials, which are in the context. Its
docstring is what `system.methodHelp` tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from imframework.api.calls import Backend
from imframework.api.service import Caller, Document, Language, Service
from imframework_plugins.frontends.xmlrpc.parameters import (
    AUTH,
    CHANGED_RADL,
    DISK,
    FILTERS,
    INFRASTRUCTURE,
    MACHINE,
    MACHINES,
    OWNERS,
    PATTERN,
    RADL,
    SOME_MACHINES,
    Parameter,
    day,
    flag,
    text,
)
from imframework_plugins.frontends.xmlrpc.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """Who calls, and what is called."""

    backend: Backend[Settings]
    caller: Caller

    @property
    def service(self) -> Service:
        """The operations."""
        return self.backend.service


@dataclass(frozen=True, slots=True)
class Method:
    """A method that clients can call."""

    parameters: tuple[Parameter, ...]
    run: Callable[..., Awaitable[object]]

    @property
    def fewest(self) -> int:
        """How many parameters there must be at least."""
        return sum(not parameter.optional for parameter in self.parameters)

    @property
    def help(self) -> str:
        """What it does."""
        return self.run.__doc__ or ""

    @property
    def signatures(self) -> list[list[str]]:
        """The types of the answer and of the parameters: without the optional ones, with the first, and so on."""
        types = ["array", *(parameter.type for parameter in self.parameters)]
        return [types[: count + 1] for count in range(self.fewest, len(self.parameters) + 1)]


METHODS: Final[dict[str, Method]] = {}


def _method(
    *parameters: Parameter, names: tuple[str, ...]
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """Enter a coroutine into `METHODS` under each of its names."""

    def enter(run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        METHODS.update(dict.fromkeys(names, Method(parameters, run)))
        return run

    return enter


# --- infrastructures -------------------------------------------------------------------------------------------


@_method(AUTH, PATTERN, names=("GetInfrastructureList",))
async def list_infrastructures(context: Context, pattern: str | None) -> object:
    """Ids of the caller's infrastructures, of those whose document a regular expression is found in."""
    return list(await context.service.list(context.caller, pattern))


@_method(RADL, AUTH, flag("async"), names=("CreateInfrastructure",))
async def create(context: Context, document: Document, asynchronous: bool) -> object:
    """Make an infrastructure; its id."""
    calls = context.backend.unhurried if asynchronous else context.backend.changes
    return await calls.run(context.service.create, context.caller, document, asynchronous=asynchronous)


@_method(INFRASTRUCTURE, AUTH, names=("GetInfrastructureInfo",))
async def list_machines(context: Context, infrastructure: str) -> object:
    """Numbers of the machines of an infrastructure, as text."""
    return [str(number) for number in await context.service.machines(context.caller, infrastructure)]


@_method(INFRASTRUCTURE, AUTH, flag("headeronly"), names=("GetInfrastructureContMsg",))
async def contmsg(context: Context, infrastructure: str, header_only: bool) -> object:
    """The configuration log of an infrastructure, whole or without the blocks of the machines."""
    return await context.service.contmsg(context.caller, infrastructure, header_only=header_only)


@_method(INFRASTRUCTURE, AUTH, names=("GetInfrastructureState",))
async def state(context: Context, infrastructure: str) -> object:
    """The state of an infrastructure (`state`), and of its machines by number (`vm_states`)."""
    report = await context.service.state(context.caller, infrastructure)
    return {"state": report.state, "vm_states": {str(number): each for number, each in report.vm_states.items()}}


@_method(INFRASTRUCTURE, AUTH, names=("GetInfrastructureRADL",))
async def radl(context: Context, infrastructure: str) -> object:
    """The stored document of an infrastructure, as RADL."""
    return await context.service.radl(context.caller, infrastructure)


@_method(INFRASTRUCTURE, AUTH, flag("force"), flag("async"), names=("DestroyInfrastructure",))
async def destroy(context: Context, infrastructure: str, force: bool, asynchronous: bool) -> object:
    """Delete an infrastructure and all that belongs to it."""
    calls = context.backend.unhurried if asynchronous else context.backend.deletions
    await calls.run(context.service.destroy, context.caller, infrastructure, force=force, asynchronous=asynchronous)
    return ""


@_method(INFRASTRUCTURE, RADL, AUTH, flag("context", True), names=("AddResource",))
async def add(context: Context, infrastructure: str, document: Document, configure: bool) -> object:
    """Add machines to an infrastructure; their numbers."""
    return list(
        await context.backend.changes.run(
            context.service.add, context.caller, infrastructure, document, context=configure
        )
    )


@_method(INFRASTRUCTURE, MACHINES, AUTH, flag("context", True), names=("RemoveResource",))
async def remove(context: Context, infrastructure: str, machines: list[int], configure: bool) -> object:
    """Remove machines from an infrastructure; how many."""
    return await context.backend.deletions.run(
        context.service.remove, context.caller, infrastructure, machines, context=configure
    )


@_method(INFRASTRUCTURE, AUTH, names=("StopInfrastructure",))
async def stop(context: Context, infrastructure: str) -> object:
    """Stop all machines of an infrastructure."""
    await context.backend.changes.run(context.service.stop, context.caller, infrastructure)
    return ""


@_method(INFRASTRUCTURE, AUTH, names=("StartInfrastructure",))
async def start(context: Context, infrastructure: str) -> object:
    """Start all machines of an infrastructure."""
    await context.backend.changes.run(context.service.start, context.caller, infrastructure)
    return ""


@_method(INFRASTRUCTURE, CHANGED_RADL, AUTH, SOME_MACHINES, names=("Reconfigure",))
async def reconfigure(
    context: Context, infrastructure: str, document: Document | None, machines: list[int] | None
) -> object:
    """Configure all machines of an infrastructure, or some, again, with changed recipes if a document is given."""
    await context.backend.changes.run(context.service.reconfigure, context.caller, infrastructure, document, machines)
    return ""


@_method(INFRASTRUCTURE, flag("delete", optional=False), AUTH, names=("ExportInfrastructure",))
async def export_document(context: Context, infrastructure: str, delete: bool) -> object:
    """An infrastructure as a JSON document; with `delete` it is forgotten here, while its machines go on."""
    return await context.backend.changes.run(
        context.service.export_document, context.caller, infrastructure, delete=delete
    )


@_method(text("document"), AUTH, names=("ImportInfrastructure",))
async def import_document(context: Context, document: str) -> object:
    """Take over an exported infrastructure; its id."""
    return await context.backend.changes.run(context.service.import_document, context.caller, document)


@_method(INFRASTRUCTURE, AUTH, names=("GetInfrastructureOwners",))
async def owners(context: Context, infrastructure: str) -> object:
    """Names of the owners of an infrastructure."""
    return list(await context.service.owners(context.caller, infrastructure))


@_method(
    INFRASTRUCTURE,
    OWNERS,
    flag("overwrite", optional=False),
    AUTH,
    names=("ChangeInfrastructureAuth",),
)
async def change_owners(context: Context, infrastructure: str, new: list[dict[str, str]], overwrite: bool) -> object:
    """Add owners to an infrastructure, or have them instead of the present ones."""
    for owner in new:
        await context.service.change_owners(context.caller, infrastructure, owner, overwrite=overwrite)
        overwrite = False
    return ""


@_method(RADL, AUTH, names=("EstimateResources", "EstimateResouces"))
async def estimate(context: Context, document: Document) -> object:
    """What an infrastructure would use, by the id of the cloud; nothing is made."""
    return await context.backend.changes.run(context.service.estimate, context.caller, document)


# --- machines --------------------------------------------------------------------------------------------------


@_method(INFRASTRUCTURE, MACHINE, AUTH, names=("GetVMInfo",))
async def machine_info(context: Context, infrastructure: str, machine: int) -> object:
    """A machine with its present values, as RADL (as RADL JSON if the option VMINFO_JSON is set)."""
    language = Language.RADL_JSON if context.backend.settings.json_machines else Language.RADL
    return await context.service.vm_info(context.caller, infrastructure, machine, language)


@_method(INFRASTRUCTURE, MACHINE, text("name"), AUTH, names=("GetVMProperty",))
async def machine_property(context: Context, infrastructure: str, machine: int, name: str) -> object:
    """One feature of a machine: text or a number."""
    return await context.service.vm_property(context.caller, infrastructure, machine, name)


@_method(INFRASTRUCTURE, MACHINE, AUTH, names=("GetVMContMsg",))
async def machine_contmsg(context: Context, infrastructure: str, machine: int) -> object:
    """The configuration log of a machine."""
    return await context.service.contmsg(context.caller, infrastructure, machine)


@_method(INFRASTRUCTURE, MACHINE, RADL, AUTH, names=("AlterVM",))
async def alter(context: Context, infrastructure: str, machine: int, document: Document) -> object:
    """Change a machine to what its system in a document says; the changed machine as RADL."""
    await context.backend.changes.run(context.service.alter, context.caller, infrastructure, machine, document)
    return await context.service.vm_info(context.caller, infrastructure, machine, Language.RADL)


@_method(INFRASTRUCTURE, MACHINE, AUTH, names=("StopVM",))
async def stop_machine(context: Context, infrastructure: str, machine: int) -> object:
    """Stop a machine."""
    await context.backend.changes.run(context.service.stop, context.caller, infrastructure, machine)
    return ""


@_method(INFRASTRUCTURE, MACHINE, AUTH, names=("StartVM",))
async def start_machine(context: Context, infrastructure: str, machine: int) -> object:
    """Start a machine."""
    await context.backend.changes.run(context.service.start, context.caller, infrastructure, machine)
    return ""


@_method(INFRASTRUCTURE, MACHINE, AUTH, names=("RebootVM",))
async def reboot_machine(context: Context, infrastructure: str, machine: int) -> object:
    """Reboot a machine."""
    await context.backend.changes.run(context.service.reboot, context.caller, infrastructure, machine)
    return ""


@_method(
    INFRASTRUCTURE,
    MACHINE,
    DISK,
    text("image_name"),
    flag("auto_delete", optional=False),
    AUTH,
    names=("CreateDiskSnapshot",),
)
async def snapshot(
    context: Context, infrastructure: str, machine: int, disk: int, image_name: str, auto_delete: bool
) -> object:
    """Make an image of a disk of a machine; its URL."""
    return await context.backend.changes.run(
        context.service.snapshot, context.caller, infrastructure, machine, disk, image_name, auto_delete=auto_delete
    )


# --- clouds and the service ------------------------------------------------------------------------------------


@_method(text("cloudId"), AUTH, FILTERS, names=("GetCloudImageList",))
async def images(context: Context, cloud: str, filters: dict[str, str]) -> object:
    """The images of a cloud, by the id of its credential: `uri` and `name` of each."""
    found = await context.backend.changes.run(context.service.images, context.caller, cloud, filters)
    return [{"uri": image.uri, "name": image.name} for image in found]


@_method(text("cloudId"), AUTH, names=("GetCloudQuotas",))
async def quotas(context: Context, cloud: str) -> object:
    """What an account has `used` at a cloud and its `limit` (-1: none), by the id of its credential."""
    found = await context.backend.changes.run(context.service.quotas, context.caller, cloud)
    return {name: {"used": quota.used, "limit": quota.limit} for name, quota in found.items()}


@_method(day("init_date"), day("end_date"), AUTH, names=("GetStats", "GetStat"))
async def stats(context: Context, since: date | None, until: date | None) -> object:
    """A record for each infrastructure of the caller's that was created from a day on and before another."""
    return list(await context.service.stats(context.caller, since, until))
