"""Processes: real ones, started here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from imframework.api.errors import CloudError
from imframework_plugins.connectors.local import processes
from imframework_plugins.connectors.local.processes import Process, end, process, with_descendants

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs that say "ready" and then do as told; those left over are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str = "", name: str = sys.executable) -> subprocess.Popen[bytes]:
        script = f"import os, signal, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
        child = subprocess.Popen([name, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    yield run
    for child in started:
        child.kill()
        child.communicate()


def alive(child: subprocess.Popen[bytes]) -> Process:
    found = process(child.pid)
    assert found is not None
    return found


def test_a_process_is_known_by_id_and_start() -> None:
    own = process(os.getpid())
    assert own is not None
    assert own.parent == os.getppid()
    assert own == replace(own, parent=1, name="renamed")
    assert own != replace(own, started=own.started + 1)


def test_a_name_with_spaces_and_parentheses_is_read_right(start: Start, tmp_path: object) -> None:
    link = os.path.join(str(tmp_path), "a) S 1 (b")
    os.symlink("/bin/sleep", link)
    with subprocess.Popen([link, "60"]) as child:
        found = alive(child)
        child.kill()
    assert found.name == "a) S 1 (b"
    assert found.parent == os.getpid()


def test_what_has_ended_and_was_not_waited_for_is_no_process(start: Start) -> None:
    child = start()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process(child.pid) is None
    assert child.pid not in {each.pid for each in processes.processes()}


def test_descendants_are_found_at_any_depth() -> None:
    tree = [Process(pid, 0, parent, "p") for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1), (6, 5))]
    assert {each.pid for each in with_descendants(tree[:1], tree)} == {2, 3, 4}


def test_a_process_that_obeys_ends_by_sigterm(start: Start) -> None:
    child = start()
    victim = alive(child)
    end(lambda: [victim] if process(victim.pid) == victim else [])
    assert child.wait() == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    child = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    victim = alive(child)
    end(lambda: [victim] if process(victim.pid) == victim else [])
    assert child.wait() == -signal.SIGKILL


def test_another_process_under_the_same_id_is_left_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    bystander = alive(start())
    former = replace(bystander, started=bystander.started - 1)
    with pytest.raises(CloudError, match="do not end"):
        end(lambda: [former])
    assert process(bystander.pid) == bystander


@pytest.mark.skipif(os.getuid() == 0, reason="root may end every process")
def test_a_process_of_another_user_is_an_error_that_names_it() -> None:
    init = process(1)
    assert init is not None
    with pytest.raises(CloudError, match=r"another user .*\(1\)"):
        end(lambda: [init])


def test_environment_and_open_files_of_what_is_gone_are_empty(start: Start) -> None:
    child = start()
    gone = alive(child)
    assert processes.environment(gone) > {b"PATH=" + os.environb[b"PATH"]}
    child.kill()
    child.wait()
    assert not any(processes.environment(gone))
    assert not processes.open_files(gone)
    assert not processes.arguments(gone)
