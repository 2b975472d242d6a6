"""Whether the answers of an HTTP API are what its OpenAPI document says: status, headers, media type and body.

For documents of OpenAPI 3.1 whose references stay within the document. Needs `imframework[testing]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator

#: What may be said of a path or a method that there is not.
_REFUSED_UNDOCUMENTED = {400, 404, 405, 413, 429}


class Description:
    """An OpenAPI document to hold answers against."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` is the document as parsed JSON."""
        self._document = document
        # A path with fewer variable segments goes before one with more.
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\.", r"\.", path))), path) for path in paths]
        self._headers = {
            name.lower()
            for operation in self._operations()
            for answer in operation["responses"].values()
            for name in self._resolved(answer).get("headers", ())
        }
        self._validators: dict[int, Draft202012Validator] = {}

    def check(self, method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Fail unless the answer to a request is one that the document has.

        `target` is the path with its query, without the base URL; `headers` are those of the answer.
        """
        what = f"{method} {target[:200]} answered {status}"
        if method == "OPTIONS":
            assert (status, body) == (200, b""), what
            return
        operation = self._operation("get" if method == "HEAD" else method.lower(), target)
        if operation is None:
            assert status in _REFUSED_UNDOCUMENTED, f"{what}, but the document knows nothing of it"
            return
        answer = operation["responses"].get(str(status))
        assert answer is not None, f"{what}, which the document does not have"
        self._check_headers(what, self._resolved(answer), headers)
        self._check_body(what, self._resolved(answer), headers, None if method == "HEAD" else body)

    def _check_headers(self, what: str, answer: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        documented = {name.lower() for name in answer.get("headers", ())}
        sent = {name.lower() for name in headers} & self._headers
        assert sent <= documented, f"{what} with headers that the document does not have there: {sent - documented}"

    def _check_body(self, what: str, answer: Mapping[str, Any], headers: Mapping[str, str], body: bytes | None) -> None:
        if "content" not in answer:
            assert not body, f"{what} with a body, which the document does not have"
            return
        media_type = headers["Content-Type"].partition(";")[0].strip()
        form = answer["content"].get(media_type) or answer["content"].get("*/*")
        assert form is not None, f"{what} as {media_type}, which the document does not have"
        if body is None or "schema" not in form:
            return
        value = json.loads(body) if media_type.endswith("json") else body.decode()
        problems = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validator(form["schema"]).iter_errors(value)
        ]
        assert not problems, f"{what} with what is not in the document: {problems}"

    def _operation(self, method: str, target: str) -> Mapping[str, Any] | None:
        path = target.partition("?")[0]
        if path.endswith("/") and not path.endswith("//"):
            path = path[:-1] or "/"
        for pattern, name in self._paths:
            if pattern.fullmatch(path):
                operation: Mapping[str, Any] | None = self._document["paths"][name].get(method)
                return operation
        return None

    def _operations(self) -> list[Mapping[str, Any]]:
        return [
            operation
            for item in self._document["paths"].values()
            for name, operation in item.items()
            if name != "parameters"
        ]

    def _validator(self, schema: Mapping[str, Any]) -> Draft202012Validator:
        """For a schema of the document, which lives as long as that."""
        found = self._validators.get(id(schema))
        if found is None:
            whole = {**schema, "components": self._document["components"]}
            found = self._validators[id(schema)] = Draft202012Validator(whole)
        return found

    def _resolved(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in found:
            reference, found = found["$ref"], self._document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]
        return found
