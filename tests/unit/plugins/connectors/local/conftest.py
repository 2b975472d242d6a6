"""A connector on a folder of its own; no machine is started in these tests."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest

from imframework.api.model import Credential
from imframework_plugins.connectors.local.connector import LocalConnector


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def connector(directory: Path) -> Callable[..., LocalConnector]:
    """Makes connectors; keywords are options that differ."""

    def make(network: str = "127.89.0.0/16", **options: object) -> LocalConnector:
        values = {"LOCAL_DIR": directory, "LOCAL_NETWORK": (ipaddress.ip_network(network),), "LOCAL_PORT": 2222}
        return LocalConnector(Credential("here", "Local", {}), {**values, **options})

    return make
