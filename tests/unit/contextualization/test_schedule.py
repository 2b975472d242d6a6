"""Which playbooks run, for whom, in which lanes."""

from __future__ import annotations

from dataclasses import replace

from imframework.api.model import Access
from imframework.contextualization import inventory, schedule
from imframework.contextualization.inventory import NameDefaults
from imframework.contextualization.plays import END_OF_PLAYBOOK

UNPRIVILEGED = {number: Access(f"198.51.100.{number}", privileged=False) for number in range(3)}
FRONT, WORKER_1, WORKER_2 = "192.0.2.1_0", "10.0.0.2_1", "10.0.0.3_2"


def _items(job):
    return schedule.items(job, inventory.machines(job, NameDefaults()))


def _lanes(job, parallel=8):
    lanes = schedule.schedule(job, inventory.machines(job, NameDefaults()), parallel)
    return [[item.id for item in lane] for lane in lanes]


def test_generated_plays_are_one_playbook_for_all_systems_and_systems_run_beside_each_other(make_job) -> None:
    assert _lanes(make_job()) == [["0-basic", "1-main", "2-front"], ["3-work-er", "4-join"]]


def test_no_more_lanes_than_allowed(make_job) -> None:
    assert _lanes(make_job(), parallel=1) == [["0-basic", "1-main", "2-front", "3-work-er", "4-join"]]


def test_each_machine_has_the_task_of_its_system(make_job) -> None:
    basic, main, *_, join = _items(make_job())

    assert basic.tasks == dict.fromkeys([FRONT, WORKER_1, WORKER_2], "basic")
    assert main.tasks == {FRONT: "main_front", WORKER_1: "main_work-er", WORKER_2: "main_work-er"}
    assert join.tasks == {WORKER_1: "join_work-er", WORKER_2: "join_work-er"}
    assert [item.step for item in (basic, main, join)] == [1, 2, 5]


def test_recorded_tasks_are_left_out(make_job) -> None:
    done = {0: frozenset({"basic", "main_front", "front_front"}), 1: frozenset({"basic"})}

    items = {item.id: list(item.tasks) for item in _items(make_job(done=done))}

    assert items == {
        "0-basic": [WORKER_2],
        "1-main": [WORKER_1, WORKER_2],
        "2-work-er": [WORKER_1, WORKER_2],
        "3-join": [WORKER_1, WORKER_2],
    }


def test_a_job_without_anything_left_has_no_lanes(make_job) -> None:
    job = make_job()
    everything = frozenset(task.name for task in job.tasks)

    assert _lanes(make_job(done=dict.fromkeys(range(3), everything))) == []


def test_every_playbook_ends_with_the_play_that_says_so(make_job) -> None:
    for item in _items(make_job()):
        assert item.plays[-1]["name"] == END_OF_PLAYBOOK
        assert {play["hosts"] for play in item.plays} == {f"{{{{ im_targets['{item.id}'] }}}}"}


def test_root_is_become_only_where_we_are_allowed_to_and_are_not(make_job) -> None:
    access = {0: Access("198.51.100.1", user="root"), 1: Access("198.51.100.2", user="admin"), 2: UNPRIVILEGED[2]}

    basics = [item for item in _items(make_job(access=access)) if "basic" in item.id]

    assert [(list(item.tasks), item.plays[0]["become"]) for item in basics] == [
        ([FRONT], False),
        ([WORKER_1], True),
        ([WORKER_2], False),
    ]


def test_unprivileged_machines_are_left_as_they_are_and_told_so(make_job) -> None:
    basic, main, *_ = _items(make_job(access=UNPRIVILEGED))

    assert [task["name"] for task in basic.plays[0]["tasks"]] == ["Make sure that Python works"]
    assert main.plays == ()
    assert "unprivileged" in main.notes[FRONT]


def test_windows_machines_get_recipes_only(make_job) -> None:
    windows = Access("198.51.100.1", user="admin", operating_system="windows")

    items = [item for item in _items(make_job(access={0: windows})) if FRONT in item.tasks]

    assert [bool(item.plays) for item in items] == [False, False, True]
    assert "become" not in items[-1].plays[0]


def test_facts_are_gathered_once_and_only_if_a_recipe_wants_them(make_job, document) -> None:
    wants = document.replace("msg: join", "msg: '{{ ansible_distribution }}'")

    def gathers(job):
        return [item.id for item in _items(job) for play in item.plays if "ansible.builtin.setup" in str(play)]

    assert gathers(make_job()) == []
    assert gathers(make_job(wants)) == ["0-basic"]
    assert gathers(make_job(wants, done={0: frozenset({"basic"})})) == ["0-basic", "4-join"]


def test_what_cannot_be_run_is_an_error_of_its_task_only(make_job, document) -> None:
    front, worker = _items(make_job(document.replace("- tasks: [{debug: {msg: front}}]", "tasks: []")))[2:4]

    assert front.plays == ()
    assert front.error == "front: the recipe is not a list of plays but a mapping; each play starts with '- '"
    assert worker.error == ""


def test_applications_are_packages_unless_they_are_there_or_ansibles(make_job, document) -> None:
    applications = "".join(
        f"disk.0.applications contains ({application}) and "
        for application in (
            "name = 'org.example.git'",
            "name = 'java' and preinstalled = 'yes'",
            "name = 'ansible.roles.someone.role'",
        )
    )
    job = make_job(document.replace("system front (", f"system front ({applications}"))

    main = next(item for item in _items(job) if item.id == "1-main")

    work = main.plays[0]["vars"]["im_work"]
    assert (work[FRONT]["packages"], work[WORKER_1]["packages"]) == (["git"], [])


def test_disks_are_mounted_when_all_is_known_of_them(make_job, document) -> None:
    known = {"disk.1.device": "/dev/hdb", "disk.1.mount_path": "/data", "disk.1.fstype": "ext4", "disk.2.device": "hdc"}
    swap = {"disk.3.device": "hdd", "disk.3.fstype": "swap", "disk.0.device": "hda", "disk.0.fstype": "ext4"}
    job = make_job(facts={0: {**known, **swap, "disk.0.mount_path": "/"}})

    main = next(item for item in _items(job) if item.id == "1-main")

    assert main.plays[0]["vars"]["im_work"][FRONT]["disks"] == [
        {"device": "hdb", "path": "/data", "fstype": "ext4"},
        {"device": "hdd", "path": "", "fstype": "swap"},
    ]


def test_a_token_goes_to_the_machines_only_if_a_recipe_counts_on_it(make_job, document) -> None:
    asks = document.replace("msg: join", "msg: $BEARER_TOKEN")

    def handed(job):
        return "secret-token" in str([item.plays for item in _items(job)])

    assert handed(make_job(asks, auth_value="secret-token"))
    assert not handed(make_job(auth_value="secret-token"))
    assert not handed(make_job(asks, auth_value="user:secret-token"))


def test_tasks_of_one_step_on_the_same_machine_stay_in_order_in_one_lane(make_job) -> None:
    job = make_job()
    tasks = [replace(task, step=9) if task.configure in ("work-er", "join") else task for task in job.tasks]

    assert _lanes(replace(job, tasks=tuple(tasks))) == [
        ["0-basic", "1-main", "2-front", "3-work-er", "4-join"],
    ]
