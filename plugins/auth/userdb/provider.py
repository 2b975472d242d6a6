"""Judging InfrastructureManager items with a user name and password. Items with a token are left to others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from imframework.api.auth import AuthProvider
from imframework.api.errors import ConfigurationError, Unauthenticated
from imframework.api.model import Credential, Identity
from imframework_plugins.auth.userdb import declaration
from imframework_plugins.auth.userdb.users import UserFile, fingerprint

#: What names of token users begin with. Passwords must not be able to spell one.
OPENID_PREFIX = "__OPENID__"


class UserDatabase(AuthProvider):
    """Users of the file USER_DB; without one, each name and password is a user of its own."""

    info = declaration.info

    def __init__(self, options: Mapping[str, object]) -> None:
        super().__init__(options)
        path = options.get("USER_DB")
        self._users = UserFile(Path(str(path))) if path else None
        self._admins = frozenset(_administrators(options.get("ADMIN_USER") or ()))
        self._tokens_only = bool(options.get("FORCE_OIDC_AUTH"))

    @property
    def blocking(self) -> bool:
        """Only while the file holds password hashes: they are slow on purpose."""
        users = self._users and self._users.current()
        return bool(users and users.hashed)

    def authenticate(self, item: Credential) -> Identity | None:
        """Who a name and password belong to; None for an item with a token or of another type."""
        if item.type.lower() != "infrastructuremanager" or item.get("token"):
            return None
        if self._tokens_only:
            raise Unauthenticated("No token provided for the InfrastructureManager.")
        username, password = item.get("username"), item.get("password")
        if not username:
            raise Unauthenticated("No username nor token for the InfrastructureManager.")
        if username.startswith(OPENID_PREFIX):
            raise Unauthenticated("Invalid username used for the InfrastructureManager.")
        # A NUL in the name could make the subject of one user spell that of another.
        if not password or "\0" in username or not self._admit(username, password):
            raise Unauthenticated("Invalid InfrastructureManager credentials")
        return Identity(username, f"{username}\0{password}", admin=fingerprint(username, password) in self._admins)

    def _admit(self, username: str, password: str) -> bool:
        if self._users is None:
            return True
        users = self._users.current()
        return users is not None and users.admit(username, password)


def _administrators(entries: object) -> Iterable[bytes]:
    """Fingerprints of the plain administrators; entries of token users are for the plugin that knows tokens."""
    if not isinstance(entries, list | tuple):
        entries = (entries,)
    for number, entry in enumerate(entries, 1):
        username = entry.get("username") if isinstance(entry, Mapping) else None
        password = entry.get("password") if isinstance(entry, Mapping) else None
        if not (isinstance(username, str) and isinstance(password, str) and username and password):
            raise ConfigurationError(f'ADMIN_USER: entry {number} needs a "username" and a "password".')
        if not username.startswith(OPENID_PREFIX):
            yield fingerprint(username, password)
