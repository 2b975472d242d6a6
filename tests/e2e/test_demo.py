"""The demonstration: what `make demo` runs, and that it leaves nothing behind however it ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"


class Stage:
    """A directory in which the demonstration runs, and what can be seen of it from outside."""

    def __init__(self, directory):
        self.directory = directory
        self.folder = directory / ".demo"

    def popen(self, *arguments, script=EXAMPLES / "demo.py"):
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments, **options):
        process = self.popen(*arguments, **options)
        said, _ = process.communicate(timeout=280)
        return process.returncode, said

    def processes(self):
        """Processes that have to do with its folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if any(str(self.folder) in word for word in words):
                    found.append(process)
        return found

    def empty(self):
        """Whether nothing is left: no folder, no process."""
        return not self.folder.exists() and not self.processes()


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    if stage.folder.exists():
        stage.run("--end")
    for process in stage.processes():
        process.kill()


def test_it_shows_a_configured_cluster_and_leaves_nothing_behind(stage):
    status, said = stage.run()

    assert status == 0, said
    assert "state: configured" in said
    assert said.count("ssh: ok") == 3
    assert "on all 3 machines, with the same key" in said
    assert "machine 2: join_wn done" in said, "progress is told in lines where there is no terminal"
    assert 'curl -H "Authorization: $(cat ' in said
    assert "no process, port or file is left" in said
    assert stage.empty()
    for address in (line.split()[3] for line in said.splitlines() if "ssh: ok" in line):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 2222), timeout=5).close()


def typed(line):
    """What a line of shell prints."""
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_it_keeps_answers_as_it_says_until_it_is_ended(stage):
    status, said = stage.run("--keep")
    assert status == 0, said
    (curl,) = (line for line in said.splitlines() if line.strip().startswith("curl "))
    (ssh,) = (line for line in said.splitlines() if line.strip().startswith("ssh "))

    answer = typed(curl)
    key = typed(f"{ssh} cat cluster/key")
    again, refused = stage.run()

    assert '"state":"configured"' in answer
    assert len(key.strip()) == 24
    assert again == 2
    assert "A demonstration is still there" in refused
    assert stage.run("--end")[0] == 0
    assert stage.empty()


def test_interrupting_it_cleans_up(stage):
    process = stage.popen()
    for line in process.stdout:
        if "running" in line:
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)

    assert process.returncode == 130, said
    assert stage.empty()


def test_what_a_killed_one_leaves_is_found_and_ended_by_the_next(stage):
    process = stage.popen()
    for line in process.stdout:
        if "role_front started" in line:
            break
    process.kill()
    process.communicate(timeout=60)
    server = int((stage.folder / "serve.pid").read_text())
    os.kill(server, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(server).wait(60)
    assert stage.processes(), "machines outlive the demonstration and its server"

    status, said = stage.run("--end")

    assert status == 0, said
    assert "is deleted" in said
    assert stage.empty()


def test_a_recipe_that_fails_is_shown_with_the_log_and_cleaned_up(stage, tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "copy" / "examples")
    document = tmp_path / "copy" / "examples" / "radl" / "cluster.radl"
    document.write_text(document.read_text().replace("src: cluster/key", "src: cluster/no-such-key"))

    status, said = stage.run(script=tmp_path / "copy" / "examples" / "demo.py")

    assert status == 1
    assert "The cluster is unconfigured" in said
    assert "TASK [Fetch the key from the front node]" in said
    assert stage.empty()


def test_what_is_missing_is_said_before_anything_is_made(stage):
    with_little = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py")],
        cwd=stage.directory,
        # No ssh, no sandbox; sshd is looked for where daemons are, so it may be found.
        env={"PATH": str(stage.directory)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert with_little.returncode == 2
    assert "apt install" in with_little.stderr
    assert stage.empty()
