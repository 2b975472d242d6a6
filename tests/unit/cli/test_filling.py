"""Where the parts of a text stood before its parameters were replaced."""

from hypothesis import given
from hypothesis import strategies as st

from imframework.cli.filling import filled


def position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


PIECES = st.lists(st.sampled_from(["x", " ", "\n", "ab\n", "@input.a@", "@input.b@", "@input.c@"]), max_size=12)


@given(PIECES, st.text("v \n", max_size=6), st.text("w\n", max_size=6))
def test_every_character_that_is_no_value_is_found_where_it_was(pieces, a, b):
    values = {"a": a, "b": b}
    text = "".join(pieces)

    document = filled(text, values)

    before = after = 0
    for piece in pieces:
        if piece.startswith("@input.") and piece[7] in values:
            value = values[piece[7]]
            for index in range(len(value)):
                assert document.place(*position(document.text, after + index)) == position(text, before)
            after += len(value)
        else:
            for index in range(len(piece)):
                assert document.place(*position(document.text, after + index)) == position(text, before + index)
            after += len(piece)
        before += len(piece)


def test_parameters_without_a_value_stay_and_are_named_with_their_lines():
    document = filled("a @input.x@\n@input.y@\n@input.z@ @input.x@", {"y": "1"})

    assert document.text == "a @input.x@\n1\n@input.z@ @input.x@"
    assert document.without_value == ("x", "z")
    assert document.open_lines == {1, 3}
