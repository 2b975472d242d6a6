"""The words of RADL that reading and writing share: keywords, names, quoting of texts, the characters allowed.

`text` reads with these definitions, `printer` writes with them, `json_form` and `validation` use them to refuse
what could be read from JSON (or built by a program) but never written as text.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from typing import Final

KEYWORDS: Final = frozenset(
    (
        *("description", "network", "ansible", "system", "configure", "contextualize", "deploy"),
        *("and", "contains", "soft", "option", "step", "with"),
    )
)

#: An id, feature name, unit or tool name: an ASCII letter, ``_`` or ``.``, then letters, digits, ``_ . -``.
NAME_PATTERN: Final = r"[A-Za-z_.][\w.\-]*+"
#: A text in single quotes; a backslash keeps the next character from ending it.
TEXT_PATTERN: Final = r"'[^'\\]*+(?:\\.[^'\\]*+)*+'"
#: A text in JSON notation after an ``@``: for what single quotes cannot hold (see `quote`).
JSON_TEXT_PATTERN: Final = r'@"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
#: Longer number literals are refused; the longest double in positional notation is shorter.
MAX_NUMBER_LENGTH: Final = 400
#: Groups within groups, counted from the outermost.
MAX_DEPTH: Final = 30
MAX_RANDOM_LENGTH: Final = 4096
#: Further ones would not help anybody, and cost whoever sends many.
MAX_PROBLEMS: Final = 50

#: What libyaml says of a text that is nested deeper than it reads at all, before our own limits are met.
PARSER_TOO_DEEP: Final = "exceeded maximum nesting depth"

#: ``@input.<name>@``, which clients replace before they send a document.
PARAMETER: Final = re.compile(r"@input\.([^@\s]{1,100})@")

_NAME = re.compile(NAME_PATTERN)
_RANDOM = re.compile(r"random\(([0-9]+)\)")
_ALPHABET = string.ascii_letters + string.digits
# An odd number of backslashes before a quote or the end: inside single quotes the last one would escape it.
_UNQUOTABLE = re.compile(r"(?<!\\)(?:\\\\)*+\\(?:'|\Z)")
_NO_RECIPE = re.compile(r"^@end", re.MULTILINE)


def name_problem(name: str) -> str:
    """Why `name` cannot be an id or a feature name; an empty string if it can."""
    if _NAME.fullmatch(name) is None:
        return "a name starts with a letter, '_' or '.' and goes on with letters, digits, '_', '.' or '-'"
    if name in KEYWORDS:
        return f"'{name}' is a reserved word"
    return ""


def text_problem(text: str) -> str:
    """Why `text` cannot be stored; an empty string if it can."""
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds half of a surrogate pair, which is not a character"
    return ""


def recipe_problem(recipe: str) -> str:
    """Why `recipe` could not be written between ``@begin`` and ``@end``; an empty string if it can."""
    if _NO_RECIPE.search(recipe):
        return "a line of a recipe cannot start with @end"
    return text_problem(recipe)


def quote(text: str, *, feature: bool = False) -> str:
    """`text` as a literal that reads back the same.

    Single quotes wherever they can hold it. They cannot when an odd number of backslashes stands before a quote or
    at the end and, as the value of a `feature`, when the text looks like ``random(8)``; then JSON notation: ``@"…"``.
    """
    if "'" in text or "\\" in text:
        if _UNQUOTABLE.search(text):
            return quote_json(text)
        return "'" + text.replace("'", "\\'") + "'"
    if feature and _RANDOM.fullmatch(text):
        return quote_json(text)
    return f"'{text}'"


def quote_json(text: str) -> str:
    """Any `text` as a literal in JSON notation: ``@"…"``."""
    return "@" + json.dumps(text, ensure_ascii=False)


def unquote(literal: str) -> str:
    """The text of a literal in single quotes: only ``\\'`` is replaced, other backslashes stay as written."""
    return literal[1:-1].replace("\\'", "'") if "\\" in literal else literal[1:-1]


def unquote_json(literal: str) -> str:
    """The text of an ``@"…"`` literal. Raises ValueError when it is not JSON."""
    text: str = json.loads(literal[1:])
    return text


def random_length(text: str) -> int | None:
    """N if `text` is ``random(N)``, which stands for that many random characters; else None.

    Raises ValueError if N is not sensible.
    """
    match = _RANDOM.fullmatch(text)
    if match is None:
        return None
    digits = match[1].lstrip("0")
    if not digits or len(digits) > 6 or int(digits) > MAX_RANDOM_LENGTH:
        raise ValueError(f"random(N) needs N between 1 and {MAX_RANDOM_LENGTH}")
    return int(digits)


def random_text(length: int) -> str:
    """`length` letters and digits from a cryptographic source, since they often serve as passwords."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def shortened(text: str, limit: int = 40) -> str:
    """`text` cut to `limit` characters, for messages that must not echo whole documents."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
