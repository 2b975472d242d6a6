"""The options that HTTP front ends have in common, and the addresses of clients behind proxies.

Nothing here costs anything to import, so that declarations of plugins can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_OF_EACH: Final = ("ADDRESS", "PORT", "SSL", "SSL_KEYFILE", "SSL_CERTFILE", "SSL_CA_CERTS")
_OF_ALL: Final = (
    "REST_MAX_BLOCKING_CALLS", "REST_BLOCKING_CALL_TIMEOUT", "MAX_BODY_SIZE", "REQUEST_TIMEOUT", "TRUSTED_PROXIES",
)  # fmt: skip


def option_names(prefix: str) -> tuple[str, ...]:
    """The options of an HTTP front end, of which those of its own begin with `prefix` (``REST``)."""
    return (*(f"{prefix}_{name}" for name in _OF_EACH), *_OF_ALL)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """See these options in the reference. Sizes are in bytes, times in seconds.

    `blocking_call_timeout` is 0 when calls are waited for without limit.
    """

    prefix: str
    listen_address: str
    port: int
    tls: bool
    key_file: Path | None
    certificate_file: Path | None
    authorities_file: Path | None
    blocking_calls: int
    blocking_call_timeout: float
    max_body_size: int
    request_timeout: float
    trusted_proxies: Networks

    @classmethod
    def from_options(cls, prefix: str, options: Mapping[str, Any]) -> HttpSettings:
        """The settings that typed options say."""
        return cls(prefix, *(options[name] for name in option_names(prefix)))


class Proxies:
    """The proxies whose word is taken for who their clients are."""

    #: How many addresses are remembered.
    _MOST = 1024

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def client(self, peer: str, forwarded: str) -> str:
        """The address of the client of a connection from `peer` with an X-Forwarded-For header.

        It is the last one of the header, which the proxy itself has added, if `peer` is a trusted proxy; else `peer`.
        """
        trusted = self._known.get(peer)
        if trusted is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            trusted = self._known[peer] = self._trusts(peer)
        if not trusted:
            return peer
        try:
            return str(ip_address(forwarded.rpartition(",")[2].strip()))
        except ValueError:
            return peer

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)
