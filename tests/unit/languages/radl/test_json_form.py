"""The JSON form, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl import (
    Bound,
    Group,
    Number,
    check,
    dumps,
    dumps_json,
    parse,
    parse_json,
    simple_json,
    to_json,
)


def system(dotted: dict[str, Any] | None = None, /, **features: Any) -> dict[str, Any]:
    return (dotted or {}) | {"class": "system", "id": "s", **features}


def problem(source: object) -> Problem:
    """The first problem of a document."""
    with pytest.raises(InvalidDocument) as caught:
        parse_json(source)
    return caught.value.problems[0]


class TestReading:
    def test_text_and_decoded_list_are_the_same(self) -> None:
        objects = [system(x=1), {"class": "deploy", "system": "s", "vm_number": 2}]
        assert parse_json(json.dumps(objects)) == parse_json(objects)

    @pytest.mark.parametrize("source", ["", " \n", "[]", []])
    def test_nothing_is_an_empty_document(self, source: object) -> None:
        assert parse_json(source) == parse("")

    def test_keys_become_features(self) -> None:
        item = system(
            t="text",
            n=5,
            f=0.5,
            low_min=2,
            both_min=2,
            both_max=4.5,
            text_min="a",
            yes=True,
            list=["a", "b"],
            none=[],
            elements=[{"name": "x", "v": "1"}, {"name": "x", "w": 2}, {"y": 3}],
            softs=[{"weight": 10, "items": {"m_min": 1}}],
        )
        assert parse_json([item]) == parse(
            "system s (t = 'text' and n = 5 and f = 0.5 and low >= 2 and both >= 2 and both <= 4.5 and text_min = 'a'"
            " and yes = 'yes' and list = ['a', 'b'] and none = [] and elements contains (name = 'x' and v = '1')"
            " and elements contains (name = 'x' and w = 2) and elements contains (y = 3) and soft 10 (m >= 1))"
        )

    def test_object_is_a_group(self) -> None:
        group = parse_json([system(g={"a": 1, "h": {"b": "c"}})]).systems["s"].features.get("g")
        assert isinstance(group, Group)
        assert group.features.value("a") == 1

    def test_random_text_is_drawn_when_read(self) -> None:
        drawn = parse_json([system(x="random(12)")]).systems["s"].text("x")
        assert drawn is not None
        assert len(drawn) == 12
        assert drawn.isalnum()

    def test_description_may_stand_anywhere(self) -> None:
        document = parse_json([system(), {"class": "description", "id": "d", "name": "x"}])
        assert document.name == "x"
        assert parse(dumps(document)) == document

    def test_contextualize_without_items_is_given_but_empty(self) -> None:
        assert parse_json([{"class": "contextualize", "items": []}]) == parse("contextualize ()")
        assert parse_json([{"class": "contextualize"}]) == parse("contextualize ()")

    def test_contextualize_in_full(self) -> None:
        assert parse_json(
            [
                {
                    "class": "contextualize",
                    "max_time": 60,
                    "options": {"ansible_version": "9.5.1", "n": 2},
                    "items": [
                        {"system": "s", "configure": "c", "step": 2},
                        {"system": "s", "configure": "d", "ctxt_tool": "cloud_init"},
                    ],
                }
            ]
        ) == parse(
            "contextualize 60 (option ansible_version = '9.5.1' option n = 2"
            " system s configure c step 2 system s configure d with cloud_init)"
        )

    def test_item_with_step_and_tool_survives_being_stored(self) -> None:
        items = [{"system": "s", "configure": "c", "step": 2, "ctxt_tool": "Ansible"}]
        document = parse_json([{"class": "contextualize", "items": items}])
        assert parse(dumps(document)) == document

    def test_cloud_may_be_any_text(self) -> None:
        document = parse_json([{"class": "deploy", "system": "s", "vm_number": 1, "cloud": "2 clouds"}])
        assert document.deploys[0].cloud == "2 clouds"
        assert parse(dumps(document)) == document

    def test_unknown_keys_of_deploys_are_ignored(self) -> None:
        assert parse_json([{"class": "deploy", "system": "s", "vm_number": 1, "note": 5}]) == parse("deploy s 1")

    def test_recipe_need_not_end_with_line_breaks(self) -> None:
        objects = [{"class": "configure", "id": "c", "recipes": "- tasks: []"}]
        assert parse_json(objects) == parse("configure c (\n@begin\n- tasks: []\n@end\n)")


class TestRefusals:
    @pytest.mark.parametrize(
        ("objects", "kind", "said"),
        [
            ([5], "syntax", "object 1 is a number"),
            ([system(), None], "syntax", "object 2 is null"),
            ([{"class": "sytem", "id": "a"}], "unknown-class", "did you mean 'system'?"),
            ([{"class": 5, "id": "a"}], "unknown-class", "a number"),
            ([{"id": "a"}], "missing-key", "no class"),
            ([{"class": "system"}], "missing-key", "no id"),
            ([{"class": "system", "id": 5}], "wrong-type", "id is a number"),
            ([{"class": "system", "id": "a b"}], "bad-name", "letters, digits"),
            ([{"class": "system", "id": "../x"}], "bad-name", "letters, digits"),
            ([{"class": "system", "id": "step"}], "bad-name", "reserved word"),
            ([system(), system()], "duplicate-id", "second time"),
            ([{"class": "description", "id": "a"}, {"class": "description", "id": "b"}], "duplicate-description", ""),
            ([system({"a b": 1})], "bad-name", "name of a feature"),
            ([system(x=None)], "wrong-type", "system 's': x is null"),
            ([system(x=["a", 1])], "wrong-type", "entry 2 is a number"),
            ([system(x=[{"name": "a"}, "b"])], "wrong-type", "entry 2 is a text"),
            ([system(x=[[]])], "wrong-type", "entry 1 is a list"),
            ([system(x_min=4, x_max=1)], "disjoint-interval", "system 's': x <= 1"),
            ([system(x="a", x_min=1)], "conflicting-kind", "x is a number here but a text before"),
            ([system(x=float("nan"))], "wrong-value", "x: this number"),
            ([system(x=10**400)], "wrong-value", "x: this number"),
            ([system(x="a\0")], "wrong-value", "NUL"),
            ([system(x="\ud800")], "wrong-value", "surrogate"),
            ([system(x=["\ud800"])], "wrong-value", "surrogate"),
            ([system(x="random(0)")], "wrong-value", "random(N)"),
            ([system(softs=[5])], "wrong-type", "softs"),
            ([system(softs=[{"items": {}}])], "missing-key", "weight"),
            ([system(softs=[{"weight": "a", "items": {}}])], "wrong-type", "weight is a text"),
            ([system(softs=[{"weight": 1, "items": []}])], "wrong-type", "items is a list"),
            ([system(reference="yes")], "wrong-type", "reference is a text"),
            ([system(reference=True, x=1)], "syntax", "cannot have x"),
            ([{"class": "ansible", "id": "a", "reference": True}], "syntax", "cannot be a reference"),
            ([{"class": "configure", "id": "c"}], "missing-key", "recipes"),
            ([{"class": "configure", "id": "c", "recipe": "a"}], "missing-key", "did you mean recipes by 'recipe'?"),
            ([{"class": "configure", "id": "c", "recipes": []}], "wrong-type", "recipes is a list"),
            ([{"class": "configure", "id": "c", "recipes": "a: ["}], "bad-yaml", "recipe 'c'"),
            ([{"class": "configure", "id": "c", "recipes": "a: |\n@end"}], "bad-recipe", "@end"),
            ([{"class": "deploy", "vm_number": 1}], "missing-key", "no system"),
            ([{"class": "deploy", "system": "s"}], "missing-key", "vm_number"),
            ([{"class": "deploy", "system": "s", "vm_number": 1.5}], "wrong-type", "whole number"),
            ([{"class": "deploy", "system": "s", "vm_number": True}], "wrong-type", "a boolean"),
            ([{"class": "deploy", "system": "s", "vm_number": 1, "cloud": 5}], "wrong-type", "cloud is a number"),
            ([{"class": "contextualize", "items": {}}], "wrong-type", "items is an object"),
            ([{"class": "contextualize", "items": [5]}], "wrong-type", "item 1 is a number"),
            ([{"class": "contextualize", "items": [{"system": "s"}]}], "missing-key", "item 1 has no configure"),
            ([{"class": "contextualize", "max_time": "60"}], "wrong-type", "max_time is a text"),
            ([{"class": "contextualize", "options": []}], "wrong-type", "options is a list"),
            ([{"class": "contextualize", "options": {"a": ["b"]}}], "wrong-type", "option a"),
            ({"class": "system", "id": "s"}, "syntax", "put it into a list"),
            (5, "syntax", "not a number"),
            ([{"class": "system", "id": "s", 5: "x"}], "wrong-type", "name is a number"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, objects: object, kind: str, said: str) -> None:
        found = problem(objects)
        assert found.kind == kind
        assert said in str(found)

    @pytest.mark.parametrize(
        ("text", "line", "column"), [("[{]", 1, 3), ('[\n {"class": "network"\n', 3, 1), ("network n ()", 1, 1)]
    )
    def test_what_is_not_json_has_a_position(self, text: str, line: int, column: int) -> None:
        found = problem(text)
        assert (found.line, found.column, found.kind) == (line, column, "syntax")

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9" * 5000])
    def test_numbers_that_are_none_are_refused(self, number: str) -> None:
        assert problem(f'[{{"class": "system", "id": "s", "x": {number}}}]').kind == "wrong-value"

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
    def test_nesting_that_exhausts_the_parser_is_refused(self, text: str) -> None:
        assert problem(text).kind == "too-deep"

    def test_nesting_of_groups_is_limited_as_in_text(self) -> None:
        group: dict[str, Any] = {}
        for _ in range(40):
            group = {"g": group}
        assert problem([system(**group)]).kind == "too-deep"

    def test_key_given_twice_is_refused(self) -> None:
        found = problem('[{"class": "system", "id": "s", "x": 1, "x": 2}]')
        assert found.kind == "duplicate-key"
        assert "'x'" in found.message

    def test_problems_of_all_objects_are_reported(self) -> None:
        with pytest.raises(InvalidDocument) as caught:
            parse_json([{"class": "network"}, system(x=None), {"class": "x"}])
        assert [problem.kind for problem in caught.value.problems] == ["missing-key", "wrong-type", "unknown-class"]

    def test_problems_of_the_check_stage_name_the_aspect(self) -> None:
        with pytest.raises(InvalidDocument, match=r"system 's': memory\.size cannot be negative"):
            check(parse_json([system({"memory.size_min": -1})]))


class TestWriting:
    def test_both_ends_of_an_interval_are_written(self) -> None:
        (written,) = to_json(parse("system s (a >= 1 and a <= 2 and b > 3 and c < 4 and d >= 5 and d <= 5)"))
        assert written == system(a_min=1, a_max=2, b_min=3, c_max=4, d=5)

    def test_units_are_multiplied_out(self) -> None:
        (written,) = to_json(parse("system s (a = 1.5T and b = 2Ki and c = 3furlong)"))
        assert written == system(a=1500000000000.0, b=2048, c=3)
        assert isinstance(written["a"], float)

    def test_name_that_looks_like_an_end_is_not_mistaken(self) -> None:
        document = parse("system s (x_min = 4)")
        number = parse_json(to_json(document)).systems["s"].features.get("x_min")
        assert number == Number(Bound(">=", 4), Bound("<=", 4))

    def test_keys_of_the_aspect_win_over_features_of_that_name(self) -> None:
        assert to_json(parse("system s (id = 'x' and class = 'y' and reference = 'z')")) == [system()]

    def test_text_is_sorted_and_indented(self) -> None:
        assert dumps_json(parse("network n (é = 'b')".replace("é", "a"))) == (
            '[\n  {\n    "a": "b",\n    "class": "network",\n    "id": "n"\n  }\n]'
        )

    def test_zero_step_limit_and_empty_parts_are_left_out(self) -> None:
        document = parse("contextualize 0 (system s configure c step 0)")
        assert to_json(document) == [{"class": "contextualize", "items": [{"system": "s", "configure": "c"}]}]


def test_simple_json_is_what_recipes_are_given() -> None:
    document = parse(
        "description d (name = 'x') network net (outbound = 'yes') network ref ansible a (host = 'h')"
        "system front (cpu.count >= 2 and net_interface.0.connection = 'net' and a.b contains (name = 'x' and c.d = 1))"
        "system F0000__FAKE_SYSTEM__1 () configure front () contextualize ()"
        "deploy front 1 site-a deploy F0000__FAKE_SYSTEM__1 0"
    )
    assert simple_json(document) == [
        {"class": "network", "id": "net", "outbound": "yes"},
        {"class": "network", "id": "ref", "reference": True},
        {
            "class": "system",
            "id": "front",
            "cpu_count_min": 2,
            "net_interface_0_connection": "net",
            "a_b": [{"name": "x", "c.d": 1}],
        },
        {"class": "deploy", "system": "front", "vm_number": 1, "cloud": "site-a"},
    ]
