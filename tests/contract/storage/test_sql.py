"""The storage plugin `sql` keeps the contract of storage plugins."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imframework.testing.storage import StorageContract
from imframework_plugins.storage.sql.storage import SqlStorage


class TestSqlStorageOnSqlite(StorageContract):
    @pytest.fixture
    def storage_url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/inf.dat"

    @pytest.fixture
    def make_storage(self) -> Callable[[str], SqlStorage]:
        return lambda url: SqlStorage(url, {})
