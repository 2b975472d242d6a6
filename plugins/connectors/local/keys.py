"""Keys: those that machines identify themselves with, and those that let users in."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from imframework.api.errors import CloudRefused


def new_host_key() -> tuple[str, str]:
    """The public key, as in known_hosts, and the private key of a new machine; both in the form of OpenSSH."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return public.decode("ascii"), private.decode("ascii")


def check_public_key(text: str) -> str:
    """The key without white space around it, if it lets in its owner and does nothing else.

    Raises:
        imframework.api.errors.CloudRefused: it is not one plain OpenSSH public key.
    """
    key = text.strip()
    try:
        if "\n" in key or "\r" in key:
            raise ValueError("several lines")
        load_ssh_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise CloudRefused("The machine could not be reached: its public key is not one in OpenSSH's form.") from None
    return key
