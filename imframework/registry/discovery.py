"""Finding the installed plugins and reading what they declare. The classes that do the work are not imported.

Entry points are read afresh from the metadata of the installed distributions and loaded one at a time through
stevedore. Its own listing is not used: it comes from caches (in memory and on disk) that can be older than what is
installed, knows no distributions, and fails as a whole when one distribution's metadata is damaged. Nothing that a
distribution contains makes `discover` fail.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions

from stevedore import NamedExtensionManager

from imframework.api.config import Option
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import API_VERSION, accepts
from imframework.registry.health import Fault, Health, describe

logger = logging.getLogger("imframework.registry")

#: What the names of our entry-point groups begin with.
_GROUPS = "imframework."
_TARGET = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A name that a distribution claims for a plugin."""

    kind: PluginKind
    name: str
    distribution: str
    version: str
    entry_point: EntryPoint


@dataclass(frozen=True, slots=True)
class Found:
    """One installed plugin. It has a declaration, or a fault, or (made for another API) both.

    `distribution` and `version` list all claimants when there are several.
    """

    kind: PluginKind
    name: str
    distribution: str
    version: str
    declaration: Declaration | None = None
    fault: Fault | None = None


def discover() -> list[Found]:
    """All installed plugins, by kind and name."""
    claims: defaultdict[tuple[PluginKind, str], list[Announcement]] = defaultdict(list)
    plugins: list[Found] = []
    for name in sorted({name for found in distributions() if (name := _announcer(found))}):
        try:
            for announcement in _announcements(distribution(name)):  # of several copies, the one an import would use
                claims[announcement.kind, announcement.name].append(announcement)
        except (PackageNotFoundError, ValueError, TypeError, OSError) as error:
            logger.debug("%s", name, exc_info=True)
            fault = Fault(Health.BROKEN, f"its entry points cannot be read: {describe(error)}")
            plugins += [Found(kind, name, name, "", fault=fault) for kind in _announced_kinds(name)]
    plugins += [_found(announcements) for announcements in claims.values()]
    order = list(PluginKind)
    return sorted(plugins, key=lambda found: (order.index(found.kind), found.name))


def _announcer(found: Distribution) -> str:
    """The name of a distribution that announces plugins; empty for all others, and for those without a name."""
    try:
        return found.name if f"[{_GROUPS}" in (found.read_text("entry_points.txt") or "") else ""
    except (KeyError, TypeError, ValueError, OSError):
        return ""


def _announcements(installed: Distribution) -> list[Announcement]:
    kinds = {kind.group: kind for kind in PluginKind}
    points = [point for point in installed.entry_points if point.group in kinds]
    return [
        Announcement(kinds[point.group], point.name, installed.name, installed.version or "", point)
        for point in dict.fromkeys(points)
    ]


def _announced_kinds(name: str) -> list[PluginKind]:
    """The kinds of plugins that a distribution with damaged entry points seems to have."""
    text = distribution(name).read_text("entry_points.txt") or ""
    return [kind for kind in PluginKind if f"[{kind.group}]" in text]


def load(entry_point: EntryPoint) -> object:
    """What an entry point refers to; raises whatever importing it raises."""
    return _OneEntryPoint(entry_point)[entry_point.name].plugin


class _OneEntryPoint(NamedExtensionManager[object]):
    """Loads one entry point that is given to it, and hides no error."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self._entry_point = entry_point
        super().__init__(
            entry_point.group,
            [entry_point.name],
            on_load_failure_callback=_raise,
            on_missing_entrypoints_callback=None,
        )

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry_point]


def _raise(manager: object, entry_point: EntryPoint, error: BaseException) -> None:
    raise error


def _found(claims: list[Announcement]) -> Found:
    first = claims[0]
    if len(claims) > 1:
        names, versions = [claim.distribution for claim in claims], [claim.version for claim in claims]
        both = " and ".join(f"{name} {version}".strip() for name, version in zip(names, versions, strict=True))
        fault = Fault(Health.CONFLICT, f"{both} claim this name; uninstall all but one")
        return Found(first.kind, first.name, ", ".join(names), ", ".join(versions), fault=fault)
    declaration, mistake = _declaration(first)
    return Found(first.kind, first.name, first.distribution, first.version, declaration, mistake)


def _declaration(announcement: Announcement) -> tuple[Declaration | None, Fault | None]:
    try:
        declaration = load(announcement.entry_point)
    except (Exception, SystemExit) as error:
        logger.debug("%s %s", announcement.kind, announcement.name, exc_info=True)
        return None, Fault(Health.BROKEN, f"its declaration cannot be imported: {describe(error)}")
    if not isinstance(declaration, Declaration):
        what = f"its entry point refers to something of type {type(declaration).__name__}, not to a Declaration"
        return None, Fault(Health.BROKEN, what)
    info = declaration.info
    if not isinstance(info, PluginInfo) or not _is_version(info.api_version):
        return None, Fault(Health.BROKEN, "its declaration holds no PluginInfo with an API version")
    if not accepts(info.api_version):
        made_for, have = (".".join(map(str, version)) for version in (info.api_version, API_VERSION))
        return declaration, Fault(Health.INCOMPATIBLE, f"it was made for plugin API {made_for}, this is {have}")
    mistakes = list(_mistakes(declaration, announcement))
    if mistakes:
        return None, Fault(Health.BROKEN, f"its declaration is wrong: {'; '.join(mistakes)}")
    return declaration, None


def _is_version(version: object) -> bool:
    return isinstance(version, tuple) and len(version) == 2 and all(isinstance(number, int) for number in version)


def _mistakes(declaration: Declaration, announcement: Announcement) -> Iterator[str]:
    info = declaration.info
    if info.kind != announcement.kind:
        yield f"it declares kind {info.kind!s}, but is announced as {announcement.kind}"
    if info.name != announcement.name:
        yield f"it declares the name {info.name!r}, but is announced as {announcement.name!r}"
    if not isinstance(declaration.target, str) or not _TARGET.fullmatch(declaration.target):
        yield f"its target {declaration.target!r} is not of the form package.module:Class"
    if not isinstance(info.options, tuple) or not all(isinstance(option, Option) for option in info.options):
        yield "its options are no tuple of Option"
    for field in ("image_schemes", "url_schemes"):
        value = getattr(info, field)
        if not isinstance(value, tuple) or not all(isinstance(scheme, str) for scheme in value):
            yield f"its {field} are no tuple of text"
    if not isinstance(info.title, str):
        yield "its title is no text"
    if not isinstance(info.requires, dict):
        yield "its requires is no dictionary"
