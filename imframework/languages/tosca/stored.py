"""What is kept with an infrastructure that was made from a TOSCA document, so that nothing is asked for twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stored:
    """The document as it is now: template expanded, special inputs replaced, updates merged.

    `suffix` ends the names of container systems; `special` says which input came from which function; `imports` are the
    fetched type definitions, URL → text, so that outputs need no network.
    """

    text: str
    suffix: str
    special: Mapping[str, str] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stored:
        """From what `to_json` gave."""
        return cls(data["text"], data["suffix"], dict(data.get("special", {})), dict(data.get("imports", {})))
