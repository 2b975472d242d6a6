"""What is loaded when."""

from __future__ import annotations

import subprocess
import sys


def test_paramiko_is_loaded_by_the_first_connection_only() -> None:
    check = "import sys, imframework.remote, imframework.contextualization; sys.exit('paramiko' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
