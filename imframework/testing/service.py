"""A service in memory, for tests of front ends: it makes nothing, and does what a test tells it.

It is no model of the real one: documents are not read, and machines have no state but ``running``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from imframework.api.errors import Forbidden, NotFound, Problem, Unauthenticated
from imframework.api.model import JSON, AuditRecord, Event, Identity, Image, Quota
from imframework.api.service import Caller, Document, Language, Outputs, PluginReport, Service, StateReport, Template

#: The password of every user.
PASSWORD: Final = "password-4711"


class MemoryService(Service):
    """A service; each operation is described in `imframework.api.service.Service`.

    `calls` has the name of each operation that was asked for, with its arguments. One whose name is in `failures`
    fails with that error; one that a test holds (`hold`) waits until it is released.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.failures: dict[str, Exception] = {}
        #: Numbers of the machines by infrastructure. Ask for ``foreign`` to be refused.
        self.infrastructures: dict[str, list[int]] = {}
        self.properties: dict[str, JSON] = {"state": "running", "cpu.count": 2, "cpu.performance": 1.5}
        self.log = "the log"
        #: Addresses of callers, as they were told to `authenticate`.
        self.addresses: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, int] = {}

    # --- for tests -----------------------------------------------------------------------------------------

    def hold(self, operation: str) -> None:
        """Let an operation wait from now on."""
        self._gates[operation] = asyncio.Event()

    def release(self, operation: str) -> None:
        """Let it go on. Call this on the loop of the front end (`call_soon_threadsafe`)."""
        self._gates.pop(operation).set()

    def waiting(self, operation: str) -> int:
        """How many calls of an operation have been held."""
        return self._waiting.get(operation, 0)

    def asked(self, operation: str) -> list[tuple[Any, ...]]:
        """The arguments of the calls of an operation, the caller left out."""
        return [arguments for name, arguments in self.calls if name == operation]

    async def _did(self, operation: str, *arguments: Any) -> None:
        self.calls.append((operation, arguments))
        if operation in self._gates:
            self._waiting[operation] = self.waiting(operation) + 1
            await self._gates[operation].wait()
        if operation in self.failures:
            raise self.failures[operation]

    def _machines(self, infrastructure: str, vm: int | None = None) -> list[int]:
        if infrastructure == "foreign":
            raise Forbidden("Access to this infrastructure not granted.")
        if infrastructure not in self.infrastructures:
            raise NotFound("Invalid infrastructure ID or access not granted.")
        machines = self.infrastructures[infrastructure]
        if vm is not None and vm not in machines:
            raise NotFound("Invalid VM ID")
        return machines

    # --- the operations ------------------------------------------------------------------------------------

    async def authenticate(self, credentials: str | Sequence[Mapping[str, str]], address: str = "") -> Caller:
        """The user of an InfrastructureManager item with the right password."""
        self.addresses.append(address)
        user, password = _user(credentials)
        if not user:
            raise Unauthenticated("No credentials provided for the InfrastructureManager.")
        if password != PASSWORD:
            raise Unauthenticated("Invalid InfrastructureManager credentials")
        return Caller((Identity(user, user),), frozenset({user}), (), address)

    async def list(self, caller: Caller, pattern: str | None = None) -> Sequence[str]:
        await self._did("list", pattern)
        return [id for id in self.infrastructures if pattern is None or re.search(pattern, id)]

    async def create(
        self, caller: Caller, document: Document, *, asynchronous: bool = False, idempotency_key: str = ""
    ) -> str:
        await self._did("create", document, asynchronous)
        id = f"inf-{len(self.infrastructures)}"
        self.infrastructures[id] = [0, 1]
        return id

    async def machines(self, caller: Caller, infrastructure: str) -> Sequence[int]:
        await self._did("machines", infrastructure)
        return self._machines(infrastructure)

    async def add(
        self, caller: Caller, infrastructure: str, document: Document, *, context: bool = True
    ) -> Sequence[int]:
        await self._did("add", infrastructure, document, context)
        machines = self._machines(infrastructure)
        machines.append(max(machines, default=-1) + 1)
        return machines[-1:]

    async def remove(self, caller: Caller, infrastructure: str, vms: Sequence[int], *, context: bool = True) -> int:
        await self._did("remove", infrastructure, [*vms], context)
        for number in vms:
            self._machines(infrastructure, number).remove(number)
        return len(vms)

    async def reconfigure(
        self, caller: Caller, infrastructure: str, document: Document | None = None, vms: Sequence[int] | None = None
    ) -> None:
        await self._did("reconfigure", infrastructure, document, vms)
        self._machines(infrastructure)

    async def start(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        await self._did("start", infrastructure, vm)
        self._machines(infrastructure, vm)

    async def stop(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        await self._did("stop", infrastructure, vm)
        self._machines(infrastructure, vm)

    async def reboot(self, caller: Caller, infrastructure: str, vm: int) -> None:
        await self._did("reboot", infrastructure, vm)
        self._machines(infrastructure, vm)

    async def destroy(
        self, caller: Caller, infrastructure: str, *, force: bool = False, asynchronous: bool = False
    ) -> None:
        await self._did("destroy", infrastructure, force, asynchronous)
        self._machines(infrastructure)
        del self.infrastructures[infrastructure]

    async def alter(self, caller: Caller, infrastructure: str, vm: int, document: Document) -> None:
        await self._did("alter", infrastructure, vm, document)
        self._machines(infrastructure, vm)

    async def snapshot(
        self, caller: Caller, infrastructure: str, vm: int, disk: int, name: str, *, auto_delete: bool = False
    ) -> str:
        await self._did("snapshot", infrastructure, vm, disk, name, auto_delete)
        self._machines(infrastructure, vm)
        return f"mock0://images/{name}"

    async def owners(self, caller: Caller, infrastructure: str) -> Sequence[str]:
        await self._did("owners", infrastructure)
        self._machines(infrastructure)
        return ["ana"]

    async def change_owners(
        self, caller: Caller, infrastructure: str, owner: Mapping[str, str], *, overwrite: bool = False
    ) -> None:
        await self._did("change_owners", infrastructure, dict(owner), overwrite)
        self._machines(infrastructure)

    async def export_document(self, caller: Caller, infrastructure: str, *, delete: bool = False) -> str:
        await self._did("export_document", infrastructure, delete)
        self._machines(infrastructure)
        if delete:
            del self.infrastructures[infrastructure]
        return f'{{"id":"{infrastructure}"}}'

    async def import_document(self, caller: Caller, text: str) -> str:
        await self._did("import_document", text)
        id = text.rpartition(':"')[2].strip('"}')
        self.infrastructures[id] = [0]
        return id

    async def command(
        self, caller: Caller | None, infrastructure: str, creation: int, step: int, secret: str, base_url: str = ""
    ) -> str:
        await self._did("command", infrastructure, creation, step)
        self._machines(infrastructure)
        return "true\n"

    async def tag(self, caller: Caller, infrastructure: str) -> str:
        await self._did("tag", infrastructure)
        return "-".join(map(str, self._machines(infrastructure)))

    async def images(self, caller: Caller, cloud: str, filters: Mapping[str, str]) -> Sequence[Image]:
        await self._did("images", cloud, dict(filters))
        return [Image("mock0://images/1", "one")]

    async def quotas(self, caller: Caller, cloud: str) -> Mapping[str, Quota]:
        await self._did("quotas", cloud)
        return {"cores": Quota(2, -1)}

    async def stats(
        self, caller: Caller, since: date | None = None, until: date | None = None
    ) -> Sequence[Mapping[str, JSON]]:
        await self._did("stats", since, until)
        return [{"inf_id": id, "vm_count": len(numbers)} for id, numbers in self.infrastructures.items()]

    async def state(self, caller: Caller, infrastructure: str) -> StateReport:
        await self._did("state", infrastructure)
        return StateReport("running", dict.fromkeys(self._machines(infrastructure), "running"))

    async def vm_info(self, caller: Caller, infrastructure: str, vm: int, language: Language) -> str:
        await self._did("vm_info", infrastructure, vm, language)
        self._machines(infrastructure, vm)
        return "[]" if language is Language.RADL_JSON else "system front ()\n"

    async def vm_property(self, caller: Caller, infrastructure: str, vm: int, name: str) -> JSON:
        await self._did("vm_property", infrastructure, vm, name)
        self._machines(infrastructure, vm)
        if name not in self.properties:
            raise NotFound(f"Incorrect property {name} for VM ID {vm}")
        return self.properties[name]

    async def contmsg(
        self, caller: Caller, infrastructure: str, vm: int | None = None, *, header_only: bool = False
    ) -> str:
        await self._did("contmsg", infrastructure, vm, header_only)
        self._machines(infrastructure, vm)
        return self.log

    async def radl(self, caller: Caller, infrastructure: str) -> str:
        await self._did("radl", infrastructure)
        self._machines(infrastructure)
        return "system front ()\n"

    async def events(self, caller: Caller, infrastructure: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        await self._did("events", infrastructure, after, limit)
        self._machines(infrastructure)
        return []

    async def account_events(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        await self._did("account_events", after, limit)
        return []

    async def follow(self, caller: Caller, infrastructure: str | None = None, after: int = 0) -> AsyncGenerator[Event]:
        await self._did("follow", infrastructure, after)
        nothing: tuple[Event, ...] = ()
        for event in nothing:
            yield event

    async def audit(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[AuditRecord]:
        await self._did("audit", after, limit)
        return []

    async def follow_audit(self, caller: Caller, after: int = 0) -> AsyncGenerator[AuditRecord]:
        await self._did("follow_audit", after)
        nothing: tuple[AuditRecord, ...] = ()
        for record in nothing:
            yield record

    async def tosca(self, caller: Caller, infrastructure: str) -> str:
        await self._did("tosca", infrastructure)
        self._machines(infrastructure)
        return "tosca_definitions_version: tosca_simple_yaml_1_0\n"

    async def outputs(self, caller: Caller, infrastructure: str) -> Outputs:
        await self._did("outputs", infrastructure)
        self._machines(infrastructure)
        return Outputs({"address": "10.0.0.1"}, {})

    async def estimate(self, caller: Caller, document: Document) -> JSON:
        await self._did("estimate", document)
        return {"sim": {"cloudType": "Dummy", "compute": [{"cpuCores": 1, "memoryInMegabytes": 512}], "storage": []}}

    async def validate(self, caller: Caller, document: Document) -> Sequence[Problem]:
        await self._did("validate", document)
        return []

    async def plan(self, caller: Caller, document: Document, infrastructure: str | None = None) -> JSON:
        await self._did("plan", document, infrastructure)
        return {"id": "plan-0"}

    async def apply(self, caller: Caller, plan: str, *, asynchronous: bool = False) -> str:
        await self._did("apply", plan, asynchronous)
        raise NotFound("No such plan.")

    async def templates(self) -> Sequence[Template]:
        return [Template("web.yaml", {"display_name": ("Web",), "creation_date": ("2026-11-23",)})]

    def version(self) -> str:
        return "1.2.3"

    async def health(self) -> Mapping[str, str]:
        return {"storage": "ok"}

    def metrics(self) -> bytes:
        return b""

    def plugins(self) -> Sequence[PluginReport]:
        return []


def _user(credentials: str | Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Name and password in an InfrastructureManager item, as a line or as an item; empty texts if there is none."""
    if isinstance(credentials, str):
        fields = dict(re.findall(r"([\w.]+) *= *([^;\s]*)", credentials))
    else:
        fields = next((dict(item) for item in credentials if item.get("type") == "InfrastructureManager"), {})
    if fields.get("type") != "InfrastructureManager":
        return "", ""
    return str(fields.get("username", "")), str(fields.get("password", ""))
