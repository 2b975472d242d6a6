"""What the tests of all front ends need: a loop that runs beside the test, and front ends started on it."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest


@pytest.fixture
def loop():
    """An event loop running in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def started(loop):
    """Start a front end on the loop; it is stopped after the test."""
    front_ends = []

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    def start(front_end):
        run(front_end.start())
        front_ends.append(front_end)
        return front_end

    yield start
    for front_end in front_ends:
        run(front_end.stop())


@pytest.fixture(autouse=True)
def quiet_asyncio(caplog):
    """No test leaves an error that nobody looked at: a task whose exception was never retrieved, say."""
    yield
    records = [*caplog.get_records("call"), *caplog.records]
    left = [record for record in records if record.name == "asyncio" and record.levelno >= logging.ERROR]
    assert not left, [record.getMessage() for record in left]
