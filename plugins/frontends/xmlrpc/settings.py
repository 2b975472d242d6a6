"""The options of this front end, as its modules use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """See the section *XML-RPC API* of the options reference. Sizes are in bytes, times in seconds.

    `blocking_call_timeout` is 0 when calls are waited for without limit.
    """

    listen_address: str
    port: int
    tls: bool
    key_file: Path | None
    certificate_file: Path | None
    authorities_file: Path | None
    json_machines: bool
    blocking_calls: int
    blocking_call_timeout: float
    max_body_size: int
    request_timeout: float

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        """The settings that typed options say."""
        return cls(
            listen_address=options["XMLRCP_ADDRESS"],
            port=options["XMLRCP_PORT"],
            tls=options["XMLRCP_SSL"],
            key_file=options["XMLRCP_SSL_KEYFILE"],
            certificate_file=options["XMLRCP_SSL_CERTFILE"],
            authorities_file=options["XMLRCP_SSL_CA_CERTS"],
            json_machines=options["VMINFO_JSON"],
            blocking_calls=options["REST_MAX_BLOCKING_CALLS"],
            blocking_call_timeout=options["REST_BLOCKING_CALL_TIMEOUT"],
            max_body_size=options["MAX_BODY_SIZE"],
            request_timeout=options["REQUEST_TIMEOUT"],
        )
