"""Operations on the machines of an infrastructure."""

from __future__ import annotations

from imframework.api.errors import NotFound
from imframework.api.service import Language
from imframework_plugins.frontends.rest.errors import BadParameter, UnknownResource
from imframework_plugins.frontends.rest.request import Request, is_number, machine_number
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, Response, property_response, uri_response


async def info(request: Request) -> Response:
    """GET /infrastructures/{id}/vms/{vm}"""
    return await _info(request)


async def _info(request: Request) -> Response:
    wants_json = request.media_type == APPLICATION_JSON
    language = Language.RADL_JSON if wants_json else Language.RADL
    text = await request.service.vm_info(request.caller, request.infrastructure, request.machine, language)
    # RADL JSON is JSON already: it is put in its place as it is, not parsed and written again.
    return Response(f'{{"radl":{text}}}' if wants_json else text, request.media_type)


async def alter(request: Request) -> Response:
    """PUT /infrastructures/{id}/vms/{vm}"""
    await request.backend.changes.run(
        request.service.alter, request.caller, request.infrastructure, request.machine, request.document()
    )
    return await _info(request)


async def machine_property(request: Request) -> Response:
    """GET /infrastructures/{id}/vms/{vm}/{property}"""
    name, service = request.parameters[2], request.service
    if name == "contmsg":
        value = await service.contmsg(request.caller, request.infrastructure, request.machine)
    else:
        value = await service.vm_property(request.caller, request.infrastructure, request.machine, name)
    return property_response(name, value, request.media_type)


async def start(request: Request) -> Response:
    """PUT /infrastructures/{id}/vms/{vm}/start"""
    await request.backend.changes.run(request.service.start, request.caller, request.infrastructure, request.machine)
    return Response()


async def stop(request: Request) -> Response:
    """PUT /infrastructures/{id}/vms/{vm}/stop"""
    await request.backend.changes.run(request.service.stop, request.caller, request.infrastructure, request.machine)
    return Response()


async def reboot(request: Request) -> Response:
    """PUT /infrastructures/{id}/vms/{vm}/reboot"""
    await request.backend.changes.run(request.service.reboot, request.caller, request.infrastructure, request.machine)
    return Response()


async def snapshot(request: Request) -> Response:
    """PUT /infrastructures/{id}/vms/{vm}/disks/{disk}/snapshot"""
    name, auto_delete = request.query.get("image_name"), request.flag("auto_delete")
    if not name:
        raise BadParameter("Parameter image_name required.")
    disk = request.parameters[2]
    if not is_number(disk):
        raise NotFound("Invalid disk number")
    uri = await request.backend.changes.run(
        request.service.snapshot,
        request.caller,
        request.infrastructure,
        request.machine,
        int(disk),
        name,
        auto_delete=auto_delete,
    )
    return uri_response(uri, request.media_type)


async def command(request: Request) -> Response:
    """GET /infrastructures/{id}/vms/{creation number}/command, asked by the machine itself or by an owner."""
    secret, step = request.machine_secret, request.query.get("step", "1")
    if step not in ("1", "2"):
        raise NotFound(f"Incorrect property command for VM ID {request.machine}")
    caller = None if secret else request.caller
    text = await request.service.command(
        caller, request.infrastructure, request.machine, int(step), secret, request.base_url
    )
    return property_response("command", text, request.media_type)


async def unknown_operation(request: Request) -> Response:
    """PUT of any other path below a machine."""
    raise UnknownResource("Incorrect operation")


async def remove(request: Request) -> Response:
    """DELETE /infrastructures/{id}/vms/{vm},{vm}…"""
    context = request.flag("context", default=True)
    numbers = dict.fromkeys(machine_number(text) for text in request.parameters[1].split(","))
    await request.backend.deletions.run(
        request.service.remove, request.caller, request.infrastructure, list(numbers), context=context
    )
    return Response()
