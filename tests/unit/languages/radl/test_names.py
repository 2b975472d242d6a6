"""Names of machines."""

from __future__ import annotations

import pytest

from imframework.languages.radl import DnsName, System, dns_names, host_name, parse, with_names


def system(features: str) -> System:
    return parse(f"system s ({features})").systems["s"]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("net_interface.0.dns_name = 'gw-#N#.site.example.org'", ("gw-7", "site.example.org")),
        ("net_interface.0.dns_name = 'a' and net_interface.0.dns.0.name = 'b.c'", ("b", "c")),
        ("net_interface.0.dns_name = 'a'", ("a", "localdomain")),
        ("net_interface.0.dns_name = 'a.b@c.org'", ("a", "b.c.org")),
        ("net_interface.0.connection = 'n'", ("vnode-7", "localdomain")),
        ("", ("vnode-7", "localdomain")),
    ],
)
def test_name_of_interface_0(features: str, expected: tuple[str, str]) -> None:
    name = host_name(system(features), 0, 7)
    assert name is not None
    assert (name.host, name.domain) == expected
    assert name.fqdn == ".".join(expected)


def test_defaults_are_configurable() -> None:
    name = host_name(system(""), 0, 3, default_name="node#N#", default_domain="lan")
    assert name is not None
    assert name.fqdn == "node3.lan"


def test_other_interfaces_have_a_name_only_if_given() -> None:
    assert host_name(system("net_interface.1.connection = 'n'"), 1, 7) is None
    name = host_name(system("net_interface.1.dns_name = 'x.y'"), 1, 7)
    assert name is not None
    assert name.fqdn == "x.y"


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("net_interface.0.dns_name = 'a-#N#.b.c'", [DnsName("a-7", "b.c")]),
        ("net_interface.0.dns_name = 'a.b@c.org'", [DnsName("a.b", "c.org")]),
        ("net_interface.0.dns_name = 'a'", []),
        ("net_interface.0.dns_name = 'a.localdomain'", []),
        ("net_interface.0.dns_name = 'https://a.b/c'", []),
        ("net_interface.0.dns_name = 'a.b' and net_interface.0.dns.0.tls = 'yes'", [DnsName("a", "b", tls=True)]),
        (
            "net_interface.0.dns_name = 'a.b' and net_interface.0.dns.0.name = 'c.d'"
            " and net_interface.0.dns.1.name = 'e.f' and net_interface.0.additional_dns_names = ['g.h']",
            [DnsName("c", "d"), DnsName("e", "f"), DnsName("g", "h")],
        ),
        ("net_interface.1.dns_name = 'a.b'", []),
    ],
)
def test_names_to_register(features: str, expected: list[DnsName]) -> None:
    assert list(dns_names(system(features), 0, 7)) == expected


def test_user_sees_the_replaced_name_under_both_features() -> None:
    named = with_names(
        system(
            "net_interface.0.connection = 'n' and net_interface.1.dns.0.name = 'a-#N#.b'"
            " and net_interface.1.dns.1.name = 'c-#N#' and net_interface.2.dns_name = 'fixed.b'"
            " and net_interface.3.ip = 'x'"
        ),
        5,
    )
    assert {name: named.text(name) for name in named.features if "name" in name} == {
        "net_interface.0.dns_name": "vnode-5",
        "net_interface.0.dns.0.name": "vnode-5",
        "net_interface.1.dns_name": "a-5.b",
        "net_interface.1.dns.0.name": "a-5.b",
        "net_interface.1.dns.1.name": "c-5",
        "net_interface.2.dns_name": "fixed.b",
    }
