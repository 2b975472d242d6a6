"""Authorization files, and the headers that the service reads them from."""

import sys

import pytest

from imframework.api.errors import ConfigurationError
from imframework.cli.auth_file import authorization
from imframework.core.credentials import parse_header


@pytest.fixture
def header(tmp_path):
    """Writes an authorization file and gives the header made of it."""

    def header(text):
        file = tmp_path / "auth.dat"
        file.write_text(text, encoding="utf-8")
        return authorization(file)

    return header


def items(header):
    """What the service makes of a header."""
    return [(item.id, item.type, dict(item.fields)) for item in parse_header(header)]


def test_the_service_reads_the_items_that_the_lines_say(header):
    text = """
# who I am
type = InfrastructureManager; username = ana; password = 'with ; and = inside'

id = here; type = Local;
type = OpenStack; host = https://keystone.example.org:5000; username = u; password = a=b==
"""

    assert items(header(text)) == [
        ("InfrastructureManager0", "InfrastructureManager", {"username": "ana", "password": "with ; and = inside"}),
        ("here", "Local", {}),
        (
            "OpenStack2",
            "OpenStack",
            {"host": "https://keystone.example.org:5000", "username": "u", "password": "a=b=="},
        ),
    ]


def test_json_is_as_good_as_lines(header):
    text = '[\n  {"type": "InfrastructureManager", "username": "ana", "password": "p"},\n  {"type": "Local"}\n]'

    assert [type for _, type, _ in items(header(text))] == ["InfrastructureManager", "Local"]


@pytest.mark.parametrize("spelling", [r"one\ntwo", r"one\\ntwo", r"'one\ntwo'"])
def test_a_line_end_within_a_value_of_a_file_does_not_end_the_item(header, spelling):
    ((_, _, fields),) = items(header(f"type = Docker; private_key = {spelling}; host = h"))

    assert fields == {"private_key": "one\ntwo", "host": "h"}


def test_the_header_is_one_line_of_ascii_whatever_the_values_are(header, tmp_path):
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nÄ€\n-----END-----\n", encoding="utf-8")

    made = header(f"type = Docker; private_key = file({tmp_path}/key.pem); host = h")

    assert made.isascii()
    assert "\n" not in made
    assert items(made)[0][2]["private_key"] == "-----BEGIN-----\nÄ€\n-----END-----"


def test_commands_are_run_without_a_shell_and_their_line_ends_left_out(header, tmp_path):
    script = tmp_path / "secret.py"
    script.write_text("import sys; print(sys.argv[1]); print('second')")

    made = header(f"type = X; username = u; password = 'command({sys.executable} {script} $HOME;ls)'")

    assert items(made)[0][2]["password"] == "$HOME;lssecond"


def test_functions_work_in_json_too(header, tmp_path):
    (tmp_path / "token").write_text(" abc \n")

    made = header(f'[{{"type": "InfrastructureManager", "token": "file({tmp_path}/token)"}}]')

    assert items(made)[0][2] == {"token": "abc"}


@pytest.mark.parametrize("token", ["abc.def.ghi", "command(echo abc.def.ghi)"])
def test_a_bearer_token_stays_one(header, token):
    assert header(f"# from the token service\nBearer {token}\n") == "Bearer abc.def.ghi"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No authentication data provided"),
        ("username = u; password = hush", "item 1 has no type"),
        ('[{"type": ]', "not valid JSON"),
        ("type = A; password = file(/no/such/file)", "'password' of item A0: /no/such/file: No such file or directory"),
        ("type = A; password = command(no-such-program hush)", "the command no-such-program cannot be run"),
        ("type = A; password = command(false)", "the command false ended with status 1"),
        ("type = A; password = command()", "command() names no command"),
        ("Bearer one two", "Bearer must be followed by one token"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_without_values(header, text, said):
    with pytest.raises(ConfigurationError) as caught:
        header(text)

    assert "auth.dat: " in str(caught.value)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        authorization(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        authorization(tmp_path / "binary")
