"""Operations on infrastructures."""

from __future__ import annotations

import json
import re
from typing import Final

from imframework.api.errors import InvalidRequest
from imframework.api.service import Document
from imframework_plugins.frontends.rest.errors import BadParameter, UnknownResource, problem_record
from imframework_plugins.frontends.rest.negotiation import answer_type
from imframework_plugins.frontends.rest.pagination import page
from imframework_plugins.frontends.rest.request import Request, is_number
from imframework_plugins.frontends.rest.response import (
    APPLICATION_JSON,
    Response,
    infrastructure_uri,
    json_response,
    machine_uris,
    property_response,
    uri_list_response,
    uri_response,
)

#: The value of an Idempotency-Key header: bare, or as the string of a structured field.
_IDEMPOTENCY_KEY: Final = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')


async def list_infrastructures(request: Request) -> Response:
    """GET /infrastructures"""
    ids = await request.service.list(request.caller, request.query.get("filter"))
    base = request.base_url
    ids, following = page(request, ids, request.query.get("after"), f"{base}/infrastructures")
    uris = [infrastructure_uri(base, identifier) for identifier in ids]
    return _paged(uri_list_response(uris, request.media_type), following)


def _paged(response: Response, following: str) -> Response:
    if following:
        response.headers = {"Link": following}
    return response


async def create(request: Request) -> Response:
    """POST /infrastructures"""
    asynchronous, dry_run = request.flag("async"), request.flag("dry_run")
    base, document = request.base_url, request.document()
    if dry_run:
        answer_type(request.header("Accept"), APPLICATION_JSON)
        return json_response(await request.backend.changes.run(request.service.estimate, request.caller, document))
    calls = request.backend.unhurried if asynchronous else request.backend.changes
    identifier = await calls.run(
        request.service.create,
        request.caller,
        document,
        asynchronous=asynchronous,
        idempotency_key=_idempotency_key(request.header("Idempotency-Key")),
    )
    return _made(request, base, identifier)


async def import_infrastructure(request: Request) -> Response:
    """PUT /infrastructures"""
    base, text = request.base_url, request.json_text()
    identifier = await request.backend.changes.run(request.service.import_document, request.caller, text)
    return _made(request, base, identifier)


def _made(request: Request, base: str, identifier: str) -> Response:
    response = uri_response(infrastructure_uri(base, identifier), request.media_type)
    response.headers = {"InfID": identifier}
    return response


async def validate(request: Request) -> Response:
    """POST /infrastructures/validate"""
    found = await request.backend.changes.run(request.service.validate, request.caller, request.document())
    return json_response({"problems": [problem_record(problem) for problem in found]})


async def plan(request: Request) -> Response:
    """POST /infrastructures/plan"""
    return json_response(await request.backend.changes.run(request.service.plan, request.caller, request.document()))


async def plan_update(request: Request) -> Response:
    """POST /infrastructures/{id}/plan"""
    return json_response(
        await request.backend.changes.run(
            request.service.plan, request.caller, request.document(), request.infrastructure
        )
    )


async def apply(request: Request) -> Response:
    """POST /infrastructures/plan/{plan}"""
    asynchronous, base = request.flag("async"), request.base_url
    calls = request.backend.unhurried if asynchronous else request.backend.changes
    identifier = await calls.run(
        request.service.apply, request.caller, request.parameters[0], asynchronous=asynchronous
    )
    return _made(request, base, identifier)


async def list_machines(request: Request) -> Response:
    """GET /infrastructures/{id}"""
    machines = await request.service.machines(request.caller, request.infrastructure)
    base, after = request.base_url, request.number("after", -1, 0, 10**15 - 1)
    machines, following = page(
        request, machines, after if after >= 0 else None, infrastructure_uri(base, request.infrastructure)
    )
    uris = machine_uris(base, request.infrastructure, machines)
    return _paged(uri_list_response(uris, request.media_type), following)


async def add(request: Request) -> Response:
    """POST /infrastructures/{id}"""
    context = request.flag("context", default=True)
    base, document = request.base_url, request.document()
    machines = await request.backend.changes.run(
        request.service.add, request.caller, request.infrastructure, document, context=context
    )
    response = uri_list_response(machine_uris(base, request.infrastructure, machines), request.media_type)
    if context:
        response.headers = {"InfID": request.infrastructure}
    return response


async def destroy(request: Request) -> Response:
    """DELETE /infrastructures/{id}"""
    force, asynchronous = request.flag("force"), request.flag("async")
    calls = request.backend.unhurried if asynchronous else request.backend.deletions
    await calls.run(
        request.service.destroy, request.caller, request.infrastructure, force=force, asynchronous=asynchronous
    )
    return Response()


async def contmsg(request: Request) -> Response:
    """GET /infrastructures/{id}/contmsg"""
    header_only = request.flag("headeronly")
    text = await request.service.contmsg(request.caller, request.infrastructure, header_only=header_only)
    return property_response("contmsg", text, request.media_type)


async def radl(request: Request) -> Response:
    """GET /infrastructures/{id}/radl"""
    text = await request.service.radl(request.caller, request.infrastructure)
    return property_response("radl", text, request.media_type)


async def tosca(request: Request) -> Response:
    """GET /infrastructures/{id}/tosca"""
    text = await request.service.tosca(request.caller, request.infrastructure)
    return property_response("tosca", text, request.media_type)


async def outputs(request: Request) -> Response:
    """GET /infrastructures/{id}/outputs"""
    found = await request.service.outputs(request.caller, request.infrastructure)
    missing = {"missing": {name: list(reasons) for name, reasons in found.missing.items()}} if found.missing else {}
    return json_response({"outputs": dict(found.values), **missing})


async def data(request: Request) -> Response:
    """GET /infrastructures/{id}/data"""
    # HEAD has no document in its answer: whoever deletes with it would have lost the infrastructure.
    if request.flag("delete") and request.method == "GET":
        text = await request.backend.deletions.run(
            request.service.export_document, request.caller, request.infrastructure, delete=True
        )
    else:
        text = await request.service.export_document(request.caller, request.infrastructure)
    return json_response({"data": text})


async def owners(request: Request) -> Response:
    """GET /infrastructures/{id}/authorization"""
    names = list(await request.service.owners(request.caller, request.infrastructure))
    if request.media_type == APPLICATION_JSON:
        return json_response({"authorization": names})
    return Response("\n".join(names), request.media_type)


async def change_owners(request: Request) -> Response:
    """POST /infrastructures/{id}/authorization"""
    overwrite, owner = request.flag("overwrite"), _owner(request.json_text())
    await request.backend.changes.run(
        request.service.change_owners, request.caller, request.infrastructure, owner, overwrite=overwrite
    )
    return Response()


async def state(request: Request) -> Response:
    """GET /infrastructures/{id}/state"""
    report = await request.service.state(request.caller, request.infrastructure)
    machines = {str(number): state for number, state in report.vm_states.items()}
    return json_response({"state": {"state": report.state, "vm_states": machines}})


async def start(request: Request) -> Response:
    """PUT /infrastructures/{id}/start"""
    await request.backend.changes.run(request.service.start, request.caller, request.infrastructure)
    return Response()


async def stop(request: Request) -> Response:
    """PUT /infrastructures/{id}/stop"""
    await request.backend.changes.run(request.service.stop, request.caller, request.infrastructure)
    return Response()


async def reconfigure(request: Request) -> Response:
    """PUT /infrastructures/{id}/reconfigure"""
    vms = _vm_list(request.query.get("vm_list"))
    document: Document | None = None
    if request.body.strip():
        document = request.document()
    await request.backend.changes.run(
        request.service.reconfigure, request.caller, request.infrastructure, document, vms
    )
    return Response(headers={"InfID": request.infrastructure})


async def unknown_member(request: Request) -> Response:
    """Any other path below an infrastructure."""
    reading = request.method in ("GET", "HEAD")
    raise UnknownResource("Incorrect infrastructure property" if reading else "Incorrect operation")


def _idempotency_key(header: str | None) -> str:
    if header is None:
        return ""
    match = _IDEMPOTENCY_KEY.fullmatch(header.strip())
    if match is None:
        raise BadParameter("Incorrect value in Idempotency-Key header")
    return match[1] or match[2]


def _owner(text: str) -> dict[str, str]:
    """The credential item in a body; what its values have to be, the service knows."""
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadParameter(f"Error parsing auth data: {error}") from None
    if not isinstance(item, dict):
        raise BadParameter("Error parsing auth data: it is not a JSON object")
    if not all(isinstance(value, str) for value in item.values()):
        raise InvalidRequest("Invalid new infrastructure data provided: its values have to be texts")
    return {"type": "InfrastructureManager", **item}


def _vm_list(text: str | None) -> list[int] | None:
    """The value of vm_list; None stands for all machines."""
    if text is None:
        return None
    numbers = [number.strip() for number in text.split(",")]
    if not all(is_number(number) for number in numbers):
        raise BadParameter("Incorrect vm_list format.")
    return list(dict.fromkeys(int(number) for number in numbers))
