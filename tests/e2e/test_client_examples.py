"""The examples of the client library's reference are true."""

import re
from pathlib import Path

import pytest

from imframework.client import Client

PAGE = Path(__file__).parents[2] / "docs/reference/client.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.xdist_group("client_examples")


def test_the_examples_run_as_they_stand_but_for_the_address_of_the_service(server, capsys):
    text = PAGE.read_text(encoding="utf-8")
    server.secrets.add("ana's password")
    url = f"http://{server.host}:{server.port}"
    variables = {"__name__": "example"}

    for number, code in enumerate(BLOCK.findall(text), 1):
        code = code.replace("http://127.0.0.1:8800", url)
        exec(compile(code, f"{PAGE.name}, example {number}", "exec"), variables)  # noqa: S102 - it is ours

    said = capsys.readouterr().out
    assert "invalid_document" in said
    assert "Deleted infrastructure" in said


def test_every_operation_is_described():
    described = set(re.findall(r"`(\w+)\(", PAGE.read_text(encoding="utf-8")))

    assert {name for name in vars(Client) if not name.startswith("_")} - described == set()
