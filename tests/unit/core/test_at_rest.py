"""Secrets in rows: sealed in the database, whole in memory."""

from __future__ import annotations

import json

import pytest

from imframework.api.errors import StorageError
from imframework.api.storage import Row, Table
from imframework.core.at_rest import AtRest
from imframework.core.secrets import SecretBox

SECRET = "Tr0ub4dor&3"

ROWS = [
    Row(Table.DOCUMENT, "radl", {"name": "radl", "text": f"system s (disk.0.os.credentials.password = '{SECRET}')"}),
    Row(Table.VM, "0", {"number": 0, "facts": {"disk.0.os.credentials.password": SECRET, "cpu.count": 2}}),
    Row(Table.VM, "1", {"number": 1, "planned": {"environment.variables": ["A", SECRET]}}),
    Row(
        Table.RESOURCE, "c/i", {"attributes": {"access": {"address": "10.0.0.1", "private_key": SECRET}}, "token": "t"}
    ),
    Row(Table.RESOURCE, "c/u", {"spec": {"user_data": f"#cloud-config\nruncmd: [{SECRET}]"}}),
    Row(
        Table.RESOURCE, "c/j", {"spec": {"volumes": [{"secret_key": SECRET}], "key_pair": {"$ref": ["key_pair", "id"]}}}
    ),
]


@pytest.fixture
def at_rest(tmp_path):
    return AtRest(SecretBox.load(tmp_path / "key"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table} {row.key}")
def test_a_secret_is_not_in_the_row_that_is_stored_and_is_back_when_it_is_read(at_rest, row):
    stored = at_rest.seal("infra", row)

    assert SECRET not in json.dumps(stored.data)
    read = Row(stored.table, stored.key, json.loads(json.dumps(stored.data)))
    assert at_rest.open("infra", read) == row


def test_what_is_no_secret_stays_readable(at_rest):
    stored = at_rest.seal("infra", ROWS[1])

    assert stored.data["facts"]["cpu.count"] == 2
    assert at_rest.seal("infra", ROWS[3]).data["attributes"]["access"]["address"] == "10.0.0.1"
    assert at_rest.seal("infra", ROWS[3]).data["token"] == "t"


def test_a_row_without_secrets_is_stored_as_it_is(at_rest):
    row = Row(Table.VM, "0", {"number": 0, "facts": {"cpu.count": 2}})

    assert at_rest.seal("infra", row) is row


def test_a_reference_to_a_secret_of_another_resource_stays_a_reference(at_rest):
    row = Row(Table.RESOURCE, "c/i", {"spec": {"password": {"$ref": ["secret", "value"]}}})

    assert at_rest.seal("infra", row) == row


def test_a_row_moved_to_another_infrastructure_is_not_opened(at_rest):
    stored = at_rest.seal("mine", ROWS[0])

    with pytest.raises(StorageError):
        at_rest.open("yours", stored)
