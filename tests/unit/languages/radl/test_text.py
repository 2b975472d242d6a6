"""Reading the text form: tokens, grammar, positions and hints."""

from __future__ import annotations

import re

import pytest

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl import Features, Number, Text, parse


def features(text: str) -> Features:
    """The features of a system with this group."""
    return parse(f"system s (\n{text}\n)").systems["s"].features


def problem(text: str) -> Problem:
    """The first problem of a document."""
    with pytest.raises(InvalidDocument) as caught:
        parse(text)
    return caught.value.problems[0]


class TestTokens:
    @pytest.mark.parametrize("text", ["", " \t\r\n ", "# only a comment", "\ufeff"])
    def test_text_without_sentences_is_an_empty_document(self, text: str) -> None:
        assert parse(text) == parse("")

    def test_line_breaks_mean_nothing(self) -> None:
        spread = "network\r\n n\n(\noutbound\n=\n'yes'\n)\n\tdeploy\ns\n2\ncloud"
        assert parse(spread) == parse("network n(outbound='yes')deploy s 2 cloud")

    def test_byte_order_mark_is_skipped(self) -> None:
        assert parse("\ufeffnetwork n ()") == parse("network n ()")

    def test_comments_end_with_the_line_but_not_inside_texts(self) -> None:
        document = parse("# a 'quote'\nsystem s ( # (\n x = 'a # b' # )\n)")
        assert document.systems["s"].text("x") == "a # b"

    @pytest.mark.parametrize("name", ["a", "_a", ".a", "a-b.c_d", "a1", "aé", "aβ9", "and_", "Network"])
    def test_names(self, name: str) -> None:
        assert name in parse(f"network {name} ()").networks

    @pytest.mark.parametrize("name", ["1a", "-a", "é", "'a'", "and", "step", "network"])
    def test_other_words_are_no_names(self, name: str) -> None:
        assert problem(f"network {name} ()").kind == "syntax"

    @pytest.mark.parametrize(
        ("literal", "value"),
        [
            (r"'it\'s'", "it's"),
            (r"'C:\dir\n'", r"C:\dir\n"),
            (r"'a\\'", r"a\\"),
            (r"'a\\\'b'", r"a\\'b"),
            ("'two\nlines'", "two\nlines"),
            ("''", ""),
            ("'(#\")'", '(#")'),
            (r'@"C:\\"', "C:\\"),
            (r'@"a\"\u00e9\n"', 'a"é\n'),
        ],
    )
    def test_texts(self, literal: str, value: str) -> None:
        assert features(f"x = {literal}").text("x") == value

    @pytest.mark.parametrize(
        ("literal", "value"),
        [("0", 0), ("10", 10), ("10.5", 10.5), ("10.", 10.0), ("-5", -5), ("007", 7), ("1" * 300, int("1" * 300))],
    )
    def test_numbers(self, literal: str, value: float) -> None:
        number = features(f"x = {literal}").number("x")
        assert number == value
        assert type(number) is type(value)

    @pytest.mark.parametrize("literal", ["1" + "0" * 400, "9" * 399, "9" * 308 + "TiB", "1" * 5000])
    def test_numbers_beyond_all_measure_are_refused(self, literal: str) -> None:
        assert problem(f"system s (\n x = {literal})").kind == "wrong-value"

    def test_unit_may_be_apart_and_is_kept_as_written(self) -> None:
        assert features("x = 5 mIb") == features("x = 5mIb")
        assert features("x = 5 mIb").number("x") == 5 * 1024**2

    def test_random_text_has_the_length_asked_for_and_is_new_each_time(self) -> None:
        texts = {features("x = 'random(24)'").text("x") for _ in range(20)}
        assert len(texts) == 20
        assert all(text and re.fullmatch(r"[A-Za-z0-9]{24}", text) for text in texts)

    @pytest.mark.parametrize("literal", ["'random(0)'", "'random(5000)'", f"'random({'9' * 5000})'"])
    def test_random_text_of_silly_length_is_refused(self, literal: str) -> None:
        assert problem(f"system s (x = {literal})").kind == "wrong-value"

    def test_random_stands_for_itself_outside_of_feature_values(self) -> None:
        document = parse("contextualize (option o = 'random(8)') system s (l = ['random(8)'] and x = ' random(8)')")
        assert document.contextualize is not None
        assert document.contextualize.options.text("o") == "random(8)"
        assert document.systems["s"].texts("l") == ("random(8)",)
        assert document.systems["s"].text("x") == " random(8)"

    @pytest.mark.parametrize("text", ["network n (x = 'a\0')", "network n (x = '\ud800')", "# \udfff"])
    def test_what_no_database_stores_is_refused(self, text: str) -> None:
        assert "the document holds" in problem(text).message

    @pytest.mark.parametrize("literal", [r'@"\ud800"', r'@"\u0000"', r'@"\q"'])
    def test_json_texts_are_held_to_the_same(self, literal: str) -> None:
        assert problem(f"network n (\n  x = {literal})").line == 2


class TestRecipes:
    def test_recipe_is_taken_verbatim(self) -> None:
        recipe = "---\n# comment (\n- x: 'a' @end\n  @end\n\ty: \"b\"\n"
        assert parse(f"configure c (\n@begin\n{recipe}@end\n)").configures["c"].recipe == "\n" + recipe

    def test_rest_of_the_begin_line_belongs_to_it(self) -> None:
        assert parse("configure c (\n  @begin - a\n- b\n@end # done\n)").configures["c"].recipe == "\n - a\n- b\n"

    def test_blank_lines_around_it_do_not_count(self) -> None:
        assert parse("configure c (\n@begin\n\n\n- a\n\n\n@end)") == parse("configure c (@begin\n- a\n@end)")

    def test_blank_recipe_is_not_the_same_as_none(self) -> None:
        blank, none = (parse(f"configure c ({recipe})").configures["c"] for recipe in ("@begin\n@end", ""))
        assert (blank.recipe, blank.is_empty) == ("\n", False)
        assert (none.recipe, none.is_empty) == (None, True)

    def test_windows_line_ends_around_it_do_not_count(self) -> None:
        assert parse("configure c (\r\n@begin\r\n- a\r\n@end\r\n)").configures["c"].recipe == "\n- a\n"


class TestSentences:
    def test_aspects_without_a_group_are_references(self) -> None:
        document = parse("network n system s configure c")
        assert document.networks["n"].reference
        assert document.systems["s"].reference
        assert document.configures["c"].reference

    def test_deploys_keep_their_order_and_may_repeat(self) -> None:
        document = parse('deploy a 2 x deploy b 0 deploy a 1 @"2 clouds"')
        assert [(deploy.system, deploy.count, deploy.cloud) for deploy in document.deploys] == [
            ("a", 2, "x"),
            ("b", 0, None),
            ("a", 1, "2 clouds"),
        ]

    def test_stray_word_after_a_deploy_is_taken_as_its_cloud(self) -> None:
        assert parse("deploy a 1\nstray").deploys[0].cloud == "stray"

    def test_several_contextualize_become_one(self) -> None:
        contextualize = parse(
            "contextualize 10 (option a = '1' option b = 2 system s configure c step 1)"
            "contextualize 5 (option a = '3' system s configure c step 4 system s configure d with cloud_init)"
        ).contextualize
        assert contextualize is not None
        assert contextualize.max_time == 10
        assert contextualize.options.value("a") == "3"
        assert contextualize.options.value("b") == 2
        assert [(item.configure, item.step, item.tool) for item in contextualize.items.values()] == [
            ("c", 4, None),
            ("d", 0, "cloud_init"),
        ]

    def test_groups_nest(self) -> None:
        nested = features("soft 1 (a = 1 and soft 2 (b contains (name = 'x' and c contains (name = 'y'))))")
        inner = nested.softs[0].features.softs[0].features
        assert [element.text("name") for element in inner.elements("b")[0].elements("c")] == ["y"]

    def test_group_as_a_value(self) -> None:
        assert features("x = (a = 1)") == features("x = (a = 1) and x = ()")

    def test_groups_nested_too_deep_are_refused(self) -> None:
        deep = problem("system s (" + "soft 1 (" * 5000)
        assert deep.kind == "too-deep"

    @pytest.mark.parametrize("sentence", ["deploy s 1.5", "contextualize (system a configure b step 0.5)"])
    def test_fractions_of_machines_and_steps_are_refused(self, sentence: str) -> None:
        assert problem(sentence).kind == "wrong-type"


class TestPositions:
    def test_every_feature_knows_line_and_column(self) -> None:
        found = features("a = 1 and\n   b = 'two\nlines' and c >= 3 and d contains (name = 'x')")
        at = {name: (feature.line, feature.column) for name, feature in found.items()}
        assert at == {"a": (2, 1), "b": (3, 4), "c": (4, 12), "d": (4, 23)}
        assert found.elements("d")[0].get("name").line == 4  # type: ignore[union-attr]

    def test_ends_of_an_interval_have_their_own(self) -> None:
        number = features("a >= 1 and\na <= 2").get("a")
        assert isinstance(number, Number)
        assert [bound.line for bound in number.bounds] == [2, 3]

    def test_sentences_know_where_they_start(self) -> None:
        document = parse("\n  network n ()\ndeploy s 1\nconfigure c ()\ncontextualize (\n system s configure c)")
        assert document.contextualize is not None
        (item,) = document.contextualize.items.values()
        assert [
            (part.line, part.column)
            for part in (document.networks["n"], document.deploys[0], document.configures["c"], item)
        ] == [(2, 3), (3, 1), (4, 1), (6, 2)]

    def test_positions_make_no_difference(self) -> None:
        assert parse("network n (a = 'b')") == parse("\n\n  network n (\n a = 'b')")

    def test_recipe_lines_are_counted(self) -> None:
        assert problem("configure c (\n@begin\n1\n2\n@end\n)\n\n !").line == 8

    def test_contradictions_and_duplicates_are_all_reported(self) -> None:
        with pytest.raises(InvalidDocument) as caught:
            parse("system s (a = 1 and a = 2 and\nb = 'x' and b = 'y')\nsystem s ()\ndeploy s 1.5\n?")
        assert [(problem.line, problem.kind) for problem in caught.value.problems] == [
            (1, "disjoint-interval"),
            (2, "conflicting-string"),
            (3, "duplicate-id"),
            (4, "wrong-type"),
            (5, "syntax"),
        ]

    def test_number_of_problems_is_limited(self) -> None:
        with pytest.raises(InvalidDocument) as caught:
            parse("network n\n" * 1000)
        assert len(caught.value.problems) == 50


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('network n (a = "b")', "single quotes"),
        ("network n (a = ‘b’)", "single quotes"),
        ("network n (a = b)", "single quotes: 'b'"),
        ("network n (a = .5)", "write 0.5"),
        ("network n (a == 'b')", "single ="),
        ("network n (a != 'b')", "< > <= >="),
        ("network n (a = 'b' AND c = 'd')", "lower case: and"),
        ("network n (a = 'b' c = 'd')", "joined with 'and'"),
        ("network n (a = 'b', c = 'd')", "joined with 'and'"),
        ("network n {a = 'b'}", "parentheses"),
        ("network n (a = 'b' and)", "one more feature"),
        ("network n (\n a = 'b'\n", "parenthesis of line 1"),
        ("network n (\n", "not closed"),
        ("network n ())", "more closing"),
        ("network n (a contains 'b')", "contains (name = '…')"),
        ("network n (a = [1])", "texts in single quotes"),
        ("network n (a = ['b',])", "last comma"),
        ("network n (a = 'b)", "written \\'"),
        ("network n (step = 'b')", "reserved word"),
        ("system step ()", "reserved word"),
        ("system 'a' ()", "without quotes"),
        ("systm a ()", "did you mean 'system'?"),
        ("DEPLOY a 1", "did you mean 'deploy'?"),
        ("deploy a '1'", "without quotes"),
        ("deploy a 1 'b'", '@"id"'),
        ("deploy a 1 2b", '@"id"'),
        ("ansible a", "cannot be a reference"),
        ("network n ()\ndescription d ()", "before everything else"),
        ("configure c (@begin@end)", "very beginning of a line"),
        ("configure c (a)", "between @begin and @end"),
        ("contextualize (system s configure c option a = 'b')", "before the items"),
        ("contextualize (system s configure c step 1 with b)", "not both"),
        ("system s (soft 5 a = 'b')", "soft 10 ("),
        ("system s (a = @input.n@)", "replace parameters"),
        ('[{"class": "network"}]', "application/json"),
        ("tosca_definitions_version: tosca_simple_yaml_1_0", "TOSCA"),
        ("# by hand\ntosca_definitions_version: x", "TOSCA"),
    ],
)
def test_hint(text: str, hint: str) -> None:
    assert hint in problem(text).hint


class TestMessages:
    @pytest.mark.parametrize(
        "text",
        [
            "system s (disk.0.os.credentials.password = 'hunter2' and disk.0.os.credentials.password = 'hunter3')",
            "system s (disk.0.os.credentials.password 'hunter2')",
            "network n (proxy_host = 'user:hunter2@h' and proxy_host = 'user:hunter3@h')",
            "system 'hunter2' ()",
        ],
    )
    def test_secrets_are_not_repeated(self, text: str) -> None:
        assert "hunter" not in str(problem(text))

    def test_long_values_are_cut(self) -> None:
        long = "a" * 10_000
        for text in (f"{long} x", f"system s ({long} = '{long}' and {long} = 'b')", f"network {long} network {long}"):
            assert len(str(problem(text))) < 400

    def test_left_over_parameter_is_named(self) -> None:
        assert "@input.cpus@" in problem("system s (cpu.count = @input.cpus@)").message

    def test_conflict_names_both_sides_and_the_line_of_the_first(self) -> None:
        message = str(problem("system s (\n x >= 4G and\n x <= 1G)"))
        assert message == "Line 3: x <= 1G leaves no value together with x >= 4G (line 2)"


def test_operators_of_texts_are_kept() -> None:
    assert features("version >= '1'").get("version") == Text("1", ">=")


@pytest.mark.parametrize(
    ("piece", "count"),
    [("'", 1_000_001), ("\\'", 500_000), ("(", 10**6), ("#\n", 500_000), ("@begin\n@en", 100_000), ("-", 10**6)],
)
def test_a_megabyte_of_nonsense_gets_a_short_answer(piece: str, count: int) -> None:
    found = problem("system s (x = " + piece * count)
    assert len(str(found)) < 300


def test_a_megabyte_of_features_is_read() -> None:
    many = " and\n".join(f"x.{number} >= {number} and l contains (name = '{number}')" for number in range(25_000))
    found = features(many)
    assert found.value("x.24999") == 24_999
    assert len(found.elements("l")) == 25_000
