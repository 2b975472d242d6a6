"""What every plugin says about itself, whatever its kind, and how the host refuses it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from imframework.api.config import Option


class PluginKind(StrEnum):
    """The five kinds. Each has an entry-point group of its own."""

    CONNECTOR = "connectors"
    STORAGE = "storage"
    AUTH = "auth"
    FRONTEND = "frontends"
    HOOK = "hooks"

    @property
    def group(self) -> str:
        """The entry-point group in which plugins of this kind are announced."""
        return f"imframework.{self.value}"


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """A key that a connector understands in its credential items."""

    name: str
    help: str
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin's description of itself. It lives in a module that imports no SDK.

    `title` is the name used in documents and credentials (``OpenStack``), compared without case. `requires` names
    the importable modules that must be there and the extra that brings them, e.g.
    ``{"boto3": "imframework[ec2]"}``: a missing one is reported, not raised. An `opt_in` plugin is used only if
    im.cfg names it. `api_version` is the version of this API that the plugin was written for: a number, never the
    host's own constant, or nothing could ever be refused.
    """

    name: str
    kind: PluginKind
    version: str
    api_version: tuple[int, int]
    title: str = ""
    options: tuple[Option, ...] = ()
    credential_keys: tuple[CredentialKey, ...] = ()
    image_schemes: tuple[str, ...] = ()
    url_schemes: tuple[str, ...] = ()
    requires: dict[str, str] = field(default_factory=dict)
    opt_in: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an entry point refers to: the description, and where the class is (``package.module:Class``).

    It stands in a module that imports no SDK, so that the host can read the options of every installed plugin and
    import only the chosen ones.
    """

    info: PluginInfo
    target: str


class Plugin:
    """Base of all plugin classes: carries the `info` and checks its own shape when it is registered."""

    info: ClassVar[PluginInfo]

    #: Methods that the host calls from a worker thread, where a coroutine function would never run.
    synchronous: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def faults(cls) -> list[str]:
        """Why this class cannot be used: coroutine functions where the host calls synchronously, missing methods."""
        faults = [
            f"{cls.__qualname__}.{name} is 'async def', but {cls.info.kind.name.lower()} plugins are synchronous"
            for name in cls.synchronous
            if inspect.iscoroutinefunction(inspect.unwrap(getattr(cls, name)))
            or inspect.isasyncgenfunction(inspect.unwrap(getattr(cls, name)))
        ]
        abstract = sorted(getattr(cls, "__abstractmethods__", ()))
        if abstract:
            faults.append(f"{cls.__qualname__} does not implement {', '.join(abstract)}")
        return faults
