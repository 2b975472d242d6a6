"""The operations of the service: what `imframework.api.service.Service` promises, on top of the engine.

Each method checks who asks and whether it may be done, changes the levels of an infrastructure in one commit, wakes
the engine, and, where the caller wants to know the outcome, waits for the operation it has stored. Nothing here talks
to a cloud or to the database directly.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import regex

from imframework.api.auth import AuthProvider
from imframework.api.errors import (
    Conflict,
    Forbidden,
    IMError,
    InvalidRequest,
    NotFound,
    Unauthenticated,
)
from imframework.api.model import JSON, Credential, Event, Identity
from imframework.api.service import Caller, Document, Language, PluginReport, StateReport
from imframework.api.version import __version__
from imframework.core import credentials as credential_lists
from imframework.core import planning, reading, views
from imframework.core.calls import Bulkheads
from imframework.core.engine import Engine
from imframework.core.entities import VM, DocumentText, Operation, OperationKind
from imframework.core.infrastructure import Infrastructure
from imframework.core.launching import lot_of
from imframework.core.powering import affected
from imframework.core.reading import Reading
from imframework.languages import radl

UNKNOWN = "Invalid infrastructure ID or access not granted."
NOT_GRANTED = "Access to this infrastructure not granted."
DISABLED = "Function currently disabled."

#: Most machines that one request may ask for, and that an infrastructure may have.
MAX_MACHINES = 10_000
#: Longest regular expression that a list may be filtered with, and the seconds that it may take over all of it.
MAX_PATTERN = 256
PATTERN_TIME = 2.0
#: Longest time in seconds that an auth provider may take over one item.
AUTHENTICATION_TIMEOUT = 30.0
#: Callers remembered by their credential list, so that a poll does not parse and hash it every time.
CALLERS = 2048
#: Longest list in characters that is remembered: others cost memory rather than time.
REMEMBERED = 16 * 1024


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of im.cfg that the operations depend on."""

    boot_mode: int = 0
    only_tokens: bool = False
    default_vm_name: str = "vnode-#N#"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the service knows only by asking the host: plugins, health, metrics."""

    plugins: Callable[[], Sequence[PluginReport]]
    health: Callable[[], Awaitable[Mapping[str, str]]]
    metrics: Callable[[], bytes]


@dataclass(slots=True)
class _Known:
    """A credential list that was seen before."""

    items: tuple[Credential, ...]
    identities: tuple[Identity, ...] = ()
    caller: Caller | None = field(default=None)


class CoreService:
    """Implements `imframework.api.service.Service`."""

    def __init__(
        self,
        engine: Engine,
        providers: Sequence[AuthProvider],
        options: ServiceOptions,
        surroundings: Surroundings,
        bulkheads: Bulkheads,
    ) -> None:
        self._engine = engine
        self._repository = engine.repository
        self._providers = providers
        self._options = options
        self._surroundings = surroundings
        self._bulkheads = bulkheads
        self._known: OrderedDict[str, _Known] = OrderedDict()

    # --- who asks ------------------------------------------------------------------------------------------

    async def authenticate(self, credentials: str | Sequence[Mapping[str, str]], address: str = "") -> Caller:
        """See `Service.authenticate`."""
        digest, known = self._recall(credentials)
        identities = []
        items = credential_lists.identities(known.items)
        if not items:
            raise Unauthenticated("No credentials provided for the InfrastructureManager.")
        for item in items:
            if self._options.only_tokens and not item.get("token"):
                raise Unauthenticated("No token provided for the InfrastructureManager.")
            identities.append(await self._identify(item))
        if known.caller is None or known.identities != tuple(identities):
            known.identities = tuple(identities)
            keys = frozenset(self._engine.vault.owner_key(identity) for identity in identities)
            known.caller = Caller(known.identities, keys, credential_lists.clouds(known.items), address)
            self._remember(digest, known)
        return known.caller

    def _recall(self, credentials: str | Sequence[Mapping[str, str]]) -> tuple[str, _Known]:
        """What is known of a credential list, and what to remember it by (nothing if it is not to be)."""
        if not isinstance(credentials, str):
            return "", _Known(credential_lists.from_items(credentials))
        digest = hashlib.sha256(credentials.encode("utf-8", "surrogatepass")).hexdigest()
        if (known := self._known.get(digest)) is not None:
            self._known.move_to_end(digest)
            return digest, known
        return digest if len(credentials) <= REMEMBERED else "", _Known(credential_lists.parse_header(credentials))

    def _remember(self, digest: str, known: _Known) -> None:
        """Keep a credential list that was accepted."""
        if digest:
            self._known[digest] = known
            if len(self._known) > CALLERS:
                self._known.popitem(last=False)

    async def _identify(self, item: Credential) -> Identity:
        for provider in self._providers:
            if provider.blocking:
                pool = self._bulkheads.pool(provider.info.name, "")
                identity = await pool.call(partial(provider.authenticate, item), AUTHENTICATION_TIMEOUT)
            else:
                identity = provider.authenticate(item)
            if identity is not None:
                return identity
        raise Unauthenticated("Invalid InfrastructureManager credentials")

    async def _granted(self, caller: Caller, id: str, *, deleted: bool = False) -> Infrastructure:
        infra = self._repository.cached(id) or await self._repository.get(id)
        if infra is None:
            raise NotFound(UNKNOWN)
        if not (caller.admin or not caller.owner_keys.isdisjoint(infra.owners)):
            raise Forbidden(NOT_GRANTED)
        if infra.deleted and not deleted:
            raise NotFound("Deleted infrastructure.")
        if infra.refreshed_with is not caller.credentials and not caller.owner_keys.isdisjoint(infra.owners):
            infra.refreshed_with = caller.credentials
            if self._engine.vault.refresh(infra, caller.credentials):
                self._engine.wake(infra)
        return infra

    async def _to_change(self, caller: Caller, id: str, *, deleting: bool = False) -> Infrastructure:
        mode = self._options.boot_mode
        if mode == 1 or (mode == 2 and not deleting):
            raise Forbidden(DISABLED)
        return await self._granted(caller, id)

    # --- making --------------------------------------------------------------------------------------------

    async def create(self, caller: Caller, document: Document, *, asynchronous: bool = False) -> str:
        """See `Service.create`."""
        if self._options.boot_mode != 0:
            raise Forbidden(DISABLED)
        read = await reading.reckon(len(document.text), reading.of_new, document)
        parsed = read.whole
        self._check_clouds(parsed, caller)
        id = str(uuid.uuid1())
        infra = Infrastructure(id, caller.owner_keys, time.time(), self._repository.new_lease(id))
        infra.owner_names = tuple(identity.username for identity in caller.identities)
        infra.name = parsed.name or ""
        infra.put(DocumentText("radl", read.text))
        self._engine.vault.set_owners(infra, caller.identities)
        self._engine.vault.refresh(infra, caller.credentials)
        infra.touch()
        operation = self._launch(infra, parsed, context=True, creates=True)
        if operation is None:
            await self._repository.create(infra)
            return id
        await self._repository.create(infra)
        outcome = None if asynchronous else self._engine.expect(operation.id)
        self._engine.wake(infra)
        if outcome is not None and (error := await outcome):
            left = await self._destroy(infra, force=False)
            text = f"Error adding VMs: {error}"
            raise type(error)(f"{text} Not all could be removed again, it goes on: {left}" if left else text)
        return id

    async def add(
        self, caller: Caller, infrastructure: str, document: Document, *, context: bool = True
    ) -> Sequence[int]:
        """See `Service.add`."""
        infra, read = await self._combined(caller, infrastructure, document, reading.of_addition)
        if not infra.wanted:
            raise InvalidRequest("Infrastructure deleted. Do not add resources.")
        self._check_clouds(read.sent, caller, infra)
        operation = self._launch(infra, read.whole, context=context, creates=False)
        infra.put(DocumentText("radl", read.text))
        infra.name = read.whole.name or infra.name
        if operation is None:
            infra.log("Infrastructure without any deploy. Exiting.")
            await self._repository.save(infra)
            return []
        if error := await self._carry_out(infra, operation):
            raise type(error)(f"Error adding VMs: {error}")
        return operation.vms

    async def _combined(
        self, caller: Caller, id: str, document: Document, combine: Callable[[str, Document], Reading]
    ) -> tuple[Infrastructure, Reading]:
        """An infrastructure, and what `combine` makes of its stored document and another one.

        It is true until the caller gives others a turn: two changes at the same time must not undo each other.
        """
        while True:
            infra = await self._to_change(caller, id)
            stored = infra.radl
            read = await reading.reckon(len(stored) + len(document.text), combine, stored, document)
            if infra.radl == stored and not infra.lost:
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

    def _launch(
        self, infra: Infrastructure, document: radl.Document, *, context: bool, creates: bool
    ) -> Operation | None:
        """Enter the machines that the deploys of a document ask for; the operation, or None if there are none."""
        total = sum(deploy.count for deploy in document.deploys)
        _check_number(total, sum(1 for _ in infra.alive()))
        if total == 0:
            return None
        infra.generation += 0 if creates else 1
        if context:
            infra.config_generation += 1
        wanted = infra.config_generation if context else 0
        numbers = []
        now = time.time()
        for deploy in document.deploys:
            if not deploy.count:
                continue
            definition = _definition(document, deploy.system)
            if definition.name not in infra.documents:
                infra.put(definition)
            for _ in range(deploy.count):
                numbers.append(infra.next_vm)
                infra.put(
                    VM(
                        number=infra.next_vm,
                        system=deploy.system,
                        definition=definition.name,
                        generation=infra.generation,
                        created=now,
                        config_wanted=wanted,
                        cloud_forced=deploy.cloud or "",
                    )
                )
                infra.next_vm += 1
        if context and not creates:
            self._configure_again(infra, infra.vms)
        return self._operation(infra, OperationKind.LAUNCH, numbers, creates=creates)

    def _configure_again(self, infra: Infrastructure, numbers: Iterable[int]) -> None:
        for number in list(numbers):
            vm = infra.vms[number]
            if vm.wanted and vm.alive and not vm.failure:
                infra.put(replace(vm, config_wanted=infra.config_generation))

    def _operation(
        self,
        infra: Infrastructure,
        kind: OperationKind,
        vms: Sequence[int],
        *,
        creates: bool = False,
        force: bool = False,
    ) -> Operation:
        operation = Operation(
            id=uuid.uuid4().hex,
            kind=kind,
            created=time.time(),
            generation=infra.generation,
            vms=tuple(vms),
            creates=creates,
            force=force,
        )
        infra.put(operation)
        infra.due = time.time()
        infra.touch()
        return operation

    async def _carry_out(self, infra: Infrastructure, operation: Operation) -> IMError | None:
        """Store an operation, have the engine work on it, and return its outcome: None, or what went wrong."""
        outcome = self._engine.expect(operation.id)
        try:
            await self._store(infra)
            return await outcome
        finally:
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
        for number in numbers:
            infra.put(replace(infra.vms[number], wanted=False))
        _forgive(infra)
        if context and numbers:
            infra.config_generation += 1
            self._configure_again(infra, infra.vms)
        operation = self._operation(infra, OperationKind.REMOVE, numbers)
        if error := await self._carry_out(infra, operation):
            raise type(error)(f"Error removing resources: {error}")
        return len(numbers)

    async def reconfigure(
        self, caller: Caller, infrastructure: str, document: Document | None = None, vms: Sequence[int] | None = None
    ) -> None:
        """See `Service.reconfigure`."""
        change: Reading | None = None
        if document is not None and document.text.strip():
            infra, change = await self._combined(caller, infrastructure, document, reading.of_change)
        else:
            infra = await self._to_change(caller, infrastructure)
        if not infra.wanted:
            raise Conflict("Invalid State to perform this operation.")
        numbers = [self._machine(infra, number).number for number in vms] if vms is not None else list(infra.vms)
        if change is not None:
            infra.put(DocumentText("radl", change.text))
        infra.config_generation += 1
        self._configure_again(infra, numbers)
        for run in list(infra.runs.values()):
            if not set(run.vms).isdisjoint(numbers):
                infra.put(replace(run, superseded=True))
                infra.log("The configuration in progress is ended: a new one is asked for.")
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
        if error := await self._carry_out(infra, self._operation(infra, kind, numbers)):
            raise error

    async def reboot(self, caller: Caller, infrastructure: str, vm: int) -> None:
        """See `Service.reboot`."""
        infra = await self._to_change(caller, infrastructure)
        self._must_be_wanted(infra)
        machine = self._machine(infra, vm)
        if error := await self._carry_out(infra, self._operation(infra, OperationKind.REBOOT, [machine.number])):
            raise error

    @staticmethod
    def _must_be_wanted(infra: Infrastructure) -> None:
        if not infra.wanted:
            raise Conflict("Invalid State to perform this operation.")

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
        if infra.deleted:
            return None
        infra.wanted = False
        infra.force = infra.force or force
        infra.generation += 1
        for vm in list(infra.alive()):
            if vm.wanted:
                infra.put(replace(vm, wanted=False))
        _forgive(infra)
        infra.announce()
        operation = self._operation(infra, OperationKind.DESTROY, [vm.number for vm in infra.alive()], force=force)
        if wait:
            return await self._carry_out(infra, operation)
        await self._store(infra)
        return None

    # --- asking --------------------------------------------------------------------------------------------

    async def list(self, caller: Caller, pattern: str | None = None) -> Sequence[str]:
        """See `Service.list`."""
        heads = await self._repository.heads(None if caller.admin else caller.owner_keys)
        ids = [head.id for head in heads]
        if not pattern:
            return ids
        if len(pattern) > MAX_PATTERN:
            raise InvalidRequest(f"the filter is longer than {MAX_PATTERN} characters")
        try:
            expression = regex.compile(pattern)
        except regex.error as error:
            raise InvalidRequest(f"the filter is not a regular expression: {error}") from None
        texts = {id: text for id in ids if (text := await self._repository.document(id)) is not None}
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
        infra = await self._granted(caller, infrastructure, deleted=True)
        return await self._repository.events(infra.id, after, max(1, min(limit, 1000)))

    async def plan(self, caller: Caller, document: Document) -> JSON:
        """See `Service.plan`."""
        parsed = (await reading.reckon(len(document.text), reading.of_new, document)).whole
        _check_number(sum(deploy.count for deploy in parsed.deploys))
        lots = []
        number = 0
        for deploy in parsed.deploys:
            if not deploy.count:
                continue
            numbers = tuple(range(number, number + deploy.count))
            number += deploy.count
            lots.append(lot_of(_definition(parsed, deploy.system).text, deploy.cloud or "", numbers))
        accounts = self._engine.clouds.accounts(caller.credentials)
        choices = await planning.choose(lots, accounts, {}, self._engine.options.defaults)
        return planning.estimate(lots, choices)

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


def _check_number(asked: int, present: int = 0) -> None:
    """Refuse more machines than an infrastructure can have."""
    if asked + present > MAX_MACHINES:
        raise InvalidRequest(f"An infrastructure can have at most {MAX_MACHINES} machines; {asked} are asked for.")


def _forgive(infra: Infrastructure) -> None:
    """A new request is a new chance for whatever could not be deleted so far."""
    for entry in list(infra.entries.values()):
        if entry.attempts or entry.not_before:
            infra.put(replace(entry, attempts=0, not_before=0.0, busy_since=0.0, generation=infra.generation))


def _definition(document: radl.Document, system: str) -> DocumentText:
    """The text that a machine is launched with: its system and the networks that one uses, named by its digest."""
    text = radl.dumps(document.for_machine(document.systems[system]))
    return DocumentText(f"definition/{hashlib.sha256(text.encode()).hexdigest()[:16]}", text)
