"""TOSCA Simple Profile in YAML, with the custom types of the Infrastructure Manager, translated to RADL.

Everything here is pure: what documents refer to is fetched by the callables of `Sources`. A reader starts with
`translation` (the stages), then `template` and `topology` (the document as objects), `types` and `values` (what it is
checked against), `evaluation` (functions), and one module per kind of node. `docs/reference/tosca.md` describes the
language for its users.

Every error is an `imframework.api.errors.InvalidDocument` with all problems at once.
"""

from imframework.languages.tosca.checking import validate
from imframework.languages.tosca.given import input_names, with_inputs
from imframework.languages.tosca.merging import merge_update
from imframework.languages.tosca.outputs import CloudAccess, LiveMachine, Outputs, outputs
from imframework.languages.tosca.sketch import Sketch, sketch
from imframework.languages.tosca.sources import ARTIFACTS_URL, CUSTOM_TYPES_URLS, Fetch, Sources
from imframework.languages.tosca.stored import Stored
from imframework.languages.tosca.translation import Translation, translate
from imframework.languages.tosca.updates import ExistingMachine

__all__ = [
    "ARTIFACTS_URL",
    "CUSTOM_TYPES_URLS",
    "CloudAccess",
    "ExistingMachine",
    "Fetch",
    "LiveMachine",
    "Outputs",
    "Sketch",
    "Sources",
    "Stored",
    "Translation",
    "input_names",
    "merge_update",
    "outputs",
    "sketch",
    "translate",
    "validate",
    "with_inputs",
]
