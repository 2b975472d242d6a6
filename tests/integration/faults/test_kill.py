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
        {"infrastructure": name, "verb": "remove", "vms": [0]},
        {"infrastructure": name, "verb": "settle"},
        {"infrastructure": name, "verb": end},
    ]
    return requests


@pytest.mark.parametrize("share", range(4))
def test_killed_at_every_commit(victim, share, tmp_path_factory):
    commit = share + 1
    while True:
        victim.directory = tmp_path_factory.mktemp(f"commit{commit}")
        victim.prepare(life("a", 2))
        killed = victim.run("live", commit)
        if killed:
            victim.run("recover")
        victim.check()
        if not killed:
            break
        commit += 4
    assert commit > 20


RECOGNITION = ("token", "name", "tag", "none")


@pytest.mark.parametrize("recognition", RECOGNITION)
@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize(
    ("verb", "kind"),
    [("create", "instance"), ("create", "network"), ("create", "public_ip_attachment"), ("delete", "instance")],
)
def test_killed_around_a_call_to_the_cloud(victim, recognition, moment, verb, kind):
    behaviour = {
        "recognition": {"*": recognition},
        "window": {"*": 0.3},
        "faults": [{"verb": verb, "kind": kind, "nth": 1, "times": 1, "effect": "kill", "at": moment}],
    }
    victim.prepare(life("a", 2), behaviour=behaviour)
    assert victim.run("live")
    victim.run("recover")
    victim.check(unrecognised=4 if recognition == "none" else 0)


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(victim, seed):
    chance = random.Random(seed)
    requests = life("small", 1) + life("large", chance.randint(2, 20), end=chance.choice(["destroy", "stop"]))
    behaviour = {
        "latency": {"create": 0.02, "delete": 0.02},
        "recognition": {"*": chance.choice(RECOGNITION[:3])},
        "window": {"*": 0.2},
    }
    victim.prepare(requests, behaviour=behaviour)
    for _ in range(5):
        if not victim.run_for(0.7 + chance.random() * 2.5):
            break
        victim.run("recover")
        victim.check()
