"""From the text of an option to its value and back, for each `OptionType`.

`annotation` makes the pydantic type that converts, checks and describes a value; `allowed` says in words what may be
written; `as_text` writes a value as it would stand in im.cfg.
"""

from __future__ import annotations

import json
import re
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema

from imframework.api.config import Option, OptionType
from imframework.api.data_url import DataUrl
from imframework.api.redaction import redact

T = TypeVar("T")

_TRUE = frozenset(("1", "yes", "true", "on"))
_FALSE = frozenset(("0", "no", "false", "off"))
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")

#: Types whose options are *not set* when nothing stands after the ``=``.
EMPTY_IS_NOT_SET = frozenset(OptionType) - {OptionType.INTEGER, OptionType.BOOLEAN}


def annotation(option: Option) -> Any:
    """The type of an option's value, for a pydantic model. Validation errors do not repeat the value."""
    match option.type:
        case OptionType.INTEGER:
            return Annotated[int, Field(ge=option.minimum, le=option.maximum), BeforeValidator(_integer)]
        case OptionType.BOOLEAN:
            return Annotated[bool, BeforeValidator(_boolean)]
        case OptionType.WORD:
            return Annotated[Literal[option.choices], BeforeValidator(partial(_word, option.choices))]
        case OptionType.LIST:
            return Annotated[tuple[str, ...], BeforeValidator(_list)]
        case OptionType.CIDR_LIST:
            return Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
        case OptionType.JSON:
            return Annotated[tuple[dict[str, Any], ...], BeforeValidator(_objects)]
        case OptionType.PATH:
            return Annotated[Path | None, BeforeValidator(_path)]
        case OptionType.URL:
            return Annotated[str, BeforeValidator(_url), Field(json_schema_extra={"format": "uri"})]
        case OptionType.ADDRESS:
            return Annotated[str, BeforeValidator(_address)]
        case OptionType.DATA_URL:
            return Annotated[InstanceOf[DataUrl], BeforeValidator(_data_url), WithJsonSchema({"type": "string"})]
        case OptionType.TEXT:
            return Annotated[str, BeforeValidator(_unquoted)] if option.unquote else str
        case OptionType.SHARED:
            raise ValueError(f"{option.name} is shared: its declaration is somebody else's")


def allowed(option: Option) -> str:
    """What may be written after ``NAME =``, for people."""
    match option.type:
        case OptionType.INTEGER:
            limits = [f"at least {option.minimum}"] * (option.minimum is not None)
            limits += [f"at most {option.maximum}"] * (option.maximum is not None)
            return ", ".join([f"an integer ({option.unit})" if option.unit else "an integer", *limits])
        case OptionType.WORD:
            return "one of " + ", ".join(option.choices)
        case kind:
            return _ALLOWED[kind]


_ALLOWED = {
    OptionType.TEXT: "text",
    OptionType.PATH: "a path",
    OptionType.URL: "a URL (scheme://host…)",
    OptionType.ADDRESS: "an IP address or host name",
    OptionType.BOOLEAN: "True or False (also 1, yes, on, 0, no, off)",
    OptionType.LIST: "a list (a, b, c) or a JSON array of strings",
    OptionType.CIDR_LIST: "a list of networks (10.0.0.0/8, fc00::/7)",
    OptionType.JSON: "a JSON array of objects, or one object",
    OptionType.DATA_URL: "a database URL or the path of an SQLite file",
}


def as_text(value: object) -> str:
    """A value as it would be written in im.cfg; empty for one that is not set."""
    match value:
        case None:
            return ""
        case DataUrl():
            return value.text
        case tuple() if value and isinstance(value[0], dict):
            return json.dumps(value)
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def shown(option: Option, value: object) -> str:
    """A value as a message may quote it: short, on one line, and without secrets."""
    if option.secret or option.type is OptionType.DATA_URL:
        return "the value"
    text = redact(as_text(value) if isinstance(value, tuple) else str(value))
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def is_host_name(text: str) -> bool:
    """Whether a text can be the name of a host. Digits and dots that are no address are a mistake, not a name."""
    return bool(_HOST_NAME.fullmatch(text) and re.search("[A-Za-z]", text))


# Each of these takes the text of a file or variable, or a value that is already of its type (a default). What they
# raise is shown together with `allowed`, so it says only what that does not.


def _integer(value: object) -> object:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return _typed(value, int)


def _boolean(value: object) -> object:
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    return _typed(value, bool)


def _word(choices: tuple[str, ...], value: object) -> object:
    return next((choice for choice in choices if choice.lower() == str(value).lower()), value)


def _list(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return _json(value)
    return tuple(item for item in map(str.strip, value.split(",")) if item)


def _networks(value: object) -> object:
    items = _list(value)
    if not isinstance(items, list | tuple):
        raise ValueError
    return tuple(_network(item) for item in items)


def _network(item: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(item, strict=False)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"{str(item)[:60]!r} is not a network") from None


def _objects(value: object) -> object:
    data = _json(value) if isinstance(value, str) else value
    items = [data] if isinstance(data, dict) else data
    if not isinstance(items, list | tuple) or not all(isinstance(item, dict) for item in items):
        raise ValueError
    return tuple(items)


def _path(value: object) -> object:
    if value == "":
        return None
    if "\0" in str(value):
        raise ValueError
    if "\n" in str(value):
        raise ValueError("it goes on in an indented line")
    return value


def _url(value: object) -> object:
    try:
        parts = urlsplit(_typed(value, str))
        usable = not value or (parts.scheme and parts.hostname and parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError
    return value


def _address(value: object) -> object:
    text = _typed(value, str)
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        if not is_host_name(text):
            raise ValueError from None
    return text.strip("[]")


def _data_url(value: object) -> object:
    return DataUrl.parse(value) if isinstance(value, str) else value


def _unquoted(value: object) -> object:
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.removesuffix(' at')}, character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise ValueError
    return value
