"""The XML of calls and answers. What comes in is bounded and free of document types; what goes out is valid XML.

Values are those of `xmlrpc.client`; in answers there is neither nil nor an integer beyond 32 bit.
"""

from __future__ import annotations

import math
import re
import xmlrpc.client
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from imframework.api.errors import InvalidRequest, TooLarge, UnsupportedMediaType

#: A value that came in: what `xmlrpc.client` makes of one.
Value: TypeAlias = Any

#: Elements of XML within each other, and in all. A call of a client has some tens in all.
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 100_000

#: A tag so long that expat, which lets nobody else run meanwhile, would take seconds over its attributes.
_LONG_TAG: Final = re.compile(rb"<(?!!)[^<>]{4096}")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Fault(Exception):
    """What is answered as a fault; its text is that of the fault. The code is always 1."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method and its parameters."""

    method: str
    parameters: tuple[Value, ...]


class _Reader(xmlrpc.client.Unmarshaller):
    """Makes values of the elements that a parser finds."""

    def __init__(self) -> None:
        super().__init__(use_builtin_types=True)
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise InvalidRequest(f"The call has more than {MAX_ELEMENTS} elements, or {MAX_DEPTH} within each other")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        """An element ends."""
        self._depth -= 1
        super().end(tag)


def read_call(body: bytes, encoding: str, limit: int) -> Call:
    """The call in the body of a request; `encoding` is its Content-Encoding, `limit` the largest size when unpacked.

    Raises:
        InvalidRequest: it is none.
        TooLarge: it is beyond the limit.
        UnsupportedMediaType: it is packed in an unknown way.
    """
    text = _unpacked(body, encoding, limit)
    if _LONG_TAG.search(text):
        raise InvalidRequest("The body has a tag of more than 4096 bytes")
    reader = _Reader()
    parser = DefusedExpatParser(reader, forbid_dtd=True)
    try:
        parser.feed(text)
        parser.close()
        parameters, method = reader.close(), reader.getmethodname()
    except ExpatError as error:
        raise InvalidRequest(f"The body is not XML: {error}") from None
    except DefusedXmlException:
        raise InvalidRequest("The body declares a document type or entities") from None
    except InvalidRequest:
        raise
    except Exception:  # noqa: BLE001 - the standard library's reader fails in many ways over what is no call
        raise InvalidRequest("The body is no XML-RPC call") from None
    if not method:
        raise InvalidRequest("The body is no XML-RPC call")
    return Call(method, parameters)


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMediaType("Unsupported Content-Encoding: only gzip is accepted")
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = unpacking.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidRequest("The body is not what its Content-Encoding says") from None
    if len(text) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes")
    return text


def answer(value: object) -> bytes:
    """The body of an answer with a value."""
    return xmlrpc.client.dumps((wire_value(value),), methodresponse=True).encode()


def fault(text: str) -> bytes:
    """The body of an answer that is a fault."""
    return xmlrpc.client.dumps(xmlrpc.client.Fault(1, _text(text)), methodresponse=True).encode()


def wire_value(value: object) -> Value:
    """A value as clients can read it. Of what they cannot, integers become digits; None is left out, or empty text."""
    match value:
        case bool():
            return value
        case int():
            return value if xmlrpc.client.MININT <= value <= xmlrpc.client.MAXINT else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _text(value)
        case None:
            return ""
        case Mapping():
            return {_text(str(name)): wire_value(member) for name, member in value.items() if member is not None}
        case list() | tuple():
            return [wire_value(member) for member in value]
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _text(text: str) -> str:
    """A text without the characters that XML cannot hold: logs have escape sequences of terminals in them."""
    return _NOT_XML.sub("\ufffd", text)
