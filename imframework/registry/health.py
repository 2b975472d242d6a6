"""How a plugin is, and why: the words of `imframework plugins list`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from imframework.api.errors import IMError
from imframework.api.redaction import redact

_MAX_REASON = 300
#: The directories of an absolute path (not those of a URL).
_DIRECTORIES = re.compile(r"(?<![\w:/.])/(?:[^\s'\"():,/]+/)+")


class Health(StrEnum):
    """How a plugin is."""

    OK = "ok"
    NOT_LOADED = "not loaded"  #: nothing is wrong as far as is known: it has not been needed
    NOT_INSTALLED = "not installed"  #: im.cfg names it, but there is no such plugin
    BROKEN = "broken"  #: it cannot be imported, started, or understood
    INCOMPATIBLE = "incompatible"  #: it was made for another version of the plugin API
    MISSING_DEPENDENCY = "missing dependency"
    CONFLICT = "conflict"  #: something else claims the same name, title or URL scheme
    UNHEALTHY = "unhealthy"  #: it runs, but does not answer


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a plugin cannot be used. `reason` is a clause that goes on from "The plugin …: "."""

    health: Health
    reason: str


def describe(error: BaseException) -> str:
    """An exception of a plugin in one line, for users: without directories, secrets or a backtrace."""
    if isinstance(error, IMError):
        text = str(error)
    elif isinstance(error, SystemExit):
        text = f"it ended the program with sys.exit({error.code!r})"
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    line = " ".join(redact(_DIRECTORIES.sub("", text)).split())
    return line if len(line) <= _MAX_REASON else line[: _MAX_REASON - 1] + "…"
