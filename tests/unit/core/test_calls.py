"""Calls into plugins: bounded in number and time, never forgotten, and gone when there is nothing to do."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from imframework.api.errors import CloudUnavailable, OutcomeUnknown
from imframework.core import calls
from imframework.core.calls import Bulkheads, CallPool


@pytest.fixture
def released():
    """Set at the end of the test, so that no call outlives it."""
    event = threading.Event()
    yield event
    event.set()


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


async def test_the_result_of_a_call_is_returned_and_its_error_raised():
    pool = CallPool("p", 2)
    assert await pool.call(lambda: 41 + 1, 5) == 42
    with pytest.raises(ZeroDivisionError):
        await pool.call(lambda: 1 / 0, 5)


@pytest.mark.parametrize("error", [StopIteration(), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()])
async def test_an_error_that_would_disturb_the_event_loop_arrives_as_an_ordinary_one(error):
    def raise_it():
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await CallPool("p", 1).call(raise_it, 5)


async def test_a_time_out_of_the_plugin_itself_is_its_own_error():
    def connect():
        raise TimeoutError("connect timed out")

    with pytest.raises(TimeoutError, match="connect timed out"):
        await CallPool("p", 1).call(connect, 5)


async def test_a_call_past_its_deadline_is_given_up_and_its_late_answer_still_arrives(released):
    late = asyncio.get_running_loop().create_future()

    def slow():
        released.wait()
        return "made"

    with pytest.raises(OutcomeUnknown, match=r"p did not answer within 0\.05 s"):
        await CallPool("p", 1).call(slow, 0.05, late=lambda result, error: late.set_result((result, error)))
    released.set()
    assert await asyncio.wait_for(late, 5) == ("made", None)


async def test_a_late_error_arrives_too(released):
    late = asyncio.get_running_loop().create_future()

    def slow():
        released.wait()
        raise ValueError("no")

    with pytest.raises(OutcomeUnknown):
        await CallPool("p", 1).call(slow, 0.05, late=lambda result, error: late.set_result(error))
    released.set()
    assert isinstance(await asyncio.wait_for(late, 5), ValueError)


async def test_a_call_that_found_no_thread_was_never_made(released):
    pool, made = CallPool("p", 1), []
    hanging = asyncio.ensure_future(pool.call(released.wait, 60))
    await asyncio.sleep(0)
    with pytest.raises(CloudUnavailable, match="busy"):
        await pool.call(lambda: made.append(1), 0.05)
    released.set()
    await hanging
    assert await pool.call(lambda: "next", 5) == "next"
    assert made == []


async def test_the_time_a_call_waits_for_a_thread_is_not_taken_from_its_deadline(released):
    pool = CallPool("p", 1)
    first = asyncio.ensure_future(pool.call(lambda: time.sleep(0.3), 5))
    await asyncio.sleep(0)
    assert await pool.call(lambda: time.sleep(0.3) or "done", 0.4) == "done"
    await first


async def test_urgent_calls_have_threads_of_their_own(released):
    pool = CallPool("p", 2, reserve=1)
    hanging = [asyncio.ensure_future(pool.call(released.wait, 60)) for _ in range(5)]
    await asyncio.sleep(0)
    assert await pool.call(lambda: "deleted", 5, urgent=True) == "deleted"
    released.set()
    await asyncio.gather(*hanging)


async def test_one_endpoint_does_not_wait_for_another(released):
    bulkheads = Bulkheads(1)
    hanging = asyncio.ensure_future(bulkheads.pool("ec2", "eu").call(released.wait, 60))
    await asyncio.sleep(0)
    assert await bulkheads.pool("ec2", "us").call(lambda: "here", 5) == "here"
    assert await bulkheads.pool("gce", "eu").call(lambda: "here", 5) == "here"
    assert bulkheads.pool("ec2", "eu") is bulkheads.pool("ec2", "eu")
    released.set()
    await hanging


async def test_no_more_calls_run_at_once_than_there_are_threads():
    running, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    pool = CallPool("counted", 3)
    await asyncio.gather(*(pool.call(work, 10) for _ in range(30)))
    assert most == 3
    assert len(threads("counted")) <= 3


async def test_every_call_gets_a_thread_while_there_are_some(released):
    pool = CallPool("p", 8)
    barrier = threading.Barrier(8)
    for _ in range(20):  # each round begins with idle threads
        await asyncio.gather(*(pool.call(lambda: barrier.wait(5), 10) for _ in range(8)))


async def test_an_idle_pool_has_no_threads(monkeypatch):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.05)
    pool = CallPool("quiet", 4)
    await asyncio.gather(*(pool.call(lambda: time.sleep(0.01), 5) for _ in range(8)))
    deadline = time.monotonic() + 5
    while threads("quiet"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await pool.call(lambda: "again", 5) == "again"


async def test_endpoints_that_nobody_uses_are_forgotten(monkeypatch, released):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.01)
    bulkheads = Bulkheads(1, limit=10)
    hanging = asyncio.ensure_future(bulkheads.pool("p", "hangs").call(released.wait, 60))
    kept = bulkheads.pool("p", "hangs")
    await asyncio.sleep(0)
    for number in range(100):
        bulkheads.pool("p", f"host-{number}")
    assert len(bulkheads) <= 11
    assert bulkheads.pool("p", "hangs") is kept, "its threads still count"
    released.set()
    await hanging


async def test_a_call_whose_caller_went_away_still_reports_what_it_made(released):
    late = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        CallPool("p", 1).call(lambda: released.wait() and "made", 60, late=lambda result, _: late.set_result(result))
    )
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    released.set()
    assert await asyncio.wait_for(late, 5) == "made"


async def test_a_caller_that_goes_away_knows_whether_its_call_goes_on(released):
    pool, made, begun = CallPool("p", 1), [], threading.Event()

    def hang():
        begun.set()
        released.wait()

    async def end(function):
        try:
            await pool.call(function, 60)
        except asyncio.CancelledError as error:
            return type(error)

    under_way, waiting = asyncio.ensure_future(end(hang)), asyncio.ensure_future(end(lambda: made.append(1)))
    await asyncio.to_thread(begun.wait, 5)
    for caller in (under_way, waiting):
        caller.cancel()
    assert await asyncio.gather(under_way, waiting) == [calls.CallLeft, asyncio.CancelledError]
    released.set()
    assert await pool.call(lambda: made, 5) == []


async def test_an_answer_that_nobody_can_take_does_not_keep_others_from_theirs(released):
    pool = CallPool("p", 4)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def refuse(result, error):
        raise ValueError("not this one")

    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await pool.call(released.wait, 0.05, late=refuse)
    others = [asyncio.ensure_future(pool.call(released.wait, 60)) for _ in range(2)]
    await asyncio.sleep(0)
    released.set()
    assert await asyncio.wait_for(asyncio.gather(*others), 5) == [True, True]
