"""What turns running machines into configured ones.

A reader starts with `server_placement` (the `Configurator` the core is given) and follows a job through `schedule`
(which playbooks, in which lanes), `plays` and `recipes` (what is in them), `inventory`, and `bundle` (all of it as
files in a run folder). `sandbox` confines what runs them, the agent of `imframework.agent`; `reports` reads what it
says.
"""

from imframework.contextualization.sandbox import Sandbox, choose_sandbox
from imframework.contextualization.server_placement import ServerConfigurator

__all__ = ["Sandbox", "ServerConfigurator", "choose_sandbox"]
