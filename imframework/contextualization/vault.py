"""Ansible Vault texts, read without Ansible: format 1.1 and 1.2 with cipher AES256, as its documentation describes it.

The payload is three hexadecimal lines, themselves in hexadecimal: salt, HMAC-SHA256 and ciphertext. PBKDF2 makes of
password and salt the key of AES-256-CTR, that of the HMAC, and the first counter block.
"""

from __future__ import annotations

from binascii import Error, unhexlify

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

MARK = "$ANSIBLE_VAULT"
_ITERATIONS = 10_000


class VaultError(Exception):
    """A text that cannot be decrypted; the message says why, for the user."""


def is_encrypted(text: str) -> bool:
    """Whether a text is one as a whole."""
    return text.startswith(MARK)


def decrypt(text: str, password: str) -> str:
    """The plain text.

    Raises:
        VaultError: wrong password, or not a text of this format.
    """
    header, *lines = text.split()
    version, _, rest = header.partition(";")[2].partition(";")
    if version not in ("1.1", "1.2") or rest.partition(";")[0] != "AES256":
        raise VaultError(f"the header of the Ansible Vault text is not understood: {header[:60]}")
    try:
        salt, signature, ciphertext = map(unhexlify, unhexlify("".join(lines)).split(b"\n", 2))
    except (Error, ValueError):
        raise VaultError("the Ansible Vault text is damaged") from None
    keys = PBKDF2HMAC(SHA256(), 80, salt, _ITERATIONS).derive(password.encode())
    key, hmac_key, counter = keys[:32], keys[32:64], keys[64:]
    mac = HMAC(hmac_key, SHA256())
    mac.update(ciphertext)
    try:
        mac.verify(signature)
    except InvalidSignature:
        raise VaultError("vault.password is not the password of the Ansible Vault text") from None
    decryptor = Cipher(AES256(key), CTR(counter)).decryptor()
    unpadder = PKCS7(128).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    return (unpadder.update(padded) + unpadder.finalize()).decode()
