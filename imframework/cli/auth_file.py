"""The authorization file of a person, and the header that is made of it.

The file holds a credential list in its line or JSON form, or one line ``Bearer <token>``; `docs/reference/auth.md`
describes them. Values ``file(path)`` and ``command(words)`` are evaluated here, on the person's own machine: the
service takes them literally. What they stand for is never part of an error.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from imframework.api.errors import ConfigurationError, Unauthenticated
from imframework.core.credentials import identities, parse_header, to_header

#: Seconds that a command may take; it may have to ask the person for a passphrase.
COMMAND_TIMEOUT = 300

_BEARER = re.compile(r"bearer\s+(.*)", re.IGNORECASE | re.DOTALL)
_FUNCTION = re.compile(r"(file|command)\((.*)\)", re.DOTALL)
#: A line end within a value of the line form. In a header that is the end of the item, so it gets its longer spelling.
_LINE_END_IN_VALUE = re.compile(r"(?<!\\)\\n")


def authorization(file: Path) -> str:
    """The value of the Authorization header for an authorization file.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong; says what and where.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: it is not UTF-8 text") from None
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    try:
        if len(lines) == 1 and (bearer := _BEARER.fullmatch(lines[0])):
            header = f"Bearer {_value(bearer[1])}"
            parse_header(header)
            return header
        return _list(text if text.startswith("[") else "\n".join(lines))
    except (ConfigurationError, Unauthenticated) as error:
        raise ConfigurationError(f"{file}: {error}") from None


def identity(file: Path) -> Mapping[str, str]:
    """The InfrastructureManager item of an authorization file; raises as `authorization`."""
    for item in identities(parse_header(authorization(file))):
        return {**item.fields, "type": item.type}
    raise ConfigurationError(f"{file} has no item of type InfrastructureManager")


def _list(text: str) -> str:
    if not text.startswith("["):
        text = _LINE_END_IN_VALUE.sub(r"\\\\n", text)
    items = []
    for item in parse_header(text):
        fields = {}
        for key, value in item.fields.items():
            try:
                fields[key] = _value(value)
            except ConfigurationError as error:
                raise ConfigurationError(f"'{key}' of item {item.id}: {error}") from None
        items.append(replace(item, fields=fields))
    return to_header(items)


def _value(text: str) -> str:
    """A value, evaluated if it is a function."""
    function = _FUNCTION.fullmatch(text)
    if function is None:
        return text
    return _content(function[2].strip()) if function[1] == "file" else _output(function[2])


def _content(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None


def _output(command: str) -> str:
    words = command.split()
    if not words:
        raise ConfigurationError("command() names no command")
    try:
        answer = subprocess.run(words, stdout=subprocess.PIPE, timeout=COMMAND_TIMEOUT, check=True)
        text = answer.stdout.decode("utf-8")
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"the command {words[0]} took more than {COMMAND_TIMEOUT} s") from None
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"the command {words[0]} ended with status {error.returncode}") from None
    except OSError as error:
        raise ConfigurationError(f"the command {words[0]} cannot be run: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the command {words[0]} wrote something that is not UTF-8 text") from None
    return text.replace("\r", "").replace("\n", "")
