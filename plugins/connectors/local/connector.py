"""The connector: what this host can offer, and the verbs in the terms of the plugin API.

What a machine is made of is in `folder`, `daemon` and `machine`; which machines there are, in `site`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import cast

from imframework.api.connector import MachineConnector
from imframework.api.errors import CloudRefused, CloudUnavailable, ConfigurationError, QuotaExceeded
from imframework.api.model import (
    JSON,
    Access,
    Action,
    Candidate,
    Capability,
    Credential,
    Deployment,
    Fact,
    Features,
    Handle,
    Image,
    Kind,
    Machine,
    Observation,
    Phase,
    Quota,
    Recognition,
    Refusal,
    Resource,
)

from . import declaration, host, images, keys, machine
from .folder import Folder, Record, machine_id
from .site import Network, Site

SCHEME = "local://"
IMAGE = SCHEME + "localhost"
GIB = 1024**3


class LocalConnector(MachineConnector):
    """Machines that are SSH daemons of the current user on this host."""

    info = declaration.info
    kinds: Mapping[str, Kind] = {
        "instance": Kind("instance", Recognition.TOKEN, updatable=True),
        "image": Kind("image", Recognition.TOKEN),
    }

    def __init__(self, credential: Credential, options: Mapping[str, object]) -> None:
        super().__init__(credential, options)
        networks = cast("tuple[Network, ...]", options["LOCAL_NETWORK"])
        if not networks or any(not network.is_loopback for network in networks):
            raise ConfigurationError("LOCAL_NETWORK must name loopback networks, such as 127.88.0.0/16.")
        directory = cast("Path | None", options["LOCAL_DIR"]) or _default_directory()
        self.site = Site(directory.absolute(), networks, cast(int, options["LOCAL_PORT"]))

    @property
    def endpoint(self) -> str:
        """All accounts share this host."""
        return "localhost"

    # --- questions -----------------------------------------------------------------------------------------

    def capabilities(self) -> Sequence[Capability]:
        """Machines can be switched, and said to be of another size; there is nothing else to them."""
        shared = "the machines are the host itself"
        return [
            Capability("stop", True),
            Capability("start", True),
            Capability("reboot", True),
            Capability("images", True),
            Capability("quotas", True),
            Capability("alter", True),
            Capability("disks", False, f"{shared} and have its file system"),
            Capability("snapshot", True),
            Capability("public_ip", False, "they have loopback addresses, which nobody outside reaches"),
        ]

    def candidates(self, system: Features) -> Sequence[Candidate | Refusal]:
        """The host, for each image ``local://…`` or without any image, if it is large enough."""
        urls = system.texts("disk.0.image.url")
        reason = self._obstacle() or self._beyond(system)
        if not urls:
            reason = reason or _other_distribution(system)
            return [Refusal(IMAGE, reason) if reason else _candidate(IMAGE, system)]
        return [Refusal(url, why) if (why := self._unfit(url) or reason) else _candidate(url, system) for url in urls]

    def _unfit(self, url: str) -> str:
        if not url.lower().startswith(SCHEME):
            return f"only images {SCHEME}… are machines of this host"
        image = images.id_of(url)
        return "there is no such image" if image and images.name(self.site, image) is None else ""

    def _obstacle(self) -> str:
        return host.obstacle() or self.site.obstacle()

    def _beyond(self, system: Features) -> str:
        """What is asked for that this host has not; empty if it has everything."""
        for feature, unit, present in (
            ("cpu.count", "CPUs", host.cpus()),
            ("memory.size", "bytes of memory", host.memory()),
            ("disk.0.size", "bytes of free disk space", host.free_space(self.site.directory)),
            ("disks.free_size", "bytes of free disk space", host.free_space(self.site.directory)),
        ):
            if (system.interval(feature).minimum or 0) > present:
                return f"{feature}: this host has {present} {unit}"
        if (system.interval("gpu.count").minimum or 0) > 0:
            return "gpu.count: machines of this connector have no GPUs"
        if system.text("instance_type").strip("*"):
            return "instance_type: this host has no instance types"
        if system.text("disk.0.os.name", "linux").lower() != "linux":
            return f"disk.0.os.name: this host runs linux, not {system.text('disk.0.os.name')}"
        if disks := [index for index in system.indices("disk") if index > 0]:
            return f"disk.{disks[0]}: machines of this connector have no data disks"
        for index in system.indices("net_interface"):
            if system.text(f"net_interface.{index}.ip"):
                return f"net_interface.{index}.ip: addresses are drawn from LOCAL_NETWORK and cannot be chosen"
        return ""

    def images(self, filters: Mapping[str, str]) -> Sequence[Image]:
        """The host, if its name holds the `distribution` and `version` asked for, and the snapshots."""
        image = Image(IMAGE, host.distribution().title)
        wanted = (filters.get(name, "").lower() for name in ("distribution", "version"))
        with _local_faults():
            snapshots = [Image(images.url(id), name) for id, name in images.listed(self.site)]
        return [image, *snapshots] if all(text in image.name.lower() for text in wanted) else []

    def quotas(self) -> Mapping[str, Quota]:
        """What this host has, and what its machines asked for. Of these limits only `instances` bars anything."""
        facts = [record.spec["facts"] for record in self.site.records()]
        return {
            "cores": Quota(sum(each["cpu.count"] for each in facts), host.cpus()),
            "ram": Quota(
                round(sum(each["memory.size"] for each in facts) / GIB, 2),
                round(host.memory() / GIB, 2),
            ),
            "instances": Quota(len(facts), self.site.capacity()),
        }

    # --- planning ------------------------------------------------------------------------------------------

    def machine_spec(self, deployment: Deployment, machine: Machine) -> Mapping[str, JSON]:
        """The facts of its candidate, whom to let in, which interfaces to report its address for, and its image."""
        image = images.id_of(machine.candidate.image)
        return {
            **({"image": image} if image else {}),
            "infrastructure": deployment.infrastructure,
            "public_key": machine.public_key,
            "interfaces": list(machine.system.indices("net_interface")),
            "facts": dict(machine.candidate.facts),
        }

    # --- the verbs -----------------------------------------------------------------------------------------

    def create(self, resource: Resource, token: str) -> Observation:
        """Make the machine of a token and start it, or go on with that wherever an earlier call ended; or an image."""
        if resource.kind == "image":
            with _local_faults():
                images.make(self.site, machine_id(token), resource.name, self._machine_of_image(resource))
                return self._observe_image(machine_id(token))
        if reason := self._obstacle():
            raise CloudRefused(f"Machines cannot be made: {reason}.")
        public_key = keys.check_public_key(resource.spec["public_key"])
        host_key, identity = keys.new_host_key()
        draft = Record(
            token=token,
            infrastructure=resource.spec["infrastructure"],
            name=resource.name,
            address="",
            port=0,
            host_key=host_key,
            identity=identity,
            spec={**resource.spec, "public_key": public_key},
        )
        with _local_faults():
            folder = self.site.settle(draft)
        machine.bring_up(self.site, folder)
        return self._observe(folder)

    def find(self, resource: Resource, token: str) -> Sequence[Observation]:
        """The machine made with a token, or what is left of it; or the image."""
        with _local_faults():
            if resource.kind == "image":
                image = self._observe_image(machine_id(token))
                return [image] if image.phase is not Phase.ABSENT else []
            observed = self._observe(self.site.folder(machine_id(token)))
        return [observed] if observed.phase is not Phase.ABSENT else []

    def read(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """The state of machines, from their folders and the process table."""
        with _local_faults():
            return [
                self._observe_image(machine_id(handle.token))
                if handle.resource.kind == "image"
                else self._observe(self._folder(handle))
                for handle in handles
            ]

    def act(self, handle: Handle, action: Action) -> None:
        """Start, stop or reboot a machine; it is done when this returns (but for a daemon slow to listen)."""
        with _local_faults():
            machine.act(self._folder(handle), action)

    def update(self, handle: Handle, resource: Resource) -> Observation:
        """Have other facts about a machine, within what the host has; nothing enforces these, or the first ones."""
        if resource.kind != "instance":
            raise CloudRefused("Images are not changed.")
        for fact, present in (("cpu.count", host.cpus()), ("memory.size", host.memory())):
            if resource.spec["facts"].get(fact, 0) > present:
                raise QuotaExceeded(f"{fact}: this host has {present}.")
        folder = self._folder(handle)
        with _local_faults():
            machine.describe(folder, {name: resource.spec[name] for name in ("facts", "interfaces")})
            return self._observe(folder)

    def delete(self, handle: Handle) -> None:
        """End all processes of a machine and remove its files, or an image's; it is done when this returns."""
        with _local_faults():
            if handle.resource.kind == "image":
                images.delete(self.site, machine_id(handle.token))
            else:
                machine.delete(self.site, self._folder(handle))

    def snapshot(self, handle: Handle, disk: int, name: str) -> Resource:
        """The home of a machine, which is all the files that it has of its own."""
        if disk != 0:
            raise CloudRefused("Machines of this host have no data disks.")
        return Resource(f"image/{name}", "image", name, {"machine": self._folder(handle).id})

    def _observe_image(self, image: str) -> Observation:
        there = images.name(self.site, image) is not None
        return Observation(Phase.READY if there else Phase.ABSENT, image, {"url": images.url(image)} if there else {})

    def _machine_of_image(self, resource: Resource) -> Folder:
        machine = resource.spec["machine"]
        if not images.is_id(machine):  # it comes with imported documents too, and must not lead out of the folder
            raise CloudRefused("There is no such machine.")
        return self.site.folder(machine)

    def _folder(self, handle: Handle) -> Folder:
        # By the token alone: ids also come with imported documents, and must not lead to machines of others.
        return self.site.folder(machine_id(handle.token))

    def _observe(self, folder: Folder) -> Observation:
        phase, message = machine.phase(self.site, folder)
        record = folder.record() if phase in (Phase.READY, Phase.CREATING, Phase.STOPPED) else None
        return Observation(phase, folder.id, _attributes(record) if record is not None else {}, message)


def _attributes(record: Record) -> Mapping[str, JSON]:
    # A machine is reached on its loopback address whatever networks the document puts it in.
    addresses = {f"net_interface.{index}.ip": record.address for index in record.spec["interfaces"] or [0]}
    # Without a user: with one, Ansible would take "~" for the home of the account rather than of the machine.
    access = Access(
        address=record.address,
        port=record.port,
        host_key=record.host_key,
        ssh_options={"User": host.account()},
        privileged=False,
    )
    return {"facts": {**record.spec["facts"], **addresses}, "access": asdict(access)}


def _candidate(image: str, system: Features) -> Candidate:
    running = host.distribution()
    facts: dict[str, Fact] = {
        "provider.type": "Local",
        "cpu.count": max(1, math.ceil(system.interval("cpu.count").value or 1)),
        "cpu.arch": host.architecture(),
        "memory.size": int(system.interval("memory.size").value or 0),
        "disk.0.os.name": "linux",
        "disk.0.os.flavour": running.id,
        "disk.0.os.credentials.username": host.account(),
    }
    if running.version:
        facts["disk.0.os.version"] = running.version
    return Candidate(image, facts=facts, price=0.0, why="runs on this host, at no cost")


def _other_distribution(system: Features) -> str:
    """Why an image search does not find this host; empty if it does."""
    running = host.distribution()
    for feature in ("disk.0.os.flavour", "disk.0.os.version"):
        if system.text(feature).lower() not in running.title.lower():
            return f"{feature}: this host runs {running.title}, not {system.text(feature)}"
    return ""


def _default_directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "imframework" / "local"


@contextmanager
def _local_faults() -> Iterator[None]:
    """Report a failing file system as a cloud that fails, without paths."""
    try:
        yield
    except OSError as error:
        raise CloudUnavailable(f"LOCAL_DIR cannot be used: {error.strerror}.") from error
