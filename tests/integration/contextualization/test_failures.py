"""Recipes and machines that fail: told with task, machine and reason, and the others go on."""

from __future__ import annotations

from dataclasses import replace

from imframework.contextualization import ServerConfigurator
from imframework.core.ports import Progress
from imframework.remote import generate_key_pair

DOCUMENT = """
configure front (
@begin
- tasks:
    - name: Works the second time
      shell: echo x >> ~/tries; test $(wc -l < ~/tries) = 2
@end
)
configure worker (
@begin
- name: Some fail
  tasks:
    - name: Count
      shell: echo x >> ~/tries
    - name: Be even
      shell: echo oh no >&2; exit 3
      when: IM_NODE_NUM == '1'
@end
)
configure after (
@begin
- tasks:
    - file: path=~/after state=touch
@end
)
configure typo (
@begin
- tasks:
    - name: No such thing
      no_such_module: {}
@end
)
contextualize (
system front configure front step 1
system worker configure worker step 1
system front configure after step 2
system worker configure after step 2
system worker configure typo step 3
)
"""


async def test_a_failure_concerns_its_machine_only_and_is_tried_again_as_often_as_allowed(
    cluster, configurator: ServerConfigurator, log
) -> None:
    await configurator.run(cluster.job(DOCUMENT, retries=2), 0, log)

    assert log.end() == ""
    failures = log.failures()
    assert set(failures) == {(1, "worker_worker"), (2, "typo_worker")}
    assert failures[1, "worker_worker"] == "Be even: non-zero return code, rc=3, oh no"
    assert "no_such_module" in failures[2, "typo_worker"]
    assert "ERROR executing task worker_worker: (1/2)\n" in log.text(1)
    assert "ERROR executing task worker_worker: (2/2)\n" in log.text(1)
    assert "ERROR executing task front_front: (1/2)\n" in log.text(0)
    assert (0, "front_front") in log.of(Progress.TASK_DONE)
    assert [machine.read("tries") for machine in cluster.machines] == ["x\nx\n", "x\nx\n", "x\n"]
    after = [(machine.home / "after").exists() for machine in cluster.machines]
    assert after == [True, False, True], "a machine that has failed is not worked on any more"
    assert log.text(1).endswith("Process finished\n")


async def test_recipes_and_machines_that_cannot_be_used_are_named(
    cluster, configurator: ServerConfigurator, log
) -> None:
    document = """
configure front (
@begin
tasks:
  - debug: msg=x
@end
)
configure worker (
@begin
- name: As root
  become: true
  tasks:
    - file: path=~/root state=touch
- tasks:
    - file: path=~/unprivileged state=touch
@end
)
"""
    another = replace(cluster.machines[2].access, host_key=generate_key_pair().public)

    await configurator.run(cluster.job(document, accesses={2: another}), 0, log)

    failures = log.failures()
    assert failures[0, "front_front"] == (
        "front: the recipe is not a list of plays but a mapping; each play starts with '- '"
    )
    assert "ERROR executing task front_front: (1/1)\n" in log.text(0)
    assert failures[2, "basic"].startswith("Make sure that Python works: unreachable: ")
    assert "ost key verification failed" in failures[2, "basic"].lower()
    assert "left out because they need root: As root\n" in log.text(1)
    assert not (cluster.machines[1].home / "root").exists()
    assert (cluster.machines[1].home / "unprivileged").exists()
    assert not (cluster.machines[2].home / "unprivileged").exists()
