"""The options of im.cfg that the engine works by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imframework.core.planning import Defaults


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits, pauses and defaults. Times in seconds. `public_url` is where clients find the REST API, if known."""

    max_launches: int = 1
    max_vm_fails: int = 3
    retry_delay: float = 5.0
    update_frequency: float = 10.0
    grace_period: float = 120.0
    wait_running: float = 1800.0
    wait_ssh: float = 300.0
    wait_public_ip: float = 90.0
    delete_grace: float = 20.0
    max_configuration_time: float = 7200.0
    playbook_retries: int = 1
    defaults: Defaults = field(default_factory=Defaults)
    tag_names: Mapping[str, str] = field(default_factory=dict)
    public_url: str = ""
    reverse_tunnels: bool = True

    def tags(self, infrastructure: str, owners: Sequence[str]) -> dict[str, str]:
        """The tags that every machine gets, by the names the operator chose for them (VM_TAG_*)."""
        values = {
            "VM_TAG_USERNAME": owners[0] if owners else "",
            "VM_TAG_INF_ID": infrastructure,
            "VM_TAG_IM_URL": self.public_url,
            "VM_TAG_IM": "es.upv.grycap.im",
        }
        return {
            self.tag_names[option]: value for option, value in values.items() if self.tag_names.get(option) and value
        }
