"""Snapshots: images made of the disks of machines.

A connector describes the image; it is a resource like others, so it is on record before it is asked for, found again
after an answer was lost, and waited for until it is ready. Then it is told, and released: it is the user's then.
One that is to go with the infrastructure stays in the ledger instead. A crash changes nothing of this: the snapshot is
taken once, only nobody waits for its address any more; the log has it.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from functools import partial

from imframework.api.errors import CloudError, CloudRefused, IMError, NotFound
from imframework.core.entities import Entry, Operation, OperationKind, Status
from imframework.core.operations import Operations
from imframework.core.workbench import Workbench


class Snapshots:
    """Takes the snapshots of one infrastructure."""

    def __init__(self, bench: Workbench, operations: Operations) -> None:
        self._bench = bench
        self._infra = bench.infra
        self._operations = operations

    def decide(self) -> None:
        """Have those described that are not yet, and look how the others are."""
        for operation in list(self._infra.operations.values()):
            if operation.kind != OperationKind.SNAPSHOT:
                continue
            if not self._infra.wanted:
                self._operations.finish(operation, NotFound("Deleted infrastructure."))
            elif operation.resource:
                self._look(operation)
            else:
                self._bench.activities.single(f"snapshot/{operation.id}", partial(self._describe, operation))

    async def _describe(self, operation: Operation) -> None:
        """Enter the image in the ledger, from where it is made."""
        bench, infra = self._bench, self._infra
        await bench.save()  # what has been asked for may turn out not to be stored
        failures = 0
        while True:
            try:
                entry = await self._image(operation)
                break
            except IMError as error:
                failures += 1
                if not error.retryable or failures >= bench.options.max_vm_fails:
                    self._fail(operation, error)
                    return
            await asyncio.sleep(bench.options.retry_delay)
        if operation.id in infra.operations:
            infra.put(replace(operation, resource=entry.key))
            bench.put_entry(entry)

    async def _image(self, operation: Operation) -> Entry:
        (number,) = operation.vms
        machine = self._bench.graph.machine(number)
        if machine is None or not machine.present or not self._infra.vms[number].wanted:
            raise CloudRefused(f"VM {number} is not running.")
        account = self._bench.account(machine.account)
        resource = await account.snapshot(machine.handle(self._infra.entries), operation.disk, operation.name)
        image = replace(resource, key=f"snapshot/{operation.id}", owners=frozenset(), machine=None)
        entry = Entry.planned(machine.account, image, uuid.uuid4().hex, self._infra.generation)
        return replace(entry, lasting=True)

    def _look(self, operation: Operation) -> None:
        """Tell what has become of an image, once it is known."""
        entry, graph = self._infra.entries.get(operation.resource), self._bench.graph
        if entry is None:
            self._fail(operation, CloudError("it was not made."))
        elif entry.key in graph.busy:
            return
        elif entry.status == Status.READY and (operation.keep or not entry.sweep_at):
            url = str(entry.attributes.get("url") or entry.provider_id)
            self._infra.log(f"Snapshot of disk {operation.disk} of VM {operation.vms[0]}: {url}")
            if not operation.keep:
                self._bench.drop_entry(entry)
            self._operations.finish(operation, None, url)
        elif self._is_given_up(entry):
            self._bench.put_entry(replace(entry, lasting=False))  # what there may be of it goes
            self._fail(operation, CloudError(entry.error))

    def _is_given_up(self, entry: Entry) -> bool:
        """Whether it has failed, or takes too long."""
        match entry.status:
            case Status.FAILED:
                return True
            case Status.INTENDED:
                return entry.attempts >= self._bench.options.max_vm_fails
            case Status.EXISTS:
                return bool(entry.error)
        return False

    def _fail(self, operation: Operation, error: IMError) -> None:
        kind = type(error) if isinstance(error, CloudError | NotFound) else CloudError
        self._operations.finish(operation, kind(f"Error creating snapshot: {error}"))
