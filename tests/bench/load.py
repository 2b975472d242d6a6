"""A load client in a process of its own: raw sockets, so that it costs little beside what it measures.

`run` has some clients, each on a connection that is kept open, ask again as soon as they are answered. `probe` asks at
a steady rate while something else happens, and counts the time from the instant at which a request was due, so that a
server that stops answering for a while is not asked less.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Answers per second, and the milliseconds that half, 99 % and all of them took at most."""

    count: int
    rate: float
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, always the same."""

    port: int
    path: str
    credentials: str
    method: str = "GET"
    body: str = ""
    accept: str = "*/*"

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        body = self.body.encode()
        head = [
            f"{self.method} {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Accept: {self.accept}",
            f"Authorization: {self.credentials}",
            *([f"Content-Type: text/plain\r\nContent-Length: {len(body)}"] if body else []),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


def run(request: Request, clients: int, seconds: float) -> Result:
    """Keep some clients busy for a time."""
    command = [sys.executable, __file__, "run", json.dumps(asdict(request)), str(clients), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return Result(**json.loads(done.stdout))


@contextmanager
def probe(requests: Sequence[Request], rate: float) -> Iterator[list[Result]]:
    """Ask `rate` times per second, these requests in turn, until the block ends; the list has the result then."""
    command = [sys.executable, __file__, "probe", json.dumps([asdict(request) for request in requests]), str(rate)]
    results: list[Result] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield results
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate()
    results.append(Result(**json.loads(output)))


class Connection(asyncio.Protocol):
    """Sends a request and gives its status when the whole answer is there."""

    def __init__(self) -> None:
        self._buffer = b""
        self._expected = 0
        self._status = 0
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def ask(self, data: bytes) -> asyncio.Future[int]:
        """The status to come."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._expected:
            head, end, _ = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._status = int(head[9:12])
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._expected = len(head) + 4 + int(length)
        if len(self._buffer) >= self._expected:
            self._buffer, self._expected = b"", 0
            assert self._answer is not None
            if not self._answer.done():
                self._answer.set_result(self._status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed by the server"))


async def connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


async def keep_busy(request: Request, clients: int, seconds: float) -> Result:
    latencies: list[float] = []
    data = request.encoded()
    connections = [await connect(request.port) for _ in range(clients)]
    began = time.perf_counter()
    until = began + seconds

    async def client(connection: Connection) -> None:
        asked = time.perf_counter()
        while asked < until:
            status = await connection.ask(data)
            now = time.perf_counter()
            if status != 200:
                raise SystemExit(f"unexpected status: {status}")
            latencies.append(now - asked)
            asked = now

    await asyncio.gather(*map(client, connections))
    return summary(latencies, time.perf_counter() - began)


async def keep_asking(requests: Sequence[Request], rate: float) -> Result:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    free: list[Connection] = []
    asking: set[asyncio.Task[None]] = set()

    async def ask(request: Request, data: bytes, due: float) -> None:
        connection = free.pop() if free else await connect(request.port)
        statuses[await connection.ask(data)] += 1
        latencies.append(loop.time() - due)
        free.append(connection)

    encoded = [(request, request.encoded()) for request in requests]
    began = due = loop.time()
    number = 0
    while not stop.is_set():
        task = loop.create_task(ask(*encoded[number % len(encoded)], due))
        asking.add(task)
        task.add_done_callback(asking.discard)
        number += 1
        due = began + number / rate
        try:
            async with asyncio.timeout_at(due):
                await stop.wait()
        except TimeoutError:
            pass
    await asyncio.gather(*asking)
    if set(statuses) != {200}:
        raise SystemExit(f"unexpected statuses: {dict(statuses)}")
    return summary(latencies, loop.time() - began)


def summary(latencies: list[float], elapsed: float) -> Result:
    latencies.sort()
    milliseconds = [latency * 1000 for latency in latencies]
    count = len(milliseconds)
    return Result(count, count / elapsed, milliseconds[count // 2], milliseconds[int(count * 0.99)], milliseconds[-1])


def main() -> None:
    what, asked = sys.argv[1], json.loads(sys.argv[2])
    if what == "run":
        result = asyncio.run(keep_busy(Request(**asked), int(sys.argv[3]), float(sys.argv[4])))
    else:
        result = asyncio.run(keep_asking([Request(**request) for request in asked], float(sys.argv[3])))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
