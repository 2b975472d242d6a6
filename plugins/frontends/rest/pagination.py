"""Long lists in pages: those who ask for a `limit` get so many members, and the address of those that follow.

A page is told by the last member of the one before, so nothing is missed or doubled when members come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar
from urllib.parse import urlencode

from imframework_plugins.frontends.rest.request import Request

#: Largest `limit` of a page.
MOST_MEMBERS: Final = 10_000

Member = TypeVar("Member", str, int)


def page(request: Request, members: Sequence[Member], after: Member | None, uri: str) -> tuple[Sequence[Member], str]:
    """The members that the request asks for, and the Link header to the next page, empty for the last one.

    Without `limit` and `after` these are all, in the order given, else they are sorted. `uri` is that of the list.

    Raises:
        BadParameter: the limit is not a number that it can be.
    """
    limit = request.number("limit", 0, 1, MOST_MEMBERS)
    if not limit and after is None:
        return members, ""
    following = sorted(member for member in members if after is None or member > after)
    if not limit or len(following) <= limit:
        return following, ""
    query = urlencode({**request.query, "limit": limit, "after": following[limit - 1]})
    return following[:limit], f'<{uri}?{query}>; rel="next"'
