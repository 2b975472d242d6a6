"""Reading the lines of im.cfg."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imframework.settings.ini import Entry, parse_ini, read_ini


def entries(text):
    found, problems = parse_ini(text, "im.cfg")
    assert problems == []
    return [(entry.name, entry.text) for entry in found]


def test_a_value_is_everything_after_the_first_equals_sign_taken_literally():
    text = (
        "[OpenNebula]\n"
        'TEMPLATE_OTHER = GRAPHICS = [type="vnc",listen="0.0.0.0"]\n'
        "[im]\n"
        "DEFAULT_VM_NAME = vnode-#N#\n"
        "A = 100%done %(home)s ${x}\n"
        'B = "quoted" \'s\n'
        "C=a:b ; not a comment # nor this\n"
        'D = """\n'
    )

    assert entries(text) == [
        ("TEMPLATE_OTHER", 'GRAPHICS = [type="vnc",listen="0.0.0.0"]'),
        ("DEFAULT_VM_NAME", "vnode-#N#"),
        ("A", "100%done %(home)s ${x}"),
        ("B", '"quoted" \'s'),
        ("C", "a:b ; not a comment # nor this"),
        ("D", '"""'),
    ]


def test_comments_and_empty_lines_are_skipped():
    assert entries("# one\n; two\n\n[im]\n  # three\nA = 1\n;B = 2\n#C = 3\n") == [("A", "1")]


def test_names_are_folded_to_capitals_and_repeated_ones_are_all_there_with_their_lines():
    found, _ = parse_ini("[im]\nrest_port = 1\nRest_Port = 2\n[other]\nREST_PORT = 3\n[im]\nREST_PORT = 4", "im.cfg")

    assert found == [
        Entry("im", "REST_PORT", "1", 2),
        Entry("im", "REST_PORT", "2", 3),
        Entry("im", "REST_PORT", "4", 7),
        Entry("other", "REST_PORT", "3", 5),
    ]


def test_indented_lines_continue_a_value():
    text = '[im]\nADMIN_USER = [\n   {"username": "a = b"},\n   # comment\n   [x]\n  ]\nTEXT = one\n  TWO = 2\nB = 3\n'

    assert entries(text) == [
        ("ADMIN_USER", '[\n{"username": "a = b"},\n[x]\n]'),
        ("TEXT", "one\nTWO = 2"),
        ("B", "3"),
    ]


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(tmp_path):
    path = tmp_path / "im.cfg"
    path.write_bytes("﻿[im]\r\nA = 1\r\nB = é\r\n".encode())

    found, problems = read_ini(path)

    assert ([(entry.name, entry.text) for entry in found], problems) == ([("A", "1"), ("B", "é")], [])


def test_every_line_that_makes_no_sense_is_reported():
    found, problems = parse_ini("[im]\nA = 1\nREST_PORT 8800\n= 5\nB = 2\n[im\n", "/etc/im/im.cfg")

    assert [entry.name for entry in found] == ["A", "B"]
    assert [problem.line for problem in problems] == [3, 4, 6]
    assert str(problems[0]).startswith("/etc/im/im.cfg:3: neither 'NAME = value'")


def test_an_option_before_any_section_is_reported():
    found, problems = parse_ini("# hello\nREST_PORT = 8800\n", "im.cfg")

    assert found == []
    assert str(problems[0]) == "im.cfg:2: text outside any section (a file begins with a section, such as [im])"


def test_a_file_that_is_not_utf8_is_reported_with_the_line(tmp_path):
    path = tmp_path / "im.cfg"
    path.write_bytes(b"[im]\nA = 1\nB = caf\xe9\n")

    assert str(read_ini(path)[1][0]) == f"{path}:3: not UTF-8 text (save it as UTF-8)"


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    assert "cannot be read: No such file" in str(read_ini(tmp_path / "absent.cfg")[1][0])
    assert "cannot be read: Is a directory" in str(read_ini(tmp_path)[1][0])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[im]\nA = 1\n[[inner]]\nB = 2\n", 3),
        ("[[inner]]\nB = 2\n", 1),
        ("[im]\nA = 1\n[[[inner]]]\nB = 2\n", 3),
        ("[im]\nA = 1\n[other]]\n", 3),
    ],
)
def test_a_section_inside_a_section_is_reported_at_its_line(text, line):
    _, problems = parse_ini(text, "im.cfg")

    assert f"im.cfg:{line}: sections have no sections inside them (write it as [NAME])" in map(str, problems)


def test_an_option_of_a_section_inside_a_section_is_not_taken_for_one_of_the_outer():
    found, _ = parse_ini("[im]\nA = 1\n[[inner]]\nB = 2\n", "im.cfg")

    assert [entry.name for entry in found] == ["A"]


def test_a_section_may_have_blanks_in_the_brackets_and_a_comment_behind_them():
    found, problems = parse_ini("[ im ] # see [1]\nA = 1\n[im]; again\nB = 2\n['x']\nC = 3", "im.cfg")

    assert problems == []
    assert [(entry.section, entry.name) for entry in found] == [("im", "A"), ("im", "B"), ("'x'", "C")]


def test_a_section_without_a_name_is_reported():
    _, problems = parse_ini("[im]\nA = 1\n[ ]\nB = 2\n", "im.cfg")

    assert [problem.line for problem in problems] == [3]


def test_options_may_be_indented_alike():
    assert entries("[im]\n  A = 1\n  B = 2\n C = 3\n  4\n") == [("A", "1"), ("B", "2"), ("C", "3\n4")]


def test_an_empty_line_within_a_value_belongs_to_it_and_one_behind_it_does_not():
    assert entries("[im]\nA = 1\n\n  2\n\n\nB = 3\n\n") == [("A", "1\n\n2"), ("B", "3")]


one_line = st.text().map(lambda text: text.replace("\n", ""))
a_continuation = one_line.map(str.strip).filter(lambda text: text and not text.startswith(("#", ";")))
a_name = st.from_regex(r"[A-Z][A-Z0-9_]*", fullmatch=True)


@given(one_line)
@example("vnode-#N#")
@example("\"a\"b # 'c'")
@example("'''")
@example('"""')
@example("%(x)s %41 %")
@example("a, b,")
@example("[[x]]")
@example("\r\x0b\x1c\x85\u2028x\r")
def test_every_value_survives_but_for_the_blanks_around_it(value):
    assert entries(f"[im]\nA = {value}\nB = 2\n") == [("A", value.strip()), ("B", "2")]


@given(st.lists(a_continuation))
def test_every_continuation_line_survives(lines):
    text = "".join(f"  {line}\n" for line in lines)

    assert entries(f"[im]\nA = first\n{text}B = 2\n") == [("A", "\n".join(["first", *lines])), ("B", "2")]


@given(st.lists(st.tuples(st.sampled_from(["im", "other", "DEFAULT"]), a_name, st.integers().map(str))))
def test_every_occurrence_of_every_option_is_found_at_its_line(options):
    text = "".join(f"[{section}]\n{name} = {value}\n" for section, name, value in options)

    found, problems = parse_ini(text, "im.cfg")

    assert problems == []
    assert sorted(found, key=lambda entry: entry.line) == [
        Entry(section, name, value, 2 * number) for number, (section, name, value) in enumerate(options, start=1)
    ]


@settings(max_examples=500)
@given(st.text(alphabet="[]a =#;\"'\n\t\\%é"))
@example("[]=")
@example("[]]")
@example("[ [im]]\n= =\n[im")
def test_no_text_is_beyond_the_parser_and_every_problem_has_a_line_of_it(text):
    found, problems = parse_ini(text, "im.cfg")

    lines = text.split("\n")
    assert all(lines[entry.line - 1].strip().upper().startswith(entry.name) for entry in found)
    assert all(lines[problem.line - 1].strip() for problem in problems)
