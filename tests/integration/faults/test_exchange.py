"""The service is killed while an infrastructure is handed over, taken back, or made by a request that can be repeated.

After that it is still there, or deleted with an export that can be had again; in both cases nothing of it is lost.
"""

from __future__ import annotations

import pytest

DOCUMENT = """
network private ()
system node (net_interface.0.connection = 'private' and disk.0.image.url = 'mock0://linux.for.ev.er/image1')
configure node (
@begin
---
- tasks: []
@end
)
deploy node 2
"""


def requests(*verbs: str) -> list[dict[str, object]]:
    """Requests for one infrastructure."""
    return [{"infrastructure": "a", "verb": verb, "document": DOCUMENT} for verb in verbs]


def check_that_it_can_be_had(victim) -> None:
    """Nothing was lost: whatever has become of it, it can be used and deleted with all that belongs to it."""
    victim.check()
    if victim.infrastructures():
        victim.prepare(requests("regain", "settle", "destroy"))
        assert not victim.run("live")
        victim.check()
    assert not victim.inventory(), victim.describe()


@pytest.mark.parametrize("share", range(2))
def test_killed_at_every_commit(victim, share):
    commit = share + 1
    killed = True
    while killed:
        victim.move()
        victim.prepare(requests("create", "export", "import", "reconfigure", "settle", "export"))
        killed = victim.run("live", commit if commit % 4 < 2 else -commit)
        if killed:
            victim.run("recover")
        check_that_it_can_be_had(victim)
        commit += 2
    assert commit > 8


@pytest.mark.parametrize("verb", ["create", "read"])
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_killed_around_a_call_of_whoever_takes_it_over(victim, verb, moment):
    """The first owner hands it over before its machines are made; the next one goes on with them."""
    slow = {"latency": {"create": 0.02}}
    kill = {"verb": verb, "kind": "instance", "nth": 1, "times": 1, "effect": "kill", "at": moment, "name": "kill"}
    victim.prepare(requests("begin", "export", "import", "settle"), behaviour={**slow, "faults": [kill]})
    victim.run("live")
    victim.run("recover")
    check_that_it_can_be_had(victim)


def test_a_creation_with_a_key_that_is_repeated_after_a_kill_makes_one_infrastructure(victim):
    commit = 1
    killed = True
    while killed:
        victim.move()
        victim.prepare(requests("repeat", "settle"))
        killed = victim.run("live", commit)
        assert not victim.run("live"), "asked again, and nothing befalls it now"
        victim.check()
        (infra,) = victim.infrastructures()
        assert len(infra.vms) == 2
        commit += 1
    assert commit > 3
