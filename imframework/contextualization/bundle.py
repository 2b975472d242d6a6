"""A job as files: the run folder that an agent works in.

The folder appears whole or not at all, is readable for its owner only, and is all the agent needs. What the files mean
is described in `docs/design/agent.md`; `FORMAT` is raised when that changes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imframework.api.errors import InvalidRequest
from imframework.contextualization import galaxy, inventory, plays, yaml_text
from imframework.contextualization.inventory import KEYS, KNOWN_HOSTS, Machine, NameDefaults
from imframework.contextualization.schedule import Item, schedule
from imframework.core.ports import Job

FORMAT = 1

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
#: A configure section can be included by others if its id is the name of a file and nothing else.
_FILE_NAME = re.compile(r"[A-Za-z_][\w.-]{0,200}")

#: Shorter secrets are not taken out of logs: they would take half of the text with them.
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Tools:
    """How plays are run: the interpreter that has Ansible, the most processes, and connections of one process."""

    python: str = sys.executable
    parallel: int = 8
    forks: int = 50


def run_folder(runs_dir: Path, run_id: str) -> Path:
    """The folder of a run. Raises InvalidRequest for an id that is no plain name."""
    if not is_run_id(run_id):
        raise InvalidRequest("the id of a configuration run must be a plain name")
    return runs_dir / run_id


def is_run_id(text: str) -> bool:
    """Whether a text can be the id of a run, and so the name of its folder."""
    return _RUN_ID.fullmatch(text) is not None


def draft(folder: Path, job: Job, defaults: NameDefaults, tools: Tools, first_sequence: int = 0) -> Path:
    """Write what is to become the run folder of a job beside it, and return where: it is ready when it is renamed.

    The events of the run are numbered from `first_sequence` + 1. Blocks.
    """
    place = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    _Bundle(place, folder, job, inventory.machines(job, defaults), tools).write(first_sequence)
    return place


def export(folder: Path, job: Job, defaults: NameDefaults, tools: Tools) -> list[str]:
    """Write a job for a plain ansible-playbook, and return the command.

    It is to be run in the folder, which is new, with ANSIBLE_CONFIG=ansible.cfg: the plays are those of an agent.
    """
    draft(folder, job, defaults, tools).rename(folder)
    lanes = schedule(job, inventory.machines(job, defaults), tools.parallel)
    items = sorted((item for lane in lanes for item in lane if item.plays), key=lambda item: item.step)
    targets = {"im_targets": {item.id: list(item.tasks) for item in items}}
    (folder / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
    return [*_ansible(tools, "playbook"), "-e", "@targets.json", *(_playbook(item) for item in items)]


def _ansible(tools: Tools, program: str) -> list[str]:
    return [tools.python, "-m", "ansible", program]


def _playbook(item: Item) -> str:
    # Ids of configure sections do not begin with a digit: no name is taken twice.
    return f"playbooks/{item.id}.yml"


class _Bundle:
    """Writes one bundle into `draft`, which will be called `folder`."""

    def __init__(self, draft: Path, folder: Path, job: Job, machines: Sequence[Machine], tools: Tools) -> None:
        self._draft, self._folder, self._job, self._machines, self._tools = draft, folder, job, machines, tools

    def write(self, first_sequence: int) -> None:
        for name in ("cp", "facts", "home", KEYS, "playbooks", "scratch", "vault"):
            (self._draft / name).mkdir(mode=0o700)
        lanes = schedule(self._job, self._machines, self._tools.parallel)
        self._write_playbooks(lanes)
        self._put("inventory.yml", yaml_text.dump(inventory.inventory(self._job, self._machines, self._folder)))
        self._put("ansible.cfg", self._configuration())
        self._put(KNOWN_HOSTS, inventory.known_hosts(self._machines))
        for machine in self._machines:
            if machine.target.access.private_key:
                self._put(f"{KEYS}/{machine.host}", machine.target.access.private_key.strip() + "\n")
        for number, password in enumerate(self._job.vault_passwords.values()):
            self._put(f"vault/{number}", password)
        prepare = self._write_requirements()
        self._put("job.json", json.dumps(self._description(lanes, prepare, first_sequence)))

    def _put(self, name: str, text: str) -> None:
        path = self._draft / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def _write_playbooks(self, lanes: Sequence[Sequence[Item]]) -> None:
        for configure in self._job.document.configures.values():
            if configure.recipe is not None and _FILE_NAME.fullmatch(configure.id):
                self._put(f"playbooks/{configure.id}.yml", configure.body)
        for lane in lanes:
            for item in lane:
                if item.plays:
                    self._put(_playbook(item), yaml_text.dump(list(item.plays)))

    def _write_requirements(self) -> list[dict[str, Any]]:
        wanted = galaxy.requirements(self._job.document)
        self._put("requirements.yml", yaml_text.dump(wanted))
        return [
            {
                "title": f"Error installing Ansible {kind}",
                "command": [
                    *_ansible(self._tools, "galaxy"), kind[:-1], "install", "-r", "requirements.yml", "-p", kind
                ],
                "attempts": 5,
                "pause": 10,
            }
            for kind, entries in wanted.items()
            if entries
        ]  # fmt: skip

    def _description(
        self, lanes: Sequence[Sequence[Item]], prepare: list[dict[str, Any]], first_sequence: int
    ) -> dict[str, Any]:
        job = self._job
        accesses = [machine.target.access for machine in self._machines]
        secrets = {job.auth_value, *job.vault_passwords.values(), *(access.password for access in accesses)}
        packages = {name for machine in self._machines for name in plays.packages(machine)}
        return {
            "format": FORMAT,
            "first_sequence": first_sequence,
            "deadline": job.deadline,
            "retries": max(1, job.retries),
            "forks": self._tools.forks,
            "hosts": {machine.host: machine.target.number for machine in self._machines},
            "say": galaxy.announcements(job.document)
            + [f"App: {name} set to be installed." for name in sorted(packages)],
            "secrets": sorted(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET),
            "environment": self._environment(),
            "ansible_playbook": _ansible(self._tools, "playbook"),
            "prepare": prepare,
            "lanes": [[self._item(item) for item in lane] for lane in lanes],
        }

    @staticmethod
    def _item(item: Item) -> dict[str, Any]:
        return {
            "id": item.id,
            "step": item.step,
            "playbook": _playbook(item) if item.plays else "",
            "tasks": dict(item.tasks),
            "error": item.error,
            "notes": dict(item.notes),
        }

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        path = f"{Path(self._tools.python).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home/.ansible"),
            "HOME": str(folder / "home"),
            "LC_ALL": "C.UTF-8",
            "PATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "TMPDIR": str(folder / "scratch"),
        }
        vaults = ",".join(str(folder / "vault" / str(number)) for number in range(len(self._job.vault_passwords)))
        return environment | ({"ANSIBLE_VAULT_IDENTITY_LIST": vaults} if vaults else {})

    def _configuration(self) -> str:
        """Settings for Ansible. Paths for OpenSSH are relative: those of sockets have to be short.

        `remote_tmp` is for this host, where the user may have no home; the machines have theirs from the inventory.
        """
        folder = self._folder
        return f"""\
[defaults]
inventory = {folder}/inventory.yml
roles_path = {folder}/roles
collections_path = {folder}/collections
local_tmp = {folder}/scratch
remote_tmp = {folder}/scratch
gathering = smart
fact_caching = jsonfile
fact_caching_connection = {folder}/facts
inject_facts_as_vars = True
host_key_checking = True
timeout = 30
retry_files_enabled = False
nocows = True
deprecation_warnings = False
system_warnings = False
localhost_warning = False
force_valid_group_names = ignore

[inventory]
enable_plugins = yaml

[galaxy]
cache_dir = {folder}/scratch/galaxy

[ssh_connection]
pipelining = True
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=cp/%C \
-o UserKnownHostsFile={KNOWN_HOSTS} -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
-o ServerAliveInterval=30 -o ServerAliveCountMax=10
"""
