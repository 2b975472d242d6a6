"""RADL, the resource and application description language: text in, model out, and back.

Everything here is pure: no files, no network, no clock. A reader starts with `document` (the model), then `text` (the
grammar); `docs/reference/radl.md` describes the language for its users.

The stages of a document: `parse` or `parse_json`, `check`, and, if it is sent to an existing infrastructure,
`resolve_references` and `merge_addition` or `merge_reconfigure`. For every problem at once, also those of a
document that cannot be parsed: `read` or `read_json`, and `all_problems`. Every error is an
`imframework.api.errors.InvalidDocument`.
"""

from imframework.languages.radl.contextualization import ContextualizationPlan, Run, Step, contextualization_plan
from imframework.languages.radl.document import (
    AnsibleNode,
    Application,
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Description,
    Document,
    Network,
    System,
)
from imframework.languages.radl.features import (
    Bound,
    Collection,
    Feature,
    Features,
    Group,
    Number,
    OnConflict,
    OnMissing,
    Soft,
    Text,
    TextList,
    is_secret,
)
from imframework.languages.radl.json_form import dumps_json, features_json, simple_json, to_json
from imframework.languages.radl.json_reading import parse_json, read_json
from imframework.languages.radl.merge import merge_addition, merge_reconfigure, resolve_references
from imframework.languages.radl.names import DnsName, HostName, dns_names, host_name, with_names
from imframework.languages.radl.outports import OutPort, parse_outports, remote_port
from imframework.languages.radl.parameters import left_over_parameters
from imframework.languages.radl.printer import dumps
from imframework.languages.radl.reading import Reading
from imframework.languages.radl.text import parse, read
from imframework.languages.radl.validation import all_problems, check

__all__ = [
    "AnsibleNode",
    "Application",
    "Bound",
    "Collection",
    "Configure",
    "ContextualizationPlan",
    "Contextualize",
    "ContextualizeItem",
    "Deploy",
    "Description",
    "DnsName",
    "Document",
    "Feature",
    "Features",
    "Group",
    "HostName",
    "Network",
    "Number",
    "OnConflict",
    "OnMissing",
    "OutPort",
    "Reading",
    "Run",
    "Soft",
    "Step",
    "System",
    "Text",
    "TextList",
    "all_problems",
    "check",
    "contextualization_plan",
    "dns_names",
    "dumps",
    "dumps_json",
    "features_json",
    "host_name",
    "is_secret",
    "left_over_parameters",
    "merge_addition",
    "merge_reconfigure",
    "parse",
    "parse_json",
    "parse_outports",
    "read",
    "read_json",
    "remote_port",
    "resolve_references",
    "simple_json",
    "to_json",
    "with_names",
]
