"""The directory that is one instance's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imframework.api.errors import ConfigurationError
from imframework.server.state_dir import StateDir


def test_the_name_of_an_instance_stays_the_same(tmp_path: Path) -> None:
    with StateDir(tmp_path / "deep/state") as first:
        name = first.instance
    with StateDir(tmp_path / "deep/state") as again:
        assert again.instance == name
    with StateDir(tmp_path / "other") as other:
        assert other.instance != name


def test_it_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with StateDir(tmp_path / "state"), pytest.raises(ConfigurationError, match="another instance of the service"):
        StateDir(tmp_path / "state")
    StateDir(tmp_path / "state").close()


def test_others_can_pass_through_and_not_look_into_it(tmp_path: Path) -> None:
    with StateDir(tmp_path / "state") as state:
        assert stat.S_IMODE(state.path.stat().st_mode) == 0o711
        assert stat.S_IMODE(state.directory("runs").stat().st_mode) == 0o700
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in state.path.iterdir())


def test_the_access_of_a_directory_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o700)
    with StateDir(tmp_path / "state") as state:
        assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_a_name_that_was_lost_with_the_power_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "instance").touch()
    with StateDir(tmp_path) as state:
        assert state.instance
        assert state.instance == (tmp_path / "instance").read_text().strip()


@pytest.mark.parametrize("obstacle", ["file", "loop", "name", "instance", "runs"])
def test_a_place_that_cannot_be_used_is_an_error_that_names_the_option(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / ("x" * 300 if obstacle == "name" else "state")
    if obstacle == "file":
        path.touch()
    elif obstacle == "loop":
        path.symlink_to(path)
    elif obstacle in ("instance", "runs"):
        path.mkdir()
        (path / obstacle).symlink_to(path / "nowhere/at/all")
        (path / "instance.new").mkdir()
    with pytest.raises(ConfigurationError, match=r"STATE_DIR: .* cannot be used: "), StateDir(path) as state:
        state.directory("runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_directory_of_somebody_else_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o500)
    with pytest.raises(ConfigurationError, match=r"STATE_DIR: .* cannot be used: "):
        StateDir(tmp_path / "state")
