"""Finding im.cfg, reading it, and what is said about it."""

# ruff: noqa: SIM300 - options look like constants

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imframework.api.config import Option, OptionType
from imframework.api.errors import ConfigurationError
from imframework.settings.catalogue import Catalogue
from imframework.settings.loader import check_file, find_file, from_values, load
from imframework.settings.problems import Severity

GOOD = "DATA_DB = {0}/inf.dat"


@pytest.fixture
def machine(tmp_path, write):
    """A machine with an IM_PATH and a system directory, both empty."""

    class Machine:
        program = tmp_path / "program" / "etc" / "im.cfg"
        system = tmp_path / "etc-im" / "im.cfg"
        environ = {"IM_PATH": str(tmp_path / "program"), "IM_DATA_DB": str(tmp_path / "inf.dat")}  # noqa: RUF012

        def load(self, config=None, **environ):
            return load(config, {**self.environ, **environ}, system_directory=self.system.parent)

    return Machine()


# --- which file ---------------------------------------------------------------------------------------------


def test_the_file_of_the_program_comes_before_that_of_the_system_which_is_named_as_ignored(machine, write):
    write("REST_PORT = 1001", path=machine.program)
    write("REST_PORT = 1002", path=machine.system)

    settings, problems = machine.load()

    assert (settings.REST_PORT, settings.source) == (1001, machine.program)
    assert [str(problem) for problem in problems] == [f"{machine.system}: is ignored, since {machine.program} is read"]


def test_without_a_file_of_the_program_that_of_the_system_is_read(machine, write):
    write("REST_PORT = 1002", path=machine.system)

    settings, problems = machine.load()

    assert (settings.REST_PORT, problems) == (1002, [])


def test_an_argument_comes_before_the_variable_and_both_before_the_usual_places(machine, write, tmp_path):
    write("REST_PORT = 1001", path=machine.program)
    argument = write("REST_PORT = 1003", path=tmp_path / "argument.cfg")
    variable = write("REST_PORT = 1004", path=tmp_path / "variable.cfg")

    assert machine.load(argument, IM_CONFIG=str(variable))[0].REST_PORT == 1003
    settings, problems = machine.load(IM_CONFIG=str(variable))
    assert (settings.REST_PORT, problems) == (1004, [])
    assert machine.load(IM_CONFIG="")[0].REST_PORT == 1001


def test_without_any_file_the_defaults_are_used_and_a_warning_says_where_one_was_looked_for(machine):
    settings, problems = machine.load()

    assert (settings.source, settings.REST_PORT) == (None, 8800)
    assert str(machine.program.parent) in str(problems[0])
    assert str(machine.system.parent) in str(problems[0])


def test_im_path_is_the_directory_above_the_package_by_default(tmp_path):
    import imframework

    _, problems = find_file(None, {}, tmp_path)
    chosen, _ = find_file(None, {"IM_PATH": str(tmp_path)}, tmp_path)

    base = Path(imframework.__file__).parents[1]
    assert chosen is None
    assert not problems or str(base) in str(problems[0])


def test_a_file_that_was_asked_for_and_is_not_there_stops_the_start(machine, tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.cfg: cannot be read: No such file"):
        machine.load(tmp_path / "absent.cfg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_gives_way_to_a_readable_one_but_not_to_the_defaults(machine, write):
    write("REST_PORT = 1001", path=machine.program).chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        machine.load()

    write("REST_PORT = 1002", path=machine.system)
    settings, problems = machine.load()
    assert settings.REST_PORT == 1002
    assert str(problems[0]).startswith(str(machine.program))


# --- what stands in it --------------------------------------------------------------------------------------


def test_an_im_cfg_of_an_existing_installation_works(loaded):
    settings, problems = loaded(
        "[im]",
        "; comment",
        "DATA_DB = mysql://im:100%25%sure=@db.example.org/im",
        "max_simultaneous_launches=5",
        "REST_SSL = no",
        'ADMIN_USER = {"username": "admin", "password": "a%b=c\'d"}',
        'OIDC_ISSUERS = https://aai.example.org/oidc/ , ,"https://x.example.org"',
        'OIDC_USER_INFO_PATH = "/userinfo"',
        "OIDC_INSTROSPECT_PATH = '/introspect'",
        'OIDC_CLIENT_SECRET = "with quotes"',
        "DEFAULT_VM_NAME = vnode-#N#",
        "WAIT_SSH_ACCCESS_TIMEOUT = 301",
        "CONFMAMAGER_CHECK_STATE_INTERVAL = 6",
        "[OpenNebula]",
        "TEMPLATE_CONTEXT =",
        'TEMPLATE_OTHER = GRAPHICS = [type="vnc",listen="0.0.0.0", keymap="es"]',
        "   FEATURES = [acpi = yes]",
        environ={"IM_DATA_DB": ""},
    )

    assert problems == []
    assert (settings.DATA_DB.password, settings.DATA_DB.database) == ("100%%sure=", "im")
    assert settings.MAX_SIMULTANEOUS_LAUNCHES == 5
    assert settings.REST_SSL is False
    assert settings.ADMIN_USER == ({"username": "admin", "password": "a%b=c'd"},)
    assert settings.OIDC_ISSUERS == ("https://aai.example.org/oidc/", '"https://x.example.org"')
    assert (settings.OIDC_USER_INFO_PATH, settings.OIDC_INSTROSPECT_PATH) == ("/userinfo", "/introspect")
    assert settings.OIDC_CLIENT_SECRET == '"with quotes"'
    assert settings.DEFAULT_VM_NAME == "vnode-#N#"
    assert (settings.WAIT_SSH_ACCCESS_TIMEOUT, settings.CONFMAMAGER_CHECK_STATE_INTERVAL) == (301, 6)
    cloud = settings.section("OpenNebula")
    assert cloud.TEMPLATE_CONTEXT == ""
    assert cloud.TEMPLATE_OTHER == 'GRAPHICS = [type="vnc",listen="0.0.0.0", keymap="es"]\nFEATURES = [acpi = yes]'


def test_an_empty_text_path_or_list_is_not_set_and_an_empty_number_is_wrong(loaded):
    settings, problems = loaded("CORS_ORIGIN =", "OIDC_SCOPES = ", "USER_DB =", "LOG_LEVEL =", "ADMIN_USER =")

    assert (settings.CORS_ORIGIN, settings.OIDC_SCOPES, settings.USER_DB, settings.LOG_LEVEL) == ("*", (), None, "INFO")
    assert (settings.ADMIN_USER, problems) == ((), [])
    with pytest.raises(ConfigurationError, match=r"im\.cfg:2: REST_PORT: '' is not allowed"):
        loaded("REST_PORT =")


def test_the_last_of_repeated_options_counts_and_a_warning_names_both_lines(loaded):
    settings, problems = loaded("REST_PORT = 1", "rest_port = 2", "REST_PORT = 3")

    assert settings.REST_PORT == 3
    assert problems == [
        "3: REST_PORT: is also set on line 2; the last line counts",
        "4: REST_PORT: is also set on line 3; the last line counts",
    ]


def test_unknown_options_are_ignored_with_a_warning_that_suggests_what_was_meant(loaded):
    settings, problems = loaded(
        "MAX_VM_FIALS = 9", "TTS_URL = https://x", "QWERTYUIOP = 1", "[opennebula]", "A = 1", "B = 2"
    )

    assert settings.MAX_VM_FAILS == 3
    assert problems == [
        "2: Unknown option in the IM config file. Ignoring it: MAX_VM_FIALS (did you mean MAX_VM_FAILS?)",
        "3: Unknown option in the IM config file. Ignoring it: TTS_URL (it belongs to section [OpenNebula])",
        "4: Unknown option in the IM config file. Ignoring it: QWERTYUIOP",
        "6: no option belongs to section [opennebula]; all of it is ignored (did you mean [OpenNebula]?)",
    ]


def test_an_option_without_effect_is_only_worth_an_info(write, tmp_path):
    path = write(GOOD.format(tmp_path), "RECIPES_DIR = /x")

    (problem,) = load(path, {})[1]

    assert (problem.severity, problem.option, problem.line) == (Severity.INFO, "RECIPES_DIR", 3)


def test_every_error_is_reported_at_once_with_file_line_option_and_what_is_allowed(write):
    path = write(
        "REST_PORT = 88x",
        "REST_SSL = maybe",
        "what is this",
        "BOOT_MODE = 3",
        "DEFAULT_VM_MEMORY_UNIT = T",
        "ADMIN_USER = {secret-in-json",
        "OIDC_SCOPES = [1]",
        "PRIVATE_NET_MASKS = 10.0.0.0/8, 10.0.0.0/99",
        "VAULT_URL = vault",
        "REST_ADDRESS = 1.2.3",
        "DATA_DB = mysql://im:secret-in-url@/im",
    )

    with pytest.raises(ConfigurationError) as raised:
        load(path, {})

    assert str(raised.value).split("\n") == [
        f"{path}:2: REST_PORT: '88x' is not allowed (allowed: an integer, at least 0, at most 65535)",
        f"{path}:3: REST_SSL: 'maybe' is not allowed (allowed: True or False (also 1, yes, on, 0, no, off))",
        f"{path}:4: neither 'NAME = value' nor a section (continuation lines are indented)",
        f"{path}:5: BOOT_MODE: '3' is not allowed (allowed: an integer, at least 0, at most 2)",
        f"{path}:6: DEFAULT_VM_MEMORY_UNIT: 'T' is not allowed (allowed: one of K, M, G)",
        f"{path}:7: ADMIN_USER: the value is not allowed: Expecting property name enclosed in double quotes, "
        "character 2 (allowed: a JSON array of objects, or one object)",
        f"{path}:8: OIDC_SCOPES: '[1]' is not allowed (allowed: a list (a, b, c) or a JSON array of strings)",
        f"{path}:9: PRIVATE_NET_MASKS: '10.0.0.0/8, 10.0.0.0/99' is not allowed: '10.0.0.0/99' is not a network "
        "(allowed: a list of networks (10.0.0.0/8, fc00::/7))",
        f"{path}:10: VAULT_URL: 'vault' is not allowed (allowed: a URL (scheme://host…))",
        f"{path}:11: REST_ADDRESS: '1.2.3' is not allowed (allowed: an IP address or host name)",
        f"{path}:12: DATA_DB: the value is not allowed: a server is written as name, name:port or "
        "[IPv6 address]:port (allowed: a database URL or the path of an SQLite file)",
    ]
    assert all(problem.line for problem in raised.value.problems)


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["1", "yes", "True", "ON"])
def test_words_for_true(loaded, word):
    assert loaded(f"REST_SSL = {word}", "ACTIVATE_REST = 0", "ACTIVATE_XMLRPC = yes")[0].REST_SSL is True


@pytest.mark.parametrize("word", ["0", "no", "False", "OFF"])
def test_words_for_false(loaded, word):
    assert loaded(f"SSH_REVERSE_TUNNELS = {word}")[0].SSH_REVERSE_TUNNELS is False


@pytest.mark.parametrize("number", ["1_000", "1.0", "0x10", "１２", "9" * 5000, "True"])
def test_only_decimal_digits_are_an_integer(loaded, number):
    with pytest.raises(ConfigurationError, match="PLAYBOOK_RETRIES"):
        loaded(f"PLAYBOOK_RETRIES = {number}")


def test_a_list_is_split_at_commas_or_read_as_json(loaded):
    assert loaded("OIDC_GROUPS = a, b,,c d ,")[0].OIDC_GROUPS == ("a", "b", "c d")
    assert loaded('OIDC_GROUPS = ["a,b", "c"]')[0].OIDC_GROUPS == ("a,b", "c")


def test_one_json_object_stands_for_an_array_and_arrays_may_go_over_several_lines(loaded):
    settings, _ = loaded(
        "OIDC_ADMIN_GROUPS = [", '  {"issuer": "i", "group": "g"},', '  {"issuer": "j", "group": "h"}', "  ]"
    )

    assert settings.OIDC_ADMIN_GROUPS == ({"issuer": "i", "group": "g"}, {"issuer": "j", "group": "h"})
    assert loaded('OIDC_ADMIN_GROUPS = {"issuer": "i", "group": "g"}')[0].OIDC_ADMIN_GROUPS[0]["group"] == "g"


@pytest.mark.parametrize("value", ["[1]", '"text"', "5", "[" * 100_000])
def test_other_json_is_no_list_of_objects(loaded, value):
    with pytest.raises(ConfigurationError, match="OIDC_ADMIN_GROUPS"):
        loaded(f"OIDC_ADMIN_GROUPS = {value}")


def test_words_are_understood_in_any_case(loaded):
    settings, _ = loaded("LOG_LEVEL = debug", "DEFAULT_VM_MEMORY_UNIT = g")

    assert (settings.LOG_LEVEL, settings.DEFAULT_VM_MEMORY_UNIT) == ("DEBUG", "G")


@pytest.mark.parametrize("address", ["127.0.0.1", "::", "[::1]", "localhost", "im.example.org", "10.0.0.1"])
def test_addresses_to_listen_on(loaded, address):
    assert loaded(f"REST_ADDRESS = {address}")[0].REST_ADDRESS == address.strip("[]")


def test_a_path_that_swallows_an_indented_line_is_an_error(loaded):
    with pytest.raises(ConfigurationError, match=r"2: USER_DB: .* is not allowed: it goes on in an indented line"):
        loaded("USER_DB = /etc/im/users.json", "  REST_PORT = 5")


# --- values out of range, with a fallback -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MAX_VM_FAILS", "MAX_SIMULTANEOUS_LAUNCHES", "REST_MAX_BLOCKING_CALLS"])
def test_counts_below_one_are_treated_as_one_with_a_warning(loaded, name):
    settings, problems = loaded(f"{name} = -2")

    assert getattr(settings, name) == 1
    assert problems[0].startswith(f"2: {name}: '-2' is not allowed, 1 is used")
    with pytest.raises(ConfigurationError, match=name):
        loaded(f"{name} = many")


def test_another_word_for_the_log_level_counts_as_warning(loaded):
    settings, problems = loaded("LOG_LEVEL = LOUD")

    assert settings.LOG_LEVEL == "WARNING"
    assert "'LOUD' is not allowed, WARNING is used" in problems[0]


# --- settings that follow from others -----------------------------------------------------------------------


def test_the_state_directory_is_beside_an_sqlite_file_and_the_key_is_in_it(loaded, tmp_path):
    settings, _ = loaded()

    assert settings.STATE_DIR == tmp_path / "inf.dat.state"
    assert settings.SECRET_KEY_FILE == tmp_path / "inf.dat.state" / "encryption.key"


def test_the_state_directory_of_another_database_is_that_of_the_system(loaded):
    settings, _ = loaded(environ={"IM_DATA_DB": "mysql://im@db/im", "IM_SECRET_KEY_FILE": "/run/key"})

    assert (settings.STATE_DIR, settings.SECRET_KEY_FILE) == (Path("/var/lib/im"), Path("/run/key"))


def test_a_list_of_private_networks_replaces_the_default_but_for_ipv6(loaded):
    ipv6 = (ip_network("fc00::/7"), ip_network("fe80::/10"))

    assert set(ipv6) < set(loaded()[0].PRIVATE_NET_MASKS)
    assert loaded("PRIVATE_NET_MASKS = 10.1.2.3/8")[0].PRIVATE_NET_MASKS == (ip_network("10.0.0.0/8"), *ipv6)
    assert loaded("PRIVATE_NET_MASKS = fd00::/8")[0].PRIVATE_NET_MASKS == (ip_network("fd00::/8"),)


# --- checking a file ----------------------------------------------------------------------------------------


def test_a_strict_check_makes_errors_of_what_a_start_would_only_ignore_or_replace(write, tmp_path):
    path = write(
        GOOD.format(tmp_path),
        "MAX_VM_FIALS = 3",
        "MAX_VM_FAILS = 0",
        "MAX_VM_FAILS = 0",
        "RECIPES_DIR = /x",
        "[x]",
        "A=1",
    )

    strict = {problem.line: problem.severity for problem in check_file(path)}
    lenient = {problem.severity for problem in check_file(path, strict=False)}

    assert strict == {3: "error", 5: "error", 6: "info", 8: "error"}
    assert lenient == {"warning", "info"}


def test_a_check_takes_missing_files_of_another_machine_for_warnings(write, tmp_path):
    path = write(f"DATA_DB = {tmp_path}/absent/inf.dat", f"USER_DB = {tmp_path}/absent/users.json")

    assert [(problem.line, problem.severity) for problem in check_file(path)] == [(2, "warning"), (3, "warning")]


def test_a_check_of_a_file_that_is_not_there_is_an_error(tmp_path):
    (problem, *_) = check_file(tmp_path / "absent.cfg")

    assert (problem.severity, problem.kind) == ("error", "unreadable")


# --- plugins ------------------------------------------------------------------------------------------------

PLUGIN = (
    Option("DUMMY_LATENCY", OptionType.INTEGER, 5, "Latency.", unit="ms"),
    Option("ENDPOINT", OptionType.URL, "", "Where it is.", section="Dummy"),
    Option.shared("VERIFI_SSL"),
)


def test_options_of_plugins_are_options_like_any_other(loaded):
    settings, problems = loaded("DUMMY_LATENCY = 7", "[Dummy]", "ENDPOINT = http://x", dummy=PLUGIN)

    assert problems == []
    assert settings.values_of(PLUGIN) == {"DUMMY_LATENCY": 7, "ENDPOINT": "http://x", "VERIFI_SSL": False}
    assert settings.section("Dummy").ENDPOINT == "http://x"


def test_a_plugin_that_repeats_a_declaration_of_the_framework_means_that_one(loaded):
    mine = Option("USER_DB", OptionType.PATH, "", "In my words.")

    settings, problems = loaded(userdb=(mine,))

    assert (settings.values_of([mine]), problems) == ({"USER_DB": None}, [])


def test_declarations_that_differ_or_contradict_themselves_cost_a_warning_and_no_more(loaded):
    differs = Option("REST_PORT", OptionType.INTEGER, 1, "Mine.")
    twice = Option("COLOUR", OptionType.TEXT, "red", "Mine.")
    impossible = Option("HOME", OptionType.URL, "nowhere", "Mine.")

    settings, problems = loaded(
        a=(differs, twice, impossible, Option.shared("NOBODYS")),
        b=(Option("COLOUR", OptionType.TEXT, "blue", "Mine."),),
    )

    assert problems == [
        "plugin a: REST_PORT: is declared differently by the framework, whose declaration counts",
        "plugin a: HOME: has a default that it does not allow itself (a URL (scheme://host…))",
        "plugin b: COLOUR: is declared differently by a, whose declaration counts",
        "plugin a: HOME: is asked for, but nobody declares it",
        "plugin a: NOBODYS: is asked for, but nobody declares it",
    ]
    assert settings.values_of([differs, twice, impossible]) == {"REST_PORT": 8800, "COLOUR": "red"}


# --- settings ---------------------------------------------------------------------------------------------


def test_settings_can_be_made_from_values_without_file_and_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("IM_REST_PORT", "1")
    settings = from_values(
        {"DATA_DB": f"{tmp_path}/x", "REST_PORT": 0, "REST_SSL_KEYFILE": tmp_path, "OpenNebula.IMAGE_UNAME": "one",
         "ACTIVATE_XMLRPC": False, "CONNECTORS": ["local"]}
    )  # fmt: skip

    assert (settings.REST_PORT, settings.FRONTENDS, settings.CONNECTORS) == (0, (), ("local",))
    assert settings.REST_SSL_KEYFILE == tmp_path
    assert settings.section("OpenNebula").IMAGE_UNAME == "one"
    with pytest.raises(KeyError, match="REST_PROT"):
        from_values({"REST_PROT": 0})
    with pytest.raises(ConfigurationError, match=r"given value: REST_PORT: 'x' is not allowed"):
        from_values({"REST_PORT": "x"})


def test_settings_know_where_a_value_comes_from(loaded, tmp_path):
    settings, _ = loaded("REST_PORT = 5")

    assert str(settings.origin("REST_PORT")) == f"{tmp_path}/im.cfg:2"
    assert str(settings.origin("DATA_DB")) == "environment variable IM_DATA_DB"
    assert settings.origin("XMLRCP_PORT") is None


def test_settings_cannot_be_changed_and_know_no_other_names(loaded):
    settings, _ = loaded()

    with pytest.raises(AttributeError):
        settings.REST_PORT = 5
    with pytest.raises(ValueError, match="frozen"):
        settings.section("OpenNebula").IMAGE_UNAME = "x"
    with pytest.raises(AttributeError, match="no option REST_PROT"):
        settings.REST_PROT  # noqa: B018
    with pytest.raises(KeyError):
        settings.section("Nebula")


def test_settings_do_not_show_secrets(loaded):
    secret = "Zq7Zq7"
    settings, _ = loaded(
        f"DATA_DB = mysql://im:{secret}@db/im",
        f"OIDC_CLIENT_SECRET = {secret}",
        f'ADMIN_USER = {{"username": "a", "password": "{secret}"}}',
        f"VAULT_URL = https://u:{secret}@vault",
        environ={"IM_DATA_DB": ""},
    )

    assert settings.OIDC_CLIENT_SECRET == secret
    for shown in (
        repr(settings),
        str(settings),
        str(settings.section("im")),
        f"{settings.DATA_DB!r}{settings.DATA_DB}",
    ):
        assert secret not in shown
    assert "OIDC_CLIENT_SECRET='***'" in repr(settings)


# --- anything ---------------------------------------------------------------------------------------------

lines = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.builds("{} = {}".format, st.sampled_from([option.name for option in Catalogue()]), st.text(max_size=40)),
        st.builds(
            "{} = {}".format,
            st.sampled_from(["DATA_DB", "USER_DB", "ADMIN_USER"]),
            st.text("/a[{\"':,@1 \0", max_size=20),
        ),
        st.sampled_from(["[OpenNebula]", "[im]", "[", "]", "   indented", "=", "A=", f"DATA_DB = /tmp/{'x' * 300}"]),
    )
)


@settings(deadline=None, max_examples=60)
@given(lines)
def test_whatever_stands_in_a_file_is_reported_and_never_fails_otherwise(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "anything.cfg"
    path.write_bytes("\n".join(["[im]", *content]).encode("utf-8", "surrogatepass"))

    for problem in check_file(path):
        assert problem.line is None or 1 <= problem.line <= 1 + "\n".join(content).count("\n") + 1
        assert "\n" not in str(problem)
