"""SSH key pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves in OpenSSH's formats: the private one as in ``id_ed25519``, the public one as in authorized_keys."""

    private: str = field(repr=False)
    public: str


def generate_key_pair(comment: str = "") -> KeyPair:
    """A new Ed25519 pair, not encrypted."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(private, f"{public} {comment}".rstrip())
