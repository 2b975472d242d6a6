"""An infrastructure as a document that can be imported elsewhere.

It has the fields that the Infrastructure Manager 2.0 stores, so that this one can take it over, and beside them one
more, `OURS`, with what an import of ours needs to go on as if nothing had happened: machines, resources, recorded
configuration steps and documents as they are on record. `imports` reads both. Secrets of machines are in it; cloud
credentials, tokens, and passwords of owners other than who asks are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from imframework.api.errors import IMError
from imframework.api.model import JSON, Credential, Identity, VMState
from imframework.api.service import Language
from imframework.core import documents, views
from imframework.core.credentials import INFRASTRUCTURE_MANAGER, Endpoint, endpoint
from imframework.core.entities import VM, DocumentText, Record, Step
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.launching import lot_of

#: Name of the field that only we understand, and the version of what is in it.
OURS, FORMAT = "imframework", 1
#: The fields of the head that go along.
HEAD = ("name", "title", "generation", "config_generation", "next_vm", "failed")
#: What names of token users begin with; what stands in the place of their password is no secret.
TOKEN_USER = "__OPENID__"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Exporter:
    """Who asks for documents, with their credentials, and how machines without a name are called.

    Those that were stored are gone once an infrastructure is handed over; where their clouds are is in the document.
    """

    keyring: Keyring
    owner_keys: frozenset[str]
    given: Sequence[Credential]
    default_name: str

    def render(self, infra: Infrastructure, steps: Iterable[Step], logs: Mapping[str, str]) -> str:
        """The document, of a copy of an infrastructure that nobody else uses; the steps are those of the original."""
        credentials = {item.id: item for item in (*self.given, *self.keyring.credentials(infra))}
        machines = [vm for _, vm in sorted(infra.vms.items())]
        outcomes = {vm.configured for vm in machines if vm.alive}
        return json.dumps(
            {
                "id": infra.id,
                "vm_list": [self._machine(infra, vm, logs, credentials.get(vm.cloud)) for vm in machines],
                "auth": [self._owner(owner) for owner in self.keyring.owners(infra)],
                "radl": infra.radl,
                "private_networks": _private_networks(infra),
                "system_counter": len(machines),
                "deleted": False,
                "vm_master": None,
                "vm_id": infra.next_vm,
                "cont_out": logs.get("", ""),
                "ansible_configured": None,
                "configured": False if False in outcomes or infra.failed else None if None in outcomes else True,
                "extra_info": {"TOSCA": documents.template(infra.template).text} if infra.template else {},
                "snapshots": [],
                "creation_date": infra.created,
                OURS: self._ours(infra, steps),
            }
        )

    def _machine(
        self, infra: Infrastructure, vm: VM, logs: Mapping[str, str], credential: Credential | None
    ) -> dict[str, JSON]:
        state = vm.state()
        return {
            "id": vm.facts.get("instance_id"),
            "im_id": vm.number,
            "creation_im_id": vm.number,
            "state": state.value,
            "destroy": vm.destroyed,
            "deleting": state is VMState.DELETING,
            "creating": vm.settling,
            "configured": vm.configured if vm.config_done >= vm.config_wanted else None,
            "cloud": _cloud(vm, credential),
            "info": views.machine_text(infra, vm, Language.RADL, self.keyring, self.default_name),
            "requested_radl": infra.documents[vm.definition].text,
            "cont_out": logs.get(vm.key, ""),
            "error_msg": vm.failure or vm.message,
            "creation_date": vm.created,
            "last_update": time.time(),
            "ctxt_pid": None,
            "ssh_connect_errors": 0,
        }

    def _owner(self, owner: Identity) -> dict[str, str]:
        item = {"type": INFRASTRUCTURE_MANAGER, "username": owner.username}
        if owner.username.startswith(TOKEN_USER) or self.keyring.owner_key(owner) in self.owner_keys:
            item["password"] = owner.subject.partition("\0")[2]
        return item

    def _ours(self, infra: Infrastructure, steps: Iterable[Step]) -> dict[str, JSON]:
        texts = [record for record in infra.documents.values() if is_exported(record)]
        records: list[Record] = [*texts, *infra.vms.values(), *infra.entries.values(), *steps]
        rows = [record.to_row() for record in records]
        return {
            "format": FORMAT,
            "head": {name: getattr(infra, name) for name in HEAD},
            "records": [[row.table.value, row.data] for row in rows],
            "private_key": self.keyring.key_pair(infra).private if self.keyring.has_key_pair(infra) else "",
        }


def is_exported(record: DocumentText) -> bool:
    """Whether a text goes along; plans do not."""
    return record.name in ("radl", "tosca") or record.name.startswith("definition/")


def _cloud(vm: VM, credential: Credential | None) -> dict[str, JSON]:
    place = Endpoint(vm.cloud_server)
    if credential is not None:
        with suppress(IMError):  # it was accepted as it is, and is of no use here
            place = endpoint(credential.get("host"))
    return {
        "id": vm.cloud,
        "type": vm.cloud_type,
        "server": vm.cloud_server,
        "port": place.port,
        "protocol": place.protocol,
        "path": place.path,
        "extra": {},
    }


def _private_networks(infra: Infrastructure) -> dict[str, str]:
    """Private networks that have machines, with their cloud."""
    clouds: dict[str, str] = {}
    placed = {(vm.definition, vm.cloud) for vm in infra.alive() if vm.cloud and not vm.failure}
    for definition, cloud in sorted(placed):
        for network in lot_of(infra.documents[definition].text, "", ()).private:
            clouds[network] = cloud
    return clouds
