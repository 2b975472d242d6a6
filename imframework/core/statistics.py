"""The statistics: one record for each infrastructure, from the heads alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from datetime import time as time_of_day

from imframework.api.model import JSON
from imframework.api.storage import Head


def records(
    heads: Sequence[Head],
    tallies: Mapping[str, Mapping[str, JSON]],
    since: date | None,
    until: date | None,
) -> list[Mapping[str, JSON]]:
    """A record for each infrastructure created from the midnight that begins `since` to the one that begins `until`.

    `tallies` are those of the infrastructures whose head has none.
    """
    begin = _midnight(since) if since is not None else float("-inf")
    end = _midnight(until) if until is not None else float("inf")
    return [
        _record(head, head.data.get("tally") or tallies.get(head.id, {}))
        for head in heads
        if begin <= head.created < end and not head.data.get("planned")
    ]


def _record(head: Head, tally: Mapping[str, JSON]) -> Mapping[str, JSON]:
    names = head.data.get("owner_names") or [None]
    return {
        "creation_date": _local(head.created),
        "tosca_name": head.data.get("title", ""),
        **tally,
        "deleted": head.deleted,
        "im_user": names[0],
        "inf_id": head.id,
        "last_date": _local(head.updated),
    }


def _midnight(day: date) -> float:
    """The instant at which a day begins where the server is."""
    return datetime.combine(day, time_of_day()).timestamp()


def _local(instant: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(instant)) if instant else ""
