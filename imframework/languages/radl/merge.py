"""Documents sent to an existing infrastructure: resolving their references, and merging them into what is stored.

The order of work when resources are added: parse, `check`, `resolve_references`, `check` again (a referenced system
needs its networks mentioned), `merge_addition`, `check` of the result; only then is anything stored.
For a reconfiguration: parse, `merge_reconfigure`, `check` of the result.

All functions leave their arguments alone and return new documents. What comes from the stored document loses its line
numbers there, which would mean nothing in the text that the user sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.document import Configure, Contextualize, Document, Network, System
from imframework.languages.radl.features import Collection, Features
from imframework.languages.radl.lexical import shortened

_NEW_CREDENTIALS: Final = re.compile(r"disk\.[0-9]+\.os\.credentials\.new\..+")
_APPLICATIONS: Final = "disk.0.applications"


def resolve_references(document: Document, stored: Document) -> Document:
    """`document` with every reference replaced by a copy of the stored definition.

    The Ansible nodes that referenced systems ask for come along, as the language has no way to reference them.
    Raises InvalidDocument naming class and id of every reference that nothing is stored for.
    """
    result = document.copy()
    problems = [
        *_resolve("network", result.networks, stored.networks),
        *_resolve("system", result.systems, stored.systems),
        *_resolve("configure", result.configures, stored.configures),
    ]
    if problems:
        raise InvalidDocument(problems)
    for id, system in document.systems.items():
        host = result.systems[id].text("ansible_host")
        if system.reference and host is not None and host in stored.ansibles:
            result.ansibles.setdefault(host, stored.ansibles[host].copy(positions=False))
    return result


def merge_addition(stored: Document, addition: Document) -> Document:
    """What is stored once the resources of `addition` have been added.

    The description is replaced; of networks and Ansible nodes the stored definitions stay; systems and recipes are
    replaced; contextualize is merged; the deploys become those of `addition`. References in `addition` are resolved
    first, so InvalidDocument is raised as by `resolve_references`.
    """
    addition = resolve_references(addition, stored)
    result = stored.copy(positions=False)
    if addition.description is not None:
        result.description = addition.description
    result.networks |= {id: network for id, network in addition.networks.items() if id not in result.networks}
    result.ansibles |= {id: node for id, node in addition.ansibles.items() if id not in result.ansibles}
    result.systems.update(addition.systems)
    result.configures.update(addition.configures)
    result.contextualize = _merged(result.contextualize, addition.contextualize)
    result.deploys = addition.deploys
    return result


def merge_reconfigure(stored: Document, new: Document) -> Document:
    """What is stored once an infrastructure is reconfigured with `new`.

    Taken from `new`: recipes (replacing stored ones), contextualize (merged), and of systems that are stored too the
    new credentials and the applications, each replacing the stored one of the same name up to the first comma.
    A reference to a recipe keeps the stored one; raises InvalidDocument if there is none.
    """
    result = stored.copy(positions=False)
    new = new.copy()
    problems = _resolve("configure", new.configures, stored.configures)
    if problems:
        raise InvalidDocument(problems)
    result.configures.update(new.configures)
    result.contextualize = _merged(result.contextualize, new.contextualize)
    for id, system in new.systems.items():
        if id in result.systems:
            _reconfigure_system(result.systems[id].features, system.features)
    return result


_Defined = TypeVar("_Defined", Network, System, Configure)


def _resolve(kind: str, wanted: dict[str, _Defined], stored: Mapping[str, _Defined]) -> list[Problem]:
    problems = []
    for id, aspect in wanted.items():
        if not aspect.reference:
            continue
        definition = stored.get(id)
        if definition is None or definition.reference:
            message = f"unknown reference to {kind} '{shortened(id)}'"
            hint = f"the infrastructure has no {kind} of this id: define it in parentheses"
            problems.append(Problem(message, aspect.line, aspect.column, "unknown-reference", hint))
        else:
            wanted[id] = definition.copy(positions=False)
    return problems


def _merged(stored: Contextualize | None, added: Contextualize | None) -> Contextualize | None:
    if stored is None or added is None:
        return stored or added
    return stored.merged(added)


def _reconfigure_system(features: Features, new: Features) -> None:
    for name, feature in new.items():
        if _NEW_CREDENTIALS.fullmatch(name):
            features.replace(name, feature)
    wanted = new.get(_APPLICATIONS)
    if not isinstance(wanted, Collection):
        return
    replacing = {_base_name(element): element for element in wanted}
    elements = [replacing.pop(_base_name(element), element) for element in features.elements(_APPLICATIONS)]
    features.replace(_APPLICATIONS, Collection([*elements, *replacing.values()]))


def _base_name(application: Features) -> str:
    """The name without the version that may follow a comma: ``ansible.roles.acme.nginx,v2`` is that role."""
    return (application.text("name") or "").partition(",")[0]
