"""The document: what a RADL text or JSON says, as objects.

A `Document` is made by `text.parse` or `json_reading.parse_json`, or built by a program (the TOSCA translation does),
and written by `printer` and `json_form`. Nothing here checks meaning: that is `validation`. Lines and columns say where
an aspect stood in its text, are None elsewhere, and do not count when documents are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from imframework.languages.radl.features import Features, Value
from imframework.languages.radl.outports import OutPort, parse_outports

ANSIBLE = "Ansible"
CLOUD_INIT = "cloud_init"


@dataclass(slots=True, kw_only=True)
class Located:
    """A part of a document that knows where in a text it stood."""

    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)

    def copy(self, *, positions: bool = True) -> Self:
        """A copy that shares nothing that can change; without `positions`, where it stood is forgotten."""
        return replace(self) if positions else replace(self, line=None, column=None)


@dataclass(slots=True)
class Described(Located):
    """An aspect that consists of an id and features; reading and writing of single features is passed on to them."""

    id: str
    features: Features = field(default_factory=Features)

    def copy(self, *, positions: bool = True) -> Self:
        """See `Located.copy`."""
        copied = Located.copy(self, positions=positions)  # the class is made anew for its slots: no bare super()
        copied.features = self.features.copy(positions=positions)
        return copied

    def value(self, name: str, unit: str = "") -> str | int | float | tuple[str, ...] | None:
        """See `Features.value`."""
        return self.features.value(name, unit)

    def text(self, name: str) -> str | None:
        """See `Features.text`."""
        return self.features.text(name)

    def number(self, name: str, unit: str = "") -> int | float | None:
        """See `Features.number`."""
        return self.features.number(name, unit)

    def texts(self, name: str) -> tuple[str, ...]:
        """See `Features.texts`."""
        return self.features.texts(name)

    def is_yes(self, name: str) -> bool:
        """See `Features.is_yes`."""
        return self.features.is_yes(name)

    def set(self, name: str, value: Value, unit: str = "") -> None:
        """See `Features.set`."""
        self.features.set(name, value, unit)


@dataclass(slots=True)
class Description(Described):
    """Free metadata: ``name`` labels the infrastructure, ``namespace`` serves container deployments."""


@dataclass(slots=True)
class AnsibleNode(Described):
    """An external node that drives the configuration."""


@dataclass(slots=True)
class Network(Described):
    """A network machines can be attached to; a reference stands for the stored definition of the same id."""

    reference: bool = False

    @property
    def is_public(self) -> bool:
        """Whether its machines get public addresses."""
        return (self.text("outbound") or "").lower() == "yes"

    @property
    def outports(self) -> tuple[OutPort, ...]:
        """The ports to open, 22/tcp not included. Raises InvalidDocument if the text is wrong."""
        text = self.text("outports")
        return () if text is None else parse_outports(text)


@dataclass(frozen=True, slots=True)
class Application:
    """An element of ``disk.0.applications``; fields not given are None."""

    name: str
    version: str | None = None
    version_op: str = "="
    path: str | None = None
    preinstalled: bool = False


@dataclass(slots=True)
class System(Described):
    """A machine type, or the description of one machine; a reference stands for the stored definition."""

    reference: bool = False

    def interfaces(self) -> dict[int, Features]:
        """Interface number → its features (``connection``, ``ip``, …), in ascending order. A snapshot."""
        return self.features.numbered("net_interface")

    def disks(self) -> dict[int, Features]:
        """Disk number → its features (``size``, ``image.url``, …), in ascending order. A snapshot."""
        return self.features.numbered("disk")

    def connections(self) -> dict[int, str]:
        """Interface number → id of the network it connects to, in ascending order."""
        connections = ((number, features.text("connection")) for number, features in self.interfaces().items())
        return {number: network for number, network in connections if network is not None}

    def applications(self) -> Iterator[Application]:
        """The requested software, in order."""
        for element in self.features.elements("disk.0.applications"):
            version = element.get("version")
            yield Application(
                name=element.text("name") or "",
                version=element.text("version"),
                version_op=getattr(version, "op", "="),
                path=element.text("path"),
                preinstalled=element.is_yes("preinstalled"),
            )


@dataclass(slots=True)
class Configure(Located):
    """A recipe. Without one (`recipe` None) it switches off the configuration of the system of the same id.

    `recipe` starts and ends with exactly one line break: blank lines around a recipe mean nothing, and would
    otherwise grow each time a document is written and read. A script needs `body`.
    """

    id: str
    recipe: str | None = None
    reference: bool = False

    def __post_init__(self) -> None:
        if self.recipe is not None:
            body = self.recipe.strip("\r\n")
            self.recipe = f"\n{body}\n" if body else "\n"

    @property
    def body(self) -> str:
        """The recipe from its first character on, so that ``#!`` or ``$ANSIBLE_VAULT`` comes first."""
        return (self.recipe or "").lstrip("\n")

    @property
    def is_empty(self) -> bool:
        """Whether it was given as ``configure x ()``."""
        return self.recipe is None and not self.reference


@dataclass(slots=True)
class ContextualizeItem(Located):
    """``system S configure C``, with a step or a tool.

    Steps order the runs of Ansible, which is the default tool: with a step it is not named, and items of other
    tools have none. So an item never has both, which the text form could not say.
    """

    system: str
    configure: str
    step: int = 0
    tool: str | None = None

    def __post_init__(self) -> None:
        if self.step and self.tool is not None:
            if self.uses_ansible:
                self.tool = None
            else:
                self.step = 0

    @property
    def uses_ansible(self) -> bool:
        """Whether it runs with Ansible."""
        return self.tool is None or self.tool.lower() == ANSIBLE.lower()

    @property
    def uses_cloud_init(self) -> bool:
        """Whether the recipe is handed to the cloud as user data."""
        return self.tool is not None and self.tool.lower() == CLOUD_INIT


@dataclass(slots=True)
class Contextualize:
    """Order, tool and limits of the configuration. `max_time` is in seconds, 0 for the server's default."""

    items: dict[tuple[str, str], ContextualizeItem] = field(default_factory=dict)
    options: Features = field(default_factory=Features)
    max_time: int | float = 0

    def add(self, item: ContextualizeItem) -> None:
        """Add an item, in the place of a former one for the same system and configure."""
        self.items[item.system, item.configure] = item

    def merged(self, other: Contextualize) -> Contextualize:
        """Both together: the larger limit; the other's items and options replace mine of the same key."""
        merged = self.copy()
        merged.items.update(other.copy().items)
        for name, option in other.options.copy().items():
            merged.options.replace(name, option)
        merged.max_time = max(self.max_time, other.max_time)
        return merged

    def copy(self, *, positions: bool = True) -> Contextualize:
        """A copy that shares nothing that can change."""
        items = {key: item.copy(positions=positions) for key, item in self.items.items()}
        return Contextualize(items, self.options.copy(positions=positions), self.max_time)


@dataclass(slots=True)
class Deploy(Located):
    """A wish for `count` machines of a system, in the cloud of that credential id or wherever it fits best."""

    system: str
    count: int
    cloud: str | None = None


@dataclass(slots=True)
class Document:
    """A whole document. The mappings are keyed by id and keep the order of the text."""

    description: Description | None = None
    ansibles: dict[str, AnsibleNode] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    configures: dict[str, Configure] = field(default_factory=dict)
    contextualize: Contextualize | None = None
    deploys: list[Deploy] = field(default_factory=list)

    def copy(self, *, positions: bool = True) -> Document:
        """A copy that shares nothing that can change; without `positions`, lines and columns are forgotten."""
        return Document(
            description=self.description and self.description.copy(positions=positions),
            ansibles={id: aspect.copy(positions=positions) for id, aspect in self.ansibles.items()},
            networks={id: aspect.copy(positions=positions) for id, aspect in self.networks.items()},
            systems={id: aspect.copy(positions=positions) for id, aspect in self.systems.items()},
            configures={id: aspect.copy(positions=positions) for id, aspect in self.configures.items()},
            contextualize=self.contextualize and self.contextualize.copy(positions=positions),
            deploys=[deploy.copy(positions=positions) for deploy in self.deploys],
        )

    def for_machine(self, system: System) -> Document:
        """The document that describes one machine: the networks that `system` uses, and `system`, as copies.

        `system` need not be one of this document: usually it is one made concrete and filled with what is known.
        """
        used = set(system.connections().values())
        return Document(
            networks={id: network.copy() for id, network in self.networks.items() if id in used},
            systems={system.id: system.copy()},
        )

    @property
    def name(self) -> str | None:
        """The label of the infrastructure: feature ``name`` of the description."""
        return None if self.description is None else self.description.text("name")
