"""Settings that follow from others where the operator has not set them.

Which plugins are used follows from the options too, but is the registry's business.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from imframework.api.data_url import DataUrl
from imframework.settings.model import Settings

_STATE_DIR = Path("/var/lib/im")
_PRIVATE_IPV6 = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))


def derive(settings: Settings) -> Settings:
    """The settings with every value that depends on others filled in, so that nobody needs to know how."""
    state_dir = settings.STATE_DIR or _state_dir(settings.DATA_DB)
    return settings.replace(
        STATE_DIR=state_dir,
        SECRET_KEY_FILE=settings.SECRET_KEY_FILE or state_dir / "encryption.key",
        PRIVATE_NET_MASKS=_private_networks(settings.PRIVATE_NET_MASKS),
        VM_INFO_UPDATE_ERROR_GRACE_PERIOD=max(
            settings.VM_INFO_UPDATE_ERROR_GRACE_PERIOD, settings.VM_INFO_UPDATE_FREQUENCY + 1
        ),
    )


def _state_dir(database: DataUrl) -> Path:
    return database.path.with_name(f"{database.path.name}.state") if database.path else _STATE_DIR


def _private_networks(networks: tuple[IPv4Network | IPv6Network, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Lists written for IPv4 alone must not make every private IPv6 address public."""
    return networks if any(network.version == 6 for network in networks) else (*networks, *_PRIVATE_IPV6)
