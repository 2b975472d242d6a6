"""Requests whose outcome somebody waits for: when they are met, when they have failed, and telling so.

A request has changed levels; here it is only watched. The exception is the end of an infrastructure: it is deleted when
nothing of it is left, and that is decided here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from imframework.api.errors import CloudError, Conflict, IMError, NotFound, StorageError, Vetoed
from imframework.core import idempotency
from imframework.core.entities import Operation, OperationKind, Status
from imframework.core.workbench import Workbench

#: Pause before looking again at something that is waited for and may never come, in seconds.
LONGEST_WAIT = 60.0


class Operations:
    """The open requests of one infrastructure."""

    def __init__(self, bench: Workbench, settle: Callable[[str, IMError | None, str], None]) -> None:
        """`settle` is called with the outcome of an operation, and its answer if it has one, once that is stored."""
        self._bench = bench
        self._infra = bench.infra
        self._settle = settle

    def decide(self, now: float) -> Iterable[float]:
        """Close the requests whose outcome is known by now."""
        infra = self._infra
        for operation in list(infra.operations.values()):
            outcome = self._outcome(operation)
            if outcome is not False:
                self.finish(operation, outcome)
        if not infra.wanted and not infra.deleted:
            self._bury_infrastructure()
            if not infra.deleted:
                # What a call that was given up may still make is not gone. If it never ends, that is told in time.
                for since in self._bench.tools.abandoned.of(infra.id).values():
                    told_at = since + self._bench.options.delete_grace
                    yield told_at if told_at > now else now + LONGEST_WAIT

    def finish(self, operation: Operation, error: IMError | None, answer: str = "") -> None:
        """Close a request and tell whoever waits for it, once that is stored."""
        self._infra.drop(operation)
        if error is not None and operation.creates and self._infra.wanted:
            idempotency.remember(self._infra, error)
        text = "" if error is None else str(error)
        status = "failed" if text else "done"
        self._infra.emit("operation", operation=operation.kind, id=operation.id, status=status, error=text)
        if text:
            self._infra.log(text)
        self._bench.activities.start(self._tell(operation.id, error, answer), quiet=True)

    async def _tell(self, id: str, error: IMError | None, answer: str) -> None:
        try:
            await self._bench.save()
        except (StorageError, asyncio.CancelledError):
            if self._infra.lost:  # whoever goes on with it may not know of this request any more
                self._settle(id, Conflict("What became of the request could not be stored."), "")
            raise
        self._settle(id, error, answer)

    def hand_over(self) -> None:
        """Nothing goes on any more: the infrastructure is deleted here and its machines are somebody else's.

        What is known of it stays as it is, until it is purged: with it the export can be asked for again.
        """
        bench, infra = self._bench, self._infra
        waiting, infra.leaving = infra.leaving, ""
        if self._unended(0.0):
            text = "A call to make something has not ended yet. Nothing was changed; try again later."
            self._settle(waiting, Conflict(text), "")
            bench.attend()
            bench.activities.wake()
            return
        infra.deleted = infra.exported = True
        infra.due = None
        bench.keyring.forget_credentials(infra)
        for operation in list(infra.operations.values()):
            self.finish(operation, NotFound("Deleted infrastructure."))
        infra.emit("deleted", left=[], exported=True)  # the last word, as of others
        bench.activities.start(self._tell(waiting, None, ""))

    def _bury_infrastructure(self) -> None:
        bench, infra = self._bench, self._infra
        if bench.graph.busy or bench.graph.deletable or infra.runs or bench.activities.running("configure"):
            return
        lost = [entry for entry in infra.entries.values() if entry.status == Status.LOST]
        left = [entry.error for entry in lost] + self._unended(0.0)
        if len(lost) < len(infra.entries) or (left and not infra.force):
            return
        for vm in list(infra.alive()):
            bench.put_vm(replace(vm, destroyed=True))
        infra.deleted = True
        bench.keyring.forget(infra, keep=bool(left))
        infra.touch()
        for operation in list(infra.operations.values()):
            gone = operation.kind in (OperationKind.DESTROY, OperationKind.REMOVE)
            self.finish(operation, None if gone else NotFound("Deleted infrastructure."))
        infra.emit("deleted", left=left)  # the last word: who follows the infrastructure is told no more

    def _outcome(self, operation: Operation) -> IMError | Literal[False] | None:
        """False while it is open, None if it succeeded, else what went wrong."""
        vms = self._infra.vms
        match operation.kind:
            case OperationKind.LAUNCH:
                if not self._infra.wanted:
                    return NotFound("Deleted infrastructure.")
                if not self._bench.settling.isdisjoint(operation.vms):
                    return False
                asked = [vms[number] for number in operation.vms if vms[number].wanted]
                if asked and all(vm.failure for vm in asked):
                    return self._all_failed(operation, [vm.failure for vm in asked])
                return None
            case OperationKind.REMOVE:
                return None if all(vms[number].destroyed for number in operation.vms) else self._stuck(operation)
            case OperationKind.DESTROY:
                return self._stuck(operation)
        return False

    def _all_failed(self, operation: Operation, failures: list[str]) -> IMError:
        """Every machine of a request has failed: those that were added to others go away again."""
        self._infra.log("All VMs failed. No contextualize.")
        if not operation.creates:
            for number in operation.vms:
                self._bench.unwant(number)
        text = "\n".join(dict.fromkeys(failures))
        return Vetoed(text) if self._bench.vetoed.issuperset(operation.vms) else CloudError(text)

    def _stuck(self, operation: Operation) -> IMError | Literal[False] | None:
        """What cannot be deleted although it was tried as often as it should be; False while there is more to try."""
        if self._bench.graph.busy:
            return False
        survivors = []
        for entry in self._infra.entries.values():
            if entry.status == Status.LOST:
                survivors.append(entry.error)
            elif (
                entry.status in (Status.DELETING, Status.INTENDED)
                and entry.attempts >= self._bench.options.max_vm_fails
            ):
                survivors.append(f"{entry.kind} {entry.name}: {entry.error}")
            elif (
                entry.key in self._bench.graph.deletable
                or entry.key in self._bench.graph.unsettled
                or entry.key in self._bench.graph.uncertain
            ):
                return False
        if operation.kind == OperationKind.DESTROY:
            survivors += self._unended(self._bench.options.delete_grace)
        if not survivors or (self._infra.force and operation.kind == OperationKind.DESTROY):
            return False
        return CloudError("; ".join(survivors))

    def _unended(self, patience: float) -> list[str]:
        """What calls that were given up so many seconds ago, and have not ended, may still make."""
        now = time.time()
        return [
            f"{key.partition('/')[2]}: the call to make it has not ended yet"
            for key, since in self._bench.tools.abandoned.of(self._infra.id).items()
            if now >= since + patience
        ]
