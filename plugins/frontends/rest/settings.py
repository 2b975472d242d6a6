"""The options of this front end, as its modules use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imframework_plugins.frontends.rest.urls import root_path_of


@dataclass(frozen=True, slots=True)
class OaiSettings:
    """See the section *OAI-PMH* of the options reference. `identifiers` is what identifiers begin with."""

    name: str
    description: str
    identifiers: str
    admin_email: str
    page_size: int

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> OaiSettings | None:
        """The settings, None unless all are there that /oai cannot do without."""
        name, description = options["OAIPMH_REPO_NAME"], options["OAIPMH_REPO_DESCRIPTION"]
        identifiers = options["OAIPMH_REPO_BASE_IDENTIFIER_URL"]
        if not (name and description and identifiers):
            return None
        return cls(name, description, identifiers, options["OAIPMH_REPO_ADMIN_EMAIL"], options["OAIPMH_PAGE_SIZE"])


@dataclass(frozen=True, slots=True)
class Settings:
    """See the section *REST API* of the options reference. Sizes are in bytes, times in seconds.

    `cors_origin` is None when CORS is off, `blocking_call_timeout` 0 when calls are waited for without limit,
    `static_directory` and `oai` None when there are no static files, or no repository to harvest.
    """

    listen_address: str
    port: int
    tls: bool
    key_file: Path | None
    certificate_file: Path | None
    authorities_file: Path | None
    root_path: str
    blocking_calls: int
    blocking_call_timeout: float
    max_body_size: int
    request_timeout: float
    cors_origin: str | None
    static_directory: Path | None
    oai: OaiSettings | None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        """The settings that typed options say."""
        return cls(
            listen_address=options["REST_ADDRESS"],
            port=options["REST_PORT"],
            tls=options["REST_SSL"],
            key_file=options["REST_SSL_KEYFILE"],
            certificate_file=options["REST_SSL_CERTFILE"],
            authorities_file=options["REST_SSL_CA_CERTS"],
            root_path=root_path_of(options["REST_ROOT_PATH"]),
            blocking_calls=options["REST_MAX_BLOCKING_CALLS"],
            blocking_call_timeout=options["REST_BLOCKING_CALL_TIMEOUT"],
            max_body_size=options["MAX_BODY_SIZE"],
            request_timeout=options["REQUEST_TIMEOUT"],
            cors_origin=options["CORS_ORIGIN"] if options["ENABLE_CORS"] else None,
            static_directory=options["STATIC_FILES_DIR"],
            oai=OaiSettings.from_options(options),
        )
