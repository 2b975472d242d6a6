"""What the REST API offers beyond the life of an infrastructure, asked of the real service with a simulated cloud."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("rest")

BEA = {"username": "bea", "password": "bea's-password-31c0"}


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines."""
    tags = {f"VM_TAG_{tag}": tag.lower() for tag in ("USERNAME", "INF_ID", "IM")}
    return new_module_server(CONNECTORS="dummy", **tags).start()


@pytest.fixture
def infrastructure(api: Any, document: Any) -> str:
    """An infrastructure with one simulated machine, which is configured."""
    made: str = api.create(document(cloud="dummy"), asynchronous=False)
    api.configured(made)
    return made


def test_an_infrastructure_leaves_and_comes_back_with_its_machine(api, infrastructure) -> None:
    instance = api.prop(infrastructure, 0, "instance_id")
    exported = api.ok("GET", f"/infrastructures/{infrastructure}/data?delete=1").json["data"]
    assert api.request("GET", f"/infrastructures/{infrastructure}/state").status == 404
    answer = api.ok("PUT", "/infrastructures", exported, Content_Type="application/json")
    assert answer.headers["InfID"] == infrastructure
    api.configured(infrastructure)
    assert api.prop(infrastructure, 0, "instance_id") == instance
    again = api.request("PUT", "/infrastructures", exported)
    assert (again.status, again.text) == (
        400, "Error Importing Inf.: Trying to add an existing infrastructure ID.",
    )  # fmt: skip


@pytest.mark.parametrize("garbage", ["", "no JSON", "[]", "{}", '{"id": 7}'])
def test_what_nobody_has_exported_is_not_imported(api, garbage) -> None:
    answer = api.request("PUT", "/infrastructures", garbage)
    assert answer.status == 400
    assert answer.text.startswith("Error Importing Inf.: ")


def test_an_owner_lets_another_one_in(api, server, infrastructure) -> None:
    bea = server.api(BEA["username"], BEA["password"])
    assert bea.request("GET", f"/infrastructures/{infrastructure}/state").status == 403
    api.ok("POST", f"/infrastructures/{infrastructure}/authorization", json.dumps(BEA))
    assert bea.ok("GET", f"/infrastructures/{infrastructure}/authorization").text == "ana\nbea"
    assert infrastructure in bea.ids()


def test_a_machine_gets_another_size(api, infrastructure) -> None:
    path = f"/infrastructures/{infrastructure}/vms/0"
    answer = api.ok("PUT", path, "system node (memory.size >= 2G)", Content_Type="text/plain")
    assert answer.text == api.ok("GET", path).text
    assert int(api.prop(infrastructure, 0, "memory.size")) >= 2_000_000_000


def test_machines_have_the_tags_that_the_operator_wants(server, infrastructure) -> None:
    with closing(sqlite3.connect(server.directory / "dummy.db")) as cloud:
        specs = [json.loads(spec) for (spec,) in cloud.execute("SELECT spec FROM thing WHERE kind = 'instance'")]
    (tags,) = [spec["tags"] for spec in specs if spec["tags"]["inf_id"] == infrastructure]
    assert tags == {"username": "ana", "inf_id": infrastructure, "im": "es.upv.grycap.im"}


def test_an_image_is_made_of_a_disk(api, infrastructure) -> None:
    answer = api.ok("PUT", f"/infrastructures/{infrastructure}/vms/0/disks/0/snapshot?image_name=golden&auto_delete=1")
    assert answer.text.startswith("mock0://")


def test_a_cloud_tells_its_images_and_quotas(api) -> None:
    images = api.ok("GET", "/clouds/sim/images").json["images"]
    assert "mock0://linux.for.ev.er/image1" in [image["uri"] for image in images]
    assert api.ok("GET", "/clouds/sim/quotas").json["quotas"]
    answer = api.request("GET", "/clouds/moon/images")
    assert (answer.status, answer.text) == (400, "Error getting cloud info: Cloud ID moon not found.")


def test_stats_have_the_infrastructures_that_were(api, infrastructure) -> None:
    api.destroy(infrastructure)
    (record,) = [each for each in api.ok("GET", "/stats").json["stats"] if each["inf_id"] == infrastructure]
    assert (record["vm_count"], record["deleted"], record["im_user"]) == (1, True, "ana")
    (line,) = [line for line in api.ok("GET", "/stats", Accept="text/csv").text.splitlines() if infrastructure in line]
    assert line.split(",")[2] == "1"
    later = api.ok("GET", "/stats?init_date=9998/01/01").json["stats"]
    assert later == []


def test_a_change_that_is_too_late_is_not_made(api, infrastructure, eventually) -> None:
    path = f"/infrastructures/{infrastructure}"

    def lasting() -> str:
        """The tag, once all is stored: what is not has another one."""
        tag: str = api.ok("GET", path).headers["ETag"]
        return tag if api.request("GET", path, headers={"If-None-Match": tag}).status == 304 else ""

    known = eventually(lasting, "tag that lasts")
    api.ok("PUT", f"{path}/stop", If_Match=known)
    now = api.ok("GET", path).headers["ETag"]
    assert now != known
    assert api.request("PUT", f"{path}/start", headers={"If-Match": known}).status == 412
    assert api.request("DELETE", path, headers={"If-Match": f"{known}, W/{now}"}).status == 412
    assert infrastructure in api.ids()


def test_a_repeated_creation_makes_one_infrastructure(api, document) -> None:
    headers = {"Idempotency-Key": "once-only"}
    first, second = (api.request("POST", "/infrastructures", document(cloud="dummy"), headers) for _ in range(2))
    assert (first.status, first.text) == (200, second.text)
    other = api.request("POST", "/infrastructures", document(cloud="dummy", count=2), headers)
    assert other.status == 422
    assert api.ids() == [first.headers["InfID"]]


def test_an_account_is_listed_in_pages(api) -> None:
    made = sorted(api.create("") for _ in range(3))
    answer = api.ok("GET", "/infrastructures?limit=2")
    found = [uri.rpartition("/")[2] for uri in answer.text.split()]
    following = answer.headers["Link"].partition(">")[0].partition("/infrastructures")[2]
    found += [uri.rpartition("/")[2] for uri in api.ok("GET", f"/infrastructures{following}").text.split()]
    assert found == made


def test_a_machine_asks_with_its_own_secret_how_it_is_to_be_reached(api, server, eventually) -> None:
    made = api.create(
        """
        network inside ()
        network outside (outbound = 'yes')
        system front (net_interface.0.connection = 'outside' and net_interface.1.connection = 'inside' and
                      disk.0.image.url = 'mock0://linux.for.ev.er/image1')
        system node (net_interface.0.connection = 'inside' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
        contextualize ()
        deploy front 1
        deploy node 1
        """
    )
    path = f"/infrastructures/{made}/vms/1/command"
    script = api.ok("GET", path).text
    assert script.startswith("#!/bin/bash")
    assert f"http://{server.host}:{server.port}{path}?step=2" in script
    [secret] = re.findall("X-IM-Secret: ([0-9a-f]{64})", script)
    machine = type(api)(server, None)
    eventually(lambda: machine.ok("GET", f"{path}?step=2", X_IM_Secret=secret).text == "true", "a network of both")
    for other, shown in ((path, "0" * 64), (path.replace("/1/", "/0/"), secret), (f"/infrastructures/{made}", secret)):
        assert machine.request("GET", other, headers={"X-IM-Secret": shown}).status == 401
