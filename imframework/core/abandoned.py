"""Creations that were given up and have not ended: a thread of ours may still make something.

What they make is entered in the ledger when they answer (`Workbench.late`). Until then it is known here that they may,
so that nothing is declared gone too early. This is memory of the process: with it die the threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Calls:
    number: int
    since: float


class Abandoned:
    """Such calls, by infrastructure and key of the ledger."""

    def __init__(self) -> None:
        self._calls: dict[str, dict[str, _Calls]] = {}

    def add(self, infrastructure: str, key: str) -> None:
        """A call has been given up."""
        calls = self._calls.setdefault(infrastructure, {})
        calls[key] = _Calls(calls[key].number + 1 if key in calls else 1, time.time())

    def ended(self, infrastructure: str, key: str) -> None:
        """One of them has ended."""
        calls = self._calls.get(infrastructure, {})
        known = calls.get(key)
        if known is None:
            return
        if known.number > 1:
            calls[key] = _Calls(known.number - 1, known.since)
        else:
            del calls[key]
            if not calls:
                del self._calls[infrastructure]

    def of(self, infrastructure: str) -> Mapping[str, float]:
        """What is still going on for an infrastructure: key to the instant at which it was given up."""
        return {key: calls.since for key, calls in self._calls.get(infrastructure, {}).items()}
