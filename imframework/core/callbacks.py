"""Machines that nobody can reach call us: what they are told, and how they show who they are.

A machine without a public network gets a line into its user data that fetches a script from the service (step 1). The
script asks what to do (step 2) until there is an answer, which is a reverse SSH tunnel to the master: the first Linux
machine with a public address, on which the tunnels end at port 20000 and the machine's number.

A machine shows a secret of its own, made from the key pair of its infrastructure, so that nothing is to be stored; it
is good for this one question, and as long as the machine exists. No credentials of users leave the service this way.
"""

from __future__ import annotations

import hmac
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Final

import yaml

from imframework.api.model import Access
from imframework.core.documents import parsed
from imframework.core.entities import VM
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.planning import MERGE_HOW
from imframework.core.ports import Configurator
from imframework.languages.radl import System

WAIT, NOTHING = "wait", "true"
FIRST_PORT: Final = 20000
#: Seconds in which the master must accept a log-in.
PROBE: Final = 2.0
#: Seconds between two questions of a machine.
PAUSE: Final = 20
_HEADER: Final = "X-IM-Secret"
_FOLDER: Final = "/var/lib/im-tunnel"

_SCRIPT: Final = """\
#!/bin/bash
# Asks the infrastructure manager how this machine is to be reached, and keeps that way open.
umask 077
mkdir -p {folder} && cd {folder} || exit 1
printf '%s\\n' {header} > header
while true; do
  answer=$(curl -fsS --max-time 60 -H @header {url}) || answer=wait
  [ "$answer" = wait ] || break
  sleep {pause}
done
[ "$answer" = true ] && exit 0
printf '%s\\n' '#!/bin/bash' "cd {folder} || exit 1" "$answer" > tunnel.sh
again='* * * * * flock -n {folder}/lock bash {folder}/tunnel.sh'
(crontab -l 2> /dev/null | grep -v {folder}; echo "$again") | crontab -
flock -n lock bash tunnel.sh
"""


def command_url(base_url: str, infrastructure: str, number: int) -> str:
    """Where a machine asks."""
    return f"{base_url}/infrastructures/{infrastructure}/vms/{number}/command"


def secret(infra: Infrastructure, number: int, keyring: Keyring) -> str:
    """What a machine shows."""
    key = keyring.key_pair(infra).private.encode()
    return hmac.new(key, f"imframework callback\0{infra.id}\0{number}".encode(), "sha256").hexdigest()


def shows(given: str, infra: Infrastructure, number: int, keyring: Keyring) -> bool:
    """Whether somebody shows the secret of a machine."""
    if not (given.isascii() and keyring.has_key_pair(infra)):
        return False
    return hmac.compare_digest(given, secret(infra, number, keyring))


def script(url: str, secret: str) -> str:
    """Step 1: what a machine runs."""
    return _SCRIPT.format(
        folder=_FOLDER, header=shlex.quote(f"{_HEADER}: {secret}"), url=shlex.quote(f"{url}?step=2"), pause=PAUSE
    )


async def answer(infra: Infrastructure, vm: VM | None, keyring: Keyring, configurator: Configurator) -> str:
    """Step 2: commands that open a tunnel, nothing to do, or to ask again later."""
    master = next(_masters(infra), None)
    if vm is None or master is None:
        return WAIT
    if master.vm.number == vm.number or _can_reach(infra, vm, master):
        return NOTHING
    access = _access(infra, master.vm, keyring)
    if access is None or await configurator.reachable(access, PROBE):
        return WAIT
    return _tunnel(FIRST_PORT + vm.number, access, master.address)


# --- the master ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Master:
    vm: VM
    address: str
    networks: frozenset[str]


def _masters(infra: Infrastructure) -> Iterator[_Master]:
    """The machines that can be the master, in their order."""
    for vm in infra.alive():
        if vm.wanted and (address := _public_address(infra, vm)) and is_linux(system := _system(infra, vm)):
            yield _Master(vm, address, frozenset(system.connections().values()))


def _can_reach(infra: Infrastructure, vm: VM, master: _Master) -> bool:
    """Whether a machine and the master reach each other without a tunnel."""
    return bool(_public_address(infra, vm)) or not master.networks.isdisjoint(_system(infra, vm).connections().values())


def _system(infra: Infrastructure, vm: VM) -> System:
    return next(iter(parsed(infra.documents[vm.definition].text).systems.values()))


def _public_address(infra: Infrastructure, vm: VM) -> str:
    document = parsed(infra.documents[vm.definition].text)
    for number, name in _system(infra, vm).connections().items():
        network = document.networks.get(name)
        if network is not None and network.is_public and (address := vm.facts.get(f"net_interface.{number}.ip")):
            return str(address)
    return ""


def is_linux(system: System) -> bool:
    """Whether machines of a system run Linux, which they do unless they say otherwise."""
    return (system.features.text("disk.0.os.name") or "linux").lower() == "linux"


def _access(infra: Infrastructure, vm: VM, keyring: Keyring) -> Access | None:
    for entry in infra.entries.values():
        if entry.machine == vm.number and entry.present and (access := entry.access()) is not None:
            return keyring.complete(infra, access)
    return None


def _tunnel(port: int, access: Access, address: str) -> str:
    lines = []
    options = ["-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=30", "-o", "UserKnownHostsFile=known_hosts"]
    if access.host_key:
        host = address if access.port == 22 else f"[{address}]:{access.port}"
        lines.append(f"printf '%s\\n' {shlex.quote(f'{host} {access.host_key}')} > known_hosts")
    else:
        options += ["-o", "StrictHostKeyChecking=accept-new"]
    login: list[str] = []
    if access.private_key:
        lines.append(f"(umask 077; printf '%s\\n' {shlex.quote(access.private_key.rstrip())} > key)")
        options += ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", "key"]
    else:
        lines.append(f"export SSHPASS={shlex.quote(access.password)}")
        login = ["sshpass", "-e"]
    target = f"{access.user}@{address}" if access.user else address
    command = [*login, "ssh", "-N", "-T", *options, "-p", str(access.port), "-R", f"{port}:localhost:22", target]
    return "\n".join([*lines, f"exec {shlex.join(command)}"])


# --- user data -------------------------------------------------------------------------------------------------


def asking(user_data: str, url: str, secret: str) -> str:
    """User data (cloud-init) with which a machine also fetches the script of step 1 and runs it."""
    header, quoted = shlex.quote(f"{_HEADER}: {secret}"), shlex.quote(url)
    fetch = f"until curl -fsS -H {header} {quoted} -o {_FOLDER}/start.sh; do sleep {PAUSE}; done"
    run = f"umask 077; mkdir -p {_FOLDER}; ({fetch}; bash {_FOLDER}/start.sh) > /dev/null 2>&1 &"
    own = _cloud_config(user_data)
    content = own or {}
    _append(content, "packages", "curl", "sshpass")
    _append(content, "runcmd", ["sh", "-c", run])
    content.setdefault("merge_how", MERGE_HOW)
    config = "#cloud-config\n" + yaml.safe_dump(content, sort_keys=False)
    if own is not None or not user_data:
        return config
    # A script of the user's, say: cloud-init takes both, and tells of each what it is by how it begins.
    parts = MIMEMultipart(boundary="==im==", _subparts=[MIMEText(user_data, "plain"), MIMEText(config, "plain")])
    return parts.as_string()


def _cloud_config(user_data: str) -> dict[str, object] | None:
    """What a cloud-config says; None if it is none that can be added to."""
    if not user_data.startswith("#cloud-config"):
        return None
    try:
        content = yaml.safe_load(user_data)
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict) else None


def _append(content: dict[str, object], key: str, *items: object) -> None:
    """Add to a list of cloud-init. Where there is something else it stays, and the machine gets no tunnel."""
    present = content.get(key) or []
    if isinstance(present, list):
        content[key] = [*present, *(item for item in items if item not in present)]
