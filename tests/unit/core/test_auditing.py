"""What is written down of an operation, and what is not."""

import asyncio
import json
import logging

import pytest

from imframework.api.errors import CloudError, Forbidden, InvalidDocument, Problem, Unauthenticated
from imframework.api.model import Credential, Identity
from imframework.api.service import Caller, Service
from imframework.core.auditing import OPERATIONS, Trail, audited

CALLER = Caller(
    (Identity("ana", "subject"),),
    frozenset({"key"}),
    (
        Credential(
            "one", "OpenNebula", {"username": "ana", "password": "hush-hush-77", "host": "https://cloud.example"}
        ),
    ),
    "192.0.2.1",
    front_end="rest",
)


class Fake:
    """A service that does what `does` says."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def does(self, caller):
        return None

    async def stop(self, caller, infrastructure, vm=None):
        return await self.does(caller)

    async def remove(self, caller, infrastructure, vms, *, context=True):
        return len(vms)

    async def create(self, caller, document, *, asynchronous=False):
        return await self.does(caller) or "new"

    async def state(self, caller, infrastructure):
        self._trail.denied(caller, infrastructure)

    async def authenticate(self, credentials, address="", front_end=""):
        return credentials, address, front_end


@pytest.fixture
def records():
    return []


@pytest.fixture
def service(records):
    trail = Trail(records.append)
    fake = Fake(trail)
    return fake, audited(fake, trail, "rest")


def shown(records):
    return [(each.operation, each.target, each.result, each.message) for each in records]


def test_what_was_done_by_whom_and_from_where(service, records):
    asyncio.run(service[1].stop(CALLER, "i", vm=3))
    asyncio.run(service[1].remove(CALLER, "i", [1, 2]))
    asyncio.run(service[1].remove(CALLER, "i", [1]))
    asyncio.run(service[1].create(CALLER, "document"))
    assert shown(records) == [
        ("stop", "i/3", "ok", ""), ("remove", "i", "ok", ""), ("remove", "i/1", "ok", ""), ("create", "new", "ok", ""),
    ]  # fmt: skip
    assert {(each.users, each.address, each.front_end, each.owner_keys) for each in records} == {
        (("ana",), "192.0.2.1", "rest", frozenset({"key"}))
    }


@pytest.mark.parametrize(
    ("error", "result", "message"),
    [
        (CloudError("login with hush-hush-77 refused"), "cloud_error", "login with *** refused"),
        (CloudError("password = s3cret;"), "cloud_error", "password = ***;"),
        (CloudError("x" * 1000), "cloud_error", "x" * 499 + "…"),
        (InvalidDocument(Problem("unknown word hush-hush-78")), "invalid_document", "1 problem(s) in the document"),
        (ZeroDivisionError("hush"), "internal", "ZeroDivisionError"),
        (asyncio.CancelledError(), "cancelled", "CancelledError"),
    ],
)
def test_how_it_ended_without_secrets(service, records, error, result, message):
    async def fail(caller):
        raise error

    service[0].does = fail
    with pytest.raises(type(error)):
        asyncio.run(service[1].stop(CALLER, "i"))
    assert shown(records) == [("stop", "i", result, message)]


def test_a_denial_is_recorded_once(service, records):
    """As a reading by itself, or as the operation it was part of."""
    fake, handed = service

    async def deny(caller):
        fake._trail.denied(caller, "i")
        raise Forbidden("not yours")

    fake.does = deny
    with pytest.raises(Forbidden):
        asyncio.run(handed.stop(CALLER, "i"))
    asyncio.run(handed.state(CALLER, "i"))
    assert [each[:3] for each in shown(records)] == [("stop", "i", "forbidden"), ("read", "i", "forbidden")]


def test_reading_goes_straight_to_the_service(service):
    fake, handed = service
    assert handed.state == fake.state
    assert asyncio.run(handed.authenticate("who", "where")) == ("who", "where", "rest")


def test_a_refused_log_in_tells_the_names_and_nothing_else(records):
    trail = Trail(records.append)
    refused = Unauthenticated("Invalid InfrastructureManager credentials")
    trail.refused("type = InfrastructureManager; username = bob; password = hush-hush-77", "192.0.2.9", "rest", refused)
    trail.refused("what is this: hush-hush-77", "192.0.2.9", "rest", refused)
    forgotten = "type = InfrastructureManager; username = 'bob my word = hush-hush-77'"
    trail.refused(forgotten, "192.0.2.9", "rest", refused)
    assert [each.users for each in records] == [("bob",), (), ("bob my word",)]
    assert shown(records)[0] == ("authenticate", "", "unauthenticated", "Invalid InfrastructureManager credentials")
    assert "hush" not in repr(records)


def test_each_record_is_one_line_of_json_in_the_log(service, caplog):
    with caplog.at_level(logging.INFO, "imframework.audit"):
        asyncio.run(service[1].stop(CALLER, "i\nforged"))
    [line] = [record.getMessage() for record in caplog.records if record.name == "imframework.audit"]
    assert "\n" not in line
    assert json.loads(line)["operation"] == "stop"


#: The operations that change nothing that anybody would ask about. (What `plan` makes is only looked at.)
READING = {
    "list", "machines", "state", "vm_info", "vm_property", "contmsg", "radl", "tosca", "outputs", "tag", "owners",
    "events", "account_events", "follow", "audit", "follow_audit", "images", "quotas", "stats", "command", "estimate",
    "validate", "plan", "templates", "version", "health", "metrics", "plugins",
}  # fmt: skip


def test_every_operation_is_recorded_unless_it_only_reads():
    """Whoever adds an operation decides here."""
    operations = {name for name in vars(Service) if not name.startswith("_") and name != "authenticate"}
    assert operations - READING == set(OPERATIONS)
    assert operations >= READING
