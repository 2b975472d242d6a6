"""`docs/reference/auth.md` says what the code does: its examples are read, its limits and texts are the code's."""

import base64
import inspect
import re
from pathlib import Path

from imframework.core import credentials
from imframework.core.credentials import parse_header
from imframework_plugins.auth.userdb import passwords, provider

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "auth.md").read_text(encoding="utf-8")


def test_the_examples_of_headers_are_read():
    lines, json, *_ = re.findall(r"^\| (?:lines|JSON) \| `(.*)` \|$", PAGE, re.MULTILINE)

    assert [item.id for item in parse_header(lines)] == ["one", "InfrastructureManager1"]
    assert dict(parse_header(json.replace(", …", ""))[0].fields) == {"username": "u", "password": "p"}
    assert parse_header("Basic " + base64.b64encode(b"u:p:q").decode())[0].get("password") == "p:q"


def test_the_limits_are_those_of_the_code():
    limits = dict(re.findall(r"^\| ([^|]+) \| ([\d,]+)(?: characters)? \|$", PAGE, re.MULTILINE))

    assert [int(limit.replace(",", "")) for limit in limits.values()] == [
        credentials.MAX_CHARACTERS,
        credentials.MAX_ITEMS,
        credentials.MAX_KEYS,
        credentials.MAX_NAME,
    ]


def test_the_types_that_are_no_clouds_are_those_of_the_code():
    sentence = re.search(r"Items of the types (.*?) are no clouds", PAGE, re.DOTALL).group(1)

    assert {name.lower() for name in re.findall(r"`(\w+)`", sentence)} == credentials.NOT_CLOUDS


def test_the_texts_of_refusals_are_those_of_the_code():
    section = PAGE.split("### The plugin `userdb`")[1].split("####")[0]
    documented = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)

    assert sorted(documented) == sorted(re.findall(r'Unauthenticated\("([^"]+)"\)', inspect.getsource(provider)))


def test_the_forms_of_hashes_are_those_of_the_code():
    scheme = re.search(r"^\| (`\$scrypt.*?) \| (.*) \|$", PAGE, re.MULTILINE)

    assert f"{scheme.group(1).replace('`', '``')}             {scheme.group(2)}" in passwords.__doc__
