"""The catalogue of templates: what is in it as files come, change and go; and what may be deployed where it decides."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from imframework.api.errors import Forbidden, InvalidDocument
from imframework.api.service import Document, Language
from imframework.core import catalogue as module
from imframework.core.catalogue import Catalogue

ADMIN = "type = InfrastructureManager; username = admin; password = secret-of-admin\\nid = cloud; type = Dummy"
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
metadata: { display_name: %s }
topology_template:
  inputs:
    number: { type: integer, default: %d }
  node_templates:
    server:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: { properties: { count: { get_input: number } } }
        os: { properties: { image: 'mock0://linux.for.ev.er/image1', type: linux } }
"""


def template(name="Web", number=1):
    return TEMPLATE % (name, number)


async def names(catalogue):
    return [one.name for one in (await catalogue.contents()).templates]


async def test_there_is_nothing_without_a_folder():
    assert await names(Catalogue()) == []


async def test_the_templates_of_a_folder_are_known_by_name(tmp_path):
    for name in ("b.yaml", "a.yml", "c.txt", ".hidden"):
        (tmp_path / name).write_text(template(name))
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "link.yaml").symlink_to("c.txt")
    found = (await Catalogue(tmp_path).contents()).templates
    assert [(one.name, one.metadata["display_name"]) for one in found] == [
        ("a.yml", ("a.yml",)),
        ("b.yaml", ("b.yaml",)),
        ("link.yaml", ("c.txt",)),
    ]


async def test_changes_of_the_folder_are_noticed(tmp_path):
    catalogue = Catalogue(tmp_path, fresh=0)
    assert await names(catalogue) == []
    (tmp_path / "a.yaml").write_text(template("before"))
    assert await names(catalogue) == ["a.yaml"]
    (tmp_path / "a.yaml").write_text(template("afterwards"))
    [one] = (await catalogue.contents()).templates
    assert one.metadata["display_name"] == ("afterwards",)
    (tmp_path / "a.yaml").unlink()
    assert await names(catalogue) == []


async def test_files_that_have_not_changed_are_not_read_again(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text(template())
    read = []
    monkeypatch.setattr(module, "_sketch", lambda path, sketch=module._sketch: read.append(path) or sketch(path))
    catalogue = Catalogue(tmp_path, fresh=0)
    for _ in range(3):
        await asyncio.gather(*(names(catalogue) for _ in range(10)))
    assert len(read) == 1


async def test_nobody_looks_as_long_as_what_was_found_is_fresh(tmp_path):
    catalogue = Catalogue(tmp_path, fresh=3600)
    assert await names(catalogue) == []
    (tmp_path / "a.yaml").write_text(template())
    assert await names(catalogue) == []


@pytest.mark.parametrize("content", [b"a: [", b"\xff", b"[]", b"a: b", b"", b"#" * (module.LARGEST + 1)])
async def test_a_broken_template_costs_itself_and_one_line_of_the_log(tmp_path, caplog, content):
    (tmp_path / "good.yaml").write_text(template())
    (tmp_path / "broken.yaml").write_bytes(content)
    catalogue = Catalogue(tmp_path, fresh=0)
    for _ in range(3):
        assert await names(catalogue) == ["good.yaml"]
    assert len([record for record in caplog.records if "broken.yaml" in record.getMessage()]) == 1


async def test_a_folder_that_cannot_be_read_is_told_of_once(tmp_path, caplog):
    catalogue = Catalogue(tmp_path / "missing", fresh=0)
    for _ in range(3):
        assert await names(catalogue) == []
    assert len(caplog.records) == 1
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "a.yaml").write_text(template())
    assert await names(catalogue) == ["a.yaml"]


# --- what may be deployed ----------------------------------------------------------------------------------------


@pytest.fixture
def restricted(ground, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "web.yaml").write_text(template())
    options = {"templates_dir": tmp_path / "templates", "only_templates": True}
    return lambda **more: ground.running(service_options={**options, **more})


def tosca(text):
    return Document(text, Language.TOSCA)


OTHER = template().replace("image1", "image2")
BUILDS_ON = "tosca_definitions_version: tosca_simple_yaml_1_0\nimports: [{ template_file: %s }]\ntopology_template: {}"


async def test_a_template_of_the_catalogue_can_be_deployed_and_scaled(restricted):
    async with restricted() as running:
        service = running.service
        id = await service.create(running.owner, tosca(template("Mine", 2)), asynchronous=True)
        await running.settled(id)
        assert await service.machines(running.owner, id) == [0, 1]
        assert list(await service.add(running.owner, id, tosca(template("Mine", 3)))) == [2]
        assert list(
            await service.add(running.owner, id, Document("network private_net\nsystem server\ndeploy server 1"))
        ) == [3]
        assert (await service.plan(running.owner, tosca(template("Mine", 1))))["create"]


@pytest.mark.parametrize(
    "document",
    [tosca(OTHER), Document("system a (disk.0.image.url = 'mock0://a/b')\ndeploy a 1"),
     Document('[{"class":"system","id":"a"}]', Language.RADL_JSON), Document(""), tosca(BUILDS_ON % "web.yaml")],
    ids=["another template", "RADL", "RADL as JSON", "nothing", "no repository"],
)  # fmt: skip
async def test_nothing_else_can_be_deployed(restricted, document):
    async with restricted() as running:
        for call in (running.service.create, running.service.plan):
            with pytest.raises(Forbidden, match="Only templates of the catalogue"):
                await call(running.owner, document)
        assert await running.service.list(running.owner) == []


async def test_nor_added_to_what_was(restricted):
    async with restricted() as running:
        service = running.service
        id = await service.create(running.owner, tosca(template()), asynchronous=True)
        await running.settled(id)
        recipe = "configure server (\n@begin\n---\n- tasks: []\n@end\n)\n"
        system = "system other (disk.0.image.url = 'mock0://linux.for.ev.er/image1')\ndeploy other 1"
        for call in (
            lambda: service.add(running.owner, id, tosca(OTHER)),
            lambda: service.add(running.owner, id, Document(system)),
            lambda: service.add(running.owner, id, Document(recipe + "system server\ndeploy server 1")),
            lambda: service.reconfigure(running.owner, id, Document(recipe)),
            lambda: service.plan(running.owner, tosca(OTHER), id),
        ):
            with pytest.raises(Forbidden, match="Only templates of the catalogue"):
                await call()


async def test_a_document_can_build_on_a_template_of_the_repository(restricted):
    async with restricted(templates_url="https://templates.example.org/all/") as running:
        check = running.service._restriction.check
        for allowed in ("web.yaml", "https://templates.example.org/all/web.yaml"):
            await check(running.owner, tosca(BUILDS_ON % allowed), creates=True)
        for refused in ("https://templates.example.org/allother/web.yaml", "https://example.org/web.yaml"):
            with pytest.raises(Forbidden):
                await check(running.owner, tosca(BUILDS_ON % refused), creates=True)


async def test_administrators_may_deploy_anything(restricted):
    async with restricted() as running:
        admin = await running.caller(ADMIN)
        assert (await running.service.plan(admin, tosca(OTHER)))["create"]


async def test_a_broken_document_is_told_what_is_wrong_with_it(restricted):
    async with restricted() as running:
        with pytest.raises(InvalidDocument, match="YAML"):
            await running.service.create(running.owner, tosca("a: ["))


async def test_without_the_switch_everything_can_be_deployed(restricted):
    async with restricted(only_templates=False) as running:
        assert (await running.service.plan(running.owner, tosca(OTHER)))["create"]
        assert [one.name for one in await running.service.templates()] == ["web.yaml"]


async def test_our_own_examples_are_worth_a_catalogue():
    examples = (await Catalogue(Path(__file__).parents[3] / "examples" / "tosca").contents()).templates
    assert "web-cluster.yaml" in [one.name for one in examples]
    for one in examples:
        assert {"display_name", "template_author", "creation_date", "description"} <= set(one.metadata), one.name


async def test_infrastructures_are_imported_by_administrators_only(restricted):
    async with restricted() as running:
        service, admin = running.service, await running.caller(ADMIN)
        id = await service.create(running.owner, tosca(template()), asynchronous=True)
        await running.settled(id)
        text = await service.export_document(running.owner, id, delete=True)
        with pytest.raises(Forbidden, match="Only templates of the catalogue"):
            await service.import_document(running.owner, text)
        assert await service.import_document(admin, text) == id
