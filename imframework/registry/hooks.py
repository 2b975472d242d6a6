"""Calling hook plugins. Each has a pluggy manager and threads of its own, so that none can harm another.

* An *observer* is told through an ordered, bounded queue; whoever tells it never waits. Its errors are logged.
* A *veto* is awaited, with a deadline. Whoever raises, hangs or is too busy refuses: policies fail closed.
* A *first result* is asked for in turn until one answers; errors and silence count as no answer.

Plugins are called in the order in which the operator names them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pluggy

from imframework.api.errors import IMError, PluginUnavailable, Vetoed
from imframework.api.hooks import PROJECT, SORTS, HookPlugin, HookSpecs
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.registry.health import describe
from imframework.registry.lanes import Lane

if TYPE_CHECKING:
    from imframework.registry.registry import Registry

logger = logging.getLogger("imframework.hooks")

#: Seconds that a veto or a first result may take, and after which an observer counts as hanging.
DEADLINE = 30.0
#: Calls of observers that may wait for one plugin.
BACKLOG = 10_000
#: Questions (vetoes, first results) that may wait for one plugin.
QUESTIONS = 100


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a plugin answered to a question, or why it did not."""

    result: Any = None
    error: BaseException | None = None


class _Member:
    """One hook plugin: what it listens to, and its two lanes."""

    def __init__(self, name: str, plugin: HookPlugin, specs: type, backlog: int) -> None:
        self.name = name
        self.dropped = 0
        self._plugin = plugin
        self._hooks = _manager(plugin, name, specs).hook
        self._telling = Lane(f"hooks-{name}", backlog)
        self._asking = Lane(f"hooks-{name}-questions", QUESTIONS)
        self._reported = False

    def listens(self, hook: str) -> bool:
        return bool(getattr(self._hooks, hook).get_hookimpls())

    def tell(self, hook: str, arguments: Mapping[str, object], patience: float) -> None:
        """Queue a call of an observer, and log when the plugin hangs, falls behind, or has caught up again."""
        late = self._telling.overdue(patience)
        if late and not self._reported:
            self._reported = True
            logger.error("The hook plugin %s does not return from %s.", self.name, late)
        elif not late:
            self._reported = False
        if self._telling.offer(hook, partial(self._observe, hook, arguments)) is None:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood must not flood the log
                logger.warning("The hook plugin %s is too slow: %d calls were dropped so far.", self.name, self.dropped)

    def ask(self, hook: str, arguments: Mapping[str, object]) -> Future[_Outcome] | None:
        """Queue a call whose outcome matters; None if too many wait already."""
        return self._asking.offer(hook, partial(self._answer, hook, arguments))

    def trouble(self, patience: float) -> str:
        late = self._telling.overdue(patience) or self._asking.overdue(patience)
        return f"it does not return from {late}" if late else ""

    def close(self) -> Future[Any]:
        """Let it hear what is queued, then close it."""
        self._asking.close("end", lambda: None)
        return self._telling.close("close", self._plugin.close)

    def _observe(self, hook: str, arguments: Mapping[str, object]) -> None:
        try:
            getattr(self._hooks, hook)(**arguments)
        except (Exception, SystemExit):
            logger.exception("The hook plugin %s failed in %s.", self.name, hook)

    def _answer(self, hook: str, arguments: Mapping[str, object]) -> _Outcome:
        # Errors travel as values: a future would not carry every exception (StopIteration) to the event loop.
        try:
            return _Outcome(result=getattr(self._hooks, hook)(**arguments))
        except (Exception, SystemExit) as error:
            if not isinstance(error, IMError):
                logger.exception("The hook plugin %s failed in %s.", self.name, hook)
            return _Outcome(error=error)


class HookHost:
    """The hook plugins of a running service; implements `imframework.core.ports.Hooks`.

    `plugins` are instances, by name, of classes without `hook_faults`. `absent` are plugins that the operator wants
    to be asked but that cannot be, and why: while there is one, every veto refuses with its reason.
    """

    def __init__(
        self,
        plugins: Mapping[str, HookPlugin],
        *,
        absent: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
        backlog: int = BACKLOG,
        specs: type = HookSpecs,
        sorts: Mapping[str, str] = SORTS,
    ) -> None:
        self._absent = dict(absent or {})
        self._closed = False
        self._deadline = deadline
        self._sorts = sorts
        self._members = [_Member(name, plugin, specs, backlog) for name, plugin in plugins.items()]
        self._listeners = {hook: [member for member in self._members if member.listens(hook)] for hook in sorts}

    def active(self, name: str) -> bool:
        """Whether anybody listens to a hook; asking spares making the arguments."""
        return bool(self._listeners[name]) or (self._sorts[name] == "veto" and bool(self._absent))

    def observe(self, name: str, **arguments: object) -> None:
        """Tell an observer hook; returns at once."""
        for member in [] if self._closed else self._of_sort(name, "observer"):
            member.tell(name, arguments, self._deadline)

    async def veto(self, name: str, **arguments: object) -> None:
        """Ask a veto hook: each plugin in turn, until one refuses.

        Raises:
            Vetoed: somebody refuses, fails, or does not answer in time.
        """
        listeners = self._of_sort(name, "veto")
        if self._absent:
            raise Vetoed(next(iter(self._absent.values())))
        for member in listeners:
            error = (await self._ask(member, name, arguments)).error
            if isinstance(error, Vetoed):
                raise error
            if isinstance(error, IMError):
                raise Vetoed(f"The hook plugin {member.name} cannot decide: {error}")
            if error is not None:
                raise Vetoed(f"The hook plugin {member.name} cannot decide: it failed ({type(error).__name__}).")

    async def first(self, name: str, **arguments: object) -> Any:
        """Ask a first-result hook: each plugin in turn, until one answers with something other than None."""
        for member in self._of_sort(name, "first-result"):
            outcome = await self._ask(member, name, arguments)
            if outcome.result is not None:
                return outcome.result
        return None

    def troubles(self) -> dict[str, str]:
        """The plugins that do not answer now, and what they hang in."""
        found = {member.name: member.trouble(self._deadline) for member in self._members}
        return {name: trouble for name, trouble in found.items() if trouble}

    @property
    def dropped(self) -> int:
        """How many calls of observers were dropped because a plugin was too slow; the log names the plugins."""
        return sum(member.dropped for member in self._members)

    def close(self, timeout: float = 1.0) -> None:
        """Let the plugins hear what is queued and close. Blocks, but only for `timeout` seconds: late ones are left."""
        self._closed = True
        closing = {member.close(): member.name for member in self._members}
        done, late = concurrent.futures.wait(closing, timeout)
        for future in done:
            if (error := future.exception()) is not None:
                logger.error("The hook plugin %s failed to close: %s", closing[future], describe(error))
        for future in late:
            future.cancel()
            logger.warning("The hook plugin %s was not done after %g s and is left behind.", closing[future], timeout)

    def _of_sort(self, name: str, sort: str) -> list[_Member]:
        if self._sorts[name] != sort:
            raise ValueError(f"{name} is a hook of sort {self._sorts[name]}, not {sort}.")
        return self._listeners[name]

    async def _ask(self, member: _Member, name: str, arguments: Mapping[str, object]) -> _Outcome:
        future = member.ask(name, arguments)
        if future is None:
            error = f"The hook plugin {member.name} cannot decide: too many questions wait for it."
            return _Outcome(error=Vetoed(error))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._deadline)
        except TimeoutError:
            logger.error("The hook plugin %s did not answer %s within %g s.", member.name, name, self._deadline)
            error = f"The hook plugin {member.name} cannot decide: it did not answer within {self._deadline:g} s."
            return _Outcome(error=Vetoed(error))


def start_hooks(registry: Registry, options: Callable[[PluginInfo], Mapping[str, object]]) -> HookHost:
    """Make the chosen hook plugins and the host that calls them.

    One that cannot be made stays out, as its report says. Unless it is certain that it could not have refused
    anything, vetoes refuse then: a policy that the operator has asked for is not dropped for a missing module.
    `options` gives a plugin's options of im.cfg their values.
    """
    plugins: dict[str, HookPlugin] = {}
    absent: dict[str, str] = {}
    for name in registry.chosen(PluginKind.HOOK):
        cls = None
        try:
            cls = registry.get(PluginKind.HOOK, name)
            plugins[name] = registry.make(PluginKind.HOOK, name, options(cls.info))
        except PluginUnavailable as error:
            logger.error("%s", error)
            if cls is None or _may_refuse(cls):
                absent[name] = str(error)
    host = HookHost(plugins, absent=absent)
    registry.watch(PluginKind.HOOK, host.troubles)
    return host


def _may_refuse(cls: type[HookPlugin]) -> bool:
    hooks = _manager(cls, cls.__qualname__, HookSpecs).hook
    return any(getattr(hooks, name).get_hookimpls() for name, sort in SORTS.items() if sort == "veto")


def hook_faults(cls: type[HookPlugin]) -> list[str]:
    """Why a class cannot listen: hooks that do not exist or get other arguments, coroutines, wrappers."""
    try:
        manager = _manager(cls, cls.__qualname__, HookSpecs)
    except pluggy.PluginValidationError as error:
        return [str(error)]
    faults = []
    listeners = manager.get_hookcallers(cls) or []
    for implementation in (each for hook in listeners for each in hook.get_hookimpls()):
        name = implementation.function.__name__
        if inspect.iscoroutinefunction(implementation.function):
            faults.append(f"{cls.__qualname__}.{name} is 'async def', but hook plugins are synchronous")
        if implementation.wrapper or implementation.hookwrapper:
            faults.append(f"{cls.__qualname__}.{name} is a wrapper, but plugins are called apart from each other")
    return [*faults, *([] if listeners else [f"{cls.__qualname__} listens to no hook"])]


def _manager(plugin: object, name: str, specs: type) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    manager.register(plugin, name)
    manager.check_pending()
    return manager
