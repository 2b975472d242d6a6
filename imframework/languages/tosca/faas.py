"""Functions (FaaS): a system of their own for clouds that run functions, or a recipe on the OSCAR cluster they name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from imframework.languages.radl import Document, System
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.source import invalid, plain
from imframework.languages.tosca.topology import HOSTED_ON, ORDERING, Node
from imframework.languages.tosca.values import scalar_unit, text_of

OSCAR_USER: Final = "oscar"
_TASKS: Final = "utils/tasks/"
_STORAGE: Final = {"storage_provider": "provider", "path": "path", "prefix": "prefix", "suffix": "suffix"}
_EXPOSED: Final = ("min_scale", "max_scale", "port", "cpu_threshold")
_MISSING_B: Final = re.compile(r"\s*([0-9.]+)\s*([KMGTkmgt]i?)\s*")


def is_hosted(node: Node) -> bool:
    """Whether the function runs on a cluster of the same document."""
    return _cluster(node) is not None


def _cluster(node: Node) -> Node | None:
    return next((link.target for link in node.relationships if link.is_a(HOSTED_ON)), None)


def dns_host(evaluator: Evaluator, node: Node) -> str:
    """The DNS name of the cluster of a hosted function; empty if it has none."""
    cluster = _cluster(node)
    name = evaluator.property(cluster.properties, "dns_host", Scope(cluster)) if cluster is not None else None
    return (name or "").strip("'\"")


def password(evaluator: Evaluator, node: Node) -> str:
    """The password of the cluster of a hosted function."""
    cluster = _cluster(node)
    found = evaluator.property(cluster.properties, "password", Scope(cluster)) if cluster is not None else None
    return text_of(found)


def wanted(evaluator: Evaluator, node: Node) -> int:
    """How many are wanted: 0 or 1. Raises InvalidDocument for more."""
    scalable = node.capabilities.get("scalable")
    count = evaluator.property(scalable.properties, "count", Scope(node)) if scalable is not None else None
    if scalable is not None and count not in (None, 0, 1):
        message = f"the function {shortened(node.name)} can be there once or not at all, not {count} times"
        raise invalid(message, scalable.properties.mark("count"), "faas-scale")
    return 1 if count is None else int(count)


class _Values:
    """The properties of a function, by name."""

    def __init__(self, evaluator: Evaluator, node: Node) -> None:
        self._evaluator = evaluator
        self._node = node

    def __getitem__(self, name: str) -> Any:
        return self._evaluator.property(self._node.properties, name, Scope(self._node))

    def memory(self) -> int:
        """Bytes. A unit may lack its B."""
        text = self["memory"] or ""
        match = _MISSING_B.fullmatch(text)
        size = scalar_unit("scalar-unit.size", f"{match[1]} {match[2]}B" if match is not None else text)
        if size is None:
            mark = self._node.properties.mark("memory")
            message = f"{shortened(self._node.name)}.memory must be a size, not '{shortened(text)}'"
            raise invalid(message, mark, "wrong-type", "such as 512Mi")
        return int(size)


def translate_function(evaluator: Evaluator, node: Node, document: Document) -> System:
    """Add the system of a function that no cluster of the document hosts. Raises InvalidDocument."""
    values = _Values(evaluator, node)
    system = System(node.name)
    for name in ("name", "script"):
        system.set(name, values[name])
    if values["image_pull_secrets"]:
        system.set("image_pull_secrets", [text_of(secret) for secret in values["image_pull_secrets"]])
    system.set("disk.0.image.url", values["image"])
    system.set("cpu.count", values["cpu"])
    system.set("memory.size", values.memory(), "B")
    system.set("alpine", int(values["alpine"] or False))
    if values["enable_gpu"]:
        system.set("gpu.count", 1)
    if values["enable_sgx"]:
        system.set("cpu.sgx", 1)
    if values["env_variables"]:
        system.set(
            "environment.variables", [f"{key}:{text_of(value)}" for key, value in values["env_variables"].items()]
        )
    for direction in ("input", "output"):
        for index, entry in enumerate(values[direction] or ()):
            for key, feature in _STORAGE.items():
                if entry.get(key) is not None:
                    system.set(f"{direction}.{index}.{feature}", text_of(entry[key]))
    _set_providers(system, values["storage_providers"] or {})
    for key in _EXPOSED:
        value = (values["exposed"] or {}).get(key)
        if value is not None:
            system.set(f"expose.{key}", _plain_value(value))
    dependencies = _dependencies(node)
    if dependencies:
        system.set("dependencies", dependencies)
    document.systems[system.id] = system
    return system


def _set_providers(system: System, providers: Mapping[str, Any]) -> None:
    for kind in ("minio", "s3", "onedata"):
        entries = providers.get(kind)
        for index, (id_, fields) in enumerate(entries.items() if isinstance(entries, dict) else ()):
            system.set(f"{kind}.{index}.id", text_of(id_))
            for key, value in fields.items() if isinstance(fields, dict) else ():
                if value is not None:
                    system.set(f"{kind}.{index}.{key}", _plain_value(value))


def _plain_value(value: Any) -> str | int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text_of(value)


def _dependencies(node: Node) -> list[str]:
    found: dict[str, None] = {}
    for related in node.relationships:
        if related.is_a(*ORDERING) and not related.is_a(HOSTED_ON):
            found[(related.target.host or related.target).name] = None
    return list(found)


def hosted_recipe(evaluator: Evaluator, node: Node) -> str:
    """The recipe that creates a hosted function or, if none is wanted, deletes it. Raises InvalidDocument."""
    values = _Values(evaluator, node)
    host = dns_host(evaluator, node)
    variables = {
        "oscar_endpoint": f"https://{host}" if host else "http://{{ IM_NODE_PUBLIC_IP }}",
        "oscar_username": OSCAR_USER,
        "oscar_password": password(evaluator, node),
    }
    if wanted(evaluator, node):
        tasks = "oscar_function.yml"
        variables["oscar_service_json"] = json.dumps(_service(values))
    else:
        tasks = "del_oscar_function.yml"
        variables["oscar_service_name"] = text_of(values["name"])
    play = {"tasks": [{"include_tasks": _TASKS + tasks, "vars": variables}]}
    text: str = yaml.safe_dump([play], sort_keys=False, explicit_start=True, allow_unicode=True, width=1000)
    return text


def _service(values: _Values) -> dict[str, Any]:
    """The definition that OSCAR is sent; empty values are left out."""
    variables = values["env_variables"]
    service = {
        "name": values["name"],
        "image": values["image"].partition("://")[2] or values["image"],
        "memory": f"{values.memory() >> 20}Mi",
        "script": values["script"],
        "cpu": format(values["cpu"] or 0, "g"),
        "enable_gpu": values["enable_gpu"],
        "alpine": values["alpine"],
        "input": values["input"],
        "output": values["output"],
        "storage_providers": values["storage_providers"],
        "environment": {"Variables": variables} if variables else None,
        "image_pull_secrets": values["image_pull_secrets"],
    }
    return {key: plain(value) for key, value in service.items() if value not in (None, "", [], {})}
