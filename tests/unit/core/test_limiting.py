"""Rate limits: who is turned away, for how long, and that nothing grows."""

from __future__ import annotations

import limits
import pytest

from imframework.api.errors import TooManyRequests, Unauthenticated
from imframework.core import limiting
from imframework.core.limiting import Windows, rate_limits

WRONG = "type = InfrastructureManager; username = admin; password = guess"


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(limiting.time, "monotonic", lambda: Clock.now)
    return Clock


def refused(call, *arguments):
    """After how many seconds to come again; 0 if the call is let through."""
    try:
        call(*arguments)
    except TooManyRequests as error:
        return error.retry_after
    return 0


def test_without_options_there_are_no_limits():
    assert rate_limits("", "", "") is None


def test_an_address_may_ask_as_often_as_the_limit_says_in_any_window(clock):
    limits = rate_limits("3/minute", "", "")
    answers = []
    for at in (0, 10, 20, 30, 59, 61, 62, 75):
        clock.now = 1000.0 + at
        answers.append(refused(limits.admit, "192.0.2.1"))
    assert answers == [0, 0, 0, 30, 1, 0, 8, 0]


def test_all_limits_of_an_option_count_and_what_is_refused_does_not(clock):
    limits = rate_limits("2/second; 3/minute", "", "")
    assert [refused(limits.admit, "a") for _ in range(4)] == [0, 0, 1, 1]
    clock.now += 2
    assert [refused(limits.admit, "a") for _ in range(2)] == [0, 58]


def test_addresses_do_not_spoil_each_other(clock):
    limits = rate_limits("1/minute", "", "")
    assert [refused(limits.admit, address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [0, 0, 60]


def test_an_ipv6_network_counts_as_one_address(clock):
    limits = rate_limits("1/minute", "", "")
    addresses = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"]
    assert [refused(limits.admit, address) for address in addresses] == [0, 60, 0, 0, 60]


def test_calls_within_the_process_have_no_address_to_count(clock):
    limits = rate_limits("1/minute", "", "1/minute")
    for _ in range(3):
        limits.failed("")
        limits.admit("")


def test_what_is_remembered_is_bounded(clock):
    item = limits.parse("100/day")
    windows = Windows(windows=10, requests=50)
    for number in range(100):
        windows.enter(item, str(number))
    assert len(windows) == 10
    for _ in range(60):
        windows.enter(item, "99")
    assert len(windows) <= 1
    assert windows.wait(item, "new") == 0


@pytest.mark.parametrize("kind", ["limit_address", "limit_user"])
async def test_the_service_counts_each_request(ground, kind):
    async with ground.running() as free:
        for _ in range(20):
            await free.service.authenticate(ground.owner, "192.0.2.1")
    async with ground.running(service_options={kind: "5/hour"}) as running:
        # The log-in of the ground itself was the user's first request.
        for _ in range(4 if kind == "limit_user" else 5):
            await running.service.authenticate(ground.owner, "192.0.2.1")
        with pytest.raises(TooManyRequests) as caught:
            await running.service.authenticate(ground.owner, "192.0.2.1")
        assert 3500 < caught.value.retry_after <= 3600


async def test_a_user_is_the_same_from_everywhere_and_others_are_not_touched(ground):
    async with ground.running(service_options={"limit_user": "3/hour"}) as running:
        for address in ("192.0.2.1", "192.0.2.2"):
            await running.service.authenticate(ground.owner, address)
        with pytest.raises(TooManyRequests, match="this user"):
            await running.service.authenticate(ground.owner, "192.0.2.3")
        await running.service.authenticate(ground.owner.replace("owner", "other"), "192.0.2.3")


async def test_passwords_cannot_be_guessed_at_full_speed(ground, tmp_path):
    users = tmp_path / "users.json"
    users.write_text('{"users": [{"username": "owner", "password": "secret-of-owner"}]}')
    async with ground.running(service_options={"limit_failures": "3/hour"}, user_db=users) as running:
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await running.service.authenticate(WRONG, "192.0.2.1")
        for credentials in (WRONG, ground.owner):
            with pytest.raises(TooManyRequests, match="failed log-ins"):
                await running.service.authenticate(credentials, "192.0.2.1")
        await running.service.authenticate(ground.owner, "192.0.2.2")
