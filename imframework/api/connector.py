"""Clouds. A connector describes and does; the core decides and remembers.

An instance belongs to one credential item (one account) and keeps no state that matters: the core may throw it away
and make another at any time. Its methods are synchronous and called from several threads at once; the core bounds
each call by a deadline and never trusts that a call it gave up on had no effect. So:

* raise `imframework.api.errors.OutcomeUnknown` when a request was sent and its answer lost, `CloudUnavailable` when
  nothing was sent, `CloudRefused` (or a subclass) when asking again is useless;
* `create` makes one thing and returns; waiting for it to be ready is the core's work, through `read`;
* `delete` of an absent thing succeeds;
* text of errors is shown to users: no secrets.

How the clouds of the specification map onto these verbs is worked out in `docs/design/connectors.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from imframework.api.errors import NotSupported
from imframework.api.model import (
    JSON,
    Action,
    Candidate,
    Capability,
    Credential,
    Deployment,
    Features,
    Handle,
    Image,
    Kind,
    Machine,
    Observation,
    Quota,
    Recognition,
    Refusal,
    Resource,
)
from imframework.api.plugin import Plugin


class Connector(Plugin, ABC):
    """One account of one cloud."""

    #: The kinds of resource this connector plans and handles, by name. Fixed once the connector is made.
    kinds: Mapping[str, Kind]

    synchronous = (
        "capabilities", "candidates", "images", "quotas", "plan",
        "create", "find", "read", "update", "delete", "act", "snapshot",
    )  # fmt: skip

    def __init__(self, credential: Credential, options: Mapping[str, object]) -> None:
        """`options` are this plugin's options of im.cfg, by name, typed. Must not contact the cloud."""
        self.credential = credential
        self.options = options

    @property
    def endpoint(self) -> str:
        """Names what this account shares its fate with (usually the host); it keys the pool of worker threads."""
        return self.credential.get("host") or self.credential.id

    @property
    def concurrency(self) -> int | None:
        """Most calls at the same time that are of use to an endpoint, if that is less than an operator may allow."""
        return None

    # --- questions, without side effects -------------------------------------------------------------------

    def capabilities(self) -> Sequence[Capability]:
        """What this cloud can do besides making and deleting machines.

        Features are named ``start``, ``stop``, ``reboot``, ``alter``, ``snapshot``, ``images``, ``quotas``; one that
        is not listed is taken for unsupported.
        """
        return ()

    @abstractmethod
    def candidates(self, system: Features) -> Sequence[Candidate | Refusal]:
        """Every way of realising a system here, cheapest first, and the reasons for what is not possible.

        Its `disk.0.image.url` may list several images, of other clouds too; without one the connector offers
        its own images that fit `disk.0.os.flavour` and `disk.0.os.version`.
        """

    def images(self, filters: Mapping[str, str]) -> Sequence[Image]:
        """The images of the cloud. Raises `NotSupported` where there are none to list."""
        raise NotSupported(f"{self.info.title} does not list images.")

    def quotas(self) -> Mapping[str, Quota]:
        """What the account may use (`cores`, `ram` in GB, `instances`, `floating_ips`, `security_groups` …)."""
        raise NotSupported(f"{self.info.title} does not report quotas.")

    # --- planning ------------------------------------------------------------------------------------------

    @abstractmethod
    def plan(self, deployment: Deployment) -> Sequence[Resource]:
        """All that must exist for these machines, shared things included. Pure but for look-ups in the cloud."""

    # --- the verbs -----------------------------------------------------------------------------------------

    @abstractmethod
    def create(self, resource: Resource, token: str) -> Observation:
        """Make one thing, marked with the token as its kind declares; the answer carries its provider id."""

    @abstractmethod
    def find(self, resource: Resource, token: str) -> Sequence[Observation]:
        """Whatever earlier calls of `create` with this token have made; never called for `Recognition.NONE`."""

    @abstractmethod
    def read(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """The present state of many resources, in their order, in as few calls to the cloud as it allows."""

    def update(self, handle: Handle, resource: Resource) -> Observation:
        """Change an existing thing to the spec of `resource` (kinds declared updatable), or take the next step of that.

        It is called until it answers something else than `Phase.UPDATING`. Repeating it is harmless: a call whose
        answer was lost is made again, and a thing that has the spec already stays as it is. An error other than
        `OutcomeUnknown` says that this call has changed nothing. What was refused half-way is brought back to its
        former spec by another `update`. A machine may be left stopped; the core restores the power that is wanted.
        """
        raise NotSupported(f"{self.info.title} cannot change a {handle.resource.kind}.")

    @abstractmethod
    def delete(self, handle: Handle) -> None:
        """Have one thing deleted; returns when the cloud accepted that, or has no such thing."""

    def act(self, handle: Handle, action: Action) -> None:
        """Start, stop or reboot a machine; returns when the cloud accepted that.

        Starting what runs and stopping what stands succeed: the core may repeat a call whose answer was lost.
        """
        raise NotSupported(f"{self.info.title} cannot {action} a machine.")

    def snapshot(self, handle: Handle, disk: int, name: str) -> Resource:
        """Describe the image to be made of a disk of a machine. The core has it created, like any resource.

        Once it is ready, its attribute ``url`` is what the user gets. It depends on nothing and refers to nothing: its
        spec names the machine by its provider id, and it outlives the machine.
        """
        raise NotSupported(f"{self.info.title} cannot make snapshots.")


class MachineConnector(Connector):
    """A cloud that only has machines: one kind, four short methods."""

    kinds: Mapping[str, Kind] = MappingProxyType({"instance": Kind("instance", Recognition.TAG)})

    def plan(self, deployment: Deployment) -> Sequence[Resource]:
        """One instance for each machine; its spec is what `machine_spec` says."""
        return [
            Resource(
                key=f"instance/{machine.number}",
                kind="instance",
                name=machine_name(machine, deployment.infrastructure),
                spec=self.machine_spec(deployment, machine),
                owners=frozenset({machine.number}),
                machine=machine.number,
            )
            for machine in deployment.machines
        ]

    @abstractmethod
    def machine_spec(self, deployment: Deployment, machine: Machine) -> Mapping[str, JSON]:
        """What has to be remembered to make this machine; JSON, without secrets."""


def machine_name(machine: Machine, infrastructure: str) -> str:
    """The usual name of a machine in a cloud: its `instance_name` or system, made unique.

    Lower case, ``_`` as ``-``, ended by the head of the infrastructure id and the machine's number.
    """
    wanted = machine.system.text("instance_name") or machine.system.name
    return f"{wanted.lower().replace('_', '-')}-{infrastructure[:8]}-{machine.number}"
