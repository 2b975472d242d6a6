"""The options of this front end alone, as its modules use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """See the section *XML-RPC API* of the options reference."""

    json_machines: bool

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        """The settings that typed options say."""
        return cls(json_machines=options["VMINFO_JSON"])
