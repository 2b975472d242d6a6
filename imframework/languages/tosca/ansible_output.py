"""What the tasks of a configuration answered, read from its log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_STEP: Final = re.compile(r"Launch task: (\S+)")
_TASK: Final = re.compile(r"TASK \[([^\n]*)\]")
_RESULT: Final = re.compile(r"^\s*(\w+): \[[^\]\n]*\]", re.MULTILINE)
_DECODER: Final = json.JSONDecoder()


def ansible_output(log: str) -> dict[str, Any]:
    """Step → ``tasks`` → task → ``state`` and ``output``; the first of several tasks of one name counts."""
    steps: dict[str, Any] = {}
    for step, text in _sections(_STEP, log):
        tasks = steps.setdefault(step, {"tasks": {}})["tasks"]
        for task, answer in _sections(_TASK, text):
            tasks.setdefault(task, _result(answer))
    return steps


def _sections(heading: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    found = list(heading.finditer(text))
    for index, match in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(text)
        yield match[1], text[match.end() : end]


def _result(answer: str) -> dict[str, Any]:
    match = _RESULT.search(answer)
    if match is None:
        return {"state": None, "output": None}
    rest = answer[match.end() :]
    arrow = re.match(r"[^\n]*?=> (?=\{)", rest)
    return {"state": match[1], "output": None if arrow is None else _message(rest[arrow.end() :])}


def _message(text: str) -> Any:
    """``msg`` of the JSON that `text` starts with; the raw text if that cannot be read."""
    try:
        decoded, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return text.partition("\n\n")[0].strip()
    return decoded.get("msg")
