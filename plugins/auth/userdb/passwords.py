"""Password hashes as they may stand in USER_DB: the text form of passlib and of the PHC string format.

============================================================  ==========================================
form                                                          limits
============================================================  ==========================================
``$scrypt$ln=<log2 n>,r=<r>,p=<p>$<salt>$<hash>``             ln 1 to 20, r 1 to 32, p 1 to 16, 256 MiB
``$pbkdf2-sha256$<iterations>$<salt>$<hash>``, also -sha512   1 to 10,000,000 iterations
============================================================  ==========================================

Salt (8 to 64 bytes) and hash (16 to 64 bytes) are base64 without padding; ``.`` may stand for ``+``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_FORM = re.compile(r"\$([a-z0-9-]+)\$([a-z0-9=,]+)\$([A-Za-z0-9+./]+)\$([A-Za-z0-9+./]+)")
_SCRYPT = re.compile(r"ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})")
_ITERATIONS = re.compile(r"\d{1,8}")
_MAX_MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """One hash. `cost` is (log2 n, r, p) for scrypt and (iterations,) for PBKDF2."""

    scheme: str
    cost: tuple[int, ...]
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read the text form. `ValueError` says what is wrong with it, without showing it."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("is not of the form $scheme$parameters$salt$hash")
        scheme, cost = match[1], _cost(match[1], match[2])
        salt, digest = _bytes(match[3]), _bytes(match[4])
        if not (8 <= len(salt) <= 64 and 16 <= len(digest) <= 64):
            raise ValueError("needs a salt of 8 to 64 bytes and a hash of 16 to 64")
        return cls(scheme, cost, salt, digest)

    @classmethod
    def make(cls, password: str, scheme: str = "scrypt", cost: tuple[int, ...] = (14, 8, 1)) -> PasswordHash:
        """A hash of a new password, with a salt of its own; by default scrypt with 16 MiB, some 50 ms of work."""
        salt = secrets.token_bytes(16)
        return cls(scheme, cost, salt, _derive(password, scheme, cost, salt, length=32))

    def __str__(self) -> str:
        cost = "ln={},r={},p={}".format(*self.cost) if self.scheme == "scrypt" else str(self.cost[0])
        salt, digest = (base64.b64encode(part).decode().rstrip("=") for part in (self.salt, self.digest))
        return f"${self.scheme}${cost}${salt}${digest}"

    def verify(self, password: str) -> bool:
        """Whether this is the hash of a password; takes the time that its parameters ask for."""
        derived = _derive(password, self.scheme, self.cost, self.salt, length=len(self.digest))
        return hmac.compare_digest(derived, self.digest)


def _derive(password: str, scheme: str, cost: tuple[int, ...], salt: bytes, length: int) -> bytes:
    if scheme == "scrypt":
        log_n, r, p = cost
        return hashlib.scrypt(
            password.encode(), salt=salt, n=1 << log_n, r=r, p=p, dklen=length, maxmem=2 * _MAX_MEMORY
        )
    return hashlib.pbkdf2_hmac(scheme.removeprefix("pbkdf2-"), password.encode(), salt, cost[0], length)


def _cost(scheme: str, text: str) -> tuple[int, ...]:
    """The parameters of a scheme, within limits that keep a typing error from stopping the server."""
    if scheme == "scrypt" and (match := _SCRYPT.fullmatch(text)):
        log_n, r, p = (int(number) for number in match.groups())
        if 1 <= log_n <= 20 and 1 <= r <= 32 and 1 <= p <= 16 and 128 * r << log_n <= _MAX_MEMORY:
            return log_n, r, p
        raise ValueError("has scrypt parameters out of range")
    if scheme in ("pbkdf2-sha256", "pbkdf2-sha512") and _ITERATIONS.fullmatch(text):
        if 1 <= int(text) <= 10_000_000:
            return (int(text),)
        raise ValueError("has a number of iterations out of range")
    raise ValueError("has an unknown scheme or parameters (known: scrypt, pbkdf2-sha256, pbkdf2-sha512)")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("has a salt or hash that is not base64") from None
