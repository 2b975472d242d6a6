"""The agent's memory and its choice of what comes next, without Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from imframework.agent import agent
from imframework.agent.agent import Journal

AGENT = agent.__file__


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def _journal(folder: Path, **options: Any) -> Journal:
    return Journal(str(folder / "events.jsonl"), str(folder), **options)


def test_a_journal_remembers_what_is_recorded(tmp_path: Path) -> None:
    first = _journal(tmp_path, first_sequence=10)
    first.say(0, "text\n")
    first.start("basic", 0)
    first.end("basic", 0)
    first.attempt("main", 1, 3)
    first.fail("main", 1, "why")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"seq": 99, "kind": "task-done", "task": "cut o')

    second = _journal(tmp_path, first_sequence=10)

    assert second.resumed
    assert not second.finished
    assert second.started == second.done == {("basic", 0)}
    assert second.failed == {("main", 1)}
    assert second.attempt("main", 1, 3) == 2
    second.finish("")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    sequences = [json.loads(line)["seq"] for line in lines if not line.endswith("cut o")]
    assert sequences == list(range(11, 11 + len(sequences)))
    assert _journal(tmp_path).finished


def test_secrets_and_our_folder_are_kept_out_of_the_journal(tmp_path: Path) -> None:
    journal = _journal(tmp_path, secrets=["p.ss", "word"])
    journal.say(None, f"p.ss and word in {tmp_path}/playbooks/x.yml, not pass\n")
    journal.fail("t", 0, "the word")

    text, failure = _events(tmp_path)
    assert text["text"] == "*** and *** in playbooks/x.yml, not pass\n"
    assert failure["message"] == "the ***"


def test_a_log_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "MAX_LOG", 100)
    journal = _journal(tmp_path)
    for _ in range(50):
        journal.say(0, "0123456789")
    journal.flush()

    (event,) = _events(tmp_path)
    assert event["text"].endswith("[the log is longer than 100 characters: the rest is left out]\n")
    assert len(event["text"]) < 200


# A stand-in for ansible-playbook that speaks with the agent as the callback plugin does. It fails where it is told to.
PLAYBOOK = """
import json, os, sys
stream, gate = int(os.environ["IMFRAMEWORK_STREAM_FD"]), int(os.environ["IMFRAMEWORK_GATE_FD"])
def send(**message): os.write(stream, (json.dumps(message) + "\\n").encode())
def note(text): os.write(os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT), (text + "\\n").encode())
arguments = sys.argv[1:]
targets = json.load(open(arguments[1].lstrip("@")))["im_targets"]
note("start " + " ".join(arguments[2:]))
for playbook in arguments[2:]:
    send(type="playbook", file=playbook)
    if os.read(gate, 1) != b"g":
        sys.exit(0)
    failed = {}
    for host in targets[playbook.removesuffix(".yml")]:
        note(playbook + " " + host)
        send(type="text", host=host, text="running " + playbook + "\\n")
        fault = f"fail-{playbook}-{host}"
        if os.path.exists(fault):
            os.unlink(fault)
            failed[host] = "Task: broken"
        else:
            send(type="done", host=host)
    send(type="end", failed=failed)
    if os.path.exists("crash-" + playbook):
        os.unlink("crash-" + playbook)
        print("ERROR! something is wrong")
        sys.exit(4)
    if failed:
        sys.exit(2)
"""


def _item(id: str, step: int, hosts: str, playbook: bool = True, error: str = "") -> dict[str, Any]:
    name = f"{id}.yml" if playbook else ""
    tasks = dict.fromkeys(hosts, f"task-{id}")
    return {"id": id, "step": step, "playbook": name, "tasks": tasks, "error": error, "notes": {}}


def _run(folder: Path, lanes: list[list[dict[str, Any]]], **changes: Any) -> list[dict[str, Any]]:
    job = {
        "format": 1,
        "first_sequence": 0,
        "deadline": time.time() + 60,
        "retries": 1,
        "forks": 5,
        "hosts": {"a": 0, "b": 1, "c": 2},
        "say": ["hello"],
        "secrets": [],
        "environment": {"PATH": os.environ["PATH"]},
        "ansible_playbook": [sys.executable, "-c", PLAYBOOK],
        "prepare": [],
        "lanes": lanes,
        **changes,
    }
    (folder / "job.json").write_text(json.dumps(job))
    subprocess.run([sys.executable, "-I", "-B", AGENT, str(folder)], check=True, timeout=60)
    return _events(folder)


def _notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines()


def _ends(events: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(event["kind"], event["task"], event["vm"]) for event in events if event["kind"].startswith("task-")]


def test_steps_are_in_order_across_lanes_and_one_process_serves_a_lane(tmp_path: Path) -> None:
    trunk = [_item("1", 1, "abc"), _item("2", 2, "abc", playbook=False), _item("3", 3, "a")]
    lanes = [trunk, [_item("4", 3, "bc"), _item("5", 4, "bc")]]

    events = _run(tmp_path, lanes)

    assert (events[0]["text"], events[-1]["kind"], events[-1]["message"]) == ("hello\n", "finished", "")
    starts = [note for note in _notes(tmp_path) if note.startswith("start")]
    assert sorted(starts) == ["start 1.yml 3.yml", "start 4.yml 5.yml"]
    steps = {"task-1": 1, "task-2": 2, "task-3": 3, "task-4": 3, "task-5": 4}
    order = [steps[task] for kind, task, _ in _ends(events) if kind == "task-done"]
    assert order == sorted(order)
    assert len(order) == 3 + 3 + 1 + 2 + 2
    begun = [steps[task] for kind, task, _ in _ends(events) if kind == "task-started"]
    assert begun == sorted(begun)


def test_a_failed_machine_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "fail-1.yml-b").touch()

    events = _run(tmp_path, [[_item("1", 1, "abc"), _item("2", 2, "abc")]])

    assert [each for each in _ends(events) if each[0] == "task-failed"] == [("task-failed", "task-1", 1)]
    assert [vm for kind, task, vm in _ends(events) if (kind, task) == ("task-done", "task-2")] == [0, 2]
    assert next(event["message"] for event in events if event["kind"] == "task-failed") == "Task: broken"
    assert "1.yml a" in _notes(tmp_path)
    assert "2.yml b" not in _notes(tmp_path)


def test_what_failed_is_tried_again_alone_before_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "fail-1.yml-b").touch()

    events = _run(tmp_path, [[_item("1", 1, "abc"), _item("2", 2, "abc")]], retries=2)

    assert [note for note in _notes(tmp_path) if not note.startswith("start")] == [
        *("1.yml a", "1.yml b", "1.yml c", "1.yml b"),
        *("2.yml a", "2.yml b", "2.yml c"),
    ]
    assert not [each for each in _ends(events) if each[0] == "task-failed"]
    assert [event["text"] for event in events if "attempt" in event] == ["ERROR executing task task-1: (1/2)\n"]


def test_a_process_that_dies_without_a_word_about_machines_fails_them_with_its_last_words(tmp_path: Path) -> None:
    program = "import sys; print('ERROR! no such module'); print('in a file'); sys.exit(4)"

    events = _run(tmp_path, [[_item("1", 1, "ab")]], ansible_playbook=[sys.executable, "-c", program])

    assert {event["message"] for event in events if event["kind"] == "task-failed"} == {"no such module in a file"}
    assert events[-1]["kind"] == "finished"


def test_a_process_that_dies_between_two_playbooks_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "crash-1.yml").touch()

    events = _run(tmp_path, [[_item("1", 1, "ab"), _item("2", 2, "ab")]])

    assert not [each for each in _ends(events) if each[0] == "task-failed"]
    assert _notes(tmp_path).count("1.yml a") == 1
    assert _notes(tmp_path).count("2.yml a") == 1


def test_items_without_a_playbook_are_done_or_fail_at_once(tmp_path: Path) -> None:
    events = _run(tmp_path, [[_item("1", 1, "ab", playbook=False), _item("2", 2, "a", playbook=False, error="bad")]])

    assert _ends(events) == [
        *[("task-started", "task-1", 0), ("task-done", "task-1", 0)],
        *[("task-started", "task-1", 1), ("task-done", "task-1", 1)],
        *[("task-started", "task-2", 0), ("task-failed", "task-2", 0)],
    ]


def test_commands_that_prepare_are_repeated_and_their_failure_ends_the_run(tmp_path: Path) -> None:
    program = "import os, sys; os.mkdir('done') if os.path.isdir('once') else sys.exit(os.mkdir('once') or 'not yet')"
    command = {"title": "Preparing", "command": [sys.executable, "-c", program], "attempts": 2, "pause": 0}

    events = _run(tmp_path, [[_item("1", 1, "a")]], prepare=[command, command])

    assert events[-1]["message"].startswith("ERROR: Preparing: FileExistsError")
    assert "not yet\n" in "".join(event.get("text", "") for event in events)
    assert not _ends(events)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    events = _run(tmp_path, [[_item("1", 1, "a")]], ansible_playbook=["/no/such/program"])

    assert events[-1]["message"] == "ERROR: program cannot be started: No such file or directory"


def test_nonsense_on_the_stream_does_no_harm(tmp_path: Path) -> None:
    nonsense = PLAYBOOK.replace(
        "for playbook in arguments[2:]:",
        'os.write(stream, b"nonsense\\n[]\\n{}\\n" + b"x" * 3000000 + b"\\n")\nfor playbook in arguments[2:]:',
    )

    events = _run(tmp_path, [[_item("1", 1, "a")]], ansible_playbook=[sys.executable, "-c", nonsense])

    assert _ends(events)[-1] == ("task-done", "task-1", 0)


def test_there_is_one_agent_for_a_folder(tmp_path: Path) -> None:
    held = agent.hold(str(tmp_path / "agent.pid"))
    assert held is not None
    (tmp_path / "job.json").write_text("{}")

    second = subprocess.run([sys.executable, "-I", "-B", AGENT, str(tmp_path)], check=False)

    assert second.returncode == agent.ALREADY_RUNNING
    os.close(held)
    assert (tmp_path / "agent.pid").read_text().split() == [str(os.getpid()), str(agent.start_time(os.getpid()))]


@pytest.mark.parametrize("job", ["", "[]", "{}", '{"format": 99}'])
def test_a_bundle_of_another_format_is_not_touched(tmp_path: Path, job: str) -> None:
    (tmp_path / "job.json").write_text(job)

    ended = subprocess.run([sys.executable, "-I", "-B", AGENT, str(tmp_path)], check=False, capture_output=True)

    assert ended.returncode == agent.UNUSABLE
    assert not (tmp_path / "events.jsonl").exists()


def test_it_is_written_for_old_interpreters() -> None:
    source = Path(AGENT).read_text()

    compile(source, AGENT, "exec", dont_inherit=True)
    import ast

    ast.parse(source, feature_version=(3, 8))
