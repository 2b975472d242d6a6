"""A machine as the service describes it in RADL JSON, in the words of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imframework.api.model import JSON
from imframework.languages.radl import is_secret


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """One machine: its number and the features of its system."""

    number: int
    system: Mapping[str, JSON] = field(repr=False)

    @classmethod
    def of(cls, number: int, description: Sequence[Mapping[str, JSON]]) -> MachineInfo:
        """Out of what `Client.info` returns."""
        systems = (part for part in description if part.get("class") == "system")
        return cls(number, next(systems, {}))

    def text(self, feature: str) -> str:
        """A feature as text; empty if it has none of that name."""
        value = self.system.get(feature)
        return "" if value is None else str(value)

    @property
    def name(self) -> str:
        """Name of the system it is one of."""
        return self.text("id")

    @property
    def state(self) -> str:
        """Its state."""
        return self.text("state")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, each once, in the order of its interfaces."""
        numbers = sorted(
            int(parts[1])
            for key in self.system
            if (parts := key.split("."))[0] == "net_interface" and parts[2:] == ["ip"] and parts[1].isdecimal()
        )
        return tuple(dict.fromkeys(self.text(f"net_interface.{number}.ip") for number in numbers))

    @property
    def cloud(self) -> str:
        """Type of the cloud it is in."""
        return self.text("provider.type")


def without_secrets(description: Sequence[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """A description as it may be shown on a screen: without passwords and keys."""
    return [{name: value for name, value in part.items() if not is_secret(name)} for part in description]
