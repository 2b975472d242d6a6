"""Which addresses belong to the public Internet. Anything else may be the inside of somebody's network.

The standard library's own classification is used where it is sure, and completed where it depends on the version of
Python or counts addresses that carry another one as public.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

#: Addresses of clouds' own services that look public; the usual 169.254.169.254 is link-local.
_CLOUD_SERVICES: Final = frozenset({IPv4Address("168.63.129.16")})  # Azure: agents' configuration, DNS

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_TUNNELS: Final = (IPv6Network("2002::/16"), IPv4Network("192.88.99.0/24"), IPv6Network("2001::/32"))  # 6to4, Teredo
_PROTOCOL_ASSIGNMENTS: Final = IPv4Network("192.0.0.0/24")  # among them the metadata service of Oracle's clouds


def parsed(text: str) -> Address:
    """The address that `text` writes; for one that only wraps an IPv4 address, that one. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def not_public(address: Address) -> str:
    """What kind of address it is, if it is no public one; empty for a public one."""
    kinds = (
        (address in _CLOUD_SERVICES, "a cloud's metadata"),
        (address.is_loopback, "a loopback"),
        (address.is_unspecified, "an unspecified"),
        (address.is_link_local, "a link-local"),
        (address.is_multicast, "a multicast"),
        (any(address in network for network in _TUNNELS), "a tunnel"),
        (address.is_private or address in _PROTOCOL_ASSIGNMENTS, "a private"),
        (address.is_reserved, "a reserved"),
        (address.version == 6 and address not in _GLOBAL_UNICAST, "a reserved"),
        (not address.is_global, "a private"),
    )
    return next((kind for holds, kind in kinds if holds), "")
