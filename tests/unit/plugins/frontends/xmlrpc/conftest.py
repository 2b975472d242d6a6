"""An XML-RPC front end on a real socket, before a service in memory."""

from __future__ import annotations

import asyncio
import http.client
import xmlrpc.client
from dataclasses import dataclass

import pytest

from imframework.testing.frontend import http_options
from imframework.testing.service import MemoryService
from imframework_plugins.frontends.xmlrpc.frontend import XmlRpcFrontEnd

DEFAULTS = http_options("XMLRCP", body_limit=1024 * 1024) | {"VMINFO_JSON": False}


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def value(self):
        """The value in it."""
        return xmlrpc.client.loads(self.text)[0][0]


class Server:
    """A running front end, its service, and ways to talk to it from the thread of the test."""

    def __init__(self, loop, front_end, service):
        self.loop, self.front_end, self.service = loop, front_end, service
        self.url = front_end.address
        self.host, _, port = self.url.partition("://")[2].rpartition(":")
        self.port = int(port)

    def call(self, method, *parameters):
        """What a client of the standard library gets."""
        with xmlrpc.client.ServerProxy(self.url, allow_none=True) as proxy:
            return getattr(proxy, method)(*parameters)

    def request(self, body=b"", path="/RPC2", method="POST", **headers):
        """One HTTP request on a connection of its own. Underscores in the names of `headers` are hyphens."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def run(self, coroutine):
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def until(self, condition):
        """Wait, on the server's loop, until a condition about its state holds."""

        async def wait():
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody when it changes
                await asyncio.sleep(0.005)

        self.run(asyncio.wait_for(wait(), 60))


@pytest.fixture
def serve(loop, started):
    """Start a front end with options other than the defaults; it has an infrastructure `inf` of two machines."""

    def start(**options) -> Server:
        service = MemoryService()
        service.infrastructures["inf"] = [0, 1]
        return Server(loop, started(XmlRpcFrontEnd(service, DEFAULTS | options)), service)

    return start


@pytest.fixture
def server(serve):
    """A front end with the defaults."""
    return serve()
