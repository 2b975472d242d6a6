"""Why something was not fetched, in words that may be shown to whoever named the URL."""

from __future__ import annotations

from imframework.api.errors import InvalidRequest


class FetchError(InvalidRequest):
    """Nothing was fetched. `reason` says why, `place` is the URL without its secrets; the text is both."""

    code = "fetch_failed"

    def __init__(self, reason: str, place: object = "") -> None:
        self.reason = reason
        self.place = str(place)
        super().__init__(f"{reason} ({self.place})" if self.place else reason)


class FetchFailed(FetchError):
    """It was tried, and did not work: not found, not reachable, too slow, too large, no text."""


class FetchRefused(FetchError):
    """It is not allowed: the scheme, the address, or what it redirects to. Trying again does not help."""

    code = "fetch_refused"
