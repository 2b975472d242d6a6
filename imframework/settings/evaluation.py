"""From assignments to settings: convert every value, check what must agree, fill in what follows from others.

Nothing stops at the first mistake: every value that cannot be used is reported, its default takes its place, and the
checks that do not depend on it are made all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from imframework.api.config import Option
from imframework.settings.catalogue import Catalogue
from imframework.settings.checks import Check
from imframework.settings.derived import derive
from imframework.settings.model import Section, Settings, section_model
from imframework.settings.problems import ConfigProblem, Origin, Severity, problem_at
from imframework.settings.values import EMPTY_IS_NOT_SET, allowed, shown

#: What pydantic calls a value of the right type outside the limits or choices of its option.
_OUT_OF_RANGE = ("greater_than_equal", "less_than_equal", "literal_error")


@dataclass(frozen=True, slots=True)
class Assignment:
    """An option that is given a value (text, or already typed) somewhere."""

    option: Option
    value: object
    origin: Origin

    @property
    def sets_something(self) -> bool:
        return self.value != "" or self.option.type not in EMPTY_IS_NOT_SET


def evaluate(
    catalogue: Catalogue, assignments: Iterable[Assignment], source: Path | None, checks: Iterable[Check]
) -> tuple[Settings, list[ConfigProblem]]:
    """Settings and everything there is to say about them. Of several assignments to one option the last counts."""
    chosen = {(each.option.section, each.option.name): each for each in assignments if each.sets_something}
    problems = [_no_effect(each) for each in chosen.values() if each.option.deprecated]
    sections = {}
    for name in catalogue.sections:
        options = [option for option in catalogue if option.section == name]
        mine = {each.option.name: each for each in chosen.values() if each.option.section == name}
        sections[name], found = _convert(section_model(name, options), mine)
        problems += found
    settings = Settings(sections, {key: each.origin for key, each in chosen.items()}, source)
    wrong = {problem.option for problem in problems if problem.severity is Severity.ERROR}
    for check in checks:
        if wrong.isdisjoint(check.options):
            problems += check.find(settings)
    return derive(settings), problems


def _no_effect(assignment: Assignment) -> ConfigProblem:
    message = f"no longer has an effect: {assignment.option.deprecated}"
    return problem_at(assignment.origin, assignment.option.name, message, kind="removed", severity=Severity.INFO)


def _convert(model: type[Section], assignments: dict[str, Assignment]) -> tuple[Section, list[ConfigProblem]]:
    """The values of one section, with fallbacks or defaults in place of those that cannot be used."""
    values = {name: each.value for name, each in assignments.items()}
    try:
        return model(**values), []
    except ValidationError as error:
        faults = {str(fault["loc"][0]): fault for fault in reversed(error.errors(include_url=False))}
    problems = []
    for name, fault in faults.items():
        option, origin = assignments[name].option, assignments[name].origin
        complaint = f"{shown(option, values.pop(name))} is not allowed"
        detail = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else ""
        if detail:
            complaint += f": {detail}"
        hint = f"allowed: {allowed(option)}"
        if option.fallback is not None and fault["type"] in _OUT_OF_RANGE:
            values[name] = option.fallback
            complaint += f", {option.fallback} is used"
            problems.append(problem_at(origin, name, complaint, kind="range", hint=hint, severity=Severity.WARNING))
        else:
            problems.append(problem_at(origin, name, complaint, kind="value", hint=hint))
    return model(**values), problems
