"""Whose word is taken for the address of a client."""

from ipaddress import ip_network

import pytest

from imframework.api.http_settings import Proxies

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "fd00::7", "::ffff:10.1.2.3"])
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
        (" 2001:DB8::1 ", "2001:db8::1"),
    ],
)
def test_a_trusted_proxy_tells_who_its_client_is(peer, forwarded, client):
    assert Proxies(TRUSTED).client(peer, forwarded) == client


@pytest.mark.parametrize("forwarded", ["", "junk", "192.0.2.7, ", "192.0.2.7:80", "192.0.2.7, unknown"])
def test_what_is_no_address_tells_nothing(forwarded):
    assert Proxies(TRUSTED).client("10.1.2.3", forwarded) == "10.1.2.3"


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "", "/run/socket"])
def test_nobody_else_is_believed(peer):
    assert Proxies(TRUSTED).client(peer, "192.0.2.7") == peer
    assert Proxies(()).client(peer, "192.0.2.7") == peer


def test_no_more_addresses_are_remembered_than_a_cache_may_have():
    proxies = Proxies(TRUSTED)
    for number in range(3000):
        proxies.client(f"10.0.{number // 256}.{number % 256}", "192.0.2.7")
    assert len(proxies._known) <= proxies._MOST
