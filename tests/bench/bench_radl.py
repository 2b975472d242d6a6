"""How fast RADL is read: milliseconds per KB of text, and the ratio to json.loads on the same content as JSON.

Run it as ``python tests/bench/bench_radl.py``. The corpus is light on recipes: the example documents 01 to 10 and 15 to
20, each read on its own (as requests come in), and one large document made of a hundred renamed copies of them.
Every figure is the best of several rounds; the ratio holds on other machines too, the milliseconds do not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from figures import Figure

from imframework.languages.radl import (
    Document,
    check,
    dumps,
    dumps_json,
    parse,
    parse_json,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "radl"
NUMBERS = (*range(1, 11), *range(15, 21))
ROUNDS = 25
COPIES = 100

_T = TypeVar("_T")


def corpus() -> list[str]:
    """The texts of the examples, parameters replaced."""
    inputs = json.loads((VECTORS / "17.inputs.json").read_text())
    texts = []
    for number in NUMBERS:
        (path,) = VECTORS.glob(f"{number:02}-*.radl")
        text = path.read_text()
        for name, value in inputs.items():
            text = text.replace(f"@input.{name}@", value)
        texts.append(text)
    return texts


def large(documents: Iterable[Document]) -> Document:
    """One document of many renamed copies of these."""
    result = Document()
    for copy in range(COPIES):
        for number, document in enumerate(documents):
            suffix = f"_{number}_{copy}"
            for network in document.networks.values():
                result.networks[network.id + suffix] = replace(network, id=network.id + suffix)
            for original in document.systems.values():
                system = original.copy()
                system.id += suffix
                for interface, connection in original.connections().items():
                    system.set(f"net_interface.{interface}.connection", connection + suffix)
                system.features.discard("ansible_host")
                result.systems[system.id] = system
    return result


def best(action: Callable[[_T], object], arguments: list[_T], rounds: int) -> float:
    """Milliseconds of the fastest round over all arguments."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for argument in arguments:
            action(argument)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest * 1000


def report(title: str, texts: list[str], rounds: int) -> None:
    """Print the figures of one corpus."""
    documents = [parse(text) for text in texts]
    jsons = [dumps_json(document) for document in documents]
    size = sum(len(text.encode()) for text in texts) / 1024
    baseline = best(json.loads, jsons, rounds)
    print(f"{title}: {size:.1f} KB in {len(texts)} documents; json.loads of the JSON form {baseline / size:.4f} ms/KB")
    rows = [
        ("parse", best(parse, texts, rounds)),
        ("parse_json", best(parse_json, jsons, rounds)),
        ("check", best(check, documents, rounds)),
        ("dumps", best(dumps, documents, rounds)),
        ("copy", best(Document.copy, documents, rounds)),
    ]
    for name, milliseconds in rows:
        print(f"  {name:10}  {milliseconds / size:7.4f} ms/KB  {milliseconds / baseline:6.1f} x json.loads")


def measure() -> Iterator[Figure]:
    """The figure that has a target; the rest is for those who work on the language."""
    texts = corpus()
    size = sum(len(text.encode()) for text in texts) / 1024
    yield Figure(
        "RADL parse", best(parse, texts, ROUNDS) / size, "ms/KB", 0.5, incumbent="1.0-1.4 ms/KB",
        detail=f"{len(texts)} documents, {size:.0f} KB, best of {ROUNDS} rounds",
    )  # fmt: skip


def main() -> None:
    texts = corpus()
    report("single documents", texts, ROUNDS)
    report("one large document", [dumps(large([parse(text) for text in texts]))], 7)


if __name__ == "__main__":
    main()
