"""Calling hook plugins: in order, isolated from each other, and never longer than somebody is ready to wait."""

import asyncio
import logging
import threading
import time

import pluggy
import pytest

from imframework.api.errors import CloudUnavailable, Vetoed
from imframework.api.hooks import PROJECT, HookPlugin, hookimpl
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.core.ports import Hooks
from imframework.registry import Choice, HookHost, Registry, start_hooks
from imframework.registry.hooks import hook_faults

PATIENCE = 30
VETO, EVENT = "imframework_approve_plan", "imframework_event"


class Listener(HookPlugin):
    """Does what the test says when it is called."""

    info = PluginInfo(name="listener", kind=PluginKind.HOOK, version="1", api_version=(0, 1))

    def __init__(self, act=lambda subject: None):
        super().__init__({})
        self.act = act
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


class Observer(Listener):
    @hookimpl
    def imframework_event(self, event):
        self.act(event)


class Judge(Listener):
    @hookimpl
    def imframework_approve_plan(self, machines):
        self.act(machines)


class ObserverAndJudge(Observer, Judge):
    pass


class Blocked:
    """A call that hangs until the test is over."""

    def __init__(self):
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, subject):
        self.entered.set()
        self.release.wait(PATIENCE)


@pytest.fixture
def blocked():
    blocked = Blocked()
    yield blocked
    blocked.release.set()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def judge(host, machines=()):
    """The verdict of the hosts' plugins: empty, or the text of the refusal."""
    try:
        run(host.veto(VETO, infrastructure=None, machines=machines))
    except Vetoed as error:
        return str(error)
    return ""


def tell(host, *events):
    for event in events:
        host.observe(EVENT, infrastructure=None, event=event)


def fail(error):
    def act(subject):
        raise error

    return act


def until(condition):
    """Wait for something that another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


class TestObservers:
    def test_are_told_in_order_in_another_thread(self):
        heard = []
        host: Hooks = HookHost({"one": Observer(lambda event: heard.append((event, threading.current_thread())))})

        tell(host, *range(100))

        until(lambda: len(heard) == 100)
        assert [event for event, _ in heard] == list(range(100))
        assert {thread for _, thread in heard}.isdisjoint({threading.current_thread()})
        assert all(thread.daemon for _, thread in heard)

    def test_that_fail_are_logged_and_go_on(self, caplog):
        heard = []

        def act(event):
            heard.append(event)
            if event == 1:
                raise RuntimeError("no luck")
            if event == 2:
                raise SystemExit

        tell(HookHost({"one": Observer(act)}), 1, 2, 3)

        until(lambda: heard == [1, 2, 3])
        assert caplog.text.count("The hook plugin one failed in imframework_event.") == 2

    def test_that_hang_keep_nobody_else_waiting_and_are_reported(self, blocked, caplog):
        heard = []
        host = HookHost({"stuck": Observer(blocked), "fine": Observer(heard.append)}, deadline=0.3)
        tell(host, 1)
        blocked.entered.wait(PATIENCE)
        until(lambda: host.troubles())

        tell(host, 2, 3)

        until(lambda: heard == [1, 2, 3])
        assert host.troubles() == {"stuck": "it does not return from imframework_event"}
        assert caplog.text.count("The hook plugin stuck does not return from imframework_event.") == 1
        blocked.release.set()
        until(lambda: not host.troubles())

    def test_that_are_too_slow_miss_calls_which_are_counted(self, blocked, caplog):
        host = HookHost({"slow": Observer(blocked)}, backlog=2)
        tell(host, 1)
        blocked.entered.wait(PATIENCE)

        tell(host, *range(2, 10))

        assert host.dropped == 6
        assert [record.args[1] for record in caplog.records] == [1, 2, 4]

    def test_do_not_concern_plugins_that_do_not_listen(self):
        host = HookHost({"judge": Judge(fail(RuntimeError()))})

        tell(host, 1)

        assert not host.active(EVENT)
        assert host.active(VETO)
        assert not HookHost({}).active(VETO)


class TestVetoes:
    def test_pass_when_nobody_objects(self):
        asked = []
        host = HookHost({"one": Judge(asked.append), "two": Judge(asked.append)})

        assert judge(host, ("machine",)) == ""
        assert asked == [("machine",), ("machine",)]

    def test_are_asked_in_order_until_one_refuses(self):
        asked = []
        host = HookHost(
            {
                "one": Judge(lambda _: asked.append("one")),
                "two": Judge(fail(Vetoed("Only on weekdays."))),
                "three": Judge(lambda _: asked.append("three")),
            }
        )

        assert judge(host) == "Only on weekdays."
        assert asked == ["one"]

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (RuntimeError("s3cret"), "it failed (RuntimeError)."),
            (SystemExit("s3cret"), "it failed (SystemExit)."),
            (StopIteration(), "it failed (StopIteration)."),
            (CloudUnavailable("The policy server is away."), "The policy server is away."),
        ],
    )
    def test_refuse_when_a_plugin_fails(self, error, text):
        assert judge(HookHost({"one": Judge(fail(error))})) == f"The hook plugin one cannot decide: {text}"

    def test_refuse_when_a_plugin_hangs_and_pass_again_when_it_answers(self, blocked, caplog):
        host = HookHost({"stuck": Judge(blocked)}, deadline=0.3)

        assert judge(host) == "The hook plugin stuck cannot decide: it did not answer within 0.3 s."
        assert judge(host) == "The hook plugin stuck cannot decide: it did not answer within 0.3 s."
        assert host.troubles() == {"stuck": "it does not return from imframework_approve_plan"}
        blocked.release.set()
        until(lambda: not host.troubles())
        assert judge(host) == ""

    def test_that_nobody_waits_for_any_more_are_not_asked(self, blocked):
        asked = []

        def act(machines):
            asked.append(machines)
            blocked(machines)

        host = HookHost({"stuck": Judge(act)}, deadline=0.3)
        judge(host, "first")
        judge(host, "second")
        blocked.release.set()

        assert judge(host, "third") == ""
        assert asked == ["first", "third"]

    def test_refuse_when_too_many_wait(self, blocked, monkeypatch):
        monkeypatch.setattr("imframework.registry.hooks.QUESTIONS", 1)
        host = HookHost({"stuck": Judge(blocked)})

        async def ask_three():
            asking = [asyncio.create_task(host.veto(VETO, infrastructure=None, machines=()))]
            await asyncio.to_thread(blocked.entered.wait, PATIENCE)
            asking += [asyncio.create_task(host.veto(VETO, infrastructure=None, machines=())) for _ in range(2)]
            done, pending = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            blocked.release.set()
            await asyncio.gather(*pending, return_exceptions=True)
            return [str(task.exception()) for task in done]

        assert run(ask_three()) == ["The hook plugin stuck cannot decide: too many questions wait for it."]

    def test_are_not_held_up_by_what_a_plugin_observes(self, blocked):
        plugin = ObserverAndJudge(lambda subject: blocked(subject) if subject == "event" else None)
        host = HookHost({"both": plugin})
        tell(host, "event")
        blocked.entered.wait(PATIENCE)

        assert judge(host) == ""


class TestFirstResults:
    class Specs:
        @pluggy.HookspecMarker(PROJECT)(firstresult=True)
        def imframework_example(self, question):
            """First-result: an example."""

    class Answers(Listener):
        @hookimpl
        def imframework_example(self, question):
            return self.act(question)

    def host(self, **acts):
        plugins = {name: self.Answers(act) for name, act in acts.items()}
        return HookHost(plugins, specs=self.Specs, sorts={"imframework_example": "first-result"}, deadline=0.5)

    def test_come_from_the_first_plugin_that_has_an_answer(self, blocked):
        host = self.host(
            silent=lambda q: None, broken=fail(RuntimeError()), stuck=blocked, one=lambda q: q + 1, two=lambda q: q + 2
        )

        assert run(host.first("imframework_example", question=1)) == 2

    def test_are_none_when_nobody_has_one(self):
        assert run(self.host(silent=lambda q: None).first("imframework_example", question=1)) is None


class TestHost:
    def test_knows_the_sort_of_each_hook(self):
        host = HookHost({})

        with pytest.raises(ValueError, match="imframework_event is a hook of sort observer, not veto"):
            run(host.veto(EVENT))
        with pytest.raises(ValueError, match="not observer"):
            host.observe(VETO)
        with pytest.raises(KeyError):
            host.active("imframework_no_such_hook")

    def test_lets_plugins_hear_everything_before_it_closes_them(self):
        heard = []
        plugin = Observer(lambda event: heard.append((event, plugin.closed.is_set())))
        host = HookHost({"one": plugin})
        tell(host, *range(50))

        host.close(timeout=PATIENCE)

        assert heard == [(event, False) for event in range(50)]
        assert plugin.closed.is_set()
        tell(host, "too late")
        assert len(heard) == 50

    def test_closes_in_time_when_a_plugin_hangs_or_fails(self, blocked, caplog):
        class FailsToClose(Observer):
            def close(self):
                raise RuntimeError("no luck")

        fine = Judge()
        host = HookHost({"stuck": Observer(blocked), "bad": FailsToClose(), "fine": fine})
        tell(host, 1)

        host.close(timeout=0.5)

        assert fine.closed.is_set()
        assert "The hook plugin stuck was not done after 0.5 s and is left behind." in caplog.text
        assert "The hook plugin bad failed to close: RuntimeError: no luck" in caplog.text

    def test_starts_the_chosen_plugins_and_leaves_out_those_that_fail(self, site, caplog):
        for name in ("good", "bad", "unwanted"):
            site.plugin(name, target=NEEDS_WORK.replace("HOOK", EVENT))
        registry = Registry.discover().choose(Choice({PluginKind.HOOK: ["bad", "good"]}))

        host = start_hooks(registry, lambda info: {"WORK": info.name == "good"})

        assert host.active(EVENT)
        assert not host.active(VETO)
        report = {line.name: (line.enabled, line.health, line.reason) for line in registry.report()}
        assert report["good"] == (True, "ok", "")
        assert report["bad"] == (True, "broken", "it cannot be started: ValueError: no work")
        assert report["unwanted"] == (False, "not loaded", "im.cfg does not choose it")
        assert "The hook plugin bad cannot be used: it cannot be started: ValueError: no work." in caplog.text

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("starts-not", "it cannot be started: ValueError: no work"),
            ("imports-not", "it cannot be imported: RuntimeError: no luck"),
            ("missing", "it is not installed"),
        ],
    )
    def test_refuses_while_a_plugin_that_might_refuse_cannot_be_asked(self, site, name, reason):
        site.plugin("starts-not", target=NEEDS_WORK.replace("HOOK", VETO), package="starts")
        site.plugin("imports-not", target="raise RuntimeError('no luck')", package="imports")
        registry = Registry.discover().choose(Choice({PluginKind.HOOK: [name]}))

        host = start_hooks(registry, lambda info: {"WORK": False})

        assert host.active(VETO)
        assert not host.active(EVENT)
        assert judge(host) == f"The hook plugin {name} cannot be used: {reason}."


NEEDS_WORK = """
from imframework.api.hooks import HookPlugin, hookimpl
from {package} import declaration

class Target(HookPlugin):
    info = declaration.info

    def __init__(self, options):
        super().__init__(options)
        if not options["WORK"]:
            raise ValueError("no work")

    @hookimpl
    def HOOK(self):
        pass
"""


class TestFaults:
    def test_of_a_proper_listener_are_none(self):
        assert hook_faults(ObserverAndJudge) == []

    def test_are_wrappers_and_deafness(self):
        class Wrapper(Listener):
            @hookimpl(wrapper=True)
            def imframework_event(self, event):
                yield

        assert hook_faults(Wrapper) == [
            f"{Wrapper.__qualname__}.imframework_event is a wrapper, but plugins are called apart from each other"
        ]
        assert hook_faults(Listener) == ["Listener listens to no hook"]


@pytest.fixture(autouse=True)
def _all_levels(caplog):
    caplog.set_level(logging.WARNING)
