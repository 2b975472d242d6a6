"""Which operations a node runs, in which order, from which files, with which inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.lexical import shortened
from imframework.languages.tosca.calls import call, is_function
from imframework.languages.tosca.definitions import Artifact, Operation
from imframework.languages.tosca.evaluation import Evaluator
from imframework.languages.tosca.references import Scope
from imframework.languages.tosca.source import Mark, invalid, plain, problem, value_mark
from imframework.languages.tosca.sources import Library, base_name, is_url
from imframework.languages.tosca.topology import Node, Relationship, Topology

#: ``stop`` and ``delete`` never run.
ORDER: Final = (
    *("create", "pre_configure_source", "pre_configure_target", "configure"),
    *("post_configure_source", "post_configure_target", "start"),
    *("add_target", "add_source", "target_changed", "remove_target"),
)
_OWN: Final = ("create", "configure", "start")
_OF_SOURCE: Final = ("pre_configure_source", "post_configure_source", "add_source")


@dataclass(frozen=True, slots=True)
class Run:
    """An operation that a node runs, ready: its file, and its inputs without functions."""

    name: str
    file: str
    content: str
    inputs: Mapping[str, Any]
    #: URLs to download before, each to ``/tmp/<base name>``
    downloads: tuple[str, ...]
    mark: Mark


def runs(topology: Topology, evaluator: Evaluator, library: Library, node: Node) -> list[Run]:
    """What a node runs, in order. Raises InvalidDocument with every problem found."""
    result = []
    problems: list[Problem] = []
    for operation, scope in _operations(node):
        try:
            result.append(_run(topology, evaluator, library, node, operation, scope))
        except InvalidDocument as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidDocument(problems)
    return result


def _operations(node: Node) -> Iterator[tuple[Operation, Scope]]:
    for name in ORDER:
        if name in _OWN:
            operation = node.operations.get(name)
            if operation is None or operation.implementation is None:
                operation = node.type.operations.get(name)
            if operation is not None and operation.implementation is not None:
                yield operation, Scope(node)
            continue
        is_source = name in _OF_SOURCE
        for related in node.relationships if is_source else node.incoming:
            operation = _of_relationship(related, name, related.target if is_source else related.source)
            if operation is not None:
                yield operation, Scope(related)


def _of_relationship(related: Relationship, name: str, other: Node) -> Operation | None:
    """The type wins over the template of the relationship, which wins over the node at its other end."""
    for operations in (related.type.operations, related.operations, other.operations):
        operation = operations.get(name)
        if operation is not None and operation.implementation is not None:
            return operation
    return None


def _run(
    topology: Topology, evaluator: Evaluator, library: Library, node: Node, operation: Operation, scope: Scope
) -> Run:
    artifacts = _visible_artifacts(node)
    problems: list[Problem] = []
    inputs: dict[str, Any] = {}
    downloads: list[str] = []
    for key, raw in operation.inputs.items():
        mark = value_mark(operation.inputs, key)
        try:
            value = raw
            if is_function(raw) and call(raw)[0] == "get_artifact":
                url = _artifact_url(topology, evaluator, artifacts, call(raw)[1], scope, mark)
                downloads.append(url)
                value = f"/tmp/{base_name(url)}"  # noqa: S108  # on the machine that is configured
            else:
                value = evaluator.value(raw, scope, mark)
        except InvalidDocument as error:
            problems.extend(error.problems)
            continue
        if value is None:
            message = f"the input {shortened(str(key))} of {operation.name} of {shortened(node.name)} has no value"
            problems.append(problem(message, mark, "input-without-value"))
        inputs[str(key)] = plain(value)
    try:
        file, content = _implementation(topology, evaluator, library, artifacts, operation, scope)
    except InvalidDocument as error:
        problems.extend(error.problems)
    if problems:
        raise InvalidDocument(problems)
    return Run(operation.name, file, content, inputs, tuple(downloads), operation.mark)


def _visible_artifacts(node: Node) -> dict[str, Artifact]:
    """The artifacts an operation may name: the node's own, then those of what it requires."""
    found = dict(node.artifacts)
    for related in node.relationships:
        for name, artifact in related.target.artifacts.items():
            found.setdefault(name, artifact)
    return found


def _implementation(
    topology: Topology,
    evaluator: Evaluator,
    library: Library,
    artifacts: Mapping[str, Artifact],
    operation: Operation,
    scope: Scope,
) -> tuple[str, str]:
    """The file that an operation runs, and its text."""
    file = operation.implementation or ""
    artifact = artifacts.get(file)
    if artifact is not None:
        file = artifact_location(topology, evaluator, artifact, scope)
    return file, library.file(file, operation.mark)


def artifact_location(topology: Topology, evaluator: Evaluator, artifact: Artifact, scope: Scope) -> str:
    """URL or relative path of an artifact's file. Raises InvalidDocument."""
    file = evaluator.value(artifact.file, scope, artifact.mark)
    name = shortened(artifact.name)
    if not isinstance(file, str) or not file:
        raise invalid(f"the artifact {name} has no file", artifact.mark, "missing-required")
    if not artifact.repository:
        return file
    base = topology.repositories.get(artifact.repository)
    if base is None:
        message = f"the artifact {name} names the unknown repository {shortened(artifact.repository)}"
        raise invalid(message, artifact.mark, "unknown-target")
    return f"{base.rstrip('/')}/{file.lstrip('/')}"


def _artifact_url(
    topology: Topology,
    evaluator: Evaluator,
    artifacts: Mapping[str, Artifact],
    arguments: list[Any],
    scope: Scope,
    mark: Mark,
) -> str:
    """The URL that ``get_artifact`` names. Raises InvalidDocument."""
    name = arguments[1] if len(arguments) > 1 else None
    artifact = artifacts.get(name) if isinstance(name, str) else None
    if artifact is None:
        raise invalid(f"there is no artifact {shortened(str(name))}", mark, "unknown-artifact")
    location = artifact_location(topology, evaluator, artifact, scope)
    if not is_url(location):
        hint = "give its file as a URL, or name a repository"
        raise invalid(f"the artifact {shortened(artifact.name)} cannot be downloaded", mark, "unknown-artifact", hint)
    return location
