"""Host names and DNS names of machines: ``#N#``, defaults, and the split into host and domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imframework.languages.radl.document import System
from imframework.languages.radl.features import Features

DEFAULT_NAME: Final = "vnode-#N#"
DEFAULT_DOMAIN: Final = "localdomain"
_NUMBER: Final = "#N#"


@dataclass(frozen=True, slots=True)
class HostName:
    """A name of a machine, split at its first dot."""

    host: str
    domain: str

    @property
    def fqdn(self) -> str:
        """The full name."""
        return f"{self.host}.{self.domain}" if self.domain else self.host


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name to register: `record` within `zone`, with a certificate if `tls`."""

    record: str
    zone: str
    tls: bool = False


def host_name(
    system: System,
    interface: int,
    number: int,
    *,
    default_name: str = DEFAULT_NAME,
    default_domain: str = DEFAULT_DOMAIN,
) -> HostName | None:
    """The name of an interface of machine `number` of the infrastructure; None if it has none.

    Interface 0 always has one: `default_name` if the document gives none.
    """
    features = system.features
    prefix = f"net_interface.{interface}"
    name = features.text(f"{prefix}.dns.0.name") or features.text(f"{prefix}.dns_name")
    if not name:
        if interface != 0:
            return None
        name = default_name
    host, _, domain = _numbered(name, number).replace("@", ".").partition(".")
    return HostName(host, domain or default_domain)


def dns_names(
    system: System, interface: int, number: int, *, default_domain: str = DEFAULT_DOMAIN
) -> tuple[DnsName, ...]:
    """The names of an interface to register in a DNS service: those with a domain other than the default one.

    ``host.part@zone`` is split at the ``@`` instead of at the first dot.
    """
    features = system.interfaces().get(interface, Features())
    entries = features.numbered("dns")
    wanted = {index: (entry.text("name") or "", entry.is_yes("tls")) for index, entry in entries.items()}
    first, first_tls = wanted.pop(0, ("", False))
    plain = [(name, False) for name in features.texts("additional_dns_names")]
    names = []
    for name, tls in [(first or features.text("dns_name") or "", first_tls), *wanted.values(), *plain]:
        record, _, zone = _numbered(name, number).partition("@" if "@" in name else ".")
        if record and zone and zone != default_domain and "/" not in name:  # a URL asks for an ingress, not a record
            names.append(DnsName(record, zone, tls))
    return tuple(names)


def with_names(system: System, number: int, *, default_name: str = DEFAULT_NAME) -> System:
    """A copy of `system` as the user sees machine `number`: ``#N#`` replaced, and interface 0 named.

    A name that had ``#N#``, or was not given, appears both as ``dns_name`` and as ``dns.0.name``.
    """
    named = system.copy()
    for interface, features in system.interfaces().items():
        prefix = f"net_interface.{interface}"
        given = features.text("dns.0.name") or features.text("dns_name")
        name = given or (default_name if interface == 0 else "")
        if name and (not given or _NUMBER in name):
            named.set(f"{prefix}.dns_name", _numbered(name, number))
            named.set(f"{prefix}.dns.0.name", _numbered(name, number))
        for index, entry in features.numbered("dns").items():
            if index > 0 and _NUMBER in (entry.text("name") or ""):
                named.set(f"{prefix}.dns.{index}.name", _numbered(entry.text("name") or "", number))
    return named


def _numbered(name: str, number: int) -> str:
    return name.replace(_NUMBER, str(number))
