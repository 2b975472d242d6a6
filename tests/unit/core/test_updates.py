"""TOSCA documents sent to an infrastructure: what comes, what goes, what is configured again and what is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from imframework.api.errors import InvalidDocument, InvalidRequest
from imframework.api.service import Document, Language

VECTORS = Path(__file__).parents[2] / "vectors" / "tosca"
RECIPES = {"app.yml": "- tasks: []\n"}
HEAD = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
"""


def cluster(web=2, db=1, web_text="one", db_text="one", **more):
    """A TOSCA document with two kinds of machines, each with a recipe of its own."""
    templates = {}
    for name, count, text in (("web", web, web_text), ("db", db, db_text)):
        templates[name] = {
            "type": "tosca.nodes.indigo.Compute",
            "capabilities": {
                "scalable": {"properties": {"count": count}},
                "os": {"properties": {"type": "linux", "image": "mock0://linux.for.ev.er/image1"}},
            },
        }
        templates[f"{name}_app"] = {
            "type": "tosca.nodes.SoftwareComponent",
            "requirements": [{"host": name}],
            "interfaces": {"Standard": {"configure": {"implementation": "app.yml", "inputs": {"text": text}}}},
        }
    return tosca({"node_templates": templates | more})


def tosca(topology):
    return Document(HEAD + yaml.safe_dump({"topology_template": topology}, sort_keys=False), Language.TOSCA)


async def made(running, document):
    """An infrastructure of a document, at rest."""
    id = await running.service.create(running.owner, document)
    running.ids.append(id)
    return await running.settled(id)


async def updated(running, infra, document):
    """Send a document and wait; the machines that are configured again, by number."""
    jobs = len(running.configurator.jobs)
    await running.service.add(running.owner, infra.id, document)
    await running.settled(infra.id)
    assert infra.state() in ("configured", "pending")
    return {target.number for job in running.configurator.jobs[jobs:] for target in job.targets}


def alive(infra):
    return {vm.number: vm.system for vm in infra.alive()}


async def test_the_update_sequence_of_the_specification(ground):
    sequence = json.loads((VECTORS / "09.updates.json").read_text())
    mock = "mock0://linux.for.ev.er/image1"
    async with ground.running() as running:
        first = sequence["steps"][0]["document"].replace("mock://images.example.org/base", mock)
        infra = await made(running, Document(first, Language.TOSCA))
        assert alive(infra) == {machine["id"]: machine["system"] for machine in sequence["start"]}
        for step in sequence["steps"]:
            document = Document(step["document"].replace("mock://images.example.org/base", mock), Language.TOSCA)
            before = alive(infra)
            if step.get("error"):  # the peer asks for machines that are gone; we never store a removal_list
                await running.service.add(running.owner, infra.id, document)
                await running.settled(infra.id)
                continue
            added = await running.service.add(running.owner, infra.id, document)
            await running.settled(infra.id)
            assert list(added) == step["added"], step["title"]
            assert sorted(before.keys() - alive(infra).keys()) == sorted(step["remove"]), step["title"]
            assert alive(infra) == {machine["id"]: machine["system"] for machine in step["after"]}, step["title"]
        assert len(ground.inventory("instance")) == len(alive(infra))


async def test_only_machines_whose_recipe_has_changed_are_configured_again(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        assert await updated(running, infra, cluster(db_text="two")) == {2}
        assert "text: two" in infra.radl
        assert await updated(running, infra, cluster(db_text="two")) == set()
        assert await updated(running, infra, cluster(web_text="x", db_text="y")) == {0, 1, 2}


async def test_when_machines_come_or_go_all_others_are_configured_again(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        assert await updated(running, infra, cluster(web=3)) == {0, 1, 2, 3}
        assert await updated(running, infra, cluster(web=2)) == {1, 2, 3}
        assert alive(infra) == {1: "web", 2: "db", 3: "web"}


async def test_a_component_that_is_taken_out_is_not_configured_any_more(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        assert await updated(running, infra, tosca({"node_templates": {"web_app": None}})) == {0, 1}
        assert "web_app" not in infra.radl.partition("contextualize")[2]
        assert "web_app" not in yaml.safe_load(await running.service.tosca(running.owner, infra.id))[
            "topology_template"
        ]["node_templates"]  # fmt: skip
        assert await updated(running, infra, tosca({"node_templates": {"web_app": None}})) == set()


async def test_a_new_component_is_configured_where_it_is(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        agent = {
            "type": "tosca.nodes.SoftwareComponent",
            "requirements": [{"host": "db"}],
            "interfaces": {"Standard": {"configure": {"implementation": "app.yml"}}},
        }
        assert await updated(running, infra, tosca({"node_templates": {"agent": agent}})) == {2}


async def test_secrets_that_were_drawn_stay_the_same_over_updates_and_restarts(ground):
    document = {
        "inputs": {
            "password": {"type": "string", "default": "random(20)"},
            "token": {"type": "string", "default": "x"},
        },
        "outputs": {"password": {"value": {"get_input": "password"}}},
    }
    async with ground.running(holder="one") as running:
        infra = await made(running, tosca(document))
        first = (await running.service.outputs(running.owner, infra.id)).values["password"]
        assert len(first) == 20
        assert first not in str(ground.database.infrastructures), "it is sealed where it is stored"
    async with ground.running(holder="two") as running:
        document["inputs"]["token"]["default"] = "y"
        await running.service.add(running.owner, infra.id, tosca(document))
        assert (await running.service.outputs(running.owner, infra.id)).values["password"] == first


async def test_two_updates_at_the_same_time_do_not_undo_each_other(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster(web=1, db=1))
        scale = {"capabilities": {"scalable": {"properties": {"count": 2}}}}
        await asyncio.gather(
            *(
                running.service.add(running.owner, infra.id, tosca({"node_templates": {name: scale}}))
                for name in ("web", "db")
            )
        )
        await running.settled(infra.id)
        assert sorted(alive(infra).values()) == ["db", "db", "web", "web"]


async def test_an_update_while_machines_are_being_made_counts_them(ground):
    ground.behave(boot={"instance": 0.2})
    async with ground.running(recipes=RECIPES) as running:
        id = await running.service.create(running.owner, cluster(web=2), asynchronous=True)
        await running.service.add(running.owner, id, cluster(web=3))
        infra = await running.settled(id)
        assert sorted(alive(infra).values()) == ["db", "web", "web", "web"]


async def test_an_infrastructure_that_is_being_deleted_takes_no_update(ground):
    ground.behave(deletion={"*": 0.2})
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        await running.service.destroy(running.owner, infra.id, asynchronous=True)
        with pytest.raises(InvalidRequest, match="deleted"):
            await running.service.add(running.owner, infra.id, cluster(web=3))


async def test_radl_can_be_added_to_a_template_and_stays_when_the_template_is_updated(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster(web=1, db=1))
        await running.add(infra.id, ground.document(1, system="more", recipe=True))
        await running.settled(infra.id)
        assert sorted(alive(infra).values()) == ["db", "more", "web"]
        assert await updated(running, infra, cluster(web=1, db=1, db_text="two")) == {
            vm.number for vm in infra.alive() if vm.system == "db"
        }
        assert sorted(alive(infra).values()) == ["db", "more", "web"]
        assert "configure more" in infra.radl


async def test_the_first_template_of_an_infrastructure_made_from_radl_is_used_on_its_own(ground):
    async with ground.running(recipes=RECIPES) as running:
        id = await running.create(ground.document(1))
        infra = await running.settled(id)
        await updated(running, infra, cluster(web=1, db=0))
        assert sorted(alive(infra).values()) == ["node", "web"]
        assert (await running.service.outputs(running.owner, id)).values == {}


async def test_a_wrong_update_changes_nothing(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        revision, template = infra.revision, infra.template
        for wrong in (
            tosca({"node_templates": {"web": {"capabilities": {"scalable": {"properties": {"count": -1}}}}}}),
            tosca({"node_templates": {"new": {"type": "no.such.Type"}}}),
            tosca({"node_templates": {"web": None}}),  # its application has no host then
        ):
            with pytest.raises(InvalidDocument):
                await running.service.add(running.owner, infra.id, wrong)
        assert (infra.revision, infra.template) == (revision, template)


async def test_a_reconfiguration_takes_recipes_and_no_machines_from_a_template(ground):
    async with ground.running(recipes=RECIPES) as running:
        infra = await made(running, cluster())
        await running.service.reconfigure(running.owner, infra.id, cluster(web=5, web_text="new"))
        await running.settled(infra.id)
        assert len(alive(infra)) == 3
        assert "text: new" in infra.radl


async def test_outputs_tell_what_is_missing_while_machines_are_being_made(ground):
    ground.behave(boot={"instance": 0.3})
    outputs = {
        "address": {"value": {"get_attribute": ["web", "private_address", 0]}},
        "text": {"value": "as it is"},
    }
    node = yaml.safe_load(cluster().text)["topology_template"]["node_templates"]["web"]
    async with ground.running() as running:
        document = tosca({"node_templates": {"web": node}, "outputs": outputs})
        id = await running.service.create(running.owner, document, asynchronous=True)
        found = await running.service.outputs(running.owner, id)
        assert found.values == {"address": None, "text": "as it is"}
        assert found.missing == {"address": ("a machine of web has no private address",)}
        await running.settled(id)
        found = await running.service.outputs(running.owner, id)
        assert (found.values["address"], found.missing) == ("10.0.0.1", {})
