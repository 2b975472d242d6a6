"""The storage for tests keeps the contract it is meant to stand in for."""

from collections.abc import Callable

import pytest

from imframework.testing.memory_storage import MemoryDatabase, MemoryStorage
from imframework.testing.storage import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage_url(self) -> str:
        return "memory://"

    @pytest.fixture
    def make_storage(self) -> Callable[[str], MemoryStorage]:
        database = MemoryDatabase()
        return lambda url: MemoryStorage(url, {}, database)
