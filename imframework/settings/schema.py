"""The settings as a JSON schema, for editors and for programs that write configurations."""

from __future__ import annotations

from typing import Any

from imframework.settings.catalogue import Catalogue
from imframework.settings.model import section_model


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """A schema of an object with one member per section; values have their types, not their text in im.cfg."""
    sections = {}
    for name in catalogue.sections:
        model = section_model(name, [option for option in catalogue if option.section == name])
        sections[name] = model.model_json_schema()
        sections[name]["description"] = f"Section [{name}] of im.cfg"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "im.cfg",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
    }
