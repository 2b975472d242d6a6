"""Log-ins to a real OpenSSH daemon."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imframework.api.model import Access
from imframework.remote import (
    AuthenticationFailed,
    HostKeyMismatch,
    RemoteError,
    Unreachable,
    connect,
    generate_key_pair,
    reachable,
)

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A daemon that accepts a key."""
    if SSHD is None:
        pytest.skip("needs an OpenSSH server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    folder = tmp_path_factory.mktemp("sshd")
    key, host_key = generate_key_pair(), generate_key_pair()
    (folder / "host_key").write_text(host_key.private)
    (folder / "host_key").chmod(0o600)
    (folder / "keys").write_text(key.public)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config").write_text(f"""\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/keys
StrictModes no
UsePAM no
PasswordAuthentication no
MaxAuthTries 20
Subsystem sftp internal-sftp
SetEnv SHLVL=2
""")
    daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    user = pwd.getpwuid(os.geteuid()).pw_name
    access = Access("127.0.0.1", port, user, host_key.public, key.private)
    try:
        assert run(reachable(access, 20)) == ""
        yield access
    finally:
        daemon.kill()
        daemon.wait()


def test_commands_are_run_and_files_go_both_ways(access: Access, tmp_path: Path) -> None:
    async def use() -> None:
        async with await connect(access, 10) as connection:
            result = await connection.run("cat; echo problem >&2; exit 3", 10, stdin=b"x" * 300_000)
            assert (result.status, result.stdout, result.stderr) == (3, b"x" * 300_000, b"problem\n")
            path = tmp_path / "file"
            await connection.put(b"content", str(path), 0o640)
            assert path.stat().st_mode & 0o777 == 0o640
            assert await connection.get(str(path)) == b"content"
            assert os.listdir(tmp_path) == ["file"]
            with pytest.raises(RemoteError):
                await connection.get(str(tmp_path / "absent"))

    run(use())


def test_a_command_that_takes_too_long_is_given_up(access: Access) -> None:
    async def use() -> None:
        async with await connect(access, 10) as connection:
            with pytest.raises(Unreachable, match=r"not over after 0\.3 seconds"):
                await connection.run("echo begun; sleep 30", 0.3)
            assert (await connection.run("echo again", 10)).stdout == b"again\n"

    run(use())


def test_another_host_key_than_the_pinned_one_is_refused(access: Access) -> None:
    for other in (generate_key_pair().public, "not a key"):
        with pytest.raises(HostKeyMismatch):
            run(connect(replace(access, host_key=other), 10))
    assert "host key" in run(reachable(replace(access, host_key=generate_key_pair().public), 10))


def test_the_first_key_seen_is_handed_back_to_be_pinned(access: Access) -> None:
    async def use() -> str:
        async with await connect(replace(access, host_key=""), 10) as connection:
            return connection.host_key

    assert run(use()) == access.host_key


def test_wrong_credentials_are_told_after_three_attempts(access: Access) -> None:
    stranger = replace(access, private_key=generate_key_pair().private)

    with pytest.raises(AuthenticationFailed):
        run(connect(stranger, 10))
    with pytest.raises(AuthenticationFailed, match="private key"):
        run(connect(replace(access, private_key="nonsense"), 10))
    assert run(reachable(stranger, 60)) == "Error connecting with ip: 127.0.0.1 incorrect credentials."


def test_waiting_for_a_machine_that_does_not_come_ends_in_time(access: Access) -> None:
    with socket.socket() as silent:  # takes connections and never says anything
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (1, silent.getsockname()[1]):
            assert run(reachable(replace(access, port=port), 0.5)) == "Timeout waiting SSH access."
    with pytest.raises(Unreachable):
        run(connect(replace(access, port=1), 1))


def test_a_machine_that_comes_up_later_is_reached(access: Access) -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))

        async def use() -> str:
            waiting = asyncio.create_task(reachable(replace(access, port=late.getsockname()[1]), 20))
            await asyncio.sleep(0.3)
            server = await asyncio.start_server(relay, sock=late.dup())
            async with server:
                return await waiting

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward = await asyncio.open_connection(access.address, access.port)
            await asyncio.gather(pump(reader, onward[1]), pump(onward[0], writer), return_exceptions=True)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        assert run(use()) == ""


def test_a_machine_is_reached_through_another_one(access: Access) -> None:
    async def use() -> bytes:
        async with await connect(access, 10, via=access) as connection:
            return (await connection.run("echo $SSH_CONNECTION", 10)).stdout

    assert str(access.port).encode() in run(use())


def test_waiting_for_many_machines_takes_no_threads(access: Access) -> None:
    import threading

    before = threading.active_count()

    async def use() -> tuple[list[str], int]:
        waits = [asyncio.create_task(reachable(replace(access, port=1), 1)) for _ in range(200)]
        await asyncio.sleep(0.5)
        threads = threading.active_count() - before
        return await asyncio.gather(*waits), threads

    results, threads = run(use())
    assert set(results) == {"Timeout waiting SSH access."}
    assert threads < 100, "there are 200 machines"
