"""Parameters that a client forgot to replace.

``@input.<name>@`` is no part of the language: clients put a value in its place before they send a document. Outside a
text such a left-over is a syntax error; inside a text or a recipe it is kept, and can be reported with this.
"""

from __future__ import annotations

from collections.abc import Iterator

from imframework.languages.radl.document import Document
from imframework.languages.radl.features import Collection, Features, Group, Text, TextList
from imframework.languages.radl.lexical import PARAMETER


def left_over_parameters(document: Document) -> tuple[str, ...]:
    """The names of the parameters still in texts and recipes of `document`, each once, in order of appearance."""
    names = (name for text in _texts(document) for name in PARAMETER.findall(text))
    return tuple(dict.fromkeys(names))


def _texts(document: Document) -> Iterator[str]:
    if document.description is not None:
        yield from _feature_texts(document.description.features)
    for aspects in (document.ansibles, document.networks, document.systems):
        for aspect in aspects.values():
            yield from _feature_texts(aspect.features)
    for configure in document.configures.values():
        yield configure.recipe or ""
    if document.contextualize is not None:
        yield from _feature_texts(document.contextualize.options)


def _feature_texts(features: Features) -> Iterator[str]:
    for _, feature in features.items():
        match feature:
            case Text():
                yield feature.value
            case TextList():
                yield from feature.values
            case Collection():
                for element in feature:
                    yield from _feature_texts(element)
            case Group():
                yield from _feature_texts(feature.features)
    for soft in features.softs:
        yield from _feature_texts(soft.features)
