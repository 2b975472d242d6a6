"""When each of many things is to be looked at next. Asking costs nothing for those that are not due."""

from __future__ import annotations

import heapq


class Schedule:
    """Keys with the instant at which they are due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  #: may hold what is out of date, which is skipped

    def __contains__(self, key: str) -> bool:
        return key in self._due

    def set(self, key: str, instant: float) -> None:
        """Have a key looked at then, instead of when it was to be before."""
        self._due[key] = instant
        heapq.heappush(self._heap, (instant, key))

    def take(self, now: float) -> list[str]:
        """The keys that are due, which are forgotten."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            instant, key = heapq.heappop(self._heap)
            if self._due.get(key) == instant:
                del self._due[key]
                due.append(key)
        return due

    def next(self) -> float | None:
        """When the next one is due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
