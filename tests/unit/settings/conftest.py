"""im.cfg files to load, with a database directory that is really there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imframework.settings.loader import load


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write an im.cfg with these lines under [im] (or whole, if it begins with a section)."""

    def write_file(*lines: str, path: Path = tmp_path / "im.cfg") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines)
        path.write_text(text if text.startswith("[") else f"[im]\n{text}\n", encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def loaded(write, tmp_path):
    """Load an im.cfg with these lines (and a usable DATA_DB): settings and the texts of all problems."""

    def load_lines(*lines: str, environ=None, **plugin_options):
        path = write(*lines)
        environ = {"IM_DATA_DB": str(tmp_path / "inf.dat"), **(environ or {})}
        settings, problems = load(path, environ, plugin_options, system_directory=tmp_path / "etc-im")
        return settings, [str(problem).removeprefix(f"{path}:") for problem in problems]

    return load_lines
