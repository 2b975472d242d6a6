"""The settings as the program sees them: typed, immutable, and silent about secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from imframework.api.config import MAIN_SECTION, Option, OptionType
from imframework.api.redaction import MASK, redact
from imframework.settings.problems import Origin
from imframework.settings.values import annotation


class Section(BaseModel):
    """The values of one section of im.cfg, each under the name of its option."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    secret_names: ClassVar[frozenset[str]] = frozenset()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name in self.secret_names:
                yield name, MASK if value else value
            else:
                yield name, redact(value) if isinstance(value, str) else value


def section_model(section: str, options: Iterable[Option]) -> type[Section]:
    """The pydantic model of a section; its fields describe themselves in the JSON schema."""
    options = tuple(options)
    fields: dict[str, Any] = {option.name: (annotation(option), _field(option)) for option in options}
    model = create_model(section, __base__=Section, **fields)
    model.secret_names = frozenset(option.name for option in options if option.secret)
    return model


def _field(option: Option) -> Any:
    default = None if option.type is OptionType.PATH and not option.default else option.default
    facts = {"x-unit": option.unit, "deprecated": bool(option.deprecated), "writeOnly": option.secret}
    extra: dict[str, Any] = {name: fact for name, fact in facts.items() if fact}
    return Field(default, title=option.name, description=option.help, json_schema_extra=extra)


@dataclass(frozen=True)
class Settings:
    """All settings. Options of [im] are attributes: ``settings.MAX_VM_FAILS``.

    `source` is the file that was read, None if there was none.
    """

    sections: Mapping[str, Section]
    origins: Mapping[tuple[str, str], Origin] = field(default_factory=dict, repr=False)
    source: Path | None = None

    def __getattr__(self, name: str) -> Any:
        if not name.isupper():
            raise AttributeError(name)
        try:
            return getattr(self.sections[MAIN_SECTION], name)
        except AttributeError:
            raise AttributeError(f"there is no option {name} in section [{MAIN_SECTION}]") from None

    def section(self, name: str) -> Any:
        """The options of another section, as attributes: ``settings.section("OpenNebula").TEMPLATE_CONTEXT``.

        Raises `KeyError` for a section in which no option is declared.
        """
        return self.sections[name]

    def origin(self, name: str, section: str = MAIN_SECTION) -> Origin | None:
        """Where an option was set; None for one that has its default."""
        return self.origins.get((section, name))

    def values_of(self, options: Iterable[Option]) -> dict[str, Any]:
        """The values of declared (or shared) options by name: what a plugin is given.

        An option that is not in the catalogue, because its declaration was refused, is left out.
        """
        return {
            option.name: getattr(self.sections[option.section], option.name)
            for option in options
            if hasattr(self.sections.get(option.section), option.name)
        }

    def replace(self, **values: Any) -> Settings:
        """A copy in which some options of [im] have other values of their type. They are not checked."""
        main = self.sections[MAIN_SECTION].model_copy(update=values)
        return Settings({**self.sections, MAIN_SECTION: main}, self.origins, self.source)
