"""Configuration as an activity: when machines are up, have them configured, and write down what is done.

A *generation* of the configuration is a level wanted of each machine. One run serves all machines that are behind;
it is stored before it starts, so that after a crash the same run is attached to again, and every task that has ended
well on a machine is stored before the next report is taken: it never runs again in that generation.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from imframework.api.errors import IMError, InvalidDocument, Problem
from imframework.api.model import JSON, Access, Phase
from imframework.core.documents import parsed
from imframework.core.entities import VM, Alteration, Entry, Run, Step
from imframework.core.ports import Job, Progress, Report, Target, Task
from imframework.core.workbench import Workbench
from imframework.languages import radl

#: What is on record when configuration is switched off; clients show it.
DISABLED = "Contextualization disabled by the RADL/TOSCA template.\n\n"
SKIPPED = "Contextualization disabled\n"

#: Steps of the generated plays; the steps of the document come after them.
STEP_BASIC, STEP_MAIN, STEP_USER = 1, 2, 3

#: Machines settled at a time where nothing is to be run: requests are answered in between.
PORTION = 200

#: Log-ins tried at the same time while waiting for machines to accept them.
PARALLEL_LOGINS = 20


class Configuring:
    """Configures for one infrastructure."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._infra = bench.infra
        bench.on_vm.append(self.changed)
        self._behind: set[int] = set()

    def attend(self) -> None:
        """Look which machines are behind the configuration wanted of them."""
        self._behind = {vm.number for vm in self._infra.vms.values() if self._is_behind(vm)}

    def changed(self, vm: VM) -> None:
        """A machine's record changed."""
        (self._behind.add if self._is_behind(vm) else self._behind.discard)(vm.number)

    @staticmethod
    def _is_behind(vm: VM) -> bool:
        return vm.config_done < vm.config_wanted and vm.wanted and vm.alive and not vm.failure and vm.power_on

    def decide(self, now: float) -> Iterable[float]:
        """Start a run when everything it needs is there; end it when nobody wants it any more."""
        bench = self._bench
        if self._infra.runs:
            if (
                not self._infra.wanted
                or self._infra.leaving
                or any(run.superseded for run in self._infra.runs.values())
            ):
                bench.activities.single("cancel-run", self._cancel)
            else:
                bench.activities.single("configure", self._continue)
            return
        if not self._behind or bench.activities.running("configure") or not self._infra.wanted:
            return
        held = bench.graph.held()  # what waits for the configuration of others is not waited for
        if not bench.settling <= {self._infra.entries[key].machine for key in held}:
            return
        missing = []
        for key in bench.graph.waiting - held:
            entry = self._infra.entries[key]
            end = self._patience_ends(entry)
            if end is None:
                return
            if now < end:
                yield end
                return
            missing.append(entry)
        ready = [number for number in sorted(self._behind) if self._may_begin(number)]
        for number in sorted(self._behind):
            vm = self._infra.vms[number]
            if vm.phase != Phase.READY and vm.launched and self._overdue(number):
                self._unconfigured(vm, "Error Waiting the VM to boot")
        if ready:
            self._begin(ready, missing)

    def _may_begin(self, number: int) -> bool:
        """Whether a machine is there to be configured, and not about to be changed."""
        vm, machine = self._infra.vms[number], self._bench.graph.machine(number)
        changes = vm.alteration == Alteration.ASKED or (machine is not None and machine.outdated)
        return vm.phase == Phase.READY and not changes

    def _patience_ends(self, entry: Entry) -> float | None:
        """The instant from which a resource is not waited for any more; None if it is about to be asked for.

        While nobody looked after the infrastructure, nobody waited.
        """
        options = self._bench.options
        if entry.intended_at:
            since = max(entry.intended_at, self._infra.taken_up_at)
            return since + (options.wait_running if entry.machine is not None else options.wait_public_ip)
        needs = (self._infra.entries[key] for key, _ in entry.dependencies() if key in self._bench.graph.waiting)
        return min((end for need in needs if (end := self._patience_ends(need)) is not None), default=None)

    def _overdue(self, number: int) -> bool:
        entry = self._bench.graph.machine(number)
        return entry is not None and bool(entry.error)

    # --- one run -------------------------------------------------------------------------------------------

    def _begin(self, numbers: Sequence[int], missing: Sequence[Entry]) -> None:
        infra, bench = self._infra, self._bench
        document = parsed(infra.radl)
        plan = radl.contextualization_plan(document)
        if not plan.uses_ansible:
            for number in numbers[:PORTION]:
                self._configured(infra.vms[number])
            if len(numbers) > PORTION:
                bench.activities.wake()
                return
        for entry in missing:
            infra.log(f"Error waiting all the VMs to have all the requested IPs: {entry.kind} {entry.name}")
        if not plan.uses_ansible:
            infra.log(DISABLED)
            return
        vms = []
        for number in numbers:
            vm = infra.vms[number]
            if vm.system in plan.skipped:
                infra.log(SKIPPED, number)
                self._configured(vm)
            else:
                vms.append(number)
        for number in vms:
            bench.put_vm(replace(infra.vms[number], config_error=""))
        if vms:
            limit = plan.max_time or bench.options.max_configuration_time
            now = time.time()
            infra.put(Run(uuid.uuid4().hex, infra.config_generation, now, now + limit, tuple(vms)))
            bench.activities.single("configure", self._continue)

    async def _continue(self) -> None:
        """Carry the stored run to its end."""
        bench, infra = self._bench, self._infra
        (run,) = infra.runs.values()
        await bench.save()
        if run.ended:
            await self._end(run, "")
            return
        try:
            if run.seen == 0:
                await self._approve(run)
                run = await self._reach(run)
            job = self._job(run)
        except IMError as error:
            await self._end(run, str(error))
            return
        if not job.targets:
            await self._end(run, "")
            return
        failure = ""
        try:
            await bench.tools.configurator.run(job, run.seen, self._report)
        except IMError as error:
            failure = str(error)
        current = infra.runs.get(run.id)
        if current is not None and not current.superseded:
            await self._end(current, failure)

    async def _approve(self, run: Run) -> None:
        hooks = self._bench.tools.hooks
        if hooks.active("imframework_before_contextualize"):
            machines = [self._bench.machine(number) for number in run.vms]
            summary = self._bench.summary()
            await hooks.veto("imframework_before_contextualize", infrastructure=summary, machines=machines)

    async def _reach(self, run: Run) -> Run:
        """Wait for the log-in of each machine; those that do not accept it fail alone."""
        bench, slots = self._bench, asyncio.Semaphore(PARALLEL_LOGINS)

        async def reach(number: int) -> tuple[int, str]:
            access = self._access(self._infra.vms[number])
            if access is None:
                return number, "The cloud gives no address for it."
            async with slots:
                return number, await bench.tools.configurator.reachable(access, bench.options.wait_ssh)

        failed = list(run.failed)
        for number, error in await asyncio.gather(*(reach(n) for n in run.vms if n not in run.failed)):
            if error:
                text = f"Contextualization Error: Error Waiting the VM {number} to have the SSH active: {error}"
                self._note_failure(number, "wait_all_ssh", text)
                failed.append(number)
        run = replace(self._infra.runs[run.id], failed=tuple(failed))
        self._infra.put(run)
        await bench.save()
        return run

    def _note_failure(self, number: int, task: str, text: str) -> None:
        self._infra.log(text + "\n", number)
        vm = self._infra.vms[number]
        self._bench.put_vm(replace(vm, config_error=vm.config_error or f"{task}: {text}"))
        self._tell(number, task, "failed", message=text)

    def _tell(self, number: int | None, task: str, status: str, **more: JSON) -> None:
        vm = self._infra.vms.get(number) if number is not None else None
        self._infra.emit("step", vm=number, host=vm.host if vm else "", task=task, status=status, **more)

    def _access(self, vm: VM) -> Access | None:
        entry = self._bench.graph.machine(vm.number)
        access = entry.access() if entry is not None else None
        return None if access is None else self._bench.keyring.complete(self._infra, access)

    def _job(self, run: Run) -> Job:
        infra, bench = self._infra, self._bench
        document = parsed(infra.radl)
        targets: list[Target] = []
        recorded: defaultdict[int, set[str]] = defaultdict(set)
        for step in infra.steps.values():
            if step.generation == run.generation:
                recorded[step.vm].add(step.task)
        others: list[Target] = []
        configured = set(run.vms)
        for vm in infra.alive():
            access = self._access(vm)
            if vm.number in run.failed or access is None or not vm.wanted:
                continue
            target = Target(
                number=vm.number,
                system=vm.system,
                access=access,
                facts=vm.facts,
                cloud_type=vm.cloud_type,
                cloud_server=vm.cloud_server,
                cloud_id=str(vm.facts.get("instance_id", "")),
                done=frozenset(recorded[vm.number]),
            )
            if vm.number in configured:
                targets.append(target)
            elif vm.phase == Phase.READY and vm.system in document.systems:
                others.append(target)
        return Job(
            run_id=run.id,
            infrastructure=infra.id,
            document=document,
            targets=tuple(targets),
            others=tuple(others),
            tasks=tuple(tasks(document, targets)),
            deadline=run.deadline,
            retries=bench.options.playbook_retries,
            auth_value=bench.keyring.auth_value(infra),
            vault_passwords={
                system.id: password
                for system in document.systems.values()
                if (password := system.text("vault.password")) is not None
            },
        )

    async def _report(self, reports: list[Report]) -> None:
        """Write down what a run says, for good."""
        infra, bench = self._infra, self._bench
        run = next(iter(infra.runs.values()), None)
        if run is None or run.superseded:
            return  # cancelled meanwhile
        failed = set(run.failed)
        for report in reports:
            if report.sequence <= run.seen:
                continue
            run = replace(run, seen=report.sequence)
            match report.kind:
                case Progress.LOG:
                    infra.log(report.text, report.vm)
                case Progress.TASK_STARTED:
                    self._tell(report.vm, report.task, "started")
                case Progress.TASK_DONE if report.vm is not None:
                    infra.put(Step(report.vm, report.task, run.generation))
                    self._tell(report.vm, report.task, "done")
                case Progress.TASK_FAILED if report.vm is not None:
                    failed.add(report.vm)
                    vm = infra.vms[report.vm]
                    bench.put_vm(replace(vm, config_error=f"{report.task}: {report.message}"))
                    self._tell(report.vm, report.task, "failed", message=report.message)
                case Progress.FINISHED:
                    run = replace(run, ended=True)
                    if report.message:
                        infra.log(report.message)
                        failed.update(self._unfinished(run))
                case _:
                    pass
        infra.put(replace(run, failed=tuple(sorted(failed))))
        await bench.save()

    def _unfinished(self, run: Run) -> set[int]:
        """Machines of a run that lack some of their tasks."""
        wanted = {(number, task.name) for task in self._job(run).tasks for number in task.vms}
        done = {(step.vm, step.task) for step in self._infra.steps.values() if step.generation == run.generation}
        return {number for number, _ in wanted - done}

    async def _end(self, run: Run, failure: str) -> None:
        """Settle the machines of a run that is over, and forget its folder."""
        infra, bench = self._infra, self._bench
        if failure:
            infra.log(f"ERROR: {failure}")
        failed = set(run.vms) if failure else set(run.failed)
        for number in run.vms:
            vm = infra.vms[number]
            if not vm.alive:
                continue
            if number in failed:
                self._unconfigured(
                    vm, vm.config_error or failure or "the configuration was not completed", run.generation
                )
            else:
                self._configured(vm, run.generation)
        infra.drop(run)
        for step in [step for step in infra.steps.values() if step.generation < run.generation]:
            infra.drop(step)
        await bench.save()
        await bench.tools.configurator.discard(run.id)
        hooks = bench.tools.hooks
        if hooks.active("imframework_after_contextualize"):
            machines = [bench.machine(number) for number in run.vms]
            error = failure or "; ".join(infra.vms[number].config_error for number in sorted(failed))
            hooks.observe(
                "imframework_after_contextualize", infrastructure=bench.summary(), machines=machines, error=error
            )

    def _configured(self, vm: VM, generation: int | None = None) -> None:
        done = vm.config_wanted if generation is None else generation
        self._bench.put_vm(replace(vm, configured=True, config_done=done, config_error=""))
        self._bench.graph.machine_changed(vm.number)

    def _unconfigured(self, vm: VM, error: str, generation: int | None = None) -> None:
        done = vm.config_wanted if generation is None else generation
        self._bench.put_vm(replace(vm, configured=False, config_done=done, config_error=error))
        self._bench.graph.machine_changed(vm.number)

    async def _cancel(self) -> None:
        """End the run at once: its infrastructure is to be deleted, or its machines to be configured anew."""
        bench, infra = self._bench, self._infra
        await bench.save()  # what has been asked for may turn out not to be stored
        for run in list(infra.runs.values()):
            await bench.tools.configurator.cancel(run.id)
            if run.id not in infra.runs:
                continue  # it has noticed, and tidies up by itself
            bench.activities.cancel("configure")
            await bench.tools.configurator.discard(run.id)
            if run.id in infra.runs:
                infra.drop(infra.runs[run.id])
        await bench.save()


def tasks(document: radl.Document, targets: Sequence[Target]) -> list[Task]:
    """Everything to run on these machines, in order: the generated plays, then the document's steps."""
    systems: dict[str, list[int]] = {}
    for target in targets:
        systems.setdefault(target.system, []).append(target.number)
    found: list[Task] = []
    for system, numbers in systems.items():
        found.append(Task("basic", STEP_BASIC, system, tuple(numbers)))
    for system, numbers in systems.items():
        found.append(Task(f"main_{system}", STEP_MAIN, system, tuple(numbers)))
    for step in radl.contextualization_plan(document).steps:
        for run in step.runs:
            if run.system in systems:
                configure = document.configures[run.configure]
                if configure.recipe is None:
                    raise InvalidDocument(Problem(f"configure {run.configure} has no recipe"))
                found.append(
                    Task(
                        f"{run.configure}_{run.system}",
                        STEP_USER + step.number,
                        run.system,
                        tuple(systems[run.system]),
                        configure.id,
                        configure.body,
                    )
                )
    return found
