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

from imframework.api.errors import CloudBusy, CloudError, IMError, OutcomeUnknown, UsedByOthers
from imframework.api.model import Observation, Phase, Recognition
from imframework.core.clouds import Account
from imframework.core.entities import Entry, Status
from imframework.core.workbench import Workbench

logger = logging.getLogger("imframework.ledger")

#: Most resources in one bulk read.
BULK = 250
#: First and longest pause between two looks at something that is on its way, in seconds.
POLL_FIRST, POLL_LONGEST = 0.05, 5.0
#: Pause before finding out what became of a call whose answer is lost, growing with each one, in seconds.
UNCERTAIN_PAUSE = 0.5
#: Longest pause between two attempts at deleting something that will not go.
DELETE_LONGEST = 600.0


class Ledger:
    """Carries out verbs for one infrastructure. Every method is one activity: it never runs twice at once for a key."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._options = bench.options
        self._failures: dict[str, int] = {}  #: bulk reads that failed one after the other, by account

    # --- making --------------------------------------------------------------------------------------------

    async def create(self, key: str) -> None:
        """Have one resource made."""
        entry = self._infra.entries[key]
        bench = self._bench
        if entry.adopted:
            bench.put_entry(replace(entry, status=Status.EXISTS))
            return
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
        entry = replace(entry, status=Status.INTENDED, intended_at=time.time(), resolved=resource.spec)
        bench.put_entry(entry)
        await bench.save()
        if entry.machine is not None:
            bench.observe_launch(entry.machine)
        try:
            observed = await account.create(resource, entry.token, lambda answer, error: bench.late(entry, answer))
        except OutcomeUnknown as error:
            self._uncertain(entry, error)
        except IMError as error:
            self._failed(entry, error, not error.retryable)
        else:
            self.made(entry, observed)

    async def resolve(self, key: str) -> None:
        """Find out what became of an intent whose outcome is unknown."""
        entry = self._infra.entries[key]
        bench = self._bench
        try:
            account = bench.account(entry.account)
            kind = account.kind(entry.kind)
            resource = entry.resource(self._infra.entries)
            if kind.recognised_by is Recognition.NONE:
                self._lost(entry)
                return
            if kind.recognised_by is Recognition.TOKEN and bench.graph.wanted(entry):
                observed = await account.create(resource, entry.token, lambda answer, error: bench.late(entry, answer))
                self.made(entry, observed)
                return
            found = _there(await account.find(resource, entry.token))
        except OutcomeUnknown as error:
            self._uncertain(entry, error)
            return
        except IMError as error:
            self._unresolved(entry, error)
            return
        entry = self._fresh(entry)
        if found:
            self.made(replace(entry, sweep_at=time.time() + kind.window if kind.window else 0.0), found[0])
            self._duplicates(entry, found[1:])
        elif time.time() < entry.intended_at + kind.window:
            later = min(time.time() + max(kind.window / 10, POLL_FIRST), entry.intended_at + kind.window)
            bench.put_entry(replace(entry, not_before=later))
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
        account = self._bench.account(entry.account)
        try:
            found = await account.find(entry.resource(self._infra.entries), entry.token)
        except IMError as error:
            logger.warning("sweep of %s of %s: %s", key, self._infra.id, error)
            self._bench.put_entry(replace(entry, sweep_at=time.time() + self._options.retry_delay))
            return
        current = self._infra.entries.get(key)
        if current is None:
            return
        self._bench.put_entry(replace(current, sweep_at=0.0))
        self._duplicates(current, _there(found))

    def made(self, entry: Entry, observed: Observation) -> None:
        """Write down that a resource exists."""
        current = self._infra.entries.get(entry.key)
        if current is None or (current.provider_id and current.provider_id != observed.provider_id):
            self._duplicates(entry, [observed])
            return
        if (
            current.provider_id
            and current.status not in (Status.PLANNED, Status.INTENDED)
            and current.key not in (self._bench.graph.busy)
        ):
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
        except (OutcomeUnknown, CloudBusy) as error:
            self._bench.put_entry(replace(self._fresh(entry), error=str(error), not_before=pause))
        except IMError as error:
            attempts = entry.attempts + 1
            if not error.retryable or attempts >= self._options.max_vm_fails:
                self._failed(entry, error, True)
            else:
                later = time.time() + self._options.retry_delay
                entry = self._fresh(entry)
                self._bench.put_entry(replace(entry, attempts=attempts, error=str(error), not_before=later))
        else:
            self.made(entry, replace(observed, provider_id=entry.provider_id))
            current = self._infra.entries[key]
            if current.phase == Phase.UPDATING:
                self._bench.put_entry(replace(current, not_before=pause))

    def _fresh(self, entry: Entry) -> Entry:
        """The entry with the owners it has by now: a later plan may have given it more during a call."""
        current = self._infra.entries.get(entry.key)
        return entry if current is None else replace(entry, owners=current.owners)

    def _unresolved(self, entry: Entry, error: IMError) -> None:
        attempts = entry.attempts + 1
        if self._infra.force and attempts >= self._options.max_vm_fails:
            reason = f"{entry.kind} {entry.name} may have been made: {error}"
            self._bench.put_entry(replace(entry, status=Status.LOST, error=reason, owners=frozenset()))
            return
        delay = self._options.retry_delay
        self._bench.put_entry(
            replace(self._fresh(entry), attempts=attempts, error=str(error), not_before=time.time() + delay)
        )

    def _uncertain(self, entry: Entry, error: IMError) -> None:
        """The answer is lost: find out what happened, after a pause; too many of them and the machine is given up."""
        entry = self._fresh(entry)
        attempts = entry.attempts + 1
        self._infra.emit("launch", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))
        not_before = time.time() + min(self._options.retry_delay, attempts * UNCERTAIN_PAUSE)
        # The call has ended only now, so what it may have made can take as long from now on to be seen.
        entry = replace(entry, attempts=attempts, error=str(error), intended_at=time.time(), not_before=not_before)
        self._bench.put_entry(entry)
        if attempts >= self._options.max_vm_fails:
            for owner in sorted(entry.owners):
                vm = self._infra.vms.get(owner)
                if vm is not None and vm.settling:
                    self._bench.put_vm(replace(vm, attempts=(*vm.attempts, f"Attempt {attempts}: {error}")))
                self._bench.give_up(owner)

    def _lost(self, entry: Entry) -> None:
        """Keep an unrecognisable intent on record, and let the work go on with a fresh one."""
        bench = self._bench
        entry = self._fresh(entry)
        name = f"{entry.name_in_plan}?{entry.token[:8]}"
        reason = f"{entry.kind} {entry.name} may have been made; its cloud offers no way to recognise it"
        bench.put_entry(
            replace(entry, name_in_plan=name, status=Status.LOST, error=reason, machine=None, owners=frozenset())
        )
        bench.infra.log(reason)
        if bench.graph.wanted(entry):
            bench.put_entry(
                replace(
                    entry, status=Status.PLANNED, token=uuid.uuid4().hex, resolved=None, attempts=entry.attempts + 1
                )
            )
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
        if isinstance(error, CloudBusy):
            later = time.time() + self._options.retry_delay
            bench.put_entry(replace(entry, status=Status.PLANNED, error=str(error), resolved=None, not_before=later))
            return
        attempts = entry.attempts + 1
        text = f"Attempt {attempts}: {error}"
        for owner in sorted(entry.owners):
            vm = self._infra.vms.get(owner)
            if vm is not None and vm.settling:
                bench.put_vm(replace(vm, attempts=(*vm.attempts, text)))
        self._infra.emit("launch", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))
        if final or attempts >= self._options.max_vm_fails:
            bench.put_entry(replace(entry, status=Status.FAILED, attempts=attempts, error=str(error)))
            for owner in sorted(entry.owners):
                bench.give_up(owner)
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
            entry = replace(entry, status=Status.DELETING, attempts=0, error="", intended_at=time.time())
            bench.put_entry(entry)
            await bench.save()
        try:
            await bench.account(entry.account).delete(entry.handle(self._infra.entries))
        except OutcomeUnknown as error:
            # Deleting twice is harmless, so nothing has to be found out: look, and ask again if it is still there.
            self._undeleted(entry, error)
        except UsedByOthers as error:
            self._infra.log(f"{entry.kind} {entry.name} stays: {error}")
            bench.drop_entry(entry)
        except CloudBusy as error:
            later = time.time() + self._options.retry_delay
            bench.put_entry(replace(entry, error=str(error), not_before=later))
        except IMError as error:
            self._undeleted(entry, error)
        else:
            bench.graph.accepted.add(key)

    def _undeleted(self, entry: Entry, error: IMError) -> None:
        attempts = entry.attempts + 1
        delay = min(self._options.retry_delay * 2 ** max(0, attempts - self._options.max_vm_fails), DELETE_LONGEST)
        self._infra.emit("resource", resource=entry.name_in_plan, kind=entry.kind, attempt=attempts, error=str(error))
        if self._infra.force and attempts >= self._options.max_vm_fails:
            reason = f"{entry.kind} {entry.name} could not be deleted: {error}"
            self._bench.put_entry(
                replace(entry, status=Status.LOST, error=reason, attempts=attempts, owners=frozenset())
            )
            return
        self._bench.put_entry(replace(entry, attempts=attempts, error=str(error), not_before=time.time() + delay))

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
        try:
            account = bench.account(name)
            answers = await account.read([entry.handle(self._infra.entries) for entry in entries])
        except IMError as error:
            self._unread(entries, error)
            return
        self._failures.pop(name, None)
        self._infra.answered_at = time.monotonic()
        for entry, observed in zip(entries, answers, strict=True):
            current = self._infra.entries.get(entry.key)
            if current is entry and entry.key not in bench.graph.busy:
                self._observed(account, entry, observed)

    def _unread(self, entries: Sequence[Entry], error: IMError) -> None:
        """A bulk read failed: states are kept for a while, then unknown."""
        account = entries[0].account
        self._failures[account] = failures = self._failures.get(account, 0) + 1
        logger.warning("infrastructure %s: cannot read %d resources: %s", self._infra.id, len(entries), error)
        give_up = self._infra.force and failures >= self._options.max_vm_fails
        overdue = time.monotonic() - self._infra.answered_at > self._options.grace_period
        for entry in entries:
            current = self._infra.entries.get(entry.key)
            if current is None:
                continue
            if give_up and current.status == Status.DELETING:
                reason = f"{entry.kind} {entry.name} may still exist: {error}"
                self._bench.put_entry(replace(current, status=Status.LOST, error=reason, owners=frozenset()))
            elif overdue and current.machine is not None and current.status == Status.READY:
                self._bench.put_entry(replace(current, phase=Phase.UNKNOWN, error=str(error)))

    def _observed(self, account: Account, entry: Entry, observed: Observation) -> None:
        bench = self._bench
        if entry.status == Status.DELETING:
            if observed.phase == Phase.ABSENT:
                # Right after its creation a thing may be there and not be seen.
                if time.time() >= entry.made_at + account.kind(entry.kind).lag:
                    bench.drop_entry(entry)
            elif observed.phase == Phase.UPDATING:
                bench.graph.accepted.discard(entry.key)
                bench.graph.evaluate(entry.key)
            elif time.time() - entry.intended_at > self._options.delete_grace and (
                observed.phase not in (Phase.DELETING, Phase.UNKNOWN) or self._overdue(entry)
            ):
                # Accepted, and yet it stands there: ask again after a while, as after a failure.
                bench.graph.accepted.discard(entry.key)
                text = f"{entry.kind} {entry.name} still exists"
                self._undeleted(replace(entry, intended_at=time.time()), CloudError(text))
            return
        if observed.phase == Phase.ABSENT and entry.status == Status.EXISTS:
            if time.time() > entry.made_at + max(account.kind(entry.kind).lag, self._options.delete_grace):
                self._failed(
                    replace(entry, provider_id=""), CloudError(f"{entry.kind} {entry.name} has disappeared"), True
                )
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
            if entry.status == Status.READY and observed.phase == Phase.ABSENT:
                self._infra.emit("drift", resource=entry.name_in_plan, kind=entry.kind, found="absent")
            bench.put_entry(replace(entry, status=status, phase=observed.phase, attributes=attributes, error=""))
        elif entry.status == Status.EXISTS and self._overdue(entry) and not entry.error:
            text = f"{entry.kind} {entry.name} did not become ready within {self._options.wait_running:g} s"
            bench.put_entry(replace(entry, error=text))

    def _overdue(self, entry: Entry) -> bool:
        return time.time() - entry.intended_at > self._options.wait_running


def _there(found: Iterable[Observation]) -> list[Observation]:
    """Without what is gone, or going."""
    return [answer for answer in found if answer.phase not in (Phase.ABSENT, Phase.DELETING)]
