"""A cloud for the tests, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CLOUD = Path(__file__).parents[1] / "cloud.py"


@pytest.fixture(scope="session")
def cloud() -> Iterator[str]:
    """The URL of a running cloud."""
    command = [sys.executable, str(CLOUD), "--port", "0", "--boot", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()
