"""What the commands ask of a service, wherever it runs.

`rest_client` answers by the REST API, `embedded` by a service in this very process. The commands see this Protocol
only, so each of them works both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imframework.api.errors import IMError
from imframework.api.model import JSON, Event
from imframework.api.service import Document, Outputs, StateReport

#: Most events that one call of `Client.events` returns.
EVENTS_PAGE = 1000


class Unreachable(IMError):
    """The service cannot be reached, or went silent; whether it did what was asked is not known."""

    code = "unreachable"
    retryable = True


class Client(Protocol):
    """Operations as the person whose credentials it was made with.

    All raise errors of `imframework.api.errors` with the text of the service, and `Unreachable`; none waits for an
    infrastructure: that is done by asking again.
    """

    def plan(self, document: Document, infrastructure: str | None = None) -> JSON:
        """What creating a document would do, or sending it to an infrastructure: see `Service.plan`."""

    def apply(self, plan: str) -> str:
        """Have a plan carried out; the id of the infrastructure as soon as that is stored."""

    def outputs(self, infrastructure: str) -> Outputs:
        """The outputs of its TOSCA document."""

    def create(self, document: Document) -> str:
        """Have an infrastructure made, and return its id as soon as it is stored."""

    def list(self) -> Sequence[str]:
        """Ids of the person's infrastructures."""

    def state(self, infrastructure: str) -> StateReport:
        """State of an infrastructure and of its machines."""

    def machines(self, infrastructure: str) -> Sequence[int]:
        """Numbers of its machines."""

    def info(self, infrastructure: str, vm: int) -> Sequence[Mapping[str, JSON]]:
        """A machine as it is now, as RADL JSON: its networks and its system, secrets included."""

    def contmsg(self, infrastructure: str, vm: int | None = None) -> str:
        """The configuration log: whole, or that of one machine."""

    def events(self, infrastructure: str, after: int = 0) -> Sequence[Event]:
        """What happened after an event number, oldest first, `EVENTS_PAGE` events at most."""

    def destroy(self, infrastructure: str, *, force: bool = False) -> None:
        """Have everything deleted. Returns when that is stored; it is done when the infrastructure is not found."""
