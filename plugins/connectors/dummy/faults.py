"""What goes wrong between the connector and the simulated cloud, and when.

Every verb of the connector goes through `FaultPlan.run`. The rules are `behaviour.Fault`; how often each has been
asked and has happened is counted in the inventory itself, so a fault that is to happen once happens once even if what
it does is kill the process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imframework.api.errors import (
    CloudBusy,
    CloudRefused,
    CloudUnavailable,
    CredentialsRejected,
    OutcomeUnknown,
    QuotaExceeded,
    UsedByOthers,
)
from imframework_plugins.connectors.dummy.behaviour import ANY, Behaviour, Effect, Fault, Moment
from imframework_plugins.connectors.dummy.cloud import DummyCloud

T = TypeVar("T")

#: How long a cloud that never answers does not answer, in seconds.
FOREVER = 3600.0

_ERRORS: dict[Effect, tuple[type[Exception], str]] = {
    Effect.FAIL: (CloudUnavailable, "The simulated cloud cannot be reached."),
    Effect.BUSY: (CloudBusy, "The simulated cloud is busy with it."),
    Effect.USED_BY_OTHERS: (UsedByOthers, "Somebody else uses it."),
    Effect.REFUSE: (CloudRefused, "The simulated cloud refuses."),
    Effect.QUOTA: (QuotaExceeded, "The account of the simulated cloud has not enough left."),
    Effect.REJECT: (CredentialsRejected, "The simulated cloud does not accept the credentials."),
    Effect.CRASH: (RuntimeError, "a fault of the dummy connector, as its behaviour demands"),
    Effect.LOSE_REQUEST: (OutcomeUnknown, "The connection to the simulated cloud broke."),
    Effect.HANG: (OutcomeUnknown, "The simulated cloud did not answer."),
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under which a call reaches the cloud: how many seconds later, and whether what it makes will be broken."""

    in_flight: float = 0.0
    broken: bool = False


def kill_this_process() -> None:
    """End at once, as by power failure of the program: no handler runs, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultPlan:
    """Carries out the faults of a behaviour."""

    def __init__(
        self,
        cloud: DummyCloud,
        pause: Callable[[float], object] = time.sleep,
        kill: Callable[[], object] = kill_this_process,
    ) -> None:
        self._cloud = cloud
        self._pause = pause
        self._kill = kill

    def run(
        self,
        behaviour: Behaviour,
        account: str,
        verbs: tuple[str, ...],
        targets: tuple[tuple[str, str], ...],
        effect: Callable[[Circumstances], T],
    ) -> T:
        """Call the cloud by `effect`, with what goes wrong on the way.

        `verbs` are the names of the verb, the most precise one last; `targets` are kind and key of the resources.
        """
        names = (*reversed(verbs), ANY)
        if latency := next((behaviour.latency[name] for name in names if name in behaviour.latency), 0.0):
            self._pause(latency)
        faults = [
            fault
            for fault in behaviour.faults
            if fault.concerns(verbs, targets, account) and self._cloud.strike(fault.id, fault.strikes)
        ]
        for fault in faults:
            self._before(fault)
        circumstances = Circumstances(
            in_flight=max((fault.in_flight for fault in faults), default=0.0),
            broken=any(fault.effect is Effect.BREAK for fault in faults),
        )
        try:
            return effect(circumstances)
        finally:  # the answer may be an error, and gets lost like any other
            for fault in faults:
                self._after(fault)

    def _before(self, fault: Fault) -> None:
        """What happens to the request."""
        if fault.effect is Effect.KILL and fault.at is Moment.BEFORE:
            self._kill()
        if fault.effect is Effect.DELAY:
            self._pause(fault.seconds or 0.0)
        if fault.effect is Effect.HANG:
            self._pause(FOREVER if fault.seconds is None else fault.seconds)
        if fault.effect in _ERRORS:
            error, text = _ERRORS[fault.effect]
            raise error(fault.message or text)

    def _after(self, fault: Fault) -> None:
        """What happens to the answer."""
        if fault.effect is Effect.LATE_ANSWER:
            self._pause(fault.seconds or 0.0)
        if fault.effect is Effect.KILL and fault.at is Moment.DURING:
            self._kill()
        if fault.effect is Effect.KILL and fault.at is Moment.AFTER:
            self._kill_later(fault.seconds or 0.0)
        if fault.effect is Effect.LOSE_ANSWER:
            raise OutcomeUnknown(fault.message or "The answer of the simulated cloud was lost.")

    def _kill_later(self, seconds: float) -> None:
        if not seconds:
            self._kill()
            return
        timer = threading.Timer(seconds, self._kill)
        timer.daemon = True
        timer.start()
