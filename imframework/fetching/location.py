"""A URL taken apart once, so that what is checked is what is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from imframework.fetching.errors import FetchRefused

#: Longer URLs are refused; servers commonly take 8,000 characters.
MAX_LENGTH: Final = 4096
_MAX_SHOWN: Final = 150
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """Where something is. `str()` of it may be shown: it has no login, query or fragment.

    `url` is normalised and has no fragment, `host` is in lower case, of an IPv6 address without its brackets, `target`
    is the path with the query, and `login` the ``user:password`` before the host, percent-encoded, if there is any.
    """

    url: str
    scheme: str
    host: str
    port: int
    target: str
    login: str
    shown: str

    @classmethod
    def parse(cls, text: str) -> Location:
        """The location that a complete URL names. Raises FetchRefused."""
        if len(text) > MAX_LENGTH:
            raise FetchRefused(f"the URL has more than {MAX_LENGTH} characters", f"{_place(text)}…")
        try:
            parts = parse_url(text)
        except LocationParseError:
            raise FetchRefused("this is not a valid URL", _place(text)) from None
        if not parts.scheme or (parts.scheme in _PORTS and not parts.host):
            raise FetchRefused("this is not a complete URL", _place(text))
        url = parts._replace(fragment=None).url
        port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
        host = (parts.host or "").lower().strip("[]")
        return cls(url, parts.scheme, host, port, parts.request_uri, parts.auth or "", _place(url))

    def follow(self, reference: str) -> Location:
        """Where a redirect from here leads. Only the same server gets the login again. Raises FetchRefused."""
        try:
            joined = urljoin(self.url, reference)
        except ValueError:
            raise FetchRefused("it redirects to something that is not a URL", self) from None
        target = Location.parse(joined)
        same = (target.scheme, target.host, target.port) == (self.scheme, self.host, self.port)
        return replace(target, login=self.login) if same and not target.login else target

    @property
    def authority(self) -> str:
        """Host and port as the server expects them in the header Host."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == _PORTS.get(self.scheme) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<Location {self.shown}>"


def _place(url: str) -> str:
    """`url` without login, query and fragment, short, and in printable characters."""
    scheme, separator, rest = url.partition("#")[0].partition("?")[0].partition("://")
    authority, slash, path = rest.partition("/")
    text = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
