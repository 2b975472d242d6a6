"""Resumption tokens: all that is needed to go on with a list, so that nothing is kept for anybody.

A token says which list, from which record on, and what the list was like. It is good as long as the list is that, on
every replica and after a restart; asking twice with one token answers the same twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imframework_plugins.frontends.rest.oai.records import Record

#: Longest token that is looked at, in characters.
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: its arguments (dates as they were given, empty if not), the number of records before."""

    verb: str
    prefix: str
    begin: str
    end: str
    cursor: int
    fingerprint: str

    def encode(self) -> str:
        """The token as text, of characters that stand for themselves in URLs."""
        fields = [self.verb, self.prefix, self.begin, self.end, self.cursor, self.fingerprint]
        data = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Token | None:
        """The token of a text; None if it is none of ours."""
        if len(text) > _LONGEST or not text.isascii():
            return None
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            fields = json.loads(data)
        except (binascii.Error, ValueError, RecursionError):
            return None
        if not (isinstance(fields, list) and [type(field) for field in fields] == [str, str, str, str, int, str]):
            return None
        token = cls(*fields)
        return token if token.encode() == text else None


def fingerprint(records: Sequence[Record]) -> str:
    """What a list of records is recognised by."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.datestamp} {record.identifier}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
