"""The cloud in the words of the framework. `client` speaks to it, `offers` chooses among what it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote

from imframework.api import model
from imframework.api.connector import MachineConnector
from imframework.api.errors import CredentialsRejected
from imframework.api.model import Capability, Handle, Kind, Observation, Phase, Recognition, Resource

from imframework_example import declarations
from imframework_example.client import Client, Missing
from imframework_example.offers import SCHEME, offers

#: Seconds that the cloud works on a request at most: what a lost one has made is listed by then.
WINDOW = 30.0
PHASES = {
    "booting": Phase.CREATING,
    "running": Phase.READY,
    "stopped": Phase.STOPPED,
    "deleting": Phase.DELETING,
    "failed": Phase.FAILED,
}


class ExampleConnector(MachineConnector):
    """One account of the example cloud. It has machines, and nothing else."""

    info = declarations.connector.info
    kinds = MappingProxyType({"instance": Kind("instance", Recognition.TAG, window=WINDOW)})

    def __init__(self, credential: model.Credential, options: Mapping[str, object]) -> None:
        super().__init__(credential, options)
        missing = [key.name for key in self.info.credential_keys if key.required and not credential.get(key.name)]
        if missing:
            raise CredentialsRejected(f"The credentials of cloud {credential.id} lack {', '.join(missing)}.")
        self._cloud = Client(
            credential.get("host"),
            credential.get("username"),
            credential.get("password"),
            timeout=cast(int, options["EXAMPLE_TIMEOUT"]),
        )

    # --- questions -----------------------------------------------------------------------------------------

    def capabilities(self) -> Sequence[Capability]:
        """Machines can be switched on and off, and not be changed."""
        return [
            *(Capability(feature, True) for feature in ("start", "stop", "reboot", "images", "quotas")),
            Capability("alter", False, "a machine of this cloud keeps its flavour"),
            Capability("snapshot", False, "this cloud does not copy disks"),
        ]

    def candidates(self, system: model.Features) -> Sequence[model.Candidate | model.Refusal]:
        """Each flavour that is large enough, with each image that is wanted."""
        return offers(self._cloud.call("GET", "/images"), self._cloud.call("GET", "/flavours"), system)

    def images(self, filters: Mapping[str, str]) -> Sequence[model.Image]:
        """The images whose names hold the value of each filter."""
        images = [model.Image(SCHEME + image["id"], image["name"]) for image in self._cloud.call("GET", "/images")]
        return [image for image in images if all(text.lower() in image.name.lower() for text in filters.values())]

    def quotas(self) -> Mapping[str, model.Quota]:
        """The number of machines is limited, and nothing else."""
        quota = self._cloud.call("GET", "/quota")
        return {"instances": model.Quota(quota["used"], quota["limit"])}

    def machine_spec(self, deployment: model.Deployment, machine: model.Machine) -> Mapping[str, model.JSON]:
        """What `create` sends, and whom to log in as."""
        return {
            "image": machine.candidate.image.removeprefix(SCHEME),
            "flavour": machine.candidate.flavour,
            "public_key": machine.public_key,
            "user": machine.candidate.facts["disk.0.os.credentials.username"],
        }

    # --- the verbs -----------------------------------------------------------------------------------------

    def create(self, resource: Resource, token: str) -> Observation:
        """Have a machine made. The cloud answers at once; the machine boots meanwhile."""
        order = {**resource.spec, "name": resource.name, "tag": token}
        return _observed(self._cloud.call("POST", "/machines", order), resource)

    def find(self, resource: Resource, token: str) -> Sequence[Observation]:
        """The machines that carry the token as their tag."""
        return [_observed(machine, resource) for machine in self._cloud.call("GET", f"/machines?tag={quote(token)}")]

    def read(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """One request, however many are asked about: the cloud lists all machines of the account."""
        present = {machine["id"]: machine for machine in self._cloud.call("GET", "/machines")} if handles else {}
        return [
            _observed(present[handle.provider_id], handle.resource)
            if handle.provider_id in present
            else Observation(Phase.ABSENT, handle.provider_id)
            for handle in handles
        ]

    def delete(self, handle: Handle) -> None:
        """Have a machine deleted, whatever state it is in."""
        with suppress(Missing):
            self._cloud.call("DELETE", _path(handle))

    def act(self, handle: Handle, action: model.Action) -> None:
        """Start, stop or reboot a machine."""
        self._cloud.call("POST", f"{_path(handle)}/{action}")


def _path(handle: Handle) -> str:
    return f"/machines/{quote(handle.provider_id, safe='')}"


def _observed(machine: Mapping[str, Any], resource: Resource) -> Observation:
    """State, address and log-in of a machine. The facts of its candidate are known and not repeated."""
    attributes = {
        "facts": {"net_interface.0.ip": machine["address"]},
        "access": {"address": machine["address"], "user": resource.spec["user"]},
    }
    return Observation(PHASES.get(machine["state"], Phase.UNKNOWN), machine["id"], attributes, machine["message"])
