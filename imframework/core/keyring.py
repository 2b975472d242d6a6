"""The secrets of infrastructures: cloud credentials, owners, log-in keys. Sealed in the rows, open in memory.

Everything sealed is bound to its infrastructure. Nothing here is ever logged or put into an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from imframework.api.model import JSON, Access, Credential, Identity
from imframework.core.entities import Secret
from imframework.core.infrastructure import Infrastructure
from imframework.core.secrets import SecretBox

_CREDENTIALS, _OWNERS, _KEY_PAIR = "credentials", "owners", "key_pair"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key pair in the formats of OpenSSH."""

    public: str
    private: str = field(repr=False)


class Keyring:
    """Opens and seals the secrets of all infrastructures with the service's key."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def _get(self, infra: Infrastructure, name: str) -> JSON:
        cached = infra.unsealed.get(name)
        if cached is None and (secret := infra.secrets.get(name)) is not None:
            cached = infra.unsealed[name] = self._box.open(secret.sealed, infra.id)
        return cached

    def _put(self, infra: Infrastructure, name: str, value: JSON) -> None:
        infra.unsealed[name] = value
        infra.put(Secret(name, self._box.seal(value, infra.id)))

    # --- owners --------------------------------------------------------------------------------------------

    def owner_key(self, identity: Identity) -> str:
        """The key under which infrastructures of this identity are found."""
        return self._box.owner_key(f"{identity.username}\0{identity.subject}")

    def set_owners(self, infra: Infrastructure, identities: Iterable[Identity]) -> None:
        """Remember who an infrastructure belongs to, for recipes that act in the owner's name."""
        self._put(infra, _OWNERS, [[identity.username, identity.subject] for identity in identities])

    def auth_value(self, infra: Infrastructure) -> str:
        """``user:password`` of the first owner, if a recipe asks for it; empty otherwise."""
        if "IM_INFRASTRUCTURE_AUTH" not in infra.radl:
            return ""
        owners = self._get(infra, _OWNERS) or []
        return ":".join(owners[0][1].split("\0", 1)) if owners else ""

    # --- credentials ---------------------------------------------------------------------------------------

    def credentials(self, infra: Infrastructure) -> Sequence[Credential]:
        """The cloud credentials stored with an infrastructure, in the order they were given."""
        return [Credential(id, type, fields) for id, type, fields in self._get(infra, _CREDENTIALS) or []]

    def refresh(self, infra: Infrastructure, given: Sequence[Credential]) -> bool:
        """Take over the credentials of an owner's request; whether that changed anything.

        Items are matched by id. One that is not given any more is kept: machines may still need it.
        """
        if not given or infra.deleted:
            return False
        stored = {credential.id: credential for credential in self.credentials(infra)}
        merged = {**stored, **{credential.id: credential for credential in given}}
        if merged == stored:
            return False
        self._put(infra, _CREDENTIALS, [[item.id, item.type, dict(item.fields)] for item in merged.values()])
        return True

    def forget(self, infra: Infrastructure, *, keep: bool) -> None:
        """Remove the secrets of a deleted infrastructure; `keep` those that finding what is left would need."""
        for secret in list(infra.secrets.values()):
            if not (keep and secret.name == _CREDENTIALS):
                infra.drop(secret)
                infra.unsealed.pop(secret.name, None)

    # --- log-in --------------------------------------------------------------------------------------------

    def key_pair(self, infra: Infrastructure) -> KeyPair:
        """The key pair for the machines of an infrastructure; made when first asked for."""
        stored = self._get(infra, _KEY_PAIR)
        if stored is None:
            key = Ed25519PrivateKey.generate()
            public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
            stored = [f"{public} imframework", private]
            self._put(infra, _KEY_PAIR, stored)
        return KeyPair(stored[0], stored[1])

    def complete(self, infra: Infrastructure, access: Access) -> Access:
        """An access with our key, where the cloud gave neither key nor password."""
        if access.private_key or access.password:
            return access
        return replace(access, private_key=self.key_pair(infra).private)
