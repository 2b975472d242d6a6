"""Features: how repeated ones combine, reading and writing of values, merge policies, soft groups."""

from __future__ import annotations

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import (
    Bound,
    Collection,
    Features,
    Number,
    OnConflict,
    OnMissing,
    Text,
    TextList,
    dumps,
    is_secret,
    parse,
)


def features(group: str) -> Features:
    return parse(f"system s ({group})").systems["s"].features


def printed(group: str) -> str:
    """What a group is after reading, on one line."""
    text = dumps(parse(f"system s ({group})"))
    return text.removeprefix("system s (").removesuffix(")").replace("\n", " ").strip()


class TestIntervals:
    @pytest.mark.parametrize(
        ("group", "result"),
        [
            ("x >= 2 and x >= 4", "x >= 4"),
            ("x <= 4 and x <= 8", "x <= 4"),
            ("x >= 1 and x = 3", "x = 3"),
            ("x = 3 and x >= 1", "x = 3"),
            ("x = 3 and x = 3.0", "x = 3"),
            ("x >= 3 and x = 3", "x = 3"),
            ("x <= 8 and x >= 2", "x >= 2 and x <= 8"),
            ("x > 2 and x >= 2", "x > 2"),
            ("x > 2 and x < 2", "x > 2 and x < 2"),
            ("x >= 2 and x <= 2", "x >= 2 and x <= 2"),
            ("x >= 1G and x >= 1GiB and x <= 4096M", "x >= 1GiB and x <= 4096M"),
            ("x >= 1.5G and x = 1500M", "x = 1500M"),
        ],
    )
    def test_repeated_comparisons_narrow(self, group: str, result: str) -> None:
        assert printed(group) == result

    @pytest.mark.parametrize(
        "group",
        ["x >= 4 and x <= 1", "x = 2 and x = 3", "x = 2 and x >= 3", "x <= 1G and x >= 1GiB", "x < 1 and x = 2"],
    )
    def test_empty_intersection_is_an_error(self, group: str) -> None:
        with pytest.raises(InvalidDocument, match="leaves no value") as caught:
            features(group)
        assert caught.value.problems[0].kind == "disjoint-interval"

    def test_integers_and_floats_are_compared_exactly(self) -> None:
        with pytest.raises(InvalidDocument, match="leaves no value"):
            features(f"x >= {2**53 + 1} and x <= {2.0**53:.1f}")

    def test_the_value_is_the_low_end_if_there_is_one(self) -> None:
        assert features("x <= 8 and x >= 2").value("x") == 2
        assert features("x <= 8").value("x") == 8

    def test_number_needs_an_end(self) -> None:
        with pytest.raises(ValueError, match="at least one end"):
            _ = Number(None, None).bound

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
    def test_number_must_be_finite(self, value: float) -> None:
        with pytest.raises(InvalidDocument):
            Bound("=", value)


class TestTextsAndLists:
    def test_same_text_again_is_accepted_and_the_first_operator_wins(self) -> None:
        assert printed("version >= '1' and version = '1'") == "version >= '1'"
        assert printed("x = ['a'] and x = ['a']") == "x = ['a']"

    @pytest.mark.parametrize("group", ["x = 'a' and x = 'b'", "x = ['a'] and x = ['b']"])
    def test_another_one_is_an_error(self, group: str) -> None:
        with pytest.raises(InvalidDocument, match="contradicts"):
            features(group)

    @pytest.mark.parametrize("first", ["x = 'a'", "x = 1", "x = ['a']", "x contains (name = 'a')", "x = (a = 1)"])
    @pytest.mark.parametrize("second", ["x = 'a'", "x = 1", "x = ['a']", "x contains (name = 'a')", "x = (a = 1)"])
    def test_kinds_do_not_mix(self, first: str, second: str) -> None:
        if first == second:
            assert printed(f"{first} and {second}") == printed(first)
            return
        with pytest.raises(InvalidDocument) as caught:
            features(f"{first} and {second}")
        assert caught.value.problems[0].kind == "conflicting-kind"


class TestCollections:
    def test_elements_of_one_name_are_merged(self) -> None:
        (element,) = features("d contains (name = 'a' and p = 1) and d contains (name = 'a' and q = 2)").elements("d")
        assert (element.value("p"), element.value("q")) == (1, 2)

    def test_elements_without_name_stay_apart(self) -> None:
        assert len(features("d contains (a = 1) and d contains (a = 1)").elements("d")) == 2

    def test_conflict_inside_an_element_leaves_it_as_it_was(self) -> None:
        collection = Collection(features("d contains (name = 'a' and v = '1')").elements("d"))
        with pytest.raises(InvalidDocument):
            collection.add(features("name = 'a' and v = '2'"))
        named = collection.named("a")
        assert named is not None
        assert named.text("v") == "1"


class TestReading:
    FEATURES = "t = 'a' and n >= 2G and l = ['x', 'y'] and c contains (name = 'e') and yes = 'Yes' and tls = 'true'"

    def test_value_gives_what_is_there(self) -> None:
        found = features(self.FEATURES)
        assert found.value("t") == "a"
        assert found.value("n") == 2_000_000_000
        assert found.value("n", "M") == 2000
        assert found.value("l") == ("x", "y")
        assert found.value("c") is None
        assert found.value("absent") is None

    def test_typed_readers_ignore_other_kinds(self) -> None:
        found = features(self.FEATURES)
        assert (found.text("t"), found.text("n")) == ("a", None)
        assert (found.number("n", "G"), found.number("t")) == (2, None)
        assert (found.texts("l"), found.texts("t"), found.texts("n")) == (("x", "y"), ("a",), ())
        assert (found.is_yes("yes"), found.is_yes("tls"), found.is_yes("t")) == (True, True, False)
        assert [element.text("name") for element in found.elements("c")] == ["e"]
        assert found.elements("t") == ()

    def test_numbered_features_are_grouped_in_numerical_order(self) -> None:
        found = features(
            "disk.10.size = 1 and disk.2.size = 2 and disk.2.os.name = 'x' and disk.x.size = 3 and disk.3 = 4"
        )
        disks = found.numbered("disk")
        assert list(disks) == [2, 10]
        assert list(disks[2]) == ["size", "os.name"]


class TestWriting:
    def test_set_replaces_and_keeps_the_place(self) -> None:
        found = features("a >= 2 and b = 'x'")
        found.set("a", 3, "G")
        found.set("b", ["x", "y"])
        found.set("c", True)
        assert list(found) == ["a", "b", "c"]
        assert found.get("a") == Number.of(Bound("=", 3, "G"))
        assert found.get("b") == TextList(("x", "y"))
        assert found.get("c") == Text("yes")

    def test_discard(self) -> None:
        found = features("a = 1 and soft 1 (b = 2) and soft 2 (c = 3)")
        found.discard("a")
        found.discard("never there")
        found.add_soft(found.softs[0])
        assert [soft.weight for soft in found.softs] == [1, 2, 1]

    def test_copy_shares_nothing_that_changes(self) -> None:
        original = features("c contains (name = 'e') and g = (x = 1) and soft 1 (y = 2)")
        copied = original.copy()
        copied.elements("c")[0].set("name", "f")
        copied.softs[0].features.set("y", 3)
        copied.get("g").features.set("x", 2)  # type: ignore[union-attr]
        assert original == features("c contains (name = 'e') and g = (x = 1) and soft 1 (y = 2)")

    def test_copy_can_forget_positions(self) -> None:
        group = "t = 'a' and n >= 2 and n <= 3 and m = 1 and l = ['x'] and c contains (name = 'e') and soft 1 (y = 2)"
        copied = features(group).copy(positions=False)
        assert copied == features(group)
        assert {feature.line for _, feature in copied.entries()} == {None}
        assert {feature.line for _, feature in copied.softs[0].features.entries()} == {None}

    def test_order_makes_no_difference_but_is_kept(self) -> None:
        assert features("a = 1 and b = 2") == features("b = 2 and a = 1")
        assert list(features("b = 2 and a = 1")) == ["b", "a"]


class TestMergePolicies:
    MINE, OTHER = "a = 1 and b = 'x'", "a = 2 and b = 'x' and c = 3"

    def test_conflict_fails_by_default(self) -> None:
        with pytest.raises(InvalidDocument):
            features(self.MINE).combined(features(self.OTHER))

    @pytest.mark.parametrize(("policy", "value"), [(OnConflict.KEEP, 1), (OnConflict.TAKE, 2)])
    def test_conflict_can_be_decided(self, policy: OnConflict, value: int) -> None:
        combined = features(self.MINE).combined(features(self.OTHER), on_conflict=policy)
        assert combined.value("a") == value
        assert combined.value("c") == 3

    def test_missing_can_be_skipped_or_fail(self) -> None:
        mine, other = features("a = 1"), features("c = 3")
        assert "c" not in mine.combined(other, on_missing=OnMissing.SKIP)
        with pytest.raises(InvalidDocument, match="c is not given"):
            mine.combined(other, on_missing=OnMissing.FAIL)

    def test_arguments_are_left_alone(self) -> None:
        mine, other = features("d contains (name = 'a')"), features("d contains (name = 'b')")
        assert len(mine.combined(other).elements("d")) == 2
        assert len(mine.elements("d")) == len(other.elements("d")) == 1


class TestSoftGroups:
    def test_fitting_groups_are_applied_from_the_highest_weight_down(self) -> None:
        applied, score = features(
            "cpu = 4 and soft 5 (region = 'b') and soft 10 (region = 'a') and soft 1 (cpu >= 2 and disk = 'ssd')"
        ).apply_soft_groups()
        assert score == 11
        assert applied == features("cpu = 4 and region = 'a' and disk = 'ssd'")

    def test_group_that_does_not_fit_is_skipped_as_a_whole(self) -> None:
        applied, score = features("cpu = 4 and soft 7 (disk = 'ssd' and cpu >= 8)").apply_soft_groups()
        assert (applied, score) == (features("cpu = 4"), 0)

    def test_inner_groups_are_tried_only_if_the_outer_one_fits(self) -> None:
        applied, score = features(
            "a = 1 and soft 8 (b = 2 and soft 4 (c = 3) and soft 2 (a = 9)) and soft 1 (a = 9 and soft 16 (d = 1))"
        ).apply_soft_groups()
        assert (applied, score) == (features("a = 1 and b = 2 and c = 3"), 12)


@pytest.mark.parametrize(
    "name",
    ["disk.0.os.credentials.password", "disk.0.os.credentials.new.private_key", "proxy_host", "minio.0.secret_key"],
)
def test_secrets_are_known_by_name_and_not_shown(name: str) -> None:
    assert is_secret(name)
    assert "hunter2" not in repr(features(f"{name} = 'hunter2' and x = 'y'"))
    assert not is_secret("cpu.count")
