"""TLS for front ends, out of the files that im.cfg names, and out of their new contents when these change.

A front end makes one `ServerTls` when it starts and hands it to its server in the place of an `ssl.SSLContext`: every
new connection uses the files as they are by then; connections that exist are left alone.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

from imframework.api.errors import ConfigurationError

logger = logging.getLogger("imframework.frontends")

#: Seconds within which a change of the files is noticed.
PERIOD: Final = 1.0

#: For TLS 1.2: forward secrecy and authenticated encryption only. (Those of TLS 1.3 have no others.)
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_Stamp: TypeAlias = tuple[int, int, int] | None


class ServerTls(ssl.SSLContext):
    """A context for a server that follows its files.

    TLS 1.2 and later are spoken. If the file of authorities exists, clients may show a certificate, and one that these
    authorities have not issued is refused; the authorities also complete the chain of the server's own certificate.
    """

    def __new__(cls, prefix: str, certificate: Path | None, key: Path | None, authorities: Path | None) -> ServerTls:
        """See `__init__`."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, prefix: str, certificate: Path | None, key: Path | None, authorities: Path | None) -> None:
        """`prefix` is that of the options' names (``REST``), for what errors and the log say.

        The file of authorities may be missing: its option has a default, and many sites need none.

        Raises:
            ConfigurationError: the certificate or its key is missing or wrong, or the file of authorities is wrong.
        """
        if certificate is None:
            raise ConfigurationError(f"{prefix}_SSL needs {prefix}_SSL_CERTFILE")
        self._prefix, self._certificate, self._key, self._authorities = prefix, certificate, key, authorities
        self._stamps = self._stamps_now()
        self._context = self._load()
        self._looked = time.monotonic()

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """TLS on a new connection, with the files as they are."""
        return self.current().wrap_socket(sock, *args, **kwargs)

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """TLS on a new connection, with the files as they are."""
        return self.current().wrap_bio(incoming, outgoing, *args, **kwargs)

    def current(self) -> ssl.SSLContext:
        """The context for a new connection. Files that cannot be used are logged, and the former ones stay in use."""
        now = time.monotonic()
        if now - self._looked < PERIOD:
            return self._context
        self._looked = now
        # Looked at before they are read: what changes in between is seen as another change.
        stamps = self._stamps_now()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._context = self._load()
            except ConfigurationError as error:
                logger.error("TLS goes on with the former certificate. %s", error)
            else:
                logger.info("%s_SSL_CERTFILE = %s: taken up anew", self._prefix, self._certificate)
        return self._context

    def _stamps_now(self) -> list[_Stamp]:
        return [_stamp(path) for path in (self._certificate, self._key, self._authorities) if path is not None]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        certificate, key, authorities = self._certificate, self._key, self._authorities
        try:
            # A wrong pass phrase is an error; without the argument OpenSSL would ask for it on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self._prefix}_SSL_CERTFILE = {certificate}, {self._prefix}_SSL_KEYFILE = {key}: "
                f"cannot be used: {error}"
            ) from None
        if authorities is None:
            return context
        try:
            context.load_verify_locations(authorities)
        except FileNotFoundError:
            logger.info("%s_SSL_CA_CERTS = %s: no such file; clients show no certificates", self._prefix, authorities)
        except OSError as error:
            raise ConfigurationError(f"{self._prefix}_SSL_CA_CERTS = {authorities}: cannot be used: {error}") from None
        else:
            context.verify_mode = ssl.CERT_OPTIONAL
            # An authority that the operator names is trusted, whoever vouches for it.
            context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        return context


def _stamp(path: Path) -> _Stamp:
    """What changes when a file does; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
