"""What may be asked at all: schemes, and the addresses behind host names."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from imframework.fetching.addresses import Address, not_public
from imframework.fetching.errors import FetchRefused
from imframework.fetching.location import Location

Network = IPv4Network | IPv6Network

#: All that can be fetched. In particular no `file`: the files of the server are nobody's to read.
SUPPORTED_SCHEMES: Final = ("https", "http")


class Policy:
    """Public addresses, by the given schemes; others only where the operator has said so.

    `allowed_hosts` are names of hosts, addresses and networks that may be asked although they are not public. A name
    is trusted with whatever address it has; an address or network, with whatever name leads to it. `private_networks`
    are networks of the site that are not to be asked although their addresses are public.
    """

    def __init__(
        self,
        schemes: Iterable[str] = SUPPORTED_SCHEMES,
        allowed_hosts: Iterable[str] = (),
        private_networks: Iterable[Network] = (),
    ) -> None:
        """Raises ValueError for a scheme that is not supported."""
        self.schemes = tuple(scheme.lower() for scheme in schemes)
        unsupported = [scheme for scheme in self.schemes if scheme not in SUPPORTED_SCHEMES]
        if unsupported:
            raise ValueError(f"{unsupported[0]} is not a scheme that can be fetched")
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for entry in allowed_hosts:
            network = _network(entry)
            if network is None:
                self._names.add(_folded(entry))
            else:
                self._networks.append(network)
        self._private = tuple(private_networks)

    def check_location(self, location: Location) -> None:
        """Raises FetchRefused unless the scheme is allowed."""
        if location.scheme not in self.schemes:
            allowed = " and ".join(self.schemes) or "nothing"
            raise FetchRefused(f"{location.scheme} is not fetched here, only {allowed}", location)

    def check_redirect(self, origin: Location, target: Location) -> None:
        """Raises FetchRefused unless the target may be fetched by this redirect."""
        self.check_location(target)
        if origin.scheme == "https" and target.scheme != "https":
            raise FetchRefused("it redirects from https to http", target)

    def check_address(self, location: Location, address: Address) -> None:
        """Raises FetchRefused unless this address of the host may be connected to."""
        if _folded(location.host) in self._names or _in_any(address, self._networks):
            return
        kind = not_public(address)
        if not kind and _in_any(address, self._private):
            kind = "a private"
        if kind:
            reason = f"its host has {kind} address, and is not among those that the operator allows"
            raise FetchRefused(reason, location)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _folded(name: str) -> str:
    return name.rstrip(".").lower()


def _in_any(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)  # False for another version of IP
