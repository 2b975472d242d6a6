"""What is new in a configuration log that is read again and again.

The log is one text: failures first, then dated lines about the whole, then a block for each machine, which ends with
a ruler. It grows in all three places at once, so that what is new is not simply its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLOCK = re.compile(r"^VM (\d+):\n(.*?)^\*{75}\n", re.MULTILINE | re.DOTALL)
_DATED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: ", re.MULTILINE)


class LogFollower:
    """Remembers what was shown of a log."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def new_lines(self, log: str) -> Iterator[str]:
        """The lines that were not there before; those of a machine begin with ``VM <number> | ``."""
        failures, *streams = _streams(log)
        for prefix, text in streams:
            before = self._shown.get(prefix, "")
            if before.endswith("\n") and not text.startswith(before):
                before = before[:-1]  # a block always ends with a line end, also where the line goes on
            yield from _prefixed(prefix, text[len(before) :] if text.startswith(before) else text)
            self._shown[prefix] = text
        prefix, text = failures
        known = set(self._shown.get(prefix, "").splitlines())
        yield from (f"{prefix}{line}" for line in text.splitlines() if line not in known)
        self._shown[prefix] = text


def _prefixed(prefix: str, text: str) -> Iterator[str]:
    return (prefix + line for line in text.removeprefix("\n").splitlines())


def _streams(log: str) -> Iterator[tuple[str, str]]:
    """The failures, and the parts that each grow at their end only, by what their lines begin with when shown."""
    blocks = list(_BLOCK.finditer(log))
    head = log[: blocks[0].start()] if blocks else log
    dated = _DATED.search(head)
    middle = dated.start() if dated else len(head)
    yield "! ", head[:middle]
    yield "", head[middle:]
    for block in blocks:
        yield f"VM {block[1]} | ", block[2]
