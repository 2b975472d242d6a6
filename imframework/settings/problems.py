"""What is wrong, or worth saying, about a configuration: one record for files, environment and checks alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from imframework.api.errors import ConfigurationError, Problem


class Severity(StrEnum):
    """An error stops the start; a warning means that something is not as written; an info costs nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class ConfigProblem(Problem):
    """A `Problem` that also says in which `source` (a file, a variable) and with which `option`.

    `kind` is one of ``syntax``, ``unreadable``, ``unknown``, ``removed``, ``duplicate``, ``value``, ``range`` (a value
    that its fallback has replaced), ``conflict`` (options that contradict each other), ``machine`` (a file or
    directory that is not as the options need it on *this* machine) and ``ignored`` (a file that is not read).
    """

    source: str = ""
    option: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        hint = f" ({self.hint})" if self.hint else ""
        return "".join(f"{part}: " for part in (where, self.option) if part) + self.message + hint


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set: in a `source` (a file, a variable), on a `line` if that has lines."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


def problem_at(
    origin: Origin | None, option: str, message: str, *, kind: str, hint: str = "", severity: Severity = Severity.ERROR
) -> ConfigProblem:
    """A problem with an option, at the place where it was set; `origin` is None where its default is the trouble."""
    place = origin or Origin("default")
    return ConfigProblem(message, place.line, None, kind, hint, place.source, option, severity)


def raise_errors(problems: Iterable[ConfigProblem]) -> None:
    """Raise `ConfigurationError` with all the errors among these problems, if there is one."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        raise ConfigurationError(errors)
