"""Reading what an agent writes, in a folder where recipes can write too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from imframework.contextualization import reports
from imframework.contextualization.reports import EventReader, TooMuch
from imframework.core.ports import Progress, Report


def _write(folder: Path, *events: object) -> None:
    with (folder / "events.jsonl").open("a") as file:
        for event in events:
            file.write(event if isinstance(event, str) else json.dumps(event) + "\n")


def _log(sequence: int, text: str = "x", vm: int | None = 0) -> dict[str, object]:
    return {"seq": sequence, "kind": "log", "vm": vm, "text": text}


def test_events_are_reported_once_as_they_appear(tmp_path: Path) -> None:
    reader = EventReader(tmp_path, 0, {0})
    assert reader.read() == []

    _write(tmp_path, _log(1), {"seq": 2, "kind": "task-failed", "vm": 0, "task": "t", "message": "m"}, '{"seq": 3, "ki')
    assert reader.read() == [
        Report(1, Progress.LOG, 0, text="x"),
        Report(2, Progress.TASK_FAILED, 0, task="t", message="m"),
    ]
    assert reader.read() == []

    _write(tmp_path, 'nd": "finished", "message": ""}\n')
    assert reader.read() == [Report(3, Progress.FINISHED)]
    assert reader.finished


def test_what_is_known_is_not_repeated(tmp_path: Path) -> None:
    _write(tmp_path, _log(1), _log(2), {"seq": 3, "kind": "finished", "message": ""})

    reader = EventReader(tmp_path, 3, {0})

    assert reader.read() == []
    assert reader.finished


@pytest.mark.parametrize(
    "forged",
    [
        "not json\n",
        "[]\n",
        "null\n",
        "1\n",
        "[" * 5000 + "\n",
        '{"seq": 5}\n',
        {"seq": "5", "kind": "log"},
        {"seq": 5.5, "kind": "log"},
        {"seq": 1 << 60, "kind": "log", "text": "x"},
        {"seq": 5, "kind": "nonsense"},
        {"seq": 5, "kind": "log", "vm": 99, "text": "x"},
        {"seq": 5, "kind": "log", "vm": [], "text": "x"},
        {"seq": 5, "kind": "log", "vm": 0, "text": {}},
        {"seq": 5, "kind": "task-done", "vm": None, "task": "t"},
    ],
)
def test_forged_lines_are_passed_over(tmp_path: Path, forged: object) -> None:
    _write(tmp_path, _log(1), forged, _log(6))

    assert [report.sequence for report in EventReader(tmp_path, 0, {0}).read()] == [1, 6]


def test_control_characters_do_not_reach_anybodys_terminal(tmp_path: Path) -> None:
    _write(tmp_path, _log(1, "a\x1b[31m\x00b\tc\nd é 漢"), '{"seq": 2, "kind": "log", "vm": 0, "text": "\\ud800x"}\n')

    texts = [report.text for report in EventReader(tmp_path, 0, {0}).read()]

    assert texts == ["a[31mb\tc\nd é 漢", "?x"]


def test_links_and_pipes_in_place_of_the_file_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    _write(tmp_path, _log(1))
    (tmp_path / "events.jsonl").rename(secret)
    path = tmp_path / "events.jsonl"

    path.symlink_to(secret)
    assert EventReader(tmp_path, 0, {0}).read() == []
    path.unlink()
    os.mkfifo(path)
    assert EventReader(tmp_path, 0, {0}).read() == []
    path.unlink()
    path.mkdir()
    assert EventReader(tmp_path, 0, {0}).read() == []


def test_a_run_that_writes_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_LONGEST_FILE", 100)
    _write(tmp_path, _log(1, "x" * 200))

    with pytest.raises(TooMuch):
        EventReader(tmp_path, 0, {0}).read()


def test_a_line_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_LONGEST_LINE", 100)
    _write(tmp_path, "x" * 200)

    with pytest.raises(TooMuch):
        EventReader(tmp_path, 0, {0}).read()
