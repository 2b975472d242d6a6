"""The audit file: one line of JSON for each thing that happened."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from imframework.api.errors import ConfigurationError
from imframework.api.hooks import InfrastructureSummary
from imframework.api.model import JSON


class AuditFile:
    """Appends to a file that others may rotate at any time: it is opened for each line."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigurationError` if the file cannot be written."""
        self._path = path
        try:
            self._append(b"")
        except OSError as error:
            raise ConfigurationError(f"EXAMPLE_AUDIT_FILE cannot be written: {error.strerror}.") from None

    def write(self, what: str, infrastructure: InfrastructureSummary, **details: JSON) -> None:
        """Add a line. Several threads may do so at once. Raises `OSError` if it is not in the file as a whole."""
        line = {
            "time": time.time(),
            "what": what,
            "infrastructure": infrastructure.id,
            "owners": infrastructure.owners,
            **details,
        }
        self._append(json.dumps(line, default=str).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        # O_APPEND and a single write: lines of several threads never get mixed.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(file, line) < len(line):
                raise OSError("the line does not fit")
        finally:
            os.close(file)
