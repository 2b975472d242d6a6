"""`imframework plugins`."""

import json

import pytest
from click.testing import CliRunner

from imframework.api.errors import ConfigurationError
from imframework.cli.plugins import plugins


def run(*arguments, env=None):
    return CliRunner().invoke(plugins, ["list", *arguments], catch_exceptions=False, env=env)


@pytest.fixture
def configure(tmp_path):
    """Writes an im.cfg with these options and gives its path."""

    def configure(*lines):
        path = tmp_path / "im.cfg"
        path.write_text("\n".join(["[im]", *lines, ""]))
        return str(path)

    return configure


def listed(*arguments, env=None):
    result = run("--json", *arguments, env=env)
    assert result.exit_code == 0
    return {(line["kind"], line["name"]): line for line in json.loads(result.stdout)}


def test_every_installed_plugin_is_listed_with_what_is_known_of_it(configure):
    lines = listed("-c", configure("HOOKS = webhook"))

    webhook = lines["hooks", "webhook"]
    assert webhook == {
        "kind": "hooks",
        "name": "webhook",
        "distribution": "imframework",
        "version": webhook["version"],
        "api_version": "0.1",
        "enabled": True,
        "health": "ok",
        "reason": "",
    }
    assert lines["auth", "userdb"]["enabled"]
    assert not lines["connectors", "local"]["enabled"]
    assert lines["connectors", "local"]["reason"] == "it is used only if im.cfg names it"


def test_the_table_says_the_same(configure):
    result = run("-c", configure("HOOKS = webhook, wbhook", "DISABLED_PLUGINS = connectors:dummy"))

    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    cells = {tuple(line.split(maxsplit=2)[:2]): line for line in lines}
    assert heading.split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "API", "ENABLED", "HEALTH", "REASON"]
    assert cells["connectors", "dummy"].endswith("no       not loaded     im.cfg disables it")
    assert cells["hooks", "wbhook"].endswith("yes      not installed  it is not installed (did you mean webhook?)")
    assert cells["hooks", "wbhook"].split()[2:5] == ["-", "-", "-"]


def test_the_environment_chooses_too(configure):
    lines = listed("-c", configure(), env={"IM_CONNECTORS": "local"})

    assert lines["connectors", "local"]["enabled"]
    assert not lines["connectors", "dummy"]["enabled"]


def test_a_configuration_with_which_no_service_could_start_is_no_obstacle(configure):
    path = configure(
        "DATA_DB = sqlite:///no/such/place/x.db", "REST_PORT = x", "ACTIVATE_XMLRPC = no", "HOOKS = webhook"
    )

    result = run("-c", path)

    assert result.exit_code == 0
    assert "REST_PORT" in result.stderr
    assert "webhook" in result.stdout


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing\.cfg"):
        run("-c", str(tmp_path / "missing.cfg"))
