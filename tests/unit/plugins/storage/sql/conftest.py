"""A database file of the test's own, and storages on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imframework_plugins.storage.sql.storage import SqlStorage


class Impatient(SqlStorage):
    """Waits hardly at all for locks."""

    patience = 0.05


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inf.dat"


@pytest.fixture
def make() -> Iterator[Callable[[object], SqlStorage]]:
    """Makes an impatient storage for a DATA_DB; all are closed in the end."""
    made: list[SqlStorage] = []

    def make_one(url: object) -> SqlStorage:
        made.append(Impatient(str(url), {}))
        return made[-1]

    yield make_one
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Callable[[object], SqlStorage], path: Path) -> SqlStorage:
    storage = make(path)
    storage.open()
    return storage
