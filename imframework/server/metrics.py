"""Metrics of the service in the Prometheus text format, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from imframework.api.version import __version__


class Metrics:
    """The registry of one service; `gauges` maps names to help text and a function that gives the value."""

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Gauges(gauges))

    def render(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        version = GaugeMetricFamily("imframework_info", "Version of the service.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"imframework_{name}", text, value=read())
