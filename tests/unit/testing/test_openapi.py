"""Answers are held against an OpenAPI document: what is in it passes, what is not fails."""

import pytest

from imframework.testing.openapi import Description

THING = {"type": "object", "required": ["name"], "properties": {"name": {"$ref": "#/components/schemas/Name"}}}

DESCRIPTION = Description(
    {
        "paths": {
            "/things/{name}": {
                "parameters": [],
                "get": {
                    "responses": {
                        "200": {
                            "headers": {"ETag": {}},
                            "content": {
                                "application/json": {"schema": THING},
                                "text/plain": {"schema": {"const": "a"}},
                            },
                        },
                        "304": {"headers": {"ETag": {}}},
                        "404": {"$ref": "#/components/responses/NotFound"},
                    }
                },
            },
            "/things/all": {"get": {"responses": {"200": {"content": {"*/*": {}}}}}},
        },
        "components": {
            "schemas": {"Name": {"type": "string", "maxLength": 3}},
            "responses": {"NotFound": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        },
    }
)

JSON, TEXT = {"Content-Type": "application/json"}, {"Content-Type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    ("method", "target", "status", "headers", "body"),
    [
        ("GET", "/things/a", 200, JSON, b'{"name": "a"}'),
        ("GET", "/things/a/?x=1", 200, {**JSON, "etag": '"1"', "Date": "today"}, b'{"name": "a"}'),
        ("GET", "/things/a", 200, TEXT, b"a"),
        ("HEAD", "/things/a", 200, TEXT, b""),
        ("GET", "/things/a", 304, {"ETag": '"1"'}, b""),
        ("GET", "/things/none", 404, TEXT, b"no such thing"),
        ("GET", "/things/all", 200, {"Content-Type": "image/png"}, b"\xff"),
        ("GET", "/nothing", 404, TEXT, b""),
        ("GET", "/things/a//", 404, TEXT, b""),
        ("PUT", "/things/a", 405, TEXT, b""),
        ("OPTIONS", "/things/a", 200, TEXT, b""),
    ],
)
def test_what_is_described_passes(method, target, status, headers, body):
    DESCRIPTION.check(method, target, status, headers, body)


@pytest.mark.parametrize(
    ("method", "target", "status", "headers", "body", "why"),
    [
        ("GET", "/things/a", 500, TEXT, b"", "answered 500, which the document does not have"),
        ("GET", "/things/a", 200, JSON, b"{}", '"name" is a required property'),
        ("GET", "/things/a", 200, JSON, b'{"name": "anna"}', "name: .*longer than 3"),
        ("GET", "/things/a", 200, TEXT, b"b", "not in the document"),
        ("GET", "/things/a", 200, {"Content-Type": "text/html"}, b"", "as text/html"),
        ("GET", "/things/a", 304, TEXT, b"a", "with a body"),
        ("GET", "/things/none", 404, {**TEXT, "ETag": '"1"'}, b"", "headers .*etag"),
        ("GET", "/nothing", 200, TEXT, b"", "knows nothing of it"),
        ("PUT", "/things/a", 200, TEXT, b"", "knows nothing of it"),
        ("OPTIONS", "/things/a", 405, TEXT, b"", "answered 405"),
    ],
)
def test_what_is_not_described_fails(method, target, status, headers, body, why):
    with pytest.raises(AssertionError, match=why):
        DESCRIPTION.check(method, target, status, headers, body)
