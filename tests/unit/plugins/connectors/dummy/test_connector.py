"""What clients of the simulated cloud rely on, and how accounts and addresses are told apart."""

import json
import uuid

import pytest

from imframework.api.errors import ConfigurationError, NotSupported, QuotaExceeded
from imframework.api.model import (
    Action,
    Candidate,
    Credential,
    Deployment,
    Features,
    Handle,
    Image,
    Interval,
    Machine,
    NetworkRequest,
    Phase,
    Quota,
    Refusal,
    Resource,
)
from imframework.testing.rehearsal import Rehearsal
from imframework_plugins.connectors.dummy import declaration
from imframework_plugins.connectors.dummy.connector import DummyConnector

NETWORKS = {
    "inside": NetworkRequest(Features("inside", {})),
    "outside": NetworkRequest(Features("outside", {"outbound": "yes"})),
}


def connector(account=None, host="", **behaviour):
    fields = {"host": host} if host else {}
    options = {"DUMMY_BEHAVIOUR": json.dumps(behaviour)} if behaviour else {}
    return DummyConnector(Credential(account or uuid.uuid4().hex, "Dummy", fields), options)


def system(*connections, **features):
    values = {f"net_interface.{i}.connection": name for i, name in enumerate(connections)}
    return Features("node", {**values, **{name.replace("__", "."): value for name, value in features.items()}})


def launched(cloud, *systems):
    """The instances of these systems, as the cloud shows them in the end."""
    machines = tuple(Machine(i, item, cloud.candidates(item)[0]) for i, item in enumerate(systems))
    rehearsal = Rehearsal(cloud)
    handles = rehearsal.launch(cloud.plan(Deployment("inf-1", "", machines, NETWORKS)))
    instances = {item.resource.machine: item for item in handles if item.resource.machine is not None}
    return rehearsal, [rehearsal.settle(instances[i], {Phase.READY}) for i in range(len(systems))]


def test_the_declaration_names_this_class_without_importing_it():
    assert declaration.target == f"{DummyConnector.__module__}:{DummyConnector.__qualname__}"
    assert DummyConnector.info is declaration.info
    assert {option.name for option in declaration.info.options} == {"DUMMY_FILE", "DUMMY_BEHAVIOUR"}


def test_any_image_of_any_cloud_is_accepted():
    images = ("ost://cloud.example/id", "aws://region/ami-1", "whatever")

    answers = connector().candidates(system(disk__0__image__url=images))

    assert [answer.image for answer in answers] == list(images)
    assert all(isinstance(answer, Candidate) for answer in answers)


def test_without_an_image_its_own_are_offered():
    answers = connector().candidates(system())

    assert [answer.image for answer in answers] == ["mock0://linux.for.ev.er/image1", "mock0://linux.for.ev.er/image2"]


def test_images_can_be_limited():
    mine, other = connector(images=["mock0://*"]).candidates(system(disk__0__image__url=("mock0://a", "ost://b/c")))

    assert isinstance(mine, Candidate)
    assert other == Refusal("ost://b/c", "The simulated cloud has no image ost://b/c.")


def test_a_candidate_has_the_least_that_was_asked_for_and_the_prescribed_user():
    asked = system(cpu__count=Interval(minimum=3), memory__size=Interval(2**30, 2**31), instance_type="small")
    candidate = connector(host="cloud.example").candidates(asked)[0]

    assert candidate.flavour == "small"
    assert candidate.facts == {
        "cpu.count": 3,
        "memory.size": 2**30,
        "provider.type": "Dummy",
        "provider.host": "cloud.example",
        "disk.0.os.credentials.username": "username",
        "disk.0.os.credentials.password": "password",
    }


def test_images_and_quotas_are_those_of_the_specification():
    cloud = connector()

    assert list(cloud.images({})) == [
        Image("mock0://linux.for.ev.er/image1", "Image Name1"),
        Image("mock0://linux.for.ev.er/image2", "Image Name2"),
    ]
    assert [image.name for image in cloud.images({"distribution": "image", "version": "name2"})] == ["Image Name2"]
    assert cloud.quotas() == dict.fromkeys(
        ("cores", "ram", "instances", "floating_ips", "security_groups"), Quota(1, 10)
    )


def test_a_limited_account_tells_its_true_use():
    cloud = connector(quota={"instance": 2})
    launched(cloud, system())

    assert cloud.quotas()["instances"] == Quota(1, 2)
    assert cloud.quotas()["cores"] == Quota(1, 10)


def test_a_limit_for_every_kind_holds_for_each():
    cloud = connector(quota={"*": 1})
    cloud.create(Resource("a", "volume", "a"), "a")
    cloud.create(Resource("b", "network", "b"), "b")

    with pytest.raises(QuotaExceeded):
        cloud.create(Resource("c", "volume", "c"), "c")


def test_a_machine_runs_in_the_answer_of_create_at_the_prescribed_address():
    cloud = connector()
    rehearsal, _ = launched(cloud)
    item = system("inside")
    plan = cloud.plan(Deployment("inf-1", "", (Machine(0, item, cloud.candidates(item)[0]),), NETWORKS))
    for resource in plan:
        made = rehearsal.create(rehearsal.filled(resource), resource.key)
        rehearsal.keep(resource, resource.key, made)
        assert made.phase is Phase.READY

    assert made.attributes["facts"]["net_interface.0.ip"] == "10.0.0.1"
    assert made.attributes["access"] == {"address": "10.0.0.1", "user": "username", "password": "password"}


def test_every_machine_has_the_prescribed_address_on_interface_0_public_or_not():
    _, machines = launched(connector(), system("inside", "outside"), system("outside"))
    first, second = (machine.attributes["facts"] for machine in machines)

    assert first["net_interface.0.ip"] == second["net_interface.0.ip"] == "10.0.0.1"
    assert first["net_interface.1.ip"].startswith("240.")
    assert machines[0].attributes["access"]["address"] == first["net_interface.1.ip"]


def test_a_machine_without_interfaces_has_no_address_and_no_access():
    _, (machine,) = launched(connector(), system())

    assert not [name for name in machine.attributes["facts"] if name.startswith("net_interface")]
    assert "access" not in machine.attributes


def test_distinct_addresses_are_distinct():
    nodes = [system("inside", "inside", "outside") for _ in range(3)]
    _, machines = launched(connector(distinct_addresses=True), *nodes)
    addresses = [machine.attributes["facts"][f"net_interface.{i}.ip"] for machine in machines for i in range(3)]

    assert len(set(addresses)) == 9


def test_the_attachment_tells_the_address_it_gives():
    cloud = connector(distinct_addresses=True)
    rehearsal, (machine,) = launched(cloud, system("outside"))

    address = rehearsal.handles["public_ip/0/0"].attributes["address"]
    attachment = rehearsal.handles["public_ip_attachment/0/0"]
    assert attachment.attributes["facts"] == {"net_interface.0.ip": address}
    assert machine.attributes["facts"].items() >= attachment.attributes["facts"].items()


def test_data_disks_have_devices():
    size = Interval(2**30, 2**30)
    _, (machine,) = launched(connector(), system(disk__1__size=size, disk__2__size=size))

    assert machine.attributes["facts"]["disk.1.device"] == "vdb"
    assert machine.attributes["facts"]["disk.2.device"] == "vdc"


def test_alter_sets_cpu_and_memory_of_a_stopped_machine_too():
    cloud = connector()
    _, (machine,) = launched(cloud, system())
    cloud.act(machine, Action.STOP)
    bigger = Resource("instance/0", "instance", "node", {**machine.resource.spec, "cpu": 8, "memory": 2**33})

    changed = cloud.update(machine, bigger)

    assert changed.phase is Phase.STOPPED
    assert (changed.attributes["facts"]["cpu.count"], changed.attributes["facts"]["memory.size"]) == (8, 2**33)


def test_a_snapshot_has_the_prescribed_url_and_is_listed_until_deleted():
    cloud = connector()
    rehearsal, (machine,) = launched(cloud, system())

    image = rehearsal.make(cloud.snapshot(machine, 0, "saved"))

    url = image.attributes["url"]
    assert url == "mock0://linux.for.ev.er/saved"
    assert Image(url, "saved") in cloud.images({})
    rehearsal.remove(image)
    assert Image(url, "saved") not in cloud.images({})


def test_a_machine_that_would_be_too_large_keeps_its_size():
    cloud = connector(largest={"cpu": 4, "memory": 2**33})
    _, (machine,) = launched(cloud, system())

    for size in ({"cpu": 8}, {"memory": 2**34}):
        with pytest.raises(QuotaExceeded, match="the account may have"):
            cloud.update(machine, Resource("instance/0", "instance", "node", {**machine.resource.spec, **size}))
    (seen,) = cloud.read([machine])
    assert seen.attributes["facts"]["cpu.count"] == machine.attributes["facts"]["cpu.count"]
    with pytest.raises(QuotaExceeded):
        launched(cloud, system(**{"cpu.count": Interval(minimum=8)}))


def test_an_update_takes_the_steps_that_a_creation_takes():
    cloud = connector(steps={"instance": 2})
    _, (machine,) = launched(cloud, system())
    bigger = Resource("instance/0", "instance", "node", {**machine.resource.spec, "cpu": 8})

    phases = [cloud.update(machine, bigger).phase for _ in range(4)]

    assert phases == [Phase.UPDATING, Phase.UPDATING, Phase.READY, Phase.READY]


def test_a_snapshot_outlives_its_machine():
    cloud = connector()
    rehearsal, (machine,) = launched(cloud, system())
    described = cloud.snapshot(machine, 0, "saved")
    url = cloud.create(described, "token").attributes["url"]

    rehearsal.clean()

    assert url in [image.uri for image in cloud.images({})]


def test_one_account_on_two_hosts_is_two_accounts():
    account = uuid.uuid4().hex
    here, there = connector(account, "here.example"), connector(account, "there.example")
    volume = Resource("a", "volume", "a")
    handle = Handle(volume, "token", here.create(volume, "token").provider_id)

    assert here.read([handle])[0].phase is Phase.READY
    assert there.read([handle])[0].phase is Phase.ABSENT
    assert here.endpoint == "here.example"
    assert connector(account).endpoint == account


def test_what_cannot_be_recognised_cannot_be_searched_for():
    with pytest.raises(NotSupported):
        connector(recognition={"*": "none"}).find(Resource("a", "volume", "a"), "token")


def test_a_wrong_behaviour_is_told_when_the_connector_is_made():
    with pytest.raises(ConfigurationError, match="DUMMY_BEHAVIOUR: colour"):
        connector(colour="blue")


def test_adopted_things_are_taken_on_trust_unless_they_are_this_clouds_own():
    cloud = connector()
    rehearsal = Rehearsal(cloud)
    foreign = Resource("network/a", "network", "a", adopted=True, provider_id="vlan-17")
    missing = Resource("network/b", "network", "b", adopted=True, provider_id="net-999999")

    assert rehearsal.make(foreign).provider_id == "vlan-17"
    assert cloud.read([Handle(missing, "", missing.provider_id)])[0].phase is Phase.ABSENT


def test_few_calls_at_a_time_are_of_use_unless_something_takes_time():
    assert connector().concurrency == 2
    assert connector(latency={"create": 0.5}).concurrency is None
    assert connector(faults=[{"verb": "create", "effect": "hang"}]).concurrency is None
