"""A request as operations see it: parameters, body and caller, each read when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

from imframework.api.calls import Backend
from imframework.api.errors import InvalidRequest, NotFound, UnsupportedMediaType
from imframework.api.service import Caller, Document, Language
from imframework_plugins.frontends.rest.errors import BadParameter
from imframework_plugins.frontends.rest.negotiation import body_language, require_json
from imframework_plugins.frontends.rest.response import TEXT
from imframework_plugins.frontends.rest.urls import public_base

if TYPE_CHECKING:
    from imframework_plugins.frontends.rest.settings import Settings

#: Header with the secret that a machine was given to ask for its commands with.
MACHINE_SECRET: Final = "X-IM-Secret"  # noqa: S105 - its name

_TRUE: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "f", "n"})
_MALFORMED_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MOST_PARAMETERS: Final = 100
#: Longest number accepted in a path or a query; none that is longer can exist.
_MOST_DIGITS: Final = 15


class Request:
    """One request whose body has arrived."""

    #: Set before an operation that is not public is run.
    caller: Caller

    def __init__(
        self,
        backend: Backend[Settings],
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        client: str = "",
        scheme: str = "http",
        own_address: str = "",
    ) -> None:
        self.backend = backend
        self.service = backend.service
        self.method = method
        self.headers = headers
        self.body = body
        #: Address of the client.
        self.client = client
        self.path, _, self._query_text = target.partition("?")
        #: Texts of the variable segments of the path, in order.
        self.parameters: list[str] = []
        #: The negotiated media type of the answer.
        self.media_type = TEXT
        self._scheme = scheme
        self._own_address = own_address

    def header(self, name: str) -> str | None:
        """A header, or None. (Asking first is cheaper than an exception inside `get`: most are absent.)"""
        return self.headers[name] if name in self.headers else None  # noqa: SIM401

    @property
    def base_url(self) -> str:
        """What the URIs in the answer begin with."""
        return public_base(
            self.headers,
            scheme=self._scheme,
            own_address=self._own_address,
            root_path=self.backend.settings.root_path,
        )

    # --- the path ------------------------------------------------------------------------------------------

    @property
    def infrastructure(self) -> str:
        """The infrastructure id of the path."""
        return self.parameters[0]

    @property
    def machine(self) -> int:
        """The machine number of the path."""
        return machine_number(self.parameters[1])

    @property
    def machine_secret(self) -> str:
        """What a machine shows instead of credentials, where that is accepted; empty if it shows nothing."""
        return self.header(MACHINE_SECRET) or ""

    # --- the query -----------------------------------------------------------------------------------------

    def check_query(self) -> None:
        """Refuse a malformed query, also where no parameter is expected.

        Raises:
            InvalidRequest: see `query`.
        """
        if self._query_text:
            _ = self.query

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The parameters after ``?``; of a repeated one, the first.

        Raises:
            InvalidRequest: malformed.
        """
        return dict(reversed(self.query_pairs))

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The parameters after ``?`` in their order, repeated ones too.

        Raises:
            InvalidRequest: malformed.
        """
        return parameter_pairs(self._query_text, "query") if self._query_text else []

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean parameter."""
        text = self.query.get(name)
        if text is None:
            return default
        text = text.lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise BadParameter(f"Incorrect value in {name} parameter")

    def number(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """An integer parameter within limits."""
        text = self.query.get(name)
        if text is None:
            return default
        if not is_number(text) or not minimum <= int(text) <= maximum:
            raise BadParameter(f"Incorrect value in {name} parameter: not a number from {minimum} to {maximum}")
        return int(text)

    # --- the body ------------------------------------------------------------------------------------------

    def document(self) -> Document:
        """The body as a document, in the language of its media type. An empty one is an empty RADL.

        Raises:
            UnsupportedMediaType: another type, or a compressed body.
            InvalidRequest: not UTF-8.
        """
        language = body_language(self.header("Content-Type"))
        text = self._text()
        return Document(text, language) if text else Document("", Language.RADL)

    def json_text(self) -> str:
        """The body of a request that takes JSON only, not parsed.

        Raises:
            UnsupportedMediaType: another type, or a compressed body.
            InvalidRequest: not UTF-8.
        """
        require_json(self.header("Content-Type"))
        return self._text()

    def _text(self) -> str:
        encoding = self.header("Content-Encoding")
        if encoding is not None and encoding.strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType("Unsupported Content-Encoding: only plain bodies are accepted")
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The body is not UTF-8 text: invalid byte at offset {error.start}") from None


def machine_number(text: str) -> int:
    """The number of a machine, out of a path.

    Raises:
        NotFound: it cannot be one.
    """
    if not is_number(text):
        raise NotFound("Invalid VM ID")
    return int(text)


def is_number(text: str) -> bool:
    """Whether a text is a non-negative decimal number of sensible length."""
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()


def wire_text(text: str, part: str) -> str:
    """Part of a request target as text: Tornado hands over bytes as Latin-1 characters.

    Raises:
        InvalidRequest: not UTF-8, or a percent sign without two hexadecimal digits.
    """
    if not text.isascii():
        try:
            text = text.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequest(f"Malformed {part}: not UTF-8") from None
    if "%" in text and _MALFORMED_ESCAPE.search(text):
        raise InvalidRequest(f"Malformed {part}: '%' without two hexadecimal digits")
    return text


def parameter_pairs(text: str, part: str) -> list[tuple[str, str]]:
    """The parameters of a query, or of a form in a body that was read as Latin-1, in their order.

    Raises:
        InvalidRequest: see `wire_text`, or too many.
    """
    text = wire_text(text, part)
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except UnicodeDecodeError:
        raise InvalidRequest(f"Malformed {part}: not UTF-8") from None
    except ValueError:
        raise InvalidRequest(f"Malformed {part}: more than {_MOST_PARAMETERS} parameters") from None


def path_segment(text: str) -> str:
    """A variable segment of the path, decoded.

    Raises:
        InvalidRequest: see `wire_text`.
    """
    if text.isascii() and "%" not in text:
        return text
    try:
        return unquote(wire_text(text, "path"), errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("Malformed path: not UTF-8") from None
