"""What happens, and who did what: as a page of JSON, or as server-sent events that go on.

The form of a record is that of `docs/reference/events.md`. A stream is resumed with the number of its last event.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from imframework.api.model import JSON, AuditRecord, Event
from imframework_plugins.frontends.rest.errors import BadParameter
from imframework_plugins.frontends.rest.request import Request, is_number
from imframework_plugins.frontends.rest.response import (
    EVENT_STREAM,
    Response,
    json_response,
    stream_response,
)

T = TypeVar("T", Event, AuditRecord)

#: Most records in a page.
_MOST: Final = 1000
_HIGHEST: Final = 10**15 - 1
#: What a stream begins with: the milliseconds after which a client whose connection was cut comes back.
_BEGINNING: Final = b"retry: 1000\n\n"
#: Events kept in the form in which they are sent, for others who follow the same.
_FRAMES: Final = 256

_to_json = json.JSONEncoder(separators=(",", ":")).encode


async def of_infrastructure(request: Request) -> Response:
    """GET /infrastructures/{id}/events"""
    service, caller, infrastructure = request.service, request.caller, request.infrastructure
    if not _streams(request):
        found = await service.events(caller, infrastructure, *_page(request))
        return json_response({"events": [event_record(event) for event in found]})
    after = _resumed(request)
    await service.events(caller, infrastructure, after, 1)  # an error is an answer, as long as nothing was sent
    return _stream(service.follow(caller, infrastructure, after), _event_frames.get)


async def of_account(request: Request) -> Response:
    """GET /events"""
    service, caller = request.service, request.caller
    if not _streams(request):
        found = await service.account_events(caller, *_page(request))
        return json_response({"events": [account_record(event) for event in found]})
    return _stream(service.follow(caller, None, _resumed(request)), _account_frames.get)


async def of_audit(request: Request) -> Response:
    """GET /audit"""
    service, caller = request.service, request.caller
    if not _streams(request):
        found = await service.audit(caller, *_page(request))
        return json_response({"audit": [audit_record(record) for record in found]})
    return _stream(service.follow_audit(caller, _resumed(request)), _audit_frame)


# --- records --------------------------------------------------------------------------------------------------------


def event_record(event: Event) -> dict[str, JSON]:
    """An event of an infrastructure, numbered within it."""
    return {
        "id": event.sequence,
        "infrastructure": event.infrastructure,
        "time": event.time,
        "type": event.type,
        "data": dict(event.data),
    }


def account_record(event: Event) -> dict[str, JSON]:
    """An event of an account, numbered over all infrastructures."""
    return {**event_record(event), "id": event.position, "sequence": event.sequence}


def audit_record(record: AuditRecord) -> dict[str, JSON]:
    """An audit record, with its number."""
    return {"id": record.id, **record.shown()}


class _Frames:
    """Events in the form in which they are sent: made once, however many follow."""

    def __init__(self, record: Callable[[Event], dict[str, JSON]]) -> None:
        self._record = record
        self._made: dict[tuple[str, int], tuple[Event, bytes]] = {}

    def get(self, event: Event) -> bytes:
        """The frame of an event."""
        key = event.infrastructure, event.sequence
        known = self._made.get(key)
        if known is not None and known[0] is event:
            return known[1]
        record = self._record(event)
        frame = _frame(record["id"], event.type, record)
        self._made[key] = event, frame
        if len(self._made) > _FRAMES:
            del self._made[next(iter(self._made))]
        return frame


_event_frames: Final = _Frames(event_record)
_account_frames: Final = _Frames(account_record)


def _audit_frame(record: AuditRecord) -> bytes:
    return _frame(record.id, "audit", audit_record(record))


def _frame(id: JSON, type: str, record: dict[str, JSON]) -> bytes:
    return f"id: {id}\nevent: {type}\ndata: {_to_json(record)}\n\n".encode("ascii")


# --- requests -------------------------------------------------------------------------------------------------------


def _streams(request: Request) -> bool:
    return request.media_type == EVENT_STREAM


def _page(request: Request) -> tuple[int, int]:
    return request.number("after", 0, 0, _HIGHEST), request.number("limit", _MOST, 1, _MOST)


def _resumed(request: Request) -> int:
    """The number after which a stream begins: that of a reconnecting client, else the one in the query."""
    text = request.header("Last-Event-ID")
    if not text:
        return request.number("after", 0, 0, _HIGHEST)
    if not is_number(text):
        raise BadParameter("Incorrect value in Last-Event-ID header: not a number")
    return int(text)


def _stream(follow: AsyncGenerator[T], frame: Callable[[T], bytes]) -> Response:
    async def pieces() -> AsyncGenerator[bytes]:
        async with aclosing(follow):
            yield _BEGINNING
            async for item in follow:
                yield frame(item)

    return stream_response(pieces())
