"""What TOSCA documents may refer to, as im.cfg says: the one place where those options meet `imframework.fetching`."""

from __future__ import annotations

from collections.abc import Callable

from imframework.fetching import ArtifactFolder, Fetcher, Limits, Policy
from imframework.languages.tosca import Sources
from imframework.languages.tosca.sources import no_artifact
from imframework.settings import Settings


def tosca_sources(settings: Settings) -> Callable[[], Sources]:
    """What makes the `Sources` of one document after the other; each has its share of time and size, all one cache.

    Called once in a process. `settings` have passed their checks.
    """
    policy = Policy(settings.TOSCA_ALLOWED_SCHEMES, settings.TOSCA_ALLOWED_HOSTS, settings.PRIVATE_NET_MASKS)
    fetcher = Fetcher(policy, Limits(timeout=settings.TOSCA_FETCH_TIMEOUT, max_bytes=settings.TOSCA_FETCH_MAX_SIZE))
    directory = settings.TOSCA_ARTIFACTS_DIR
    artifact = no_artifact if directory is None else ArtifactFolder(directory, settings.TOSCA_FETCH_MAX_SIZE)
    artifacts_url = settings.TOSCA_ARTIFACTS_URL.rstrip("/") + "/"

    def sources() -> Sources:
        return Sources(
            fetch=fetcher.for_document(),
            artifact=artifact,
            artifacts_url=artifacts_url,
            templates=settings.OAIPMH_REPO_BASE_IDENTIFIER_URL,
        )

    return sources
