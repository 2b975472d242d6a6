"""TLS out of the files that im.cfg names."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from imframework.api.errors import ConfigurationError

logger = logging.getLogger("imframework.rest")


def server_context(certificate: Path | None, key: Path | None, chain: Path | None) -> ssl.SSLContext:
    """A context for a server. `chain` holds the authorities between its certificate and the clients' trusted roots.

    The file of the chain may be missing: its option has a default, and many certificates need none.

    Raises:
        ConfigurationError: the certificate or its key is missing or wrong, or the chain is wrong.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if certificate is None:
        raise ConfigurationError("REST_SSL needs REST_SSL_CERTFILE")
    try:
        # A wrong pass phrase is an error; without the argument OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"REST_SSL_CERTFILE = {certificate}, REST_SSL_KEYFILE = {key}: cannot be used: {error}"
        ) from None
    if chain is None:
        return context
    try:
        # Clients are not asked for certificates: OpenSSL completes the server's chain from these.
        context.load_verify_locations(chain)
    except FileNotFoundError:
        logger.info("REST_SSL_CA_CERTS = %s: no such file; the certificate file is sent alone", chain)
    except OSError as error:
        raise ConfigurationError(f"REST_SSL_CA_CERTS = {chain}: cannot be used: {error}") from None
    return context
