"""Secrets taken out of text that somebody may read: log lines, errors, events, backtraces.

`redact` knows the shapes in which secrets travel here, not the secrets themselves: headers, tokens, ``name = value``
pairs of authorization data, JSON and YAML, private keys, logins in URLs. Where the end of a secret is in doubt, more
is taken rather than less. It is the last line of defence: code that knows a value to be secret does not print it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What stands in the place of a secret.
MASK = "***"

#: What makes the name of a key, option, variable or header the name of a secret …
_NAME = (
    r"(?:password|passwd|passphrase|\bpass\b|secret|token|authorization|cookie|private[_-]?key|api[_-]?key"
    r"|access[_-]?key|ssh_pass|become_pass|sudo_pass|vault_pass|infrastructure_auth)"
    # … unless it goes on to say that it is only about one: SECRET_KEY_FILE, token_url.
    r"(?![\w.-]{0,40}[_-](?:files?|path|dir|url|uri|endpoint|type|name|expir\w{0,8}|ttl|timeout|lifetime)\b)"
)
#: Each secret name has one of these in it: most text has none, and this is found out much faster.
_PARTS_OF_NAMES = ("pass", "secret", "token", "key", "auth", "cookie")
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)

# Quantifiers are bounded, or what follows them cannot fail for long, so that no text makes the search slow.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)", re.DOTALL
)
_PAIR = re.compile(
    rf"""
    (?P<name> {_NAME} [\w.-]{{0,40}} )
    (?:
        # A whole element of JSON, YAML or a printed dict ends at its closing quote; anything else with the line.
        (?P<colon> \\{{0,4}} ["']? \s{{0,8}} :[ \t]{{0,8}}+ (?! (?:null|None|true|false) (?:[\s,}}\])]|$) ) )
        (?: (?: "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.|'')*' ) (?= [ \t]{{0,8}} (?:[,;}}\])]|$) ) | [^\n]+ )
    |
        # A pair of authorization data ends at the next ';' outside quotes.
        (?P<equals> \\{{0,4}} ["']? \s{{0,8}} =>?[ \t]{{0,8}} )
        (?: "(?:[^"\\\n]|\\.)*"? | '(?:[^'\\\n]|\\.)*'? | [^;\n"'] )+
    |
        (?P<element> > ) [^<]+
    )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_BEARER = re.compile(r"\b(bearer)\s{1,8}(?!tokens?(?:\s|$))[^\s'\",;]+", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")
_WORD_WITH_LOGIN = re.compile(r"\S+")


def redact(text: str) -> str:
    """`text` with every secret in a known shape replaced by `MASK`."""
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(MASK, text)
    folded = text.casefold()
    if any(part in folded for part in _PARTS_OF_NAMES):
        text = _PAIR.sub(_masked_pair, text)
    if "://" in text and "@" in text:
        text = _WORD_WITH_LOGIN.sub(_masked_login, text)
    if "bearer" in folded:
        text = _BEARER.sub(rf"\1 {MASK}", text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    return text


def redact_data(data: Any, name: str = "") -> Any:
    """A copy of JSON-like `data` (with `name`, if it is the value of something) without secrets."""
    if isinstance(data, Mapping):
        return {key: redact_data(value, str(key)) for key, value in data.items()}
    if data is None or isinstance(data, bool):
        return data
    if name and _SECRET_NAME.search(name):
        return MASK
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, list | tuple | set | frozenset):
        return [redact_data(item) for item in data]
    return data


def _masked_pair(match: re.Match[str]) -> str:
    return f"{match['name']}{match['colon'] or match['equals'] or match['element']}{MASK}"


def _masked_login(match: re.Match[str]) -> str:
    """``scheme://user:***@host``; the password goes from the first ``:`` to the last ``@`` of the word."""
    scheme, _, rest = match[0].partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}://{user}:{MASK}@{place}" if at and colon else match[0]
