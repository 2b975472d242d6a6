"""The grammar of credential lists: the text or the structures of a request in, `Credential` items out.

A list travels as an Authorization header (lines, JSON, ``Bearer`` or ``Basic``) or as native structures (XML-RPC,
JSON bodies); `docs/reference/auth.md` describes the forms. This module only reads them: who an item belongs to is
judged by the auth plugins, what its keys mean by the connectors. Values are kept literally: ``file(…)`` and
``command(…)``, which clients evaluate, are plain text here.

Nothing in it does I/O or keeps state, and items are immutable, so a caller may remember the result for a header. The
one error is `Unauthenticated`, whose text shows no value but an ill-formed `id`, which is no secret.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from imframework.api.errors import Unauthenticated
from imframework.api.model import Credential

#: Most characters of a header, or of the keys and values of a list of items.
MAX_CHARACTERS: Final = 256 * 1024
MAX_ITEMS: Final = 256
MAX_KEYS: Final = 128
#: Most characters of an `id` or `type`.
MAX_NAME: Final = 255

INFRASTRUCTURE_MANAGER: Final = "InfrastructureManager"
#: Types (in lower case) that are no clouds: identities, image catalogues, and items that stand for others.
NOT_CLOUDS: Final = frozenset({"infrastructuremanager", "vmrc", "egiis", "appdbis", "vault"})

_ID = re.compile(r"(?:[^\W\d]|\.)[\w.-]*+")
_QUOTED = re.compile(r"""'([^']*+)'|"([^"]*+)\"""")
#: What ends an item: a line end, or its two-character form. The three-character form is a line end inside a value.
_LINE_END = re.compile(r"\r?\n|(?<!\\)\\n")
_QUOTED_OR_LINE_END = re.compile(rf"{_QUOTED.pattern}|(?P<cut>{_LINE_END.pattern})")
_QUOTED_OR_SEMICOLON = re.compile(rf"{_QUOTED.pattern}|(?P<cut>;)")
_QUOTED_OR_EQUALS = re.compile(rf"{_QUOTED.pattern}|(?P<cut>=)")
_SCHEME = re.compile(r"(bearer|basic)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*+)://)?([^/]*+)(.*)", re.DOTALL)


class Malformed(Unauthenticated):
    """A list that makes no sense. The text is the reason alone."""


def parse_header(value: str) -> tuple[Credential, ...]:
    """The items of an Authorization header, in any of its forms, or of the text of an authorization file.

    Raises:
        Unauthenticated: the header is empty, too large or malformed.
    """
    try:
        return _parsed(value.strip())
    except Malformed as error:
        raise Unauthenticated(f"Error parsing authentication data: {error}") from None


def _parsed(text: str) -> tuple[Credential, ...]:
    if not text:
        raise Unauthenticated("No authentication data provided")
    if len(text) > MAX_CHARACTERS:
        raise Malformed(f"it is longer than {MAX_CHARACTERS} characters")
    if not _is_unicode(text):
        raise Malformed("it is not Unicode text")
    if text.startswith("["):
        return from_items(_json(text))
    scheme = _SCHEME.fullmatch(text)
    if scheme:
        parameter = (scheme[2] or "").strip()
        return _items([_bearer(parameter) if scheme[1].lower() == "bearer" else _basic(parameter)])
    lines = (line.strip() for line in _lines(text))
    return _items([_pairs(line) for line in lines if line and not line.startswith("#")])


def from_items(items: Sequence[Mapping[str, object]]) -> tuple[Credential, ...]:
    """The items of a list of structures. Values are text; numbers and booleans count as their JSON text.

    Raises:
        Malformed: the list is too large or makes no sense.
    """
    if not isinstance(items, list | tuple):
        raise Malformed("it is not a list of items")
    texts = [_texts(item, number) for number, item in enumerate(items, 1)]
    if sum(len(key) + len(value) for item in texts for key, value in item.items()) > MAX_CHARACTERS:
        raise Malformed(f"it is longer than {MAX_CHARACTERS} characters")
    return _items(texts)


def to_header(items: Iterable[Credential]) -> str:
    """A header that `parse_header` reads as exactly these items: the JSON form, in ASCII."""
    return json.dumps([{**item.fields, "id": item.id, "type": item.type} for item in items])


def clouds(items: Iterable[Credential]) -> tuple[Credential, ...]:
    """The items that stand for clouds, in their order."""
    return tuple(item for item in items if item.type.lower() not in NOT_CLOUDS)


def identities(items: Iterable[Credential]) -> tuple[Credential, ...]:
    """The items that say who the caller is (those of type InfrastructureManager), in their order."""
    wanted = INFRASTRUCTURE_MANAGER.lower()
    return tuple(item for item in items if item.type.lower() == wanted)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a `host`: ``[protocol://]server[:port][/path]``. What is not given is empty (`port`: None)."""

    server: str
    protocol: str = ""
    port: int | None = None
    path: str = ""


def endpoint(host: str) -> Endpoint:
    """Take a `host` apart. An IPv6 address stands in brackets if a port follows it.

    Raises:
        Malformed: its port is not a number from 1 to 65535.
    """
    protocol, separator, rest = host.strip().partition("://")
    if not separator or "/" in protocol:
        protocol, rest = "", host.strip()
    address, slash, path = rest.partition("/")
    server, port = _server_and_port(address)
    return Endpoint(server=server, protocol=protocol, port=port, path=slash + path)


def _server_and_port(text: str) -> tuple[str, int | None]:
    """``server``, ``server:port``, ``address6`` or ``[address6]:port``."""
    if text.startswith("["):
        server, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1 and _is_ipv6(text):
        return text, None
    else:
        server, colon, port = text.partition(":")
    if not colon:
        return server, None
    if colon != ":" or not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise Malformed("the port of a host is not a number from 1 to 65535")
    return server, int(port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# --- the forms a list can have -----------------------------------------------------------------------------


def _bearer(token: str) -> dict[str, str]:
    """The keys of the one item of a ``Bearer`` header."""
    if not token or len(token.split()) != 1:
        raise Malformed("Bearer must be followed by one token")
    return {"type": INFRASTRUCTURE_MANAGER, "token": token}


def _basic(encoded: str) -> dict[str, str]:
    """The keys of the one item of a ``Basic`` header."""
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # also what binascii and the UTF-8 codec raise
        raise Malformed("Basic must be followed by base64 of UTF-8 text") from None
    if not colon:
        raise Malformed("Basic must hold a username and a password with a colon between them")
    return {"type": INFRASTRUCTURE_MANAGER, "username": username, "password": password}


def _json(text: str) -> Sequence[Mapping[str, object]]:
    """What a header in JSON form holds; its lines may have been joined by the separators of the line form."""
    try:
        return _load(text)
    except ValueError as error:
        if "\\n" in text:
            try:
                return _load(_unescape(text), strict=False)
            except ValueError:
                pass  # the first error is about what the caller sees
        place = f": {error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
    raise Malformed(f"it begins with '[' but is not valid JSON{place}")


def _load(text: str, *, strict: bool = True) -> Sequence[Mapping[str, object]]:
    """Parse JSON; `ValueError` for whatever is wrong with it. The caller checks what it holds."""
    try:
        items: Sequence[Mapping[str, object]] = json.loads(text, strict=strict)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return items


def _lines(text: str) -> Iterable[str]:
    """Cut text into items. A separator inside quotes belongs to the value, provided that all quotes are closed."""
    if "'" not in text and '"' not in text:
        return _LINE_END.split(text)
    rest = _QUOTED.sub("", text)
    if "'" in rest or '"' in rest:
        return _LINE_END.split(text)
    return _cut(_QUOTED_OR_LINE_END, text)


def _pairs(line: str) -> dict[str, str]:
    """The keys and values of one line. It ends, silently, at a piece that is no pair: peers have always read it so."""
    quoted = "'" in line or '"' in line
    pairs: dict[str, str] = {}
    for piece in _cut(_QUOTED_OR_SEMICOLON, line) if quoted else line.split(";"):
        key, equals, value = _partition(piece) if quoted else piece.partition("=")
        key, value = key.strip(), value.strip()
        if quoted:
            key, value = _unquote(key), _unquote(value)
        if key and equals:
            pairs[key] = _unescape(value)
        elif piece.strip():
            break
    return pairs


def _cut(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Split text at the matches of a pattern's group `cut`."""
    start = 0
    for match in pattern.finditer(text):
        if match.lastgroup == "cut":
            yield text[start : match.start()]
            start = match.end()
    yield text[start:]


def _partition(piece: str) -> tuple[str, str, str]:
    """`str.partition` at the first ``=`` outside quotes."""
    for match in _QUOTED_OR_EQUALS.finditer(piece):
        if match.lastgroup == "cut":
            return piece[: match.start()], "=", piece[match.end() :]
    return piece, "", ""


def _unquote(text: str) -> str:
    """Take the quotes away. A quote without a partner is an ordinary character."""
    return _QUOTED.sub(lambda match: match[1] if match[1] is not None else match[2], text)


def _unescape(text: str) -> str:
    """Both forms that a line end has inside a value."""
    return text.replace("\\\\n", "\n").replace("\\n", "\n") if "\\" in text else text


# --- from keys and values to items -------------------------------------------------------------------------


def _texts(item: object, number: int) -> dict[str, str]:
    """The keys and values of one structure, as text; keys without a value (null) are left out."""
    if not isinstance(item, Mapping):
        raise Malformed(f"item {number} is not a structure of keys and values")
    return {_text(key, number): _text(value, number) for key, value in item.items() if value is not None}


def _text(value: object, number: int) -> str:
    if isinstance(value, str) and _is_unicode(value):
        return value
    if isinstance(value, bool | int | float):
        try:
            return json.dumps(value)
        except ValueError:  # an integer of thousands of digits
            pass
    raise Malformed(f"a key or value of item {number} is not text")


def _is_unicode(text: str) -> bool:
    """Whether text can be encoded: JSON can spell half a surrogate pair, on which whoever uses the value would trip."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _items(texts: Sequence[dict[str, str]]) -> tuple[Credential, ...]:
    if len(texts) > MAX_ITEMS:
        raise Malformed(f"it has more than {MAX_ITEMS} items")
    return tuple([_item(fields, position) for position, fields in enumerate(texts)])


def _item(fields: dict[str, str], position: int) -> Credential:
    """One item; `position` is its place in the whole list, from 0. Takes `fields` over."""
    if len(fields) > MAX_KEYS:
        raise Malformed(f"item {position + 1} has more than {MAX_KEYS} keys")
    kind, name = fields.pop("type", ""), fields.pop("id", "")
    if not kind:
        raise Malformed(f"item {position + 1} has no type")
    if len(kind) > MAX_NAME:
        raise Malformed(f"the type of item {position + 1} is longer than {MAX_NAME} characters")
    if len(name) > MAX_NAME:
        raise Malformed(f"the id of item {position + 1} is longer than {MAX_NAME} characters")
    if name and not _ID.fullmatch(name):
        raise Malformed(f"Incorrect value in auth item id: {name}")
    if fields.get("host"):
        endpoint(fields["host"])
    default = f"{kind}{position}"
    if not _ID.fullmatch(default):  # a type that no plugin can have must not make an id that nobody could send back
        default = f"item{position}"
    return Credential(name or default, kind, MappingProxyType(fields))
