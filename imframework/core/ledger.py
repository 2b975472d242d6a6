"""The verbs: making, finding, reading and deleting resources, each written down before and after.

An entry goes PLANNED → INTENDED → EXISTS → READY, and DELETING → gone. INTENDED and DELETING are stored before the
cloud is asked, so after a kill at any instant the ledger knows everything that may exist. An intent whose outcome is
unknown is *uncertain*: it is settled by the way its kind is recognised before anything else happens to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from imframework.api.errors import CloudBusy, CloudError, CloudRefused, IMError, OutcomeUnknown, UsedByOthers
from imframework.api.model import Observation, Phase, Recognition, Resource
from imframework.core.calls import CallAbandoned, CallLeft
from imframework.core.clouds import Account
from imframework.core.entities import Alteration, Entry, Status
from imframework.core.workbench import Workbench

logger = logging.getLogger("imframework.ledger")

#: Most resources in one bulk read.
BULK = 250
#: First and longest pause between two looks at something that is on its way, in seconds.
POLL_FIRST, POLL_LONGEST = 0.05, 5.0
#: Pause before finding out what became of a call whose answer is lost, growing with each one, in seconds.
UNCERTAIN_PAUSE = 0.5
#: First pause when a cloud says that it cannot do something now.
BUSY_PAUSE = 0.25
#: Longest pause between two attempts at something that must succeed in the end, such as a deletion.
LONGEST_BACKOFF = 600.0


class Ledger:
    """Carries out verbs for one infrastructure. Every method is one activity: it never runs twice at once for a key."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._options = bench.options
        self.closing = False  #: the service ends: nothing that changes a cloud is begun any more

    # --- making --------------------------------------------------------------------------------------------

    async def create(self, key: str) -> None:
        """Have one resource made."""
        entry = self._infra.entries[key]
        bench = self._bench
        try:
            account = bench.account(entry.account)
            resource = entry.resource(self._infra.entries)
        except LookupError as error:
            self._failed(
                entry, CloudError(f"The plan of {entry.name_in_plan} refers to {error}, which is not known."), True
            )
            return
        except IMError as error:
            self._failed(entry, error, True)
            return
        if entry.adopted:
            bench.put_entry(replace(entry, status=Status.EXISTS, resolved=resource.spec))
            return
        entry = replace(entry, status=Status.INTENDED, intended_at=time.time(), resolved=resource.spec)
        bench.put_entry(entry)
        await bench.save()
        if self.closing or not bench.graph.wanted(entry):
            bench.put_entry(replace(self._fresh(entry), status=Status.PLANNED, resolved=None, intended_at=0.0))
            return
        if entry.machine is not None:
            bench.observe_launch(entry.machine)
        try:
            observed = await self._ask(account, entry, resource)
        except OutcomeUnknown as error:
            self._uncertain(entry, error)
        except IMError as error:
            self._failed(entry, error, not error.retryable)
        else:
            self.made(entry, observed)

    async def _ask(self, account: Account, entry: Entry, resource: Resource) -> Observation:
        """Ask a cloud to make something. If nobody waits for its answer any more, that is taken whenever it comes."""
        bench = self._bench
        try:
            return await account.create(resource, entry.token, lambda answer, error: bench.late(entry, answer))
        except (CallAbandoned, CallLeft):
            bench.tools.abandoned.add(self._infra.id, entry.key)
            raise

    async def resolve(self, key: str) -> None:
        """Find out what became of an intent whose outcome is unknown."""
        entry = self._infra.entries[key]
        bench = self._bench
        wanted = bench.graph.wanted(entry)
        refusal: CloudRefused | None = None
        try:
            account = bench.account(entry.account)
            kind = account.kind(entry.kind)
            resource = entry.resource(self._infra.entries)
            if kind.recognised_by is Recognition.NONE:
                self._lost(entry)
                return
            if kind.recognised_by is Recognition.TOKEN and wanted:
                try:
                    self.made(entry, await self._ask(account, entry, resource))
                    return
                except CloudRefused as error:
                    refusal = error  # it is not made now; that it was not made before is to be seen
            asked_at = time.time()  # the answer may be long on its way, and tells of no later instant
            found = _there(await account.find(resource, entry.token, urgent=not wanted), going=not wanted)
        except OutcomeUnknown as error:
            self._uncertain(entry, error)
            return
        except IMError as error:
            self._unresolved(entry, error)
            return
        entry = self._fresh(entry)
        # Whoever had this before us may have asked the cloud at any time until we took it up.
        visible_at = max(entry.intended_at, self._infra.taken_up_at) + kind.window
        if found:
            self.made(replace(entry, sweep_at=time.time() + kind.window if kind.window else 0.0), found[0])
            self._duplicates(entry, found[1:])
        elif asked_at < visible_at:
            later = min(time.time() + max(kind.window / 10, POLL_FIRST), visible_at)
            bench.put_entry(replace(entry, not_before=later))
        elif refusal is not None:
            self._failed(entry, refusal, True)
        elif not wanted and key in bench.tools.abandoned.of(self._infra.id):
            self._unresolved(entry, CloudError("the call to make it has not ended yet"))
        else:
            # Nothing of it is there, and if it had been made it would be visible by now.
            bench.put_entry(
                replace(
                    entry,
                    status=Status.PLANNED,
                    resolved=None,
                    sweep_at=time.time() + kind.window if kind.window else 0,
                )
            )

    async def sweep(self, key: str) -> None:
        """Look for duplicates of something that was made after an unknown outcome."""
        entry = self._infra.entries[key]
        try:
            account = self._bench.account(entry.account)
            found = await account.find(entry.resource(self._infra.entries), entry.token, urgent=False)
        except IMError as error:
            logger.warning("sweep of %s of %s: %s", key, self._infra.id, error)
            later = time.time() + self._options.retry_delay
            self._bench.put_entry(replace(self._fresh(entry), sweep_at=later))
            return
        current = self._infra.entries.get(key)
        if current is None:
            return
        self._bench.put_entry(replace(current, sweep_at=0.0))
        self._duplicates(current, _there(found))

    def made(self, entry: Entry, observed: Observation) -> None:
        """Write down that a resource exists."""
        lost = self._infra.entries.get(_lost_key(entry))
        if lost is not None:
            self._bench.drop_entry(lost)  # found after all
        current = self._infra.entries.get(entry.key)
        if (
            current is None
            or current.token != entry.token
            or (current.provider_id and current.provider_id != observed.provider_id)
        ):
            self._duplicates(entry, [observed])
            return
        if (
            current.provider_id
            and current.status not in (Status.PLANNED, Status.INTENDED)
            and current.key not in (self._bench.graph.busy)
        ):
            if entry.midway and current.present:  # an update that came late: what was wanted since is to be done again
                self._bench.put_entry(replace(current, outdated=True, midway=True))
            return  # a late answer about something known by now
        entry = self._fresh(entry)
        if observed.phase == Phase.FAILED:
            failed = replace(entry, provider_id=observed.provider_id, attributes=observed.attributes)
            self._failed(failed, CloudError(observed.message or f"{entry.kind} {entry.name} is in error"), True)
            return
        status = Status.READY if observed.phase in (Phase.READY, Phase.STOPPED) else Status.EXISTS
        # A deletion may have been asked for meanwhile: the levels of the machines say so, not this entry.
        self._bench.put_entry(
            replace(
                entry,
                status=status,
                phase=observed.phase,
                provider_id=observed.provider_id,
                attributes=entry.observed(observed.attributes),
                made_at=entry.made_at or time.time(),
                attempts=0,
                error="",
                not_before=0.0,
                busy_since=0.0,
            )
        )

    async def advance(self, key: str) -> None:
        """Take the next step of something that is not finished with one call."""
        entry = self._infra.entries[key]
        pause = time.time() + min(max(POLL_FIRST, (time.time() - entry.made_at) / 4), POLL_LONGEST)
        try:
            account = self._bench.account(entry.account)
            handle = entry.handle(self._infra.entries)
            observed = await account.update(handle, handle.resource)
        except IMError as error:
            entry = self._fresh(entry)
            attempts = entry.attempts + 1
            if self._is_busy(entry, error, self._options.wait_running):
                self._bench.put_entry(_busy(entry, error, self._options.retry_delay))
            elif not error.retryable or attempts >= self._options.max_vm_fails:
                self._failed(entry, error, True)
            else:
                later = time.time() + self._options.retry_delay
                self._bench.put_entry(replace(entry, attempts=attempts, error=str(error), not_before=later))
        else:
            self.made(entry, replace(observed, provider_id=entry.provider_id))
            current = self._infra.entries[key]
            if current.phase == Phase.UPDATING:
                self._bench.put_entry(replace(current, not_before=pause))

    async def update(self, key: str) -> None:
        """Bring one resource to its present spec, or a step nearer. Asking twice is harmless: nothing is found out."""
        entry, bench = self._infra.entries[key], self._bench
        try:
            account = bench.account(entry.account)
            target = entry.resource(self._infra.entries, updated=True)
        except LookupError as error:
            self._not_updated(entry, CloudError(f"{entry.kind} {entry.name} refers to {error}, which is not known."))
            return
        except IMError as error:
            self._not_updated(entry, error)
            return
        before, first = entry, not entry.midway
        if first:
            entry = replace(entry, status=Status.EXISTS, phase=Phase.UPDATING, midway=True, intended_at=time.time())
            bench.put_entry(entry)
            await bench.save()
        if self.closing or not bench.graph.wanted(self._fresh(entry)):
            return
        asked = entry

        def late(answer: Observation | None, error: BaseException | None) -> None:
            bench.tools.late(self._infra.id, asked, answer or Observation(Phase.UNKNOWN, asked.provider_id))

        try:
            observed = await account.update(entry.handle(self._infra.entries), target, late)
        except IMError as error:
            if first and not isinstance(error, OutcomeUnknown):  # it is as it was
                entry = replace(entry, status=before.status, phase=before.phase, midway=False)
            self._not_updated(self._fresh(entry), error)
            return
        entry = self._fresh(entry)
        attributes = entry.observed(observed.attributes)
        if observed.phase == Phase.UPDATING:
            pause = time.time() + min(max(POLL_FIRST, (time.time() - entry.intended_at) / 4), POLL_LONGEST)
            bench.put_entry(replace(entry, attributes=attributes, attempts=0, error="", not_before=pause))
        elif observed.phase in (Phase.FAILED, Phase.ABSENT):
            text = observed.message or f"{entry.kind} {entry.name} is {observed.phase} after its update"
            self._not_updated(replace(entry, attributes=attributes), CloudRefused(text))
        elif entry.spec == asked.spec:
            bench.put_entry(self._settled(replace(entry, attributes=attributes, resolved=target.spec), observed.phase))

    def _settled(self, entry: Entry, phase: Phase) -> Entry:
        """The entry after its update."""
        return replace(
            entry,
            status=Status.READY if phase in (Phase.READY, Phase.STOPPED) else Status.EXISTS,
            phase=phase,
            outdated=False,
            midway=False,
            needed=(),
            attempts=0,
            error="",
            not_before=0.0,
            busy_since=0.0,
        )

    def _not_updated(self, entry: Entry, error: IMError) -> None:
        """An update was not done. In the end that is the end of the alteration it belongs to; returning goes on."""
        bench = self._bench
        if self._is_busy(entry, error, self._options.wait_running):
            bench.put_entry(_busy(entry, error, self._options.retry_delay))
            return
        attempts = entry.attempts + 1
        self._infra.emit("resource", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))
        not_before = time.time() + self._backoff(attempts)
        entry = replace(entry, attempts=attempts, error=str(error), not_before=not_before)
        final = not error.retryable or attempts >= self._options.max_vm_fails
        changing = [n for n in entry.owners if self._infra.vms[n].alteration == Alteration.CHANGING]
        if final and changing:
            bench.put_entry(entry)
            self._give_up_owners(entry)
        elif error.retryable:
            bench.put_entry(entry)
        else:
            self._infra.log(f"{entry.kind} {entry.name} cannot be brought to what it should be: {error}")
            off = entry.machine is not None and not self._infra.vms[entry.machine].power_on
            phase = Phase.STOPPED if off else Phase.READY  # until it is read
            bench.put_entry(replace(self._settled(entry, phase), error=str(error)))

    def _fresh(self, entry: Entry) -> Entry:
        """The entry with what others have changed during a call: a later plan its owners, a new request its chances, an
        alteration what it is to be."""
        current = self._infra.entries.get(entry.key)
        if current is None:
            return entry
        return replace(
            entry,
            owners=current.owners,
            attempts=min(entry.attempts, current.attempts),
            generation=current.generation,
            spec=current.spec,
            depends_on=current.depends_on,
            outdated=current.outdated,
            needed=current.needed,
            left=current.left,
            lasting=current.lasting,
        )

    def _is_busy(self, entry: Entry, error: IMError, patience: float) -> bool:
        """Whether an error says "not now", and has not done so for longer than one should believe it."""
        return isinstance(error, CloudBusy) and not (entry.busy_since and time.time() > entry.busy_since + patience)

    def _unresolved(self, entry: Entry, error: IMError) -> None:
        """It cannot be found out what became of an intent: go on trying; too often, and the machine is given up."""
        entry = self._fresh(entry)
        attempts = entry.attempts + 1
        if self._infra.force and attempts >= self._options.max_vm_fails:
            self._keep(entry, f"{entry.kind} {entry.name} may have been made: {error}")
            return
        self._note_attempt(entry, attempts, error)
        not_before = time.time() + self._backoff(attempts)
        self._bench.put_entry(replace(entry, attempts=attempts, error=str(error), not_before=not_before))
        if attempts >= self._options.max_vm_fails:
            self._give_up_owners(entry)

    def _backoff(self, attempts: int) -> float:
        """Seconds until the next try at something that must succeed in the end."""
        return min(self._options.retry_delay * 2.0 ** max(0, attempts - self._options.max_vm_fails), LONGEST_BACKOFF)

    def _keep(self, entry: Entry, reason: str) -> None:
        """Stop trying, by order of the user: from now on it is a thing that may be left."""
        self._bench.put_entry(replace(entry, status=Status.LOST, error=reason, owners=frozenset()))

    def _uncertain(self, entry: Entry, error: IMError) -> None:
        """The answer is lost: find out what happened, after a pause; too many of them and the machine is given up."""
        entry = self._fresh(entry)
        attempts = entry.attempts + 1
        self._note_attempt(entry, attempts, error)
        not_before = time.time() + min(self._options.retry_delay, attempts * UNCERTAIN_PAUSE)
        # The call has ended only now, so what it may have made can take as long from now on to be seen.
        entry = replace(entry, attempts=attempts, error=str(error), intended_at=time.time(), not_before=not_before)
        self._bench.put_entry(entry)
        if attempts >= self._options.max_vm_fails:
            self._give_up_owners(entry)

    def _note_attempt(self, entry: Entry, attempts: int, error: IMError) -> None:
        """Remember a failed attempt with the machines that cannot be without it."""
        for owner in sorted(entry.owners):
            vm = self._infra.vms.get(owner)
            alone = len(entry.owners) == 1
            if vm is not None and (vm.settling or (alone and vm.wanted and not vm.failure and not vm.alteration)):
                self._bench.put_vm(replace(vm, attempts=(*vm.attempts, f"Attempt {attempts}: {error}")))
        self._infra.emit("launch", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))

    def _give_up_owners(self, entry: Entry) -> None:
        """Give up the machines that cannot be without a resource. One that lives with others' help goes on living."""
        for owner in sorted(entry.owners):
            vm = self._infra.vms[owner]
            if vm.launched and vm.alteration:
                self._bench.refuse_alteration(owner, self._infra.entries.get(entry.key, entry).error)
            elif len(entry.owners) == 1 or vm.settling:
                self._bench.give_up(owner)

    def _lost(self, entry: Entry) -> None:
        """Keep an unrecognisable intent on record, and let the work go on with a fresh one."""
        bench = self._bench
        entry = self._fresh(entry)
        name = _lost_key(entry).removeprefix(f"{entry.account}/")
        reason = f"{entry.kind} {entry.name} may have been made; its cloud offers no way to recognise it"
        bench.put_entry(
            replace(
                entry,
                name_in_plan=name,
                status=Status.LOST,
                error=reason,
                machine=None,
                owners=frozenset(),
                lasting=False,
                left=None,
            )
        )
        bench.infra.log(reason)
        if bench.graph.wanted(entry):
            bench.put_entry(replace(entry, status=Status.PLANNED, token=uuid.uuid4().hex, resolved=None))
        else:
            bench.drop_entry(entry)

    def _duplicates(self, entry: Entry, found: Iterable[Observation]) -> None:
        """Enter things that nobody planned, so that they are deleted like everything nobody wants."""
        for answer in found:
            known = self._infra.entries.get(entry.key)
            if known is not None and known.provider_id == answer.provider_id:
                continue
            duplicate = replace(
                entry,
                name_in_plan=f"{entry.name_in_plan}#{answer.provider_id}",
                status=Status.EXISTS,
                provider_id=answer.provider_id,
                attributes=answer.attributes,
                owners=frozenset(),
                machine=None,
                depends_on=(),
                goes_with="",
                lasting=False,
                left=None,
                made_at=time.time(),
                attempts=0,
                not_before=0.0,
                sweep_at=0.0,
            )
            if duplicate.key not in self._infra.entries:
                logger.warning("%s of %s exists twice; deleting %s", entry.key, self._infra.id, answer.provider_id)
                self._bench.put_entry(duplicate)

    def give_up(self, key: str, reason: str) -> None:
        """Write down that a resource will never be made."""
        self._failed(self._infra.entries[key], CloudError(reason), True)

    def _failed(self, entry: Entry, error: IMError, final: bool) -> None:
        """Write down a failed attempt; after the last one the machines that need the resource have failed."""
        entry = self._fresh(entry)
        bench = self._bench
        if not final and self._is_busy(entry, error, self._options.wait_running):
            busy = _busy(entry, error, self._options.retry_delay)
            bench.put_entry(replace(busy, status=Status.PLANNED, resolved=None))
            return
        attempts = entry.attempts + 1
        self._note_attempt(entry, attempts, error)
        if final or attempts >= self._options.max_vm_fails:
            bench.put_entry(replace(entry, status=Status.FAILED, attempts=attempts, error=str(error)))
            self._give_up_owners(entry)
        else:
            bench.put_entry(
                replace(
                    entry,
                    status=Status.PLANNED,
                    token=uuid.uuid4().hex,  # clouds remember what a token was answered with
                    attempts=attempts,
                    error=str(error),
                    resolved=None,
                    not_before=time.time() + self._options.retry_delay,
                )
            )

    # --- deleting ------------------------------------------------------------------------------------------

    async def delete(self, key: str) -> None:
        """Have one resource deleted; that it is gone is seen by `read`."""
        bench = self._bench
        entry = self._infra.entries[key]
        if entry.adopted or not entry.may_exist:
            bench.drop_entry(entry)
            return
        if entry.status != Status.DELETING:
            entry = replace(
                entry, status=Status.DELETING, attempts=0, error="", intended_at=time.time(), busy_since=0.0
            )
            bench.put_entry(entry)
            await bench.save()
            if self.closing:
                return
        try:
            account = bench.account(entry.account)
            if entry.sweep_at:  # after this one is gone nobody would look for its duplicates any more
                found = await account.find(entry.resource(self._infra.entries), entry.token, urgent=True)
                self._duplicates(entry, _there(found))
                entry = replace(self._fresh(entry), sweep_at=0.0)
                bench.put_entry(entry)
            await account.delete(entry.handle(self._infra.entries))
        except UsedByOthers as error:
            self._infra.log(f"{entry.kind} {entry.name} stays: {error}")
            bench.drop_entry(entry)
        except IMError as error:
            # Also if the answer was lost: deleting twice is harmless, so nothing has to be found out.
            entry = self._fresh(entry)
            if self._is_busy(entry, error, self._options.delete_grace):
                bench.put_entry(_busy(entry, error, self._options.retry_delay))
            else:
                self._undeleted(entry, error)
        else:
            bench.graph.accepted.add(key)

    def _undeleted(self, entry: Entry, error: IMError) -> None:
        attempts = entry.attempts + 1
        self._infra.emit("resource", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))
        if self._infra.force and attempts >= self._options.max_vm_fails:
            self._keep(entry, f"{entry.kind} {entry.name} could not be deleted: {error}")
            return
        not_before = time.time() + self._backoff(attempts)
        self._bench.put_entry(replace(entry, attempts=attempts, error=str(error), not_before=not_before))

    # --- reading -------------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str]) -> None:
        """Ask the clouds about resources, many at a time, and write down what changed."""
        by_account: defaultdict[str, list[Entry]] = defaultdict(list)
        for key in keys:
            if (entry := self._infra.entries.get(key)) is not None:
                by_account[entry.account].append(entry)
        await asyncio.gather(
            *(
                self._read(account, entries[start : start + BULK])
                for account, entries in by_account.items()
                for start in range(0, len(entries), BULK)
            )
        )

    async def _read(self, name: str, entries: Sequence[Entry]) -> None:
        bench = self._bench
        asked_at = time.time()
        try:
            account = bench.account(name)
            urgent = any(entry.status == Status.DELETING for entry in entries)
            answers = await account.read([entry.handle(self._infra.entries) for entry in entries], urgent=urgent)
        except IMError as error:
            self._unread(entries, error)
            return
        self._infra.answered_at[name] = time.monotonic()
        for entry, observed in zip(entries, answers, strict=True):
            current = self._infra.entries.get(entry.key)
            if current is entry and entry.key not in bench.graph.busy:
                try:
                    self._observed(account, entry, observed, asked_at)
                except IMError as error:  # of a kind that this connector does not have
                    self._unread([entry], error)

    def _unread(self, entries: Sequence[Entry], error: IMError) -> None:
        """A bulk read failed: states are kept for a while, then unknown; deletions are not verified."""
        infra, bench, most = self._infra, self._bench, self._options.max_vm_fails
        logger.warning("infrastructure %s: cannot read %d resources: %s", infra.id, len(entries), error)
        answered_at = infra.answered_at.get(entries[0].account, infra.taken_up)
        overdue = time.monotonic() - answered_at > self._options.grace_period
        for entry in entries:
            current = infra.entries.get(entry.key)
            if current is None or current.key in bench.graph.busy:
                continue
            if current.status == Status.DELETING:
                if infra.force and current.attempts + 1 >= most:
                    self._keep(current, f"{entry.kind} {entry.name} may still exist: {error}")
                elif current.attempts < most:
                    bench.put_entry(replace(current, attempts=current.attempts + 1, error=str(error)))
            elif (
                overdue
                and current.machine is not None
                and current.status == Status.READY
                and current.phase != Phase.UNKNOWN
            ):
                bench.put_entry(replace(current, phase=Phase.UNKNOWN, error=str(error)))

    def _observed(self, account: Account, entry: Entry, observed: Observation, asked_at: float) -> None:
        """Write down what a cloud has answered. When it looked is not known: at `asked_at` or some time after."""
        bench = self._bench
        absent = observed.phase == Phase.ABSENT
        if absent and asked_at < entry.made_at + account.kind(entry.kind).lag:
            return  # right after its creation a thing may be there and not be seen
        if entry.status == Status.DELETING:
            if absent:
                bench.drop_entry(entry)
            elif observed.phase == Phase.UPDATING:
                bench.graph.accepted.discard(entry.key)
                bench.graph.evaluate(entry.key)
            elif time.time() - entry.intended_at > self._options.delete_grace and (
                observed.phase not in (Phase.DELETING, Phase.UNKNOWN) or self._infra.force or self._overdue(entry)
            ):
                # Accepted, and yet it stands there: ask again after a while, as after a failure.
                bench.graph.accepted.discard(entry.key)
                text = f"{entry.kind} {entry.name} still exists"
                self._undeleted(replace(entry, intended_at=time.time()), CloudError(text))
            return
        if absent and entry.status == Status.EXISTS:
            if asked_at > entry.made_at + self._options.delete_grace:
                self._failed(entry, CloudError(f"{entry.kind} {entry.name} has disappeared"), True)
            return
        if observed.phase == Phase.FAILED and entry.status == Status.EXISTS:
            text = observed.message or f"{entry.kind} {entry.name} is in error"
            self._failed(replace(entry, attributes=entry.observed(observed.attributes)), CloudError(text), True)
            return
        if entry.status == Status.EXISTS and observed.phase in (Phase.READY, Phase.STOPPED):
            status: str = Status.READY
        else:
            status = entry.status
        attributes = entry.observed(observed.attributes)
        if (status, observed.phase, attributes) != (entry.status, entry.phase, entry.attributes):
            if entry.status == Status.READY and absent:
                self._infra.emit("drift", resource=entry.name_in_plan, kind=entry.kind, found="absent")
                self._infra.log(f"{entry.kind} {entry.name} has disappeared from its cloud.")
            bench.follow_power(entry, observed.phase)
            bench.put_entry(replace(entry, status=status, phase=observed.phase, attributes=attributes, error=""))
        elif entry.status == Status.EXISTS and self._overdue(entry) and not entry.error:
            text = f"{entry.kind} {entry.name} did not become ready within {self._options.wait_running:g} s"
            bench.put_entry(replace(entry, error=text))

    def _overdue(self, entry: Entry) -> bool:
        return time.time() - entry.intended_at > self._options.wait_running


def _there(found: Iterable[Observation], *, going: bool = False) -> list[Observation]:
    """Without what is gone, or (unless `going` things count) on its way out."""
    gone = (Phase.ABSENT,) if going else (Phase.ABSENT, Phase.DELETING)
    return [answer for answer in found if answer.phase not in gone]


def _lost_key(entry: Entry) -> str:
    """The key under which an intent is kept that nothing recognises."""
    return f"{entry.key}?{entry.token[:8]}"


def _busy(entry: Entry, error: IMError, longest: float) -> Entry:
    """The entry after its cloud has said "not now": asked again soon, and more and more seldom."""
    now = time.time()
    since = entry.busy_since or now
    pause = min(max(BUSY_PAUSE, (now - since) / 2), longest)
    return replace(entry, error=str(error), busy_since=since, not_before=now + pause)
