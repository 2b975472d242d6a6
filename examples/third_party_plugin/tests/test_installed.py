"""The host finds the plugins of this distribution and can use them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.mark.parametrize(("kind", "name"), [("connectors", "example"), ("hooks", "example-policy")])
def test_a_plugin_is_listed_in_good_health(tmp_path: Path, kind: str, name: str) -> None:
    config = tmp_path / "im.cfg"
    config.write_text("[im]\nCONNECTORS = example\nHOOKS = example-policy\n")
    program = str(Path(sys.executable).with_name("imframework"))

    listed = json.loads(subprocess.check_output([program, "plugins", "list", "--json", "-c", str(config)]))

    (line,) = [line for line in listed if (line["kind"], line["name"]) == (kind, name)]
    assert (line["distribution"], line["version"]) == ("imframework-example", version("imframework-example"))
    assert (line["enabled"], line["health"], line["reason"]) == (True, "ok", "")
