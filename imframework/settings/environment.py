"""Options that are set by environment variables: ``IM_<OPTION>`` and a few with a meaning of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from imframework.api.config import MAIN_SECTION, Option, OptionType
from imframework.settings.catalogue import Catalogue
from imframework.settings.evaluation import Assignment
from imframework.settings.problems import ConfigProblem, Origin, Severity, problem_at

#: Variables that begin like an option's but are none.
RESERVED = ("IM_CONFIG", "IM_PATH", "IM_SINGLE_SITE_ONE_HOST")

_SINGLE_SITE_HOST = "IM_SINGLE_SITE_ONE_HOST"


def read_environment(environ: Mapping[str, str], catalogue: Catalogue) -> tuple[list[Assignment], list[ConfigProblem]]:
    """What the environment sets, those variables last that take precedence. An empty variable sets nothing."""
    assignments = list(_single_site(environ.get(_SINGLE_SITE_HOST, "").strip(), catalogue))
    problems: list[ConfigProblem] = []
    known = variables(catalogue)
    for variable, value in sorted(environ.items()):
        option, origin = known.get(variable), Origin(f"environment variable {variable}")
        if option is None:
            if variable.startswith("IM_") and variable not in RESERVED:
                problems += _misspelt(variable, known, origin)
        elif option.type is OptionType.INTEGER and value.startswith("tcp://"):
            message = "is ignored: Kubernetes has set it for a service whose name looks like an option"
            hint = "enableServiceLinks: false keeps it from doing so"
            problems.append(problem_at(origin, "", message, kind="ignored", hint=hint, severity=Severity.WARNING))
        elif value.strip():
            assignments.append(Assignment(option, value.strip(), origin))
    return assignments, problems


def variables(catalogue: Catalogue) -> dict[str, Option]:
    """The option that each variable sets.

    An option outside [im] also has a variable with its section, and only that if several sections have its name.
    """
    homes = Counter(option.name for option in catalogue)
    found = {}
    for option in catalogue:
        if option.section == MAIN_SECTION or homes[option.name] == 1:
            found[f"IM_{option.name}"] = option
        if option.section != MAIN_SECTION:
            found[re.sub(r"\W", "_", f"IM_{option.section.upper()}_{option.name}")] = option
        if option.name == "ANSIBLE_VERSION":
            found["ANSIBLE_VERSION"] = option
    return {variable: option for variable, option in found.items() if variable not in RESERVED}


def _misspelt(variable: str, known: Mapping[str, Option], origin: Origin) -> Iterator[ConfigProblem]:
    """Other programs may have variables that begin with IM_, so only a near miss is worth a warning."""
    for close in get_close_matches(variable, known, n=1, cutoff=0.88):
        message, hint = "sets no option", f"did you mean {close}?"
        yield problem_at(origin, "", message, kind="unknown", hint=hint, severity=Severity.WARNING)


def _single_site(host: str, catalogue: Catalogue) -> Iterator[Assignment]:
    """The options that bind the service to the OpenNebula server on a host."""
    if not host:
        return
    values = {
        (MAIN_SECTION, "SINGLE_SITE"): True,
        (MAIN_SECTION, "SINGLE_SITE_TYPE"): "OpenNebula",
        (MAIN_SECTION, "SINGLE_SITE_AUTH_HOST"): f"http://{host}:2633",
        (MAIN_SECTION, "SINGLE_SITE_IMAGE_URL_PREFIX"): f"one://{host}/",
        ("OpenNebula", "TTS_URL"): f"https://{host}:8443",
    }
    origin = Origin(f"environment variable {_SINGLE_SITE_HOST}")
    for (section, name), value in values.items():
        yield Assignment(catalogue.option(section, name), value, origin)
