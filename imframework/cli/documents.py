"""Documents of the command line: a file becomes a text in a language, with its parameters replaced.

``@input.<name>@`` is replaced as text, before anybody parses the document; a value is not quoted or escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

from imframework.api.errors import InvalidDocument
from imframework.api.service import Document, Language
from imframework.languages.radl.lexical import PARAMETER

LANGUAGES: Mapping[str, Language] = {
    ".radl": Language.RADL,
    ".json": Language.RADL_JSON,
    ".yaml": Language.TOSCA,
    ".yml": Language.TOSCA,
}

#: Gives the value of a parameter by its name; asks a person for it, for example.
Ask = Callable[[str], str]


def read_document(file: Path, parameters: Mapping[str, str], ask: Ask | None = None) -> Document:
    """The document in a file, in the language that its extension says.

    `parameters` are values by name; `ask` is called once for each that is missing, if it is given. In TOSCA they are
    inputs, and those that are not given keep their defaults.

    Raises:
        click.UsageError: no such language, a file that cannot be read, parameters without a value, or values that
            nothing asks for.
    """
    suffix = file.suffix.lower()
    language = LANGUAGES.get(suffix)
    if language is None:
        raise click.UsageError(
            f"{file}: the extension says which language a document is in: .radl for RADL, .json for RADL JSON, "
            ".yaml or .yml for TOSCA."
        )
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: it is not UTF-8 text") from None
    if language is Language.TOSCA:
        return Document(_with_inputs(file, text, parameters), language)
    return Document(fill(text, parameters, ask), language)


def _with_inputs(file: Path, text: str, values: Mapping[str, str]) -> str:
    if not values:
        return text
    from imframework.languages import tosca

    try:
        return tosca.with_inputs(text, values)
    except InvalidDocument as error:
        raise click.UsageError(f"{file}: {error}") from None


def parameter_names(text: str) -> tuple[str, ...]:
    """The names of the parameters in a text, each once, in order of appearance."""
    return tuple(dict.fromkeys(PARAMETER.findall(text)))


def fill(text: str, parameters: Mapping[str, str], ask: Ask | None = None) -> str:
    """The text with all its parameters replaced.

    Raises:
        click.UsageError: parameters without a value, or values that nothing asks for; names them.
    """
    names = parameter_names(text)
    unknown = [name for name in parameters if name not in names]
    if unknown:
        there = f"its parameters are {', '.join(names)}" if names else "it has no parameters"
        raise click.UsageError(f"The document has no parameter {', '.join(unknown)}; {there}.")
    missing = [name for name in names if name not in parameters]
    if missing and ask is None:
        options = " ".join(f"--param {name}=…" for name in missing)
        raise click.UsageError(f"Parameters of the document without a value: {', '.join(missing)}. Give {options}")
    values = {**parameters, **{name: ask(name) for name in missing if ask is not None}}
    # By a function: a backslash in a value is no reference to a group.
    return PARAMETER.sub(lambda match: values[match[1]], text)


def parse_parameters(options: Iterable[str]) -> dict[str, str]:
    """``name=value`` texts as a mapping; the last of a name counts.

    Raises:
        click.BadParameter: a text without a name or an equals sign.
    """
    parameters = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"'{option}' is not of the form name=value", param_hint="--param")
        parameters[name] = value
    return parameters


def prompt(name: str) -> str:
    """Ask the person at the terminal for a parameter; what looks like a secret is not shown."""
    hidden = re.search(r"pass|secret|token|key", name, re.IGNORECASE) is not None
    answer: str = click.prompt(name, hide_input=hidden, err=True, default="", show_default=False)
    return answer
