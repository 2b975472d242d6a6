"""The inventory of a job: hosts, groups and the variables that recipes may rely on.

`docs/reference/radl.md` lists the variables for users. How hosts are reached (`ansible_…`) is here too; keys and host
keys are files that `bundle` writes, under the names given here.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imframework.api.model import JSON, Access
from imframework.contextualization.yaml_text import Unsafe
from imframework.core.ports import Job, Target
from imframework.languages.radl import Document, HostName, System, host_name, simple_json

SYSTEM_PYTHON = "/usr/bin/python3"
WINRM_PORT = 5986

#: Where the files of a host are, from the run folder.
KEYS = "keys"
KNOWN_HOSTS = "known_hosts"


@dataclass(frozen=True, slots=True)
class NameDefaults:
    """What machines are called that the document gives no name (DEFAULT_VM_NAME, DEFAULT_DOMAIN)."""

    name: str = "vnode-#N#"
    domain: str = "localdomain"


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of a machine as it is now. `ip` is empty while it has none."""

    number: int
    network: str
    public: bool
    ip: str
    name: HostName | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A target with what the document and its facts say about it together."""

    target: Target
    system: System
    interfaces: tuple[Interface, ...]
    name: HostName

    @property
    def public_ip(self) -> str:
        """The first public address, or an empty text."""
        return next((each.ip for each in self.interfaces if each.public and each.ip), "")

    @property
    def private_ip(self) -> str:
        """The first private address, or an empty text."""
        return next((each.ip for each in self.interfaces if not each.public and each.ip), "")

    @property
    def host(self) -> str:
        """Its name in the inventory: address and number."""
        ip = self.public_ip or self.private_ip or self.target.access.address
        return re.sub(r"[^\w.-]", "_", f"{ip}_{self.target.number}")

    @property
    def windows(self) -> bool:
        """Whether it is configured through WinRM instead of SSH."""
        return "windows" in self.target.access.operating_system.lower()


def machines(job: Job, defaults: NameDefaults) -> tuple[Machine, ...]:
    """The machines that recipes of a job may be about, by number."""
    targets = sorted((*job.targets, *job.others), key=lambda target: target.number)
    return tuple(_machine(target, job.document, defaults) for target in targets)


def _machine(target: Target, document: Document, defaults: NameDefaults) -> Machine:
    requested = document.systems.get(target.system)
    system = System(target.system) if requested is None else requested.copy()
    for key, value in target.facts.items():
        if isinstance(value, str | int | float):
            system.set(key, value)
        elif isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            system.set(key, tuple(value))
    interfaces = []
    for number, features in system.interfaces().items():
        network = features.text("connection") or ""
        known = document.networks.get(network)
        interfaces.append(
            Interface(
                number=number,
                network=network,
                public=known is not None and known.is_public,
                ip=features.text("ip") or "",
                name=_name(system, number, target.number, defaults),
            )
        )
    name = _name(system, 0, target.number, defaults) or HostName(f"vnode-{target.number}", defaults.domain)
    return Machine(target, system, tuple(interfaces), name)


def _name(system: System, interface: int, number: int, defaults: NameDefaults) -> HostName | None:
    return host_name(system, interface, number, default_name=defaults.name, default_domain=defaults.domain)


def master(machines: Sequence[Machine]) -> Machine | None:
    """The machine the others can rely on: a Linux one with a public address, connected to most others.

    The first one if none has a public address.
    """
    candidates = [each for each in machines if not each.windows and each.public_ip] or list(machines)
    return max(candidates, key=lambda each: sum(_connected(each, other) for other in machines), default=None)


def _connected(one: Machine, other: Machine) -> bool:
    shared = {each.network for each in one.interfaces} & {each.network for each in other.interfaces}
    return bool(shared or (one.public_ip and other.public_ip))


def hosts_file(machines: Sequence[Machine]) -> str:
    """The lines every machine gets in its /etc/hosts: address, full name, name."""
    return "".join(
        f"{each.ip} {each.name.fqdn} {each.name.host}\n"
        for machine in machines
        for each in machine.interfaces
        if each.ip and each.name is not None
    )


# --- the inventory ---------------------------------------------------------------------------------------------


def inventory(job: Job, machines: Sequence[Machine], run_dir: Path) -> dict[str, Any]:
    """The inventory as data for YAML.

    IM_INFRASTRUCTURE_AUTH is the user's secret: it is there only if a recipe mentions it.
    """
    groups: dict[str, Any] = {}
    for machine in machines:
        names = [machine.target.system, "windows" if machine.windows else "allnowindows"]
        for name in names:
            groups.setdefault(name, {"hosts": {}})["hosts"][machine.host] = {}
    groups.setdefault("allnowindows", {"hosts": {}})
    groups["windows"] = {
        **groups.get("windows", {"hosts": {}}),
        "vars": {
            "ansible_connection": "winrm",
            "ansible_winrm_server_cert_validation": "ignore",
            "ansible_port": WINRM_PORT,
        },
    }
    hosts = {machine.host: _quoted(host_variables(machine, run_dir)) for machine in machines}
    return {"all": {"hosts": hosts, "vars": _quoted(global_variables(job, machines)), "children": groups}}


def global_variables(job: Job, machines: Sequence[Machine]) -> dict[str, JSON]:
    """The variables that all machines share."""
    systems = Counter(machine.target.system for machine in machines)
    found: dict[str, JSON] = {f"IM_{_variable(system)}_NUM_VMS": str(count) for system, count in systems.items()}
    external = next(iter(job.document.ansibles.values()), None)
    chosen = master(machines)
    if external is not None:
        found |= _name_variables("IM_MASTER_", HostName(external.text("host") or "", ""))
    elif chosen is not None:
        found |= _name_variables("IM_MASTER_", chosen.name)
    found["IM_INFRASTRUCTURE_ID"] = job.infrastructure
    found["IM_INFRASTRUCTURE_RADL"] = simple_json(job.document)
    if mentions(job, "IM_INFRASTRUCTURE_AUTH"):
        found["IM_INFRASTRUCTURE_AUTH"] = job.auth_value
    return found


def mentions(job: Job, word: str) -> bool:
    """Whether any recipe of the document has a word in it."""
    return any(
        configure.recipe is not None and word in configure.recipe for configure in job.document.configures.values()
    )


def host_variables(machine: Machine, run_dir: Path) -> dict[str, JSON]:
    """The variables of one machine."""
    target = machine.target
    found: dict[str, JSON] = dict(_connection(machine, run_dir))
    found["IM_HOST"] = machine.host
    found |= _name_variables("IM_NODE_", machine.name)
    if machine.public_ip:
        found["IM_NODE_PUBLIC_IP"] = machine.public_ip
    found["IM_NODE_PRIVATE_IP"] = machine.private_ip or machine.public_ip or target.access.address
    found["IM_NODE_NUM"] = str(target.number)
    found["IM_NODE_VMID"] = target.cloud_id
    found["IM_NODE_CLOUD_TYPE"] = target.cloud_type
    if target.cloud_server:
        found["IM_NODE_CLOUD_SERVER"] = target.cloud_server
    for each in machine.interfaces:
        if each.ip:
            found[f"IM_NODE_NET_{each.number}_IP"] = each.ip
            if each.name is not None:
                found |= _name_variables(f"IM_NODE_NET_{each.number}_", each.name)
    certificates = _certificates(machine.system)
    if certificates:
        found["IM_NODE_TLS_CERTIFICATES"] = certificates
    for name, fields in _applications(machine):
        for field, value in fields.items():
            found[f"IM_APP_{_variable(name)}_{field.upper()}"] = value
    return found


def _name_variables(prefix: str, name: HostName) -> dict[str, JSON]:
    return {f"{prefix}HOSTNAME": name.host, f"{prefix}DOMAIN": name.domain, f"{prefix}FQDN": name.fqdn}


def _certificates(system: System) -> dict[str, JSON]:
    found = {}
    for features in system.interfaces().values():
        for entry in features.numbered("dns").values():
            certificate, key = entry.text("tls.certificate"), entry.text("tls.private_key")
            if certificate and key:
                found[entry.text("name") or ""] = {"cert": certificate, "key": key}
    return found


def _applications(machine: Machine) -> Iterator[tuple[str, dict[str, str]]]:
    """Software known to be there: what was asked for, and what the facts say is installed."""
    known: dict[str, dict[str, str]] = {}
    for wanted in machine.system.applications():
        known[wanted.name] = {"version": wanted.version or "", "path": wanted.path or ""}
    installed = machine.target.facts.get("disk.0.applications")
    for entry in installed if isinstance(installed, list | tuple) else ():
        if isinstance(entry, Mapping) and entry.get("name"):
            fields = known.setdefault(str(entry["name"]), {})
            fields.update({field: str(entry[field]) for field in ("version", "path") if entry.get(field)})
    for name, fields in known.items():
        if not name.startswith("ansible."):
            yield name, {field: value for field, value in fields.items() if value}


def _variable(text: str) -> str:
    """A text as a part of the name of a variable."""
    return re.sub(r"\W", "_", text.upper())


# --- how hosts are reached -------------------------------------------------------------------------------------


def _connection(machine: Machine, run_dir: Path) -> Iterator[tuple[str, JSON]]:
    access = machine.target.access
    yield "ansible_host", access.address
    yield "ansible_ssh_host", access.address
    if not machine.windows:
        yield "ansible_port", access.port
        yield "ansible_ssh_port", access.port
        yield "ansible_python_interpreter", _python(access)
        yield "ansible_remote_tmp", "~/.ansible/tmp"
        yield "ansible_ssh_common_args", shlex.join(ssh_arguments(access))
    if access.user:
        yield "ansible_user", access.user
        yield "ansible_ssh_user", access.user
    if access.private_key:
        yield "ansible_ssh_private_key_file", str(run_dir / KEYS / machine.host)
    elif access.password:
        yield "ansible_password", access.password
    if access.password and access.user != "root":
        yield "ansible_become_password", access.password


def _python(access: Access) -> str:
    """The interpreter, named so that Ansible need not look for one. What this host has, we know."""
    if _is_here(access) and not os.access(SYSTEM_PYTHON, os.X_OK):
        return sys.executable
    return SYSTEM_PYTHON


def _is_here(access: Access) -> bool:
    try:
        return ipaddress.ip_address(access.address).is_loopback
    except ValueError:
        return False


def ssh_arguments(access: Access) -> list[str]:
    """What OpenSSH is told about one machine, besides address, port, user and key."""
    check = "yes" if access.host_key else "accept-new"
    options = {**access.ssh_options, "StrictHostKeyChecking": check}
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def known_hosts(machines: Sequence[Machine]) -> str:
    """The pinned host keys, as OpenSSH reads them."""
    return "".join(
        f"{known_hosts_name(machine.target.access)} {machine.target.access.host_key.strip()}\n"
        for machine in machines
        if machine.target.access.host_key and not machine.windows
    )


def known_hosts_name(access: Access) -> str:
    """What a machine is called in a file of known hosts."""
    return access.address if access.port == 22 else f"[{access.address}]:{access.port}"


def _quoted(value: JSON) -> JSON:
    """A value with the texts marked that Ansible would take for templates: they come from outside."""
    if isinstance(value, str):
        return Unsafe(value) if "{{" in value or "{%" in value or "{#" in value else value
    if isinstance(value, dict):
        return {key: _quoted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    return value
