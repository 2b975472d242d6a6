"""The commands as far as they need no service: usage, options, exit codes."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from imframework.cli.main import COMMANDS, cli

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def run(tmp_path):
    """Runs a command in an empty directory without any setting of the environment."""

    def run(*arguments, env=None):
        clean = {"IMFRAMEWORK_URL": None, "IMFRAMEWORK_AUTH_FILE": None, "XDG_STATE_HOME": str(tmp_path / "state")}
        return CliRunner(env={**clean, **(env or {})}).invoke(cli, [str(each) for each in arguments])

    return run


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "a.radl"
    path.write_text("system a ()\ndeploy a @input.count@\n")
    return path


@pytest.fixture
def auth(tmp_path):
    path = tmp_path / "auth.dat"
    path.write_text("type = InfrastructureManager; username = u; password = p\n")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    result = run(command, "-h")

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_without_an_authorization_file_the_ways_to_give_one_are_named(run):
    result = run("list")

    assert result.exit_code == 2
    for way in ("--auth-file", "IMFRAMEWORK_AUTH_FILE", "--local"):
        assert way in result.stderr


def test_local_and_a_service_elsewhere_exclude_each_other(run, auth):
    for option in (("--url", NOWHERE), ("--auth-file", auth), ("--ca-file", auth), ("--certificate", auth)):
        result = run("list", "--local", *option)
        assert result.exit_code == 2
        assert f"leave out {option[0]}" in result.stderr


def test_a_parameter_without_a_value_is_named_and_nothing_is_sent(run, document, auth):
    result = run("deploy", document, "--url", NOWHERE, "--auth-file", auth)

    assert result.exit_code == 2
    assert "without a value: count" in result.stderr


def test_the_environment_gives_url_and_authorization_file(tmp_path, auth, document):
    """As a process of its own: the exit code is that of `main`."""
    process = subprocess.run(
        [sys.executable, "-m", "imframework.cli", "deploy", document, "--param", "count=1"],
        env={"PATH": "/usr/bin:/bin", "IMFRAMEWORK_URL": NOWHERE, "IMFRAMEWORK_AUTH_FILE": str(auth)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert process.returncode == 2
    assert process.stdout == ""
    assert f"{NOWHERE} cannot be reached" in process.stderr
    assert "It may have been made all the same: imframework list" in process.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy",),
        ("deploy", "no-such-file.radl"),
        ("show",),
        ("show", "id", "--secrets"),
        ("reboot", "id"),
        ("remove", "id"),
        ("reconfigure", "id", "--param", "a=b"),
        ("owners", "id", "--add", __file__, "--set", __file__),
        ("images", "cloud", "--filter", "x"),
        ("stats", "--since", "yesterday"),
        ("ssh", "id", "first"),
        ("logs", "id", "--vm", "x"),
        ("destroy",),
        ("no-such-command",),
    ],
)
def test_wrong_usage_ends_with_2(run, arguments):
    assert run(*arguments).exit_code == 2


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "imframework.cli", "list", "--local"],
        env={"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": "/dev/null"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert process.returncode == 2
    assert process.stderr == "Error: /dev/null/imframework cannot be made: Not a directory\n"
