"""Documents read back from the texts that are stored: parsed once for the several steps that follow each other."""

from __future__ import annotations

import json
from functools import lru_cache

from imframework.languages import radl, tosca

#: Documents kept, and the longest text of one in characters: together a bounded amount of memory.
KEPT, LONGEST = 64, 32 * 1024


def parsed(text: str) -> radl.Document:
    """The document of a stored text, the caller's own. Copying one is much cheaper than parsing it."""
    return _parsed(text).copy() if len(text) <= LONGEST else radl.parse(text)


@lru_cache(maxsize=KEPT)
def _parsed(text: str) -> radl.Document:
    return radl.parse(text)


def template(text: str) -> tosca.Stored:
    """The TOSCA document with what belongs to it of a stored text."""
    return tosca.Stored.from_json(json.loads(text))


def template_text(stored: tosca.Stored) -> str:
    """A TOSCA document with what belongs to it as it is stored."""
    return json.dumps(stored.to_json())
