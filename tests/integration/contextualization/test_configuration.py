"""A whole configuration: steps in order, systems beside each other, everything reported while it happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from imframework.contextualization import ServerConfigurator
from imframework.core.ports import Progress
from imframework.languages.radl import Collection, Features

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
    - debug: msg="{{ 'x' * 500000 }} to the end"
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


# A role from the web, facts of machines that were prepared by an earlier run, and an encrypted recipe and value.
LATER = """
configure front (
@begin
- roles: [greeter]
@end
)
configure worker (
@begin
RECIPE
@end
)
"""
#: Made by ansible-vault, password "pass-word": writes an encrypted value to ~/opened.
ENCRYPTED = """\
$ANSIBLE_VAULT;1.1;AES256
65313938616439643662323138313334313933356362646431383334633131326265333131323761
6536656137613661353566626637386463303263373064360a353366623438323437303639326261
30366563643738353931616538626533656564363762373963366436313133363766353032306463
3736613539303539640a363432333838383134613330656461653435313232396139616663326436
30653039373661353164326630626464333735393163383466323566306163326664656664383139
36623032653430666565313763313463393039396237323666306237636331303862356235643434
31646161376336333434613539303262333066386436303061393231386566336637323334316339
38323437336434313534343039656633613937353831373661393933346335666665323537386464
39636135393661613838383632643730316631316336326331366538633739633938393837306166
30313062643939383538636365663338633430346535633638626535303964306232313966393230
33326265643936383231383262333432633165386333653437363661613266633330343365616233
35396638306336636362613366626237643765343966316531366137383330343132643063353037
32313833646439316562353138366134326266663962666462356631363031313633316531333132
34383137326335306130333839663161303032306531396235376566363261373139353439343932
63663430303862353364353734373361393531353038366233303365396633343531316234306361
34313566303435663965343064653235373464316335366634633333336135643933636331626164
31633336303334323035616263643563636563303539396639363235333265666561633634633362
62333137646434613362323734376434613133356466306166353232313637643132633339363362
62333361336132643438646531373731666535386365303663613839656164313665376361636238
65393763373139313832393631623635313431633161633262663433376533613564373332643735
39333532316133383437363330616334646231376535656461616330663962396135663733386135
35326232353231303234646637303033663361353035396138376431383465613735626632373931
33646237373862323364343366313835636664343936346462393931356366346633336138656265
31336337626464656634336535333232646563356338333034343834666664643631333933633538
34363138666433343631313531306634626130316462646135613064613832316234303462653665
33653035396565396531666334346333363464333734306661303064316465353931656535323032
65393764346261663261613537343566663636663362353162646335386638396166663238613538
35313939626165613035
"""


@pytest.fixture
def role(tmp_path: Path) -> Iterator[str]:
    """The address of an archive with a role called greeter."""
    tasks = tmp_path / "greeter" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text("- copy: {content: '{{ ansible_distribution }}', dest: ~/greeted}\n")
    (tmp_path / "greeter" / "meta").mkdir()
    (tmp_path / "greeter" / "meta" / "main.yml").write_text("galaxy_info: {author: us, min_ansible_version: '2.9'}\n")
    archive = shutil.make_archive(str(tmp_path / "greeter"), "gztar", tmp_path, "greeter")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{Path(archive).name}"
        server.shutdown()


async def test_roles_facts_and_vaults_work_in_a_run_after_the_first(
    cluster, configurator: ServerConfigurator, log, role: str
) -> None:
    job = cluster.job(LATER.replace("RECIPE", ENCRYPTED), vault_passwords={"worker": "pass-word"})
    job.document.systems["front"].features.add(
        "disk.0.applications", Collection([_features(name=f"ansible.roles.{role}|greeter")])
    )
    done = frozenset({"basic", "main_front", "main_worker"})
    job = replace(job, targets=tuple(replace(target, done=done) for target in job.targets))

    await configurator.run(job, 10, log)

    assert log.end() == ""
    assert not log.failures()
    assert log.reports[0].sequence == 11
    assert sorted(log.of(Progress.TASK_DONE)) == [(0, "front_front"), (1, "worker_worker"), (2, "worker_worker")]
    assert "Galaxy role greeter detected setting to install.\n" in log.text()
    assert "greeter was installed successfully" in log.text()
    assert cluster.machines[0].read("greeted")
    assert cluster.machines[2].read("opened") == "sesame"


def _features(**texts: str) -> Features:
    features = Features()
    for name, text in texts.items():
        features.set(name, text)
    return features


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
    assert "characters left out" in worker
    assert "xxx to the end" in worker
    assert "...ignoring\n" in worker
    assert "rescued=1    ignored=1" in worker
    assert "included: more.yml" in worker
    everything = "".join(log.text(vm) for vm in (None, 0, 1, 2))
    assert "included, and the password is ***" in everything
    assert "Hidden-Password" not in everything
    assert "very-secret-value" not in everything

    await configurator.discard(job.run_id)

    assert list(cluster.runs_dir.iterdir()) == []
