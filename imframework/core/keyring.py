"""The secrets of infrastructures: cloud credentials, owners, log-in keys. Sealed in the rows, open in memory.

Everything sealed is bound to its infrastructure. Nothing here is ever logged or put into an event.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from imframework.api.model import JSON, Access, Credential, Identity
from imframework.core.entities import Secret
from imframework.core.infrastructure import Infrastructure
from imframework.core.secrets import SecretBox
from imframework.languages.radl import is_secret

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
        """Have an infrastructure belong to these. Who they are is kept for exports, and for recipes in their name."""
        owners = {self.owner_key(identity): identity for identity in identities}
        infra.owners = frozenset(owners)
        infra.owner_names = tuple(identity.username for identity in owners.values())
        self._put(infra, _OWNERS, [[identity.username, identity.subject] for identity in owners.values()])
        infra.touch()

    def owners(self, infra: Infrastructure) -> Sequence[Identity]:
        """Who an infrastructure belongs to, in the order in which they became its owners."""
        return [Identity(username, subject) for username, subject in self._get(infra, _OWNERS) or []]

    def digest(self, purpose: str, *parts: str) -> str:
        """A keyed digest of texts, 64 hexadecimal digits: the same for ever, and it tells nothing of them."""
        return self._box.owner_key("\0".join((f"\0{purpose}", *parts)))

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

    def sealed_credentials(self, infra: Infrastructure) -> Secret | None:
        """The record of these credentials: another one whenever they change."""
        return infra.secrets.get(_CREDENTIALS)

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

    def renew(self, infra: Infrastructure, given: Sequence[Credential]) -> bool:
        """Take over credentials of somebody who is no owner: new ones, and new secrets of accounts that are known.

        An item that has the id of a stored one and is of another account is left alone: what was made in one account
        must never be looked for in another.
        """
        stored = {credential.id: credential for credential in self.credentials(infra)}
        return self.refresh(
            infra, [item for item in given if item.id not in stored or _same_account(item, stored[item.id])]
        )

    def forget_credentials(self, infra: Infrastructure) -> None:
        """Remove the cloud credentials."""
        if (secret := infra.secrets.get(_CREDENTIALS)) is not None:
            infra.drop(secret)
            infra.unsealed.pop(_CREDENTIALS, None)

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

    def adopt_key_pair(self, infra: Infrastructure, private: str) -> bool:
        """Have an infrastructure use a key pair that its machines know already; whether that is one."""
        for load in (load_ssh_private_key, load_pem_private_key):
            try:
                public = load(private.encode(), None).public_key()
                line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            except (ValueError, TypeError, UnsupportedAlgorithm):
                continue
            self._put(infra, _KEY_PAIR, [f"{line} imframework", private])
            return True
        return False

    def has_key_pair(self, infra: Infrastructure) -> bool:
        """Whether the key pair of an infrastructure has been made."""
        return _KEY_PAIR in infra.secrets

    def has_key(self, infra: Infrastructure, private: str) -> bool:
        """Whether this is the private key of an infrastructure; it need not have one."""
        stored = self._get(infra, _KEY_PAIR)
        return bool(private and stored) and hmac.compare_digest(stored[1].encode(), private.encode())

    def complete(self, infra: Infrastructure, access: Access) -> Access:
        """An access with our key, where the cloud gave neither key nor password."""
        if access.private_key or access.password:
            return access
        return replace(access, private_key=self.key_pair(infra).private)


def _same_account(one: Credential, other: Credential) -> bool:
    """Whether two credentials differ in secrets only."""
    return one.type == other.type and _open(one) == _open(other)


def _open(credential: Credential) -> dict[str, str]:
    return {name: value for name, value in credential.fields.items() if not is_secret(name)}
