"""`imframework config`."""

import json

import pytest
from click.testing import CliRunner

from imframework.cli.config import config
from imframework.settings.loader import check_file


def run(*arguments):
    return CliRunner().invoke(config, arguments, catch_exceptions=False)


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "im.cfg"
    path.write_text(f"[im]\nDATA_DB = {tmp_path}/x\nREST_PROT = 1\nREST_PORT = x\nINF_CACHE_TIME = 5\n")
    return path


def test_the_sample_that_is_printed_passes_the_check(tmp_path):
    result = run("sample")
    path = tmp_path / "im.cfg"
    path.write_text(result.stdout.replace("#DATA_DB = ", f"DATA_DB = {tmp_path}/x\n#"))

    assert result.exit_code == 0
    assert check_file(path) == []
    checked = run("check", str(path))
    assert (checked.exit_code, checked.stdout, checked.stderr) == (0, "", f"{path}: 0 errors, 0 warnings\n")


def test_the_schema_is_json():
    result = run("schema")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["properties"]["im"]["properties"]["REST_PORT"]["maximum"] == 65535


def test_a_check_names_file_line_severity_and_option(broken):
    result = run("check", str(broken))

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{broken}:3: error: Unknown option in the IM config file. Ignoring it: REST_PROT (did you mean REST_PORT?)",
        f"{broken}:4: error: REST_PORT: 'x' is not allowed (allowed: an integer, at least 0, at most 65535)",
        f"{broken}:5: warning: INF_CACHE_TIME: is meant for replicas that share a database, which an SQLite file in "
        "DATA_DB cannot be",
    ]
    assert result.stderr == f"{broken}: 2 errors, 1 warnings\n"


def test_a_check_can_be_read_by_a_program(broken):
    result = run("check", "--json", str(broken))

    assert result.exit_code == 1
    assert json.loads(result.stdout)[1] == {
        "file": str(broken),
        "line": 4,
        "severity": "error",
        "kind": "value",
        "option": "REST_PORT",
        "message": "'x' is not allowed",
        "hint": "allowed: an integer, at least 0, at most 65535",
    }


def test_warnings_alone_are_no_failure(broken):
    broken.write_text(f"[im]\nDATA_DB = {broken.parent}/absent/x\n")

    result = run("check", str(broken))

    assert result.exit_code == 0
    assert ":2: warning: DATA_DB:" in result.stdout


def test_a_file_that_is_not_there_fails_the_check(tmp_path):
    result = run("check", str(tmp_path / "absent.cfg"))

    assert result.exit_code == 1
    assert "absent.cfg: error: cannot be read: No such file" in result.stdout


def test_the_environment_does_not_matter_to_a_check(broken, monkeypatch):
    monkeypatch.setenv("IM_REST_PORT", "5")

    assert run("check", str(broken)).exit_code == 1
