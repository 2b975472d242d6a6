"""The service is killed at every commit, at every call to the cloud, and at any moment; then it is started again.

Nobody asks it anything after that. Everything must reach its desired state, and the cloud must hold exactly what the
ledger says.
"""

from __future__ import annotations

import random

import pytest

DOCUMENT = """
network private ()
network public (outbound = 'yes')
system node (
  cpu.count >= 1 and memory.size >= 512M and
  net_interface.0.connection = 'private' and net_interface.1.connection = 'public' and
  disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux.for.ev.er/image1' and disk.1.size = 1G
)
configure node (
@begin
---
- tasks: []
@end
)
deploy node {count}
"""
MORE = "network private\nnetwork public\nsystem node\ndeploy node {count}\n"


def life(name: str, machines: int, *, end: str = "destroy") -> list[dict[str, object]]:
    """An infrastructure that is made, grown, configured again, stopped, started, shrunk, and destroyed."""
    requests: list[dict[str, object]] = [
        {"infrastructure": name, "verb": "create", "document": DOCUMENT.format(count=machines)},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": "add", "document": MORE.format(count=1)},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": "reconfigure"},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": "stop"},
        {"infrastructure": name, "verb": "start"},
        {"infrastructure": name, "verb": "reboot", "vm": 0},
        {"infrastructure": name, "verb": "remove", "vms": [0]},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": end},
    ]
    return requests


SMALLER = (
    "network private\nsystem node (cpu.count >= 2 and disk.2.size = 1G and net_interface.0.connection = 'private')"
)
LARGER = """
network private
network public
system node (
  cpu.count >= 4 and net_interface.0.connection = 'private' and net_interface.1.connection = 'public'
)
"""


def altered_life(name: str, *, end: str = "destroy") -> list[dict[str, object]]:
    """An infrastructure with a machine that loses its public address, gets a disk, is copied, and gets an address."""
    return [
        {"infrastructure": name, "verb": "create", "document": DOCUMENT.format(count=1)},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": "alter", "vm": 0, "document": SMALLER},
        {"infrastructure": name, "verb": "snapshot", "vm": 0},
        {"infrastructure": name, "verb": "alter", "vm": 0, "document": LARGER},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": end},
    ]


LIVES = {
    "ordinary": (life("a", 2), {}),
    "altered": (altered_life("a"), {"steps": {"instance": 1}}),
    "not to be altered": (altered_life("a"), {"steps": {"instance": 1}, "largest": {"cpu": 1}}),
}


@pytest.mark.parametrize("which", LIVES)
@pytest.mark.parametrize("share", range(4))
def test_killed_at_every_commit(victim, which, share):
    requests, behaviour = LIVES[which]
    commit = share + 1
    while True:
        victim.move()
        victim.prepare(requests, behaviour=behaviour)
        killed = victim.run("live", commit)
        if killed:
            victim.run("recover")
        victim.check()
        if not killed:
            break
        commit += 4
    assert commit > 20


RECOGNITION = ("token", "name", "tag", "none")
MOMENTS = ("before", "during", "after")
TURNING_POINTS = [
    ("create", "instance"),
    ("create", "network"),
    ("create", "public_ip_attachment"),
    ("delete", "instance"),
]


def killed(verb: str, moment: str, **circumstances: object) -> dict[str, object]:
    """The fault that kills the service at the first call of a verb."""
    return {"verb": verb, "nth": 1, "times": 1, "effect": "kill", "at": moment, "name": "kill", **circumstances}


@pytest.mark.parametrize("recognition", RECOGNITION)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("verb", "kind"), TURNING_POINTS)
def test_killed_around_a_call_that_makes_or_deletes(victim, recognition, moment, verb, kind):
    behaviour = {
        "recognition": {"*": recognition},
        "window": {"*": 0.3},
        "faults": [killed(verb, moment, kind=kind)],
    }
    victim.prepare(life("a", 2), behaviour=behaviour)
    assert victim.run("live")
    victim.run("recover")
    victim.check(unrecognised=4 if recognition == "none" else 0)


ALTERING = [
    ("update", "instance"),
    ("create", "volume"),
    ("delete", "public_ip"),
    ("create", "image"),
    ("delete", "image"),
]


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("verb", "kind"), ALTERING)
def test_killed_around_a_call_of_an_alteration_or_a_snapshot(victim, verb, kind, moment, refused):
    """It ends in the new state, or in the former one if the cloud refuses the new one."""
    number = 3 if (verb, kind) == ("update", "instance") else 1  # the first ones belong to the creation
    behaviour = {
        "recognition": {"*": "tag"},
        "window": {"*": 0.2},
        "steps": {"instance": 1},
        "faults": [killed(verb, moment, kind=kind) | {"nth": [number]}],
        **({"largest": {"cpu": 2}} if refused else {}),
    }
    victim.prepare(altered_life("a", end="stop"), behaviour=behaviour)
    if (verb, kind) == ("delete", "image"):
        victim.prepare(altered_life("a"), behaviour=behaviour)
    assert victim.run("live")
    victim.run("recover")
    victim.check()


@pytest.mark.parametrize("recognition", ["token", "name", "tag"])
def test_killed_while_a_request_is_on_its_way(victim, recognition):
    """It takes its effect when the service is up again: it must not be taken for lost before the window is over."""
    behaviour = {
        "recognition": {"*": recognition},
        "window": {"*": 1.0},
        "faults": [killed("create", "during", kind="instance", in_flight=0.5)],
    }
    victim.prepare(life("a", 1), behaviour=behaviour)
    assert victim.run("live")
    victim.run("recover")
    victim.check()


OTHER_VERBS = ("candidates", "plan", "read", "find", "update", "stop", "start", "reboot")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("verb", OTHER_VERBS)
def test_killed_around_any_other_call(victim, moment, verb):
    lost = {"verb": "create", "kind": "volume", "nth": 1, "effect": "lose-answer"}
    behaviour = {
        "recognition": {"*": "tag"},
        "window": {"*": 0.1},
        "steps": {"instance": 1},
        "faults": [lost, killed(verb, moment)],
    }
    victim.prepare(life("a", 2), behaviour=behaviour)
    assert victim.run("live")
    victim.run("recover")
    victim.check()
    assert victim.calls("reboot") <= 1, "nobody knows whether it was done: it is not done again"


@pytest.mark.parametrize(
    "kind", ["key_pair", "network", "security_group", "volume", "public_ip", "public_ip_attachment"]
)
@pytest.mark.parametrize("verb", ["create", "delete"])
def test_killed_around_each_kind_of_thing(victim, verb, kind):
    requests = life("a", 2)
    if (verb, kind) == ("delete", "public_ip_attachment"):  # it goes with its machine, and is only then looked at
        requests = [*requests[:4], {"infrastructure": "a", "verb": "destroy"}]
    victim.prepare(requests, behaviour={"faults": [killed(verb, "during", kind=kind)]})
    assert victim.run("live")
    victim.run("recover")
    victim.check()


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(victim, seed):
    chance = random.Random(seed)
    requests = (
        life("small", 1)
        + altered_life("altered", end="stop")
        + life("large", chance.randint(2, 20), end=chance.choice(["destroy", "stop"]))
    )
    behaviour = {
        "latency": {"create": 0.01, "delete": 0.01},
        "recognition": {"*": chance.choice(RECOGNITION[:3])},
        "window": {"*": 0.2},
    }
    victim.prepare(requests, behaviour=behaviour)
    for _ in range(5):
        if not victim.run_for(chance.uniform(0.1, 2.0)):
            break
        if chance.random() < 0.5:
            victim.run_for(chance.uniform(0.05, 0.5), "recover")  # not even recovering is left in peace
        victim.run("recover")
        victim.check()
