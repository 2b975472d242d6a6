"""Writing heads: who may, and their owners. All of a batch at once as long as nobody conflicts."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from imframework.api.errors import StorageConflict
from imframework_plugins.storage.sql import schema
from imframework_plugins.storage.sql.bulk import insert_all, update_all
from imframework_plugins.storage.sql.changes import Change, Parameters

_heads = schema.infrastructures.c
_owners = schema.owners.c

#: Makes a head one version newer if its writer is the one who may. Further columns to set come with the parameters.
_ADVANCE = (
    update(schema.infrastructures)
    .where(
        _heads.id == bindparam("of_id"),
        _heads.version == bindparam("of_version"),
        _heads.fence == bindparam("of_fence"),
    )
    .values(version=_heads.version + 1)
)
_GUARDS = ("id", "version", "fence")
_INSERT_HEAD = insert(schema.infrastructures)
_INSERT_OWNER = insert(schema.owners)
_DELETE_OWNER = delete(schema.owners).where(
    _owners.infrastructure == bindparam("of_infrastructure"), _owners.owner == bindparam("of_owner")
)
_OWNERS_OF = select(_owners.infrastructure, _owners.owner).where(
    _owners.infrastructure.in_(bindparam("infrastructures", expanding=True))
)


class KnownOwners:
    """The owners of heads as they were last written here, by infrastructure, with the version they were written in.

    Whoever may write the version after that one knows by this that they are still the same.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._written: OrderedDict[str, tuple[int, frozenset[str]]] = OrderedDict()

    def are(self, change: Change) -> bool:
        """Whether the owners that a change wants are certainly those stored."""
        return self._written.get(change.infrastructure) == (change.guard["of_version"], change.owners)

    def written(self, changes: Iterable[Change]) -> None:
        """Remember changes that are stored for good."""
        for change in changes:
            id, version = change.infrastructure, 1 if change.lease else change.guard["of_version"] + 1
            owners = change.owners
            if owners is None:
                before, owners = self._written.get(id, (0, frozenset()))
                if before != version - 1:
                    continue
            self._written[id] = (version, owners)
            self._written.move_to_end(id)
        while len(self._written) > self._limit:
            self._written.popitem(last=False)


def write_heads(
    connection: Connection, changes: Sequence[Change], now: float, known: KnownOwners
) -> Sequence[StorageConflict | None]:
    """Create heads or make them one version newer; for each the conflict, if its writer may not."""
    answers: Sequence[StorageConflict | None]
    if len(changes) > 1 and _write_all(connection, changes, now):
        answers = [None] * len(changes)
    else:
        answers = [_write(connection, change, now) for change in changes]
    _write_owners(
        connection,
        [change for change, answer in zip(changes, answers, strict=True) if answer is None and not known.are(change)],
    )
    return answers


def _write_all(connection: Connection, changes: Sequence[Change], now: float) -> bool:
    """Write heads in few statements. If one conflicts nothing is written: which one it is they do not tell."""
    if not connection.dialect.supports_sane_multi_rowcount:
        return False
    with connection.begin_nested() as savepoint:
        try:
            if births := [_birth(change, now) for change in changes if change.lease is not None]:
                insert_all(connection, _INSERT_HEAD, births)
        except IntegrityError:
            savepoint.rollback()
            return False
        # The statement follows from the columns that the first one sets, so all must set the same.
        for rewritten in (True, False):
            steps = [
                _step(change, now) for change in changes if change.lease is None and bool(change.head) is rewritten
            ]
            if steps and update_all(connection, _ADVANCE, _GUARDS, steps) != len(steps):
                savepoint.rollback()
                return False
    return True


def _write(connection: Connection, change: Change, now: float) -> StorageConflict | None:
    if change.lease is None:
        if update_all(connection, _ADVANCE, _GUARDS, [_step(change, now)]) == 1:
            return None
        text = "has been changed or taken over by another instance of the service"
    else:
        try:
            with connection.begin_nested():
                insert_all(connection, _INSERT_HEAD, [_birth(change, now)])
            return None
        except IntegrityError:
            text = "exists already"
    return StorageConflict(f"Infrastructure {change.infrastructure} {text}.")


def _step(change: Change, now: float) -> Parameters:
    return {**change.guard, **change.head, "updated": now}


def _birth(change: Change, now: float) -> Parameters:
    return {"id": change.infrastructure, "version": 1, "updated": now, **change.head, **(change.lease or {})}


def _write_owners(connection: Connection, changes: Sequence[Change]) -> None:
    """Bring the owners of rewritten heads up to date; mostly they are."""
    wanted = {change.infrastructure: change.owners for change in changes if change.owners is not None}
    if not wanted:
        return
    known = [change.infrastructure for change in changes if change.owners is not None and change.lease is None]
    stored = grouped(connection.execute(_OWNERS_OF, {"infrastructures": known}).all()) if known else {}
    gone = [
        {"of_infrastructure": id, "of_owner": owner}
        for id, owners in stored.items()
        for owner in set(owners) - wanted[id]
    ]
    new = [
        {"infrastructure": id, "owner": owner}
        for id, owners in wanted.items()
        for owner in owners.difference(stored.get(id, ()))
    ]
    if gone:
        connection.execute(_DELETE_OWNER, gone)
    if new:
        insert_all(connection, _INSERT_OWNER, new)


def grouped(pairs: Sequence[Any]) -> Mapping[str, list[str]]:
    """Values by key, in their order."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
