"""Connectors that misbehave, made of any connector that behaves: slow, never answering, failing, flaky.

Each function returns a subclass, to be registered or constructed like the class it is made of::

    Flaky = flaky(MyConnector, every=3, verbs=("create",))

They show what a host, a hook or a test does when the cloud is not well. Finer faults (the n-th call, a kill in the
middle, things that take a while to show) are a matter of the `dummy` connector's behaviour.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from imframework.api.connector import Connector
from imframework.api.errors import CloudError, CloudUnavailable, OutcomeUnknown

C = TypeVar("C", bound=Connector)


def slow(connector: type[C], pause: Callable[[], object], verbs: Collection[str] = ()) -> type[C]:
    """Each call first waits for `pause` to return: ``lambda: time.sleep(2)``, or better an event of the test."""

    def call(verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        pause()
        return verb(*arguments, **named)

    return _wrapped(connector, "Slow", call, verbs)


def never_ending(connector: type[C], released: threading.Event, verbs: Collection[str] = ()) -> type[C]:
    """No call returns before `released` is set; then it fails, without having had any effect."""

    def call(verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        released.wait()
        raise OutcomeUnknown("The cloud did not answer.")

    return _wrapped(connector, "NeverEnding", call, verbs)


def failing(connector: type[C], error: type[CloudError] = CloudUnavailable, verbs: Collection[str] = ()) -> type[C]:
    """Each call fails, without having had any effect; as if the cloud could not be reached, if no error is given."""

    def call(verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        raise error("The cloud fails, as the test wants it.")

    return _wrapped(connector, "Failing", call, verbs)


def flaky(connector: type[C], every: int = 2, verbs: Collection[str] = ()) -> type[C]:
    """Of all calls of all instances, the answer of each `every`-th one is lost; it has had its effect."""
    calls = itertools.count(1)

    def call(verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        answer = verb(*arguments, **named)
        if next(calls) % every == 0:
            raise OutcomeUnknown("The answer of the cloud was lost.")
        return answer

    return _wrapped(connector, "Flaky", call, verbs)


def _wrapped(connector: type[C], name: str, call: Callable[..., Any], verbs: Collection[str]) -> type[C]:
    """A subclass whose verbs (all synchronous methods, if none are named) go through `call`."""
    unknown = set(verbs).difference(connector.synchronous)
    if unknown:
        raise ValueError(f"{connector.__name__} has no verbs {', '.join(sorted(unknown))}")

    def method(verb: str) -> Callable[..., Any]:
        original = getattr(connector, verb)

        def wrapper(self: C, *arguments: Any, **named: Any) -> Any:
            return call(original, self, *arguments, **named)

        wrapper.__name__ = verb
        wrapper.__doc__ = original.__doc__
        return wrapper

    return type(
        name + connector.__name__, (connector,), {verb: method(verb) for verb in verbs or connector.synchronous}
    )
