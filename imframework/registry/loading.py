"""Importing the class of a chosen plugin, and finding out whether the host can work with it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Final

from imframework.api.auth import AuthProvider
from imframework.api.connector import Connector
from imframework.api.frontend import FrontEnd
from imframework.api.hooks import HookPlugin
from imframework.api.plugin import Declaration, Plugin, PluginInfo, PluginKind
from imframework.api.storage import Storage
from imframework.registry.discovery import load
from imframework.registry.health import Fault, Health, describe
from imframework.registry.hooks import hook_faults

logger = logging.getLogger("imframework.registry")

#: What the class of a plugin of each kind derives from.
BASES: Final[Mapping[PluginKind, type[Plugin]]] = {
    PluginKind.CONNECTOR: Connector,
    PluginKind.STORAGE: Storage,
    PluginKind.AUTH: AuthProvider,
    PluginKind.FRONTEND: FrontEnd,
    PluginKind.HOOK: HookPlugin,
}


def load_class(declaration: Declaration) -> type[Plugin] | Fault:
    """The class that a declaration refers to, or why it cannot be used."""
    info = declaration.info
    for module, bring in info.requires.items():
        if not _is_installed(module):
            return _missing(module, bring)
    try:
        loaded = load(EntryPoint(info.name, declaration.target, info.kind.group))
        return _checked(loaded, info)
    except (Exception, SystemExit) as error:
        logger.debug("%s %s", info.kind, info.name, exc_info=True)
        if isinstance(error, ModuleNotFoundError):
            for module, bring in info.requires.items():  # it was there a moment ago, or it lacks something itself
                if (error.name or "").partition(".")[0] == module.partition(".")[0]:
                    return _missing(module, bring)
        return Fault(Health.BROKEN, f"it cannot be imported: {describe(error)}")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):  # so says a parent package
        return False


def _missing(module: str, bring: str) -> Fault:
    return Fault(Health.MISSING_DEPENDENCY, f"it needs the module {module}: install {bring}")


def _checked(loaded: object, info: PluginInfo) -> type[Plugin] | Fault:
    """The class, if its shape is what the host expects of the kind."""
    base = BASES[info.kind]
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        return Fault(Health.BROKEN, f"its target is no class derived from {base.__module__}.{base.__qualname__}")
    if getattr(loaded, "info", None) != info:
        return Fault(Health.BROKEN, f"the `info` of {loaded.__qualname__} is not the one it is declared with")
    faults = loaded.faults()
    if issubclass(loaded, HookPlugin):
        faults += hook_faults(loaded)
    return Fault(Health.BROKEN, "; ".join(faults)) if faults else loaded
