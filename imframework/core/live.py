"""Machines as the outputs of a TOSCA document see them: addresses, log-in, log, the cloud that runs a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imframework.core.documents import parsed
from imframework.core.entities import VM
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.languages.tosca import CloudAccess, LiveMachine

#: What a document must contain for its outputs to be about logs.
_OF_LOGS = ("ctxt_log", "ansible_output")
_LOGIN = "disk.0.os.credentials."


def needs_logs(template: str) -> bool:
    """Whether the outputs of a stored template may be about the logs of machines."""
    return any(name in template for name in _OF_LOGS)


def machines(infra: Infrastructure, keyring: Keyring, logs: Mapping[str, str]) -> Sequence[LiveMachine]:
    """The machines of an infrastructure, in creation order; `logs` by stream."""
    return [_machine(infra, vm, keyring, logs) for vm in infra.alive() if vm.wanted]


def _machine(infra: Infrastructure, vm: VM, keyring: Keyring, logs: Mapping[str, str]) -> LiveMachine:
    document = parsed(infra.documents[vm.definition].text)
    (system,) = document.systems.values()
    addresses = {
        number: str(address)
        for number in system.connections()
        if (address := vm.facts.get(f"net_interface.{number}.ip")) is not None
    }
    public = [
        address
        for number, address in addresses.items()
        if (network := document.networks.get(system.connections()[number])) is not None and network.is_public
    ]
    private = [address for address in addresses.values() if address not in public]
    password = _login(vm, system.text(_LOGIN + "password"), "password")
    key = _login(vm, system.text(_LOGIN + "private_key"), "private_key")
    if key is None and password is None and vm.launched:
        key = keyring.key_pair(infra).private
    return LiveMachine(
        system=vm.system,
        id=str(vm.facts.get("instance_id", "")),
        public_ip=public[0] if public else None,
        private_ip=private[0] if private else None,
        addresses=addresses,
        user=_login(vm, system.text(_LOGIN + "username"), "username"),
        password=password,
        private_key=key,
        log=lambda: logs.get(str(vm.number), ""),
        cloud=_cloud(infra, vm, keyring),
    )


def _login(vm: VM, asked: str | None, name: str) -> str | None:
    """What one logs in with: what the cloud says, or else what the document asks for."""
    value = vm.facts.get(_LOGIN + name)
    return asked if value is None else str(value)


def _cloud(infra: Infrastructure, vm: VM, keyring: Keyring) -> CloudAccess | None:
    for credential in keyring.credentials(infra):
        if credential.id == vm.cloud:
            names = ("username", "password", "token")
            return CloudAccess(
                credential.type,
                credential.get("host"),
                {name: value for name in names if (value := credential.get(name))},
            )
    return None
