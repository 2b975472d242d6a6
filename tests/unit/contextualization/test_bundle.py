"""The run folder: complete, private, and with nothing in it that points out of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from imframework.api.errors import InvalidRequest
from imframework.api.model import Access
from imframework.contextualization import bundle
from imframework.contextualization.bundle import Tools
from imframework.contextualization.inventory import NameDefaults
from imframework.languages.radl import Configure


@pytest.fixture
def written(make_job, tmp_path: Path) -> Path:
    """The run folder of a job with secrets."""
    job = make_job(
        auth_value="user:auth-secret",
        vault_passwords={"front": "vault-secret"},
        retries=3,
        access={1: Access("198.51.100.9", user="u", password="password-secret")},
    )
    folder = tmp_path / "run"
    bundle.draft(folder, job, NameDefaults(), Tools(python="/opt/python", parallel=4, forks=7), 41).rename(folder)
    return folder


def test_everything_is_for_its_owner_only(written: Path) -> None:
    for path in (written, *written.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_job_says_what_to_run_on_which_machines(written: Path) -> None:
    job = json.loads((written / "job.json").read_text())

    assert job["hosts"] == {"192.0.2.1_0": 0, "10.0.0.2_1": 1, "10.0.0.3_2": 2}
    assert (job["format"], job["retries"], job["forks"], job["first_sequence"]) == (bundle.FORMAT, 3, 7, 41)
    assert job["ansible_playbook"] == ["/opt/python", "-m", "ansible", "playbook"]
    items = [item for lane in job["lanes"] for item in lane]
    assert [item["id"] for item in items] == ["0-basic", "1-main", "2-front", "3-work-er", "4-join"]
    for item in items:
        assert isinstance(yaml.safe_load((written / item["playbook"]).read_text()), list)
    assert job["secrets"] == ["password-secret", "user:auth-secret", "vault-secret"]


def test_keys_passwords_and_recipes_are_files_of_their_own(written: Path) -> None:
    assert (written / "keys" / "192.0.2.1_0").read_text() == "KEY\n"
    assert (written / "vault" / "0").read_text() == "vault-secret"
    assert (written / "playbooks" / "join.yml").read_text().strip() == "- tasks: [{debug: {msg: join}}]"
    assert yaml.safe_load((written / "inventory.yml").read_text())["all"]["hosts"].keys() == {
        "192.0.2.1_0",
        "10.0.0.2_1",
        "10.0.0.3_2",
    }


def test_host_keys_are_checked_and_sockets_have_short_names(written: Path) -> None:
    settings = (written / "ansible.cfg").read_text()

    assert "host_key_checking = True" in settings
    assert "ControlPath=cp/%C" in settings
    assert "UserKnownHostsFile=known_hosts" in settings
    assert "pipelining = True" in settings


def test_the_environment_of_ansible_has_nothing_of_ours(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = json.loads((written / "job.json").read_text())["environment"]

    assert environment["HOME"] == f"{written}/home"
    assert environment["ANSIBLE_VAULT_IDENTITY_LIST"] == f"{written}/vault/0"
    assert set(environment) == {
        *("ANSIBLE_CONFIG", "ANSIBLE_HOME", "ANSIBLE_VAULT_IDENTITY_LIST", "HOME", "LC_ALL", "PATH"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH", "TMPDIR"),
    }


def test_recipes_whose_id_is_no_file_name_cannot_be_included_and_do_no_harm(make_job, tmp_path: Path) -> None:
    job = make_job()
    for id in ("../../escape", "0-basic", ".hidden/x"):
        job.document.configures[id] = Configure(id, "- tasks: []")
    folder = tmp_path / "runs" / "run"
    folder.parent.mkdir()

    bundle.draft(folder, job, NameDefaults(), Tools()).rename(folder)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert "Prepare the node" in (folder / "playbooks" / "0-basic.yml").read_text()


def test_nothing_half_made_is_taken_for_a_run_folder(make_job, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    draft = bundle.draft(folder, make_job(), NameDefaults(), Tools())

    assert not folder.exists()
    assert not bundle.is_run_id(draft.name)


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "/etc", "a b", ".x", "-x", "x" * 129, "é", "a\n"])
def test_ids_that_are_no_plain_names_are_refused(run_id: str) -> None:
    with pytest.raises(InvalidRequest):
        bundle.run_folder(Path("/runs"), run_id)


def test_exported_plays_are_those_of_the_agent(make_job, tmp_path: Path) -> None:
    command = bundle.export(tmp_path / "out", make_job(), NameDefaults(), Tools(python="python"))

    assert command == [
        *("python", "-m", "ansible", "playbook", "-e", "@targets.json"),
        *(f"playbooks/{id}.yml" for id in ("0-basic", "1-main", "2-front", "3-work-er", "4-join")),
    ]
    targets = json.loads((tmp_path / "out" / "targets.json").read_text())["im_targets"]
    assert targets["4-join"] == ["10.0.0.2_1", "10.0.0.3_2"]
