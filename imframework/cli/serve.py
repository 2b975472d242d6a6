"""`imframework serve`: the service in the foreground."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import click

from imframework.api.errors import ConfigurationError
from imframework.registry import Choice, Registry
from imframework.settings import Settings, load
from imframework.settings.log_setup import set_up_logging

logger = logging.getLogger("imframework.server")

#: Signals that end the service in an orderly way.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Longest time in seconds that one thread keeps the interpreter while another one waits for it. A request needs it
#: several times, and so does each statement of the writer: with Python's 5 ms, calls of many clouds at once would make
#: clients wait for tens of milliseconds.
SWITCH_INTERVAL = 0.001

#: When to look for garbage in cycles (see `gc.set_threshold`). Most of what is made here is kept for a while: with
#: Python's thresholds, looking it through took a tenth of the time, and all of it at once too long for who waits.
GARBAGE_THRESHOLDS = (20_000, 5, 100)

#: Most open files that the service asks for. Programs it starts have the same limit, and some look at each number.
MOST_FILES = 1 << 16


@click.command()
@click.option("-c", "--config", type=click.Path(path_type=Path, dir_okay=False), help="The im.cfg to use.")
@click.option(
    "--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="Write the addresses here once ready."
)
def serve(config: Path | None, ready_file: Path | None) -> None:
    """Run the service until it is told to stop (SIGTERM, SIGINT or SIGHUP)."""
    registry = Registry.discover()
    settings, warnings = load(config, os.environ, registry.options())
    registry.choose(Choice.of_options(dict(settings.sections["im"])))
    warnings += set_up_logging(settings)
    for warning in warnings:
        logger.warning("%s", warning)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _allow_many_files()
    asyncio.run(_serve(settings, registry, ready_file))


def _allow_many_files() -> None:
    """Take as many open files as the system allows: each client that holds a connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    except (OSError, ValueError) as error:
        logger.warning("the limit of open files cannot be raised to %d: %s", wanted, error)


async def _serve(settings: Settings, registry: Registry, ready_file: Path | None) -> None:
    from imframework.server.host import running

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in SIGNALS:
        # Not `add_signal_handler`: it sends the number through the pipe that also wakes the loop, and under load that
        # can be full, and the signal lost.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with running(settings, registry) as host:
        # Nothing made so far is ever thrown away; looking through it again and again would only cost time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        if ready_file is not None:
            _announce(ready_file, host.addresses)
        logger.info("ready: %s", ", ".join(host.addresses))
        await stop.wait()
        logger.info("stopping")
        try:
            async with asyncio.timeout(settings.SHUTDOWN_TIMEOUT):
                await host.drain()
        except TimeoutError:
            logger.warning("requests were still in progress after %s s", settings.SHUTDOWN_TIMEOUT)


def _announce(file: Path, addresses: list[str]) -> None:
    fresh = file.with_name(file.name + ".new")
    try:
        fresh.write_text("\n".join(addresses) + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise ConfigurationError(f"--ready-file: {file} cannot be written: {error.strerror}") from None
