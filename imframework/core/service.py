"""The operations of the service: what `imframework.api.service.Service` promises, on top of the engine.

Each method checks who asks and whether it may be done, changes the levels of an infrastructure in one commit, wakes
the engine, and, where the caller wants to know the outcome, waits for the operation it has stored. Nothing here talks
to a cloud or to the database directly.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import regex

from imframework.api.auth import AuthProvider
from imframework.api.errors import (
    Conflict,
    Forbidden,
    IMError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Problem,
    StorageConflict,
    Unauthenticated,
)
from imframework.api.model import JSON, AuditRecord, Event, Identity, Image, Quota
from imframework.api.service import Caller, Document, Language, Outputs, PluginReport, StateReport, Template
from imframework.api.version import __version__
from imframework.core import callbacks, changes, documents, idempotency, imports, live, statistics, views
from imframework.core.auditing import Trail
from imframework.core.callers import Callers
from imframework.core.calls import Bulkheads
from imframework.core.catalogue import Catalogue
from imframework.core.changes import Change
from imframework.core.clouds import Account
from imframework.core.credentials import INFRASTRUCTURE_MANAGER, clouds, from_items
from imframework.core.engine import Engine
from imframework.core.entities import VM, Operation, OperationKind, Status
from imframework.core.exports import Exporter
from imframework.core.following import Hub, Interest
from imframework.core.infrastructure import Infrastructure
from imframework.core.limiting import rate_limits
from imframework.core.plans import Plans
from imframework.core.powering import affected
from imframework.core.reading import Former, Reader, Reading
from imframework.core.restriction import Restriction
from imframework.languages import radl, tosca

UNKNOWN = "Invalid infrastructure ID or access not granted."
NOT_GRANTED = "Access to this infrastructure not granted."
DISABLED = "Function currently disabled."
DELETED = "Deleted infrastructure."
INVALID_STATE = "Invalid State to perform this operation."
EXISTING = "Trying to add an existing infrastructure ID."

#: Seconds between two looks at what another instance of the service is doing.
LOOK_ELSEWHERE = 0.5

#: Longest regular expression that a list may be filtered with, and the seconds that it may take over all of it.
MAX_PATTERN = 256
PATTERN_TIME = 2.0

#: Audit records that a follower holds at a time.
AUDIT_PAGE = 50


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of im.cfg that the operations depend on."""

    boot_mode: int = 0
    only_tokens: bool = False
    default_vm_name: str = "vnode-#N#"
    templates_dir: Path | None = None
    templates_url: str = ""
    only_templates: bool = False
    limit_address: str = ""
    limit_user: str = ""
    limit_failures: str = ""
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the service knows only by asking the host: plugins, health, metrics."""

    plugins: Callable[[], Sequence[PluginReport]]
    health: Callable[[], Awaitable[Mapping[str, str]]]
    metrics: Callable[[], bytes]


class CoreService:
    """Implements `imframework.api.service.Service`."""

    def __init__(
        self,
        engine: Engine,
        providers: Sequence[AuthProvider],
        options: ServiceOptions,
        surroundings: Surroundings,
        bulkheads: Bulkheads,
        sources: Callable[[], tosca.Sources] = tosca.Sources,
    ) -> None:
        """`sources` is asked for each TOSCA document where that gets what it refers to; nothing is fetched without."""
        self._engine = engine
        self._repository = engine.repository
        self._callers = Callers(providers, bulkheads, engine.vault.owner_key, only_tokens=options.only_tokens)
        self._reader = Reader(sources, bulkheads.pool("tosca", ""))
        self._plans = Plans(engine.tools)
        self._options = options
        self._surroundings = surroundings
        self._catalogue = Catalogue(options.templates_dir)
        self._restriction = Restriction(self._catalogue, options.templates_url) if options.only_templates else None
        self._limits = rate_limits(options.limit_address, options.limit_user, options.limit_failures)
        self._hub = Hub(self._repository)
        #: Where it is written down who did what.
        self.trail = Trail(self._repository.record)

    async def close(self) -> None:
        """End whoever follows events."""
        await self._hub.close()

    # --- who asks ------------------------------------------------------------------------------------------

    async def authenticate(
        self, credentials: str | Sequence[Mapping[str, str]], address: str = "", front_end: str = ""
    ) -> Caller:
        """See `Service.authenticate`; `front_end` is the name of the one that asks."""
        if self._limits is not None:
            self._limits.admit(address)
        try:
            caller = await self._callers.authenticate(credentials, address, front_end)
        except Unauthenticated as error:
            if self._limits is not None:
                self._limits.failed(address)
            self.trail.refused(credentials, address, front_end, error)
            raise
        if self._limits is not None:
            self._limits.count(caller.owner_keys)
        return caller

    async def _granted(
        self, caller: Caller, id: str, *, deleted: bool = False, changes: bool = False
    ) -> Infrastructure:
        """An infrastructure that the caller may see (`deleted`: even so), or change; with the caller's credentials."""
        infra = self._repository.cached(id) or await self._repository.get(id)
        if infra is None:
            raise NotFound(UNKNOWN)
        self._must_be_granted(caller, id, infra.owners)
        if infra.deleted and not deleted:
            raise NotFound(DELETED if not infra.planned else "Infrastructure that is only planned.")
        if changes:
            self._must_be_expected(caller, infra)
        if infra.refreshed_with is not caller.credentials and not caller.owner_keys.isdisjoint(infra.owners):
            infra.refreshed_with = caller.credentials
            if self._engine.vault.refresh(infra, caller.credentials):
                self._engine.wake(infra)
        return infra

    def _must_be_granted(self, caller: Caller, id: str, owners: frozenset[str]) -> None:
        if not (caller.admin or not caller.owner_keys.isdisjoint(owners)):
            self.trail.denied(caller, id)
            raise Forbidden(NOT_GRANTED)

    async def _to_change(self, caller: Caller, id: str, *, deleting: bool = False) -> Infrastructure:
        mode = self._options.boot_mode
        if mode == 1 or (mode == 2 and not deleting):
            raise Forbidden(DISABLED)
        infra = await self._granted(caller, id, changes=True)
        if caller.admin and caller.owner_keys.isdisjoint(infra.owners):
            self._engine.vault.renew(infra, caller.credentials)
        return infra

    def _must_be_expected(self, caller: Caller, infra: Infrastructure, revision: int | None = None) -> None:
        """Refuse a change of what is being handed over, or is not as the caller thinks.

        It is true until others get a turn. After that it is asked again, with the `revision` as it was then; by then
        the infrastructure may be gone as well.
        """
        if infra.deleted and revision is not None:
            raise NotFound(DELETED)
        if infra.leaving:
            raise Conflict(INVALID_STATE)
        if not caller.expects:
            return
        as_it_was = self._repository.has_tag(infra, caller.expects) if revision is None else infra.revision == revision
        if not as_it_was:
            raise PreconditionFailed(f"The infrastructure has changed: its tag is {self._repository.tag(infra)}.")

    # --- making --------------------------------------------------------------------------------------------

    async def create(
        self, caller: Caller, document: Document, *, asynchronous: bool = False, idempotency_key: str = ""
    ) -> str:
        """See `Service.create`; `idempotency` says what a key means."""
        if self._options.boot_mode != 0:
            raise Forbidden(DISABLED)
        if self._restriction is not None:
            await self._restriction.check(caller, document, creates=True)
        request = idempotency.request(self._engine.vault, caller, idempotency_key, document)
        if request is not None and await self._created_before(request, asynchronous):
            return request.id
        read = await self._reader.new(document, caller.token)
        self._check_clouds(read.whole, caller)
        infra = self._fresh(caller, request.id if request is not None else None)
        infra.request = request.digest if request is not None else ""
        change = changes.apply(infra, read, context=True, creates=True)
        operations = changes.operations(infra, change, creates=True)
        try:
            await self._repository.create(infra)
        except StorageConflict:
            if request is not None and await self._created_before(request, asynchronous):
                return request.id
            raise
        await self._launched(infra, operations, asynchronous)
        return infra.id

    async def _created_before(self, request: idempotency.Request, asynchronous: bool) -> bool:
        """Whether a request was made before; it has the outcome that it had then, or is going to have."""
        if await self._repository.glance(request.id) is None:
            return False
        try:
            infra = await self._repository.get(request.id)
        except Conflict:
            infra = await self._created_elsewhere(request, asynchronous)
        if infra is None:
            return False
        idempotency.check(infra, request)
        if infra.lease.holder == self._repository.holder:
            try:
                await self._repository.save(infra)  # the first one may still be on its way to the database
            except StorageConflict:  # where one of another instance has come first
                return await self._created_before(request, asynchronous)
            if not asynchronous:
                await self._launched(infra, idempotency.creations(infra), asynchronous)
                if infra.refusal and infra.wanted and not any(vm.wanted and not vm.failure for vm in infra.alive()):
                    # Whoever waited for it was killed before it was removed.
                    await self._destroy(infra, force=False)
        if infra.refusal and (infra.deleted or not asynchronous):
            raise idempotency.refused(infra)
        return True

    async def _created_elsewhere(self, request: idempotency.Request, asynchronous: bool) -> Infrastructure | None:
        """What another instance of the service has made of a request, once that is settled; we have to look for it."""
        while (infra := await self._repository.glance(request.id)) is not None:
            if asynchronous or not idempotency.creations(infra):
                break
            await asyncio.sleep(LOOK_ELSEWHERE)
        return infra

    def _fresh(self, caller: Caller, id: str | None = None, created: float = 0.0) -> Infrastructure:
        """An infrastructure of the caller's, of which nothing is stored yet."""
        id = id or str(uuid.uuid1())
        infra = Infrastructure(id, caller.owner_keys, created or time.time(), self._repository.new_lease(id))
        self._engine.vault.set_owners(infra, caller.identities)
        self._engine.vault.refresh(infra, caller.credentials)
        return infra

    async def _launched(self, infra: Infrastructure, operations: Sequence[Operation], asynchronous: bool) -> None:
        """Have a new infrastructure launched; one of which nothing could be made goes away again."""
        outcomes = [] if asynchronous else [self._engine.expect(operation.id) for operation in operations]
        if operations:
            self._engine.wake(infra)
        for outcome in outcomes:
            if isinstance(error := await outcome, IMError):
                left = await self._destroy(infra, force=False)
                text = f"Error adding VMs: {error}"
                raise type(error)(f"{text} Not all could be removed again, it goes on: {left}" if left else text)

    async def add(
        self, caller: Caller, infrastructure: str, document: Document, *, context: bool = True
    ) -> Sequence[int]:
        """See `Service.add`."""
        infra, read = await self._combined(caller, infrastructure, document, self._reader.addition)
        self._must_take_resources(infra)
        self._check_clouds(read.sent, caller, infra)
        change = changes.apply(infra, read, context=context)
        await self._carry_out_change(infra, change)
        return change.added

    async def _carry_out_change(self, infra: Infrastructure, change: Change, *, wait: bool = True) -> None:
        """Store a change of an infrastructure that exists and have it done."""
        if not change:
            infra.log("Nothing is to be done." if infra.template else "Infrastructure without any deploy. Exiting.")
            await self._repository.save(infra)
            return
        if not (change.added or change.removed):
            changes.supersede_runs(infra, change.configured)
        operations = changes.operations(infra, change)
        infra.due = time.time()
        if not (wait and operations):
            await self._store(infra)
        elif error := await self._carry_out(infra, operations):
            verb = "adding VMs" if change.added else "removing resources"
            raise type(error)(f"Error {verb}: {error}")

    @staticmethod
    def _must_take_resources(infra: Infrastructure) -> None:
        if not infra.wanted:
            raise InvalidRequest("Infrastructure deleted. Do not add resources.")

    async def _combined(
        self,
        caller: Caller,
        id: str,
        document: Document,
        combine: Callable[[Former, Document, str | None], Awaitable[Reading]],
    ) -> tuple[Infrastructure, Reading]:
        """An infrastructure, and what `combine` makes of what it has and another document.

        It is true until the caller gives others a turn: two changes at the same time must not undo each other.
        """
        if self._restriction is not None:
            await self._to_change(caller, id)  # whose it is counts before what is asked of it
            await self._restriction.check(caller, document, creates=False)
        while True:
            infra = await self._to_change(caller, id)
            former, revision = Former.of(infra, document.language), infra.revision
            read = await combine(former, document, caller.token)
            if Former.of(infra, document.language) == former and not infra.lost:
                self._must_be_expected(caller, infra, revision)
                return infra, read

    def _check_clouds(self, document: radl.Document, caller: Caller, infra: Infrastructure | None = None) -> None:
        """Refuse at once what can never be launched: no cloud, an unknown cloud id, no usable connector."""
        deploys = [deploy for deploy in document.deploys if deploy.count]
        if not deploys:
            return
        credentials = list(caller.credentials)
        if infra is not None:
            given = {credential.id for credential in credentials}
            credentials += [item for item in self._engine.vault.credentials(infra) if item.id not in given]
        accounts = self._engine.clouds.accounts(credentials)
        for deploy in deploys:
            if deploy.cloud and deploy.cloud not in accounts:
                raise InvalidRequest(f"No auth data for cloud with ID: {deploy.cloud}")
            chosen = accounts.get(deploy.cloud) if deploy.cloud else None
            if isinstance(chosen, IMError):
                raise chosen
        if not accounts:
            raise InvalidRequest("No cloud provider available")
        errors = [account for account in accounts.values() if isinstance(account, IMError)]
        if len(errors) == len(accounts):
            raise errors[0]

    async def _carry_out(self, infra: Infrastructure, operations: Sequence[Operation]) -> IMError | None:
        """Store operations, have the engine work on them, and return the outcome: None, or what went wrong first."""
        outcomes = await self._outcomes(infra, operations)
        return next((outcome for outcome in outcomes if isinstance(outcome, IMError)), None)

    async def _outcomes(self, infra: Infrastructure, operations: Sequence[Operation]) -> Sequence[IMError | str | None]:
        """The outcomes of operations, as `Engine.expect` has them, once they have been stored and worked on."""
        outcomes = [self._engine.expect(operation.id) for operation in operations]
        try:
            await self._store(infra)
            return [await outcome for outcome in outcomes]
        finally:
            for outcome in outcomes:
                outcome.cancel()  # if it was not stored, or nobody waits any more

    async def _store(self, infra: Infrastructure) -> None:
        """Store changed levels, having told the engine first: it must not believe meanwhile that all is settled.

        It does not act on them before they are stored, since whatever it does is stored after them.
        """
        self._engine.wake(infra)
        await self._repository.save(infra)

    # --- changing ------------------------------------------------------------------------------------------

    async def remove(self, caller: Caller, infrastructure: str, vms: Sequence[int], *, context: bool = True) -> int:
        """See `Service.remove`."""
        if self._options.boot_mode != 0:
            raise Forbidden(DISABLED)
        infra = await self._to_change(caller, infrastructure)
        numbers = list(dict.fromkeys(self._machine(infra, number).number for number in vms))
        infra.generation += 1
        changes.remove(infra, numbers)
        if context and numbers:
            infra.config_generation += 1
            changes.configure_again(infra, infra.vms)
        operation = changes.operation(infra, OperationKind.REMOVE, numbers)
        if error := await self._carry_out(infra, [operation]):
            raise type(error)(f"Error removing resources: {error}")
        return len(numbers)

    async def reconfigure(
        self, caller: Caller, infrastructure: str, document: Document | None = None, vms: Sequence[int] | None = None
    ) -> None:
        """See `Service.reconfigure`."""
        read: Reading | None = None
        if document is not None and document.text.strip():
            infra, read = await self._combined(caller, infrastructure, document, self._reader.change)
        else:
            infra = await self._to_change(caller, infrastructure)
        self._must_be_wanted(infra)
        numbers = [self._machine(infra, number).number for number in vms] if vms is not None else list(infra.vms)
        if read is not None:
            changes.keep(infra, read)
        infra.config_generation += 1
        changes.configure_again(infra, numbers)
        changes.supersede_runs(infra, numbers)
        infra.due = time.time()
        infra.touch()
        await self._store(infra)

    async def start(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        """See `Service.start`."""
        await self._power(caller, infrastructure, vm, OperationKind.START)

    async def stop(self, caller: Caller, infrastructure: str, vm: int | None = None) -> None:
        """See `Service.stop`."""
        await self._power(caller, infrastructure, vm, OperationKind.STOP)

    async def _power(self, caller: Caller, infrastructure: str, vm: int | None, kind: OperationKind) -> None:
        infra = await self._to_change(caller, infrastructure)
        self._must_be_wanted(infra)
        numbers = affected([self._machine(infra, vm)] if vm is not None else infra.alive())
        if vm is not None and not numbers:
            raise Conflict(
                f"Error {'starting' if kind == OperationKind.START else 'stopping'} the VM: it is not running."
            )
        for number in numbers:
            infra.put(replace(infra.vms[number], power_on=kind == OperationKind.START))
        if error := await self._carry_out(infra, [changes.operation(infra, kind, numbers)]):
            raise error

    async def reboot(self, caller: Caller, infrastructure: str, vm: int) -> None:
        """See `Service.reboot`."""
        infra = await self._to_change(caller, infrastructure)
        self._must_be_wanted(infra)
        machine = self._machine(infra, vm)
        if error := await self._carry_out(infra, [changes.operation(infra, OperationKind.REBOOT, [machine.number])]):
            raise error

    async def alter(self, caller: Caller, infrastructure: str, vm: int, document: Document) -> None:
        """See `Service.alter`."""
        while True:
            infra = await self._to_change(caller, infrastructure)
            machine = self._machine(infra, vm)
            former, revision = infra.documents[machine.definition].text, infra.revision
            definition = await self._reader.alteration(former, infra.radl, document, caller.token)
            if infra.vms[vm].definition == machine.definition and not infra.lost:
                self._must_be_expected(caller, infra, revision)
                break  # true until others get a turn
        self._must_be_wanted(infra)
        machine = self._machine(infra, vm)
        if not machine.wanted or machine.failure:
            why = "its launch has failed" if machine.failure else "it is being deleted"
            raise Conflict(f"Error modifying the information about the VM {vm}: {why}.")
        operation = changes.alter(infra, vm, definition)
        if operation is not None and (error := await self._carry_out(infra, [operation])):
            raise error

    async def snapshot(
        self, caller: Caller, infrastructure: str, vm: int, disk: int, name: str, *, auto_delete: bool = False
    ) -> str:
        """See `Service.snapshot`."""
        infra = await self._to_change(caller, infrastructure)
        self._must_be_wanted(infra)
        machine = self._machine(infra, vm)
        (system,) = documents.parsed(infra.documents[machine.definition].text).systems.values()
        if disk != 0 and disk not in system.disks():
            raise InvalidRequest(f"Error creating snapshot: VM {vm} has no disk {disk}.")
        if not name:
            raise InvalidRequest("Error creating snapshot: the image has no name.")
        operation = changes.operation(infra, OperationKind.SNAPSHOT, [vm], disk=disk, name=name, keep=auto_delete)
        (outcome,) = await self._outcomes(infra, [operation])
        if isinstance(outcome, IMError):
            raise outcome
        return outcome or ""

    @staticmethod
    def _must_be_wanted(infra: Infrastructure) -> None:
        if not infra.wanted:
            raise Conflict(INVALID_STATE)

    @staticmethod
    def _machine(infra: Infrastructure, number: int) -> VM:
        vm = infra.vms.get(number)
        if vm is None:
            raise NotFound("Invalid VM ID")
        if not vm.alive:
            raise NotFound("Deleted VM.")
        return vm

    async def destroy(
        self, caller: Caller, infrastructure: str, *, force: bool = False, asynchronous: bool = False
    ) -> None:
        """See `Service.destroy`."""
        infra = await self._to_change(caller, infrastructure, deleting=True)
        error = await self._destroy(infra, force=force, wait=not asynchronous)
        if error:
            raise type(error)(f"Error destroying the infrastructure: {error}")

    async def _destroy(self, infra: Infrastructure, *, force: bool, wait: bool = True) -> IMError | None:
        if infra.deleted or infra.leaving:
            return None
        infra.wanted = False
        infra.force = infra.force or force
        infra.generation += 1
        for vm in list(infra.alive()):
            if vm.wanted:
                infra.put(replace(vm, wanted=False))
        changes.forgive(infra)
        infra.announce()
        machines = [vm.number for vm in infra.alive()]
        operation = changes.operation(infra, OperationKind.DESTROY, machines, force=force)
        if wait:
            return await self._carry_out(infra, [operation])
        await self._store(infra)
        return None

    # --- owners --------------------------------------------------------------------------------------------

    async def owners(self, caller: Caller, infrastructure: str) -> Sequence[str]:
        """See `Service.owners`."""
        return (await self._granted(caller, infrastructure)).owner_names

    async def change_owners(
        self, caller: Caller, infrastructure: str, owner: Mapping[str, str], *, overwrite: bool = False
    ) -> None:
        """See `Service.change_owners`."""
        infra = await self._to_change(caller, infrastructure)
        revision = infra.revision
        try:
            identity = await self._identity(owner)
        except Unauthenticated as error:
            raise InvalidRequest(f"Invalid new infrastructure data provided: {error}") from None
        self._must_be_expected(caller, infra, revision)
        vault = self._engine.vault
        if not overwrite and vault.owner_key(identity) in infra.owners:
            return
        vault.set_owners(infra, [identity] if overwrite else [*vault.owners(infra), identity])
        await self._repository.save(infra)

    async def _identity(self, owner: Mapping[str, str]) -> Identity:
        """Who an item is that need not say its type."""
        (item,) = from_items([{"type": INFRASTRUCTURE_MANAGER, **owner}])
        if item.type.lower() != INFRASTRUCTURE_MANAGER.lower():
            raise Unauthenticated(f"its type must be {INFRASTRUCTURE_MANAGER}")
        return await self._callers.identify(item)

    # --- to and from elsewhere -----------------------------------------------------------------------------

    async def export_document(self, caller: Caller, infrastructure: str, *, delete: bool = False) -> str:
        """See `Service.export_document`. One that was deleted by its export can be exported so again."""
        if delete and self._options.boot_mode == 1:
            raise Forbidden(DISABLED)
        infra = await self._granted(caller, infrastructure, deleted=delete, changes=delete)
        if infra.deleted and not infra.exported:
            raise NotFound(DELETED)
        if delete and not infra.exported:
            await self._hand_over(infra)
        logs = await self._repository.logs(infra.id)
        vault, name = self._engine.vault, self._options.default_vm_name
        exporter = Exporter(vault, caller.owner_keys, caller.credentials, name)
        return await asyncio.to_thread(exporter.render, infra.copy(), tuple(infra.steps.values()), logs)

    async def _hand_over(self, infra: Infrastructure) -> None:
        """Have all work on an infrastructure ended, and then have it deleted here, while its machines go on.

        Until it is deleted it is ours: whoever comes after a crash goes on with it.
        """
        self._must_be_wanted(infra)
        infra.leaving = uuid.uuid4().hex
        outcome = self._engine.expect(infra.leaving)
        self._engine.wake(infra)
        if isinstance(error := await outcome, IMError):
            raise error

    async def import_document(self, caller: Caller, text: str) -> str:
        """See `Service.import_document`."""
        if self._options.boot_mode != 0:
            raise Forbidden(DISABLED)
        if self._restriction is not None:
            self._restriction.check_import(caller)
        draft = await asyncio.to_thread(imports.read, text)
        former = await self._repository.get(draft.id)
        if former is not None and not self._gives_way(former, caller, draft):
            raise InvalidRequest(EXISTING)
        infra = await asyncio.to_thread(self._imported, draft, caller)
        try:
            if former is None:
                await self._repository.create(infra)
            else:
                self._keep_lost(former, infra)
                await self._repository.supersede(former, infra)
        except StorageConflict:
            raise InvalidRequest(EXISTING) from None
        self._engine.refresh(infra, forced=True)
        return infra.id

    def _imported(self, draft: imports.Draft, caller: Caller) -> Infrastructure:
        """The infrastructure of a document, the caller's from now on."""
        infra = self._fresh(caller, draft.id, draft.created)
        draft.enter(infra, caller.credentials)
        changes.forgive(infra)
        if draft.private_key:
            self._engine.vault.adopt_key_pair(infra, draft.private_key)
        infra.taken_up_at = infra.due = time.time()
        return infra

    def _gives_way(self, former: Infrastructure, caller: Caller, draft: imports.Draft) -> bool:
        """Whether what is known of a deleted infrastructure may be replaced by an import.

        It may by those it belonged to. Of anybody else its key is asked: who has that, has its export.
        """
        if not former.deleted or former.planned:
            return False
        theirs = caller.admin or not caller.owner_keys.isdisjoint(former.owners)
        return theirs or self._engine.vault.has_key(former, draft.private_key)

    @staticmethod
    def _keep_lost(former: Infrastructure, infra: Infrastructure) -> None:
        """What may be left of an infrastructure in a cloud stays on record."""
        for entry in former.entries.values():
            if entry.status == Status.LOST and not former.exported and entry.key not in infra.entries:
                infra.put(entry)

    # --- asking --------------------------------------------------------------------------------------------

    async def tag(self, caller: Caller, infrastructure: str) -> str:
        """See `Service.tag`. Asking for it has the clouds asked in the background, as asking for the state does."""
        infra = await self._granted(caller, infrastructure)
        self._engine.refresh(infra)
        return self._repository.tag(infra)

    async def stats(
        self, caller: Caller, since: date | None = None, until: date | None = None
    ) -> Sequence[Mapping[str, JSON]]:
        """See `Service.stats`."""
        heads = await self._repository.heads(None if caller.admin else caller.owner_keys, deleted=True)
        tallies = {head.id: await self._repository.tally(head.id) for head in heads if "tally" not in head.data}
        return await asyncio.to_thread(statistics.records, heads, tallies, since, until)

    async def list(self, caller: Caller, pattern: str | None = None) -> Sequence[str]:
        """See `Service.list`."""
        heads = await self._repository.heads(_owners(caller))
        ids = [head.id for head in heads]
        if not pattern:
            return ids
        if len(pattern) > MAX_PATTERN:
            raise InvalidRequest(f"the filter is longer than {MAX_PATTERN} characters")
        try:
            expression = regex.compile(pattern)
        except regex.error as error:
            raise InvalidRequest(f"the filter is not a regular expression: {error}") from None
        texts = {id: text for id in ids if (text := await self._repository.documents(id)) is not None}
        return await asyncio.to_thread(_matching, expression, texts)

    async def machines(self, caller: Caller, infrastructure: str) -> Sequence[int]:
        """See `Service.machines`."""
        infra = await self._granted(caller, infrastructure)
        return [vm.number for vm in infra.alive()]

    async def state(self, caller: Caller, infrastructure: str) -> StateReport:
        """See `Service.state`."""
        infra = await self._granted(caller, infrastructure)
        self._engine.refresh(infra)
        return StateReport(infra.state().value, infra.vm_states())

    async def vm_info(self, caller: Caller, infrastructure: str, vm: int, language: Language) -> str:
        """See `Service.vm_info`."""
        infra = await self._granted(caller, infrastructure)
        self._engine.refresh(infra)
        machine = self._machine(infra, vm)
        return views.machine_text(infra, machine, language, self._engine.vault, self._options.default_vm_name)

    async def vm_property(self, caller: Caller, infrastructure: str, vm: int, name: str) -> JSON:
        """See `Service.vm_property`."""
        infra = await self._granted(caller, infrastructure)
        self._engine.refresh(infra)
        machine = self._machine(infra, vm)
        value = views.machine_property(infra, machine, name, self._engine.vault, self._options.default_vm_name)
        if value is None:
            raise NotFound(f"Incorrect property {name} for VM ID {vm}")
        return value

    async def contmsg(
        self, caller: Caller, infrastructure: str, vm: int | None = None, *, header_only: bool = False
    ) -> str:
        """See `Service.contmsg`."""
        infra = await self._granted(caller, infrastructure)
        if vm is not None:
            self._machine(infra, vm)
        return views.log_text(infra, await self._repository.logs(infra.id), vm, header_only=header_only)

    async def radl(self, caller: Caller, infrastructure: str) -> str:
        """See `Service.radl`."""
        return (await self._granted(caller, infrastructure)).radl

    async def events(self, caller: Caller, infrastructure: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """See `Service.events`."""
        await self._followable(caller, infrastructure)
        return await self._repository.events(infrastructure, after, max(1, min(limit, 1000)))

    async def _followable(self, caller: Caller, id: str) -> bool:
        """Raise unless the caller may read the events of an infrastructure, whoever works on it; whether it is gone."""
        heads = await self._repository.find([id])
        if not heads:
            raise NotFound(UNKNOWN)
        [head] = heads
        self._must_be_granted(caller, id, head.owners)
        return head.deleted and not head.data.get("planned")

    async def account_events(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """See `Service.account_events`."""
        return await self._repository.account_events(_owners(caller), after, max(1, min(limit, 1000)))

    async def follow(self, caller: Caller, infrastructure: str | None = None, after: int = 0) -> AsyncGenerator[Event]:
        """See `Service.follow`."""

        async def over() -> bool:
            return infrastructure is not None and await self._followable(caller, infrastructure)

        interest = Interest(infrastructure) if infrastructure is not None else Interest(owners=_owners(caller))
        async for event in self._hub.follow(interest, after, over):
            yield event

    async def audit(self, caller: Caller, after: int = 0, limit: int = 1000) -> Sequence[AuditRecord]:
        """See `Service.audit`."""
        return await self._repository.audit(_owners(caller), after, max(1, min(limit, 1000)))

    async def follow_audit(self, caller: Caller, after: int = 0) -> AsyncGenerator[AuditRecord]:
        """See `Service.follow_audit`."""
        while not self._hub.closed:
            mark = self._hub.audit_mark
            records = await self._repository.audit(_owners(caller), after, AUDIT_PAGE)
            for record in records:
                after = record.id
                yield record
            if not records:
                await self._hub.audit_stored(mark)

    async def tosca(self, caller: Caller, infrastructure: str) -> str:
        """See `Service.tosca`."""
        return documents.template(self._template(await self._granted(caller, infrastructure), "tosca")).text

    async def outputs(self, caller: Caller, infrastructure: str) -> Outputs:
        """See `Service.outputs`."""
        infra = await self._granted(caller, infrastructure)
        template = self._template(infra, "outputs")
        self._engine.refresh(infra)
        logs = await self._repository.logs(infra.id) if live.needs_logs(template) else {}
        machines = live.machines(infra, self._engine.vault, logs)
        found = await self._reader.outputs(template, machines)
        return Outputs(found.values, found.missing)

    @staticmethod
    def _template(infra: Infrastructure, name: str) -> str:
        if not infra.template:
            raise Forbidden(f"'{name}' infrastructure property is not valid in this infrastructure")
        return infra.template

    async def validate(self, caller: Caller, document: Document) -> Sequence[Problem]:
        """See `Service.validate`."""
        return await self._reader.problems(document)

    # --- machines that ask --------------------------------------------------------------------------------------

    async def command(
        self, caller: Caller | None, infrastructure: str, creation: int, step: int, secret: str, base_url: str = ""
    ) -> str:
        """See `Service.command`. The creation number of a machine is its number, which is never given again."""
        keyring = self._engine.vault
        infra = await self._repository.glance(infrastructure)  # nothing is taken over for whoever may be asking
        if infra is None or infra.deleted or not callbacks.shows(secret, infra, creation, keyring):
            if caller is None:
                raise Unauthenticated("Invalid secret of a machine")
            infra = await self._granted(caller, infrastructure)
        vm = infra.vms.get(creation)
        if vm is not None and not vm.alive:
            raise NotFound("Deleted VM.")
        if step == 2:
            return await callbacks.answer(infra, vm, keyring, self._engine.tools.configurator)
        url = callbacks.command_url(self._options.public_url or base_url, infra.id, creation)
        text = callbacks.script(url, callbacks.secret(infra, creation, keyring))
        if infra.pending:
            await self._repository.save(infra)  # the secret must outlive us
        return text

    # --- clouds --------------------------------------------------------------------------------------------

    async def images(self, caller: Caller, cloud: str, filters: Mapping[str, str]) -> Sequence[Image]:
        """See `Service.images`."""
        return await self._cloud(caller, cloud).images(filters)

    async def quotas(self, caller: Caller, cloud: str) -> Mapping[str, Quota]:
        """See `Service.quotas`."""
        return await self._cloud(caller, cloud).quotas()

    def _cloud(self, caller: Caller, id: str) -> Account:
        """The account of a credential of the caller's; of several with one id, the last."""
        found = [credential for credential in clouds(caller.credentials) if credential.id == id]
        if not found:
            raise InvalidRequest(f"Cloud ID {id} not found.")
        return self._engine.clouds.account(found[-1])

    # --- planning ------------------------------------------------------------------------------------------

    async def estimate(self, caller: Caller, document: Document) -> JSON:
        """See `Service.estimate`."""
        read = await self._reader.new(document, caller.token)
        self._check_clouds(read.whole, caller)
        infra = self._fresh(caller)
        changes.apply(infra, read, context=True, creates=True)
        return await self._plans.estimate(infra)

    async def plan(self, caller: Caller, document: Document, infrastructure: str | None = None) -> JSON:
        """See `Service.plan`."""
        if infrastructure is None:
            if self._restriction is not None:
                await self._restriction.check(caller, document, creates=True)
            read = await self._reader.new(document, caller.token)
            infra = self._fresh(caller)
            infra.planned = infra.deleted = True  # it is not there until the plan is carried out
        else:
            infra, read = await self._combined(caller, infrastructure, document, self._reader.addition)
            self._must_take_resources(infra)
        plan = await self._plans.make(infra, read, creates=infrastructure is None)
        if infrastructure is None:
            await self._repository.create(infra)
        else:
            await self._repository.save(infra)
        return plan

    async def apply(self, caller: Caller, plan: str, *, asynchronous: bool = False) -> str:
        """See `Service.apply`."""
        mode = self._options.boot_mode
        if mode != 0:
            raise Forbidden(DISABLED)
        infra = await self._granted(caller, plan.partition(".")[0], deleted=True, changes=True)
        creates = infra.planned
        if infra.deleted and not creates:
            raise NotFound(DELETED)
        change = self._plans.apply(infra, plan)
        if creates:
            infra.planned = infra.deleted = False
            self._engine.vault.refresh(infra, caller.credentials)
            operations = changes.operations(infra, change, creates=True)
            await self._repository.save(infra)
            await self._launched(infra, operations, asynchronous)
        else:
            await self._carry_out_change(infra, change, wait=not asynchronous)
        return infra.id

    async def templates(self) -> Sequence[Template]:
        """See `Service.templates`."""
        return (await self._catalogue.contents()).templates

    def version(self) -> str:
        """See `Service.version`."""
        return __version__

    async def health(self) -> Mapping[str, str]:
        """See `Service.health`."""
        return await self._surroundings.health()

    def metrics(self) -> bytes:
        """See `Service.metrics`."""
        return self._surroundings.metrics()

    def plugins(self) -> Sequence[PluginReport]:
        """See `Service.plugins`."""
        return self._surroundings.plugins()


def _matching(expression: regex.Pattern[str], texts: Mapping[str, str]) -> Sequence[str]:
    """The ids of the texts in which a user's expression is found; in a thread, and not for ever."""
    deadline = time.monotonic() + PATTERN_TIME
    try:
        return [
            id
            for id, text in texts.items()
            if expression.search(text, timeout=max(0.01, deadline - time.monotonic()), concurrent=True)
        ]
    except TimeoutError:
        raise InvalidRequest("the filter takes too long") from None


def _owners(caller: Caller) -> frozenset[str] | None:
    """Whose things a caller may see; None for everybody's."""
    return None if caller.admin else caller.owner_keys
