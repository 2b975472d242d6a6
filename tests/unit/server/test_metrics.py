"""Metrics of the service."""

from __future__ import annotations

from imframework.api.version import __version__
from imframework.server.metrics import Metrics


def test_gauges_have_the_value_of_the_moment_at_which_they_are_read() -> None:
    values = iter([3, 5])
    metrics = Metrics({"things": ("Things there are.", lambda: next(values))})
    assert b"# HELP imframework_things Things there are.\n" in (first := metrics.render())
    assert b"imframework_things 3.0\n" in first
    assert b"imframework_things 5.0\n" in metrics.render()


def test_the_process_and_the_version_are_among_them() -> None:
    text = Metrics({}).render().decode()
    assert f'imframework_info{{version="{__version__}"}} 1.0\n' in text
    assert "process_resident_memory_bytes " in text


def test_services_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics({"a": ("", lambda: 1)}), Metrics({"a": ("", lambda: 2)})
    assert b"imframework_a 1.0" in one.render()
    assert b"imframework_a 2.0" in other.render()
