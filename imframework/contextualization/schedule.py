"""What runs when: the tasks of a job as items (playbooks), and the items in lanes.

An *item* is one playbook for the machines of one or more tasks. A *lane* is what one ansible-playbook process runs, one
item after the other. Starting one costs about a second of processor time, so there are as few as will do: tasks of one
step on different machines run beside each other in different lanes, and everything else shares a process. Generated
plays are the same for all systems and become one item. That lower steps end before higher ones begin, in whichever
lane, is the business of the agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from imframework.contextualization import plays, recipes
from imframework.contextualization.inventory import Machine, mentions
from imframework.contextualization.plays import Rights
from imframework.contextualization.recipes import Play
from imframework.core.ports import Job, Task

BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Item:
    """A playbook. `tasks` maps hosts to the task it means for them, `notes` hosts to a line for their logs.

    Without plays there is nothing to run: the tasks are done at once, or have failed if there is an `error`.
    """

    id: str
    step: int
    tasks: Mapping[str, str]
    plays: Sequence[Play] = ()
    error: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Group:
    """Machines with equal rights that do the same in one step. `task` names what, for those with a recipe."""

    step: int
    task: Task
    rights: Rights
    tasks: dict[str, str]
    machines: list[Machine]


def schedule(job: Job, machines: Sequence[Machine], parallel: int) -> list[list[Item]]:
    """The lanes of a job, at most `parallel`; recorded tasks are left out."""
    return lanes(items(job, machines), parallel)


def items(job: Job, machines: Sequence[Machine]) -> list[Item]:
    """The items of a job, in the order in which they come on any one machine."""
    groups = list(_groups(job, machines))
    with_facts = any(recipes.wants_facts(group.task.recipe or "") for group in groups)
    prepared = {host for group in groups if group.task.name == BASIC for host in group.tasks}
    without_facts = [each for each in machines if each.host not in prepared and not each.windows]
    found = []
    for number, group in enumerate(groups):
        id = f"{number}-{re.sub(r'[^A-Za-z0-9_.-]', '_', group.task.configure or _kind(group.task))}"
        if group.task.recipe is not None:
            found.append(_recipe(id, group, job, without_facts))
        elif group.task.name == BASIC:
            body = plays.basic(id, group.rights, group.machines, with_facts=with_facts)
            found.append(_generated(id, group, body, plays.BASIC_NOTE))
        else:
            body = plays.main(id, group.rights, group.machines, machines, bearer_token=_bearer_token(job))
            found.append(_generated(id, group, body, plays.MAIN_NOTE))
    return found


def _kind(task: Task) -> str:
    return BASIC if task.name == BASIC else "main"


def _groups(job: Job, machines: Sequence[Machine]) -> Iterable[_Group]:
    by_number = {machine.target.number: machine for machine in machines}
    groups: dict[tuple[object, ...], _Group] = {}
    for task in sorted(job.tasks, key=lambda task: task.step):
        what = _kind(task) if task.recipe is None else (task.name, task.system)
        for number in task.vms:
            machine = by_number.get(number)
            if machine is None or task.name in machine.target.done:
                continue
            rights = Rights.on(machine)
            group = groups.setdefault((task.step, what, rights), _Group(task.step, task, rights, {}, []))
            group.tasks[machine.host] = task.name
            group.machines.append(machine)
    return groups.values()


def _bearer_token(job: Job) -> str:
    """The owner's token, if a recipe counts on finding it in the environment of the machines."""
    return job.auth_value if ":" not in job.auth_value and mentions(job, "BEARER_TOKEN") else ""


def _generated(id: str, group: _Group, body: list[Play], note: str) -> Item:
    notes = {} if group.rights.root or group.rights.windows else dict.fromkeys(group.tasks, note)
    return Item(id, group.step, group.tasks, [*body, plays.end(id)] if body else (), notes=notes)


def _recipe(id: str, group: _Group, job: Job, without_facts: Sequence[Machine]) -> Item:
    task, rights = group.task, group.rights
    try:
        text = recipes.clear_text(task.recipe or "", job.vault_passwords.get(task.system))
        prepared = recipes.prepare(text, plays.header(id, rights, task.name), root=rights.root or rights.windows)
    except recipes.RecipeError as error:
        return Item(id, group.step, group.tasks, error=f"{task.configure}: {error}")
    notes = {}
    if prepared.skipped:
        skipped = ", ".join(prepared.skipped)
        notes = dict.fromkeys(group.tasks, f"The machine is unprivileged: left out because they need root: {skipped}")
    if not prepared.plays:
        return Item(id, group.step, group.tasks, notes=notes)
    first = []
    if without_facts and recipes.wants_facts(text):
        for same_rights, some in groupby(sorted(without_facts, key=_become), key=Rights.on):
            first.append(plays.facts([machine.host for machine in some], same_rights))
    return Item(id, group.step, group.tasks, [*first, *prepared.plays, plays.end(id)], notes=notes)


def _become(machine: Machine) -> tuple[bool, bool]:
    rights = Rights.on(machine)
    return rights.root, rights.become


# --- lanes -----------------------------------------------------------------------------------------------------


def lanes(items: Sequence[Item], parallel: int) -> list[list[Item]]:
    """Items in lanes: those of one step that share machines in one lane, the others beside each other.

    A set of machines stays in the lane it was in, if that is free: its process is still there.
    """
    found: list[list[Item]] = []
    for _, of_step in groupby(sorted(items, key=lambda item: item.step), key=lambda item: item.step):
        load: dict[int, int] = {}
        for component in _components(list(of_step)):
            hosts = {host for item in component for host in item.tasks}
            lane = _lane(found, load, hosts, parallel)
            load[lane] = load.get(lane, 0) + len(component)
            found[lane].extend(component)
    return found


def _lane(lanes: list[list[Item]], load: Mapping[int, int], hosts: set[str], parallel: int) -> int:
    """The lane for some hosts, in a step in which `load` says how much is in the lanes already."""
    free = [number for number in range(len(lanes)) if number not in load]
    familiar = [number for number in free if hosts & lanes[number][-1].tasks.keys()]
    if familiar or free:
        return (familiar or free)[0]
    if len(lanes) < parallel:
        lanes.append([])
        return len(lanes) - 1
    return min(load, key=lambda number: load[number])


def _components(items: list[Item]) -> list[list[Item]]:
    """Items by whether they share machines, directly or through others; in order of first appearance."""
    components: list[tuple[set[str], list[Item]]] = []
    for item in items:
        hosts, members = set(item.tasks), [item]
        apart = []
        for other_hosts, other_members in components:
            if hosts & other_hosts:
                hosts |= other_hosts
                members = other_members + members
            else:
                apart.append((other_hosts, other_members))
        components = [*apart, (hosts, members)]
    order = {item.id: position for position, item in enumerate(items)}
    return sorted((members for _, members in components), key=lambda members: order[members[0].id])
