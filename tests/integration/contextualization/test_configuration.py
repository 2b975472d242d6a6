"""A whole configuration: steps in order, systems beside each other, everything reported while it happens."""

from __future__ import annotations

import pytest

from imframework.contextualization import ServerConfigurator
from imframework.core.ports import Progress

DOCUMENT = """
configure front (
@begin
- name: Front node
  tasks:
    - name: Say who we are
      debug: msg="{{ IM_NODE_FQDN }} of {{ IM_WORKER_NUM_VMS }} workers, master {{ IM_MASTER_FQDN }}"
    - name: Tell the others
      copy: content="{{ IM_NODE_PRIVATE_IP }}" dest=~/address
    - name: Wait for the workers' first step
      wait_for: path={{ shared }}/worker timeout=60
    - name: Keep a secret
      command: echo very-secret-value
      no_log: true
    - name: Wait until we have been heard
      wait_for: path={{ shared }}/heard timeout=60
  vars:
    shared: SHARED
@end
)
configure worker (
@begin
- vars: {shared: SHARED}
  tasks:
    - name: Show the first step to the front node
      file: path={{ shared }}/worker state=touch
    - name: Wait for the front node
      wait_for: path=FRONT/address timeout=60
    - name: Use facts
      copy: content="{{ ansible_distribution }} {{ ansible_facts.python.version.major }}" dest=~/facts
@end
)
configure join (
@begin
- tasks:
    - include_tasks: more.yml
    - name: Render a template
      copy: content="{{ hostvars[groups['front'][0]].IM_NODE_FQDN }} {{ IM_NODE_NUM }} {{ item }}" dest=~/{{ item }}
      loop: [one, two]
    - name: Never mind
      command: /bin/false
      ignore_errors: true
    - name: Try
      block:
        - command: /bin/false
      rescue:
        - command: /bin/true
@end
)
configure more (
@begin
- name: A task of another recipe
  debug: msg="included, and the password is {{ IM_INFRASTRUCTURE_AUTH }}"
@end
)
contextualize (
system front configure front step 1
system worker configure worker step 1
system worker configure join step 2
)
"""


@pytest.fixture
def document(cluster) -> str:
    shared = cluster.machines[0].home.parent / "shared"
    shared.mkdir(exist_ok=True)
    for path in shared.iterdir():
        path.unlink()
    return DOCUMENT.replace("SHARED", str(shared)).replace("FRONT", str(cluster.machines[0].home))


async def test_machines_are_configured_in_steps_and_all_of_it_is_reported_while_it_happens(
    cluster, configurator: ServerConfigurator, log, document
) -> None:
    shared = cluster.machines[0].home.parent / "shared"
    log.on("TASK [Wait until we have been heard]", (shared / "heard").touch)
    job = cluster.job(document, auth_value="user:Hidden-Password")

    await configurator.run(job, 0, log)

    assert log.end() == ""
    assert not log.failures(), log.text()
    assert [report.sequence for report in log.reports] == list(range(1, len(log.reports) + 1))
    done = log.of(Progress.TASK_DONE)
    assert sorted(done) == [
        *[(0, "basic"), (0, "front_front"), (0, "main_front")],
        *[(1, "basic"), (1, "join_worker"), (1, "main_worker"), (1, "worker_worker")],
        *[(2, "basic"), (2, "join_worker"), (2, "main_worker"), (2, "worker_worker")],
    ]
    assert sorted(log.of(Progress.TASK_STARTED)) == sorted(done)
    # Within step 1 each waits for the other; step 2 begins when step 1 is over everywhere.
    assert log.position(Progress.TASK_STARTED, 1, "worker_worker") < log.position(Progress.TASK_DONE, 0, "front_front")
    assert log.position(Progress.TASK_STARTED, 1, "join_worker") > log.position(Progress.TASK_DONE, 0, "front_front")

    assert cluster.machines[1].read("one") == "front.localdomain 1 one"
    assert cluster.machines[2].read("two") == "front.localdomain 2 two"
    assert cluster.machines[2].read("facts").split()[-1] == "3"

    front, worker = log.text(0), log.text(1)
    assert "Launch task: front_front\n" in front
    assert "\nPLAY [Front node] ****" in front
    assert f"ok: [{cluster.host(0)}] => " in front
    assert '"msg": "front.localdomain of 2 workers, master front.localdomain"' in front
    assert f"changed: [{cluster.host(0)}]\n" in front
    assert "\nPLAY RECAP ***" in front
    assert f"{cluster.host(0):<26} : ok=5    changed=2    unreachable=0    failed=0" in front
    assert front.endswith("Task front_front finished successfully\nProcess finished\n")
    assert "The machine is unprivileged" in front
    assert f"changed: [{cluster.host(1)}] => (item=two)\n" in worker
    assert f"fatal: [{cluster.host(1)}]: FAILED! => {{" in worker
    assert "...ignoring\n" in worker
    assert "rescued=1    ignored=1" in worker
    assert "included: more.yml" in worker
    everything = "".join(log.text(vm) for vm in (None, 0, 1, 2))
    assert "included, and the password is ***" in everything
    assert "Hidden-Password" not in everything
    assert "very-secret-value" not in everything

    await configurator.discard(job.run_id)

    assert list(cluster.runs_dir.iterdir()) == []
