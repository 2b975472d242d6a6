"""Recipes that fail, that are switched off, and that are still running when nobody wants them any more."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.xdist_group("recipes"), pytest.mark.slow]

FAILS_ON_THE_SECOND = """
- name: Count the runs
  ansible.builtin.shell: echo run >> runs
- name: Weigh the machine
  ansible.builtin.command: sh -c "echo too heavy >&2; exit 3"
  when: IM_NODE_NUM == "1"
"""

SLEEPS = """
- name: Leave somebody behind on the server and on the machine
  ansible.builtin.shell: "(setsid sleep 3601 &) ; echo asleep; sleep 3602"
"""


def test_a_failed_task_makes_its_machine_unconfigured_and_is_named_at_the_top_of_the_log(server, api, document) -> None:
    infrastructure = api.create(document(FAILS_ON_THE_SECOND, count=2))
    assert api.settled(infrastructure) == "unconfigured"
    assert api.state(infrastructure)[1] == {"0": "configured", "1": "unconfigured"}

    addresses = [api.prop(infrastructure, vm, "net_interface.0.ip") for vm in (0, 1)]
    top = api.contmsg(infrastructure).splitlines()[0]
    assert top.startswith(f"ERROR: VM 1 ({addresses[1]}): node_node: Weigh the machine: ")
    assert "too heavy" in top
    assert "ERROR executing task node_node: (1/1)" in api.contmsg(infrastructure, 1)
    assert "ERROR" not in api.contmsg(infrastructure, 0)
    failed = [event["data"] for event in api.events(infrastructure) if event["data"].get("status") == "failed"]
    assert [(each["vm"], each["task"]) for each in failed] == [(1, "node_node")]

    api.ok("PUT", f"/infrastructures/{infrastructure}/reconfigure", document("- ansible.builtin.ping:", count=0))
    api.configured(infrastructure)
    assert not api.contmsg(infrastructure).startswith("ERROR")
    homes = [server.home(address) for address in addresses]
    assert [(home / "runs").read_text() for home in homes] == ["run\n", "run\n"]


def test_an_empty_contextualize_runs_nothing(server, api, document) -> None:
    infrastructure = api.create(document("- ansible.builtin.fail:", contextualize=""))
    api.configured(infrastructure)
    assert "Contextualization disabled by the RADL/TOSCA template." in api.contmsg(infrastructure)
    assert not [event for event in api.events(infrastructure) if event["type"] == "step"]
    assert server.agents() == []
    assert server.runs == []


def test_a_recipe_that_takes_longer_than_allowed_is_ended(server, api, document, eventually) -> None:
    text = document(SLEEPS).replace("deploy", "contextualize 4 (system node configure node)\ndeploy")
    infrastructure = api.create(text)
    assert api.settled(infrastructure) == "unconfigured"
    assert "ERROR: Max contextualization time passed." in api.contmsg(infrastructure)
    eventually(lambda: server.agents() == [] and server.runs == [], "tidying up after the run")


def test_destroying_while_a_recipe_sleeps_ends_it_at_once(server, api, document, eventually) -> None:
    infrastructure = api.create(document(SLEEPS))
    eventually(lambda: "Leave somebody behind" in api.contmsg(infrastructure), "recipe that sleeps")
    assert server.agents() != []
    api.ok("DELETE", f"/infrastructures/{infrastructure}")
    assert server.offspring() == []
    assert server.runs == []
    assert not list(server.machines.glob("*"))


def test_removing_a_machine_while_its_recipe_sleeps_does_not_wait_for_the_recipe(
    server, api, document, eventually
) -> None:
    infrastructure = api.create(document(SLEEPS, count=2))
    eventually(lambda: "Leave somebody behind" in api.contmsg(infrastructure), "recipe that sleeps")
    api.ok("DELETE", f"/infrastructures/{infrastructure}/vms/1?context=0")
    assert api.vms(infrastructure) == [0]
    api.ok("DELETE", f"/infrastructures/{infrastructure}")
    assert server.offspring() == []


def test_reconfiguring_while_a_recipe_sleeps_replaces_it(server, api, document, eventually) -> None:
    infrastructure = api.create(document(SLEEPS))
    eventually(lambda: "Leave somebody behind" in api.contmsg(infrastructure), "recipe that sleeps")
    api.ok("PUT", f"/infrastructures/{infrastructure}/reconfigure", document("- ansible.builtin.ping:", count=0))
    api.configured(infrastructure)
    eventually(lambda: server.agents() == [], "end of the agents")
