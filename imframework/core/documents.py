"""Documents read back from the texts that are stored: parsed once for the several steps that follow each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import yaml

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


def title(text: str) -> str:
    """What a TOSCA document, as it is stored, calls itself: its name, or else the name of its icon. Takes a while."""
    about = metadata(template(text).text) or {}
    name = about.get("template_name")
    if isinstance(name, str | int | float):
        return str(name)
    icon = about.get("icon")
    return PurePosixPath(icon.partition("?")[0]).stem if isinstance(icon, str) else ""


def metadata(text: str) -> Mapping[str, Any] | None:
    """The metadata of a TOSCA document; None if the text is not one."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - the safe loader, in C
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    found = document.get("metadata")
    return found if isinstance(found, dict) else {}


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
