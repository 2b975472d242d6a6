"""The conformance suite of storage plugins: inherit from `StorageContract` and say how to make one.

::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage_url(self, tmp_path):
            return f"mydb://{tmp_path}/db"

        @pytest.fixture
        def make_storage(self):
            return lambda url: MyStorage(url, {})

Times of leases are arguments of the calls. The suite passes instants of long ago: a storage that looks at a clock of
its own there fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pytest

from imframework.api.errors import StorageConflict, StorageUnavailable
from imframework.api.model import JSON, AuditRecord, Event
from imframework.api.plugin import PluginKind
from imframework.api.storage import Commit, Head, Lease, LogChunk, Row, Storage, Stored, Table

T = TypeVar("T")
MakeStorage = Callable[[str], Storage]

NOW = 1_000_000.0
DURATION = 30.0
ROUNDS = 20

#: Names that must be told apart, though databases are tempted not to.
NAMES = (
    "alice", "Alice", "alice ", " alice", "al_ce", "al%ce", "%", "_", "al'ice", 'al"ice', "al\\ice", "alicë",
    "алиса", "爱丽丝", "🙂", "a;DROP TABLE x", "-- ", "",
)  # fmt: skip


def head(id: str, *, owners: Sequence[str] = ("owner",), created: float = NOW, **changes: JSON) -> Head:
    """A head with unremarkable values."""
    base = Head(id, frozenset(owners), created, deleted=False, due=None, data={"name": id})
    return replace(base, **changes)


def row(key: str, value: JSON, table: Table = Table.VM) -> Row:
    """A row that holds one value."""
    return Row(table, key, {"value": value})


def event(infrastructure: str, sequence: int, **data: JSON) -> Event:
    """An event; its time follows from its sequence."""
    return Event(infrastructure, sequence, NOW + sequence, "state", data)


def told(events: Sequence[Event]) -> list[Event]:
    """Events without the positions that the storage has given them."""
    return [replace(item, position=0) for item in events]


def record(number: int, *owners: str) -> AuditRecord:
    """An audit record; its time and its message follow from its number."""
    return AuditRecord(
        NOW + number,
        ("ana", "алиса"),
        "192.0.2.1",
        "stop",
        "i/1",
        "conflict",
        f"no {number}",
        "rest",
        frozenset(owners),
    )


def birth(new: Head, holder: str = "first", **parts: Any) -> Commit:
    """The commit that creates an infrastructure, leased to `holder` with fence 1 for `DURATION` from `NOW`."""
    lease = Lease(new.id, holder, 1, NOW + DURATION)
    return Commit(new.id, 0, 1, head=new, lease=lease, **parts)


def stored(storage: Storage, id: str) -> Stored:
    """An infrastructure that must be there."""
    found = storage.load(id)
    assert found is not None, f"{id} is not in the database"
    return found


def values(storage: Storage, id: str) -> dict[tuple[Table, str], JSON]:
    """What the rows made by `row` hold."""
    rows = stored(storage, id).rows
    found = {(item.table, item.key): item.data["value"] for item in rows}
    assert len(found) == len(rows), "a key appears twice"
    return found


def everything(storage: Storage, id: str) -> tuple[object, ...]:
    """All that is stored about an infrastructure, in a form that can be compared."""
    found = stored(storage, id)
    rows = {(item.table, item.key): dict(item.data) for item in found.rows}
    return found.head, rows, list(storage.events(id, 0, 1000)), dict(storage.log(id))


def write(storage: Storage, *commits: Commit) -> None:
    """Commit what must not conflict."""
    assert list(storage.commit(commits)) == [None] * len(commits)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of calls that start together, each in a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def started(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(started, calls))


class StorageContract:
    """What every storage plugin must do. Override the fixtures; add tests of your own beside them."""

    @pytest.fixture
    def storage_url(self) -> str:
        """DATA_DB of an empty database that no other test uses."""
        raise NotImplementedError("Override the fixture `storage_url`.")

    @pytest.fixture
    def make_storage(self) -> MakeStorage:
        """Makes a storage for a URL; it is not opened yet. Two for one URL work on the same database."""
        raise NotImplementedError("Override the fixture `make_storage`.")

    @pytest.fixture
    def storage(self, make_storage: MakeStorage, storage_url: str) -> Iterator[Storage]:
        """An open storage on the empty database."""
        storage = make_storage(storage_url)
        storage.open()
        yield storage
        storage.close()

    # --- life ----------------------------------------------------------------------------------------------

    def test_is_a_well_formed_plugin(self, storage: Storage) -> None:
        assert storage.info.kind is PluginKind.STORAGE
        assert storage.info.url_schemes
        assert type(storage).faults() == []

    def test_a_new_database_is_empty(self, storage: Storage) -> None:
        storage.ping()
        assert list(storage.heads(deleted=True)) == []
        assert list(storage.due(NOW, "first", 10)) == []
        assert storage.last_position() == 0
        assert list(storage.account_events(None, 0, 10)) == []
        assert list(storage.audit(None, 0, 10)) == []

    def test_a_closed_storage_does_not_answer_and_can_be_opened_again(self, storage: Storage) -> None:
        write(storage, birth(head("i")))
        storage.close()
        storage.close()
        with pytest.raises(StorageUnavailable):
            storage.ping()
        with pytest.raises(StorageUnavailable):
            storage.load("i")
        storage.open()
        assert stored(storage, "i").head.version == 1

    def test_everything_survives_reopening(self, storage: Storage, make_storage: MakeStorage, storage_url: str) -> None:
        write(
            storage,
            birth(
                head("i", owners=("a", "b"), due=NOW + 5, data={"name": "cluster", "list": [1, 2.5, None, True]}),
                upserts=(row("1", "running"), row("1/net", "x", Table.RESOURCE)),
                events=(event("i", 1, vm=1),),
                log=(LogChunk("1", "hello\n"),),
            ),
        )
        before = everything(storage, "i")
        storage.close()
        again = make_storage(storage_url)
        again.open()
        try:
            assert everything(again, "i") == before
            assert again.acquire("i", "second", NOW, DURATION) is None, "the lease is forgotten"
        finally:
            again.close()

    def test_two_storages_on_one_database_see_each_others_writes(
        self, storage: Storage, make_storage: MakeStorage, storage_url: str
    ) -> None:
        other = make_storage(storage_url)
        other.open()
        try:
            write(storage, birth(head("i")))
            write(other, Commit("i", 1, 1, upserts=(row("1", "from the other"),)))
            assert values(storage, "i") == {(Table.VM, "1"): "from the other"}
        finally:
            other.close()

    # --- commits -------------------------------------------------------------------------------------------

    def test_what_is_created_is_stored_whole(self, storage: Storage) -> None:
        new = head("i", owners=("a", "b"), due=NOW + 5.25, data={"name": "cluster", "n": 3})
        write(
            storage,
            birth(
                new,
                upserts=(row("0", 1), row("0", 2, Table.RESOURCE)),
                events=(event("i", 1, state="pending"), event("i", 2, state="running")),
                log=(LogChunk("", "one\n"), LogChunk("0", "two\n")),
            ),
        )
        found = stored(storage, "i").head
        assert found == replace(new, version=1, updated=found.updated)
        assert found.updated > 0
        assert values(storage, "i") == {(Table.VM, "0"): 1, (Table.RESOURCE, "0"): 2}
        assert told(storage.events("i", 0, 10)) == [event("i", 1, state="pending"), event("i", 2, state="running")]
        assert dict(storage.log("i")) == {"": "one\n", "0": "two\n"}

    def test_creating_an_id_that_exists_conflicts(self, storage: Storage) -> None:
        write(storage, birth(head("i"), upserts=(row("1", "old"),)))
        write(storage, Commit("i", 1, 1, head=head("i", deleted=True)))
        before = everything(storage, "i")
        [answer] = storage.commit([birth(head("i", owners=("thief",)), "second", upserts=(row("1", "new"),))])
        assert isinstance(answer, StorageConflict)
        assert everything(storage, "i") == before

    def test_every_commit_raises_the_version_by_one(self, storage: Storage) -> None:
        write(storage, birth(head("i")))
        updated = stored(storage, "i").head.updated
        for version in (1, 2, 3):
            write(storage, Commit("i", version, 1, upserts=(row("1", version),)))
            found = stored(storage, "i").head
            assert found.version == version + 1
            assert found.updated >= updated
            updated = found.updated

    def test_a_commit_of_nothing_raises_the_version_too(self, storage: Storage) -> None:
        write(storage, birth(head("i")))
        write(storage, Commit("i", 1, 1))
        assert stored(storage, "i").head.version == 2

    def test_no_commits_are_no_work(self, storage: Storage) -> None:
        assert list(storage.commit([])) == []

    def test_a_commit_without_head_leaves_the_head_as_it_was(self, storage: Storage) -> None:
        new = head("i", owners=("a", "b"), due=NOW, data={"name": "cluster"})
        write(storage, birth(new))
        write(storage, Commit("i", 1, 1, upserts=(row("1", 1),)))
        found = stored(storage, "i").head
        assert found == replace(new, version=2, updated=found.updated)

    def test_a_head_is_replaced_with_its_owners(self, storage: Storage) -> None:
        write(storage, birth(head("i", owners=("stays", "goes"), due=NOW)))
        changed = head("i", owners=("stays", "comes"), due=None, data={"name": "new"})
        write(storage, Commit("i", 1, 1, head=changed))
        found = stored(storage, "i").head
        assert found == replace(changed, version=2, updated=found.updated)
        assert [item.id for item in storage.heads(frozenset({"comes"}))] == ["i"]
        assert list(storage.heads(frozenset({"goes"}))) == []

    def test_rows_are_replaced_and_removed_by_table_and_key(self, storage: Storage) -> None:
        rows = (row("1", "a"), row("2", "b"), row("1", "c", Table.STEP), row("10", "d"))
        write(storage, birth(head("i"), upserts=rows), birth(head("j"), upserts=rows))
        write(
            storage,
            Commit("i", 1, 1, upserts=(row("2", "B"), row("3", "new")), deletes=((Table.VM, "1"), (Table.VM, "9"))),
        )
        assert values(storage, "i") == {
            (Table.VM, "2"): "B",
            (Table.VM, "3"): "new",
            (Table.VM, "10"): "d",
            (Table.STEP, "1"): "c",
        }
        assert values(storage, "j") == {(item.table, item.key): item.data["value"] for item in rows}

    def test_an_infrastructure_that_begins_anew_keeps_nothing_of_before(self, storage: Storage) -> None:
        old = (row("1", "old"), row("2", "old", Table.RESOURCE))
        write(
            storage, *(birth(head(id), upserts=old, events=(event(id, 1),), log=(LogChunk("", "old"),)) for id in "ij")
        )
        write(storage, Commit("i", 1, 1, head=head("i", deleted=True)))
        before = everything(storage, "j")
        again = head("i", owners=("heir",), created=NOW + 1)
        parts: dict[str, Any] = {"events": (event("i", 7),), "log": (LogChunk("1", "new"),), "anew": True}
        [answer] = storage.commit([Commit("i", 1, 1, head=again, upserts=(row("3", "late"),), **parts)])
        assert isinstance(answer, StorageConflict), "it is based on an old version"
        assert len(stored(storage, "i").rows) == 2
        write(storage, Commit("i", 2, 1, head=again, upserts=(row("1", "new"),), **parts))
        found = stored(storage, "i").head
        assert found == replace(again, version=3, updated=found.updated)
        assert values(storage, "i") == {(Table.VM, "1"): "new"}
        assert told(storage.events("i", 0, 10)) == [event("i", 7)]
        assert dict(storage.log("i")) == {"1": "new"}
        assert [item.id for item in storage.heads(frozenset({"heir"}))] == ["i"]
        assert everything(storage, "j") == before

    def test_a_commit_on_an_old_version_conflicts_and_writes_nothing(self, storage: Storage) -> None:
        write(storage, birth(head("i"), upserts=(row("1", "kept"),), events=(event("i", 1),)))
        write(storage, Commit("i", 1, 1, upserts=(row("2", "kept"),), log=(LogChunk("", "kept"),)))
        before = everything(storage, "i")
        for version in (0, 1, 3):
            [answer] = storage.commit([self.overwriting("i", version, 1)])
            assert isinstance(answer, StorageConflict), f"version {version} was accepted"
            assert everything(storage, "i") == before

    def test_commits_that_conflict_are_left_out_and_the_others_written(self, storage: Storage) -> None:
        write(storage, *(birth(head(id)) for id in "abc"))
        before = everything(storage, "b")
        answers = storage.commit(
            [
                Commit("a", 1, 1, upserts=(row("1", "written"),), events=(event("a", 1),)),
                self.overwriting("b", 7, 1),
                Commit("unknown", 1, 1, upserts=(row("1", "lost"),), events=(event("unknown", 1),)),
                Commit("c", 1, 1, head=head("c", owners=("new",)), log=(LogChunk("", "written"),)),
                birth(head("d"), upserts=(row("1", "born"),)),
            ]
        )
        assert [type(answer) for answer in answers] == [
            type(None), StorageConflict, StorageConflict, type(None), type(None),
        ]  # fmt: skip
        assert values(storage, "a") == {(Table.VM, "1"): "written"}
        assert everything(storage, "b") == before
        assert storage.load("unknown") is None
        assert list(storage.events("unknown", 0, 10)) == []
        assert stored(storage, "c").head.owners == {"new"}
        assert dict(storage.log("c")) == {"": "written"}
        assert values(storage, "d") == {(Table.VM, "1"): "born"}

    def test_a_batch_that_fails_leaves_nothing_behind(self, storage: Storage) -> None:
        write(storage, birth(head("i"), upserts=(row("1", "old"),)), birth(head("j")))
        before = everything(storage, "i"), everything(storage, "j")
        unwritable = Row(Table.VM, "2", {"value": object()})
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the storage's own business
            storage.commit(
                [
                    self.overwriting("i", 1, 1),
                    Commit("j", 1, 1, head=head("j", owners=("new",)), upserts=(row("1", "half"), unwritable)),
                    birth(head("k")),
                ]
            )
        assert (everything(storage, "i"), everything(storage, "j")) == before
        assert storage.load("k") is None
        write(storage, Commit("i", 1, 1, upserts=(row("1", "new"),)))
        assert values(storage, "i") == {(Table.VM, "1"): "new"}

    def test_readers_see_whole_commits_only(self, storage: Storage) -> None:
        write(storage, birth(head("i"), upserts=(row("a", 0), row("b", 0, Table.RESOURCE))))
        done = threading.Event()

        def reader() -> list[str]:
            torn = []
            while not done.is_set():
                found = stored(storage, "i")
                seen = {item.data["value"] for item in found.rows}
                if seen != {found.head.version - 1}:
                    torn.append(f"version {found.head.version} with rows {seen}")
            return torn

        def writer() -> list[str]:
            try:
                for version in range(1, ROUNDS):
                    rows = row("a", version), row("b", version, Table.RESOURCE)
                    write(storage, Commit("i", version, 1, upserts=rows))
            finally:
                done.set()
            return []

        assert at_once([reader, reader, writer]) == [[], [], []]

    def test_the_caller_may_change_its_data_afterwards(self, storage: Storage) -> None:
        data = {"list": [1]}
        write(storage, birth(head("i", data=data), upserts=(Row(Table.VM, "1", data),)))
        data["list"].append(2)
        found = stored(storage, "i")
        assert found.head.data == {"list": [1]}
        assert [dict(item.data) for item in found.rows] == [{"list": [1]}]

    @staticmethod
    def overwriting(id: str, version: int, fence: int) -> Commit:
        """A commit that leaves a trace wherever it can."""
        return Commit(
            id,
            version,
            fence,
            head=head(id, owners=("intruder",), due=NOW - 1, data={"name": "intruder"}),
            upserts=(row("1", "intruder"), row("intruder", 1)),
            deletes=((Table.VM, "2"),),
            events=(event(id, 1000),),
            log=(LogChunk("", "intruder"),),
        )

    # --- leases --------------------------------------------------------------------------------------------

    def test_nobody_else_gets_a_lease_that_is_alive(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first"))
        assert storage.acquire("i", "second", NOW, DURATION) is None
        assert storage.acquire("i", "second", NOW + DURATION - 1, DURATION) is None

    def test_its_holder_renews_a_lease_without_a_new_fence(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first"))
        assert storage.acquire("i", "first", NOW + 10, DURATION) == Lease("i", "first", 1, NOW + 10 + DURATION)
        assert storage.acquire("i", "second", NOW + DURATION + 5, DURATION) is None
        write(storage, Commit("i", 1, 1))

    def test_an_expired_lease_is_taken_over_with_a_higher_fence(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first"))
        later = NOW + DURATION + 1
        taken = storage.acquire("i", "second", later, DURATION)
        assert taken is not None
        assert (taken.infrastructure, taken.holder, taken.expires) == ("i", "second", later + DURATION)
        assert taken.fence > 1
        assert storage.acquire("i", "first", later + 1, DURATION) is None
        back = storage.acquire("i", "first", later + DURATION + 1, DURATION)
        assert back is not None
        assert back.fence > taken.fence

    def test_the_former_holder_writes_nothing_after_a_take_over(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first", upserts=(row("1", "kept"), row("2", "kept"))))
        taken = storage.acquire("i", "second", NOW + DURATION + 1, DURATION)
        assert taken is not None
        before = everything(storage, "i")
        [answer] = storage.commit([self.overwriting("i", 1, 1)])
        assert isinstance(answer, StorageConflict)
        assert everything(storage, "i") == before
        write(storage, Commit("i", 1, taken.fence, upserts=(row("1", "second's"),)))
        [answer] = storage.commit([self.overwriting("i", 2, 1)])
        assert isinstance(answer, StorageConflict)
        assert values(storage, "i") == {(Table.VM, "1"): "second's", (Table.VM, "2"): "kept"}

    def test_a_late_holder_may_write_while_nobody_has_taken_over(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first"))
        storage.acquire("i", "first", NOW, 0.0)
        write(storage, Commit("i", 1, 1, upserts=(row("1", "late"),)))

    def test_renewing_prolongs_only_ones_own_leases_that_are_alive(self, storage: Storage) -> None:
        write(storage, birth(head("mine"), "first"), birth(head("other"), "second"), birth(head("late"), "first"))
        assert storage.acquire("late", "first", NOW, 1.0) is not None
        storage.renew("first", NOW + 10, DURATION)
        assert storage.acquire("mine", "third", NOW + DURATION + 5, DURATION) is None
        assert storage.acquire("other", "third", NOW + DURATION + 5, DURATION) is not None
        assert storage.acquire("late", "third", NOW + 11, DURATION) is not None

    def test_a_released_lease_can_be_taken_at_once(self, storage: Storage) -> None:
        write(storage, *(birth(head(id), "first") for id in "abc"), birth(head("other"), "second"))
        storage.release("first", ["a", "other", "unknown"])
        taken = storage.acquire("a", "third", NOW, DURATION)
        assert taken is not None
        assert taken.fence > 1
        assert storage.acquire("b", "third", NOW, DURATION) is None
        storage.release("first")
        assert storage.acquire("b", "third", NOW, DURATION) is not None
        assert storage.acquire("c", "third", NOW, DURATION) is not None
        assert storage.acquire("other", "third", NOW, DURATION) is None
        assert storage.acquire("a", "fourth", NOW, DURATION) is None

    def test_a_released_lease_is_not_renewed(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "first"))
        storage.release("first", ["i"])
        storage.renew("first", NOW, DURATION)
        assert storage.acquire("i", "second", NOW, DURATION) is not None

    def test_of_holders_that_race_for_a_lease_exactly_one_wins(self, storage: Storage) -> None:
        write(storage, birth(head("i"), "nobody"))
        fences = [1]
        now = NOW
        for _ in range(ROUNDS):
            now += 2 * DURATION
            names = ["first", "second", "third"]
            leases = at_once([partial(storage.acquire, "i", name, now, DURATION) for name in names])
            won = [lease for lease in leases if lease is not None]
            assert len(won) == 1, f"{len(won)} holders have the lease"
            fences.append(won[0].fence)
            storage.release(won[0].holder)
        assert fences == sorted(fences)

    def test_of_writers_that_race_for_a_version_exactly_one_wins(self, storage: Storage) -> None:
        write(storage, birth(head("i")))
        for version in range(1, ROUNDS):
            commits = [Commit("i", version, 1, upserts=(row("winner", name),)) for name in ("x", "y")]
            answers = [answer for [answer] in at_once([partial(storage.commit, [commit]) for commit in commits])]
            assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "StorageConflict"]
            winner = "xy"[answers.index(None)]
            assert values(storage, "i") == {(Table.VM, "winner"): winner}

    def test_writers_of_different_infrastructures_do_not_disturb_each_other(self, storage: Storage) -> None:
        ids = [f"infrastructure-{number}" for number in range(6)]
        write(storage, *(birth(head(id)) for id in ids))

        def writer(id: str) -> None:
            for version in range(1, ROUNDS):
                write(
                    storage,
                    Commit(
                        id, version, 1,
                        upserts=(row("count", version), row(str(version), id)),
                        events=(event(id, version),),
                        log=(LogChunk("", f"{version} "),),
                    ),
                )  # fmt: skip

        at_once([partial(writer, id) for id in ids])
        for id in ids:
            assert stored(storage, id).head.version == ROUNDS
            assert values(storage, id)[Table.VM, "count"] == ROUNDS - 1
            assert len(values(storage, id)) == ROUNDS
            assert [item.sequence for item in storage.events(id, 0, 1000)] == list(range(1, ROUNDS))
            assert storage.log(id)[""].split() == [str(version) for version in range(1, ROUNDS)]

    # --- searching -----------------------------------------------------------------------------------------

    def test_heads_come_newest_first(self, storage: Storage) -> None:
        write(storage, *(birth(head(id, created=NOW + age)) for id, age in (("b", 2.5), ("a", 1), ("c", 3))))
        assert [item.id for item in storage.heads()] == ["c", "b", "a"]
        assert [item.id for item in storage.heads(frozenset({"owner"}))] == ["c", "b", "a"]

    def test_heads_are_complete(self, storage: Storage) -> None:
        write(storage, birth(head("i", owners=("a", "b"), due=NOW, data={"name": "x"})), birth(head("j", owners=())))
        assert {item.id: item for item in storage.heads()} == {id: stored(storage, id).head for id in "ij"}
        assert list(storage.heads(frozenset({"b"}))) == [stored(storage, "i").head]

    def test_owners_are_found_by_their_exact_names(self, storage: Storage) -> None:
        write(storage, *(birth(head(f"of-{number}", owners=(name,))) for number, name in enumerate(NAMES)))
        for number, name in enumerate(NAMES):
            assert [item.id for item in storage.heads(frozenset({name}))] == [f"of-{number}"]
        assert list(storage.heads(frozenset({"ALICE", "alic", "owner"}))) == []

    def test_heads_of_several_owners_come_once(self, storage: Storage) -> None:
        write(storage, birth(head("i", owners=("a", "b"))), birth(head("j", owners=("c",), created=NOW - 1)))
        assert [item.id for item in storage.heads(frozenset({"a", "b", "c", "d"}))] == ["i", "j"]
        assert list(storage.heads(frozenset())) == []

    def test_deleted_infrastructures_are_listed_only_when_asked_for_but_can_be_loaded(self, storage: Storage) -> None:
        write(storage, birth(head("i"), upserts=(row("1", "kept"),)), birth(head("j", created=NOW - 1)))
        write(storage, Commit("i", 1, 1, head=head("i", deleted=True)))
        for owners in (None, frozenset({"owner"})):
            assert [item.id for item in storage.heads(owners)] == ["j"]
            assert [(item.id, item.deleted) for item in storage.heads(owners, deleted=True)] == [
                ("i", True), ("j", False),
            ]  # fmt: skip
        assert stored(storage, "i").head.deleted
        assert values(storage, "i") == {(Table.VM, "1"): "kept"}

    def test_heads_are_found_by_their_ids_deleted_or_not(self, storage: Storage) -> None:
        write(storage, *(birth(head(id, owners=(id, "all"))) for id in ("a", "A", "b")))
        write(storage, Commit("b", 1, 1, head=head("b", deleted=True)))
        found = storage.find(["a", "b", "unknown"])
        assert sorted(found, key=lambda item: item.id) == [stored(storage, "a").head, stored(storage, "b").head]
        assert list(storage.find([])) == []

    def test_what_is_due_comes_oldest_first_and_not_too_much_of_it(self, storage: Storage) -> None:
        due = {"b": NOW - 2, "a": NOW - 3, "c": NOW, "later": NOW + 1, "never": None}
        write(storage, *(birth(head(id, due=instant), "me") for id, instant in due.items()))
        assert list(storage.due(NOW, "me", 10)) == ["a", "b", "c"]
        assert list(storage.due(NOW, "me", 2)) == ["a", "b"]
        write(storage, Commit("a", 1, 1, head=head("a", due=None)))
        assert list(storage.due(NOW + 1, "me", 10)) == ["b", "c", "later"]

    def test_what_another_holder_works_on_is_not_due(self, storage: Storage) -> None:
        write(
            storage,
            birth(head("mine", due=NOW - 3), "me"),
            birth(head("theirs", due=NOW - 2), "other"),
            birth(head("released", due=NOW - 1), "other"),
        )
        storage.release("other", ["released"])
        assert list(storage.due(NOW, "me", 10)) == ["mine", "released"]
        assert list(storage.due(NOW, "other", 10)) == ["theirs", "released"]
        assert list(storage.due(NOW + DURATION + 1, "me", 10)) == ["mine", "theirs", "released"]

    def test_unknown_infrastructures_are_no_error(self, storage: Storage) -> None:
        write(storage, birth(head("i")))
        assert storage.load("unknown") is None
        assert storage.acquire("unknown", "me", NOW, DURATION) is None
        assert list(storage.events("unknown", 0, 10)) == []
        assert dict(storage.log("unknown")) == {}
        storage.release("me", ["unknown"])
        [answer] = storage.commit([self.overwriting("unknown", 0, 1)])
        assert isinstance(answer, StorageConflict)
        assert storage.load("unknown") is None

    # --- events and logs -----------------------------------------------------------------------------------

    def test_events_are_resumed_after_a_number(self, storage: Storage) -> None:
        write(storage, birth(head("i"), events=tuple(event("i", n) for n in (1, 2, 3))), birth(head("j")))
        write(storage, Commit("i", 1, 1, events=tuple(event("i", n, n=n) for n in range(4, 12))))
        write(storage, Commit("j", 1, 1, events=(event("j", 1),)))
        assert [item.sequence for item in storage.events("i", 0, 100)] == list(range(1, 12))
        assert told(storage.events("i", 9, 100)) == [event("i", 10, n=10), event("i", 11, n=11)]
        assert [item.sequence for item in storage.events("i", 3, 2)] == [4, 5]
        assert list(storage.events("i", 11, 100)) == []

    def test_events_of_all_infrastructures_have_one_order(self, storage: Storage) -> None:
        write(storage, birth(head("i", owners=("a",)), events=(event("i", 1), event("i", 2))))
        write(
            storage,
            Commit("i", 1, 1, events=(event("i", 3),)),
            birth(head("j", owners=("b", "c")), events=(event("j", 1, n=1), event("j", 2))),
            birth(head("nobody's", owners=()), events=(event("nobody's", 1),)),
        )
        found = storage.account_events(None, 0, 100)
        positions = [item.position for item in found]
        assert positions == sorted(set(positions)), "not ascending, or some number twice"
        assert positions[0] > 0
        assert positions[-1] == storage.last_position()
        assert sorted((item.infrastructure, item.sequence) for item in found) == [
            ("i", 1), ("i", 2), ("i", 3), ("j", 1), ("j", 2), ("nobody's", 1),
        ]  # fmt: skip
        for id in "ij":
            assert list(storage.events(id, 0, 100)) == [item for item in found if item.infrastructure == id]
        assert list(storage.account_events(None, positions[1], 2)) == list(found[2:4])
        assert list(storage.account_events(None, positions[-1], 100)) == []

    def test_events_of_an_account_are_those_of_its_infrastructures_deleted_ones_too(self, storage: Storage) -> None:
        write(storage, *(birth(head(id, owners=owners)) for id, owners in (("i", "a"), ("j", "ab"), ("k", "c"))))
        for version in (1, 2):
            write(storage, *(Commit(id, version, 1, events=(event(id, version),)) for id in "ijk"))
        write(storage, Commit("i", 3, 1, head=head("i", owners=("a",), deleted=True), events=(event("i", 3),)))

        def of(*owners: str, after: int = 0) -> list[tuple[str, int]]:
            found = storage.account_events(frozenset(owners), after, 100)
            assert [item.position for item in found] == sorted(item.position for item in found)
            return [(item.infrastructure, item.sequence) for item in found]

        assert of("a") == [("i", 1), ("j", 1), ("i", 2), ("j", 2), ("i", 3)]
        assert of("b", "c") == [("j", 1), ("k", 1), ("j", 2), ("k", 2)]
        assert of("a", "b", after=storage.events("j", 1, 1)[0].position) == [("i", 3)]
        assert of("A") == of() == []

    def test_a_conflict_takes_no_part_in_the_order(self, storage: Storage) -> None:
        write(storage, birth(head("i"), events=(event("i", 1),)))
        storage.commit([Commit("i", 7, 1, events=(event("i", 2),)), birth(head("j"), events=(event("j", 1),))])
        found = storage.account_events(None, 0, 100)
        assert [(item.infrastructure, item.sequence) for item in found] == [("i", 1), ("j", 1)]

    def test_positions_become_visible_in_their_order(
        self, storage: Storage, make_storage: MakeStorage, storage_url: str
    ) -> None:
        """Somebody who goes on after what they have seen misses nothing, whoever writes."""
        other = make_storage(storage_url)
        other.open()
        ids = [f"i-{number}" for number in range(4)]
        write(storage, *(birth(head(id)) for id in ids))
        left = [len(ids)]

        def writer(id: str, its: Storage) -> list[tuple[str, int]]:
            try:
                for version in range(1, ROUNDS):
                    write(its, Commit(id, version, 1, events=(event(id, 2 * version), event(id, 2 * version + 1))))
            finally:
                left[0] -= 1
            return []

        def reader() -> list[tuple[str, int]]:
            seen: list[tuple[str, int]] = []
            position = 0
            while True:
                last = not left[0]
                promised = storage.last_position()
                page = storage.account_events(None, position, 7)
                seen += [(item.infrastructure, item.sequence) for item in page]
                position = page[-1].position if page else position
                assert page or position >= promised, "a position was promised that cannot be read"
                if last and not page:
                    return seen

        calls: list[Callable[[], list[tuple[str, int]]]] = [reader]
        calls += [partial(writer, id, (storage, other)[number % 2]) for number, id in enumerate(ids)]
        try:
            seen = at_once(calls)[0]
        finally:
            other.close()
        expected = {(id, sequence) for id in ids for sequence in range(2, 2 * ROUNDS)}
        assert (len(seen), set(seen)) == (len(expected), expected)

    def test_logs_grow_in_the_order_of_writing(self, storage: Storage) -> None:
        write(storage, birth(head("i"), log=(LogChunk("", "a"), LogChunk("1", "x"), LogChunk("", "b"))))
        write(storage, birth(head("j"), log=(LogChunk("", "not i's"),)))
        write(storage, Commit("i", 1, 1, log=(LogChunk("1", "y\n"), LogChunk("2", ""), LogChunk("", "c"))))
        found: Mapping[str, str] = storage.log("i")
        assert (found[""], found["1"], found.get("2", "")) == ("abc", "xy\n", "")

    # --- audit ---------------------------------------------------------------------------------------------

    def test_audit_records_are_appended_and_resumed_after_a_number(self, storage: Storage) -> None:
        given = [record(number, "a") for number in range(5)]
        assert list(storage.commit([birth(head("i"))], given[:2])) == [None]
        assert list(storage.commit([], given[2:])) == []
        found = storage.audit(None, 0, 100)
        ids = [item.id for item in found]
        assert ids == sorted(set(ids))
        assert ids[0] > 0
        assert [replace(item, id=0) for item in found] == given
        assert list(storage.audit(None, ids[1], 2)) == list(found[2:4])
        assert list(storage.audit(None, ids[-1], 100)) == []

    def test_audit_records_are_found_by_their_owners(self, storage: Storage) -> None:
        storage.commit([], [record(0), record(1, "a"), record(2, "a", "b"), record(3, "c")])

        def of(*owners: str, after: int = 0) -> list[str]:
            return [item.message for item in storage.audit(frozenset(owners), after, 100)]

        assert of("a") == ["no 1", "no 2"]
        assert of("b", "c") == ["no 2", "no 3"]
        assert of("a", "b", "c", after=storage.audit(None, 0, 3)[2].id) == ["no 3"]
        assert of("A") == of("") == of() == []

    def test_audit_records_of_a_batch_with_a_conflict_are_written(self, storage: Storage) -> None:
        [answer] = storage.commit([self.overwriting("unknown", 1, 1)], [record(1)])
        assert isinstance(answer, StorageConflict)
        assert [item.message for item in storage.audit(None, 0, 10)] == ["no 1"]

    # --- purging -------------------------------------------------------------------------------------------

    def test_purging_removes_old_deleted_infrastructures_and_nothing_else(self, storage: Storage) -> None:
        full = birth(head("old"), upserts=(row("1", 1),), events=(event("old", 1),), log=(LogChunk("", "x"),))
        write(storage, full, birth(head("alive")))
        write(storage, Commit("old", 1, 1, head=head("old", deleted=True)))
        written = stored(storage, "old").head.updated
        assert storage.purge(written) == 0, "written at the instant is not written before it"
        assert storage.purge(written + 1) == 1
        assert storage.purge(written + 1) == 0
        assert storage.load("old") is None
        assert list(storage.events("old", 0, 10)) == []
        assert dict(storage.log("old")) == {}
        assert [item.id for item in storage.heads(deleted=True)] == ["alive"]

    def test_a_purged_id_can_be_used_again(self, storage: Storage) -> None:
        write(storage, birth(head("i", owners=("former",)), upserts=(row("1", 1),), events=(event("i", 1),)))
        write(storage, Commit("i", 1, 1, head=head("i", owners=("former",), deleted=True)))
        assert storage.purge(stored(storage, "i").head.updated + 1) == 1
        write(storage, birth(head("i", owners=("new",))))
        assert values(storage, "i") == {}
        assert list(storage.events("i", 0, 10)) == []
        assert stored(storage, "i").head.owners == {"new"}

    def test_numbers_are_not_given_again_after_purging(self, storage: Storage) -> None:
        write(storage, birth(head("i", deleted=True), events=(event("i", 1), event("i", 2))))
        storage.commit([], [record(1), record(2)])
        last, id = storage.last_position(), storage.audit(None, 0, 10)[-1].id
        storage.purge(stored(storage, "i").head.updated + 1)
        assert storage.last_position() == last
        assert list(storage.account_events(None, 0, 10)) == []
        storage.commit([birth(head("j"), events=(event("j", 1),))], [record(3)])
        assert storage.events("j", 0, 1)[0].position > last
        assert [item.id > id for item in storage.audit(None, 0, 10)] == [True]

    def test_purging_removes_audit_records_of_that_age(self, storage: Storage) -> None:
        storage.commit([], [record(number, "a") for number in range(4)])
        assert storage.purge(NOW + 2) == 0
        assert [item.message for item in storage.audit(None, 0, 10)] == ["no 2", "no 3"]
        assert [item.message for item in storage.audit(frozenset({"a"}), 0, 10)] == ["no 2", "no 3"]

    def test_many_infrastructures_are_purged_at_once(self, storage: Storage) -> None:
        write(storage, *(birth(head(f"i-{number}", deleted=True)) for number in range(120)))
        last = max(item.updated for item in storage.heads(deleted=True))
        assert storage.purge(last + 1) == 120
        assert list(storage.heads(deleted=True)) == []

    # --- values --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "value",
        [
            None, True, 0, -1, 2**53, 1.5, 1e-9, "", " x ", "line\nbreak\ttab", "'\"\\;--%_", "naïve ñandú 你好 🙂 ‮",
            [], {}, [[1, [2]], {"k": [None]}], {"": "", "ключ": ["значение"]},
        ],
        ids=repr,
    )  # fmt: skip
    def test_json_comes_back_as_it_was(self, storage: Storage, value: JSON) -> None:
        write(
            storage,
            birth(head("i", data={"value": value}), upserts=(row("1", value),), events=(event("i", 1, v=value),)),
        )
        assert stored(storage, "i").head.data == {"value": value}
        back = values(storage, "i")[Table.VM, "1"]
        assert (back, type(back)) == (value, type(value))
        assert [item.data for item in storage.events("i", 0, 1)] == [{"v": value}]

    def test_keys_and_logs_may_be_any_text(self, storage: Storage) -> None:
        text = "naïve\r\n\ttab \x1b[31m 你好 🙂 'quoted' \\ % _ "
        keys = [*NAMES, "0/instance/1", "ключ/1"]
        write(
            storage,
            birth(
                head("i"), upserts=tuple(row(key, key) for key in keys), log=(LogChunk("", text), LogChunk("7", text))
            ),
        )
        assert values(storage, "i") == {(Table.VM, key): key for key in keys}
        assert dict(storage.log("i")) == {"": text, "7": text}

    def test_large_documents_and_logs_fit(self, storage: Storage) -> None:
        document = "configure wn (\n" + "é x 🙂\n" * 500_000 + ")\n"
        assert len(document.encode()) > 5_000_000
        write(
            storage, birth(head("i"), upserts=(row("radl", document, Table.DOCUMENT),), log=(LogChunk("", document),))
        )
        assert values(storage, "i") == {(Table.DOCUMENT, "radl"): document}
        assert storage.log("i")[""] == document

    def test_an_infrastructure_may_have_thousands_of_rows(self, storage: Storage) -> None:
        rows = tuple(row(str(number), number, table) for table in (Table.VM, Table.RESOURCE) for number in range(2000))
        write(storage, birth(head("i"), upserts=rows))
        assert values(storage, "i") == {(item.table, item.key): item.data["value"] for item in rows}
        write(storage, Commit("i", 1, 1, deletes=tuple((item.table, item.key) for item in rows)))
        assert values(storage, "i") == {}
