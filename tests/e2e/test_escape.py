"""Recipes that want out: they run on the host of the service, and must get nothing of it.

The recipe attacks from where Ansible runs, with everything Ansible offers there: lookups, tasks delegated to the
controller, modules that read and write files of the controller.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("escape"), pytest.mark.slow]

SECRET = "xyzzy-7731-must-not-get-out"

ATTACK = """
- vars:
    files: [DATABASE, KEY, CONFIG, OTHER/inventory.yml]
    attack: |
      cat DATABASE DATABASE-wal KEY CONFIG USERS LOG
      ls -laR STATE
      cat OTHER/* OTHER/*/*
      cat /etc/shadow /proc/PID/environ /proc/PID/maps /proc/PID/root/DATABASE /proc/PID/cwd/im.cfg
      cat /proc/[0-9]*/environ | tr '\\0' '\\n'
      kill -TERM PID
      kill -KILL PID
      find / -xdev -name inf.dat -o -name encryption.key -o -name im.cfg
      mount --bind / /mnt && cat /mnt/DATABASE
      nsenter -t PID -a cat DATABASE
      rm -rf DATABASE OTHER
      echo attacked > DATABASE
      echo running as $(id -u)
  tasks:
    - name: Attack by a lookup
      debug: {msg: "{{ lookup('pipe', '(' ~ attack ~ ') 2>&1') }}"}
    - name: Attack by a task on the controller
      shell: "( {{ attack }} ) 2>&1"
      delegate_to: localhost
      connection: local
      register: told
    - debug: {var: told}
    - name: Read by a lookup
      debug: {msg: "{{ lookup('file', item) }}"}
      loop: "{{ files + ['USERS', 'LOG', '/etc/shadow'] }}"
      ignore_errors: true
    - name: Copy from the controller to the machine
      copy: {src: "{{ item }}", dest: loot/}
      loop: "{{ files + ['LOG'] }}"
      ignore_errors: true
    - name: Take for variables
      include_vars: {file: "{{ item }}", name: loot}
      loop: "{{ files }}"
      ignore_errors: true
    - name: Overwrite from the machine
      fetch: {src: /etc/hostname, dest: "{{ item }}", flat: true}
      loop: "{{ files }}"
      ignore_errors: true
    - debug: {msg: the end of the attack}
"""

SLEEPS = """
- ansible.builtin.debug: {msg: SECRET}
- ansible.builtin.shell: sleep 3600
"""


@pytest.fixture
def public_python() -> Iterator[str]:
    """An interpreter with this environment's packages that every user may run."""
    if _anybody_can_run(sys.executable):
        yield sys.executable
        return
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not Path(system).exists():
        pytest.skip("other users can run no interpreter of this version")
    packages = sysconfig.get_path("purelib")
    with TemporaryDirectory(prefix="im-python-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([system, "-m", "venv", "--without-pip", name], check=True)
        (purelib,) = folder.glob("lib/*/site-packages")
        (purelib / "packages.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
        if not _anybody_can_run(f"{name}/bin/python"):
            pytest.skip("other users cannot read these packages")
        yield f"{name}/bin/python"


def _anybody_can_run(python: str) -> bool:
    """Whether a user without any rights can run this environment."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    run = 'exec "$0" -c "import ansible, imframework"'
    return subprocess.run([*become, "sh", "-c", run, python], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["bubblewrap", "uid"])
def victim(request: pytest.FixtureRequest, new_server) -> Any:
    """A server with either sandbox, not started yet."""
    if request.param == "bubblewrap":
        if shutil.which("bwrap") is None:
            pytest.skip("bubblewrap is not installed")
        return new_server(CONTEXTUALIZATION_SANDBOX="bubblewrap")
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    running = {path.stat().st_uid for path in Path("/proc").glob("[0-9]*")}
    known = {account.pw_name for account in pwd.getpwall() if account.pw_uid not in running}
    names = [name for name in ("games", "news", "irc", "list") if name in known]
    if len(names) < 2:
        pytest.skip("there are no two accounts that nothing runs as")
    return new_server(
        (request.getfixturevalue("public_python"),),
        public=True,
        CONTEXTUALIZATION_SANDBOX="uid",
        CONTEXTUALIZATION_SANDBOX_USER=", ".join(names),
    )


def test_a_recipe_gets_nothing_of_the_service_and_of_other_runs(victim, document, eventually) -> None:
    server = victim
    users = server.directory / "users.json"
    users.touch(0o600)
    names = [{"username": name, "password": f"{name}-{SECRET}"} for name in ("ana", "eve")]
    users.write_text(json.dumps({"users": names}))
    server.options |= {"USER_DB": users, "ADMIN_USER": json.dumps({"username": "root", "password": SECRET})}
    server.environment["PLANTED"] = SECRET
    server.secrets.add(SECRET)
    server.start()
    ana = server.api("ana", f"ana-{SECRET}", clouds=f"id = more; type = Dummy; password = {SECRET}")
    eve = server.api("eve", f"eve-{SECRET}")
    theirs = ana.create(document(SLEEPS.replace("SECRET", SECRET)))
    eventually(lambda: "shell" in ana.contmsg(theirs), "other run in progress")
    (other,) = server.runs
    assert SECRET in "".join(path.read_text() for path in other.glob("playbooks/*"))

    recipe = ATTACK
    for name, value in {
        "DATABASE": server.database,
        "STATE": server.directory / "state",
        "KEY": server.directory / "state/encryption.key",
        "CONFIG": server.config,
        "USERS": users,
        "LOG": server.directory / "im.log",
        "OTHER": other,
        "PID": server.process.pid,
    }.items():
        recipe = recipe.replace(name, str(value))
    attacking = eve.create(document("- ansible.builtin.ping:").replace("- tasks:\n    - ansible.builtin.ping:", recipe))
    state = eve.settled(attacking)
    told = eve.contmsg(attacking) + json.dumps(eve.events(attacking))

    assert told.count("running as ") >= 2
    assert "the end of the attack" in told
    assert f"running as {os.geteuid()}" not in told or os.geteuid() != 0
    assert state == "configured", told
    for loot in (SECRET, "SQLite format", "root:*", "root:!", "root:$"):
        assert loot not in told, told[max(0, told.index(loot) - 2000) :][:3000]
    key = (server.directory / "state/encryption.key").read_text().strip()
    assert key not in told
    home = server.home(eve.prop(attacking, 0, "net_interface.0.ip"))
    assert [path for path in home.rglob("loot/*") if path.is_file()] == []

    assert server.process.poll() is None
    assert ana.state(theirs)[0] == "running"
    server.restart()
    assert ana.state(theirs)[0] == "running"
    for owner, infrastructure in ((eve, attacking), (ana, theirs)):
        owner.destroy(infrastructure)
    assert server.offspring() == []


def test_a_service_without_a_sandbox_is_refused(new_server) -> None:
    status, said = new_server(CONTEXTUALIZATION_SANDBOX="none").refused()
    assert status == 2
    assert "Error: CONTEXTUALIZATION_SANDBOX: 'none' would let every user of the service act as" in said


def test_local_machines_for_everybody_who_can_reach_the_service_are_refused(new_server) -> None:
    status, said = new_server(REST_ADDRESS="0.0.0.0").refused()  # noqa: S104
    assert status == 2
    assert "Error: CONNECTORS: 'local' gives whoever has an account a shell on this machine" in said
    assert "Set USER_DB" in said


def test_the_sandbox_asked_for_must_work_or_the_service_does_not_start(new_server) -> None:
    options = {"CONTEXTUALIZATION_SANDBOX": "uid", "CONTEXTUALIZATION_SANDBOX_USER": "root"}
    status, said = new_server(**options).refused()
    assert status == 2
    assert "Error: " in said
