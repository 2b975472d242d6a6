"""DATA_DB taken apart: where the database is, without a word about how it is opened.

Storage plugins are handed the operator's text; those that want its parts use `DataUrl.parse`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SCHEME_ONLY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a database; `port` None leaves the choice to the storage plugin."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class DataUrl:
    """The parts of a database URL, percent-decoded; `query` is kept as written.

    A database in a file has a `path` and no `hosts`, one behind servers has `hosts`, a `database` and perhaps a
    `user` and `password`. `text` is what the operator wrote. Neither `str()` nor `repr()` shows the password.
    """

    scheme: str
    text: str = field(repr=False)
    path: Path | None = None
    hosts: tuple[Host, ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> DataUrl:
        """Read a database URL, or the bare path of an SQLite file.

        ``sqlite:///dir/file`` is an absolute path, with four slashes too. User and password end at the *last* ``@``,
        so an ``@`` in a password needs no encoding. Raises `ValueError`, whose text repeats no part of `text`.
        """
        text = text.strip()
        scheme, separator, rest = text.partition("://")
        if not separator:
            if _SCHEME_ONLY.match(text):
                raise ValueError("a database URL has '://' after the kind of database")
            return cls("sqlite", text, path=_path(text))
        if not _SCHEME.fullmatch(scheme):
            raise ValueError("the part before '://' is not the name of a kind of database")
        scheme = "sqlite" if scheme.lower() == "file" else scheme.lower()
        if rest.startswith("/"):
            location, _, query = rest.partition("?")
            return cls(scheme, text, path=_path("/" + unquote(location).lstrip("/")), query=query)
        if scheme == "sqlite":
            raise ValueError("the path of a database file is absolute: sqlite:///directory/file")
        login, _, place = rest.rpartition("@")
        user, _, password = login.partition(":")
        location, _, query = place.partition("?")
        servers, _, database = location.partition("/")
        return cls(
            scheme,
            text,
            hosts=tuple(_host(server) for server in servers.split(",")),
            user=unquote(user),
            password=unquote(password),
            database=unquote(database),
            query=query,
        )

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        if self.path is not None:
            return f"{self.scheme}://{self.path}{query}"
        login = f"{self.user}{':***' if self.password else ''}@" if self.user or self.password else ""
        return f"{self.scheme}://{login}{','.join(map(str, self.hosts))}/{self.database}{query}"


def _path(text: str) -> Path:
    if text in ("", "/"):
        raise ValueError("the path of the database file is missing")
    if "\0" in text or "\n" in text:
        raise ValueError("the path of the database file has characters that no path has")
    return Path(text)


def _host(text: str) -> Host:
    """``name``, ``name:port`` or ``[IPv6]:port``."""
    parts = _HOST.fullmatch(text)
    if parts is None:
        raise ValueError("a server is written as name, name:port or [IPv6 address]:port")
    port = None if parts["port"] is None else int(parts["port"])
    if port is not None and not 0 < port < 65536:
        raise ValueError("the port of a server is a number from 1 to 65535")
    return Host(parts["address"] or parts["name"], port)
