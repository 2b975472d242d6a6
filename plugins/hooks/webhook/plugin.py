"""Which events are sent, and what a notice says."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from imframework.api.errors import ConfigurationError
from imframework.api.hooks import HookPlugin, InfrastructureSummary, hookimpl
from imframework.api.model import Event
from imframework_plugins.hooks.webhook import declaration
from imframework_plugins.hooks.webhook.delivery import Notice, Receiver

logger = logging.getLogger("imframework.hooks.webhook")

#: Seconds that `close` gives the receivers to take what is queued.
PATIENCE = 0.7


class Webhook(HookPlugin):
    """Sends events. It never fails and never waits: what cannot be delivered is logged and given up."""

    info = declaration.info

    def __init__(self, options: Mapping[str, object]) -> None:
        """Raises `ConfigurationError` if WEBHOOK_URLS is empty or names something that is no http or https URL."""
        super().__init__(options)
        urls = cast(Sequence[str], options.get("WEBHOOK_URLS") or ())
        if not urls:
            raise ConfigurationError("WEBHOOK_URLS names no receiver.")
        timeout = float(cast(int, options.get("WEBHOOK_TIMEOUT") or 10))
        key = str(options.get("WEBHOOK_SECRET") or "").encode()
        self._types = frozenset(cast(Sequence[str], options.get("WEBHOOK_EVENTS") or ()))
        self._receivers = [Receiver(url, key, timeout) for url in dict.fromkeys(urls)]

    @hookimpl
    def imframework_event(self, infrastructure: InfrastructureSummary, event: Event) -> None:
        """Queue the event for every receiver."""
        if event.type not in self._types if self._types else event.type == "log":
            return
        try:
            notice = write_notice(infrastructure, event)
        except (TypeError, ValueError, RecursionError) as error:
            logger.error("Event %s/%d cannot be sent: %s", event.infrastructure, event.sequence, type(error).__name__)
            return
        for receiver in self._receivers:
            receiver.send(notice)

    def close(self) -> None:
        """Give what is queued one more try, for less than a second."""
        end = time.monotonic() + PATIENCE
        for receiver in self._receivers:
            receiver.close()
        for receiver in self._receivers:
            receiver.join(max(0.0, end - time.monotonic()))


def write_notice(infrastructure: InfrastructureSummary, event: Event) -> Notice:
    """The body that receivers get, and its name: the same each time the same event is sent."""
    content = {
        "infrastructure": {
            "id": infrastructure.id,
            "name": infrastructure.name,
            "state": infrastructure.state,
            "owners": list(infrastructure.owners),
        },
        "event": {
            "sequence": event.sequence,
            "time": event.time,
            "type": event.type,
            "data": event.data,
        },
    }
    body = json.dumps(content, default=_plain, allow_nan=False).encode()
    return Notice(f"{event.infrastructure}/{event.sequence}", event.type, body)


def _plain(value: object) -> Any:
    """What JSON makes of a value that it does not know."""
    return dict(value) if isinstance(value, Mapping) else str(value)
