"""GET of state and of VM information through the whole stack, against a bare Tornado handler with the same answers.

One process is the real service (SQLite, user file, dummy cloud, an infrastructure of three machines), the other a
`tornado.web.RequestHandler` that answers the same bytes with as many headers. Rounds of load on the two alternate, so
that what else the machine does meets both. The ratio of a pair of rounds is what counts; the median of the pairs is
the figure.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import load
import service
from figures import Figure, table

ROUNDS = 5
SECONDS = 0.8
CLIENTS = (1, 32)
INCUMBENT = {1: "168-187 requests/s", 32: "430-580 requests/s, p99 1.6 s"}


def fetch(port: int, path: str) -> tuple[Mapping[str, str], str]:
    """Headers and body of an answer of the service."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Authorization": service.CREDENTIALS})
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        raise SystemExit(f"GET {path}: {response.status} {body}")
    connection.close()
    return dict(response.getheaders()), body


@contextmanager
def bare(answers: Mapping[str, tuple[Mapping[str, str], str]]) -> Iterator[int]:
    """A bare Tornado server in a process of its own; its port."""
    command = [sys.executable, __file__, "bare"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(answers) + "\n")
        process.stdin.flush()
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def serve_bare() -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets
    from tornado.web import Application, RequestHandler

    answers = {path: (headers, body.encode()) for path, (headers, body) in json.loads(sys.stdin.readline()).items()}

    class Bare(RequestHandler):
        def get(self) -> None:
            headers, body = answers[self.request.path]
            for name, value in headers.items():
                self.set_header(name, value)
            self.write(body)

        def compute_etag(self) -> None:
            """None: the service gives none either."""

    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([(r"/.*", Bare)])).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def measure() -> Iterator[Figure]:
    with service.running() as real:
        client = real.client()
        id = client.create(service.cluster(3))
        client.until(id, "configured")
        paths = {"state": f"/infrastructures/{id}/state", "VM info": f"/infrastructures/{id}/vms/0"}
        answers = {}
        for path in paths.values():
            headers, body = fetch(real.port, path)
            kept = {name: value for name, value in headers.items() if name not in ("Content-Length", "Date")}
            # Tornado's own: Server, Date, Content-Length; so one of the service's is left out for Server.
            kept.pop("Cache-Control", None)
            answers[path] = (kept, body)
        with bare(answers) as port:
            ports = {"bare": port, "service": real.port}
            check_same(ports, paths.values())
            for what, path in paths.items():
                for clients in CLIENTS:
                    yield compare(what, path, clients, ports)


def check_same(ports: Mapping[str, int], paths: Iterable[str]) -> None:
    """Refuse to compare what is not comparable."""
    for path in paths:
        (headers, body), (other_headers, other_body) = (fetch(port, path) for port in ports.values())
        if body != other_body or len(headers) != len(other_headers):
            raise SystemExit(f"{path}: the two servers answer differently: {headers} {other_headers}")


def compare(what: str, path: str, clients: int, ports: Mapping[str, int]) -> Figure:
    """Alternate rounds of load on both servers."""
    results: dict[str, list[load.Result]] = {name: [] for name in ports}
    for number in range(ROUNDS + 1):
        for name, port in ports.items():
            request = load.Request(port, path, service.CREDENTIALS)
            result = load.run(request, clients, SECONDS if number else 0.3)
            if number:  # the first round warms up
                results[name].append(result)
    ratio = statistics.median(
        mine.rate / theirs.rate for mine, theirs in zip(results["service"], results["bare"], strict=True)
    )
    median = {
        name: [statistics.median(getattr(result, value) for result in rounds) for value in ("rate", "p50", "p99")]
        for name, rounds in results.items()
    }
    texts = [f"{name} {rate:.0f}/s p50 {p50:.2f} p99 {p99:.2f} ms" for name, (rate, p50, p99) in median.items()]
    return Figure(
        f"GET {what}, {clients} client{'s' if clients > 1 else ''}, of bare Tornado",
        ratio, "", 0.5, at_least=True, incumbent=INCUMBENT[clients], detail="; ".join(texts),
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["bare"]:
        asyncio.run(serve_bare())
    else:
        print(table(measure()))
