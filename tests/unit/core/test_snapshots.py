"""Images of disks: made once, told, and released or deleted with the infrastructure."""

from __future__ import annotations

import asyncio

import pytest

from imframework.api.errors import CloudError, InvalidRequest, NotFound, NotSupported
from imframework_plugins.connectors.dummy.connector import DummyConnector

URL = "mock0://linux.for.ev.er/saved"


def snapshot(running, id, *, disk=0, name="saved", **about):
    return running.service.snapshot(running.owner, id, 0, disk, name, **about)


async def started(running, **about):
    id = await running.create(running.ground.document(public=False, **about))
    await running.settled(id)
    return id


async def test_a_snapshot_is_the_users_and_outlives_the_infrastructure(ground):
    ground.behave(boot={"image": 0.1})
    async with ground.running() as running:
        id = await started(running, volumes=True)
        assert await snapshot(running, id, disk=1) == URL
        infra = await running.settled(id)
        assert not [entry for entry in infra.entries.values() if entry.kind == "image"]
        assert URL in await running.log(id)
        assert (await running.service.state(running.owner, id)).state == "configured"
        await running.service.destroy(running.owner, id)
        assert len(ground.inventory()) == len(ground.inventory("image")) == 1


async def test_one_that_is_to_go_with_the_infrastructure_does(ground):
    async with ground.running() as running:
        id = await started(running)
        assert await snapshot(running, id, auto_delete=True) == URL
        await running.service.remove(running.owner, id, [0])
        assert len(ground.inventory("image")) == 1
    async with ground.running(holder="two") as running:
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == []


async def test_nothing_is_deleted_before_the_image_is_gone(ground):
    async with ground.running(max_vm_fails=2) as running:
        id = await started(running)
        await snapshot(running, id, auto_delete=True)
        ground.behave(faults=[{"verb": "delete", "kind": "image", "effect": "fail"}])
        with pytest.raises(CloudError, match=r"image saved"):
            await running.service.destroy(running.owner, id)
        assert not (await running.infra(id)).deleted
        ground.behave()
        await running.service.destroy(running.owner, id)
        assert (await running.infra(id)).deleted
        assert ground.inventory() == []


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
@pytest.mark.parametrize("effect", ["lose-answer", "lose-request", "fail", "busy"])
async def test_an_answer_that_is_lost_is_found_and_not_asked_for_again(ground, recognition, effect):
    behaviour = {"recognition": {"image": recognition}, "window": {"image": 0.05}}
    ground.behave(**behaviour, faults=[{"verb": "create", "kind": "image", "effect": effect, "times": 1}])
    async with ground.running() as running:
        id = await started(running)
        assert await snapshot(running, id) == URL
        assert len(ground.inventory("image")) == 1


@pytest.mark.parametrize("keep", [False, True])
async def test_a_snapshot_that_a_restart_interrupts_is_taken_once(ground, keep):
    ground.behave(latency={"create": 0.1}, boot={"image": 0.2})
    async with ground.running() as running:
        id = await started(running)
        asking = asyncio.ensure_future(snapshot(running, id, auto_delete=keep))
        await running.until(lambda: ground.inventory("image"))
    await asyncio.gather(asking, return_exceptions=True)
    async with ground.running(holder="two") as running:
        infra = await running.settled(id)
        assert not infra.operations
        assert len(ground.inventory("image")) == 1
        await running.service.destroy(running.owner, id)
        assert len(ground.inventory("image")) == (0 if keep else 1)


async def test_one_that_fails_leaves_nothing(ground):
    ground.behave(faults=[{"verb": "create", "kind": "image", "effect": "break"}])
    async with ground.running() as running:
        id = await started(running)
        with pytest.raises(CloudError, match=r"Error creating snapshot: The image saved is in error"):
            await snapshot(running, id)
        infra = await running.settled(id)
        assert ground.inventory("image") == []
        assert not infra.operations
        assert infra.vms[0].state() == "configured"


async def test_one_that_takes_too_long_is_given_up_and_deleted(ground):
    ground.behave(boot={"image": 60.0})
    async with ground.running(wait_running=0.2) as running:
        id = await started(running)
        with pytest.raises(CloudError, match=r"Error creating snapshot: .*did not become ready"):
            await snapshot(running, id)
        await running.settled(id)
        assert ground.inventory("image") == []


async def test_deletion_does_not_wait_for_a_snapshot(ground):
    ground.behave(boot={"image": 60.0})
    async with ground.running() as running:
        id = await started(running)
        asking = asyncio.ensure_future(snapshot(running, id))
        await running.until(lambda: ground.inventory("image"))
        await running.service.destroy(running.owner, id)
        with pytest.raises(NotFound, match=r"Deleted infrastructure."):
            await asking
        assert ground.inventory() == []


async def test_what_makes_no_sense_is_refused(ground):
    class Rigid(DummyConnector):
        def snapshot(self, handle, disk, name):
            raise NotSupported("This cloud cannot make snapshots.")

    async with ground.running() as running:
        id = await started(running)
        with pytest.raises(InvalidRequest, match=r"Error creating snapshot: VM 0 has no disk 1"):
            await snapshot(running, id, disk=1)
        with pytest.raises(InvalidRequest, match=r"no name"):
            await snapshot(running, id, name="")
        with pytest.raises(NotFound, match=r"Invalid VM ID"):
            await running.service.snapshot(running.owner, id, 7, 0, "saved")
    async with ground.running(holder="two", connectors={"Dummy": Rigid}) as running:
        with pytest.raises(NotSupported, match=r"Error creating snapshot: This cloud cannot make snapshots."):
            await snapshot(running, id)


async def test_images_and_quotas_are_those_of_the_callers_cloud(ground):
    async with ground.running() as running:
        assert [image.name for image in await running.service.images(running.owner, "cloud", {})] == [
            "Image Name1",
            "Image Name2",
        ]
        assert [image.uri for image in await running.service.images(running.owner, "cloud", {"name": "name2"})] == [
            "mock0://linux.for.ev.er/image2"
        ]
        assert (await running.service.quotas(running.owner, "cloud"))["cores"].limit == 10
        for question in (
            running.service.images(running.owner, "other", {}),
            running.service.quotas(running.owner, "x"),
        ):
            with pytest.raises(InvalidRequest, match=r"Cloud ID (other|x) not found\."):
                await question
        twice = await running.caller(f"{ground.owner}\\nid = cloud; type = Nothing")
        with pytest.raises(Exception, match=r"no connector for 'Nothing'"):
            await running.service.images(twice, "cloud", {})


async def test_a_cloud_without_the_function_says_so(ground):
    class Silent(DummyConnector):
        def images(self, filters):
            raise NotSupported("Silent does not list images.")

    async with ground.running(connectors={"Dummy": Silent}) as running:
        with pytest.raises(NotSupported, match=r"does not list images"):
            await running.service.images(running.owner, "cloud", {})
