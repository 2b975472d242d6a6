"""`StorageContract` notices what it is there to notice: each fault below fails the check that is meant for it."""

import inspect
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from imframework.api.errors import StorageConflict, StorageError
from imframework.api.model import AuditRecord, Event
from imframework.api.storage import Commit, Head, Lease, Stored
from imframework.testing.memory_storage import MemoryDatabase, MemoryStorage
from imframework.testing.storage import StorageContract

Check = Callable[..., None]


def run(check: Check, storage_class: type[MemoryStorage]) -> None:
    """Run one check of the suite on a new database."""
    database = MemoryDatabase()

    def make(url: str) -> MemoryStorage:
        return storage_class(url, {}, database)

    storage = make("memory://")
    storage.open()
    offered = {"storage": storage, "make_storage": make, "storage_url": "memory://", "value": "naïve 🙂"}
    check(StorageContract(), **{name: offered[name] for name in inspect.signature(check).parameters if name != "self"})


# --- commits ------------------------------------------------------------------------------------------------


class IgnoresTheFence(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        known = self._database.infrastructures
        return super().commit(
            [
                replace(commit, fence=known[commit.infrastructure].lease.fence)
                if commit.infrastructure in known
                else commit
                for commit in commits
            ]
        )


class IgnoresTheVersion(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        known = self._database.infrastructures
        return super().commit(
            [
                replace(commit, version=known[commit.infrastructure].head.version)
                if commit.infrastructure in known
                else commit
                for commit in commits
            ]
        )


class OverwritesOnCreate(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        for commit in commits:
            if commit.lease is not None:
                self._database.infrastructures.pop(commit.infrastructure, None)
        return super().commit(commits)


class CreatesWithoutBeingAsked(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        return super().commit(
            [
                replace(commit, lease=Lease(commit.infrastructure, "", commit.fence, 0.0))
                if commit.head is not None and commit.infrastructure not in self._database.infrastructures
                else commit
                for commit in commits
            ]
        )


class WritesEventsOfConflicts(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        answers = super().commit(commits)
        for commit, answer in zip(commits, answers, strict=True):
            if answer is not None and commit.infrastructure in self._database.infrastructures:
                self._database.infrastructures[commit.infrastructure].events += [(item, "{}") for item in commit.events]
        return answers


class WritesOneAfterTheOther(MemoryStorage):
    """Not atomic: what came before a failure stays."""

    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        return [super(WritesOneAfterTheOther, self).commit([commit])[0] for commit in commits]


class WritesHeadsBeforeRows(MemoryStorage):
    """Not isolated: a reader may come between the head and the rows."""

    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        answers = super().commit([replace(commit, upserts=()) for commit in commits])
        time.sleep(0.001)  # stands for the way to a server and back
        for commit in commits:
            rows = self._database.infrastructures[commit.infrastructure].rows
            rows.update({(row.table, row.key): f'{{"value": {row.data["value"]}}}' for row in commit.upserts})
        return answers


class RefusesTheWholeBatch(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        if len(commits) > 1 and any(commit.infrastructure == "unknown" for commit in commits):
            return [StorageConflict("one of them conflicts") for _ in commits]
        return super().commit(commits)


class MergesOwners(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        known = self._database.infrastructures
        merged = []
        for commit in commits:
            if commit.head is not None and commit.infrastructure in known:
                owners = commit.head.owners | known[commit.infrastructure].head.owners
                commit = replace(commit, head=replace(commit.head, owners=owners))
            merged.append(commit)
        return super().commit(merged)


class KeepsDeletedRows(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        return super().commit([replace(commit, deletes=()) for commit in commits])


class ChecksBeforeItWrites(MemoryStorage):
    """The check and the writing are two transactions, and two writers can both be between them."""

    meeting = Barrier(2)

    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        [commit] = commits
        infra = self._database.infrastructures.get(commit.infrastructure)
        if infra is None:
            return super().commit(commits)
        accepted = infra.head.version == commit.version
        meet(self.meeting)
        if not accepted:
            return [StorageConflict("too late")]
        with self._database.lock:
            return super().commit([replace(commit, version=infra.head.version)])


# --- leases -------------------------------------------------------------------------------------------------


class LeasesToEverybody(MemoryStorage):
    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        return super().acquire(infrastructure, holder, float("inf"), duration)


class LooksAtItsOwnClock(MemoryStorage):
    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        return super().acquire(infrastructure, holder, time.time(), duration)


class KeepsTheFence(MemoryStorage):
    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        lease = super().acquire(infrastructure, holder, now, duration)
        return lease and self.with_fence(lease, 1)

    def with_fence(self, lease: Lease, fence: int) -> Lease:
        changed = self._database.infrastructures[lease.infrastructure].lease = replace(lease, fence=fence)
        return changed


class RaisesTheFenceEachTime(KeepsTheFence):
    def with_fence(self, lease: Lease, fence: int) -> Lease:
        return super().with_fence(lease, lease.fence + 1)


class AsksBeforeItTakes(MemoryStorage):
    """The question whether a lease is free and its taking are two transactions."""

    meeting = Barrier(3)

    def acquire(self, infrastructure: str, holder: str, now: float, duration: float) -> Lease | None:
        free = self._database.infrastructures[infrastructure].lease.expires <= now
        meet(self.meeting)
        return super().acquire(infrastructure, holder, float("inf"), duration) if free else None


class RenewsEverything(MemoryStorage):
    def renew(self, holder: str, now: float, duration: float) -> None:
        for infra in self._database.infrastructures.values():
            infra.lease = replace(infra.lease, expires=now + duration)


class RenewsTheDead(MemoryStorage):
    def renew(self, holder: str, now: float, duration: float) -> None:
        super().renew(holder, 0.0 - 1, now + duration + 1)


class ReleasesNothing(MemoryStorage):
    def release(self, holder: str, infrastructures: Sequence[str] | None = None) -> None:
        self._check_open()


class ReleasesWhatOthersHold(MemoryStorage):
    def release(self, holder: str, infrastructures: Sequence[str] | None = None) -> None:
        for other in {infra.lease.holder for infra in self._database.infrastructures.values()}:
            super().release(other, infrastructures)


def meet(barrier: Barrier) -> None:
    """Wait for the others, as long as there are any."""
    try:
        barrier.wait(0.05)
    except BrokenBarrierError:
        barrier.reset()


# --- searching ----------------------------------------------------------------------------------------------


class FindsOwnersInAnyCase(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        folded = None if owners is None else {owner.lower() for owner in owners}
        return [
            head
            for head in super().heads(deleted=deleted)
            if folded is None or folded & {owner.lower() for owner in head.owners}
        ]


class FindsPartsOfOwners(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        return [
            head
            for head in super().heads(deleted=deleted)
            if owners is None or any(asked in its for asked in owners for its in head.owners)
        ]


class TakesNobodyForEverybody(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        return super().heads(owners or None, deleted=deleted)


class ListsOldestFirst(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        return list(reversed(super().heads(owners, deleted=deleted)))


class ListsOncePerOwner(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        found = super().heads(owners, deleted=deleted)
        return [head for head in found for _ in (head.owners & owners if owners else (1,))]


class ListsTheDeleted(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        return super().heads(owners, deleted=True)


class ListsHeadsWithoutData(MemoryStorage):
    def heads(self, owners: frozenset[str] | None = None, *, deleted: bool = False) -> Sequence[Head]:
        return [replace(head, data={}) for head in super().heads(owners, deleted=deleted)]


class LoadsNothingDeleted(MemoryStorage):
    def load(self, infrastructure: str) -> Stored | None:
        found = super().load(infrastructure)
        return None if found is None or found.head.deleted else found


class DueForEverybody(MemoryStorage):
    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        found = [(infra.head.due, id) for id, infra in self._database.infrastructures.items() if infra.head.due]
        return [id for due, id in sorted(found) if due <= now][:limit]


class DueNewestFirst(MemoryStorage):
    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        return list(reversed(super().due(now, holder, 1000)))[:limit]


class DueWithoutLimit(MemoryStorage):
    def due(self, now: float, holder: str, limit: int) -> Sequence[str]:
        return super().due(now, holder, 1000)


# --- events, logs, values -----------------------------------------------------------------------------------


class RepeatsTheLastEvent(MemoryStorage):
    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        return super().events(infrastructure, after - 1, limit)


class EventsWithoutLimit(MemoryStorage):
    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        return super().events(infrastructure, after, 1000)


class NumbersFromTheRows(MemoryStorage):
    """The next position is one more than the highest that is left."""

    def purge(self, before: float) -> int:
        count = super().purge(before)
        left = [item.position for infra in self._database.infrastructures.values() for item, _ in infra.events]
        self._database.last_position = max(left, default=0)
        self._database.last_audit = max((item.id for item in self._database.audit), default=0)
        return count


class PositionsInTheOrderOfBeginning(MemoryStorage):
    """As a sequence of a database does it: a number is taken first, and becomes visible when its writer gets to it."""

    def commit(self, commits: Sequence[Commit], audit: Sequence[AuditRecord] = ()) -> Sequence[StorageError | None]:
        with self._database.lock:
            first = self._database.last_position
            self._database.last_position += sum(len(commit.events) for commit in commits)
        time.sleep(0.003 * random.random())
        with self._database.lock:
            last, self._database.last_position = self._database.last_position, first
            answers = super().commit(commits, audit)
            self._database.last_position = last
        return answers


class AccountsOfTheLiving(MemoryStorage):
    def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        heads = {head.id for head in self.heads(owners)}
        found = [item for item in super().account_events(None, after, 10_000) if item.infrastructure in heads]
        return found[:limit]


class ShowsAllEvents(MemoryStorage):
    def account_events(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[Event]:
        return super().account_events(owners or None, after, limit)


class FindsTheLiving(MemoryStorage):
    def find(self, infrastructures: Sequence[str]) -> Sequence[Head]:
        return [head for head in super().find(infrastructures) if not head.deleted]


class ShowsEverybodysRecords(MemoryStorage):
    def audit(self, owners: frozenset[str] | None, after: int, limit: int) -> Sequence[AuditRecord]:
        return super().audit(owners or None, after, limit)


class KeepsRecordsForEver(MemoryStorage):
    def purge(self, before: float) -> int:
        kept = self._database.audit
        count = super().purge(before)
        self._database.audit = kept
        return count


class LogsBackwards(MemoryStorage):
    def log(self, infrastructure: str) -> Mapping[str, str]:
        return {stream: text[::-1] for stream, text in super().log(infrastructure).items()}


class PurgesByCreation(MemoryStorage):
    def purge(self, before: float) -> int:
        known = self._database.infrastructures
        old = [id for id, infra in known.items() if infra.head.deleted and infra.head.created < before]
        for id in old:
            del known[id]
        return len(old)


class PurgesTheLiving(MemoryStorage):
    def purge(self, before: float) -> int:
        for infra in self._database.infrastructures.values():
            infra.head = replace(infra.head, deleted=True)
        return super().purge(before)


class PurgesHeadsOnly(MemoryStorage):
    remains: Mapping[str, Any] = {}

    def purge(self, before: float) -> int:
        self.remains = dict(self._database.infrastructures)
        return super().purge(before)

    def events(self, infrastructure: str, after: int, limit: int) -> Sequence[Event]:
        if infrastructure in self.remains:
            return [item for item, _ in self.remains[infrastructure].events]
        return super().events(infrastructure, after, limit)


class PurgesTheFirstFifty(MemoryStorage):
    def purge(self, before: float) -> int:
        known = self._database.infrastructures
        for id in list(known)[:50]:
            del known[id]
        return 50


class ForgetsWhenClosed(MemoryStorage):
    def close(self) -> None:
        super().close()
        self._database.infrastructures.clear()


class AnswersWhenClosed(MemoryStorage):
    def _check_open(self) -> None:
        pass


class ForgetsLeasesWhenClosed(MemoryStorage):
    def close(self) -> None:
        super().close()
        for infra in self._database.infrastructures.values():
            infra.lease = replace(infra.lease, expires=0.0)


class SharesNothing(MemoryStorage):
    def __init__(self, url: str, options: Mapping[str, object], database: MemoryDatabase) -> None:
        super().__init__(url, options)


class HandsOutWhatItWasGiven(MemoryStorage):
    def commit(self, commits: Sequence[Commit]) -> Sequence[StorageError | None]:
        answers = super().commit(commits)
        self.given = {commit.infrastructure: commit for commit in commits}
        return answers

    def load(self, infrastructure: str) -> Stored | None:
        found = super().load(infrastructure)
        return found and replace(found, rows=self.given[infrastructure].upserts)


class CutsLongTexts(MemoryStorage):
    def log(self, infrastructure: str) -> Mapping[str, str]:
        return {stream: text[:65535] for stream, text in super().log(infrastructure).items()}


class KnowsAsciiOnly(MemoryStorage):
    def load(self, infrastructure: str) -> Stored | None:
        found = super().load(infrastructure)
        if found is None:
            return None
        rows = tuple(
            replace(row, data={key: repr(value).encode("ascii", "replace").decode() for key, value in row.data.items()})
            for row in found.rows
        )
        return replace(found, rows=rows)


FAULTS: list[tuple[type[MemoryStorage], Check]] = [
    (IgnoresTheFence, StorageContract.test_the_former_holder_writes_nothing_after_a_take_over),
    (IgnoresTheVersion, StorageContract.test_a_commit_on_an_old_version_conflicts_and_writes_nothing),
    (OverwritesOnCreate, StorageContract.test_creating_an_id_that_exists_conflicts),
    (CreatesWithoutBeingAsked, StorageContract.test_unknown_infrastructures_are_no_error),
    (WritesEventsOfConflicts, StorageContract.test_a_commit_on_an_old_version_conflicts_and_writes_nothing),
    (WritesOneAfterTheOther, StorageContract.test_a_batch_that_fails_leaves_nothing_behind),
    (WritesHeadsBeforeRows, StorageContract.test_readers_see_whole_commits_only),
    (RefusesTheWholeBatch, StorageContract.test_commits_that_conflict_are_left_out_and_the_others_written),
    (MergesOwners, StorageContract.test_a_head_is_replaced_with_its_owners),
    (KeepsDeletedRows, StorageContract.test_rows_are_replaced_and_removed_by_table_and_key),
    (ChecksBeforeItWrites, StorageContract.test_of_writers_that_race_for_a_version_exactly_one_wins),
    (LeasesToEverybody, StorageContract.test_nobody_else_gets_a_lease_that_is_alive),
    (LooksAtItsOwnClock, StorageContract.test_nobody_else_gets_a_lease_that_is_alive),
    (KeepsTheFence, StorageContract.test_an_expired_lease_is_taken_over_with_a_higher_fence),
    (KeepsTheFence, StorageContract.test_the_former_holder_writes_nothing_after_a_take_over),
    (RaisesTheFenceEachTime, StorageContract.test_its_holder_renews_a_lease_without_a_new_fence),
    (AsksBeforeItTakes, StorageContract.test_of_holders_that_race_for_a_lease_exactly_one_wins),
    (RenewsEverything, StorageContract.test_renewing_prolongs_only_ones_own_leases_that_are_alive),
    (RenewsTheDead, StorageContract.test_renewing_prolongs_only_ones_own_leases_that_are_alive),
    (RenewsTheDead, StorageContract.test_a_released_lease_is_not_renewed),
    (ReleasesNothing, StorageContract.test_a_released_lease_can_be_taken_at_once),
    (ReleasesWhatOthersHold, StorageContract.test_a_released_lease_can_be_taken_at_once),
    (FindsOwnersInAnyCase, StorageContract.test_owners_are_found_by_their_exact_names),
    (FindsPartsOfOwners, StorageContract.test_owners_are_found_by_their_exact_names),
    (TakesNobodyForEverybody, StorageContract.test_heads_of_several_owners_come_once),
    (ListsOldestFirst, StorageContract.test_heads_come_newest_first),
    (ListsOncePerOwner, StorageContract.test_heads_of_several_owners_come_once),
    (ListsTheDeleted, StorageContract.test_deleted_infrastructures_are_listed_only_when_asked_for_but_can_be_loaded),
    (
        LoadsNothingDeleted,
        StorageContract.test_deleted_infrastructures_are_listed_only_when_asked_for_but_can_be_loaded,
    ),
    (ListsHeadsWithoutData, StorageContract.test_heads_are_complete),
    (DueForEverybody, StorageContract.test_what_another_holder_works_on_is_not_due),
    (DueNewestFirst, StorageContract.test_what_is_due_comes_oldest_first_and_not_too_much_of_it),
    (DueWithoutLimit, StorageContract.test_what_is_due_comes_oldest_first_and_not_too_much_of_it),
    (RepeatsTheLastEvent, StorageContract.test_events_are_resumed_after_a_number),
    (EventsWithoutLimit, StorageContract.test_events_are_resumed_after_a_number),
    (NumbersFromTheRows, StorageContract.test_numbers_are_not_given_again_after_purging),
    (PositionsInTheOrderOfBeginning, StorageContract.test_positions_become_visible_in_their_order),
    (AccountsOfTheLiving, StorageContract.test_events_of_an_account_are_those_of_its_infrastructures_deleted_ones_too),
    (
        ShowsAllEvents,
        StorageContract.test_events_of_an_account_are_those_of_its_infrastructures_deleted_ones_too,
    ),
    (FindsTheLiving, StorageContract.test_heads_are_found_by_their_ids_deleted_or_not),
    (ShowsEverybodysRecords, StorageContract.test_audit_records_are_found_by_their_owners),
    (KeepsRecordsForEver, StorageContract.test_purging_removes_audit_records_of_that_age),
    (LogsBackwards, StorageContract.test_logs_grow_in_the_order_of_writing),
    (PurgesByCreation, StorageContract.test_purging_removes_old_deleted_infrastructures_and_nothing_else),
    (PurgesTheLiving, StorageContract.test_purging_removes_old_deleted_infrastructures_and_nothing_else),
    (PurgesHeadsOnly, StorageContract.test_a_purged_id_can_be_used_again),
    (PurgesTheFirstFifty, StorageContract.test_many_infrastructures_are_purged_at_once),
    (ForgetsWhenClosed, StorageContract.test_everything_survives_reopening),
    (ForgetsLeasesWhenClosed, StorageContract.test_everything_survives_reopening),
    (AnswersWhenClosed, StorageContract.test_a_closed_storage_does_not_answer_and_can_be_opened_again),
    (SharesNothing, StorageContract.test_two_storages_on_one_database_see_each_others_writes),
    (HandsOutWhatItWasGiven, StorageContract.test_the_caller_may_change_its_data_afterwards),
    (CutsLongTexts, StorageContract.test_large_documents_and_logs_fit),
    (KnowsAsciiOnly, StorageContract.test_json_comes_back_as_it_was),
    (KnowsAsciiOnly, StorageContract.test_keys_and_logs_may_be_any_text),
]


@pytest.mark.parametrize(("fault", "check"), FAULTS, ids=lambda item: item.__name__)
def test_the_suite_notices(fault: type[MemoryStorage], check: Check) -> None:
    run(check, MemoryStorage)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(check, fault)
