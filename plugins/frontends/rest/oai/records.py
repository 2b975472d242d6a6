"""Templates of the catalogue as records of the protocol: each with an identifier and the day it is dated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import quote

from imframework.api.service import Template

#: No record is dated earlier.
EARLIEST: Final = date(2000, 1, 1)
_DAY: Final = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """A template with what the protocol needs to know of it."""

    identifier: str
    datestamp: date
    name: str
    metadata: Mapping[str, Sequence[str]]

    def first(self, key: str) -> str:
        """The first text of a key of the metadata; empty if there is none."""
        return next((text for text in self.metadata.get(key, ()) if text.strip()), "")


def records(templates: Iterable[Template], identifiers: str) -> list[Record]:
    """The records in the order in which they are listed. Identifiers are `identifiers` and the name of the file."""
    found = [
        Record(identifiers + quote(template.name), _datestamp(template), template.name, template.metadata)
        for template in templates
    ]
    return sorted(found, key=lambda record: (record.datestamp, record.identifier))


def _datestamp(template: Template) -> date:
    """The day the template says it was made; the earliest there is, if it says none that makes sense."""
    for text in template.metadata.get("creation_date", ()):
        if (match := _DAY.match(text.strip())) is not None:
            try:
                return max(date(int(match[1]), int(match[2]), int(match[3])), EARLIEST)
            except ValueError:
                break
    return EARLIEST
