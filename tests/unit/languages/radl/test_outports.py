"""Port lists beyond the vectors: wording, writing, and finding the outside port."""

from __future__ import annotations

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import parse, parse_outports, remote_port


@pytest.mark.parametrize(
    ("text", "rule", "hint"),
    [
        ("22, 80", "' 80'", "without spaces"),
        ("22,,80", "''", "a port"),
        ("22/TCP", "'22/TCP'", "lower case"),
        ("8899-8899/udp", "'8899-8899/udp'", "8899/udp on the left"),
        ("22/sctp", "'22/sctp'", "examples"),
        ("٢٢", "'٢٢'", "examples"),
        ("1" * 5000, "'1111", "examples"),
    ],
)
def test_wrong_rule_is_named_with_a_hint(text: str, rule: str, hint: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_outports(text)
    assert rule in caught.value.problems[0].message
    assert hint in caught.value.problems[0].hint
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["22", "53/udp", "443-8443", "9000:9100/udp", "10.0.0.0/24-22-2222", "0/tcp-80"])
def test_rule_is_written_as_it_would_be_read(text: str) -> None:
    (port,) = parse_outports(text)
    assert parse_outports(str(port)) == (port,)


def test_ssh_is_found_behind_another_port() -> None:
    ports = parse_outports("2222-22,5000:5010,22/udp-22,80")
    assert remote_port(ports, 22) == 2222
    assert remote_port(ports, 80) == 80
    assert remote_port(ports, 5986) == 5986


def test_network_offers_its_rules() -> None:
    networks = parse("network a (outports = '22,80') network b ()").networks
    assert [port.remote_port for port in networks["a"].outports] == [22, 80]
    assert networks["b"].outports == ()
