"""The policy refuses what is too much, and everything is on record."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from imframework.api.errors import ConfigurationError, Vetoed
from imframework.api.hooks import InfrastructureSummary, MachineSummary
from imframework.api.model import JSON, Event, VMState

from imframework_example.policy import Policy

INFRASTRUCTURE = InfrastructureSummary("inf-1", "cluster", ("alice",), VMState.PENDING)
MACHINES = [MachineSummary(number, "node", "one", VMState.PENDING, flavour="small") for number in range(4)]


def policy(path: Path | None, most: int = 3) -> Policy:
    return Policy({"EXAMPLE_MAX_MACHINES": most, "EXAMPLE_AUDIT_FILE": path})


def lines(path: Path) -> list[dict[str, JSON]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_plan_within_the_limit_is_allowed_and_recorded(tmp_path: Path) -> None:
    policy(tmp_path / "audit").imframework_approve_plan(INFRASTRUCTURE, MACHINES[:3])

    (line,) = lines(tmp_path / "audit")
    assert (line["what"], line["infrastructure"], line["owners"]) == ("plan allowed", "inf-1", ["alice"])
    assert [machine["number"] for machine in line["machines"]] == [0, 1, 2]


def test_a_plan_beyond_the_limit_is_refused_and_recorded(tmp_path: Path) -> None:
    with pytest.raises(Vetoed, match="At most 3 machines may be made by one request here, and 4 are asked for"):
        policy(tmp_path / "audit").imframework_approve_plan(INFRASTRUCTURE, MACHINES)

    assert [line["what"] for line in lines(tmp_path / "audit")] == ["plan refused"]


def test_without_an_audit_file_the_limit_holds_all_the_same() -> None:
    with pytest.raises(Vetoed):
        policy(None).imframework_approve_plan(INFRASTRUCTURE, MACHINES)


def test_whatever_happens_is_recorded_in_its_order(tmp_path: Path) -> None:
    hooks = policy(tmp_path / "audit")

    hooks.imframework_before_launch(INFRASTRUCTURE, MACHINES[0])
    hooks.imframework_after_launch(INFRASTRUCTURE, MACHINES[0], "")
    hooks.imframework_before_contextualize(INFRASTRUCTURE, MACHINES[:1])
    hooks.imframework_after_contextualize(INFRASTRUCTURE, MACHINES[:1], "basic: no route to host")
    hooks.imframework_event(INFRASTRUCTURE, Event("inf-1", 7, 0.0, "state", {"vm": 0, "state": VMState.RUNNING}))

    launch, launched, allowed, configured, event = lines(tmp_path / "audit")
    assert (launch["what"], launch["cloud"], launch["flavour"]) == ("launch", "one", "small")
    assert (launched["what"], launched["machine"], launched["error"]) == ("launched", 0, "")
    assert allowed["what"] == "configuration allowed"
    assert (configured["what"], configured["error"]) == ("configured", "basic: no route to host")
    assert (event["sequence"], event["data"]) == (7, {"vm": 0, "state": "running"})


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    hooks = policy(tmp_path / "audit")
    text = "x" * 20_000

    def tell() -> None:
        for _ in range(50):
            hooks.imframework_after_launch(INFRASTRUCTURE, MACHINES[0], text)

    threads = [threading.Thread(target=tell) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [line["error"] for line in lines(tmp_path / "audit")] == [text] * 100


def test_the_file_may_be_rotated(tmp_path: Path) -> None:
    hooks = policy(tmp_path / "audit")
    hooks.imframework_before_launch(INFRASTRUCTURE, MACHINES[0])
    (tmp_path / "audit").rename(tmp_path / "audit.1")

    hooks.imframework_before_launch(INFRASTRUCTURE, MACHINES[1])

    assert [line["machine"] for line in lines(tmp_path / "audit")] == [1]


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    policy(tmp_path / "audit")

    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_a_mistake_of_the_operator(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="EXAMPLE_AUDIT_FILE cannot be written: No such file or directory"):
        policy(tmp_path / "no-such-directory" / "audit")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_what_cannot_be_recorded_is_not_allowed(tmp_path: Path) -> None:
    hooks = policy(tmp_path / "audit")
    (tmp_path / "audit").unlink()
    (tmp_path / "audit").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left"):
        hooks.imframework_approve_plan(INFRASTRUCTURE, MACHINES[:1])
