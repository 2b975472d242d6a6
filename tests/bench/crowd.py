"""Many clients in a process of their own, which hold connections and hardly use them.

An *idle* one asks once and keeps its connection. A *slow* one sends requests, one byte a second, without an end. A
*reader* asks for an event stream and counts what comes: events (`id:` lines), and ids that do not ascend.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from load import Request

#: Connections that are opened at the same time.
AT_ONCE = 50


@dataclass
class Report:
    """What became of the connections: how many there were, how many are left in the end, and what the readers saw."""

    count: int = 0
    left: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    events: int = 0
    disordered: int = 0


@contextmanager
def crowd(kind: str, request: Request, count: int) -> Iterator[list[Report]]:
    """So many clients of one kind, all connected; the list has their report when the block has ended."""
    command = [sys.executable, __file__, kind, json.dumps(asdict(request)), str(count)]
    reports: list[Report] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"not all of {count} {kind} clients could connect")
            yield reports
        finally:
            process.send_signal(signal.SIGTERM)
            output = process.stdout.read()
    reports.append(Report(**json.loads(output)))


class Client(asyncio.Protocol):
    """One connection; `answered` when the head of the first answer is there."""

    def __init__(self, report: Report, data: bytes) -> None:
        self._report = report
        self._data = data
        self._head = b""
        self._last = 0
        self._line = b""
        self.answered = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        self._report.count += 1
        self._report.left += 1
        self.begin()

    def begin(self) -> None:
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            self.more(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if end:
            status = head[9:12].decode()
            self._report.statuses[status] = self._report.statuses.get(status, 0) + 1
            self._head = b""
            self.answered.set_result(None)
            self.more(rest)

    def more(self, data: bytes) -> None:
        """Of the body, or of later answers."""

    def connection_lost(self, error: Exception | None) -> None:
        self._report.left -= 1
        if not self.answered.done():
            self.answered.set_exception(error or ConnectionError("closed by the server"))


class Slow(Client):
    """Does not wait for its answer."""

    def begin(self) -> None:
        self._sent = 0
        self.answered.set_result(None)
        self.send()

    def send(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._data[self._sent : self._sent + 1])
            self._sent = (self._sent + 1) % len(self._data)
            asyncio.get_running_loop().call_later(1.0, self.send)


class Reader(Client):
    """Looks at the ids of events."""

    def more(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if line.startswith(b"id:"):
                number = int(line[3:])
                self._report.events += 1
                self._report.disordered += number <= self._last
                self._last = number


KINDS: dict[str, type[Client]] = {"idle": Client, "slow": Slow, "reader": Reader}


async def hold(kind: str, request: Request, count: int) -> Report:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    report = Report()
    data = request.encoded()
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> Client:
        async with places:
            _, client = await loop.create_connection(lambda: KINDS[kind](report, data), "127.0.0.1", request.port)
            await client.answered
            return client

    clients = await asyncio.gather(*(one() for _ in range(count)))
    print("ready", flush=True)
    await stop.wait()
    del clients
    return report


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind, request, count = sys.argv[1], Request(**json.loads(sys.argv[2])), int(sys.argv[3])
    print(json.dumps(asdict(asyncio.run(hold(kind, request, count)))))


if __name__ == "__main__":
    main()
