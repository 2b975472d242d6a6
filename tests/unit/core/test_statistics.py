"""What the statistics say, of which infrastructures, and what that costs."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta

import pytest

from imframework.api.service import Document, Language
from imframework.core import documents
from imframework.languages import tosca
from imframework.testing.memory_storage import MemoryStorage

STRANGER = "type = InfrastructureManager; username = stranger; password = p\\nid = cloud; type = Dummy"
SIZED = "system node (cpu.count = 2 and memory.size = 1000M and disk.0.image.url = 'mock0://linux.for.ev.er/image1')"
TOSCA = "tosca_definitions_version: tosca_simple_yaml_1_0\n{}topology_template:\n  node_templates: {{}}\n"


async def record(running, id):
    (found,) = [record for record in await running.service.stats(running.owner) if record["inf_id"] == id]
    return found


async def test_all_that_is_said_of_an_infrastructure(ground):
    async with ground.running() as running:
        owner = await running.caller(ground.owner + "; host = dummy.example.org")
        id = await running.create(f"{SIZED}\ncontextualize ()\ndeploy node 3", owner)
        infra = await running.settled(id)
        await running.service.remove(owner, id, [0])
        found = dict(await record(running, id))
        for name, instant in (("creation_date", infra.created), ("last_date", time.time())):
            told = time.mktime(time.strptime(found.pop(name), "%Y-%m-%d %H:%M:%S"))
            assert abs(told - instant) < 60
        assert found == {
            "tosca_name": "",
            "vm_count": 3,
            "cpu_count": 6,
            "memory_size": 3000,
            "cloud_type": "Dummy",
            "cloud_host": "dummy.example.org",
            "hybrid": False,
            "deleted": False,
            "im_user": "owner",
            "inf_id": id,
        }


async def test_the_deleted_are_told_of_and_others_are_not(ground):
    async with ground.running() as running:
        id = await running.create(ground.document(1))
        await running.settled(id)
        await running.service.destroy(running.owner, id)
        await running.create(ground.document(1), await running.caller(STRANGER))
        await running.service.plan(running.owner, Document(ground.document(1)))
        (only,) = await running.service.stats(running.owner)
        assert (only["inf_id"], only["deleted"], only["vm_count"]) == (id, True, 1)


async def test_machines_in_two_clouds_are_hybrid(ground):
    async with ground.running() as running:
        owner = await running.caller(
            ground.owner + "; host = one.example.org\\nid = second; type = Dummy; host = two.example.org"
        )
        id = await running.create(ground.document(1, private=False, cloud="cloud"), owner)
        await running.settled(id)
        assert (await record(running, id))["hybrid"] is False
        more = ground.document(1, system="other", private=False, cloud="second")
        await running.service.add(owner, id, Document(more))
        found = await record(running, id)
        assert (found["hybrid"], found["cloud_host"]) == (True, "one.example.org")


async def test_the_name_of_the_template(ground):
    async with ground.running() as running:
        text = TOSCA.format("metadata: {template_name: My cluster}\n")
        id = await running.service.create(running.owner, Document(text, Language.TOSCA))
        assert (await record(running, id))["tosca_name"] == "My cluster"


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ("metadata: {template_name: My cluster, icon: other.png}", "My cluster"),
        ("metadata: {icon: 'https://example.org/images/kube-logo.png'}", "kube-logo"),
        ("metadata: {icon: images/a.b.svg}", "a.b"),
        ("metadata: {}", ""),
        ("metadata: nonsense", ""),
        ("x: y", ""),
        ("- nonsense", ""),
        ("{", ""),
    ],
)
def test_what_a_template_is_called(metadata, title):
    assert documents.title(documents.template_text(tosca.Stored(metadata, ""))) == title


async def test_the_window_is_from_midnight_to_midnight_where_the_server_is(ground):
    async with ground.running() as running:
        await running.create(ground.document(1))
        today, day = date.today(), timedelta(days=1)
        for since, until, number in (
            (None, None, 1),
            (today - day, today, 0),
            (today - day, today + day, 1),
            (today + day, None, 0),
        ):
            found = await running.service.stats(running.owner, since, until)
            if date.today() == today:  # not in the night in which this was written
                assert len(found) == number, (since, until)


async def test_what_was_stored_by_former_versions_is_counted_from_its_machines(ground):
    async with ground.running() as running:
        id = await running.create(ground.document(2))
        await running.settled(id)
        stored = ground.database.infrastructures[id]
        data = json.loads(stored.data)
        del data["tally"]
        stored.data = json.dumps(data)
        assert (await record(running, id))["vm_count"] == 2
        running.repository.forget(await running.infra(id))
        assert (await record(running, id))["vm_count"] == 2


async def test_the_sums_are_those_of_the_machines_however_they_came_about(ground):
    async with ground.running(holder="one") as one:
        id = await one.create(ground.document(5, volumes=True))
        infra = await one.settled(id)
        await one.service.remove(one.owner, id, [1, 3])
        told = infra.tally.to_data()
    async with ground.running(holder="two") as two:
        assert (await two.infra(id)).tally.to_data() == told


async def test_it_costs_one_query_however_many_there_are(ground):
    class Counting(MemoryStorage):
        loads = 0

        def load(self, infrastructure):
            self.loads += 1
            return super().load(infrastructure)

    storage = Counting(database=ground.database)
    async with ground.running(storage=storage) as running:
        for _ in range(5):
            running.repository.forget(await running.infra(await running.create(ground.document(1))))
        loads = storage.loads
        assert len(await running.service.stats(running.owner)) == 5
        assert storage.loads == loads
