"""What reading a document gives when not all of it could be read: for those who want every problem at once.

`text` and `json_reading` make it, `validation` finds what else is wrong with the part that was understood.
"""

from __future__ import annotations

from dataclasses import dataclass

from imframework.api.errors import Problem
from imframework.languages.radl.document import Document


@dataclass(frozen=True, slots=True)
class Reading:
    """The part of a document that was understood, and the problems of reading it, in their order.

    `partial` names the aspects, as (class, id), of which something is missing: that they are incomplete says nothing.
    `lost` is whether there may be aspects whose very name is unknown: names that nobody defines say nothing then.
    """

    document: Document
    problems: tuple[Problem, ...]
    partial: frozenset[tuple[str, str]] = frozenset()
    lost: bool = False
