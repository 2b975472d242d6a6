"""What the simulated cloud is like: how long things take, how they are recognised, and what goes wrong when.

A behaviour is a JSON object (option DUMMY_BEHAVIOUR), described in `docs/reference/connectors/dummy.md`. Here it is
typed and checked; `faults` carries out the faults, `connector` and `cloud` the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from imframework.api.errors import ConfigurationError, Problem
from imframework.api.model import Action, Kind, Recognition
from imframework_plugins.connectors.dummy import BEHAVIOUR_OPTION

KEY_PAIR = "key_pair"
NETWORK = "network"
SECURITY_GROUP = "security_group"
VOLUME = "volume"
INSTANCE = "instance"
PUBLIC_IP = "public_ip"
PUBLIC_IP_ATTACHMENT = "public_ip_attachment"
IMAGE = "image"

#: The kinds of resource. (Images are those of snapshots.)
KINDS = (KEY_PAIR, NETWORK, SECURITY_GROUP, VOLUME, INSTANCE, PUBLIC_IP, PUBLIC_IP_ATTACHMENT, IMAGE)
UPDATABLE = frozenset({SECURITY_GROUP, INSTANCE})

ACTIONS = tuple(action.value for action in Action)
VERBS = (
    "candidates", "images", "quotas", "plan",
    "create", "find", "read", "update", "delete", "act", *ACTIONS, "snapshot",
)  # fmt: skip

ANY = "*"
#: What the cloud can limit of a machine: fields of its spec.
SIZES = ("cpu", "memory")

Seconds = Annotated[float, Field(ge=0)]
V = TypeVar("V")


def setting(table: Mapping[str, V], name: str, default: V) -> V:
    """The value for a kind or verb: its own, else that of ``*``, else `default`."""
    return table.get(name, table.get(ANY, default))


class Effect(StrEnum):
    """What a fault does to a call."""

    FAIL = "fail"  #: nothing happens; the cloud cannot be reached
    BUSY = "busy"  #: nothing happens; the cloud is doing something else with the thing
    REFUSE = "refuse"  #: nothing happens; the cloud will never do this
    QUOTA = "quota"  #: nothing happens; the account has not enough left
    REJECT = "reject"  #: nothing happens; the credentials are not accepted
    USED_BY_OTHERS = "used-by-others"  #: nothing happens; somebody else needs the thing (delete)
    CRASH = "crash"  #: nothing happens; the connector raises something that is no error of the framework
    DELAY = "delay"  #: it happens `seconds` later
    HANG = "hang"  #: nothing happens, and after `seconds` the connection breaks
    LOSE_REQUEST = "lose-request"  #: nothing happens, and the connector cannot know
    LOSE_ANSWER = "lose-answer"  #: it happens, and the connector cannot know
    LATE_ANSWER = "late-answer"  #: it happens; the answer comes `seconds` later
    BREAK = "break"  #: what is made never gets ready: the cloud reports it as failed
    KILL = "kill"  #: the process is killed, `at` some point of the call


class Moment(StrEnum):
    """When during a call the process is killed."""

    BEFORE = "before"  #: the request has not been sent
    DURING = "during"  #: the request has been sent; it takes its effect, `in_flight` seconds later
    AFTER = "after"  #: the answer is there; `seconds` later


def _listed(value: Any) -> Any:
    """One thing stands for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


class Fault(BaseModel):
    """A rule: on which calls, and what happens to them. See the reference page for each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    verb: Annotated[tuple[str, ...], BeforeValidator(_listed)] = (ANY,)
    kind: Annotated[tuple[str, ...], BeforeValidator(_listed)] = (ANY,)
    resource: str = ANY
    account: str = ANY
    nth: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed)] = ()
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: int = 0
    times: Annotated[int, Field(ge=1)] | None = None
    effect: Effect
    at: Moment = Moment.BEFORE
    seconds: Seconds | None = None
    in_flight: Seconds = 0.0
    message: str = ""

    @model_validator(mode="after")
    def _known_names(self) -> Fault:
        _check(self.verb, VERBS, "verb")
        _check(self.kind, KINDS, "kind")
        return self

    @property
    def id(self) -> str:
        """What its counters are kept under."""
        return self.name or hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def concerns(self, verbs: tuple[str, ...], targets: tuple[tuple[str, str], ...], account: str) -> bool:
        """Whether it is about such a call; `targets` are kind and key of the resources that the call is about."""
        if ANY not in self.verb and not any(verb in self.verb for verb in verbs):
            return False
        if not fnmatchcase(account, self.account):
            return False
        if ANY in self.kind and self.resource == ANY:
            return True
        return any((ANY in self.kind or kind in self.kind) and fnmatchcase(key, self.resource) for kind, key in targets)

    def strikes(self, call: int, fired: int) -> bool:
        """Whether it happens on the `call`-th call that it concerns, having happened `fired` times before."""
        if self.times is not None and fired >= self.times:
            return False
        if self.nth and call not in self.nth:
            return False
        return self.probability >= 1 or _chance(self.seed, self.id, call) < self.probability


def _chance(seed: int, rule: str, call: int) -> float:
    """A number from 0 to 1 that depends on nothing but its arguments: neither threads nor restarts change it."""
    digest = hashlib.sha256(f"{seed}/{rule}/{call}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class Behaviour(BaseModel):
    """All that can be said about the simulated cloud. Tables are by kind or verb, ``*`` standing for the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: Mapping[str, Seconds] = Field(default_factory=dict)
    boot: Mapping[str, Seconds] = Field(default_factory=dict)
    deletion: Mapping[str, Seconds] = Field(default_factory=dict)
    recognition: Mapping[str, Recognition] = Field(default_factory=dict)
    window: Mapping[str, Seconds] = Field(default_factory=dict)
    lag: Mapping[str, Seconds] = Field(default_factory=dict)
    steps: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    visible_after: Mapping[str, Seconds] = Field(default_factory=dict)
    quota: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    images: tuple[str, ...] = (ANY,)
    largest: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    distinct_addresses: bool = False
    faults: tuple[Fault, ...] = ()

    @model_validator(mode="after")
    def _known_names(self) -> Behaviour:
        _check(self.latency, VERBS, "verb")
        times = (self.boot, self.deletion, self.window, self.lag, self.visible_after)
        for table in (*times, self.recognition, self.steps, self.quota):
            _check(table, KINDS, "kind")
        _check(self.largest, SIZES, "size")
        names = [fault.id for fault in self.faults]
        if len(set(names)) < len(names):
            raise ValueError("two faults are alike, or have one name: give each a name of its own")
        return self

    def kinds(self) -> dict[str, Kind]:
        """The kinds of resource, recognised as this behaviour says."""
        return {
            name: Kind(
                name,
                setting(self.recognition, name, Recognition.TOKEN),
                window=setting(self.window, name, 0.0),
                lag=setting(self.lag, name, 0.0),
                updatable=name in UPDATABLE,
            )
            for name in KINDS
        }

    def visibility(self, kind: str) -> float:
        """Seconds until `find` sees a thing: as declared for it, else all of its kind's window."""
        return setting(self.visible_after, kind, setting(self.window, kind, 0.0))


def _check(given: Any, known: tuple[str, ...], what: str) -> None:
    for name in given:
        if name != ANY and name not in known:
            raise ValueError(f"unknown {what} '{name}' (known: {', '.join(known)})")


@lru_cache(maxsize=64)
def parse(text: str) -> Behaviour:
    """The behaviour a JSON text describes.

    Raises:
        ConfigurationError: it is no JSON, or something in it is unknown or out of its limits; says what and where.
    """
    try:
        return Behaviour.model_validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(
            [
                Problem(f"{BEHAVIOUR_OPTION}: {'.'.join(map(str, item['loc'])) or 'the object'}: {item['msg']}")
                for item in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        ) from None


class BehaviourSource:
    """Where the behaviour comes from. A file is read again whenever it has changed, so a cloud can be healed live."""

    def __init__(self, value: str) -> None:
        """`value` is the option: empty, a JSON object, or a path."""
        value = value.strip() or "{}"
        self._fixed = parse(value) if value.startswith("{") else None
        self._file = Path(value)
        self._seen: tuple[tuple[int, int, int], Behaviour] | None = None

    @property
    def may_take_time(self) -> bool:
        """Whether calls take time, or may do so when the file is changed."""
        return self._fixed is None or bool(self._fixed.latency or self._fixed.faults)

    def current(self) -> Behaviour:
        """The behaviour as it is now.

        Raises:
            ConfigurationError: the file cannot be read, or is wrong.
        """
        if self._fixed is not None:
            return self._fixed
        try:
            status = self._file.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            seen = self._seen
            if seen is None or seen[0] != version:
                seen = self._seen = (version, parse(self._file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(f"{BEHAVIOUR_OPTION}: the file cannot be read: {reason}.") from None
        return seen[1]
