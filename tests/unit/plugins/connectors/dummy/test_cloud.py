"""The simulated cloud does what real ones do: late, unique or not, limited, and careful with what is in use."""

import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from imframework.api.errors import CloudBusy, CloudRefused, CloudUnavailable, QuotaExceeded
from imframework.api.model import Phase, Recognition
from imframework_plugins.connectors.dummy import cloud as dummy_cloud
from imframework_plugins.connectors.dummy.cloud import DummyCloud, Order, shared_cloud

BY_NAME, BY_TAG, BY_NOTHING = (
    Order(recognition=recognition) for recognition in (Recognition.NAME, Recognition.TAG, Recognition.NONE)
)


class Clock:
    """Time that passes when the test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cloud(clock):
    return DummyCloud(clock=clock)


def phase(cloud, entry):
    return cloud.read(entry.account, [entry.provider_id])[entry.provider_id].phase


def ids(entries):
    return [entry.provider_id for entry in entries]


def instance(cloud, **uses):
    return cloud.create("one", "instance", "node", "token", {"interfaces": {}, **uses})


def test_ids_are_never_used_twice(cloud):
    first = cloud.create("one", "volume", "a", "", {})
    cloud.delete("one", first.provider_id)

    assert cloud.create("one", "volume", "a", "", {}).provider_id != first.provider_id


@pytest.mark.parametrize("condition", [f"serial {dummy_cloud._LISTED}", f"serial {dummy_cloud._USERS}"])
def test_things_are_found_by_their_numbers_however_many_the_account_has(condition):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(dummy_cloud._SCHEMA)
        query = f"SELECT 1 FROM thing WHERE {dummy_cloud._OF_ACCOUNT} AND {dummy_cloud._EXISTS} AND {condition}"  # noqa: S608
        values = {"account": "one", "now": 1.0, "serials": "[1]"}
        steps = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert steps[0] == "SEARCH thing USING INTEGER PRIMARY KEY (rowid=?)"


def test_a_repeated_token_answers_the_same_thing(cloud):
    first = cloud.create("one", "volume", "a", "token", {})

    assert cloud.create("one", "volume", "a", "token", {}).provider_id == first.provider_id
    assert cloud.create("one", "volume", "a", "other", {}).provider_id != first.provider_id
    assert cloud.create("one", "network", "a", "token", {}).provider_id != first.provider_id
    assert cloud.create("two", "volume", "a", "token", {}).provider_id != first.provider_id


def test_a_taken_name_is_refused_where_names_are_unique(cloud):
    cloud.create("one", "network", "net", "a", {}, BY_NAME)

    with pytest.raises(CloudRefused, match="named net exists already"):
        cloud.create("one", "network", "net", "b", {}, BY_NAME)
    cloud.create("one", "volume", "net", "c", {}, BY_NAME)
    cloud.create("two", "network", "net", "d", {}, BY_NAME)


@pytest.mark.parametrize("order", [BY_TAG, BY_NOTHING])
def test_a_repeated_create_makes_a_second_thing_where_nothing_prevents_it(cloud, order):
    first = cloud.create("one", "volume", "a", "token", {}, order)
    second = cloud.create("one", "volume", "a", "token", {}, order)

    assert ids(cloud.find("one", "volume", token="token")) == [first.provider_id, second.provider_id]


def test_a_tag_shows_late_and_the_thing_itself_at_once(cloud, clock):
    entry = cloud.create("one", "volume", "a", "token", {}, Order(Recognition.TAG, found_after=5))

    assert cloud.find("one", "volume", token="token") == []
    assert phase(cloud, entry) is Phase.READY
    assert ids(cloud.find("one", "volume", name="a")) == [entry.provider_id]
    clock.now += 5
    assert ids(cloud.find("one", "volume", token="token")) == [entry.provider_id]


def test_a_new_thing_can_be_there_before_it_can_be_read(cloud, clock):
    entry = cloud.create("one", "volume", "a", "token", {}, Order(read_after=3))

    assert cloud.read("one", [entry.provider_id]) == {}
    assert ids(cloud.inventory()) == [entry.provider_id]
    clock.now += 3
    assert phase(cloud, entry) is Phase.READY


def test_a_request_in_flight_takes_its_effect_later(cloud, clock):
    entry = cloud.create("one", "volume", "a", "token", {}, Order(in_flight=2, found_after=1, ready_after=4))

    assert cloud.inventory() == []
    clock.now += 2
    assert ids(cloud.inventory()) == [entry.provider_id]
    assert cloud.find("one", "volume", token="token") == []
    assert phase(cloud, entry) is Phase.CREATING
    clock.now += 4
    assert phase(cloud, entry) is Phase.READY


def test_a_repeated_token_or_name_meets_the_request_in_flight(cloud):
    entry = cloud.create("one", "volume", "a", "token", {}, Order(in_flight=2))
    cloud.create("one", "network", "net", "token", {}, Order(Recognition.NAME, in_flight=2))

    assert cloud.create("one", "volume", "a", "token", {}).provider_id == entry.provider_id
    with pytest.raises(CloudRefused):
        cloud.create("one", "network", "net", "other", {}, BY_NAME)


def test_things_boot_for_a_while(cloud, clock):
    entry = cloud.create("one", "instance", "node", "token", {}, Order(ready_after=10))

    assert entry.phase is Phase.CREATING
    clock.now += 10
    assert phase(cloud, entry) is Phase.READY


def test_a_broken_thing_boots_and_then_has_failed(cloud, clock):
    entry = cloud.create("one", "instance", "node", "token", {}, Order(ready_after=10, broken=True))

    assert phase(cloud, entry) is Phase.CREATING
    clock.now += 10
    assert phase(cloud, entry) is Phase.FAILED
    cloud.delete("one", entry.provider_id)
    assert cloud.inventory() == []


def test_things_that_need_steps_are_ready_after_as_many_updates(cloud):
    entry = cloud.create("one", "security_group", "group", "token", {}, Order(steps=2))

    assert entry.phase is Phase.UPDATING
    assert cloud.update("one", entry.provider_id, {}).phase is Phase.UPDATING
    assert cloud.update("one", entry.provider_id, {"rules": []}).phase is Phase.READY


def test_deleting_takes_a_while_and_repeating_it_does_not_prolong_it(cloud, clock):
    entry = cloud.create("one", "volume", "a", "token", {})
    cloud.delete("one", entry.provider_id, gone_after=10)
    assert phase(cloud, entry) is Phase.DELETING

    clock.now += 6
    cloud.delete("one", entry.provider_id, gone_after=10)
    clock.now += 4

    assert cloud.inventory() == []
    assert cloud.read("one", [entry.provider_id]) == {}


def test_what_is_absent_can_be_deleted(cloud):
    cloud.delete("one", "vol-000099")
    cloud.delete("one", "what is this?")
    cloud.delete("one", "")


def test_accounts_see_nothing_of_each_other(cloud):
    entry = cloud.create("one", "volume", "a", "token", {})

    cloud.delete("two", entry.provider_id)

    assert cloud.read("two", [entry.provider_id]) == {}
    assert cloud.find("two", "volume", token="token") == []
    assert ids(cloud.inventory("one")) == [entry.provider_id]
    assert cloud.inventory("two") == []


def test_what_is_in_use_is_not_deleted_until_its_user_is_gone(cloud, clock):
    network = cloud.create("one", "network", "net", "", {})
    node = instance(cloud, networks=[network.provider_id])
    cloud.delete("one", node.provider_id, gone_after=5)

    with pytest.raises(CloudBusy, match=f"{network.provider_id} is in use by instance {node.provider_id}"):
        cloud.delete("one", network.provider_id)
    clock.now += 5
    cloud.delete("one", network.provider_id)

    assert cloud.inventory() == []


def test_attachments_go_with_their_instance_and_addresses_stay(cloud, clock):
    address = cloud.create("one", "public_ip", "ip", "", {})
    node = instance(cloud)
    uses = {"public_ip": address.provider_id, "instance": node.provider_id, "interface": 0}
    attachment = cloud.create("one", "public_ip_attachment", "att", "", uses)
    assert ids(cloud.attachments("one", [node.provider_id])[node.provider_id]) == [attachment.provider_id]
    with pytest.raises(CloudBusy):
        cloud.delete("one", address.provider_id)

    cloud.delete("one", node.provider_id, gone_after=1)
    assert phase(cloud, attachment) is Phase.DELETING
    clock.now += 1

    assert ids(cloud.inventory()) == [address.provider_id]
    assert cloud.attachments("one", [node.provider_id]) == {}
    cloud.delete("one", address.provider_id)


def test_what_is_needed_must_exist_and_be_ready(cloud, clock):
    volume = cloud.create("one", "volume", "a", "", {}, Order(ready_after=5))

    with pytest.raises(CloudRefused, match="vol-000001, which is creating"):
        instance(cloud, volumes=[volume.provider_id])
    with pytest.raises(CloudRefused, match="net-000077, which does not exist"):
        instance(cloud, networks=["net-000077"])
    with pytest.raises(CloudRefused, match="no-such-thing, which does not exist"):
        instance(cloud, key_pair="no-such-thing")
    clock.now += 5
    instance(cloud, volumes=[volume.provider_id], networks=["given-by-the-document"])


def test_an_instance_is_switched_when_it_has_booted(cloud, clock):
    node = cloud.create("one", "instance", "node", "token", {}, Order(ready_after=5))
    with pytest.raises(CloudBusy, match="cannot stop while it is creating"):
        cloud.power("one", node.provider_id, "stop", on=False)
    clock.now += 5

    cloud.power("one", node.provider_id, "stop", on=False)
    assert phase(cloud, node) is Phase.STOPPED
    cloud.power("one", node.provider_id, "stop", on=False)
    cloud.power("one", node.provider_id, "start", on=True)
    assert phase(cloud, node) is Phase.READY


def test_a_broken_instance_is_never_switched(cloud):
    node = cloud.create("one", "instance", "node", "token", {}, Order(broken=True))

    with pytest.raises(CloudRefused, match="cannot start while it is failed"):
        cloud.power("one", node.provider_id, "start", on=True)


def test_only_instances_that_are_there_are_switched(cloud):
    volume = cloud.create("one", "volume", "a", "", {})

    with pytest.raises(CloudRefused, match="has no i-000099"):
        cloud.power("one", "i-000099", "start", on=True)
    with pytest.raises(CloudRefused, match="only instances"):
        cloud.power("one", volume.provider_id, "start", on=True)


def test_an_account_gets_no_more_than_its_quota(cloud):
    limited = Order(quota=2)
    first = cloud.create("one", "volume", "a", "a", {}, limited)
    cloud.create("one", "volume", "b", "b", {}, limited)
    with pytest.raises(QuotaExceeded, match="2 of kind volume"):
        cloud.create("one", "volume", "c", "c", {}, limited)

    cloud.create("one", "volume", "a", "a", {}, limited)  # the repeated one is no third
    cloud.create("two", "volume", "c", "c", {}, limited)
    cloud.delete("one", first.provider_id)
    cloud.create("one", "volume", "c", "c", {}, limited)


def test_the_journal_tells_what_was_asked_and_how_it_ended(cloud):
    network = cloud.create("one", "network", "net", "t", {})
    cloud.create("one", "network", "net", "t", {})
    instance(cloud, networks=[network.provider_id])
    with pytest.raises(CloudBusy):
        cloud.delete("one", network.provider_id)
    cloud.delete("one", "net-000099")

    assert [(call.verb, call.kind, call.provider_id, call.outcome) for call in cloud.calls()] == [
        ("create", "network", "net-000001", "done"),
        ("create", "network", "net-000001", "repeated"),
        ("create", "instance", "i-000002", "done"),
        ("delete", "network", "net-000001", "network net-000001 is in use by instance i-000002."),
        ("delete", "", "net-000099", "absent"),
    ]
    assert cloud.calls("two") == []


def test_somebody_at_the_console_can_take_anything_away(cloud):
    network = cloud.create("one", "network", "net", "", {})
    node = instance(cloud, networks=[network.provider_id])

    cloud.vanish("one", network.provider_id)

    assert ids(cloud.inventory()) == [node.provider_id]
    with pytest.raises(CloudRefused):
        cloud.vanish("one", network.provider_id)


def test_a_file_is_seen_by_every_process_at_once(tmp_path):
    file = tmp_path / "cloud.sqlite"
    ours = DummyCloud(file)
    ours.create("one", "volume", "ours", "a", {})

    program = (
        "import sys; from imframework_plugins.connectors.dummy.cloud import DummyCloud\n"
        "cloud = DummyCloud(sys.argv[1]); print([entry.name for entry in cloud.inventory()])\n"
        "cloud.create('one', 'volume', 'theirs', 'b', {})"
    )
    seen = subprocess.run([sys.executable, "-c", program, file], check=True, capture_output=True, text=True).stdout

    assert seen.strip() == "['ours']"
    assert [entry.name for entry in ours.inventory()] == ["ours", "theirs"]


def test_processes_that_open_and_write_a_new_file_together_lose_nothing(tmp_path):
    file = tmp_path / "cloud.sqlite"
    program = (
        "import sys; from imframework_plugins.connectors.dummy.cloud import DummyCloud\n"
        "cloud = DummyCloud(sys.argv[1])\n"
        "for i in range(50): cloud.create('one', 'volume', f'{sys.argv[2]}-{i}', f'{sys.argv[2]}-{i}', {})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, file, str(i)]) for i in range(3)]

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len({entry.name for entry in DummyCloud(file).inventory()}) == 150


def test_what_was_answered_outlives_a_kill(tmp_path):
    file = tmp_path / "cloud.sqlite"
    program = (
        "import os, signal, sys; from imframework_plugins.connectors.dummy.cloud import DummyCloud\n"
        "cloud = DummyCloud(sys.argv[1])\n"
        "gone = cloud.create('one', 'volume', 'gone', 'a', {}); cloud.create('one', 'volume', 'kept', 'b', {})\n"
        "cloud.delete('one', gone.provider_id)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    assert subprocess.run([sys.executable, "-c", program, file], check=False).returncode == -9
    assert [entry.name for entry in DummyCloud(file).inventory()] == ["kept"]


def test_threads_share_a_cloud_without_stepping_on_each_other(tmp_path):
    cloud = DummyCloud(tmp_path / "cloud.sqlite")
    together = threading.Barrier(8)

    def live(thread):
        together.wait(timeout=60)
        made = [cloud.create("one", "volume", f"{thread}-{i}", f"{thread}-{i}", {}).provider_id for i in range(20)]
        assert set(cloud.read("one", made)) == set(made)
        for provider_id in made[1:]:
            cloud.delete("one", provider_id)
        return made

    with ThreadPoolExecutor(8) as pool:
        made = [provider_id for lives in pool.map(live, range(8)) for provider_id in lives]

    assert len(set(made)) == 160
    assert sorted(entry.name for entry in cloud.inventory()) == [f"{thread}-0" for thread in range(8)]


def test_an_inventory_that_cannot_be_used_is_a_cloud_that_cannot_be_reached(tmp_path):
    file = tmp_path / "cloud.sqlite"
    file.write_bytes(b"this is no database, whatever it is " * 100)

    with pytest.raises(CloudUnavailable) as error:
        DummyCloud(file).inventory()

    assert str(tmp_path) not in str(error.value)


def test_a_file_is_one_cloud_for_the_whole_process_and_without_a_file_there_is_one_in_memory(tmp_path):
    file = tmp_path / "cloud.sqlite"

    cloud = shared_cloud(file)

    assert shared_cloud(str(tmp_path / "." / "cloud.sqlite")) is cloud
    assert shared_cloud(tmp_path / "other.sqlite") is not cloud
    assert shared_cloud(None) is shared_cloud("")


@pytest.mark.parametrize(("option", "names"), [((), ["a"]), (("--calls",), ["a", "a"]), (("--account", "two"), [])])
def test_the_inventory_can_be_printed(tmp_path, option, names):
    file = tmp_path / "cloud.sqlite"
    cloud = DummyCloud(file)
    for _ in range(2):
        cloud.create("one", "volume", "a", "token", {})

    command = [sys.executable, "-m", "imframework_plugins.connectors.dummy", file, *option]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert [json.loads(line)["name"] for line in printed.splitlines()] == names


def test_printing_an_inventory_that_is_not_there_fails_and_makes_none(tmp_path):
    command = [sys.executable, "-m", "imframework_plugins.connectors.dummy", tmp_path / "nothing"]

    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    assert list(tmp_path.iterdir()) == []
