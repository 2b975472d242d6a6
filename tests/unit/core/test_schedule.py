"""When things are looked at next, and what may still come of calls that were given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imframework.core.abandoned import Abandoned
from imframework.core.schedule import Schedule


def test_what_is_due_is_taken_once_in_the_order_of_time():
    schedule = Schedule()
    for key, instant in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        schedule.set(key, instant)
    assert schedule.next() == 1.0
    assert schedule.take(2.5) == ["a", "b"]
    assert schedule.take(2.5) == []
    assert schedule.next() == 3.0


def test_the_last_word_counts():
    schedule = Schedule()
    schedule.set("a", 1.0)
    schedule.set("a", 5.0)
    assert schedule.take(2.0) == []
    assert schedule.next() == 5.0
    schedule.set("a", 3.0)
    assert schedule.take(4.0) == ["a"]
    assert "a" not in schedule
    assert schedule.next() is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)) | st.integers(0, 20), max_size=60))
def test_it_does_what_a_dictionary_would_do(steps):
    schedule, model = Schedule(), {}
    for step in steps:
        if isinstance(step, int):
            due = schedule.take(step)
            assert sorted(due) == sorted(key for key, instant in model.items() if instant <= step)
            model = {key: instant for key, instant in model.items() if instant > step}
        else:
            schedule.set(*step)
            model[step[0]] = step[1]
        assert schedule.next() == min(model.values(), default=None)
        assert all(key in schedule for key in model)


def test_calls_that_were_given_up_are_known_until_each_of_them_has_ended():
    abandoned = Abandoned()
    abandoned.add("i", "c/vm")
    abandoned.add("i", "c/vm")
    abandoned.add("i", "c/net")
    abandoned.ended("i", "c/vm")
    assert set(abandoned.of("i")) == {"c/vm", "c/net"}
    abandoned.ended("i", "c/vm")
    abandoned.ended("i", "c/net")
    abandoned.ended("i", "c/net")
    assert abandoned.of("i") == {}
    assert abandoned._calls == {}
