"""Writing the JSON form, and the simplified JSON that recipes are given. `json_reading` says what the form is."""

from __future__ import annotations

import json
from typing import Any, Final, assert_never

from imframework.languages.radl.document import (
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Described,
    Document,
)
from imframework.languages.radl.features import Collection, Features, Group, Number, Text, TextList
from imframework.languages.radl.json_reading import RESERVED

#: Systems with this prefix are bookkeeping of older servers and never shown.
_HIDDEN_PREFIX: Final = "F0000__FAKE_SYSTEM__"


def to_json(document: Document) -> list[dict[str, Any]]:
    """The objects of the JSON form, in its order."""
    objects = [_described("ansible", node) for node in document.ansibles.values()]
    objects += [_described("network", network, network.reference) for network in document.networks.values()]
    objects += [_described("system", system, system.reference) for system in document.systems.values()]
    objects += [_configure(configure) for configure in document.configures.values()]
    objects += [_deploy(deploy) for deploy in document.deploys]
    if document.contextualize is not None:
        objects.append(_contextualize(document.contextualize))
    if document.description is not None:
        objects.append(_described("description", document.description))
    return objects


def dumps_json(document: Document) -> str:
    """`to_json` as text, indented by 2, keys sorted."""
    return json.dumps(to_json(document), indent=2, sort_keys=True, ensure_ascii=False)


def simple_json(document: Document) -> list[dict[str, Any]]:
    """What recipes see as IM_INFRASTRUCTURE_RADL: networks, systems and deploys, in that order.

    Every ``.`` in top-level keys is replaced by ``_``, so that templates can write ``item.cpu_count_min``.
    """
    objects = [_described("network", network, network.reference) for network in document.networks.values()]
    objects += [_described("system", system, system.reference) for system in document.systems.values()]
    objects += [_deploy(deploy) for deploy in document.deploys]
    return [
        {key.replace(".", "_"): value for key, value in item.items()}
        for item in objects
        if not item.get("id", item.get("system", "")).startswith(_HIDDEN_PREFIX)
    ]


def features_json(features: Features) -> dict[str, Any]:
    """A single set of features as a JSON object."""
    result: dict[str, Any] = {}
    for name, feature in features.items():
        match feature:
            case Text():
                result[name] = feature.value
            case Number():
                result.update(_number(name, feature))
            case TextList():
                result[name] = list(feature.values)
            case Collection():
                result[name] = [features_json(element) for element in feature]
            case Group():
                result[name] = features_json(feature.features)
            case _:
                assert_never(feature)
    if features.softs:
        result["softs"] = [{"weight": soft.weight, "items": features_json(soft.features)} for soft in features.softs]
    return result


def _number(name: str, number: Number) -> dict[str, int | float]:
    low = None if number.low is None else number.low.base
    high = None if number.high is None else number.high.base
    # A plain number called x_min would be read as the low end of x; two ends that meet say the same.
    if low is not None and low == high and not name.endswith(("_min", "_max")):
        return {name: low}
    ends = {f"{name}_min": low, f"{name}_max": high}
    return {key: end for key, end in ends.items() if end is not None}


def _described(kind: str, aspect: Described, reference: bool = False) -> dict[str, Any]:
    if reference:
        return {"class": kind, "id": aspect.id, "reference": True}
    return {"class": kind, "id": aspect.id} | {
        key: value for key, value in features_json(aspect.features).items() if key not in RESERVED
    }


def _configure(configure: Configure) -> dict[str, Any]:
    if configure.reference:
        return {"class": "configure", "id": configure.id, "reference": True}
    return {"class": "configure", "id": configure.id, "recipes": configure.recipe}


def _deploy(deploy: Deploy) -> dict[str, Any]:
    item: dict[str, Any] = {"class": "deploy", "system": deploy.system, "vm_number": deploy.count}
    if deploy.cloud is not None:
        item["cloud"] = deploy.cloud
    return item


def _contextualize(contextualize: Contextualize) -> dict[str, Any]:
    result: dict[str, Any] = {"class": "contextualize"}
    if contextualize.max_time:
        result["max_time"] = contextualize.max_time
    if contextualize.items:
        result["items"] = [_item(item) for item in contextualize.items.values()]
    if len(contextualize.options):
        result["options"] = features_json(contextualize.options)
    return result


def _item(item: ContextualizeItem) -> dict[str, Any]:
    result: dict[str, Any] = {"system": item.system, "configure": item.configure}
    if item.step:
        result["step"] = item.step
    if item.tool is not None:
        result["ctxt_tool"] = item.tool
    return result
