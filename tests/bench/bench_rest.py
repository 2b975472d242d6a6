"""How much of a bare Tornado handler's speed the REST front end keeps.

Two servers in processes of their own answer the same bytes: a bare `tornado.web` handler, and the front end before a
service that knows its answers (so the front end alone is measured). A load client in a third process keeps 1, then 32
connections busy. Rounds on the two alternate, so that what else the machine does meets both.

    python tests/bench/bench_rest.py [--rounds 5] [--seconds 2] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time

from imframework.api.model import Identity
from imframework.api.service import Caller, StateReport

ID = "7d1b8c1e-9f43-11ee-8c90-0242ac120002"
PATHS = {"state": f"/infrastructures/{ID}/state", "vm": f"/infrastructures/{ID}/vms/0"}
CREDENTIALS = (
    "type = InfrastructureManager; username = 'ana'; password = 'correct horse'\\n"
    "id = one; type = OpenNebula; host = 'http://one.example.org:2633'; username = 'ana'; password = 'battery staple'"
)
MACHINE = """network net (
    outbound = 'yes' and
    provider_id = 'subnet-1'
)

system front (
    cpu.count = 2 and
    memory.size = 4294967296 and
    net_interface.0.connection = 'net' and
    net_interface.0.ip = '10.0.0.1' and
    disk.0.image.url = 'one://one.example.org/1' and
    disk.0.os.name = 'linux' and
    disk.0.os.credentials.username = 'ubuntu' and
    provider.type = 'OpenNebula' and
    provider.host = 'one.example.org' and
    instance_id = '4711' and
    state = 'configured'
)
"""
REPORT = StateReport("configured", {0: "configured", 1: "configured", 2: "running"})
CALLER = Caller((Identity("ana", "ana\0correct horse"),), frozenset({"key"}), ())
OPTIONS = {
    "REST_ADDRESS": "127.0.0.1",
    "REST_PORT": 0,
    "REST_SSL": False,
    "REST_SSL_KEYFILE": None,
    "REST_SSL_CERTFILE": None,
    "REST_SSL_CA_CERTS": None,
    "REST_ROOT_PATH": "/",
    "REST_MAX_BLOCKING_CALLS": 32,
    "REST_BLOCKING_CALL_TIMEOUT": 0,
    "ENABLE_CORS": False,
    "CORS_ORIGIN": "*",
    "MAX_BODY_SIZE": 16777216,
    "REQUEST_TIMEOUT": 60,
}


class KnownAnswers:
    """As much of a service as these two resources use."""

    async def authenticate(self, credentials: str, address: str = "") -> Caller:
        return CALLER

    async def state(self, caller: Caller, infrastructure: str) -> StateReport:
        return REPORT

    async def vm_info(self, caller: Caller, infrastructure: str, vm: int, language: str) -> str:
        return MACHINE


async def serve_rest() -> None:
    from imframework_plugins.frontends.rest.frontend import RestFrontEnd

    front_end = RestFrontEnd(KnownAnswers(), OPTIONS)
    await front_end.start()
    print(front_end.address.rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


async def serve_bare() -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets
    from tornado.web import Application, RequestHandler

    states = {str(number): state for number, state in REPORT.vm_states.items()}
    report = json.dumps({"state": {"state": REPORT.state, "vm_states": states}}, separators=(",", ":"))
    answers = {PATHS["state"]: ("application/json", report), PATHS["vm"]: ("text/plain; charset=utf-8", MACHINE)}

    class Bare(RequestHandler):
        def get(self) -> None:
            content_type, body = answers[self.request.path]
            self.set_header("Content-Type", content_type)
            self.write(body.encode())

    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([(r"/.*", Bare)])).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, path: str, until: float, latencies: list[float], done: asyncio.Event) -> None:
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAuthorization: {CREDENTIALS}\r\n\r\n"
        ).encode()
        self.until, self.latencies, self.done = until, latencies, done
        self.buffer = b""
        self.expected = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.expected:
            head, end, _ = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"unexpected answer: {head!r}")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.expected = len(head) + 4 + int(length)
        if len(self.buffer) < self.expected:
            return
        self.buffer, self.expected = b"", 0
        now = time.perf_counter()
        self.latencies.append(now - self.asked)
        if now < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set()


async def load(port: int, path: str, clients: int, seconds: float) -> None:
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    events = [asyncio.Event() for _ in range(clients)]
    for event in events:
        await loop.create_connection(lambda e=event: Client(path, began + seconds, latencies, e), "127.0.0.1", port)
    for event in events:
        await event.wait()
    elapsed = time.perf_counter() - began
    latencies.sort()
    print(
        json.dumps(
            {
                "rate": len(latencies) / elapsed,
                "p50": latencies[len(latencies) // 2] * 1000,
                "p99": latencies[int(len(latencies) * 0.99)] * 1000,
            }
        )
    )


def myself(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def measure(rounds: int, seconds: float) -> list[dict[str, object]]:
    """Requests per second and latencies (ms) of both servers, for each resource and number of clients."""
    rows = []
    with contextlib.ExitStack() as stack:
        ports = {}
        for name in ("bare", "rest"):
            server = stack.enter_context(subprocess.Popen(myself("serve", name), stdout=subprocess.PIPE, text=True))
            stack.callback(server.terminate)
            ports[name] = int(server.stdout.readline())
        for resource, path in PATHS.items():
            for clients in (1, 32):
                results: dict[str, list[dict[str, float]]] = {"bare": [], "rest": []}
                for number in range(rounds + 1):
                    for name, port in ports.items():
                        command = myself("load", port, path, clients, seconds if number else 0.5)
                        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                        if number:  # the first round warms up
                            results[name].append(answer)
                ratios = [b["rate"] / a["rate"] for a, b in zip(results["bare"], results["rest"], strict=True)]
                row = {"resource": resource, "clients": clients, "ratio": statistics.median(ratios)}
                for name, answers in results.items():
                    row[name] = {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
                rows.append(row)
    return rows


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve_rest() if sys.argv[2] == "rest" else serve_bare())
        return
    if sys.argv[1:2] == ["load"]:
        asyncio.run(load(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.rounds, arguments.seconds)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("resource  clients  server     requests/s   p50 ms   p99 ms   ratio")
    for row in rows:
        for name in ("bare", "rest"):
            figures, ratio = row[name], f"{row['ratio']:7.2f}" if name == "rest" else ""
            print(
                f"{row['resource']:8}  {row['clients']:7}  {name:8} {figures['rate']:12.0f} {figures['p50']:8.2f} "
                f"{figures['p99']:8.2f} {ratio}"
            )


if __name__ == "__main__":
    main()
