"""The one place to ask about plugins: what is installed, what is chosen, and the class behind a name.

A program discovers, reads the options that plugins declare, loads its settings with them, chooses, and then asks for
classes. They are imported when they are first asked for. Nothing that is wrong with a plugin raises anything but
`PluginUnavailable` where that plugin is needed; until then it is a line of `report`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from imframework.api.config import Option
from imframework.api.errors import PluginUnavailable
from imframework.api.plugin import Declaration, Plugin, PluginKind
from imframework.api.service import PluginReport
from imframework.registry.choice import Choice
from imframework.registry.discovery import Found, discover
from imframework.registry.health import Fault, Health, describe
from imframework.registry.loading import load_class

logger = logging.getLogger("imframework.registry")

#: What one plugin of a kind is called in messages.
NOUNS: Mapping[PluginKind, str] = {
    PluginKind.CONNECTOR: "connector",
    PluginKind.STORAGE: "storage plugin",
    PluginKind.AUTH: "auth plugin",
    PluginKind.FRONTEND: "front end",
    PluginKind.HOOK: "hook plugin",
}

#: Tells which running plugins are unhealthy, and why.
Probe = Callable[[], Mapping[str, str]]


@dataclass(slots=True)
class _Entry:
    """What is known of one plugin. `unchosen` says why it is not used; empty if it is."""

    found: Found
    fault: Fault | None
    unchosen: str = ""
    loaded: type[Plugin] | None = None


class Registry:
    """The plugins of this installation. Safe to use from several threads."""

    def __init__(self, found: Iterable[Found]) -> None:
        self._found = list(found)
        self._lock = threading.RLock()
        self._probes: dict[PluginKind, Probe] = {}
        self.choose(Choice())

    @classmethod
    def discover(cls) -> Registry:
        """Find what is installed now. Everything is chosen that need not be named; see `choose`."""
        return cls(discover())

    # --- before choosing ------------------------------------------------------------------------------------

    def declarations(self, kind: PluginKind) -> dict[str, Declaration]:
        """What the plugins of a kind declare, by name; chosen or not. Those with a faulty declaration are left out."""
        return {
            found.name: found.declaration
            for found in self._found
            if found.kind is kind and found.declaration and not found.fault
        }

    def options(self) -> dict[str, tuple[Option, ...]]:
        """The options that plugins declare, by kind and name (``connectors dummy``); chosen or not."""
        return {
            f"{kind} {name}": declaration.info.options
            for kind in PluginKind
            for name, declaration in self.declarations(kind).items()
        }

    # --- choosing -------------------------------------------------------------------------------------------

    def choose(self, choice: Choice) -> Registry:
        """Settle which plugins are used, forgetting what was settled before; gives itself back."""
        books = {kind: _Book.open(kind, self._found, choice) for kind in PluginKind}
        with self._lock:
            self._books = books
        return self

    def chosen(self, kind: PluginKind) -> tuple[str, ...]:
        """The names of the plugins that are to be used, in the operator's order; some of them may be unavailable."""
        return self._books[kind].chosen

    # --- what is chosen -------------------------------------------------------------------------------------

    def get(self, kind: PluginKind, name: str) -> type[Any]:
        """The class of a chosen plugin, imported if need be.

        Raises:
            PluginUnavailable: there is no such plugin, it is not chosen, or it is broken; the text says which.
        """
        with self._lock:
            entry = self._books[kind].entry(name)
            if entry.unchosen:
                raise PluginUnavailable(f"The {NOUNS[kind]} {name} is not in use: {entry.unchosen}.")
            if not entry.fault and not entry.loaded and entry.found.declaration:
                loaded = load_class(entry.found.declaration)
                if isinstance(loaded, Fault):
                    entry.fault = loaded
                else:
                    entry.loaded = loaded
            if entry.fault or not entry.loaded:
                raise _unavailable(entry)
            return entry.loaded

    def make(self, kind: PluginKind, name: str, *arguments: object) -> Any:
        """An instance of a plugin of which there is to be one. If its constructor fails, it counts as broken.

        Raises:
            PluginUnavailable: as `get`, or the constructor failed.
        """
        cls = self.get(kind, name)
        try:
            return cls(*arguments)
        except (Exception, SystemExit) as error:
            logger.debug("%s %s", kind, name, exc_info=True)
            with self._lock:
                entry = self._books[kind].entry(name)
                entry.fault = Fault(Health.BROKEN, f"it cannot be started: {describe(error)}")
                raise _unavailable(entry) from None

    def connector_for(self, type_name: str) -> type[Any]:
        """The class of the connector for a type of cloud, as documents and credentials name it, in any case.

        Raises:
            PluginUnavailable: there is none, or it cannot be used.
        """
        name = self._books[PluginKind.CONNECTOR].claims.get(type_name.casefold())
        if name is None:
            raise PluginUnavailable(f"Cloud provider not supported: {type_name}")
        return self.get(PluginKind.CONNECTOR, name)

    def storage_for(self, scheme: str) -> type[Any]:
        """The class of the storage plugin for the URLs of a scheme.

        Raises:
            PluginUnavailable: there is none, or it cannot be used.
        """
        book = self._books[PluginKind.STORAGE]
        name = book.claims.get(scheme.casefold())
        if name is None:
            faulty = [entry for entry in map(book.entry, book.chosen) if entry.fault]
            reasons = "".join(f" {_unavailable(entry)}" for entry in faulty)
            raise PluginUnavailable(f"No storage plugin in use serves {scheme}: URLs.{reasons}")
        return self.get(PluginKind.STORAGE, name)

    # --- how they are ---------------------------------------------------------------------------------------

    def load(self) -> None:
        """Import all chosen plugins, so that `report` knows how they are."""
        for kind in PluginKind:
            for name in self.chosen(kind):
                with contextlib.suppress(PluginUnavailable):
                    self.get(kind, name)

    def watch(self, kind: PluginKind, probe: Probe) -> None:
        """Ask `probe` about the running plugins of a kind for each report."""
        self._probes[kind] = probe

    def report(self) -> list[PluginReport]:
        """All plugins that are installed or that im.cfg names, by kind and name."""
        with self._lock:
            return [
                _line(entry, troubles.get(name, ""))
                for kind, book in self._books.items()
                for troubles in [self._probes.get(kind, dict)()]
                for name, entry in sorted(book.entries.items())
            ]


@dataclass(slots=True)
class _Book:
    """The plugins of one kind. `claims` leads from titles or URL schemes, in lower case, to names."""

    kind: PluginKind
    entries: dict[str, _Entry]
    chosen: tuple[str, ...]
    claims: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, kind: PluginKind, found: Iterable[Found], choice: Choice) -> _Book:
        entries = {each.name: _Entry(each, each.fault) for each in found if each.kind is kind}
        wanted = choice.names(kind)
        for entry in entries.values():
            entry.unchosen = _why_unchosen(entry, choice)
        names = entries if wanted is None else wanted
        book = cls(kind, entries, ())
        for name in names:
            entries.setdefault(name, book.entry(name))
        book.chosen = tuple(name for name in names if not entries[name].unchosen)
        book._claim()
        return book

    def entry(self, name: str) -> _Entry:
        """The entry of that name; one that says so if nothing of that name is installed."""
        if name in self.entries:
            return self.entries[name]
        close = get_close_matches(name, self.entries, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        fault = Fault(Health.NOT_INSTALLED, f"it is not installed{hint}")
        return _Entry(Found(self.kind, name, "", ""), fault)

    def _claim(self) -> None:
        """Fill `claims`. Two chosen plugins that claim the same are both refused; others only lead to their reason."""
        claimants: defaultdict[str, list[_Entry]] = defaultdict(list)
        for entry in sorted(self.entries.values(), key=lambda entry: bool(entry.unchosen)):
            for claim in _claims(entry):
                claimants[claim.casefold()].append(entry)
        for claim, entries in claimants.items():
            self.claims[claim] = entries[0].found.name
            rivals = [entry for entry in entries if not entry.unchosen]
            if len(rivals) > 1:
                names = " and ".join(f"{entry.found.name} (of {entry.found.distribution})" for entry in rivals)
                for entry in rivals:
                    entry.fault = entry.fault or Fault(Health.CONFLICT, f"{names} claim {claim!r}; disable all but one")


def _claims(entry: _Entry) -> Iterable[str]:
    info = entry.found.declaration.info if entry.found.declaration and not entry.found.fault else None
    match entry.found.kind:
        case PluginKind.CONNECTOR:
            return [(info and info.title) or entry.found.name]
        case PluginKind.STORAGE:
            return info.url_schemes if info else ()
    return ()


def _why_unchosen(entry: _Entry, choice: Choice) -> str:
    kind, name, declaration = entry.found.kind, entry.found.name, entry.found.declaration
    names = choice.names(kind)
    if (kind, name) in choice.disabled:
        return "im.cfg disables it"
    if names is not None:
        return "" if name in names else "im.cfg does not choose it"
    opt_in = declaration is not None and not entry.found.fault and declaration.info.opt_in
    return "it is used only if im.cfg names it" if opt_in else ""


def _unavailable(entry: _Entry) -> PluginUnavailable:
    reason = entry.fault.reason if entry.fault else "it has no declaration"
    return PluginUnavailable(f"The {NOUNS[entry.found.kind]} {entry.found.name} cannot be used: {reason.rstrip('.')}.")


def _line(entry: _Entry, trouble: str) -> PluginReport:
    found = entry.found
    if entry.fault:
        health = entry.fault.health
    elif trouble:
        health = Health.UNHEALTHY
    else:
        health = Health.OK if entry.loaded else Health.NOT_LOADED
    reasons = [entry.unchosen, entry.fault.reason if entry.fault else trouble]
    version = found.declaration.info.api_version if found.declaration else ()
    return PluginReport(
        kind=found.kind.value,
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        api_version=".".join(map(str, version)),
        enabled=not entry.unchosen,
        health=health.value,
        reason="; ".join(reason for reason in reasons if reason),
    )
