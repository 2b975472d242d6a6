"""GET and POST /oai: the catalogue of templates for harvesters (OAI-PMH 2.0).

Reading order: this module takes the arguments off a request; `protocol` knows the verbs, their arguments and errors;
`records` are the templates as the protocol has them; `formats` writes one in each metadata format; `tokens` are what
lists are resumed with.
"""

from __future__ import annotations

import time

from imframework.api.errors import InvalidRequest, UnsupportedMediaType
from imframework_plugins.frontends.rest.oai.protocol import Repository, respond
from imframework_plugins.frontends.rest.oai.records import records
from imframework_plugins.frontends.rest.request import Request, parameter_pairs
from imframework_plugins.frontends.rest.response import Response

XML = "text/xml"
FORM = "application/x-www-form-urlencoded"


async def harvest(request: Request) -> Response:
    """GET and POST /oai"""
    settings = request.backend.settings.oai
    if settings is None:
        raise InvalidRequest("OAI-PMH not enabled.")
    arguments = [*request.query_pairs, *_form(request)]
    found = records(await request.service.templates(), settings.identifiers)
    repository = Repository(
        name=settings.name,
        description=settings.description,
        admin_email=settings.admin_email,
        base_url=f"{request.base_url}/oai",
        page_size=settings.page_size,
        records=found,
    )
    return Response(respond(repository, arguments, time.time()), XML)


def _form(request: Request) -> list[tuple[str, str]]:
    """The arguments in the body of a POST."""
    if request.method != "POST" or not request.body:
        return []
    content_type = (request.header("Content-Type") or FORM).partition(";")[0].strip().lower()
    if content_type != FORM:
        raise UnsupportedMediaType(f"Unsupported Media Type ['{content_type}']")
    return parameter_pairs(request.body.decode("latin-1"), "body")
