"""Carrying out a connector's plan without the engine: in order, waiting for each thing, and cleaning up for certain.

The contract of connectors uses it, and so can an author's own tests::

    rehearsal = Rehearsal(connector)
    try:
        handles = rehearsal.launch(connector.plan(deployment))
        ...
    finally:
        rehearsal.clean()
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from imframework.api.connector import Connector
from imframework.api.errors import CloudError
from imframework.api.model import JSON, Handle, Observation, Phase, Recognition, Ref, Resource

#: Seconds between two looks at a cloud.
INTERVAL = 0.02


class Rehearsal:
    """Everything that was made in one test. `connector` may be exchanged for another one of the same account.

    `handles` are the things that others refer to, by the key of their resource.
    """

    def __init__(self, connector: Connector, patience: float = 30.0) -> None:
        """`patience` is how long, in seconds, one thing may take to come or go."""
        self.connector = connector
        self.patience = patience
        self.handles: dict[str, Handle] = {}
        self._attempts: list[tuple[Resource, str]] = []
        self._made: list[Handle] = []

    def launch(self, plan: Iterable[Resource]) -> list[Handle]:
        """Make all that is not there yet, each thing when those it depends on are ready; the handles, in that order."""
        return [self.handles.get(resource.key) or self.make(resource) for resource in in_order(plan)]

    def make(self, resource: Resource, token: str = "") -> Handle:
        """Make one resource of a plan, with a token of its own if none is given, and wait until it is ready."""
        resource = self.filled(resource)
        if resource.adopted:
            handle = Handle(resource, "", resource.provider_id)
            self.handles[resource.key] = handle
            return self.settle(handle, {Phase.READY, Phase.STOPPED})
        token = token or uuid.uuid4().hex
        handle = self.keep(resource, token, self.create(resource, token))
        return self.settle(handle, {Phase.READY})

    def create(self, resource: Resource, token: str) -> Observation:
        """Call `create`, and remember for the cleaning that it was called, whatever it answers."""
        self._attempts.append((resource, token))
        observed = self.connector.create(resource, token)
        assert observed.provider_id, f"create answered no provider id for {resource.key}"
        self._made.append(Handle(resource, token, observed.provider_id, observed.attributes))
        return observed

    def keep(self, resource: Resource, token: str, observed: Observation) -> Handle:
        """Take an observation for the resource of this key: others refer to it from now on."""
        handle = Handle(resource, token, observed.provider_id, _merged({}, observed.attributes))
        self.handles[resource.key] = handle
        return handle

    def settle(self, handle: Handle, phases: Collection[Phase]) -> Handle:
        """Read a resource, and take further steps where it needs some, until it is in one of these phases.

        The answer is the handle with the attributes it has then.
        """
        seen = Observation(Phase.UNKNOWN)

        def there() -> bool:
            nonlocal seen
            (seen,) = self.connector.read([handle])
            if seen.phase is Phase.UPDATING and Phase.UPDATING not in phases:
                if Phase.ABSENT in phases:
                    self.connector.delete(handle)
                else:
                    seen = self.connector.update(handle, handle.resource)
            assert seen.phase is not Phase.FAILED or not {Phase.READY, Phase.STOPPED}.intersection(phases), (
                f"{handle.resource.key} has failed: {seen.message}"
            )
            return seen.phase in phases

        wanted = " or ".join(phases)
        until(there, self.patience, lambda: f"{handle.resource.key} is {seen.phase}, not {wanted}")
        handle = replace(handle, attributes=_merged(handle.attributes, seen.attributes))
        if self._refers(handle):
            self.handles[handle.resource.key] = handle
        return handle

    def remove(self, handle: Handle) -> None:
        """Delete one thing and wait until it is gone. Errors that say "try again" are believed for a while."""
        if handle.resource.adopted:
            return
        refusal: CloudError | None = None

        def accepted() -> bool:
            nonlocal refusal
            try:
                self.connector.delete(handle)
            except CloudError as error:
                if not error.retryable:
                    raise
                refusal = error
                return False
            return True

        until(accepted, self.patience, lambda: f"{handle.resource.key} is not deleted ({refusal})")
        self.settle(handle, {Phase.ABSENT})
        if self._refers(handle):
            del self.handles[handle.resource.key]

    def clean(self) -> None:
        """Delete all that was made, the youngest first, also what only a search finds."""
        going = {handle.provider_id: handle for handle in self._made}
        for resource, token in self._attempts:
            if self.connector.kinds[resource.kind].recognised_by is Recognition.NONE:
                continue
            for observed in self.connector.find(resource, token):
                if observed.phase is not Phase.ABSENT:
                    handle = Handle(resource, token, observed.provider_id, observed.attributes)
                    going.setdefault(observed.provider_id, handle)
        for handle in reversed(going.values()):
            self.remove(handle)

    def filled(self, resource: Resource) -> Resource:
        """The resource with its references filled in from what has been made."""
        return replace(resource, spec={name: self._fill(value) for name, value in resource.spec.items()})

    def _fill(self, value: Any) -> Any:
        if isinstance(value, Ref):
            target = self.handles.get(value.resource)
            assert target is not None, f"a reference to {value.resource}, which has not been made"
            if value.attribute == "id":
                return target.provider_id
            assert value.attribute in target.attributes, f"{value.resource} has no attribute '{value.attribute}'"
            return target.attributes[value.attribute]
        if isinstance(value, Mapping):
            return {name: self._fill(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._fill(item) for item in value]
        return value

    def _refers(self, handle: Handle) -> bool:
        known = self.handles.get(handle.resource.key)
        return known is not None and known.provider_id == handle.provider_id


def _merged(known: Mapping[str, JSON], news: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in {**known, **news}.items() if value is not None}


def in_order(plan: Iterable[Resource]) -> Sequence[Resource]:
    """The resources of a plan, each after those it depends on, otherwise as planned."""
    by_key = {resource.key: resource for resource in plan}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for resource in by_key.values():
        for dependency in resource.depends_on:
            assert dependency.resource in by_key, f"{resource.key} depends on {dependency.resource}: not in the plan"
        sorter.add(resource.key, *(dependency.resource for dependency in resource.depends_on))
    try:
        return [by_key[key] for key in sorter.static_order()]
    except CycleError as error:
        raise AssertionError(f"dependencies run in a circle: {' → '.join(error.args[1])}") from None


def until(condition: Callable[[], bool], patience: float, otherwise: Callable[[], str]) -> None:
    """Look again and again, as one has to with clouds, until the condition holds; fail with a text if it never does."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{otherwise()} after {patience:g} s"
        time.sleep(INTERVAL)
