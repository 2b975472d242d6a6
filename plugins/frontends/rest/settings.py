"""The options of this front end alone, as its modules use them."""

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
    """See the section *REST API* of the options reference.

    `cors_origin` is None when CORS is off, `static_directory` and `oai` when there are no static files, or no
    repository to harvest.
    """

    root_path: str
    cors_origin: str | None
    static_directory: Path | None
    oai: OaiSettings | None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        """The settings that typed options say."""
        return cls(
            root_path=root_path_of(options["REST_ROOT_PATH"]),
            cors_origin=options["CORS_ORIGIN"] if options["ENABLE_CORS"] else None,
            static_directory=options["STATIC_FILES_DIR"],
            oai=OaiSettings.from_options(options),
        )
