"""Records that come as they happen: server-sent events, taken up where they were left when a connection is lost.

A service that does not offer a stream answers with a page, and is asked again and again. One record is held at a time:
while nobody takes it, nothing more is read.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator

from imframework.api.errors import IMError, TooManyRequests
from imframework.api.model import JSON
from imframework.client.transport import JSON_ANSWER, Pauses, Request, Transport, Unreachable

#: Longest line of a stream that is taken, in bytes: a record is one line.
MAX_LINE = 16 * 1024**2
#: Records of a full page: there are more.
PAGE = 1000
#: Seconds between two questions for pages, at most.
LONGEST_POLL = 2.0

_STRANGE = "The service's events are not those of an Infrastructure Manager"

#: A service says something every 15 seconds; one that is silent for longer than this is asked anew.
SILENCE = 45.0


def follow(
    transport: Transport,
    path: str,
    after: int,
    *,
    lost: Callable[[Unreachable], None] | None = None,
    over: Callable[[int], bool] = lambda after: False,
) -> Iterator[JSON]:
    """The records after a number, and then those to come, each once; each has its number as ``id``.

    `lost` is told of every connection that is lost, before another is tried. `over` is asked, with the number of the
    last record, when a stream ends without any: whether there will never be one.

    Raises:
        Unreachable: no connection succeeds for as long as the transport persists.
        IMError: the service refuses.
    """
    pauses, polls = Pauses(transport.persistence), Pauses(transport.persistence, longest=LONGEST_POLL)
    while True:
        request = Request(
            "GET",
            path,
            {"after": str(after)},
            {"Accept": f"text/event-stream, {JSON_ANSWER}", "Last-Event-ID": str(after)},
            timeout=max(SILENCE, transport.timeout),
        )
        count, streamed = 0, False
        try:
            with transport.open(request) as response:
                pauses.answered()
                streamed = response.headers.get_content_type() == "text/event-stream"
                records = _stream(response, pauses) if streamed else _page(transport.read(response), path)
                for record in records:
                    number = _number(record)
                    count += 1
                    if number > after:
                        after = number
                        pauses.restart()
                        polls.restart()
                        yield record
        except Unreachable as error:
            pauses.bear(error)
            if lost is not None:
                lost(error)
            pauses.pause()
        except TooManyRequests as error:
            time.sleep(error.retry_after)
        else:
            if streamed:
                if count == 0 and over(after):
                    return
                pauses.pause()
            elif count < PAGE:
                polls.pause()


def _page(text: str, path: str) -> Iterator[JSON]:
    """The records of a page; they are the member that the resource is named after."""
    page = _json(text)
    yield from page.get(path.rpartition("/")[2], ()) if isinstance(page, dict) else [page]


def _stream(response: http.client.HTTPResponse, pauses: Pauses) -> Iterator[JSON]:
    """The records of a stream, as far as they arrive whole."""
    data = ""
    while line := response.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise IMError(f"A line of the service's events is longer than {MAX_LINE} bytes")
        if not line.endswith(b"\n"):
            return  # the connection broke within it
        field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data = value
        elif field == "retry" and value.isdecimal():
            pauses.shortest = int(value) / 1000
        elif not field and not value and data:
            yield _json(data)
            data = ""


def _json(text: str) -> JSON:
    try:
        return json.loads(text)
    except ValueError:
        raise IMError(_STRANGE) from None


def _number(record: JSON) -> int:
    if not isinstance(record, dict) or not isinstance(number := record.get("id"), int):
        raise IMError(_STRANGE)
    return number
