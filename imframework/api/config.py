"""How an option of im.cfg is declared: its name, type, default, limits and help.

The framework and every plugin declare their options with `Option`; loading, checking, the sample file, the JSON
schema and the reference page are all made from these declarations by `imframework.settings`. A declaration is data:
this module parses nothing and imports nothing outside the standard library, so a plugin can declare its options in
a module that costs nothing to import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: The section of im.cfg that the framework's own options stand in.
MAIN_SECTION = "im"

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SECTION = re.compile(r"[A-Za-z][\w.-]*")


class OptionType(StrEnum):
    """What may be written after ``NAME =``, and what the program gets.

    ============  ==============================================================  =========================
    type          in the file                                                     value
    ============  ==============================================================  =========================
    TEXT          anything on the line after the first ``=``                      str
    PATH          a file or directory                                             Path, None when not set
    URL           ``scheme://host…``                                              str
    ADDRESS       an IP address or host name to listen on                         str
    INTEGER       decimal digits                                                  int
    BOOLEAN       1, yes, true, on, 0, no, false, off                             bool
    WORD          one of `Option.choices`, in any case                            str, spelt as in `choices`
    LIST          ``a, b, c`` or a JSON array of strings                          tuple of str
    CIDR_LIST     networks, written as a LIST                                     tuple of ip_network
    JSON          a JSON array of objects; one object stands for an array of one  tuple of dict
    DATA_URL      the forms of DATA_DB                                            `api.data_url.DataUrl`
    SHARED        an option that somebody else declares (see `Option.shared`)     as declared there
    ============  ==============================================================  =========================
    """

    TEXT = "text"
    PATH = "path"
    URL = "url"
    ADDRESS = "address"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    WORD = "word"
    LIST = "list"
    CIDR_LIST = "cidr list"
    JSON = "json"
    DATA_URL = "database url"
    SHARED = "shared"


_DEFAULTS: Mapping[OptionType, type] = {
    OptionType.INTEGER: int,
    OptionType.BOOLEAN: bool,
    OptionType.LIST: tuple,
    OptionType.CIDR_LIST: tuple,
    OptionType.JSON: tuple,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of im.cfg.

    `default` has the plain form of the value: str for everything written as one word or text (``""`` means *not
    set*), int, bool, or a tuple of str (of dict for JSON). `help` is one or more whole sentences for the operator;
    `unit` is ``s``, ``bytes``, ``VMs`` and the like.

    `minimum` and `maximum` limit an INTEGER, `choices` lists the words of a WORD. A value outside them stops the
    start, unless there is a `fallback`: then that is used instead and a warning is given.

    `example` is a value to show where there is no telling default. A `secret` value is never shown anywhere.
    `unquote` strips one pair of quotes around the value; otherwise quotes belong to it. `deprecated` says what
    became of an option that is still accepted without effect; `since` is the version that brought it.

    Raises `ValueError` when the declaration contradicts itself.
    """

    name: str
    type: OptionType
    default: Any
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    fallback: int | str | None = None
    example: str | None = None
    secret: bool = False
    unquote: bool = False
    deprecated: str = ""
    since: str = ""
    section: str = MAIN_SECTION

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Option name {self.name!r}: only capitals, digits and '_', beginning with a letter.")
        if not _SECTION.fullmatch(self.section):
            raise ValueError(f"Option {self.name}: {self.section!r} cannot be the name of a section.")
        object.__setattr__(self, "type", OptionType(self.type))
        if self.type is OptionType.SHARED:
            return
        expected = _DEFAULTS.get(self.type, str)
        if type(self.default) is not expected:
            raise ValueError(f"Option {self.name}: the default of a {self.type} option must be {expected.__name__}.")
        if (self.type is OptionType.WORD) != bool(self.choices):
            raise ValueError(f"Option {self.name}: choices belong to a word option, and a word option needs them.")
        if self.choices and self.default not in self.choices:
            raise ValueError(f"Option {self.name}: the default {self.default!r} is not among the choices.")
        if self.type is not OptionType.INTEGER and (self.minimum, self.maximum) != (None, None):
            raise ValueError(f"Option {self.name}: only an integer option has a minimum or maximum.")

    @classmethod
    def shared(cls, name: str, section: str = MAIN_SECTION) -> Option:
        """An option that the framework declares and a plugin wants to be given too (VERIFI_SSL, USER_DB …)."""
        return cls(name, OptionType.SHARED, None, "", section=section)
