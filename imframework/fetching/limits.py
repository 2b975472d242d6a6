"""How much may be fetched, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one fetch, and of all that one document makes necessary. Times in seconds.

    `timeout` is for everything from the name look-up to the last byte, redirects included. `max_bytes` counts what a
    file has when it is decompressed. A document's last fetch may begin just before `document_time` has passed.
    """

    timeout: float = 20.0
    max_bytes: int = 1024 * 1024
    redirects: int = 5
    document_time: float = 60.0
    document_files: int = 300
    document_characters: int = 16 * 1024 * 1024
