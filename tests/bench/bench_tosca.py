"""How fast TOSCA is translated: milliseconds per document, and the ratio to PyYAML's C loader reading the same text.

Run it as ``python tests/bench/bench_tosca.py``. *First* is the first translation of a fresh process, which reads the
type definitions; *cold* a document with a node name the process has not seen; *warm* one that differs from the last in
one input only. A different value each round: nothing can be remembered by its text. The figures are medians; the ratio
holds on other machines too, the milliseconds do not.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from figures import Figure, table

from imframework.languages.tosca import ARTIFACTS_URL, Sources, translate

VECTORS = Path(__file__).parents[1] / "vectors" / "tosca"
DOCUMENTS = ("kubernetes.yaml", "11-containers.yaml", "06-software.yaml")
ROUNDS = 50
#: Document → a line of it, and what to put there; ``{}`` is the number of the round.
CHANGES = {
    "kubernetes.yaml": ("default: 8 GiB", "default: {} GiB"),
    "11-containers.yaml": ("default: s3cret", "default: s3cret-{}"),
    "06-software.yaml": ("default: nginx", "default: nginx-{}"),
}
#: Document → a name of it that is made new each round.
NAMES = {"kubernetes.yaml": "control_plane", "11-containers.yaml": "wiki_app", "06-software.yaml": "server"}


def fetch(url: str) -> str:
    """Serve the artifacts of the examples."""
    name = url.removeprefix("https://recipes.example.org/").removeprefix(ARTIFACTS_URL)
    return (VECTORS / "artifacts" / name).read_text()


SOURCES = Sources(fetch=fetch)


def median(action: Callable[[str], object], texts: list[str]) -> float:
    """Milliseconds."""
    durations = []
    for text in texts:
        started = time.perf_counter()
        action(text)
        durations.append(time.perf_counter() - started)
    return statistics.median(durations) * 1000


def first(name: str) -> float:
    """Milliseconds of the first translation in a fresh process, imports of Python modules not counted."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import bench_tosca as bench;"
        "text = (bench.VECTORS / sys.argv[2]).read_text(); started = time.perf_counter();"
        "bench.translate(text, sources=bench.SOURCES); print(time.perf_counter() - started)"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1000


def measure() -> Iterator[Figure]:
    """The figures of all documents."""
    for name in DOCUMENTS:
        text = (VECTORS / name).read_text()
        old, new = CHANGES[name]
        cold_texts = [text.replace(NAMES[name], f"{NAMES[name]}{round_}") for round_ in range(ROUNDS)]
        warm_texts = [text.replace(old, new.format(round_ + 100)) for round_ in range(ROUNDS)]
        baseline = median(lambda one: yaml.load(one, Loader=yaml.CSafeLoader), warm_texts)
        fresh = statistics.median(first(name) for _ in range(5))
        cold = median(lambda one: translate(one, sources=SOURCES), cold_texts)
        warm = median(lambda one: translate(one, sources=SOURCES), warm_texts)
        about = f"TOSCA {name} ({len(text) / 1000:.1f} KB)"
        incumbent = "123 ms" if name == "kubernetes.yaml" else ""
        yield Figure(f"{about}, first of a process", fresh, "ms", 40, incumbent=incumbent)
        yield Figure(f"{about}, another node name", cold, "ms", detail=f"{cold / baseline:.1f} x yaml.load")
        yield Figure(
            f"{about}, another input", warm, "ms", 10, incumbent=incumbent, detail=f"{warm / baseline:.1f} x yaml.load"
        )


if __name__ == "__main__":
    print(table(measure()))
