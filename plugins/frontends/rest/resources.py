"""The resources of the API: which paths exist, what can be done with each, and how its errors begin."""

from __future__ import annotations

from typing import Final

from imframework.api.errors import Forbidden, NotFound, Unauthenticated
from imframework_plugins.frontends.rest import (
    clouds,
    description,
    events,
    infrastructures,
    machines,
    oai,
    probes,
    static,
    stats,
)
from imframework_plugins.frontends.rest.response import APPLICATION_JSON, CSV, EVENT_STREAM, HTML, TEXT, URI_LIST
from imframework_plugins.frontends.rest.routing import ANY, Operation, Router, Tagged

_PROPERTY = "Error Getting Inf. prop: "
_VM_INFO = "Error Getting VM. info: "

ROUTER: Final = Router(
    {
        "/": {"GET": Operation(description.index, produces=APPLICATION_JSON, further=HTML, public=True)},
        "/openapi.json": {"GET": Operation(description.openapi, produces=APPLICATION_JSON, public=True)},
        "/infrastructures": {
            "GET": Operation(infrastructures.list_infrastructures, "Error Getting Inf. List: ", URI_LIST),
            "POST": Operation(infrastructures.create, "Error Creating Inf.: ", URI_LIST),
            "PUT": Operation(infrastructures.import_infrastructure, "Error Importing Inf.: ", URI_LIST),
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
            "GET": Operation(
                infrastructures.list_machines, "Error Getting Inf. info: ", URI_LIST, tagged=Tagged.ALWAYS
            ),
            "POST": Operation(infrastructures.add, "Error Adding resources: ", URI_LIST),
            "DELETE": Operation(infrastructures.destroy, "Error Destroying Inf: "),
        },
        "/infrastructures/{id}/contmsg": {
            "GET": Operation(infrastructures.contmsg, _PROPERTY, TEXT, tagged=Tagged.ALWAYS),
        },
        "/infrastructures/{id}/radl": {"GET": Operation(infrastructures.radl, _PROPERTY, TEXT, tagged=Tagged.ALWAYS)},
        "/infrastructures/{id}/plan": {
            "POST": Operation(infrastructures.plan_update, "Error Planning Inf.: ", APPLICATION_JSON),
        },
        "/infrastructures/{id}/tosca": {
            "GET": Operation(infrastructures.tosca, _PROPERTY, TEXT, tagged=Tagged.ALWAYS),
        },
        "/infrastructures/{id}/outputs": {
            "GET": Operation(infrastructures.outputs, _PROPERTY, APPLICATION_JSON, tagged=Tagged.ALWAYS),
        },
        "/infrastructures/{id}/data": {"GET": Operation(infrastructures.data, _PROPERTY, APPLICATION_JSON)},
        "/infrastructures/{id}/authorization": {
            "GET": Operation(infrastructures.owners, _PROPERTY, TEXT, tagged=Tagged.ALWAYS),
            "POST": Operation(
                infrastructures.change_owners,
                "Error modifying infrastructure owner: ",
                variants={NotFound: "Error modifying infrastructure owners: "},
            ),
        },
        "/infrastructures/{id}/state": {
            "GET": Operation(infrastructures.state, _PROPERTY, APPLICATION_JSON, tagged=Tagged.WHEN_ASKED),
        },
        "/infrastructures/{id}/events": {
            "GET": Operation(events.of_infrastructure, _PROPERTY, APPLICATION_JSON, further=EVENT_STREAM)
        },
        "/infrastructures/{id}/start": {"PUT": Operation(infrastructures.start, "Error in start operation: ")},
        "/infrastructures/{id}/stop": {"PUT": Operation(infrastructures.stop, "Error in stop operation: ")},
        "/infrastructures/{id}/reconfigure": {
            "PUT": Operation(infrastructures.reconfigure, "Error reconfiguring infrastructure: "),
        },
        "/infrastructures/{id}/{member}": {
            ANY: Operation(infrastructures.unknown_member, public=True, documented=False),
        },
        "/infrastructures/{id}/vms/{vm}": {
            "GET": Operation(
                machines.info,
                "Error Getting VM info: ",
                TEXT,
                tagged=Tagged.WHEN_ASKED,
                variants=dict.fromkeys((NotFound, Forbidden, Unauthenticated), _VM_INFO),
            ),
            "PUT": Operation(machines.alter, "Error modifying resources: ", TEXT),
            "DELETE": Operation(machines.remove, "Error Removing resources: "),
        },
        "/infrastructures/{id}/vms/{vm}/{property}": {
            "GET": Operation(machines.machine_property, "Error Getting VM. property: ", TEXT, tagged=Tagged.WHEN_ASKED),
            "PUT": Operation(machines.unknown_operation, public=True, documented=False),
        },
        "/infrastructures/{id}/vms/{vm}/command": {
            "GET": Operation(machines.command, "Error Getting VM. property: ", TEXT, for_machines=True),
        },
        "/infrastructures/{id}/vms/{vm}/start": {"PUT": Operation(machines.start, "Error in start op in VM: ")},
        "/infrastructures/{id}/vms/{vm}/stop": {"PUT": Operation(machines.stop, "Error in stop op in VM: ")},
        "/infrastructures/{id}/vms/{vm}/reboot": {"PUT": Operation(machines.reboot, "Error in reboot op in VM: ")},
        "/infrastructures/{id}/vms/{vm}/disks/{disk}/snapshot": {
            "PUT": Operation(machines.snapshot, "Error creating snapshot: ", TEXT),
        },
        "/clouds/{cloud}/images": {"GET": Operation(clouds.images, "Error getting cloud info: ", APPLICATION_JSON)},
        "/clouds/{cloud}/quotas": {"GET": Operation(clouds.quotas, "Error getting cloud info: ", APPLICATION_JSON)},
        "/clouds/{cloud}/{property}": {ANY: Operation(clouds.unknown_property, public=True, documented=False)},
        "/stats": {"GET": Operation(stats.stats, "Error getting stats: ", APPLICATION_JSON, further=CSV)},
        "/oai": {"GET": Operation(oai.harvest, public=True), "POST": Operation(oai.harvest, public=True)},
        "/static/{file}": {"GET": Operation(static.file, public=True)},
        "/events": {
            "GET": Operation(events.of_account, "Error Getting Events: ", APPLICATION_JSON, further=EVENT_STREAM),
        },
        "/audit": {"GET": Operation(events.of_audit, "Error Getting Audit: ", APPLICATION_JSON, further=EVENT_STREAM)},
        "/version": {"GET": Operation(probes.version, "Error getting IM version: ", TEXT, public=True)},
        "/healthz": {"GET": Operation(probes.alive, public=True)},
        "/readyz": {"GET": Operation(probes.ready, public=True)},
        "/metrics": {"GET": Operation(probes.metrics, public=True)},
    }
)
