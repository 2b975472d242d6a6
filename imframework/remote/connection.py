"""One SSH connection: log-in with a pinned host key, commands with a limit, files.

paramiko blocks, so that all of it happens in threads of a pool of our own: a machine that hangs takes one of them for
at most the time its caller allowed, and nothing else.
"""

from __future__ import annotations

import asyncio
import io
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from imframework.api.errors import IMError
from imframework.api.model import Access

if TYPE_CHECKING:
    import paramiko

T = TypeVar("T")

#: Connections that can be waited for at the same time.
THREADS = 32

#: Bytes of output that are kept of one command.
MAX_OUTPUT = 16 << 20


class RemoteError(IMError):
    """Something went wrong on the way to a machine."""

    code = "remote"
    retryable = True


class Unreachable(RemoteError):
    """The machine does not answer, or not in time, or not as an SSH server."""

    code = "unreachable"


class AuthenticationFailed(RemoteError):
    """The machine does not let us in."""

    code = "authentication_failed"


class HostKeyMismatch(RemoteError):
    """The machine is not the one that it was."""

    code = "host_key_mismatch"
    retryable = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command left. `status` is its exit status, -1 if a signal ended it."""

    status: int
    stdout: bytes
    stderr: bytes


class Connection:
    """An open connection; make it with `connect`. Use it as an asynchronous context manager, or `close` it.

    `host_key` is the key of the machine, as in known_hosts without the host: pin it if it was not.
    """

    def __init__(self, client: paramiko.SSHClient, jump: Connection | None = None) -> None:
        self._client = client
        self._jump = jump
        transport = client.get_transport()
        if transport is None:
            raise Unreachable("The connection was closed.")
        key = transport.get_remote_server_key()
        self.host_key = f"{key.get_name()} {key.get_base64()}"

    async def run(self, command: str, timeout: float, stdin: bytes = b"") -> CommandResult:
        """Run a shell command. Raises `Unreachable` if it is not over after `timeout` seconds."""
        return await _in_thread(lambda: _run(self._client, command, timeout, stdin))

    async def put(self, data: bytes, path: str, mode: int = 0o600, timeout: float = 60.0) -> None:
        """Write a file; it appears whole or not at all."""
        await _in_thread(lambda: _put(self._client, data, path, mode, timeout))

    async def get(self, path: str, timeout: float = 60.0) -> bytes:
        """Read a file."""
        return await _in_thread(lambda: _get(self._client, path, timeout))

    async def close(self) -> None:
        """End it, and the one through the jump host."""
        await _in_thread(self._client.close)
        if self._jump is not None:
            await self._jump.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(access: Access, timeout: float, via: Access | None = None) -> Connection:
    """Log in to a machine, if need be through a jump host (`via`), within `timeout` seconds for each.

    Raises:
        Unreachable, AuthenticationFailed, HostKeyMismatch
    """
    jump = None if via is None else await connect(via, timeout)
    try:
        return await _in_thread(lambda: _connect(access, timeout, jump))
    except RemoteError:
        if jump is not None:
            await jump.close()
        raise


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="ssh")


async def _in_thread(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_pool(), call)


# --- in threads ------------------------------------------------------------------------------------------------


def _connect(access: Access, timeout: float, jump: Connection | None) -> Connection:
    import paramiko

    client = paramiko.SSHClient()
    if access.host_key:
        name = access.address if access.port == 22 else f"[{access.address}]:{access.port}"
        kind, key = _host_key(access)
        client.get_host_keys().add(name, kind, key)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
    else:
        client.set_missing_host_key_policy(cast("paramiko.MissingHostKeyPolicy", _TakeFirst()))
    try:
        client.connect(
            access.address,
            access.port,
            username=access.user or access.ssh_options.get("User"),
            password=access.password or None,
            pkey=_key(access.private_key) if access.private_key else None,
            sock=None if jump is None else _channel(jump, access, timeout),
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
            allow_agent=False,
            look_for_keys=False,
        )
        return Connection(client, jump)
    except paramiko.BadHostKeyException:
        client.close()
        raise HostKeyMismatch(
            f"The host key of {access.address} is not the one on record: it may be another machine."
        ) from None
    except paramiko.AuthenticationException:
        client.close()
        raise AuthenticationFailed(f"{access.address} does not accept the credentials.") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        client.close()
        if access.host_key and "not found in known_hosts" in str(error):
            raise HostKeyMismatch(f"{access.address} has a host key of another kind than the one on record.") from None
        raise Unreachable(f"{access.address} port {access.port}: {_reason(error)}") from None


def _host_key(access: Access) -> tuple[str, paramiko.PKey]:
    import paramiko

    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"host {access.host_key.strip()}")
        if entry is not None and entry.key is not None:
            return entry.key.get_name(), entry.key
    except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
        pass  # it is not one either
    raise HostKeyMismatch(f"The host key on record for {access.address} is not one.")


class _TakeFirst:
    """For machines whose key nobody could tell us: `Connection.host_key` says which one it is, to be pinned."""

    def missing_host_key(self, client: object, hostname: str, key: object) -> None:
        """Accept it for this connection."""


def _channel(jump: Connection, access: Access, timeout: float) -> Any:
    transport = jump._client.get_transport()
    if transport is None:
        raise Unreachable("The connection to the jump host was closed.")
    return transport.open_channel("direct-tcpip", (access.address, access.port), ("127.0.0.1", 0), timeout=timeout)


def _key(text: str) -> paramiko.PKey:
    import paramiko

    kinds: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        try:
            return kind.from_private_key(io.StringIO(text.strip() + "\n"))
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise AuthenticationFailed(
        "The private key is not one that can be used: Ed25519, ECDSA or RSA, without passphrase."
    )


def _run(client: paramiko.SSHClient, command: str, timeout: float, stdin: bytes) -> CommandResult:
    import paramiko

    until = time.monotonic() + timeout
    try:
        transport = client.get_transport()
        if transport is None:
            raise Unreachable("The connection was closed.")
        channel = transport.open_session(timeout=timeout)
        try:
            channel.settimeout(timeout)
            channel.exec_command(command)
            channel.sendall(stdin)
            channel.shutdown_write()
            outputs = _outputs(channel, until)
            if not channel.status_event.wait(max(0.0, until - time.monotonic())):
                raise TimeoutError
            return CommandResult(channel.exit_status, *outputs)
        finally:
            channel.close()
    except TimeoutError:
        raise Unreachable(f"The command was not over after {timeout:g} seconds.") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise Unreachable(f"The connection was lost: {_reason(error)}") from None


def _outputs(channel: paramiko.Channel, until: float) -> tuple[bytes, bytes]:
    """Both outputs of a command, read as they come, until it closes them."""
    kept = (bytearray(), bytearray())
    ready = (channel.recv_ready, channel.recv_stderr_ready)
    receive = (channel.recv, channel.recv_stderr)
    while True:
        idle = True
        for output, is_ready, take in zip(kept, ready, receive, strict=True):
            if is_ready():
                idle = False
                data = take(65536)
                output += data[: MAX_OUTPUT - len(output)]
        if idle:
            if channel.eof_received or channel.closed:
                return bytes(kept[0]), bytes(kept[1])
            if time.monotonic() >= until:
                raise TimeoutError
            select.select([channel], [], [], min(1.0, until - time.monotonic()))


def _put(client: paramiko.SSHClient, data: bytes, path: str, mode: int, timeout: float) -> None:
    with _sftp(client, path, timeout) as sftp:
        draft = f"{path}.new"
        with sftp.open(draft, "w") as file:
            sftp.chmod(draft, mode)
            file.write(data)
        sftp.posix_rename(draft, path)


def _get(client: paramiko.SSHClient, path: str, timeout: float) -> bytes:
    with _sftp(client, path, timeout) as sftp, sftp.open(path, "r") as file:
        return bytes(file.read())


@contextmanager
def _sftp(client: paramiko.SSHClient, path: str, timeout: float) -> Iterator[paramiko.SFTPClient]:
    """A session for one file, with errors as ours."""
    import paramiko

    try:
        with client.open_sftp() as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(timeout)
            yield sftp
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise RemoteError(f"{path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The reason in an error, without what a user has no use for."""
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
