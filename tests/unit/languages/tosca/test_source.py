"""Reading YAML: positions, and documents that mean harm."""

from __future__ import annotations

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.tosca.source import MAX_CHARACTERS, MAX_DEPTH, dump, key_mark, load, value_mark

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


def test_maps_and_lists_remember_where_their_parts_stood() -> None:
    data = load("a:\n  b: 1\n  c: [x, y]\n")
    assert key_mark(data["a"], "b") == (2, 3)
    assert value_mark(data["a"], "b") == (2, 6)
    assert value_mark(data["a"]["c"], 1) == (3, 10)


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("a: 1\nb: ]\n", "bad-yaml", 2),
        ("a: 1\na: 2\n", "duplicate-key", 2),
        ("a: 1\n---\nb: 2\n", "bad-yaml", 2),
        ("- a\n- b\n", "bad-yaml", 1),
        ("", "bad-yaml", 1),
        ("a: *x\n", "bad-yaml", 1),
        ("a: &x [*x]\n", "bad-yaml", 1),
        ("a: !!python/object/apply:os.system [ls]\n", "bad-yaml", 1),
        ("a: !vault x\n", "bad-yaml", 1),
        ("? [a]\n: b\n", "bad-yaml", 1),
        ('a: "\x07"\n', "bad-yaml", 1),
        ("a: " + "9" * 5000, "bad-yaml", 1),
        ("a: " + "[" * 5000, "too-deep", 1),
        ("".join(f"{' ' * depth}a:\n" for depth in range(MAX_DEPTH + 5)), "too-deep", MAX_DEPTH + 1),
        (BOMB, "too-large", 5),
        ("b: x\n" + "a: '" + "x" * 5_000_000 + "'", "too-large", 2),
        ("a: [" + "1," * 300_000 + "]", "too-large", 1),
    ],
    ids=lambda value: None if not isinstance(value, str) or len(value) < 40 else value[:15],
)
def test_harmful_or_broken_text_is_refused_with_its_position(text: str, kind: str, line: int) -> None:
    with pytest.raises(InvalidDocument) as raised:
        load(text)
    (problem,) = raised.value.problems
    assert (problem.kind, problem.line) == (kind, line)
    assert problem.column is not None


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="surrogate"):
        load("a: \ud800")


def test_merge_keys_take_over_what_is_not_given() -> None:
    data = load("base: &base { a: 1, b: 2 }\nmine: { <<: *base, b: 3 }\nboth: { <<: [*base, { c: 4 }] }\n")
    assert data["mine"] == {"a": 1, "b": 3}
    assert data["both"] == {"a": 1, "b": 2, "c": 4}


def test_what_was_dumped_reads_back_the_same() -> None:
    text = "base: &x { a: 'random(8)', b: [1, 2.5, true, null, 'yes', \"a\\n'b\"] }\nagain: *x\n"
    assert load(dump(load(text))) == load(text)


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(InvalidDocument, match="characters"):
        dump({"a": ["x" * (MAX_CHARACTERS // 2)] * 3})
    with pytest.raises(InvalidDocument, match="values"):
        dump({"a": [1] * 200_000})
