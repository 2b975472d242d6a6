"""Fixtures of the RADL tests: the vectors in tests/vectors/radl, and the seed of the generated examples."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

# Drawn once, shown at the end of the run, and given back through the environment to repeat it.
os.environ.setdefault("RADL_HYPOTHESIS_SEED", str(secrets.randbits(32)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"RADL_HYPOTHESIS_SEED={os.environ['RADL_HYPOTHESIS_SEED']} (not derandomized)")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the example documents."""
    return Path(__file__).parents[3] / "vectors" / "radl"
