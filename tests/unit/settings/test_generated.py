"""The sample file, the schema and the reference page: made from the declarations, and true."""

import json
import re

import pytest
from click.testing import CliRunner

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue import Catalogue
from imframework.settings.environment import variables
from imframework.settings.loader import check_file, load
from imframework.settings.reference import documents, main, options_page, own_plugin_options
from imframework.settings.sample import SHIPPED, sample
from imframework.settings.schema import schema
from imframework.settings.values import as_text

PLUGIN = {
    "connectors dummy": (
        Option("DUMMY_LATENCY", OptionType.INTEGER, 0, "Latency of <each> call.", unit="ms", since="0.1.0"),
        Option("SEED", OptionType.TEXT, "*_*", "Seed.", section="Dummy"),
        Option.shared("VERIFI_SSL"),
    )
}


@pytest.fixture
def catalogue():
    return Catalogue(PLUGIN)


def test_the_sample_loads_without_a_word_and_sets_only_what_is_shipped(catalogue, tmp_path):
    path = tmp_path / "im.cfg"
    path.write_text(sample(catalogue))

    settings, problems = load(path, {"IM_DATA_DB": str(tmp_path / "x")}, PLUGIN, system_directory=tmp_path)

    assert problems == []
    set_in_file = {name: str(getattr(settings, name)) for _, name in settings.origins if name != "DATA_DB"}
    assert set_in_file == SHIPPED


def test_every_line_of_the_sample_that_is_commented_out_has_the_default(catalogue, tmp_path):
    path = tmp_path / "im.cfg"
    path.write_text(re.sub(r"^#(?=[A-Z_]+ =)", "", sample(catalogue), flags=re.MULTILINE))
    defaults, _ = load(
        None,
        {"IM_PATH": str(tmp_path / "none"), "IM_DATA_DB": str(tmp_path / "x")},
        PLUGIN,
        system_directory=tmp_path / "none",
    )

    settings, problems = load(path, {"IM_DATA_DB": str(tmp_path / "x")}, PLUGIN, system_directory=tmp_path)

    assert problems == []
    differing = {
        option.name
        for option in catalogue
        if getattr(settings.section(option.section), option.name)
        != getattr(defaults.section(option.section), option.name)
    }
    assert differing == set(SHIPPED)


def test_the_sample_explains_every_option_that_has_an_effect(catalogue):
    text = sample(catalogue)
    shown = re.findall(r"^#?([A-Z_]+) =", text, flags=re.MULTILINE)

    assert sorted(shown) == sorted(option.name for option in catalogue if not option.deprecated)
    assert text.index("[im]") < text.index("#DUMMY_LATENCY = 0") < text.index("[OpenNebula]") < text.index("[Dummy]")
    assert max(len(line) for line in text.splitlines() if line.startswith("# ")) <= 110


def test_the_schema_accepts_the_defaults_and_describes_every_option(catalogue):
    document = json.loads(json.dumps(schema(catalogue)))

    sections = document["properties"]
    assert set(sections) == {"im", "OpenNebula", "Dummy"}
    for option in catalogue:
        described = sections[option.section]["properties"][option.name]
        assert described["description"] == option.help
        assert as_text(
            tuple(described["default"]) if isinstance(described["default"], list) else described["default"]
        ) == as_text(option.default)
    assert sections["im"]["properties"]["BOOT_MODE"] == {
        "title": "BOOT_MODE", "type": "integer", "minimum": 0, "maximum": 2, "default": 0,
        "description": catalogue.option("im", "BOOT_MODE").help,
    }  # fmt: skip
    assert sections["im"]["properties"]["DEFAULT_VM_MEMORY_UNIT"]["enum"] == ["K", "M", "G"]
    assert sections["im"]["properties"]["DUMMY_LATENCY"]["x-unit"] == "ms"
    assert sections["im"]["properties"]["ADMIN_USER"]["writeOnly"] is True


def test_the_page_documents_every_option_with_its_default_and_variables(catalogue):
    page = options_page(catalogue)

    for variable, option in variables(catalogue).items():
        heading = option.name if option.section == "im" else f"[{option.section}] {option.name}"
        entry = page.partition(f"\n### `{heading}`\n")[2].partition("\n### ")[0]
        assert f"`{variable}`" in entry
        default = as_text(option.default)
        assert (f"Default: `{default}`" if default else "Not set by default") in entry
    assert "Latency of \\<each\\> call." in page


def test_generated_files_are_written_once_and_checked_for_drift(tmp_path):
    run = lambda *arguments: CliRunner().invoke(main, ["--root", str(tmp_path), *arguments])  # noqa: E731

    missing = run("--check")
    assert (missing.exit_code, len(list(tmp_path.iterdir()))) == (1, 0)
    assert run().exit_code == 0
    current = run("--check")
    assert (current.exit_code, current.stdout) == (0, "")

    (tmp_path / "etc" / "im.cfg").write_text("[im]\n")
    drifted = run("--check")
    assert (drifted.exit_code, drifted.stdout) == (1, "etc/im.cfg: not up to date\n")
    assert run().stdout == "etc/im.cfg: written\n"


def test_generated_files_do_not_depend_on_the_environment(monkeypatch):
    before = documents(Catalogue(PLUGIN))
    monkeypatch.setenv("IM_REST_PORT", "1")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.chdir("/")

    assert documents(Catalogue(PLUGIN)) == before


def test_the_declarations_of_the_plugins_that_come_along_are_in_order():
    assert Catalogue(own_plugin_options()).problems == []


def test_the_sample_passes_its_own_strict_check(tmp_path):
    path = tmp_path / "im.cfg"
    path.write_text(sample(Catalogue()))

    assert [problem for problem in check_file(path) if problem.kind != "machine"] == []
