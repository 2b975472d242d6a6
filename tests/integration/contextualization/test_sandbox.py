"""What a recipe can reach on the host of the service: nothing of the service, and nothing of other runs."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from imframework.api.errors import ConfigurationError, IMError
from imframework.contextualization import ServerConfigurator, choose_sandbox
from imframework.contextualization.sandbox import Bubblewrap, Interpreter
from imframework.core.ports import Progress

SECRET = "xyzzy-this-must-not-get-out"

DOCUMENT = """
configure front (
@begin
- vars:
    places: [DATABASE, KEY, OTHER/keys/one, /proc/PID/environ, EVENTS, /etc/shadow]
  tasks:
    - name: Read by a lookup
      debug: msg="{{ lookup('pipe', 'cat ' ~ item ~ ' 2>&1 || true') }}"
      loop: "{{ places }}"
    - name: Read by a task on the controller
      shell: cat {{ item }}; ls -la $(dirname {{ item }}); cat /proc/[0-9]*/environ | tr '\\0' '\\n'
      delegate_to: localhost
      connection: local
      register: output
      loop: "{{ places }}"
      ignore_errors: true
    - debug: msg="{{ output }}"
    - name: Have the server read it for us
      shell: mv events.jsonl was; ln -s DATABASE events.jsonl; sleep 1; rm events.jsonl; mv was events.jsonl
      args: {chdir: "{{ lookup('env', 'TMPDIR') }}/.."}
      delegate_to: localhost
      connection: local
    - name: Kill the server
      command: kill -9 PID
      delegate_to: localhost
      connection: local
      ignore_errors: true
    - name: Who
      debug: msg="running as {{ lookup('pipe', 'id -u') }}"
@end
)
"""


def _unused_accounts() -> list[str]:
    """Accounts that come with the system and that nothing runs as."""
    running = {uid for process in psutil.process_iter(["uids"]) if process.info["uids"] for uid in process.info["uids"]}
    names = {account.pw_name for account in pwd.getpwall() if account.pw_uid not in running}
    return [name for name in ("games", "news", "irc", "list") if name in names]


@pytest.fixture
def place():
    """A folder that other users can pass through, as that of a service is."""
    with TemporaryDirectory(prefix="im-service-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def service():
    """A process of the user of the service, with a secret in its environment."""
    process = subprocess.Popen(["sleep", "300"], env={**os.environ, "IM_TEST_SECRET": SECRET})
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("kind", ["bubblewrap", "uid"])
async def test_a_recipe_gets_nothing_of_the_service_or_of_other_runs(
    cluster, sandboxes: Callable, log, place: Path, kind: str, request: pytest.FixtureRequest, service
) -> None:
    cluster.runs_dir = place / "runs"
    database, key = place / "im.db", place / "secret.key"
    for path in (database, key):
        path.write_text(SECRET)
        path.chmod(0o600)
    options: dict[str, object] = {"hidden": [database, key]}
    if kind == "uid":
        if os.geteuid() != 0:
            pytest.skip("only root can become somebody else")
        accounts = _unused_accounts()
        if len(accounts) < 2:
            pytest.skip("there are no two unused accounts")
        options |= {"users": accounts, "python": request.getfixturevalue("shared_python")}
    configurator = ServerConfigurator(cluster.runs_dir, sandboxes(kind, cluster.runs_dir, **options))
    other = cluster.runs_dir / "other"
    (other / "keys").mkdir(parents=True)
    (other / "keys" / "one").write_text(SECRET)
    if kind == "uid":
        for path in (other / "keys" / "one", other / "keys", other):
            os.chown(path, pwd.getpwnam(accounts[0]).pw_uid, -1)
    for path, mode in ((other, 0o700), (other / "keys", 0o700), (other / "keys" / "one", 0o600)):
        path.chmod(mode)
    names = {"DATABASE": database, "KEY": key, "OTHER": other, "EVENTS": cluster.runs_dir, "PID": service.pid}
    document = DOCUMENT
    for name, value in names.items():
        document = document.replace(name, str(value))

    await configurator.run(cluster.job(document), 0, log)

    assert log.end() == ""
    assert (0, "front_front") in log.of(Progress.TASK_DONE), log.failures()
    told = "".join(report.text + report.message for report in log.reports)
    assert SECRET not in told
    assert "root:" not in told
    assert service.poll() is None, "it was not to be killed"
    user = int(told.split("running as ")[1].split('"')[0])
    assert user == os.geteuid() != 0 or user not in (0, os.geteuid())
    await configurator.discard("run")
    assert not (cluster.runs_dir / "run").exists()


async def test_runs_wait_for_a_user_of_their_own(
    cluster, sandboxes: Callable, log, place: Path, request: pytest.FixtureRequest
) -> None:
    accounts = _unused_accounts()
    if os.geteuid() != 0 or not accounts:
        pytest.skip("needs root and an unused account")
    cluster.runs_dir = place / "runs"
    python = request.getfixturevalue("shared_python")
    sandbox = sandboxes("uid", cluster.runs_dir, users=accounts[:1], python=python)
    configurator = ServerConfigurator(cluster.runs_dir, sandbox)
    waiting_log = type(log)()

    await configurator.run(cluster.job("", run_id="first"), 0, log)
    waiting = asyncio.create_task(configurator.run(cluster.job("", run_id="second"), 0, waiting_log))
    with pytest.raises(IMError, match="too many"):
        await configurator.run(cluster.job("", run_id="third", seconds=0.5), 0, log)
    assert [path.name for path in cluster.runs_dir.iterdir()] == ["first"]
    await configurator.discard("first")
    await asyncio.wait_for(waiting, 60)

    assert (log.end(), waiting_log.end()) == ("", "")


def test_a_sandbox_that_would_leave_something_readable_is_refused(place: Path, request: pytest.FixtureRequest) -> None:
    if os.geteuid() != 0 or not (accounts := _unused_accounts()):
        pytest.skip("needs root and an unused account")
    database = place / "im.db"
    database.write_text(SECRET)
    database.chmod(0o644)

    with pytest.raises(ConfigurationError, match=r"uid would leave readable .*im\.db"):
        choose_sandbox(
            "uid",
            runs_dir=place / "runs",
            hidden=[database],
            users=accounts,
            python=request.getfixturevalue("shared_python"),
        )


def test_what_lies_in_a_folder_that_has_to_be_visible_is_hidden_there(place: Path, sandboxes: Callable) -> None:
    chosen = sandboxes("bubblewrap", place / "runs")
    database, keys = place / "im.db", place / "keys"
    keys.mkdir()
    for path in (database, keys / "one", place / "runs" / "other"):
        path.write_text(SECRET)
        path.chmod(0o644)
    interpreter = Interpreter(chosen.interpreter.path, (*chosen.interpreter.folders, str(place)))
    sandbox = Bubblewrap(interpreter, [database, keys])

    sandbox.check(place / "runs")

    with ExitStack() as stack, TemporaryDirectory(dir=place / "runs") as run:
        os.chown(run, sandbox.owner(()) or 0, -1)
        look = [
            "/bin/sh",
            "-c",
            f"cat {database} {keys}/* {place}/runs/other; ls -R {place}; touch {run}/x && echo fine",
        ]
        command, descriptors = sandbox.command(Path(run), look, stack)
        seen = subprocess.run(command, capture_output=True, text=True, pass_fds=descriptors, check=True).stdout
    assert SECRET not in seen
    assert "other" not in seen
    assert seen.endswith("fine\n")


def test_without_any_sandbox_a_service_does_not_run_recipes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imframework.contextualization.sandbox._PATH", str(place))

    with pytest.raises(ConfigurationError, match="no sandbox") as raised:
        choose_sandbox("auto", runs_dir=place / "runs")

    assert "bubblewrap is not installed" in str(raised.value)
    assert "uid needs" in str(raised.value)
