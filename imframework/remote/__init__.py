"""SSH and SFTP to machines: log-ins with pinned host keys, commands, files, jump hosts, keys.

Ansible makes its own connections, through OpenSSH; this is for everything else. paramiko is imported by the first
connection only.
"""

from imframework.remote.connection import (
    AuthenticationFailed,
    CommandResult,
    Connection,
    HostKeyMismatch,
    RemoteError,
    Unreachable,
    connect,
)
from imframework.remote.keys import KeyPair, generate_key_pair
from imframework.remote.waiting import reachable

__all__ = [
    "AuthenticationFailed",
    "CommandResult",
    "Connection",
    "HostKeyMismatch",
    "KeyPair",
    "RemoteError",
    "Unreachable",
    "connect",
    "generate_key_pair",
    "reachable",
]
