"""Secrets never survive `redact`, and the rest of the text does."""

import json
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imframework.api.redaction import MASK, redact, redact_data

#: A piece of every planted secret that occurs nowhere else.
MARK = "Zq7Zq7"

KEY = "-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: type = InfrastructureManager; username = u", "Authorization: ***"),
        ("headers {'Authorization': 'Bearer abc', 'Accept': '*/*'}", "headers {'Authorization': ***, 'Accept': '*/*'}"),
        ("got Bearer abc.def-1 from 10.0.0.1", "got Bearer *** from 10.0.0.1"),
        ("id = one; username = u; password = p w; host = h", "id = one; username = u; password = ***; host = h"),
        ("password = 'a;b'; host = h", "password = ***; host = h"),
        ("password='a'b\"c;d\"; host = h", "password=***; host = h"),
        ('{"username": "u", "password": "a\\",b", "host": "h"}', '{"username": "u", "password": ***, "host": "h"}'),
        ('{"token": null, "admin": true}', '{"token": null, "admin": true}'),
        (
            "disk.0.os.credentials.new.password = 'x' and\ncpu.count = 1",
            "disk.0.os.credentials.new.password = ***\ncpu.count = 1",
        ),
        ("ansible_ssh_pass: it's\nnext: 1", "ansible_ssh_pass: ***\nnext: 1"),
        ("IM_INFRASTRUCTURE_AUTH=u:p", "IM_INFRASTRUCTURE_AUTH=***"),
        ("mysql://im:p@ss@db/im failed", "mysql://im:***@db/im failed"),
        ("redis://:p@h and ssh://git@h/x", "redis://:***@h and ssh://git@h/x"),
        ("<PASSWORD>x</PASSWORD>", "<PASSWORD>***</PASSWORD>"),
        ("GET /x?access_token=abc&y=1", "GET /x?access_token=***"),
    ],
)
def test_each_shape_loses_its_secret_and_nothing_before_it(text, redacted):
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "VM 3: state running -> configured",
        "The bearer token has expired",
        "SECRET_KEY_FILE: /var/lib/im/encryption.key cannot be read",
        "token_type = bearer; expires_in = 3600",
        "http://127.0.0.1:8800/infrastructures/1?x=y",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "mail me@example.org, see https://example.org",
    ],
)
def test_text_without_secrets_stays_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("newline", ["\n", "\\n", "\r\n    "])
def test_a_private_key_is_taken_out_whole(kind, newline):
    key = KEY.format(kind=kind, body=f"MIIE{MARK}\n+/{MARK}==").replace("\n", newline)

    assert redact(f"before {key} after") == f"before {MASK} after"


def test_a_private_key_that_is_cut_off_is_taken_out_to_the_end():
    assert redact(f"x -----BEGIN RSA PRIVATE KEY-----\n{MARK}\n{MARK}") == f"x {MASK}"


@pytest.mark.parametrize(
    "unit", ["://a:", "-eyJ", "password", "'", '"', "token=", "-----BEGIN PRIVATE KEY-----", "a.b-"]
)
def test_long_hostile_text_is_redacted_too(unit):
    text = unit * 20_000 + f" password = {MARK}"

    assert MARK not in redact(text)


secrets = st.text(st.characters(exclude_categories=("Cs",))).map(lambda text: f"{MARK}{text}{MARK}")
names = st.sampled_from(
    ["password", "token", "Secret", "private_key", "sudo_password", "OIDC_CLIENT_SECRET", "api-key"]
)
rests = st.sampled_from(["", "; host = h", ", 'x': 1}", "\nnext line", " tail"])


def line(text: str) -> str:
    return text.replace("\n", " ")


@settings(deadline=None)
@given(name=names, secret=secrets, rest=rests, gap=st.sampled_from(["", " "]))
@example(name="password", secret=f"{MARK}\\", rest="; host = h", gap=" ")
def test_a_quoted_or_plain_pair_of_an_authorization_line_never_survives(name, secret, rest, gap):
    plain = line(secret)
    for quote_mark in "'\"":
        quoted = plain.replace(quote_mark, "")
        assert MARK not in redact(f"id = x; {name}{gap}={gap}{quote_mark}{quoted}{quote_mark}{rest}")
    assert MARK not in redact(f"id = x; {name}{gap}={gap}{plain.replace(';', ',')}{rest}")


@settings(deadline=None)
@given(name=names, secret=secrets, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_a_value_in_json_or_a_printed_dict_never_survives(name, secret, ascii_only, indent):
    data = {"id": "x", name: secret, "host": "h"}
    document = json.dumps(data, ensure_ascii=ascii_only, indent=indent)

    assert MARK not in redact(document)
    assert MARK not in redact(json.dumps(document))
    assert MARK not in redact(repr(data))
    assert redact_data([data]) == [{"id": "x", name: MASK, "host": "h"}]


@settings(deadline=None)
@given(name=names, secret=secrets)
def test_a_value_in_yaml_never_survives(name, secret):
    plain = line(secret)

    assert MARK not in redact(f"{name}: {plain}")
    assert MARK not in redact("{}: '{}'".format(name, plain.replace("'", "''")))
    assert MARK not in redact(f"{name}: {json.dumps(secret)}")


@settings(deadline=None)
@given(
    header=st.sampled_from(["Authorization", "authorization", "Proxy-Authorization", "X-Auth-Token", "Cookie"]),
    secret=secrets,
)
def test_the_value_of_a_header_never_survives(header, secret):
    assert MARK not in redact(f"> {header}: {line(secret)}\r\n> Accept: */*")


@settings(deadline=None)
@given(token=st.text("abcXYZ019-._~+/", min_size=1), word=st.sampled_from(["Bearer", "bearer", "BEARER"]))
def test_a_bearer_token_never_survives(token, word):
    assert MARK not in redact(f'curl -H "{word} {MARK}{token}{MARK}==" http://h')


@settings(deadline=None)
@given(password=secrets, user=st.sampled_from(["im", "", "user@tenant", "a%40b"]), encode=st.booleans())
def test_a_password_in_a_url_never_survives(password, user, encode):
    password = quote(password, safe="") if encode else "".join(password.split())
    shown = redact(f"cannot open mysql://{user}:{password}@db.example.org/im, giving up")

    assert MARK not in shown
    assert shown.endswith(" giving up")


@settings(deadline=None)
@given(st.text())
def test_any_text_is_accepted_and_nothing_is_left_to_redact_afterwards(text):
    once = redact(text)

    assert redact(once) == once


def test_data_keeps_its_shape():
    data = {"vm": {"user": "u", "password": "p", "ports": [1, "Bearer abc"]}, "token": None, "secret": True, "n": 1.5}

    assert redact_data(data) == {
        "vm": {"user": "u", "password": MASK, "ports": [1, f"Bearer {MASK}"]},
        "token": None,
        "secret": True,
        "n": 1.5,
    }
