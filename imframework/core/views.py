"""What clients are shown of an infrastructure: machine information, single properties, the configuration log."""

from __future__ import annotations

import json
from collections.abc import Mapping

from imframework.api.model import JSON
from imframework.api.service import Language
from imframework.core.documents import parsed
from imframework.core.entities import VM
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.languages import radl

#: Ends the block of a machine in the log; clients split on the line before.
RULER = "*" * 75
SSH_PORT = 22


def machine_text(infra: Infrastructure, vm: VM, language: Language, keyring: Keyring, default_name: str) -> str:
    """Networks and system of a machine as they are now; rendered once for each change of the machine."""
    key = ("info", vm.number, language)
    cached = infra.cached.get(key)
    if cached is not None and cached[0] is vm:
        return cached[1]
    document = _machine_document(infra, vm, keyring, default_name)
    as_json = language is Language.RADL_JSON
    text = json.dumps(radl.to_json(document)) if as_json else radl.dumps(document)
    infra.cached[key] = (vm, text)
    return text


def machine_property(infra: Infrastructure, vm: VM, name: str, keyring: Keyring, default_name: str) -> JSON | None:
    """One feature of a machine, or all whose names begin with ``name.``; None if there is none."""
    document = _machine_document(infra, vm, keyring, default_name)
    (system,) = document.systems.values()
    value = system.value(name)
    if value is not None:
        return list(value) if isinstance(value, tuple) else value
    if name in system.features:
        return radl.features_json(system.features).get(name)
    nested = {key: item for key, item in radl.features_json(system.features).items() if key.startswith(name + ".")}
    return nested or None


def _machine_document(infra: Infrastructure, vm: VM, keyring: Keyring, default_name: str) -> radl.Document:
    document = parsed(infra.documents[vm.definition].text)
    (system,) = document.systems.values()
    for name, value in {**vm.planned, **vm.facts}.items():
        system.set(name, tuple(value) if isinstance(value, list) else value)
    system.set("state", vm.state().value)
    system.set("launch_time", int(vm.created))
    if "disk.0.os.credentials.password" not in system.features and vm.launched:
        system.set("disk.0.os.credentials.private_key", keyring.key_pair(infra).private)
    _show_ssh_port(document, system)
    document.systems[system.id] = radl.with_names(system, vm.number, default_name=default_name)
    return document


def _show_ssh_port(document: radl.Document, system: radl.System) -> None:
    """Clients look for the SSH port among the out-ports of a public network: name it there if it is not the usual."""
    port = system.value("ssh.port")
    public = [network for id in system.connections().values() if (network := document.networks[id]).is_public]
    if isinstance(port, int) and public and radl.remote_port(public[0].outports, SSH_PORT) != port:
        rules = (radl.OutPort(port, SSH_PORT), *public[0].outports)
        public[0].set("outports", ",".join(map(str, rules)))


def log_text(infra: Infrastructure, streams: Mapping[str, str], vm: int | None, *, header_only: bool) -> str:
    """The configuration log: what failed first, then the whole, then a block for each machine that has one."""
    if vm is not None:
        return streams.get(str(vm), "")
    machines = list(infra.alive())
    failures = [
        f"ERROR: VM {machine.number} ({machine.host}): {machine.config_error}\n"
        for machine in machines
        if machine.config_error
    ]
    parts = [*failures, streams.get("", "")]
    if not header_only:
        for machine in machines:
            text = streams.get(str(machine.number), "")
            if text:
                parts.append(f"VM {machine.number}:\n{text}{'' if text.endswith(chr(10)) else chr(10)}{RULER}\n")
    return "".join(parts)
