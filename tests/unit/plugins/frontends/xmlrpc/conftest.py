"""An XML-RPC front end on a real socket, before a service in memory."""

from __future__ import annotations

import asyncio
import http.client
import logging
import threading
import xmlrpc.client
from dataclasses import dataclass

import pytest

from imframework.testing.service import MemoryService
from imframework_plugins.frontends.xmlrpc.frontend import XmlRpcFrontEnd

DEFAULTS = {
    "XMLRCP_ADDRESS": "127.0.0.1",
    "XMLRCP_PORT": 0,
    "XMLRCP_SSL": False,
    "XMLRCP_SSL_KEYFILE": None,
    "XMLRCP_SSL_CERTFILE": None,
    "XMLRCP_SSL_CA_CERTS": None,
    "VMINFO_JSON": False,
    "REST_MAX_BLOCKING_CALLS": 32,
    "REST_BLOCKING_CALL_TIMEOUT": 0,
    "MAX_BODY_SIZE": 1024 * 1024,
    "REQUEST_TIMEOUT": 60,
}


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
def loop():
    """An event loop running in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def serve(loop):
    """Start a front end with options other than the defaults; it has an infrastructure `inf` of two machines."""
    servers = []

    def start(**options) -> Server:
        service = MemoryService()
        service.infrastructures["inf"] = [0, 1]
        front_end = XmlRpcFrontEnd(service, DEFAULTS | options)
        asyncio.run_coroutine_threadsafe(front_end.start(), loop).result(60)
        servers.append(Server(loop, front_end, service))
        return servers[-1]

    yield start
    for server in servers:
        server.run(server.front_end.stop())


@pytest.fixture
def server(serve):
    """A front end with the defaults."""
    return serve()


@pytest.fixture(autouse=True)
def quiet_asyncio(caplog):
    """No test leaves an error that nobody looked at: a task whose exception was never retrieved, say."""
    yield
    records = [*caplog.get_records("call"), *caplog.records]
    left = [record for record in records if record.name == "asyncio" and record.levelno >= logging.ERROR]
    assert not left, [record.getMessage() for record in left]
