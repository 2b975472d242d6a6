"""Files that the operator put beside the service, by their path in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imframework.fetching.errors import FetchFailed


@dataclass(frozen=True, slots=True)
class ArtifactFolder:
    """Texts of at most `max_bytes` below `directory`. No path leads out of it, symbolic links included."""

    directory: Path
    max_bytes: int = 1024 * 1024

    def __call__(self, path: str) -> str | None:
        """The text of the file at a relative path; None if there is none. Raises FetchFailed."""
        try:
            file = (self.directory / path).resolve(strict=True)
            if not file.is_relative_to(self.directory.resolve()) or not file.is_file():
                return None
            with file.open("rb") as opened:
                data = opened.read(self.max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL
            return None
        except (OSError, RuntimeError):  # RuntimeError: symbolic links in a circle
            raise FetchFailed("the service cannot read this file in its artifact folder", path) from None
        if len(data) > self.max_bytes:
            raise FetchFailed(f"it has more than {self.max_bytes} bytes", path)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FetchFailed(f"it is not UTF-8 text (byte {error.start + 1})", path) from None
