"""Values for the inputs of a document, given beside it: TOSCA itself knows no other way than to edit the defaults."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.merging import with_value
from imframework.languages.tosca.source import Map, dump, load
from imframework.languages.tosca.special_inputs import inputs_of


def with_inputs(text: str, values: Mapping[str, str]) -> str:
    """The document with other defaults of inputs; the same text if there are no values.

    A value for an input that is not a string is read as YAML.

    Raises:
        InvalidDocument: no such input, a value that is not YAML, or a document that cannot be read.
    """
    if not values:
        return text
    document = load(text)
    inputs = inputs_of(document)
    for name, value in values.items():
        definition = inputs.get(name)
        if not isinstance(definition, Map):
            known = f"its inputs are {', '.join(map(str, inputs))}" if inputs else "it has no inputs"
            raise InvalidDocument(
                Problem(f"The document has no input {shortened(name)}", kind="unknown-input", hint=known)
            )
        path = ("topology_template", "inputs", name, "default")
        document = with_value(document, path, _typed(name, value, definition.get("type", "string")))
    return dump(document)


def _typed(name: str, value: str, kind: object) -> object:
    if kind == "string":
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        message = f"The value of input {shortened(name)} is not YAML: {getattr(error, 'problem', error)}"
        raise InvalidDocument(Problem(message, kind="wrong-type")) from None


def input_names(text: str) -> tuple[str, ...]:
    """The names of the inputs of a document; none if it cannot be read."""
    try:
        return tuple(str(name) for name in inputs_of(load(text)))
    except InvalidDocument:
        return ()
