"""Every `imframework …` command that a page shows can be typed as it stands there."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from imframework.cli.main import cli

PROGRAM = "imframework"
PLACEHOLDER = re.compile(r"[A-Z]+|…|\.\.\.")


def commands(line: str) -> Iterator[list[str]]:
    """The arguments of each call of the program in a line of shell; brackets around optional ones are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if words[:1] == [PROGRAM]:
                yield [argument.strip("[]") for argument in words[1:]]
            words = []
        elif words or word != "$":
            words.append(word)


def fault(arguments: list[str]) -> str | None:
    """What is wrong with these arguments, if something is. None may be missing, but no unknown one may be there."""
    command: click.Command = cli
    context = click.Context(cli, info_name=PROGRAM, **cli.context_settings)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        if PLACEHOLDER.fullmatch(name):
            return None
        found = command.get_command(context, name)
        if found is None:
            return f"there is no command {context.command_path} {name}"
        command, context = found, click.Context(found, context, name)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        return f"{context.command_path}: {error.format_message()}"
    return f"{context.command_path} does not take {' '.join(left)}" if left else None


def test_every_command_that_is_shown_exists_with_its_flags(page):
    shown = [line for line in page.code if line.lstrip("$ ").startswith(f"{PROGRAM} ")]

    assert [found for line in shown for found in map(fault, commands(line)) if found] == []


@pytest.mark.parametrize(
    "line",
    [
        "imframework",
        "$ imframework --help",
        "imframework COMMAND --whatever",
        "imframework serve -c im.cfg > log & # in the background",
        "imframework config check FILE [--json]",
    ],
)
def test_nothing_is_wrong_with_a_command_as_people_write_it(line):
    assert [fault(arguments) for arguments in commands(line)] == [None]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("imframework config sample | imframework depoly FILE", "there is no command imframework depoly"),
        ("imframework config smaple", "there is no command imframework config smaple"),
        ("imframework config check --jsno FILE", "imframework config check: No such option"),
        ("imframework config check FILE FILE", "imframework config check does not take FILE"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line, expected):
    *_, found = map(fault, commands(line))

    assert found.startswith(expected)
