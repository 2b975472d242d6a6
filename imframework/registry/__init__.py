"""Plugins: which are installed, which are used, how they are, and calling those that hook in.

`discovery` finds what is installed, `choice` is what the operator wants of it, `loading` imports a chosen class and
checks it; `registry` joins the three and is what the rest of the program asks. `hooks` calls hook plugins, in the
threads of `lanes`. What a plugin does once it is loaded and made is the business of those who use it.
"""

from imframework.registry.choice import Choice
from imframework.registry.health import Health
from imframework.registry.hooks import HookHost, start_hooks
from imframework.registry.registry import Registry

__all__ = ["Choice", "Health", "HookHost", "Registry", "start_hooks"]
