"""A REST front end on a real socket, before a service that keeps its infrastructures in memory."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from dataclasses import dataclass, field

import pytest

from imframework.api.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Problem,
    Unauthenticated,
)
from imframework.api.model import Event, Identity, Image, Quota
from imframework.api.service import Caller, Language, Outputs, StateReport, Template
from imframework.testing.frontend import http_options
from imframework.testing.openapi import Description
from imframework_plugins.frontends.rest import description
from imframework_plugins.frontends.rest.frontend import RestFrontEnd

#: What every answer in the tests of this directory is held against.
DESCRIPTION = Description(description.document())

PLAN = {
    "id": "inf.0123",
    "infrastructure": "inf",
    "new": True,
    "expires": 1700000000.0,
    "create": [{"system": "front", "machines": [0]}],
    "delete": [],
    "change": [],
    "refusals": [],
    "warnings": [],
}

ESTIMATE = {
    "cloud": {"cloudType": "Dummy", "cloudEndpoint": "", "compute": [{"cpuCores": 1, "memoryInMegabytes": 512}],
              "storage": []}
}  # fmt: skip

STATS = {
    "creation_date": "2026-11-26 21:10:17",
    "tosca_name": "a, b",
    "vm_count": 2,
    "cpu_count": 4,
    "memory_size": 1024,
    "cloud_type": "Dummy",
    "cloud_host": "",
    "hybrid": False,
    "deleted": True,
    "im_user": None,
    "inf_id": "inf",
    "last_date": "2026-11-27 00:00:00",
}

DEFAULTS = http_options("REST") | {
    "REST_ROOT_PATH": "/",
    "ENABLE_CORS": False,
    "CORS_ORIGIN": "*",
    "STATIC_FILES_DIR": None,
    "OAIPMH_REPO_NAME": "",
    "OAIPMH_REPO_DESCRIPTION": "",
    "OAIPMH_REPO_BASE_IDENTIFIER_URL": "",
    "OAIPMH_REPO_ADMIN_EMAIL": "",
    "OAIPMH_PAGE_SIZE": 100,
}


@dataclass
class MemoryService:
    """A service whose operations are remembered in `calls`, fail as `failures` says and wait for `gates`."""

    infrastructures: dict[str, list[int]] = field(default_factory=dict)
    calls: list[tuple] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    condition: dict[str, str] = field(default_factory=lambda: {"storage": "ok", "engine": "ok"})
    infos: dict[Language, str] = field(
        default_factory=lambda: {
            Language.RADL: "system front (\ncpu.count = 2\n)\n",
            Language.RADL_JSON: '[{"class": "system", "id": "front", "cpu.count": 2}]',
        }
    )
    properties: dict[str, object] = field(
        default_factory=lambda: {
            "state": "configured",
            "memory.size": 512000000,
            "cpu.performance": 1.5,
            "disk.0.applications": [{"name": "nfs"}],
        }
    )
    outputs_now: Outputs = field(default_factory=lambda: Outputs({"address": "10.0.0.1"}, {}))
    version_of: dict[str, str] = field(default_factory=dict)
    owners_of: dict[str, list[str]] = field(default_factory=dict)
    records: list[dict] = field(default_factory=lambda: [STATS])
    catalogue: list[Template] = field(default_factory=list)
    credentials: str = ""
    address: str = ""

    async def authenticate(self, credentials, address=""):
        self.credentials, self.address = credentials, address
        if credentials == "nobody":
            raise Unauthenticated("Invalid InfrastructureManager credentials")
        if credentials == "malformed":
            raise Unauthenticated("Error parsing authentication data: item 1 has no type")
        return Caller((Identity(credentials, credentials),), frozenset({credentials}), ())

    async def _did(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name in self.gates:
            self.waiting[name] = self.waiting.get(name, 0) + 1
            await self.gates[name].wait()
        if name in self.failures:
            raise self.failures[name]

    def _machines(self, infrastructure, vm=None):
        if infrastructure == "foreign":
            raise Forbidden("Access to this infrastructure not granted.")
        if infrastructure not in self.infrastructures:
            raise NotFound("Invalid infrastructure ID or access not granted.")
        machines = self.infrastructures[infrastructure]
        if vm is not None and vm not in machines:
            raise NotFound("Invalid VM ID")
        return machines

    def _change(self, caller, infrastructure, vm=None):
        machines = self._machines(infrastructure, vm)
        if caller.expects and self._tag(infrastructure) not in caller.expects:
            raise PreconditionFailed("The infrastructure has changed.")
        return machines

    def _tag(self, infrastructure):
        return self.version_of.get(infrastructure, "1-a")

    async def tag(self, caller, infrastructure):
        await self._did("tag", infrastructure)
        self._machines(infrastructure)
        return self._tag(infrastructure)

    async def list(self, caller, pattern=None):
        await self._did("list", pattern)
        if pattern == "(":
            raise InvalidRequest("filter is not a regular expression: missing )")
        return [name for name in self.infrastructures if pattern is None or pattern in name]

    async def create(self, caller, document, *, asynchronous=False, idempotency_key=""):
        await self._did("create", document, asynchronous, *filter(None, [idempotency_key]))
        name = f"inf-{len(self.infrastructures)}"
        self.infrastructures[name] = [0, 1]
        return name

    async def machines(self, caller, infrastructure):
        await self._did("machines", infrastructure)
        return self._machines(infrastructure)

    async def add(self, caller, infrastructure, document, *, context=True):
        await self._did("add", infrastructure, document, context)
        machines = self._change(caller, infrastructure)
        machines.append(len(machines))
        return machines[-1:]

    async def remove(self, caller, infrastructure, vms, *, context=True):
        await self._did("remove", infrastructure, list(vms), context)
        for number in vms:
            self._change(caller, infrastructure, number).remove(number)
        return len(vms)

    async def reconfigure(self, caller, infrastructure, document=None, vms=None):
        await self._did("reconfigure", infrastructure, document, vms)
        self._change(caller, infrastructure)

    async def start(self, caller, infrastructure, vm=None):
        await self._did("start", infrastructure, vm)
        self._change(caller, infrastructure, vm)

    async def stop(self, caller, infrastructure, vm=None):
        await self._did("stop", infrastructure, vm)
        self._change(caller, infrastructure, vm)

    async def reboot(self, caller, infrastructure, vm):
        await self._did("reboot", infrastructure, vm)
        self._change(caller, infrastructure, vm)

    async def destroy(self, caller, infrastructure, *, force=False, asynchronous=False):
        await self._did("destroy", infrastructure, force, asynchronous)
        self._change(caller, infrastructure)
        if infrastructure == "busy":
            raise Conflict("Invalid State to perform this operation.")
        del self.infrastructures[infrastructure]

    async def alter(self, caller, infrastructure, vm, document):
        await self._did("alter", infrastructure, vm, document)
        self._change(caller, infrastructure, vm)

    async def snapshot(self, caller, infrastructure, vm, disk, name, *, auto_delete=False):
        await self._did("snapshot", infrastructure, vm, disk, name, auto_delete)
        self._change(caller, infrastructure, vm)
        return f"mock0://linux.for.ev.er/{name}"

    async def owners(self, caller, infrastructure):
        await self._did("owners", infrastructure)
        self._machines(infrastructure)
        return self.owners_of.get(infrastructure, [])

    async def change_owners(self, caller, infrastructure, owner, *, overwrite=False):
        await self._did("change_owners", infrastructure, owner, overwrite)
        self._change(caller, infrastructure)

    async def export_document(self, caller, infrastructure, *, delete=False):
        await self._did("export_document", infrastructure, delete)
        self._change(caller, infrastructure)
        if delete:
            del self.infrastructures[infrastructure]
        return json.dumps({"id": infrastructure})

    async def import_document(self, caller, text):
        await self._did("import_document", text)
        try:
            infrastructure = str(json.loads(text)["id"])
        except (ValueError, TypeError, LookupError):
            raise InvalidRequest("Error importing the infrastructure, incorrect data: not a document") from None
        if infrastructure in self.infrastructures:
            raise InvalidRequest("Trying to add an existing infrastructure ID.")
        self.infrastructures[infrastructure] = [0]
        return infrastructure

    async def command(self, caller, infrastructure, creation, step, secret, base_url=""):
        await self._did("command", caller is not None, infrastructure, creation, step, secret, base_url)
        if caller is None and secret != "of-the-machine":
            raise Unauthenticated("Invalid secret")
        return "wait" if step == 2 else "#!/bin/bash\n"

    async def images(self, caller, cloud, filters):
        await self._did("images", cloud, filters)
        if cloud != "one":
            raise InvalidRequest(f"Cloud ID {cloud} not found.")
        return [Image("mock0://linux.for.ev.er/image1", "Image 1")]

    async def quotas(self, caller, cloud):
        await self._did("quotas", cloud)
        return {"cores": Quota(4, -1), "ram": Quota(1.5, 8.0)}

    async def stats(self, caller, since=None, until=None):
        await self._did("stats", since, until)
        return self.records

    async def state(self, caller, infrastructure):
        await self._did("state", infrastructure)
        return StateReport("running", dict.fromkeys(self._machines(infrastructure), "running"))

    async def vm_info(self, caller, infrastructure, vm, language):
        await self._did("vm_info", infrastructure, vm)
        self._machines(infrastructure, vm)
        return self.infos[language]

    async def vm_property(self, caller, infrastructure, vm, name):
        await self._did("vm_property", infrastructure, vm, name)
        self._machines(infrastructure, vm)
        if name not in self.properties:
            raise NotFound(f"Incorrect property {name} for VM ID {vm}")
        return self.properties[name]

    async def contmsg(self, caller, infrastructure, vm=None, *, header_only=False):
        await self._did("contmsg", infrastructure, vm, header_only)
        self._machines(infrastructure, vm)
        return "cabecera ñ\n" if header_only else "cabecera ñ\nVM 0:\nok\n"

    async def radl(self, caller, infrastructure):
        await self._did("radl", infrastructure)
        self._machines(infrastructure)
        return "system front ()\n"

    async def events(self, caller, infrastructure, after=0, limit=1000):
        await self._did("events", infrastructure, after, limit)
        self._machines(infrastructure)
        known = [
            Event(infrastructure, number, 1700000000.5 + number, "state", {"to": "running"}) for number in (1, 2, 3)
        ]
        return [event for event in known if event.sequence > after][:limit]

    async def validate(self, caller, document):
        await self._did("validate", document)
        return self.problems

    async def tosca(self, caller, infrastructure):
        await self._did("tosca", infrastructure)
        self._machines(infrastructure)
        return "tosca_definitions_version: ñ\n"

    async def outputs(self, caller, infrastructure):
        await self._did("outputs", infrastructure)
        self._machines(infrastructure)
        return self.outputs_now

    async def estimate(self, caller, document):
        await self._did("estimate", document)
        return ESTIMATE

    async def plan(self, caller, document, infrastructure=None):
        await self._did("plan", document, infrastructure)
        if infrastructure is not None:
            self._machines(infrastructure)
        return PLAN

    async def apply(self, caller, plan, *, asynchronous=False):
        await self._did("apply", plan, asynchronous)
        infrastructure = plan.partition(".")[0]
        self._machines(infrastructure)
        return infrastructure

    async def templates(self):
        return self.catalogue

    def version(self):
        return "1.2.3"

    async def health(self):
        return self.condition

    def metrics(self):
        return b"im_infrastructures 0\n"

    def plugins(self):
        return []


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        return self.headers["Content-Type"].partition(";")[0]


class Server:
    """A running front end, its service, and ways to talk to it from the thread of the test."""

    def __init__(self, loop, front_end, service):
        self.loop, self.front_end, self.service = loop, front_end, service
        self.host, _, port = front_end.address.partition("://")[2].rpartition(":")
        self.port = int(port)
        self.url = front_end.address

    def request(self, method, path, body=None, *, auth="ana", **headers):
        """One request on a connection of its own. Underscores in the names of `headers` are hyphens."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
            if auth is not None:
                named["Authorization"] = auth
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
            DESCRIPTION.check(method, path, answer.status, dict(answer.headers), answer.body)
            return answer
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def post(self, path, body=b"", **headers):
        return self.request("POST", path, body, **headers)

    def put(self, path, body=b"", **headers):
        return self.request("PUT", path, body, **headers)

    def delete(self, path, **headers):
        return self.request("DELETE", path, **headers)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=20)

    def raw(self, data: bytes) -> bytes:
        """What the server sends until it closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def run(self, coroutine):
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def start(self, coroutine):
        """Begin a coroutine on the server's loop; a future of its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def hold(self, operation):
        """Make an operation of the service wait until it is `release`d."""

        async def hold():
            self.service.gates[operation] = asyncio.Event()

        self.run(hold())

    def release(self, operation):
        self.loop.call_soon_threadsafe(self.service.gates[operation].set)

    def until(self, condition):
        """Wait, on the server's loop, until a condition about its state holds."""

        async def wait():
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody when it changes
                await asyncio.sleep(0.005)

        self.run(asyncio.wait_for(wait(), 20))


@pytest.fixture
def serve(loop, started):
    """Start a front end with options other than the defaults."""

    def start(**options) -> Server:
        service = MemoryService()
        return Server(loop, started(RestFrontEnd(service, DEFAULTS | options)), service)

    return start


@pytest.fixture
def server(serve):
    """A front end with the defaults."""
    return serve()


@pytest.fixture
def infrastructure(server):
    """The id of an infrastructure with two machines."""
    server.service.infrastructures["inf"] = [0, 1]
    return "inf"
