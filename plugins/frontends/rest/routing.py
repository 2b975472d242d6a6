"""From a path and a method to an operation, by a tree of path segments.

A lookup costs one dictionary access per segment, however many resources there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from imframework.api.errors import IMError
from imframework_plugins.frontends.rest.errors import MethodNotAllowed, UnknownResource
from imframework_plugins.frontends.rest.response import Response

if TYPE_CHECKING:
    from imframework_plugins.frontends.rest.request import Request

#: In place of a method: this operation answers whatever the method.
ANY: Final = "*"


class Tagged(Enum):
    """When an answer carries an ETag: the clients that poll often rarely ask for it, and are not to wait for it."""

    NEVER = 0
    WHEN_ASKED = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done for one method of one resource.

    `prefix` begins the text of its errors. `produces` is the media type it answers with unless the client wants
    JSON; None if there is nothing to choose; `further` is one for those who ask for it. A `public` operation
    asks for no credentials, one that is `for_machines` takes the secret of a machine for them. `tagged` operations
    answer with the tag of the infrastructure. What is not `documented` exists to say that there is no such thing.
    `variants` are prefixes for some errors.
    """

    run: Callable[[Request], Awaitable[Response]]
    prefix: str = ""
    produces: str | None = None
    public: bool = False
    further: str | None = None
    for_machines: bool = False
    tagged: Tagged = Tagged.NEVER
    documented: bool = True
    variants: Mapping[type[IMError], str] = field(default_factory=dict)

    def prefix_of(self, error: IMError) -> str:
        """How the text of an error begins."""
        return next((prefix for kind, prefix in self.variants.items() if isinstance(error, kind)), self.prefix)


@dataclass(slots=True)
class Resource:
    """The operations of one path, by method."""

    operations: Mapping[str, Operation]
    allow: str = field(init=False)

    def __post_init__(self) -> None:
        methods = {*self.operations, "OPTIONS"} - {ANY}
        if "GET" in methods:
            methods.add("HEAD")
        self.allow = ", ".join(sorted(methods))

    def operation(self, method: str) -> Operation:
        """The operation for a method.

        Raises:
            MethodNotAllowed: there is none.
        """
        operation = self.operations.get("GET" if method == "HEAD" else method) or self.operations.get(ANY)
        if operation is None:
            raise MethodNotAllowed(self.allow)
        return operation


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    resource: Resource | None = None

    def child(self, segment: str) -> _Node:
        if not segment.startswith("{"):
            return self.literals.setdefault(segment, _Node())
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter


class Router:
    """All resources. Segments in braces stand for any text; one that is spelt out goes before them."""

    def __init__(self, resources: Mapping[str, Mapping[str, Operation]]) -> None:
        """`resources` are paths such as ``/infrastructures/{id}`` with the operations of each."""
        self.resources = resources
        self._root = _Node()
        for path, operations in resources.items():
            node = self._root
            for segment in path.split("/")[1:]:
                node = node.child(segment)
            node.resource = Resource(operations)

    def find(self, path: str) -> tuple[Resource, list[str]]:
        """The resource at a path, and the texts for its segments in braces, still encoded.

        Raises:
            UnknownResource: there is none.
        """
        segments = path.split("/")
        if len(segments) > 2 and not segments[-1] and segments[-2]:
            segments.pop()
        node = self._root
        parameters = []
        for segment in segments[1:]:
            following = node.literals.get(segment)
            if following is None:
                following = node.parameter
                if following is None or not segment:
                    raise UnknownResource("Not Found")
                parameters.append(segment)
            node = following
        if segments[0] or node.resource is None:
            raise UnknownResource("Not Found")
        return node.resource, parameters
