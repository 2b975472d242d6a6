"""The simulated cloud keeps the contract of connectors, whatever way it recognises a repeated create."""

import json
from typing import ClassVar

import pytest

from imframework.api.model import Credential, Features, Interval, NetworkRequest
from imframework.testing.connector import ConnectorContract
from imframework_plugins.connectors.dummy.cloud import DummyCloud
from imframework_plugins.connectors.dummy.connector import DummyConnector

GIBIBYTE = 1024**3


class TestAsItIs(ConnectorContract):
    """Without a behaviour, in a file."""

    behaviour: ClassVar = {}

    @pytest.fixture
    def file(self, tmp_path):
        return tmp_path / "cloud.sqlite"

    @pytest.fixture
    def make_connector(self, file):
        credential = Credential("one", "Dummy", {"host": "cloud.example", "password": "planted-secret-value"})
        options = {"DUMMY_FILE": file, "DUMMY_BEHAVIOUR": json.dumps(self.behaviour)}
        return lambda: DummyConnector(credential, options)

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, file, request):
        yield
        assert DummyCloud(file).inventory() == []

    @pytest.fixture
    def secrets(self):
        return ["planted-secret-value"]

    @pytest.fixture
    def system(self):
        return self.sized(1)

    @pytest.fixture
    def altered(self):
        return self.sized(4)

    def sized(self, cpus):
        return Features(
            "node",
            {
                "cpu.count": Interval(minimum=cpus),
                "memory.size": Interval(minimum=cpus * GIBIBYTE),
                "disk.0.image.url": "mock0://linux.for.ev.er/image1",
                "disk.1.size": Interval(minimum=10 * GIBIBYTE, maximum=10 * GIBIBYTE),
                "net_interface.0.connection": "inside",
                "net_interface.1.connection": "outside",
            },
        )

    @pytest.fixture
    def networks(self):
        return {
            "inside": NetworkRequest(Features("inside", {})),
            "outside": NetworkRequest(Features("outside", {"outbound": "yes"})),
        }

    @pytest.fixture
    def given(self, networks):
        return {**networks, "inside": NetworkRequest(Features("inside", {"provider_id": "vlan-17"}))}

    @pytest.fixture
    def silent(self, make_connector, file):
        hang = json.dumps({"faults": [{"effect": "hang", "verb": ["create", "read", "delete"], "seconds": 0.1}]})
        return DummyConnector(make_connector().credential, {"DUMMY_FILE": file, "DUMMY_BEHAVIOUR": hang})


class TestRecognisingByName(TestAsItIs):
    behaviour: ClassVar = {"recognition": {"*": "name"}}


class TestRecognisingByTagThatShowsLate(TestAsItIs):
    behaviour: ClassVar = {"recognition": {"*": "tag"}, "window": {"*": 0.1}}


class TestRecognisingNothing(TestAsItIs):
    behaviour: ClassVar = {"recognition": {"*": "none"}}


class TestTakingItsTime(TestAsItIs):
    """Things take a while to be seen, to get ready, to need further steps, and to go."""

    behaviour: ClassVar = {
        "latency": {"*": 0.001},
        "lag": {"*": 0.02},
        "boot": {"instance": 0.05, "volume": 0.03},
        "steps": {"instance": 2, "security_group": 1},
        "deletion": {"instance": 0.05, "*": 0.01},
        "distinct_addresses": True,
    }


class TestRefusingImages(TestAsItIs):
    behaviour: ClassVar = {"images": ["mock0://*"]}

    @pytest.fixture
    def refused(self):
        return Features("node", {"disk.0.image.url": "ost://cloud.example/some-image"})
