"""What infrastructures there are and were, for dashboards and spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from imframework.api.model import JSON
from imframework_plugins.frontends.rest.errors import BadParameter
from imframework_plugins.frontends.rest.request import Request
from imframework_plugins.frontends.rest.response import CSV, Response, json_response

#: The columns of the CSV form, in order.
COLUMNS: Final = (
    "creation_date", "tosca_name", "vm_count", "cpu_count", "memory_size", "cloud_type", "cloud_host", "hybrid",
    "deleted", "im_user", "inf_id", "last_date",
)  # fmt: skip

_DATE: Final = re.compile(r"([0-9]{4})([/-])([0-9]{1,2})\2([0-9]{1,2})")


async def stats(request: Request) -> Response:
    """GET /stats"""
    since, until = _date(request, "init_date"), _date(request, "end_date")
    records = await request.service.stats(request.caller, since, until)
    if request.media_type == CSV:
        return Response(_table(records), CSV)
    return json_response({"stats": [dict(record) for record in records]})


def _date(request: Request, name: str) -> date | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        match = _DATE.fullmatch(text)
        if match is not None:
            return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        pass  # a day that there is not
    raise BadParameter(f"Incorrect format in {name} parameter: YYYY/MM/dd")


def _table(records: Sequence[Mapping[str, JSON]]) -> str:
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    rows.writeheader()
    rows.writerows(records)
    return text.getvalue()
