"""The hooks around contextualization, as the example hears them, with machines that Ansible really configures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.xdist_group("third-party-plugins"),
    pytest.mark.skipif(not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin"), reason="needs sshd"),
]

DOCUMENT = """
system node (cpu.count >= 1)
configure node (
@begin
---
- tasks:
    - name: Say which machine this is
      ansible.builtin.{task}
@end
)
deploy node 2
"""


def audit(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def serve(example, configure, tmp_path):
    """Starts a service with local machines and the policy."""
    config = configure(
        CONNECTORS="local",
        LOCAL_DIR=tmp_path / "machines",
        LOCAL_NETWORK="127.93.0.0/16",
        HOOKS="example-policy",
        EXAMPLE_AUDIT_FILE=tmp_path / "audit",
    )
    return lambda: example.serve(config, "id = here; type = Local")


@pytest.mark.parametrize(
    ("task", "state", "error"),
    [("debug: msg=here", "configured", ""), ("fail: msg=no-luck", "unconfigured", "no-luck")],
)
def test_what_is_allowed_and_what_came_of_it_is_on_record(serve, tmp_path, task, state, error):
    with serve() as api:
        infrastructure = api.create(DOCUMENT.format(task=task))
        try:
            api.wait_for(infrastructure, state)
        finally:
            assert api.ask("DELETE", infrastructure).status == 200

    (allowed,) = [line for line in audit(tmp_path / "audit") if line["what"] == "configuration allowed"]
    (ended,) = [line for line in audit(tmp_path / "audit") if line["what"] == "configured"]
    assert [(machine["number"], machine["cloud"]) for machine in allowed["machines"]] == [(0, "here"), (1, "here")]
    assert ended["machines"] == allowed["machines"]
    assert error in ended["error"]
    assert bool(ended["error"]) == bool(error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_configuration_that_cannot_be_recorded_is_refused_and_nothing_runs(serve, tmp_path):
    mark = tmp_path / "it-ran"
    with serve() as api:
        infrastructure = api.create(DOCUMENT.format(task="debug: msg=here"))
        try:
            api.wait_for(infrastructure, "configured")
            (tmp_path / "full").symlink_to("/dev/full")
            (tmp_path / "full").replace(tmp_path / "audit")  # in one step: the plugin may be about to write
            again = DOCUMENT.format(task=f"file: path={mark} state=touch").replace("deploy node 2", "")
            assert api.ask("PUT", f"{infrastructure}/reconfigure", again).status == 200
            api.wait_for(infrastructure, "unconfigured")
            assert "The hook plugin example-policy cannot decide" in api.ask("GET", f"{infrastructure}/contmsg").text
        finally:
            assert api.ask("DELETE", infrastructure).status == 200
    assert not mark.exists()
