"""The connector keeps the contract of connectors, and says why it cannot do something."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from imframework.api.errors import CredentialsRejected
from imframework.api.model import Credential, Features, Interval, Refusal
from imframework.testing.connector import ConnectorContract, MakeConnector

from imframework_example.connector import ExampleConnector

Make = Callable[..., ExampleConnector]


@pytest.fixture
def make(cloud: str) -> Make:
    """Makes connectors of one account; keys of the credential can be given."""

    def make(*, timeout: float = 10, **keys: str) -> ExampleConnector:
        fields = {"host": cloud, "username": "demo", "password": "demo-password", **keys}
        return ExampleConnector(Credential("one", "Example", fields), {"EXAMPLE_TIMEOUT": timeout})

    return make


class TestExampleConnector(ConnectorContract):
    @pytest.fixture
    def make_connector(self, make: Make) -> MakeConnector:
        return make

    @pytest.fixture
    def refused(self) -> Features:
        return Features("node", {"disk.0.image.url": "example://debian-12", "cpu.count": Interval(minimum=1000)})

    @pytest.fixture
    def silent(self, make: Make) -> Iterator[ExampleConnector]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield make(host=f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.2)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"disk.0.image.url": "example://no-such-image"}, "this cloud has no such image"),
        ({"disk.0.os.flavour": "plan9"}, "none of the images of this cloud has the operating system that is asked for"),
        ({"instance_type": "huge"}, "no flavour of this cloud has the size that is asked for"),
        (
            {"net_interface.0.connection": "a", "net_interface.1.connection": "b"},
            "a machine of this cloud has one network interface",
        ),
    ],
)
def test_it_says_why_a_system_is_impossible(make: Make, wanted: dict[str, str], reason: str) -> None:
    answers = make().candidates(Features("node", wanted))

    assert {answer.reason for answer in answers if isinstance(answer, Refusal)} == {reason}
    assert all(isinstance(answer, Refusal) for answer in answers)


def test_it_names_the_keys_that_a_credential_lacks(make: Make) -> None:
    with pytest.raises(CredentialsRejected, match="cloud one lack username, password"):
        make(username="", password="")


@pytest.mark.parametrize("host", ["cloud.example.org", "ftp://cloud.example.org", "http://", "http://cloud:port"])
def test_it_refuses_a_host_that_is_no_address_of_a_cloud(make: Make, host: str) -> None:
    with pytest.raises(CredentialsRejected, match="complete http or https URL"):
        make(host=host)


def test_a_wrong_password_is_told_from_other_refusals(make: Make) -> None:
    with pytest.raises(CredentialsRejected, match="unknown account or wrong password"):
        make(password="wrong").quotas()
