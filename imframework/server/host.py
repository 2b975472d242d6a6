"""One service: made from its settings, started, and stopped again in the reverse order."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stamina

from imframework.api.auth import AuthProvider
from imframework.api.connector import Connector
from imframework.api.errors import ConfigurationError, IMError, PluginUnavailable, StorageUnavailable
from imframework.api.frontend import FrontEnd
from imframework.api.model import Access, Event
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.contextualization import ServerConfigurator, choose_sandbox
from imframework.contextualization.inventory import NameDefaults
from imframework.core.at_rest import AtRest
from imframework.core.auditing import audited
from imframework.core.calls import Bulkheads
from imframework.core.clouds import Clouds
from imframework.core.engine import Engine, EngineOptions
from imframework.core.infrastructure import Infrastructure
from imframework.core.keyring import Keyring
from imframework.core.planning import Defaults
from imframework.core.ports import Job, Report
from imframework.core.repository import Repository
from imframework.core.secrets import SecretBox
from imframework.core.service import CoreService, ServiceOptions, Surroundings
from imframework.registry import Health, HookHost, Registry, start_hooks
from imframework.server.metrics import Metrics
from imframework.server.state_dir import StateDir
from imframework.server.tosca_sources import tosca_sources
from imframework.settings import Settings

logger = logging.getLogger("imframework.server")

#: Seconds for which a database that does not answer is tried again at start.
OPEN_PATIENCE = 15.0
_TAGS = ("VM_TAG_USERNAME", "VM_TAG_INF_ID", "VM_TAG_IM_URL", "VM_TAG_IM")
_MEMORY_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class Connectors:
    """The connector classes of the registry, with their options: what the core calls a source."""

    registry: Registry
    settings: Settings

    def connector(self, type_name: str) -> tuple[type[Connector], Mapping[str, object]]:
        """See `imframework.core.clouds.ConnectorSource`."""
        cls: type[Connector] = self.registry.connector_for(type_name)
        return cls, self.settings.values_of(cls.info.options)


@dataclass(slots=True)
class Host:
    """A running service."""

    settings: Settings
    registry: Registry
    service: CoreService
    engine: Engine
    front_ends: list[FrontEnd]

    @property
    def addresses(self) -> list[str]:
        """The URLs at which the front ends listen."""
        return [front_end.address for front_end in self.front_ends]

    async def drain(self) -> None:
        """Stop listening and let the requests in progress end."""
        await asyncio.gather(*(front_end.stop() for front_end in self.front_ends))


@asynccontextmanager
async def running(settings: Settings, registry: Registry, *, embedded: bool = False) -> AsyncIterator[Host]:
    """A service as a context: started inside, stopped on the way out.

    An `embedded` one belongs to the person who runs it: no front end, no sandbox needed.

    Raises:
        ConfigurationError: it cannot be started as it is configured.
        StorageError: the database cannot be opened.
    """
    if not embedded:
        _refuse_open_shell(settings, registry)
    async with AsyncExitStack() as stack:
        state = stack.enter_context(StateDir(settings.STATE_DIR))
        bulkheads = Bulkheads(settings.WORKER_THREADS_PER_CLOUD)
        options = _options_of(settings)
        hooks = start_hooks(registry, options)
        stack.callback(hooks.close)

        engine: Engine

        def on_events(infra: Infrastructure, events: Sequence[Event]) -> None:
            engine.observe_events(infra, events)

        repository = await _open_storage(settings, registry, state, options, on_events)
        stack.push_async_callback(repository.close)
        # Without its key a database is a heap of sealed boxes: a new key is made only where there is nothing to open.
        create = settings.SECRET_KEY_FILE.exists() or not await repository.heads(None, deleted=True)
        box = SecretBox.load(settings.SECRET_KEY_FILE, create=create)
        repository.seal_with(AtRest(box))
        configurator = await _configurator(settings, state, repository, embedded=embedded)
        engine = Engine(
            repository,
            Clouds(Connectors(registry, settings), bulkheads, settings.CONNECTOR_CALL_TIMEOUT),
            configurator,
            Keyring(box),
            _engine_options(settings),
            hooks,
        )
        stack.push_async_callback(engine.stop)
        metrics = Metrics(
            {
                "infrastructures_in_progress": ("Infrastructures being worked on.", lambda: engine.busy),
                "infrastructures_in_memory": ("Infrastructures held in memory.", lambda: repository.size),
                "storage_writes_waiting": ("Changes waiting to be written.", lambda: repository.backlog),
                "hook_calls_dropped": ("Calls of hooks dropped because a plugin is too slow.", lambda: hooks.dropped),
            }
        )
        surroundings = Surroundings(registry.report, _health(repository, hooks), metrics.render)
        service = CoreService(
            engine,
            _providers(settings, registry, options),
            _service_options(settings),
            surroundings,
            bulkheads,
            tosca_sources(settings),
        )
        stack.push_async_callback(service.close)
        await asyncio.to_thread(registry.load)
        for line in registry.report():
            if line.enabled and line.health != Health.OK:
                logger.warning("plugin %s %s: %s (%s)", line.kind, line.name, line.health, line.reason)
        await engine.start()
        front_ends = [] if embedded else await _start_front_ends(stack, registry, service, options)
        yield Host(settings, registry, service, engine, front_ends)


def _options_of(settings: Settings) -> Callable[[PluginInfo], dict[str, Any]]:
    return lambda info: settings.values_of(info.options)


async def _open_storage(
    settings: Settings,
    registry: Registry,
    state: StateDir,
    options: Callable[[PluginInfo], Mapping[str, object]],
    on_events: Callable[[Infrastructure, Sequence[Event]], None],
) -> Repository:
    try:
        cls = registry.storage_for(settings.DATA_DB.scheme)
    except PluginUnavailable as error:
        raise ConfigurationError(f"DATA_DB: {error}") from None
    storage = cls(str(settings.DATA_DB), options(cls.info))
    repository = Repository(storage, state.instance, lease_duration=settings.LEASE_DURATION, on_events=on_events)
    async for attempt in stamina.retry_context(on=StorageUnavailable, attempts=None, timeout=OPEN_PATIENCE):
        with attempt:
            await repository.open()
    return repository


async def _configurator(
    settings: Settings, state: StateDir, repository: Repository, *, embedded: bool
) -> ServerConfigurator | RefusingConfigurator:
    """What configures machines; recipes of others are never run here without a sandbox."""
    kind = settings.CONTEXTUALIZATION_SANDBOX
    if embedded:
        kind = "none" if kind == "auto" else kind
    elif kind == "none":
        raise ConfigurationError(
            "CONTEXTUALIZATION_SANDBOX: 'none' would let every user of the service act as the account it runs under; "
            "it is for embedded use (deploy --local) only."
        )
    hidden = [state.path, settings.SECRET_KEY_FILE, settings.DATA_DB.path, settings.source, settings.USER_DB]
    hidden += [settings.REST_SSL_KEYFILE] if settings.REST_SSL else []
    hidden += [settings.XMLRCP_SSL_KEYFILE] if settings.XMLRCP_SSL else []
    runs_dir = state.directory("runs")
    try:
        sandbox = await asyncio.to_thread(
            choose_sandbox,
            kind,
            runs_dir=runs_dir,
            hidden=[Path(path) for path in hidden if path],
            users=settings.CONTEXTUALIZATION_SANDBOX_USER.replace(",", " ").split(),
        )
    except ConfigurationError as error:
        if kind != "auto":
            raise
        logger.error("%s", error)
        return RefusingConfigurator(str(error))
    names = NameDefaults(settings.DEFAULT_VM_NAME, settings.DEFAULT_DOMAIN)
    configurator = ServerConfigurator(runs_dir, sandbox, defaults=names)
    known = await repository.run_ids()
    if known is not None:
        for run in await configurator.sweep(known):
            logger.warning("configuration run %s belonged to nothing and was ended", run)
    return configurator


@dataclass(frozen=True, slots=True)
class RefusingConfigurator:
    """Stands in where no recipe may be run: every job is refused with the reason."""

    reason: str

    async def run(self, job: Job, after: int, report: Callable[[list[Report]], Awaitable[None]]) -> None:
        """See `imframework.core.ports.Configurator`."""
        raise ConfigurationError(self.reason)

    async def cancel(self, run_id: str) -> None:
        """Nothing was ever started."""

    async def discard(self, run_id: str) -> None:
        """Nothing was ever started."""

    async def reachable(self, access: Access, timeout: float) -> str:
        """There is no point in waiting."""
        return ""


def _engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        max_launches=settings.MAX_SIMULTANEOUS_LAUNCHES,
        max_vm_fails=settings.MAX_VM_FAILS,
        retry_delay=settings.DELAY_BETWEEN_VM_RETRIES,
        update_frequency=settings.VM_INFO_UPDATE_FREQUENCY,
        grace_period=settings.VM_INFO_UPDATE_ERROR_GRACE_PERIOD,
        wait_running=settings.WAIT_RUNNING_VM_TIMEOUT,
        wait_ssh=settings.WAIT_SSH_ACCCESS_TIMEOUT,
        wait_public_ip=settings.WAIT_PUBLIC_IP_TIMEOUT,
        max_configuration_time=settings.MAX_CONTEXTUALIZATION_TIME,
        playbook_retries=settings.PLAYBOOK_RETRIES,
        defaults=Defaults(
            memory=settings.DEFAULT_VM_MEMORY * _MEMORY_UNITS[settings.DEFAULT_VM_MEMORY_UNIT],
            cpus=settings.DEFAULT_VM_CPUS,
            arch=settings.DEFAULT_VM_CPU_ARCH,
        ),
        tag_names={name: getattr(settings, name) for name in _TAGS},
        public_url=settings.PUBLIC_URL.rstrip("/"),
        reverse_tunnels=settings.SSH_REVERSE_TUNNELS,
    )


def _service_options(settings: Settings) -> ServiceOptions:
    return ServiceOptions(
        boot_mode=settings.BOOT_MODE,
        only_tokens=settings.FORCE_OIDC_AUTH,
        default_vm_name=settings.DEFAULT_VM_NAME,
        templates_dir=settings.OAIPMH_REPO_DIR,
        templates_url=settings.OAIPMH_REPO_BASE_IDENTIFIER_URL,
        only_templates=settings.OAIPMH_RESTRICT_TEMPLATES,
        limit_address=settings.RATE_LIMIT_ADDRESS,
        limit_user=settings.RATE_LIMIT_USER,
        limit_failures=settings.RATE_LIMIT_FAILED_LOGINS,
        public_url=settings.PUBLIC_URL.rstrip("/"),
    )


def _providers(
    settings: Settings, registry: Registry, options: Callable[[PluginInfo], Mapping[str, object]]
) -> list[AuthProvider]:
    """The auth providers that can be used. Without any nobody could log in, and that is an error at start."""
    found: list[AuthProvider] = []
    reasons = []
    for name in registry.chosen(PluginKind.AUTH):
        try:
            cls = registry.get(PluginKind.AUTH, name)
            found.append(registry.make(PluginKind.AUTH, name, options(cls.info)))
        except PluginUnavailable as error:
            logger.error("%s", error)
            reasons.append(str(error))
    if not found:
        raise ConfigurationError(f"AUTH_PROVIDERS: nobody could log in. {' '.join(reasons)}")
    return found


async def _start_front_ends(
    stack: AsyncExitStack,
    registry: Registry,
    service: CoreService,
    options: Callable[[PluginInfo], Mapping[str, object]],
) -> list[FrontEnd]:
    started: list[FrontEnd] = []
    reasons = []
    for name in registry.chosen(PluginKind.FRONTEND):
        try:
            cls = registry.get(PluginKind.FRONTEND, name)
            handed = audited(service, service.trail, name)
            front_end: FrontEnd = registry.make(PluginKind.FRONTEND, name, handed, options(cls.info))
        except PluginUnavailable as error:
            logger.error("%s", error)
            reasons.append(str(error))
            continue
        await front_end.start()
        stack.push_async_callback(front_end.stop)  # stopping twice is harmless
        started.append(front_end)
        logger.info("%s front end listens on %s", name, front_end.address)
    if not started:
        raise ConfigurationError(f"No front end can be started. {' '.join(reasons)}".rstrip())
    return started


def _health(repository: Repository, hooks: HookHost) -> Callable[[], Any]:
    async def health() -> Mapping[str, str]:
        try:
            async with asyncio.timeout(5):
                await repository.ping()
            storage = repository.trouble or "ok"
        except (IMError, TimeoutError) as error:
            storage = str(error) or "no answer within 5 s"
        return {"storage": storage, **{f"hooks {name}": trouble for name, trouble in hooks.troubles().items()}}

    return health


def _refuse_open_shell(settings: Settings, registry: Registry) -> None:
    """A connector that makes machines of this very host, for anybody who can reach it, would be a shell for all."""
    if settings.USER_DB or "local" not in registry.chosen(PluginKind.CONNECTOR):
        return
    addresses = {"rest": settings.REST_ADDRESS, "xmlrpc": settings.XMLRCP_ADDRESS}
    for name in registry.chosen(PluginKind.FRONTEND):
        address = addresses.get(name, "")
        if not _is_loopback(address):
            raise ConfigurationError(
                "CONNECTORS: 'local' gives whoever has an account a shell on this machine; without a USER_DB that is "
                f"everybody who can reach {address or name}. Set USER_DB, or have the {name} front end listen on "
                "127.0.0.1."
            )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
