"""Operations on the machines of an infrastructure."""

from __future__ import annotations

from imframework.api.service import Language
from imframework_plugins.frontends.rest.errors import UnknownResource
from imframework_plugins.frontends.rest.request import Request, machine_number
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, Response, property_response


async def info(request: Request) -> Response:
    """GET /infrastructures/{id}/vms/{vm}"""
    wants_json = request.media_type == APPLICATION_JSON
    language = Language.RADL_JSON if wants_json else Language.RADL
    text = await request.service.vm_info(request.caller, request.infrastructure, request.machine, language)
    # RADL JSON is JSON already: it is put in its place as it is, not parsed and written again.
    return Response(f'{{"radl":{text}}}' if wants_json else text, request.media_type)


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
