"""The verbs of the Dummy connector: each is one call of the simulated cloud, with whatever faults are to befall it.

What clients of the specification rely on: any image is accepted, machines run at once, user ``username`` with password
``password``, interface 0 has address 10.0.0.1, and the lists of images and quotas.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from imframework.api.connector import Connector
from imframework.api.errors import NotSupported
from imframework.api.model import (
    JSON,
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
    Observation,
    Phase,
    Quota,
    Recognition,
    Refusal,
    Resource,
)
from imframework_plugins.connectors.dummy import BEHAVIOUR_OPTION, FILE_OPTION, declaration, planning
from imframework_plugins.connectors.dummy.behaviour import (
    IMAGE,
    INSTANCE,
    PUBLIC_IP,
    PUBLIC_IP_ATTACHMENT,
    SECURITY_GROUP,
    Behaviour,
    BehaviourSource,
    setting,
)
from imframework_plugins.connectors.dummy.cloud import Entry, Order, serial_of, shared_cloud
from imframework_plugins.connectors.dummy.faults import Circumstances, FaultPlan

T = TypeVar("T")

USER, PASSWORD = "username", "password"
SITE = "mock0://linux.for.ev.er/"
IMAGES = (Image(f"{SITE}image1", "Image Name1"), Image(f"{SITE}image2", "Image Name2"))
QUOTAS = {"cores": "", "ram": "", "instances": INSTANCE, "floating_ips": PUBLIC_IP, "security_groups": SECURITY_GROUP}
FEATURES = ("start", "stop", "reboot", "alter", "snapshot", "images", "quotas")

#: Calls made at the same time where none of them takes time.
AT_ONCE = 2

#: What interface 0 of every machine has, as specified, unless the behaviour wants distinct addresses.
FIXED_ADDRESS = "10.0.0.1"
PRIVATE_ADDRESSES = ipaddress.IPv4Address("10.0.0.0")
#: Reserved, and routed nowhere: nobody real is reached by mistake.
PUBLIC_ADDRESSES = ipaddress.IPv4Address("240.0.0.0")
ADDRESSES_PER_INTERFACE = 2**20


class DummyConnector(Connector):
    """One account of the simulated cloud: a credential's id, and its host if it names one."""

    info = declaration.info
    kinds: Mapping[str, Kind] = Behaviour().kinds()

    def __init__(self, credential: Credential, options: Mapping[str, object]) -> None:
        super().__init__(credential, options)
        host = credential.get("host")
        self.account = f"{credential.id}@{host}" if host else credential.id
        self._behaviour = BehaviourSource(str(options.get(BEHAVIOUR_OPTION) or ""))
        # Recognition is a matter of configuration here, and only here: the instance's answer counts.
        self.kinds = self._behaviour.current().kinds()
        file = options.get(FILE_OPTION)
        self._cloud = shared_cloud(str(file) if file else None)
        self._faults = FaultPlan(self._cloud)

    @property
    def concurrency(self) -> int | None:
        """Few, if nothing is to take time: there is one inventory, and threads would only wait for each other."""
        return None if self._behaviour.may_take_time else AT_ONCE

    # --- questions -----------------------------------------------------------------------------------------

    def capabilities(self) -> Sequence[Capability]:
        """Everything."""
        return [Capability(feature, True) for feature in FEATURES]

    def candidates(self, system: Features) -> Sequence[Candidate | Refusal]:
        """One candidate for each image asked for, of whatever cloud; without one, the images of this cloud."""

        def answer(_: Circumstances) -> list[Candidate | Refusal]:
            accepted = self._behaviour.current().images
            wanted = system.texts("disk.0.image.url") or tuple(image.uri for image in IMAGES)
            return [
                self._candidate(system, image)
                if any(fnmatchcase(image, pattern) for pattern in accepted)
                else Refusal(image, f"The simulated cloud has no image {image}.")
                for image in wanted
            ]

        return self._call("candidates", (), answer)

    def images(self, filters: Mapping[str, str]) -> Sequence[Image]:
        """The two images of the specification and the account's snapshots, those whose name contains every filter."""

        def answer(_: Circumstances) -> list[Image]:
            snapshots = [
                Image(f"{SITE}{entry.name}", entry.name)
                for entry in self._cloud.inventory(self.account)
                if entry.kind == IMAGE
            ]
            words = [word.lower() for word in filters.values()]
            return [image for image in (*IMAGES, *snapshots) if all(word in image.name.lower() for word in words)]

        return self._call("images", (), answer)

    def quotas(self) -> Mapping[str, Quota]:
        """One of ten of everything, as specified; true numbers for kinds that the behaviour limits."""

        def answer(_: Circumstances) -> dict[str, Quota]:
            limits = self._behaviour.current().quota
            return {
                name: Quota(self._cloud.count(self.account, kind), limits[kind]) if kind in limits else Quota(1, 10)
                for name, kind in QUOTAS.items()
            }

        return self._call("quotas", (), answer)

    # --- planning ------------------------------------------------------------------------------------------

    def plan(self, deployment: Deployment) -> Sequence[Resource]:
        """See `planning`."""
        return self._call("plan", (), lambda _: planning.plan(deployment))

    # --- the verbs -----------------------------------------------------------------------------------------

    def create(self, resource: Resource, token: str) -> Observation:
        """Make one thing of any kind."""

        def answer(circumstances: Circumstances) -> Observation:
            order = self._order(resource.kind, circumstances)
            entry = self._cloud.create(self.account, resource.kind, resource.name, token, resource.spec, order)
            return self._observe_all([entry])[0]

        return self._call("create", (_target(resource),), answer)

    def find(self, resource: Resource, token: str) -> Sequence[Observation]:
        """By name for kinds recognised by name, else by token."""

        def answer(_: Circumstances) -> list[Observation]:
            recognition = self.kinds[resource.kind].recognised_by
            if recognition is Recognition.NONE:
                raise NotSupported(f"The simulated cloud does not recognise a {resource.kind}.")
            if recognition is Recognition.NAME:
                return self._observe_all(self._cloud.find(self.account, resource.kind, name=resource.name))
            return self._observe_all(self._cloud.find(self.account, resource.kind, token=token))

        return self._call("find", (_target(resource),), answer)

    def read(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """In one call, or two if there are instances."""

        def answer(_: Circumstances) -> list[Observation]:
            entries = self._cloud.read(self.account, [handle.provider_id for handle in handles])
            observed = dict(zip(entries, self._observe_all(list(entries.values())), strict=True))
            return [observed.get(handle.provider_id) or _unknown(handle) for handle in handles]

        return self._call("read", tuple(_target(handle.resource) for handle in handles), answer)

    def update(self, handle: Handle, resource: Resource) -> Observation:
        """Give a thing the spec of `resource`, at once or in as many steps as it needs; or take its next step."""

        def answer(circumstances: Circumstances) -> Observation:
            order = self._order(resource.kind, circumstances)
            return self._observe_all([self._cloud.update(self.account, handle.provider_id, resource.spec, order)])[0]

        return self._call("update", (_target(resource),), answer)

    def delete(self, handle: Handle) -> None:
        """Refused while something uses the thing."""

        def answer(circumstances: Circumstances) -> None:
            duration = setting(self._behaviour.current().deletion, handle.resource.kind, 0.0)
            self._cloud.delete(self.account, handle.provider_id, gone_after=duration + circumstances.in_flight)

        self._call("delete", (_target(handle.resource),), answer)

    def act(self, handle: Handle, action: Action) -> None:
        """Switch a machine."""

        def answer(_: Circumstances) -> None:
            self._cloud.power(self.account, handle.provider_id, action.value, on=action is not Action.STOP)

        self._call("act", (_target(handle.resource),), answer, precisely=action.value)

    def snapshot(self, handle: Handle, disk: int, name: str) -> Resource:
        """An image of that name, whatever the disk."""

        def answer(_: Circumstances) -> Resource:
            return Resource(f"{IMAGE}/{name}", IMAGE, name, {"instance": handle.provider_id, "disk": disk})

        return self._call("snapshot", (_target(handle.resource),), answer)

    # --- inside --------------------------------------------------------------------------------------------

    def _call(
        self,
        verb: str,
        targets: tuple[tuple[str, str], ...],
        answer: Callable[[Circumstances], T],
        precisely: str = "",
    ) -> T:
        verbs = (verb, precisely) if precisely else (verb,)
        return self._faults.run(self._behaviour.current(), self.account, verbs, targets, answer)

    def _order(self, kind: str, circumstances: Circumstances) -> Order:
        behaviour = self._behaviour.current()
        quota = behaviour.quota.get(kind, behaviour.quota.get("*"))
        return Order(
            recognition=self.kinds[kind].recognised_by,
            in_flight=circumstances.in_flight,
            found_after=behaviour.visibility(kind),
            read_after=setting(behaviour.lag, kind, 0.0),
            ready_after=setting(behaviour.boot, kind, 0.0),
            steps=setting(behaviour.steps, kind, 0),
            broken=circumstances.broken,
            quota=quota,
            largest=behaviour.largest if kind == INSTANCE else {},
        )

    def _candidate(self, system: Features, image: str) -> Candidate:
        facts: dict[str, Fact] = {
            "cpu.count": system.interval("cpu.count").value or 1,
            "memory.size": system.interval("memory.size").value or 512 * 1024**2,
            **self._identity(),
        }
        return Candidate(image, system.text("instance_type"), facts, why="The simulated cloud accepts everything.")

    def _identity(self) -> dict[str, Fact]:
        """Facts that all machines of the account share."""
        host = self.credential.get("host")
        return {
            "provider.type": self.info.title,
            **({"provider.host": host} if host else {}),
            "disk.0.os.credentials.username": USER,
            "disk.0.os.credentials.password": PASSWORD,
        }

    def _observe_all(self, entries: Sequence[Entry]) -> list[Observation]:
        with_address = [entry.provider_id for entry in entries if "public" in entry.spec.get("interfaces", {}).values()]
        attachments = self._cloud.attachments(self.account, with_address) if with_address else {}
        return [self._observe(entry, attachments.get(entry.provider_id, ())) for entry in entries]

    def _observe(self, entry: Entry, attachments: Sequence[Entry]) -> Observation:
        attributes: dict[str, JSON] = {"id": entry.provider_id}
        message = ""
        if entry.kind == PUBLIC_IP:
            attributes["address"] = _public_address(entry.provider_id)
        elif entry.kind == IMAGE:
            attributes["url"] = f"{SITE}{entry.name}"
        elif entry.kind == PUBLIC_IP_ATTACHMENT:
            attributes["facts"] = _facts(self._public_addresses([entry]))
        elif entry.kind == INSTANCE:
            attributes.update(self._machine(entry, attachments))
        if entry.phase is Phase.FAILED:
            message = f"The {entry.kind} {entry.name} is in error: no valid host was found."
        return Observation(entry.phase, entry.provider_id, attributes, message)

    def _machine(self, entry: Entry, attachments: Sequence[Entry]) -> dict[str, JSON]:
        """Facts and access of an instance. It is reached at its first public address, else at its first private one."""
        private, public = self._private_addresses(entry), self._public_addresses(attachments)
        facts = {
            **self._identity(),
            "cpu.count": entry.spec["cpu"],
            "memory.size": entry.spec["memory"],
            **_facts(private),
            **_facts(public),
            **{f"disk.{disk}.device": f"vd{chr(ord('a') + disk % 26)}" for disk in entry.spec["disks"]},
        }
        addresses = [table[interface] for table in (public, private) for interface in sorted(table)]
        access = {"address": addresses[0], "user": USER, "password": PASSWORD} if addresses else None
        return {"facts": facts, "access": access}

    def _private_addresses(self, entry: Entry) -> dict[int, str]:
        """Addresses by interface, from the beginning."""
        distinct = self._behaviour.current().distinct_addresses
        addresses: dict[int, str] = {}
        for interface, sort in ((int(text), sort) for text, sort in entry.spec["interfaces"].items()):
            if interface == 0 and not distinct:
                addresses[0] = FIXED_ADDRESS
            elif sort == "private":
                host = entry.serial % ADDRESSES_PER_INTERFACE if distinct else 1
                addresses[interface] = str(PRIVATE_ADDRESSES + ADDRESSES_PER_INTERFACE * (interface % 16) + host)
        return addresses

    def _public_addresses(self, attachments: Sequence[Entry]) -> dict[int, str]:
        """Addresses by interface, as attached."""
        distinct = self._behaviour.current().distinct_addresses
        return {
            interface: _public_address(entry.spec["public_ip"])
            for entry in attachments
            if (interface := entry.spec["interface"]) > 0 or distinct
        }


def _public_address(provider_id: str) -> str:
    """The address that stands behind a thing of kind public_ip."""
    return str(PUBLIC_ADDRESSES + (serial_of(provider_id) or 0))


def _facts(addresses: Mapping[int, str]) -> dict[str, JSON]:
    return {f"net_interface.{interface}.ip": address for interface, address in addresses.items()}


def _target(resource: Resource) -> tuple[str, str]:
    return resource.kind, resource.key


def _unknown(handle: Handle) -> Observation:
    """What is not in the inventory: given things are somewhere else and taken on trust, the others are gone."""
    if handle.resource.adopted and serial_of(handle.provider_id) is None:
        return Observation(Phase.READY, handle.provider_id, {"id": handle.provider_id})
    return Observation(Phase.ABSENT, handle.provider_id)
