"""The server is killed at random moments of an infrastructure's life on `local`, and started again: nobody does more.

Only what is recorded counts: the desired state is reached, what was recorded as done is not done again, nothing is
made twice and nothing is left over.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPException

import psutil
import pytest

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.slow]

#: Each recipe appends a line when it runs, and takes a moment. They run in steps, all machines together.
STEPS = ("one", "two", "three")


@pytest.fixture
def chance() -> random.Random:
    """Chance; its seed is shown when the test fails."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed: {seed}")
    return random.Random(seed)


def cluster(count: int) -> str:
    recipes = "".join(
        f"configure {step} (\n@begin\n- tasks:\n    - shell: sleep 0.2; echo {{{{ IM_NODE_NUM }}}} >> {step}\n@end\n)\n"
        for step in STEPS
    )
    items = "\n".join(f"system node configure {step} step {number}" for number, step in enumerate(STEPS, 1))
    return (
        "network net ()\nsystem node (net_interface.0.connection = 'net' and disk.0.image.url = 'local://localhost')\n"
        f"{recipes}contextualize (\n{items}\n)\ndeploy node {count}\n"
    )


def runs(server, api, infrastructure: str) -> list[dict[str, int]]:
    """How often each step has run, by machine."""
    found = []
    for vm in api.vms(infrastructure):
        home = server.home(api.prop(infrastructure, vm, "net_interface.0.ip"))
        lines = {step: (home / step).read_text().split() for step in STEPS if (home / step).exists()}
        assert all(line == str(vm) for text in lines.values() for line in text)
        found.append({step: len(text) for step, text in lines.items()})
    return found


def ledger(server) -> set[str]:
    """What the database says there is in the cloud."""
    with closing(sqlite3.connect(server.database)) as database:
        entries = [json.loads(data) for (data,) in database.execute("SELECT data FROM rows WHERE tab = 'resource'")]
    assert all(entry.get("provider_id") for entry in entries if entry["status"] in ("exists", "ready")), entries
    return {entry["provider_id"] for entry in entries if entry.get("provider_id")}


def nothing_is_left_over(server, eventually) -> None:
    """What exists is what the ledger has, and nobody runs plays."""
    eventually(lambda: not server.runs, "end of the run")
    assert {path.parent.name for path in server.machines.glob("*/machine.json")} == ledger(server)
    assert [path.name for path in server.machines.glob(".*") if path.name != ".lock"] == []
    assert server.agents() == []


def test_killed_at_a_random_moment_of_each_stage_of_its_life_it_reaches_every_desired_state(
    new_server, chance, eventually
) -> None:
    server = new_server().start()
    api = server.api()

    def strike(earliest: float, latest: float) -> None:
        moment = chance.uniform(earliest, latest)
        print(f"killed after {moment:.3f} s")
        time.sleep(moment)
        server.kill()
        server.start()

    # created
    infrastructure = api.create(cluster(2))
    strike(0, 0.3)
    # being configured
    strike(0.5, 4)
    api.configured(infrastructure)
    assert runs(server, api, infrastructure) == [dict.fromkeys(STEPS, 1)] * 2
    nothing_is_left_over(server, eventually)

    # growing: whether the request was stored before the kill is for the list of machines to say
    def grow() -> None:
        try:
            api.request("POST", f"/infrastructures/{infrastructure}", "network net ()\nsystem node\ndeploy node 1\n")
        except (OSError, HTTPException):
            print("the answer was lost")

    growing = threading.Thread(target=grow)
    growing.start()
    strike(0, 0.3)
    growing.join()
    api.configured(infrastructure)
    grown = len(api.vms(infrastructure)) - 2
    assert grown in (0, 1)
    assert (
        runs(server, api, infrastructure) == [dict.fromkeys(STEPS, 1 + grown)] * 2 + [dict.fromkeys(STEPS, 1)] * grown
    )
    nothing_is_left_over(server, eventually)

    # reconfigured
    api.ok("PUT", f"/infrastructures/{infrastructure}/reconfigure")
    strike(0.5, 4)
    api.configured(infrastructure)
    expected = [dict.fromkeys(STEPS, 2 + grown)] * 2 + [dict.fromkeys(STEPS, 2)] * grown
    assert runs(server, api, infrastructure) == expected
    nothing_is_left_over(server, eventually)

    # destroyed
    api.ok("DELETE", f"/infrastructures/{infrastructure}?async=1")
    strike(0, 0.2)
    eventually(lambda: infrastructure not in api.ids(), "end of the infrastructure")
    nothing_is_left_over(server, eventually)
    assert ledger(server) == set()
    assert server.offspring() == []


def test_steps_recorded_before_everything_was_killed_are_not_run_again(new_server, chance, eventually) -> None:
    server = new_server().start()
    api = server.api()
    infrastructure = api.create(cluster(2))

    def done() -> list[tuple[int, str]]:
        return [
            (event["data"]["vm"], event["data"]["task"])
            for event in api.events(infrastructure)
            if event["type"] == "step" and event["data"]["status"] == "done"
        ]

    eventually(lambda: (1, "one_node") in done(), "first step that is done")
    time.sleep(chance.uniform(0, 1))
    recorded = done()
    server.kill()
    for process in server.agents():
        with suppress(psutil.NoSuchProcess):  # one may have taken others with it
            process.kill()
    server.start()
    api.configured(infrastructure)
    counts = runs(server, api, infrastructure)
    for vm, task in recorded:
        step = task.removesuffix("_node")
        if step in STEPS:
            assert counts[vm][step] == 1, f"{task} was done on machine {vm} before the kill"
    assert [event for event in done() if done().count(event) > 1] == []
    assert all(count.keys() == set(STEPS) for count in counts)
    nothing_is_left_over(server, eventually)
