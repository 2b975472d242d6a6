"""What must hold before a service starts."""

# ruff: noqa: SIM300 - options look like constants

import json
import os

import pytest

from imframework.api.errors import ConfigurationError
from imframework.settings.loader import check_file

ADMINISTRATORS = [
    {"username": "u", "password": "p"},
    {"username": "__OPENID__u", "password": "https://issuer/sub", "token": ""},
    {"token": "t"},
]


def test_a_grace_period_that_does_not_outlast_the_refresh_is_lengthened(loaded):
    settings, problems = loaded("VM_INFO_UPDATE_FREQUENCY = 120")

    assert settings.VM_INFO_UPDATE_ERROR_GRACE_PERIOD == 121
    assert problems == [
        "default: VM_INFO_UPDATE_ERROR_GRACE_PERIOD: must be longer than VM_INFO_UPDATE_FREQUENCY (120), 121 is used"
    ]


@pytest.mark.parametrize("lines", [(), ("OIDC_CLIENT_ID = c",), ("OIDC_CLIENT_SECRET = s",)])
def test_scopes_need_a_client(loaded, lines):
    with pytest.raises(
        ConfigurationError, match=r"im\.cfg:2: OIDC_SCOPES: needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET"
    ):
        loaded("OIDC_SCOPES = a", *lines)


def test_tokens_cannot_be_forced_without_issuers(loaded):
    with pytest.raises(ConfigurationError, match=r"im\.cfg:2: FORCE_OIDC_AUTH: nobody could log in"):
        loaded("FORCE_OIDC_AUTH = True")
    assert loaded("FORCE_OIDC_AUTH = True", "OIDC_ISSUERS = https://i")[1] == []


def test_a_check_is_left_out_when_one_of_its_options_could_not_be_read(loaded):
    with pytest.raises(ConfigurationError) as raised:
        loaded("FORCE_OIDC_AUTH = True", "OIDC_ISSUERS = [")

    assert [problem.option for problem in raised.value.problems] == ["OIDC_ISSUERS"]


def test_a_cache_time_makes_no_sense_with_sqlite(loaded):
    assert loaded("INF_CACHE_TIME = 3600")[1][0].startswith("2: INF_CACHE_TIME: is meant for replicas")
    assert loaded("INF_CACHE_TIME = 3600", environ={"IM_DATA_DB": "mysql://im@db/im"})[1] == []


def test_an_old_data_file_without_a_database_is_pointed_out(write):
    alone = check_file(write("DATA_FILE = /etc/im/inf.dat"))
    beside = check_file(write("DATA_FILE = /etc/im/inf.dat", "DATA_DB = mysql://im@db/im"))

    assert [(problem.line, problem.severity) for problem in alone if problem.option == "DATA_FILE"] == [
        (2, "info"),
        (2, "warning"),
    ]
    assert [problem.severity for problem in beside] == ["info"]


@pytest.mark.parametrize(
    ("schemes", "message"),
    [
        ("https, file", "file would show the files of this server to every user"),
        ("FILE", "file would show the files of this server to every user"),
        ("https, ftp", "'ftp' is neither https nor http"),
    ],
)
def test_files_are_fetched_by_https_and_http_only(loaded, schemes, message):
    with pytest.raises(ConfigurationError, match=rf"im\.cfg:2: TOSCA_ALLOWED_SCHEMES: {message}"):
        loaded(f"TOSCA_ALLOWED_SCHEMES = {schemes}")
    assert loaded("TOSCA_ALLOWED_SCHEMES = HTTPS")[1] == []


@pytest.mark.parametrize("entry", ["https://git.example.org", "*.example.org", "git.example.org:8443", "10.0.0.0/99"])
def test_hosts_to_fetch_from_are_names_addresses_or_networks(loaded, entry):
    with pytest.raises(ConfigurationError, match=r"TOSCA_ALLOWED_HOSTS: '.*' is not a host name, address or network"):
        loaded(f"TOSCA_ALLOWED_HOSTS = localhost, {entry}")
    assert loaded("TOSCA_ALLOWED_HOSTS = git.example.org, 10.0.0.5, 10.1.0.0/16, [fd00::1], fd00::/8")[1] == []


def test_a_folder_of_artifacts_must_be_there(loaded, tmp_path):
    with pytest.raises(ConfigurationError, match=r"TOSCA_ARTIFACTS_DIR: .*/none is not a directory"):
        loaded(f"TOSCA_ARTIFACTS_DIR = {tmp_path}/none")
    assert loaded(f"TOSCA_ARTIFACTS_DIR = {tmp_path}")[1] == []


@pytest.mark.parametrize("entry", ADMINISTRATORS)
def test_administrators_who_can_log_in(loaded, entry):
    assert loaded(f"ADMIN_USER = {json.dumps(entry)}")[0].ADMIN_USER == (entry,)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"username": "u"},
        {"username": "u", "password": ""},
        {"password": "p"},
        {"token": ""},
        {"username": "u", "password": 5},
    ],
)
def test_administrators_who_cannot_log_in(loaded, entry):
    with pytest.raises(ConfigurationError, match=r"ADMIN_USER: entry 2 has neither"):
        loaded(f"ADMIN_USER = {json.dumps([ADMINISTRATORS[0], entry])}")


def test_administrator_groups_need_an_issuer(loaded):
    with pytest.raises(ConfigurationError, match="OIDC_ADMIN_GROUPS: entry 1 must have an issuer and a group"):
        loaded('OIDC_ADMIN_GROUPS = {"group": "g"}')


@pytest.mark.parametrize("entry", ["dummy", "connector:dummy", "connectors:", ":dummy"])
def test_a_disabled_plugin_is_written_with_its_kind(loaded, entry):
    with pytest.raises(ConfigurationError, match=r"DISABLED_PLUGINS: .* is not kind:name"):
        loaded(f"DISABLED_PLUGINS = hooks:webhook, {entry}")


@pytest.mark.parametrize("placement", ["master", "each"])
def test_placements_that_are_not_built_are_refused(loaded, placement):
    with pytest.raises(ConfigurationError, match=f"{placement} is not available in this version"):
        loaded(f"CONTEXTUALIZATION_PLACEMENT = {placement}")


def test_a_sandbox_of_another_user_needs_that_user(loaded):
    with pytest.raises(ConfigurationError, match="uid needs CONTEXTUALIZATION_SANDBOX_USER"):
        loaded("CONTEXTUALIZATION_SANDBOX = uid")


def test_a_service_that_cannot_be_reached_does_not_start(loaded):
    with pytest.raises(ConfigurationError, match=r"2: ACTIVATE_XMLRPC: no front end is active"):
        loaded("ACTIVATE_XMLRPC = False")
    assert loaded("ACTIVATE_XMLRPC = False", "FRONTENDS = grpc")[1] == []


@pytest.mark.parametrize("option", ["RATE_LIMIT_ADDRESS", "RATE_LIMIT_USER", "RATE_LIMIT_FAILED_LOGINS"])
def test_a_rate_limit_is_a_number_per_time(loaded, option):
    for text in ("", "300/minute", "10 per 5 seconds; 1000/hour"):
        assert loaded(f"{option} = {text}")[1] == []
    for text in ("300", "300/fortnight", "-1/minute", "0/minute", "many"):
        with pytest.raises(ConfigurationError, match=f"2: {option}: .* is not a number per second"):
            loaded(f"{option} = {text}")


def test_a_restriction_to_templates_needs_templates(loaded, tmp_path):
    with pytest.raises(ConfigurationError, match="OAIPMH_RESTRICT_TEMPLATES: nothing could be deployed"):
        loaded("OAIPMH_RESTRICT_TEMPLATES = True")
    assert loaded("OAIPMH_RESTRICT_TEMPLATES = True", f"OAIPMH_REPO_DIR = {tmp_path}")[1] == []


def test_a_repository_without_somebody_to_write_to_is_worth_a_warning(loaded):
    [warning] = loaded("OAIPMH_REPO_NAME = templates")[1]
    assert "OAIPMH_REPO_ADMIN_EMAIL" in str(warning)
    assert loaded("OAIPMH_REPO_NAME = templates", "OAIPMH_REPO_ADMIN_EMAIL = a@example.org")[1] == []


# --- files --------------------------------------------------------------------------------------------------


def test_an_sqlite_file_needs_a_directory(loaded, tmp_path):
    with pytest.raises(ConfigurationError, match=r"IM_DATA_DB: DATA_DB: .*/absent is not a directory"):
        loaded(environ={"IM_DATA_DB": f"sqlite://{tmp_path}/absent/inf.dat"})
    with pytest.raises(ConfigurationError, match="is not a file that this user can read and write"):
        loaded(environ={"IM_DATA_DB": str(tmp_path)})


@pytest.mark.parametrize("option", ["TOSCA_ARTIFACTS_DIR", "STATIC_FILES_DIR", "OAIPMH_REPO_DIR"])
def test_a_directory_that_is_read_must_be_there(loaded, tmp_path, option):
    assert loaded(f"{option} = {tmp_path}")[1] == []
    with pytest.raises(ConfigurationError, match=f"2: {option}: .*absent is not a directory"):
        loaded(f"{option} = {tmp_path}/absent")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_the_directory_of_an_sqlite_file_must_be_writable(loaded, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="closed is not a directory that this user can write to"):
        loaded(environ={"IM_DATA_DB": f"{tmp_path}/closed/inf.dat"})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("[]", "array 'users'"),
        ('{"users": {}}', "array 'users'"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_user_file_that_is_of_no_use_stops_the_start(loaded, tmp_path, content, complaint):
    users = tmp_path / "users.json"
    if content is not None:
        users.write_text(content)
    with pytest.raises(ConfigurationError, match=f"2: USER_DB: .*users.json .*{complaint}"):
        loaded(f"USER_DB = {users}")


def test_a_user_file_in_order_is_accepted(loaded, tmp_path):
    users = tmp_path / "users.json"
    users.write_text('{"users": [{"username": "u", "password": "p"}]}')

    assert loaded(f"USER_DB = {users}")[1] == []


@pytest.mark.parametrize(("prefix", "switch"), [("REST", "ACTIVATE_REST"), ("XMLRCP", "ACTIVATE_XMLRPC")])
def test_tls_needs_its_files_where_the_front_end_is_active(loaded, tmp_path, prefix, switch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    lines = (
        f"{prefix}_SSL = True",
        f"{prefix}_SSL_KEYFILE = {key}",
        f"{prefix}_SSL_CERTFILE = {certificate}",
        "FRONTENDS = other",
    )
    key.write_text("key")

    with pytest.raises(ConfigurationError) as raised:
        loaded(f"{switch} = True", *lines)
    assert [problem.option for problem in raised.value.problems] == [f"{prefix}_SSL_CERTFILE"]
    assert loaded(f"{switch} = False", *lines)[1] == []

    certificate.write_text("certificate")
    assert loaded(f"{switch} = True", *lines)[1] == []
    with pytest.raises(ConfigurationError, match=f"{prefix}_SSL_CA_CERTS: .*absent.pem cannot be read"):
        loaded(f"{switch} = True", *lines, f"{prefix}_SSL_CA_CERTS = {tmp_path}/absent.pem")
