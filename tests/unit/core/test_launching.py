"""Plans that cannot be carried out are refused before anything is made."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from imframework.api.errors import CloudError
from imframework.api.model import Dependency, Resource
from imframework.core.launching import _check
from imframework_plugins.connectors.dummy.connector import DummyConnector


def thing(key: str, *needs: str, machine: int | None = None) -> Resource:
    return Resource(key, "thing", key, depends_on=tuple(map(Dependency, needs)), machine=machine)


def test_a_plan_with_everything_in_it_is_accepted_in_any_order():
    _check("c", [thing("vm", "net", "disk", machine=0), thing("disk", "net"), thing("net")], [0])
    _check("c", [], [])


def test_a_plan_that_forgets_a_machine_is_refused():
    with pytest.raises(CloudError, match=r"The plan of cloud c has no resource for machines \[1, 2\]\."):
        _check("c", [thing("vm", machine=0)], [0, 1, 2])


def test_a_plan_that_lacks_something_is_refused():
    with pytest.raises(CloudError, match=r"The plan of cloud c lacks net, which vm waits for\."):
        _check("c", [thing("vm", "net", machine=0)], [0])


@pytest.mark.parametrize("cycle", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_plan_that_waits_for_itself_is_refused(cycle):
    resources = [thing(key, cycle[(i + 1) % len(cycle)]) for i, key in enumerate(cycle)]
    with pytest.raises(CloudError, match="has a cycle through"):
        _check("c", [thing("vm", "a", machine=0), *resources], [0])


def test_a_long_chain_is_no_cycle_and_needs_no_deep_stack():
    chain = [thing("0", machine=0), *(thing(str(n), str(n - 1)) for n in range(1, 5000))]
    _check("c", list(reversed(chain)), [0])


class Unreliable(DummyConnector):
    """Plans as the test says."""

    spoil = staticmethod(lambda resources: resources)

    def plan(self, deployment):
        return self.spoil(list(super().plan(deployment)))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda resources: [r for r in resources if r.key != "instance/1"], r"no resource for machines \[1\]"),
        (lambda resources: [r for r in resources if r.key != "key_pair"], "lacks key_pair"),
        (lambda resources: [replace(r, depends_on=(Dependency(r.key),)) for r in resources], "has a cycle"),
        (lambda resources: None, r"connector failed in 'plan' \(TypeError"),
    ],
)
async def test_a_bad_plan_fails_the_machines_with_its_reason_and_makes_nothing(ground, spoil, text):
    connector = type("Spoilt", (Unreliable,), {"spoil": staticmethod(spoil)})
    async with ground.running(connectors={"Dummy": connector}) as running:
        id = await running.create(ground.document(2, public=False))
        infra = await running.settled(id)
        assert infra.state() == "failed"
        assert re.search(text, infra.vms[0].failure)
        assert ground.inventory() == []


async def test_a_later_plan_that_forgets_something_takes_nothing_down(ground):
    class Forgetful(DummyConnector):
        def plan(self, deployment):
            later = len(deployment.machines) > 1
            return [r for r in super().plan(deployment) if not (later and r.kind.startswith("public_ip"))]

    async with ground.running(connectors={"Dummy": Forgetful}) as running:
        id = await running.create(ground.document(1))
        await running.settled(id)
        await running.add(id, ground.document(1))
        infra = await running.settled(id)
        assert infra.vm_states() == {0: "configured", 1: "configured"}
        assert len(ground.inventory("public_ip_attachment")) == 1


async def test_a_connector_is_told_what_exists(ground):
    seen = []

    class Attentive(DummyConnector):
        def plan(self, deployment):
            seen.append({key: handle.provider_id for key, handle in deployment.existing.items()})
            return super().plan(deployment)

    async with ground.running(connectors={"Dummy": Attentive}) as running:
        id = await running.create(ground.document(1, public=False))
        await running.settled(id)
        await running.add(id, ground.document(1, public=False))
        assert seen[0] == {}
        assert set(seen[1]) == {"key_pair", "network/private", "security_group/private", "instance/0"}
        assert set(seen[1].values()) <= set(ground.inventory())
