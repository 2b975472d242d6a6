"""Who an infrastructure belongs to, how that is changed, and what administrators may."""

from __future__ import annotations

import json

import pytest

from imframework.api.errors import Forbidden, InvalidRequest
from imframework.api.service import Document

MANAGER = "type = InfrastructureManager"
CLOUD = "\\nid = cloud; type = Dummy"
SECOND = f"{MANAGER}; username = second; password = secret-of-second"
THIRD = f"{MANAGER}; username = third; password = secret-of-third"
ADMIN = f"{MANAGER}; username = admin; password = secret-of-admin"
ITEM = {"username": "second", "password": "secret-of-second"}


async def made(running):
    id = await running.create(running.ground.document(1, public=False))
    await running.settled(id)
    return id


async def test_a_further_owner_may_do_everything_and_the_first_one_too(ground):
    async with ground.running() as running:
        id = await made(running)
        second = await running.caller(SECOND + CLOUD)
        await running.service.change_owners(running.owner, id, ITEM)
        for caller in (running.owner, second):
            assert await running.service.owners(caller, id) == ("owner", "second")
            assert await running.service.list(caller) == [id]
            await running.service.stop(caller, id)
        await running.service.destroy(second, id)


async def test_owners_outlive_the_service(ground):
    async with ground.running(holder="one") as one:
        id = await made(one)
        await one.service.change_owners(one.owner, id, ITEM)
    async with ground.running(holder="two") as two:
        assert await two.service.owners(await two.caller(SECOND), id) == ("owner", "second")
        owners = two.engine.vault.owners(await two.infra(id))
        assert [owner.username for owner in owners] == ["owner", "second"]


async def test_whoever_is_an_owner_is_not_added_again(ground):
    async with ground.running() as running:
        id = await made(running)
        for _ in range(2):
            await running.service.change_owners(running.owner, id, {"type": "InfrastructureManager", **ITEM})
        assert await running.service.owners(running.owner, id) == ("owner", "second")


async def test_one_owner_can_take_the_place_of_all(ground):
    async with ground.running() as running:
        id = await made(running)
        await running.service.change_owners(running.owner, id, ITEM, overwrite=True)
        second = await running.caller(SECOND)
        assert await running.service.owners(second, id) == ("second",)
        assert await running.service.list(running.owner) == []
        with pytest.raises(Forbidden):
            await running.service.state(running.owner, id)


async def test_an_administrator_becomes_an_owner_like_anybody_else(ground):
    async with ground.running() as running:
        id = await made(running)
        admin = {"username": "admin", "password": "secret-of-admin"}
        await running.service.change_owners(running.owner, id, admin)
        assert await running.service.owners(running.owner, id) == ("owner", "admin")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"username": "nobody", "password": "guess"}, "Invalid InfrastructureManager credentials"),
        ({"username": "second"}, "Invalid InfrastructureManager credentials"),
        ({}, "No username nor token for the InfrastructureManager."),
        ({**ITEM, "type": "Dummy"}, "its type must be InfrastructureManager"),
        ({"token": "t"}, "Invalid InfrastructureManager credentials"),
        ({**ITEM, "id": "-"}, "Incorrect value in auth item id: -"),
        ({"username": ["x"]}, "a key or value of item 1 is not text"),
    ],
)
async def test_who_is_nobody_does_not_become_an_owner(ground, tmp_path, item, reason):
    users = [{"username": name, "password": f"secret-of-{name}"} for name in ("owner", "second")]
    (tmp_path / "users.json").write_text(json.dumps({"users": users}))
    async with ground.running(user_db=tmp_path / "users.json") as running:
        id = await made(running)
        with pytest.raises(InvalidRequest) as caught:
            await running.service.change_owners(running.owner, id, item)
        assert str(caught.value) == f"Invalid new infrastructure data provided: {reason}"
        assert await running.service.owners(running.owner, id) == ("owner",)


async def test_only_owners_change_owners(ground):
    async with ground.running() as running:
        id = await made(running)
        third = await running.caller(THIRD)
        with pytest.raises(Forbidden):
            await running.service.change_owners(third, id, {"username": "third", "password": "secret-of-third"})
        with pytest.raises(Forbidden):
            await running.service.owners(third, id)


# --- administrators --------------------------------------------------------------------------------------------


async def test_an_administrator_sees_and_operates_what_is_not_theirs(ground):
    async with ground.running() as running:
        id = await made(running)
        admin = await running.caller(ADMIN + CLOUD)
        assert await running.service.owners(admin, id) == ("owner",), "who looks is not listed"
        assert [record["inf_id"] for record in await running.service.stats(admin)] == [id]
        assert await running.service.tag(admin, id)
        await running.service.change_owners(admin, id, ITEM)
        document = await running.service.export_document(admin, id, delete=True)
        assert "secret-of-owner" not in document, "an owner's password is nobody else's"
        await running.service.import_document(admin, document)
        assert await running.service.owners(admin, id) == ("admin",)


async def test_what_an_administrator_adds_goes_to_the_clouds_of_the_request(ground):
    async with ground.running() as running:
        id = await made(running)
        admin = await running.caller(f"{ADMIN}\\nid = theirs; type = Dummy")
        await running.service.add(
            admin, id, Document(ground.document(1, system="other", private=False, cloud="theirs"))
        )
        infra = await running.settled(id)
        assert infra.vms[1].cloud == "theirs"
        await running.service.destroy(running.owner, id)
        assert ground.inventory() == []


async def test_an_administrators_account_never_takes_the_place_of_an_owners(ground):
    async with ground.running() as running:
        id = await made(running)
        infra = await running.infra(id)
        for theirs in ("; host = elsewhere.example.org", "; username = other"):
            admin = await running.caller(ADMIN + CLOUD + theirs)
            await running.service.stop(admin, id)
            assert dict(running.engine.vault.credentials(infra)[0].fields) == {}
        admin = await running.caller(ADMIN + CLOUD + "; password = new")
        await running.service.state(admin, id)
        assert dict(running.engine.vault.credentials(infra)[0].fields) == {}, "looking leaves nothing behind"
        await running.service.start(admin, id)
        assert dict(running.engine.vault.credentials(infra)[0].fields) == {"password": "new"}


async def test_the_address_is_that_of_the_request(ground):
    async with ground.running() as running:
        credentials = SECOND + CLOUD
        one = await running.service.authenticate(credentials, "192.0.2.1")
        two = await running.service.authenticate(credentials, "192.0.2.2")
        assert (one.address, two.address) == ("192.0.2.1", "192.0.2.2")
        assert one.credentials is two.credentials
