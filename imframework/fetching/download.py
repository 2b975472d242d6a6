"""One file by its URL: through redirects, each hop checked like the first, to a text and how long it holds."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from imframework.fetching.cache import Entry, Validators
from imframework.fetching.deadline import Deadline
from imframework.fetching.errors import FetchFailed, FetchRefused
from imframework.fetching.exchange import Answer, exchange
from imframework.fetching.limits import Limits
from imframework.fetching.location import Location
from imframework.fetching.names import Resolver, addresses_of
from imframework.fetching.policy import Policy

#: The longest time (s) for which a file counts as current without its server being asked.
MAX_FRESH: Final = 60.0
_MAX_VALIDATOR: Final = 500
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Download:
    """What a download brought, for how many seconds it is current, and whether it may be kept at all."""

    text: str
    fresh_for: float
    validators: Validators | None
    storable: bool


@dataclass(frozen=True, slots=True)
class Downloader:
    """Downloads by a policy, within limits."""

    policy: Policy
    limits: Limits
    resolver: Resolver
    context: ssl.SSLContext

    def download(self, start: Location, known: Entry | None = None) -> Download:
        """The file at `start`; not sent again if it is still the one `known`. Raises FetchError."""
        deadline = Deadline(self.limits.timeout)
        self.policy.check_location(start)
        location = start
        try:
            for _ in range(self.limits.redirects + 1):
                validators = _applicable(known, location)
                answer = self._ask(location, _conditions(validators), deadline)
                if answer.status == HTTPStatus.NOT_MODIFIED and known is not None and validators is not None:
                    return _unchanged(answer, known)
                if answer.status not in _REDIRECTS:
                    return _judged(answer, location)
                target = location.follow(_redirection(answer, location))
                self.policy.check_redirect(location, target)
                location = target
        except TimeoutError:
            raise FetchFailed(f"there is no complete answer within {deadline.seconds:g} s", location) from None
        raise FetchRefused(f"it redirects more than {self.limits.redirects} times", start)

    def _ask(self, location: Location, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        addresses = addresses_of(location, self.resolver, deadline)
        for address in addresses:
            self.policy.check_address(location, address)
        return exchange(
            location,
            addresses,
            headers=headers,
            max_bytes=self.limits.max_bytes,
            deadline=deadline,
            context=self.context,
        )


def _redirection(answer: Answer, location: Location) -> str:
    target = answer.headers.get("Location", "")
    if not target:
        raise FetchFailed("it redirects without saying where to", location)
    # Headers are read as Latin-1, but what is not ASCII in a URL is meant as UTF-8.
    return target.encode("latin-1", "replace").decode("utf-8", "replace")


def _applicable(known: Entry | None, location: Location) -> Validators | None:
    """What to ask by: validators are meant for the place that gave them, and no other."""
    if known is None or known.validators is None or known.validators.url != location.url:
        return None
    return known.validators


def _conditions(validators: Validators | None) -> dict[str, str]:
    if validators is None:
        return {}
    if validators.etag:
        return {"If-None-Match": validators.etag}
    return {"If-Modified-Since": validators.modified}


def _unchanged(answer: Answer, known: Entry) -> Download:
    storable, fresh = _freshness(answer.headers)
    return Download(known.text, fresh or 0.0, known.validators, storable)


def _judged(answer: Answer, location: Location) -> Download:
    if answer.status != HTTPStatus.OK:
        raise FetchFailed(f"its server answers {_status(answer.status)}", location)
    storable, fresh = _freshness(answer.headers)
    validators = _validators(answer.headers, location)
    if fresh is None:
        # A server that can tell whether a file has changed is asked each time; one that cannot is spared.
        fresh = MAX_FRESH if validators is None else 0.0
    return Download(_text(answer.body, location), fresh, validators, storable)


def _text(body: bytes, location: Location) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchFailed(f"it is not UTF-8 text (byte {error.start + 1})", location) from None


def _validators(headers: Mapping[str, str], location: Location) -> Validators | None:
    etag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    usable = [text if len(text) <= _MAX_VALIDATOR and text.isprintable() else "" for text in (etag, modified)]
    return Validators(location.url, *usable) if any(usable) else None


def _freshness(headers: Mapping[str, str]) -> tuple[bool, float | None]:
    """Whether the answer may be kept, and for how many seconds it holds; None if the server does not say."""
    control = headers.get("Cache-Control", "").lower()
    if "no-store" in control:
        return False, 0.0
    if "no-cache" in control:
        return True, 0.0
    found = _MAX_AGE.search(control)
    if found is None:
        return True, None
    age = headers.get("Age", "")
    return True, min(MAX_FRESH, max(0.0, float(found[1]) - (float(age) if age.isdecimal() else 0.0)))


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
