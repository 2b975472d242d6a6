"""Plans: what they say is what is done; what has changed meanwhile makes them stale."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imframework.api.errors import Conflict, Forbidden, IMError, NotFound
from imframework.api.service import Document, Language
from imframework.core import plans

RECIPES = {"app.yml": "- tasks: []\n", "other.yml": "- tasks:\n    - ansible.builtin.ping:\n"}
IMAGE = "mock0://linux.for.ev.er/image1"
OTHER = "type = InfrastructureManager; username = other; password = other"


def template(*, removal=(), policies="", **nodes):
    """A TOSCA document. A node is None (taken out) or (count, text that its recipe gets, or None for no recipe)."""
    lines = ["tosca_definitions_version: tosca_simple_yaml_1_0", "topology_template:", "  node_templates:"]
    for name, node in sorted(nodes.items(), key=lambda item: item[0] != "web"):  # its machines have the first numbers
        if node is None:
            lines += [f"    {name}: null", f"    {name}_app: null"]
            continue
        count, text = node
        listed = f", removal_list: {list(map(str, removal))}" if name == "web" and removal else ""
        lines += [
            f"    {name}:",
            "      type: tosca.nodes.indigo.Compute",
            "      capabilities:",
            f"        scalable: {{ properties: {{ count: {count}{listed} }} }}",
            f"        os: {{ properties: {{ type: linux, image: '{IMAGE}' }} }}",
        ]
        if text is not None:
            lines += [
                f"    {name}_app:",
                "      type: tosca.nodes.SoftwareComponent",
                f"      requirements: [ {{ host: {name} }} ]",
                "      interfaces: { Standard: { configure: { implementation: app.yml,"
                f" inputs: {{ text: '{text}' }} }} }} }}",
            ]
    return Document(TYPES + "\n".join(lines) + policies + "\n", Language.TOSCA)


TYPES = "imports:\n  - types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml\n"


async def made(running, document):
    """An infrastructure of a document, at rest."""
    id = await running.service.create(running.owner, document)
    running.ids.append(id)
    await running.settled(id)
    return id


def levels(infra):
    """What is wanted of an infrastructure and its machines, and its documents."""
    machines = {
        vm.number: (vm.wanted, vm.power_on, vm.config_wanted, vm.cloud, vm.definition) for vm in infra.vms.values()
    }
    generations = infra.generation, infra.config_generation, infra.next_vm
    return {
        "wanted": (infra.wanted, *generations), "machines": machines, "resources": set(infra.entries),
        "radl": infra.radl, "template": infra.template,
    }  # fmt: skip


# --- what is done is what was planned --------------------------------------------------------------------------

counts = st.integers(0, 3)
texts = st.sampled_from([None, "one", "two"])
nodes = st.tuples(counts, texts)
first_documents = st.fixed_dictionaries({"web": nodes, "db": nodes})
second_documents = st.fixed_dictionaries(
    {}, optional={"web": nodes, "db": st.one_of(nodes, st.none()), "more": nodes}
).filter(bool)


async def outcome(running, id):
    """An infrastructure at rest, without what differs by chance."""
    infra = await running.settled(id)
    machines = [
        (vm.number, vm.system, vm.cloud, vm.image, vm.flavour, vm.state(), vm.config_wanted)
        for vm in infra.vms.values()
    ]
    kinds = Counter(entry.kind for entry in running.ground.cloud.inventory())
    return machines, kinds, infra.radl, infra.template.partition('"suffix"')[0], infra.generation


async def check(ground, first, second):
    async with ground.running(recipes=RECIPES) as running:
        before_plan = None
        if first is None:
            plan = await running.service.plan(running.owner, second)
        else:
            id = await made(running, first)
            infra = await running.infra(id)
            before_plan = levels(infra)
            plan = await running.service.plan(running.owner, second, id)
            assert levels(infra) == before_plan, "a plan changes nothing"
        assert plan["refusals"] == []
        things = set(ground.inventory())
        id = plan["infrastructure"]
        running.ids.append(id)
        infra = await running.infra(id)
        vms, entries = dict(infra.vms), dict(infra.entries)
        jobs = len(running.configurator.jobs)

        assert await running.service.apply(running.owner, plan["id"]) == id
        await running.settled(id)

        created = {number: lot for lot in plan["create"] for number in lot["machines"]}
        assert {number for number in infra.vms if number not in vms} == set(created)
        for number, lot in created.items():
            vm = infra.vms[number]
            assert (vm.system, vm.cloud, vm.image, vm.flavour) == (
                lot["system"], lot["cloud"], lot["image"], lot["flavour"],
            )  # fmt: skip
        deleted = {machine["machine"] for machine in plan["delete"]}
        assert {number for number, vm in vms.items() if vm.alive and not infra.vms[number].alive} == deleted
        changed = {number for change in plan["change"] for number in change["machines"]}
        kept = vms.keys() - deleted
        assert {number for number in kept if infra.vms[number].config_wanted != vms[number].config_wanted} == changed
        for number in kept - changed:
            assert infra.vms[number] == vms[number], "nothing else is touched"
        assert Counter(
            (entry.account, entry.kind, entry.name) for key, entry in infra.entries.items() if key not in entries
        ) == Counter((thing["cloud"], thing["kind"], thing["name"]) for thing in plan["resources"])
        assert len(set(ground.inventory()) - things) == len(plan["resources"])
        ran = {
            number for job in running.configurator.jobs[jobs:] for target in job.targets for number in [target.number]
        }
        assert ran >= {number for recipe in plan["recipes"] for number in recipe["machines"]}
        return await outcome(running, id)


async def directly(ground, first, second):
    async with ground.running(recipes=RECIPES) as running:
        if first is None:
            return await outcome(running, await made(running, second))
        id = await made(running, first)
        await running.service.add(running.owner, id, second)
        return await outcome(running, id)


def both(ground_class, first, second):
    """Plan and apply in one place, and the same change made directly in another: they end up alike."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        planned = asyncio.run(asyncio.wait_for(check(ground_class(Path(one)), first, second), 60))
        assert asyncio.run(asyncio.wait_for(directly(ground_class(Path(other)), first, second), 60)) == planned


profile = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@profile
@given(first=first_documents, second=second_documents, removal=st.lists(st.integers(0, 2), max_size=2, unique=True))
def test_an_update_in_tosca_is_what_was_planned(ground_class, first, second, removal):
    present = first["web"][0]
    removal = [number for number in removal if number < present]
    both(ground_class, template(**first), template(removal=removal, **second))


@profile
@given(document=first_documents)
def test_a_creation_in_tosca_is_what_was_planned(ground_class, document):
    both(ground_class, None, template(**document))


@settings(profile, max_examples=12)
@given(first=st.integers(0, 2), count=st.integers(0, 3), system=st.sampled_from(["node", "more"]), recipe=st.booleans())
def test_what_is_made_and_added_in_radl_is_what_was_planned(ground_class, first, count, system, recipe):
    text = Document(ground_class.document(count, system=system, recipe=recipe, volumes=True))
    both(ground_class, Document(ground_class.document(first, recipe=True)) if first else None, text)


async def test_a_plan_tells_networks_addresses_disks_recipes_and_quotas(ground):
    async with ground.running(recipes=RECIPES) as running:
        plan = await running.service.plan(running.owner, Document(ground.document(2, volumes=True, recipe=True)))
        assert [(network["name"], network["public"], network["exists"]) for network in plan["networks"]] == [
            ("private", False, False), ("public", True, False),
        ]  # fmt: skip
        assert plan["public_ips"] == 2
        assert plan["disks"] == [{"system": "node", "disk": 1, "size": 10**9, "machines": [0, 1]}]
        assert plan["recipes"] == [{"step": 1, "system": "node", "recipe": "node", "machines": [0, 1]}]
        assert plan["quotas"]["cloud"]["instances"]["needed"] == 2


async def test_a_quota_that_is_too_small_is_a_warning(ground):
    ground.behave(quota={"instance": 1})
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(2)))
        assert not plan["quotas"]["cloud"]["instances"]["enough"]
        assert any("2 more of instances are needed" in warning for warning in plan["warnings"])


async def test_why_machines_go_is_told(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(3, None), db=(1, None)))
        plan = await running.service.plan(running.owner, template(removal=[2], web=(2, None)), id)
        assert [(machine["machine"], machine["why"]) for machine in plan["delete"]] == [
            (2, "named in removal_list: web has 3 machines, and 2 are wanted")
        ]
        plan = await running.service.plan(running.owner, template(web=(2, None), db=None), id)
        assert [(machine["machine"], machine["why"]) for machine in plan["delete"]] == [
            (0, "the oldest: web has 3 machines, and 2 are wanted"),
            (3, "db was taken out of the document"),
        ]


async def test_the_same_document_again_changes_nothing(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(2, "one")))
        infra = await running.infra(id)
        before, version = levels(infra), infra.version
        assert list(await running.service.add(running.owner, id, template(web=(2, "one")))) == []
        await running.settled(id)
        # Its deploys are those of the last document; what is stored of TOSCA is written anew.
        assert levels(infra) == {**before, "radl": infra.radl, "template": infra.template}
        assert infra.version <= version + 1  # a line in the log
        plan = await running.service.plan(running.owner, template(web=(2, "one")), id)
        assert not any(plan[name] for name in ("create", "delete", "change", "recipes", "resources", "refusals"))


# --- what cannot be carried out --------------------------------------------------------------------------------


async def test_a_plan_with_refusals_is_not_carried_out(ground):
    ground.behave(images=["mock0://*"])
    async with ground.running() as running:
        plan = await running.service.plan(
            running.owner, Document(ground.document(1, cloud="cloud").replace("mock0", "aws"))
        )
        (refusal,) = plan["refusals"]
        assert refusal["machines"] == [0]
        assert "aws" in refusal["reason"]
        with pytest.raises(Conflict, match="cannot be carried out"):
            await running.service.apply(running.owner, plan["id"])
        assert await running.service.list(running.owner) == []


async def removes(running, id):
    await running.service.remove(running.owner, id, [1])


async def adds(running, id):
    await running.service.add(running.owner, id, Document(running.ground.document(1)))


async def reconfigures(running, id):
    await running.service.reconfigure(running.owner, id)


async def changes_a_recipe(running, id):
    text = "configure web_app_web_conf (\n@begin\n- tasks: []\n@end\n)"
    await running.service.reconfigure(running.owner, id, Document(text))


async def stops_one(running, id):
    await running.service.stop(running.owner, id, 0)


async def destroys(running, id):
    await running.service.destroy(running.owner, id)


CHANGES = {
    removes: "machine 1 was removed",
    adds: "machine 2 was added",
    reconfigures: "another change was asked for",
    changes_a_recipe: "its document was changed",
    stops_one: "machine 0 was stopped",
    destroys: "Deleted infrastructure",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_a_plan_is_refused_with_what_has_changed(ground, change):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(2, "one")))
        plan = await running.service.plan(running.owner, template(web=(3, "two")), id)
        await change(running, id)
        infra = await running.settled(id)
        before, things = levels(infra), ground.inventory()
        with pytest.raises((Conflict, NotFound), match=CHANGES[change]):
            await running.service.apply(running.owner, plan["id"])
        await running.settled(id)
        assert (levels(infra), ground.inventory()) == (before, things)


async def test_a_machine_that_has_failed_meanwhile_makes_a_plan_stale(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(2, None)))
        plan = await running.service.plan(running.owner, template(web=(3, None)), id)
        infra = await running.infra(id)
        infra.put(replace(infra.vms[0], failure="broken"))
        with pytest.raises(Conflict, match="machine 0 has failed"):
            await running.service.apply(running.owner, plan["id"])


async def test_news_that_do_not_matter_do_not_make_a_plan_stale(ground):
    async with ground.running(recipes=RECIPES) as running:
        running.configurator.hold.clear()
        id = await running.service.create(running.owner, template(web=(1, "one")), asynchronous=False)
        plan = await running.service.plan(running.owner, template(web=(2, "one")), id)
        running.configurator.hold.set()  # the configuration goes on and ends
        infra = await running.settled(id)
        assert infra.state() == "configured"
        await running.service.apply(running.owner, plan["id"])
        assert (await running.settled(id)).vm_states().keys() == {0, 1}


async def test_a_plan_is_good_for_a_day(ground, monkeypatch):
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(1)))
        monkeypatch.setattr(plans, "LIFETIME", -1.0)
        with pytest.raises(Conflict, match="older than"):
            await running.service.apply(running.owner, plan["id"])


async def test_a_plan_is_carried_out_once(ground):
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(1)))
        results = await asyncio.gather(
            *(running.service.apply(running.owner, plan["id"]) for _ in range(3)), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["NotFound", "NotFound", "str"]
        assert len(ground.inventory("instance")) == 1


async def test_of_two_plans_for_one_state_one_is_carried_out(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(1, None)))
        some = [await running.service.plan(running.owner, template(web=(count, None)), id) for count in (2, 3)]
        await running.service.apply(running.owner, some[0]["id"])
        with pytest.raises(NotFound, match="no such plan"):
            await running.service.apply(running.owner, some[1]["id"])


async def test_plans_of_others_and_those_that_there_are_not_are_refused(ground):
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(1)))
        stranger = await running.caller(OTHER)
        with pytest.raises(Forbidden):
            await running.service.apply(stranger, plan["id"])
        for id in (plan["infrastructure"], plan["id"] + "0", "", ".", "x.y", plan["id"].replace(".", "..")):
            with pytest.raises(IMError):
                await running.service.apply(running.owner, id)
        assert ground.inventory() == []


async def test_only_the_newest_plans_are_kept(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await made(running, template(web=(1, None)))
        some = [await running.service.plan(running.owner, template(web=(2, None)), id) for _ in range(plans.KEPT + 2)]
        with pytest.raises(NotFound):
            await running.service.apply(running.owner, some[0]["id"])
        await running.service.apply(running.owner, some[-1]["id"])
        infra = await running.settled(id)
        assert not [name for name in infra.documents if name.startswith("plan/")]


@pytest.mark.parametrize("update", [False, True])
async def test_a_plan_outlives_the_service_and_any_instance_can_carry_it_out(ground, update):
    async with ground.running(holder="one", recipes=RECIPES) as running:
        id = await made(running, template(web=(1, None))) if update else None
        plan = await running.service.plan(running.owner, template(web=(2, None)), id)
        assert await running.service.list(running.owner) == ([id] if update else [])
    async with ground.running(holder="two", recipes=RECIPES) as running:
        id = await running.service.apply(running.owner, plan["id"])
        assert (await running.settled(id)).vm_states().keys() == {0, 1}
        assert await running.service.list(running.owner) == [id]
        assert len(ground.inventory("instance")) == 2


async def test_what_is_only_planned_is_not_there(ground):
    async with ground.running() as running:
        plan = await running.service.plan(running.owner, Document(ground.document(1)))
        id = plan["infrastructure"]
        for question in (
            running.service.state,
            running.service.machines,
            running.service.radl,
            running.service.destroy,
        ):
            with pytest.raises(NotFound, match="only planned"):
                await question(running.owner, id)
        assert await running.service.list(running.owner) == []


# --- the estimate ----------------------------------------------------------------------------------------------


async def test_an_estimate_tells_what_each_cloud_would_have_to_give(ground):
    text = ground.document(2, volumes=True).replace(
        "disk.0.os.name = 'linux'",
        "disk.0.os.name = 'linux' and disk.0.size = 20G and cpu.count = 2 and memory.size = 4G",
    )
    async with ground.running(service_options={"boot_mode": 1}) as running:
        estimate = await running.service.estimate(running.owner, Document(text))
        assert estimate.keys() == {"cloud"}
        assert estimate["cloud"]["cloudType"] == "Dummy"
        machine = {"cpuCores": 2, "memoryInMegabytes": 4000, "diskSizeInGigabytes": 20, "publicIP": 1}
        assert estimate["cloud"]["compute"] == [machine, machine]
        assert estimate["cloud"]["storage"] == [{"sizeInGigabytes": 20}, {"sizeInGigabytes": 1}] * 2
        assert await running.service.estimate(running.owner, Document("")) == {}
        assert ground.database.infrastructures == {}
