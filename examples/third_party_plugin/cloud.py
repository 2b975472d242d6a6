"""A cloud to try the plugin on: `python cloud.py [--port 8899]`. It is no part of the plugin.

It has what most clouds have: accounts, images, flavours, a quota, machines that take a moment to boot, tags, requests
that come at a bad time, and answers that get lost. But its machines exist on its list only, and end with it.

    GET /images, /flavours, /quota, /machines[?tag=TAG]        POST /machines, /machines/ID/{start,stop,reboot}
                                                               DELETE /machines/ID
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ACCOUNTS = {"demo": "demo-password", "other": "other-password"}
IMAGES = [
    {"id": "debian-12", "name": "Debian 12", "user": "debian"},
    {"id": "ubuntu-24.04", "name": "Ubuntu 24.04", "user": "ubuntu"},
]
#: Memory in MiB, prices per hour.
FLAVOURS = [
    {"name": "large", "cpus": 8, "memory": 16384, "price": 0.4},
    {"name": "small", "cpus": 1, "memory": 2048, "price": 0.05},
    {"name": "medium", "cpus": 2, "memory": 4096, "price": 0.1},
]


class Refused(Exception):
    """The answer is a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class Machine:
    """One machine. It boots until `up_at`, if it is on."""

    account: str
    id: str
    name: str
    tag: str
    address: str
    on: bool
    up_at: float

    @property
    def state(self) -> str:
        """booting, running or stopped."""
        if not self.on:
            return "stopped"
        return "running" if time.monotonic() >= self.up_at else "booting"

    def show(self) -> dict[str, str]:
        """What the account is told of it."""
        return {
            "id": self.id,
            "name": self.name,
            "tag": self.tag,
            "address": self.address,
            "state": self.state,
            "message": "",
        }


class Cloud:
    """The machines of all accounts. `boot` is in seconds."""

    def __init__(self, quota: int, boot: float) -> None:
        self._quota = quota
        self._boot = boot
        self._machines: dict[str, Machine] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def answer(self, account: str, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> object:
        """What a request is answered with, as JSON. Raises `Refused`."""
        with self._lock:
            match method, path.strip("/").split("/"):
                case "GET", ["images"]:
                    return IMAGES
                case "GET", ["flavours"]:
                    return FLAVOURS
                case "GET", ["quota"]:
                    return {"used": len(self._of(account)), "limit": self._quota}
                case "GET", ["machines"]:
                    tags = query.get("tag")
                    return [machine.show() for machine in self._of(account) if not tags or machine.tag in tags]
                case "POST", ["machines"]:
                    return self._make(account, body).show()
                case "DELETE", ["machines", id]:
                    return self._machines.pop(self._one(account, id).id).show()
                case "POST", ["machines", id, "start" | "stop" | "reboot" as action]:
                    return self._switch(self._one(account, id), action).show()
        raise Refused(404, f"there is no {path}")

    def _of(self, account: str) -> list[Machine]:
        return [machine for machine in self._machines.values() if machine.account == account]

    def _one(self, account: str, id: str) -> Machine:
        machine = self._machines.get(id)
        if machine is None or machine.account != account:
            raise Refused(404, f"there is no machine {id}")
        return machine

    def _make(self, account: str, order: Mapping[str, Any]) -> Machine:
        for key, known in (
            ("image", [each["id"] for each in IMAGES]),
            ("flavour", [each["name"] for each in FLAVOURS]),
        ):
            if order.get(key) not in known:
                raise Refused(400, f"there is no {key} {order.get(key)}")
        if len(self._of(account)) >= self._quota:
            raise Refused(403, f"an account can have {self._quota} machines")
        number = next(self._numbers)
        machine = Machine(
            account,
            f"m-{number}",
            str(order.get("name")),
            str(order.get("tag")),
            f"198.18.{number // 250 % 250}.{number % 250 + 1}",
            on=True,
            up_at=time.monotonic() + self._boot,
        )
        self._machines[machine.id] = machine
        return machine

    def _switch(self, machine: Machine, action: str) -> Machine:
        if machine.state == "booting":
            raise Refused(409, f"machine {machine.id} is booting")
        if action == "reboot" or (action == "start" and not machine.on):
            machine.up_at = time.monotonic() + self._boot
        machine.on = action != "stop"
        return machine


class Server(ThreadingHTTPServer):
    """Serves a cloud on loopback. The answers to the first `lose_answers` orders of machines get lost."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cloud: Cloud, port: int = 0, lose_answers: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.cloud = cloud
        self._to_lose = lose_answers
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def loses(self, method: str, path: str) -> bool:
        """Whether the answer to this request is to get lost."""
        with self._lock:
            lost = (method, path) == ("POST", "/machines") and self._to_lose > 0
            self._to_lose -= lost
            return lost


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        try:
            account = self._account()
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else {}
            status, answer = (
                200,
                self.server.cloud.answer(account, self.command, parts.path, parse_qs(parts.query), body),
            )
        except Refused as error:
            status, answer = error.status, {"error": str(error)}
        if self.server.loses(self.command, parts.path):
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _serve

    def _account(self) -> str:
        scheme, _, login = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(login).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if not password or ACCOUNTS.get(name) != password:
            raise Refused(401, "unknown account or wrong password")
        return name

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is logged."""


def main() -> None:
    """Serve until interrupted; the first line of output is the URL."""
    parser = argparse.ArgumentParser(description="A cloud to try the example plugin on.")
    parser.add_argument("--port", type=int, default=8899, help="port on 127.0.0.1; 0 for any")
    parser.add_argument("--quota", type=int, default=20, help="most machines of an account")
    parser.add_argument("--boot", type=float, default=1.0, help="seconds that a machine boots")
    parser.add_argument("--lose-answers", type=int, default=0, help="lose the answers to so many orders of machines")
    options = parser.parse_args()
    server = Server(Cloud(options.quota, options.boot), options.port, options.lose_answers)
    print(server.url, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
