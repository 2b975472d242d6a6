"""Every option there is: the framework's own, in groups, and those of installed plugins.

The groups are plain data in the modules beside this one. `Catalogue` joins them with what plugins declare and finds
an option, or the name that was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from pydantic import TypeAdapter, ValidationError

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue import choices, clouds, contextualization, frontends, identity, machines, service
from imframework.settings.catalogue.group import Group
from imframework.settings.problems import ConfigProblem, Origin, Severity, problem_at
from imframework.settings.values import allowed, annotation

#: Options by the label of the plugin that declares them (``connectors dummy``).
PluginOptions = Mapping[str, Sequence[Option]]

#: What is declared by the framework itself, in the order of the sample file.
FRAMEWORK_GROUPS: tuple[Group, ...] = (
    service.DATA,
    service.SERVICE,
    service.TOSCA,
    service.LOGGING,
    choices.PLUGINS,
    machines.LAUNCH,
    machines.DEFAULTS,
    contextualization.CONTEXTUALIZATION,
    frontends.REST,
    frontends.OAIPMH,
    frontends.XMLRPC,
    identity.USERS,
    identity.OIDC,
    identity.VAULT,
    clouds.CLOUDS,
    clouds.TAGS,
    clouds.SINGLE_SITE,
    clouds.OPENNEBULA,
)


class Catalogue:
    """The options that can be set, by section and name.

    An option is declared once. A plugin that declares one of the framework's again means the framework's: it stays as
    it is, and `problems` tells of declarations that differ from it, or from another plugin's.
    """

    def __init__(self, plugin_options: PluginOptions | None = None) -> None:
        self.problems: list[ConfigProblem] = []
        self._options: dict[tuple[str, str], Option] = {}
        self._owners: dict[tuple[str, str], str] = {}
        groups = list(FRAMEWORK_GROUPS)
        for group in FRAMEWORK_GROUPS:
            for option in group.options:
                self._add(option, "the framework")
        for label, options in (plugin_options or {}).items():
            own = tuple(option for option in options if self._accepts(option, label) and self._add(option, label))
            if own:
                groups.append(Group(f"Plugin {label}", own))
        for label, options in (plugin_options or {}).items():
            for option in options:
                if (option.section, option.name) not in self._options:
                    self._report(option, label, "is asked for, but nobody declares it")
        #: All groups: the framework's, then one for each plugin with options of its own.
        self.groups: tuple[Group, ...] = tuple(groups)

    def __iter__(self) -> Iterator[Option]:
        return iter(self._options.values())

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of all sections that options stand in, ``im`` first."""
        return tuple(dict.fromkeys(option.section for option in self))

    def find(self, section: str, name: str) -> Option | None:
        """The option of that name, None if there is none."""
        return self._options.get((section, name))

    def option(self, section: str, name: str) -> Option:
        """The option of that name. Raises `KeyError` if there is none."""
        return self._options[section, name]

    def hint(self, section: str, name: str) -> str:
        """What somebody who wrote this name into this section may have meant; empty if nothing comes close."""
        homes = [option.section for option in self if option.name == name]
        if homes:
            return f"it belongs to section [{homes[0]}]"
        close = get_close_matches(name, [option.name for option in self if option.section == section], n=1, cutoff=0.7)
        return f"did you mean {close[0]}?" if close else ""

    def section_hint(self, section: str) -> str:
        """The same for the name of a section."""
        by_case = {name.casefold(): name for name in self.sections}
        close = get_close_matches(section.casefold(), by_case, n=1, cutoff=0.7)
        return f"did you mean [{by_case[close[0]]}]?" if close else ""

    def _accepts(self, option: Option, label: str) -> bool:
        """Whether a plugin's declaration can be used. A wrong one costs the plugin this option, and no more."""
        if option.type is OptionType.SHARED:
            return False
        try:
            TypeAdapter(annotation(option)).validate_python(option.default)
        except ValidationError:
            self._report(option, label, f"has a default that it does not allow itself ({allowed(option)})")
            return False
        return True

    def _add(self, option: Option, owner: str) -> bool:
        """Take the option into the catalogue unless it is there already; whether it was taken."""
        key = (option.section, option.name)
        known = self._options.setdefault(key, option)
        if known is option:
            self._owners[key] = owner
            return True
        if (known.type, known.default) != (option.type, option.default):
            self._report(option, owner, f"is declared differently by {self._owners[key]}, whose declaration counts")
        return False

    def _report(self, option: Option, owner: str, message: str) -> None:
        origin = Origin(f"plugin {owner}")
        self.problems.append(problem_at(origin, option.name, message, kind="conflict", severity=Severity.WARNING))
