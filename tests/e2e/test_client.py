"""The client library with a real service, and with a line to it that is cut: its reference, word for word."""

import re
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from imframework.client import Client

PAGE = Path(__file__).parents[2] / "docs/reference/client.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.xdist_group("client")


def test_the_examples_run_as_they_stand_but_for_the_address_of_the_service(server, capsys):
    text = PAGE.read_text(encoding="utf-8")
    server.secrets.add("ana's password")
    url = f"http://{server.host}:{server.port}"
    variables = {"__name__": "example"}

    for number, code in enumerate(BLOCK.findall(text), 1):
        code = code.replace("http://127.0.0.1:8800", url)
        exec(compile(code, f"{PAGE.name}, example {number}", "exec"), variables)  # noqa: S102 - it is ours

    said = capsys.readouterr().out
    assert "invalid_document" in said
    assert "Deleted infrastructure" in said


def test_every_operation_is_described():
    described = set(re.findall(r"`(\w+)\(", PAGE.read_text(encoding="utf-8")))

    assert {name for name in vars(Client) if not name.startswith("_")} - described == set()


@contextmanager
def cut_line(server, times):
    """The port of a line to the server that is cut, so many times, when the server answers: no byte comes back."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            for left in range(times, -1, -1):
                ours, _ = listening.accept()
                with ours, socket.create_connection((server.host, server.port)) as theirs:
                    there = threading.Thread(target=pump, args=(ours, theirs))
                    there.start()
                    answer = theirs.recv(65536)
                    while answer and not left:
                        ours.sendall(answer)
                        answer = theirs.recv(65536)
                    ours.shutdown(socket.SHUT_RDWR)
                    there.join()

        def pump(source, target):
            while data := source.recv(65536):
                target.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_a_create_whose_answers_are_lost_makes_one_infrastructure(server, document):
    server.secrets.add("eva's password")
    owner = [{"type": "InfrastructureManager", "username": "eva", "password": "eva's password"}, {"type": "Dummy"}]

    with cut_line(server, 3) as port:
        infrastructure = Client(f"http://127.0.0.1:{port}", owner).create(document(cloud="dummy"), asynchronous=True)

    client = Client(f"http://{server.host}:{server.port}", owner)
    assert client.list() == [infrastructure]
    client.destroy(infrastructure)
