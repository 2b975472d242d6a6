"""Whatever is sent, the answer is a translation or an InvalidDocument: mutated examples, and random text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import check, dumps, parse
from imframework.languages.tosca import ARTIFACTS_URL, ExistingMachine, LiveMachine, Sources, outputs, translate

VECTORS = Path(__file__).parents[3] / "vectors" / "tosca"
TEXTS = [path.read_text() for path in sorted(VECTORS.glob("*.yaml"))]
DOCUMENTS = [yaml.safe_load(text) for text in TEXTS]
SEED = int(os.environ.get("TOSCA_HYPOTHESIS_SEED", "7"))

pytestmark = pytest.mark.filterwarnings("error")


def fetch(url: str) -> str:
    path = VECTORS / "artifacts" / url.removeprefix("https://recipes.example.org/").removeprefix(ARTIFACTS_URL)
    if "\0" in str(path) or not path.is_file():
        raise OSError("404 Not Found")
    return path.read_text()


SOURCES = Sources(fetch=fetch)
MACHINES = [ExistingMachine("1", "web"), ExistingMachine("2", "web"), ExistingMachine("3", "vm")]
LIVE = [LiveMachine("vm", "i-1", "1.2.3.4"), LiveMachine("front", "i-2", None, "10.0.0.1")]


def survives(text: str) -> None:
    """Translate, write, read, evaluate and update; only InvalidDocument may be raised."""
    try:
        translation = translate(text, sources=SOURCES, existing=MACHINES, suffix="c0ffee00")
    except InvalidDocument:
        return
    check(translation.radl, boot_disk_required=False)
    assert parse(dumps(translation.radl)) == translation.radl
    outputs(translation.stored, LIVE)
    again = translate(text, sources=SOURCES, existing=MACHINES, stored=translation.stored)
    assert again.radl == translation.radl


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, entry in entries for found in paths(entry, (*path, key)))]


PATHS = [paths(document)[1:] for document in DOCUMENTS]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        (
            *("SELF", "HOST", "TARGET", "random(5)", "random(0)", "access_token()", "4 GB", "tosca.nodes.Root"),
            *("tosca.nodes.indigo.Compute", "tosca.relationships.HostedOn", "AttachesTo", "file:///etc/passwd"),
            *("greet.yml", "oneline.sh", "https://recipes.example.org/app.conf", 'it\'s "odd"\n{{ x }}'),
        )
    ),
)
CALLS = st.sampled_from(("get_input", "get_property", "get_attribute", "get_artifact", "concat", "token", "equal"))
NAMES = st.sampled_from(("SELF", "HOST", "server", "vm", "front", "host", "scalable", "properties", "tosca_id", 0, "x"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers(), CALLS), inner, max_size=3),
        st.builds(lambda name, arguments: {name: arguments}, CALLS, st.lists(NAMES | inner, max_size=4)),
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    index = draw(st.integers(0, len(DOCUMENTS) - 1))
    document = yaml.safe_load(TEXTS[index])
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(PATHS[index]))
        container = document
        try:
            for step in way:
                container = container[step]
            if draw(st.booleans()):
                container[last] = draw(VALUES)
            else:
                del container[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


@seed(SEED)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(mutated())
def test_mutated_example_is_translated_or_refused(text: str) -> None:
    survives(text)


@seed(SEED)
@settings(max_examples=150, deadline=None, database=None)
@given(st.text() | st.text(alphabet="{}[]:,-&*!|>'\" \n\tab0?#%", max_size=60))
def test_any_text_is_translated_or_refused(text: str) -> None:
    survives(text)


@seed(SEED)
@settings(max_examples=100, deadline=None, database=None)
@given(st.sampled_from(TEXTS), st.data())
def test_example_cut_or_spliced_is_translated_or_refused(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 60)))
    survives(text[:start] + data.draw(st.text(max_size=5)) + text[end:])
