"""The text output: a `Document` as RADL text, in the layout that clients know.

What is written reads back as an equal document, since infrastructures are stored in this form. Line breaks, spaces and
the order of sentences are part of the interface: clients show this text and send it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from imframework.languages.radl.document import Configure, Contextualize, ContextualizeItem, Deploy, Document, System
from imframework.languages.radl.features import (
    Bound,
    Collection,
    Feature,
    Features,
    Group,
    Number,
    Soft,
    Text,
    TextList,
)
from imframework.languages.radl.lexical import name_problem, quote, quote_json


def dumps(document: Document) -> str:
    """`document` as text, without a line break at the end; an empty document is an empty text."""
    return "\n".join(_sentences(document)).rstrip("\n")


def _sentences(document: Document) -> Iterator[str]:
    if document.description is not None:
        yield f"description {document.description.id} ({_features(document.description.features)})"
    for node in document.ansibles.values():
        yield f"ansible {node.id} ({_features(node.features)})"
    for network in document.networks.values():
        yield f"network {network.id} " + ("" if network.reference else f"( {_features(network.features)} )")
    for system in document.systems.values():
        yield _system(system)
    for configure in document.configures.values():
        yield _configure(configure)
    yield "" if document.contextualize is None else _contextualize(document.contextualize)
    for deploy in document.deploys:
        yield _deploy(deploy)


def _system(system: System) -> str:
    return f"system {system.id} " + ("" if system.reference else f"(\n{_features(system.features)}\n)\n")


def _configure(configure: Configure) -> str:
    if configure.reference:
        return f"configure {configure.id}"
    if configure.recipe is None:
        return f"configure {configure.id} ()"
    return f"configure {configure.id} (\n@begin\n{configure.recipe}\n@end\n)"


def _contextualize(contextualize: Contextualize) -> str:
    limit = number_text(contextualize.max_time) if contextualize.max_time else ""
    lines = [f"option {line}" for line in _lines(contextualize.options)]
    lines += [_item(item) for item in contextualize.items.values()]
    if not lines:
        return f"contextualize {limit} ()" if limit else "contextualize ()"
    return f"contextualize {limit} (\n" + "\n".join(lines) + "\n)"


def _item(item: ContextualizeItem) -> str:
    step = f"step {item.step}" if item.step else ""
    tool = f"with {item.tool}" if item.tool is not None else ""
    return f"system {item.system} configure {item.configure} {step} {tool}"


def _deploy(deploy: Deploy) -> str:
    if deploy.cloud is None:
        return f"deploy {deploy.system} {deploy.count}"
    cloud = quote_json(deploy.cloud) if name_problem(deploy.cloud) else deploy.cloud
    return f"deploy {deploy.system} {deploy.count} {cloud}"


def _features(features: Features) -> str:
    return " and\n".join(_lines(features))


def _lines(features: Features) -> Iterator[str]:
    """The single features of a group; an interval of two ends and a collection of several elements take several."""
    for name, feature in features.entries():
        if isinstance(feature, Soft):
            yield f"soft {number_text(feature.weight)} ( {_features(feature.features)} )"
        elif name is not None:
            yield from _feature(name, feature)


def _feature(name: str, feature: Feature) -> Iterator[str]:
    match feature:
        case Text():
            yield f"{name} {feature.op} {quote(feature.value, feature=True)}"
        case Number():
            for bound in feature.bounds:
                yield f"{name} {bound.op} {_with_unit(bound)}"
        case TextList():
            yield f"{name} {feature.op} [{','.join(quote(text) for text in feature.values)}]"
        case Collection():
            for element in feature:
                yield f"{name} contains ({_features(element)})"
        case Group():
            yield f"{name} = ({_features(feature.features)})"
        case _:
            assert_never(feature)


def _with_unit(bound: Bound) -> str:
    number = number_text(bound.value)
    # "5 .1" is the number 5 with the (odd) unit ".1"; without the space it would be the number 5.1.
    return f"{number} {bound.unit}" if bound.unit[:1] == "." and "." not in number else number + bound.unit


def number_text(value: int | float) -> str:
    """The shortest text in positional notation that reads back as the same number; floats have a decimal point."""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
        return text if "." in text else text + ".0"
    return text
