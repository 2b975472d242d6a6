"""The resources of the API: which paths exist, what can be done with each, and how its errors begin."""

from __future__ import annotations

from typing import Final

from imframework_plugins.frontends.rest import infrastructures, machines, probes
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, TEXT, URI_LIST
from imframework_plugins.frontends.rest.routing import ANY, Operation, Router

_PROPERTY = "Error Getting Inf. prop: "

ROUTER: Final = Router(
    {
        "/infrastructures": {
            "GET": Operation(infrastructures.list_infrastructures, "Error Getting Inf. List: ", URI_LIST),
            "POST": Operation(infrastructures.create, "Error Creating Inf.: ", URI_LIST),
        },
        "/infrastructures/validate": {
            "POST": Operation(infrastructures.validate, "Error Validating Document: ", APPLICATION_JSON),
        },
        "/infrastructures/plan": {
            "POST": Operation(infrastructures.plan, "Error Planning Inf.: ", APPLICATION_JSON),
        },
        "/infrastructures/plan/{plan}": {
            "POST": Operation(infrastructures.apply, "Error Applying Plan: ", URI_LIST),
        },
        "/infrastructures/{id}": {
            "GET": Operation(infrastructures.list_machines, "Error Getting Inf. info: ", URI_LIST),
            "POST": Operation(infrastructures.add, "Error Adding resources: ", URI_LIST),
            "DELETE": Operation(infrastructures.destroy, "Error Destroying Inf: "),
        },
        "/infrastructures/{id}/contmsg": {"GET": Operation(infrastructures.contmsg, _PROPERTY, TEXT)},
        "/infrastructures/{id}/radl": {"GET": Operation(infrastructures.radl, _PROPERTY, TEXT)},
        "/infrastructures/{id}/plan": {
            "POST": Operation(infrastructures.plan_update, "Error Planning Inf.: ", APPLICATION_JSON),
        },
        "/infrastructures/{id}/tosca": {"GET": Operation(infrastructures.tosca, _PROPERTY, TEXT)},
        "/infrastructures/{id}/outputs": {"GET": Operation(infrastructures.outputs, _PROPERTY, APPLICATION_JSON)},
        "/infrastructures/{id}/state": {"GET": Operation(infrastructures.state, _PROPERTY, APPLICATION_JSON)},
        "/infrastructures/{id}/events": {"GET": Operation(infrastructures.events, _PROPERTY, APPLICATION_JSON)},
        "/infrastructures/{id}/start": {"PUT": Operation(infrastructures.start, "Error in start operation: ")},
        "/infrastructures/{id}/stop": {"PUT": Operation(infrastructures.stop, "Error in stop operation: ")},
        "/infrastructures/{id}/reconfigure": {
            "PUT": Operation(infrastructures.reconfigure, "Error reconfiguring infrastructure: "),
        },
        "/infrastructures/{id}/{member}": {ANY: Operation(infrastructures.unknown_member, public=True)},
        "/infrastructures/{id}/vms/{vm}": {
            "GET": Operation(machines.info, "Error Getting VM. info: ", TEXT),
            "DELETE": Operation(machines.remove, "Error Removing resources: "),
        },
        "/infrastructures/{id}/vms/{vm}/{member}": {
            "GET": Operation(machines.machine_property, "Error Getting VM. property: ", TEXT),
            "PUT": Operation(machines.unknown_operation, public=True),
        },
        "/infrastructures/{id}/vms/{vm}/start": {"PUT": Operation(machines.start, "Error in start op in VM: ")},
        "/infrastructures/{id}/vms/{vm}/stop": {"PUT": Operation(machines.stop, "Error in stop op in VM: ")},
        "/infrastructures/{id}/vms/{vm}/reboot": {"PUT": Operation(machines.reboot, "Error in reboot op in VM: ")},
        "/version": {"GET": Operation(probes.version, "Error getting IM version: ", TEXT, public=True)},
        "/healthz": {"GET": Operation(probes.alive, public=True)},
        "/readyz": {"GET": Operation(probes.ready, public=True)},
        "/metrics": {"GET": Operation(probes.metrics, public=True)},
    }
)
