"""Machines on this host keep the contract of connectors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from imframework.api.model import Credential, Features, Interval
from imframework.testing.connector import ConnectorContract, MakeConnector
from imframework_plugins.connectors.local import host
from imframework_plugins.connectors.local.connector import LocalConnector


@pytest.mark.skipif(bool(host.obstacle()), reason=f"no local machines here: {host.obstacle()}")
class TestLocal(ConnectorContract):
    @pytest.fixture
    def make_connector(self, tmp_path: Path) -> Iterator[MakeConnector]:
        directory = tmp_path / "site"
        networks = (ipaddress.ip_network("127.91.0.0/16"),)
        options = {"LOCAL_DIR": directory, "LOCAL_NETWORK": networks, "LOCAL_PORT": 2222}
        yield lambda: LocalConnector(Credential("here", "Local", {}), options)
        assert not directory.exists() or list(directory.iterdir()) == [], "machines are left"

    @pytest.fixture
    def system(self) -> Features:
        return Features("node", {"cpu.count": Interval(minimum=1), "memory.size": Interval(minimum=2**28)})

    @pytest.fixture
    def altered(self) -> Features:
        return Features("node", {"cpu.count": Interval(minimum=1), "memory.size": Interval(minimum=2**29)})

    @pytest.fixture
    def refused(self) -> Features:
        return Features("node", {"disk.0.image.url": ("ost://cloud.example/image", "aws://region/ami")})
