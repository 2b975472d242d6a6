"""Jobs without machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from imframework.api.model import Access
from imframework.core.ports import Job, Target, Task
from imframework.languages import radl

DOCUMENT = """
network public (outbound = 'yes')
network private ()
system front (
  net_interface.0.connection = 'private' and net_interface.0.dns_name = 'front.example.org' and
  net_interface.1.connection = 'public' and net_interface.1.dns_name = 'gate'
)
system work-er (net_interface.0.connection = 'private' and cpu.count >= 2)
configure front (
@begin
- tasks: [{debug: {msg: front}}]
@end
)
configure work-er (
@begin
- tasks: [{debug: {msg: worker}}]
@end
)
configure join (
@begin
- tasks: [{debug: {msg: join}}]
@end
)
contextualize (
system front configure front step 1
system work-er configure work-er step 1
system work-er configure join step 2
)
deploy front 1
deploy work-er 2
"""

FACTS: dict[int, dict[str, str]] = {
    0: {"net_interface.0.ip": "10.0.0.1", "net_interface.1.ip": "192.0.2.1"},
    1: {"net_interface.0.ip": "10.0.0.2"},
    2: {"net_interface.0.ip": "10.0.0.3"},
}


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """Makes the job of a document, for machine 0 of system front and 1 and 2 of system work-er."""

    def make(
        document: str = DOCUMENT,
        *,
        access: Mapping[int, Access] | None = None,
        done: Mapping[int, frozenset[str]] | None = None,
        facts: Mapping[int, Mapping[str, object]] | None = None,
        **changes: object,
    ) -> Job:
        parsed = radl.parse(document)
        numbers = {"front": (0,), "work-er": (1, 2)}
        targets = tuple(
            Target(
                number=number,
                system=system,
                access=(access or {}).get(number)
                or Access(f"198.51.100.{number}", user="cloudadm", host_key="ssh-ed25519 AAAA", private_key="KEY"),
                facts={**FACTS[number], **(facts or {}).get(number, {})},
                cloud_type="OpenStack",
                cloud_server="cloud.example.org",
                cloud_id=f"id-{number}",
                done=(done or {}).get(number, frozenset()),
            )
            for system, some in numbers.items()
            for number in some
        )
        tasks = [Task("basic", 1, system, some) for system, some in numbers.items()]
        tasks += [Task(f"main_{system}", 2, system, some) for system, some in numbers.items()]
        for step in radl.contextualization_plan(parsed).steps:
            for run in step.runs:
                name, body = f"{run.configure}_{run.system}", parsed.configures[run.configure].body
                tasks.append(Task(name, 3 + step.number, run.system, numbers[run.system], run.configure, body))
        return replace(Job("run", "infra-id", parsed, targets, tuple(tasks), 1e10), **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def document() -> str:
    return DOCUMENT
