"""Which addresses are public, whatever they are wrapped in."""

import pytest

from imframework.fetching.addresses import not_public, parsed


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "140.82.112.3",
        "172.32.0.1",
        "2606:50c0:8000::153",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_an_address_of_the_internet_is_public(address):
    assert not_public(parsed(address)) == ""


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback"),
        ("127.255.0.3", "a loopback"),
        ("::1", "a loopback"),
        ("0.0.0.0", "an unspecified"),  # noqa: S104 - an address to refuse
        ("::", "an unspecified"),
        ("0.1.2.3", "a private"),
        ("10.1.2.3", "a private"),
        ("172.16.0.1", "a private"),
        ("192.168.1.1", "a private"),
        ("192.0.0.192", "a private"),
        ("192.88.99.1", "a tunnel"),
        ("100.64.0.1", "a private"),
        ("100.100.100.200", "a private"),
        ("198.18.0.1", "a private"),
        ("203.0.113.5", "a private"),
        ("169.254.169.254", "a link-local"),
        ("169.254.170.2", "a link-local"),
        ("fe80::1", "a link-local"),
        ("fe80::1%eth0", "a link-local"),
        ("168.63.129.16", "a cloud's metadata"),
        ("224.0.0.1", "a multicast"),
        ("ff02::1", "a multicast"),
        ("240.0.0.1", "a private"),
        ("255.255.255.255", "a private"),
        ("fd00:ec2::254", "a private"),
        ("fec0::1", "a reserved"),
        ("5f00::1", "a reserved"),
        ("::127.0.0.1", "a reserved"),
        ("::ffff:127.0.0.1", "a loopback"),
        ("::ffff:169.254.169.254", "a link-local"),
        ("64:ff9b::7f00:1", "a loopback"),
        ("64:ff9b::a9fe:a9fe", "a link-local"),
        ("64:ff9b:1::a00:1", "a private"),
        ("2002:7f00:1::", "a tunnel"),
        ("2002:808:808::", "a tunnel"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "a tunnel"),
        ("2001:db8::1", "a private"),
    ],
)
def test_any_other_address_is_not(address, kind):
    found = not_public(parsed(address))

    assert found
    # Versions of Python differ in what they call private and what reserved.
    assert found == kind or {found, kind} <= {"a private", "a reserved"}
