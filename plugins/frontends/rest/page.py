"""An OpenAPI document as one HTML page that needs nothing else: no script, no font, no other host.

It knows as much of OpenAPI as our document uses: references within the document, parameters in paths, queries and
headers, and schemas that are shown by their outline.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_METHODS: Final = ("get", "post", "put", "delete")
_DEEPEST: Final = 6
_CODE: Final = re.compile(r"`([^`]+)`")
_AS_CODE: Final = r"<code>\1</code>"

_ABOUT_ERRORS: Final = """
An error is told in the form that `Accept` asks for: one of the two below if it names that, a page if it names
`text/html`, else plain text.
"""

_STYLE: Final = """
:root{--ink:#1d2733;--soft:#5b6b7d;--line:#dde3ea;--paper:#fff;--shade:#f5f7fa;--accent:#0b63c5;
--get:#0b7a4b;--post:#0b63c5;--put:#9a5b00;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ee;--soft:#9aa8b7;--line:#2f3945;--paper:#14191f;--shade:#1b222a;
--accent:#6cb0ff;--get:#4cc38a;--post:#6cb0ff;--put:#e3a34a;--delete:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:var(--paper);font:16px/1.55 system-ui,sans-serif}
.sheet{display:flex;max-width:80rem;margin:auto}
nav{flex:0 0 18rem;position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1rem;
border-right:1px solid var(--line)}
nav h2{font-size:.8rem;text-transform:uppercase;letter-spacing:.06em;color:var(--soft);margin:1.2rem 0 .3rem}
nav a{display:block;color:inherit;text-decoration:none;font-size:.88rem;padding:.12rem 0}
nav a:hover{color:var(--accent)}
main{flex:1;min-width:0;padding:1.5rem 2.5rem 6rem}
h1{margin:.2rem 0}h1 small{font-size:1rem;font-weight:400;color:var(--soft)}
section>h2{margin-top:3rem;border-bottom:1px solid var(--line)}
code{font:.88em/1.5 ui-monospace,monospace}
pre{background:var(--shade);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;overflow:auto;
margin:.4rem 0}
article{margin:1.1rem 0;border:1px solid var(--line);border-radius:8px}
summary{display:flex;gap:.8rem;align-items:baseline;flex-wrap:wrap;padding:.65rem .9rem;cursor:pointer;list-style:none}
summary span{color:var(--soft)}
.method{font:700 .78rem ui-monospace,monospace;color:var(--paper);border-radius:4px;padding:.15rem .5rem;min-width:4rem;
text-align:center}
.get{background:var(--get)}.post{background:var(--post)}.put{background:var(--put)}.delete{background:var(--delete)}
.inside{scroll-margin-top:4rem;padding:0 .9rem 1rem;border-top:1px solid var(--line)}
h4{margin:1rem 0 .2rem;font-size:.9rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}
td,th{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line)}
td:first-child{white-space:nowrap}
td p,.note p{margin:0}.public{font-size:.8rem;border:1px solid var(--line);border-radius:9px;padding:0 .5rem}
@media(max-width:52rem){.sheet{display:block}nav{display:none}main{padding:1rem}}
"""


def page(document: Mapping[str, Any]) -> str:
    """The page of a document."""
    info, base = document["info"], document["servers"][0]["url"]
    groups: dict[str, tuple[Any, list[_Operation]]] = {tag["name"]: (tag, []) for tag in document["tags"]}
    for operation in _operations(document):
        groups[operation.tag][1].append(operation)
    contents = "".join(
        f"<h2>{_text(name)}</h2>" + "".join(operation.entry() for operation in operations)
        for name, (_, operations) in groups.items()
    )
    sections = "".join(
        f'<section><h2 id="{_text(name)}">{_text(name.capitalize())}</h2>{_prose(tag["description"])}'
        + "".join(operation.article() for operation in operations)
        + "</section>"
        for name, (tag, operations) in groups.items()
    )
    title = f"{info['title']} {info['version']}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>"
        f'<div class="sheet"><nav>{contents}<h2>everywhere</h2><a href="#errors">Errors</a>'
        '<a href="#credentials">Credentials</a></nav><main>'
        f"<h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1><p>{_text(info['summary'])}</p>"
        f"<pre><code>{_text(base)}</code></pre>"
        f'{_prose(info["description"])}<p>For programs: <a href="{_text(base)}/openapi.json">openapi.json</a>.</p>'
        f"{sections}{_errors(document)}{_credentials(document)}</main></div></body></html>\n"
    )


def _operations(document: Mapping[str, Any]) -> Iterator[_Operation]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield _Operation(document, path, method, item[method], item.get("parameters", ()))


class _Operation:
    """One method of one path."""

    def __init__(
        self, document: Mapping[str, Any], path: str, method: str, details: Mapping[str, Any], shared: Iterable[Any]
    ) -> None:
        self._document = document
        self._path = path
        self._method = method
        self._details = details
        self._parameters = [_resolved(document, parameter) for parameter in (*shared, *details.get("parameters", ()))]
        self.tag: str = details["tags"][0]

    def entry(self) -> str:
        """Its line in the table of contents."""
        return f'<a href="#{_text(self._details["operationId"])}">{_text(self._details["summary"])}</a>'

    def article(self) -> str:
        """All there is to say about it, folded up."""
        details = self._details
        public = "" if details.get("security", True) else '<span class="public">public</span>'
        return (
            "<article><details><summary>"
            f'<b class="method {self._method}">{self._method.upper()}</b><code>{_text(self._path)}</code>'
            f'<span>{_text(details["summary"])}</span>{public}</summary><div class="inside" '
            f'id="{_text(details["operationId"])}">'
            f"{_prose(details.get('description', ''))}{self._table_of_parameters()}{self._body()}{self._answers()}"
            "</div></details></article>"
        )

    def _table_of_parameters(self) -> str:
        rows = [
            f"<tr><td><code>{_text(parameter['name'])}</code></td>"
            f"<td>{parameter['in']}{', required' if parameter.get('required') else ''}</td>"
            f"<td>{_prose(parameter.get('description', ''))}</td></tr>"
            for parameter in self._parameters
        ]
        return f"<h4>Parameters</h4><table>{''.join(rows)}</table>" if rows else ""

    def _body(self) -> str:
        if "requestBody" not in self._details:
            return ""
        body = _resolved(self._document, self._details["requestBody"])
        return f"<h4>Body</h4>{_prose(body.get('description', ''))}{self._contents(body['content'])}"

    def _answers(self) -> str:
        rows = []
        for status, reference in sorted(self._details["responses"].items()):
            answer = _resolved(self._document, reference)
            names = [*answer.get("headers", ())]
            headers = f" Headers: {', '.join(f'`{name}`' for name in names)}." if names else ""
            # Errors all look alike: their forms are told once, in the reference.
            shown = self._contents(answer.get("content", {})) if status == "200" else ""
            rows.append(f"<tr><td>{status}</td><td>{_prose(answer['description'] + headers)}{shown}</td></tr>")
        return f"<h4>Answers</h4><table>{''.join(rows)}</table>"

    def _contents(self, content: Mapping[str, Any]) -> str:
        """Media types, and the outline of the JSON among them."""
        names = ", ".join(f"<code>{_text(name)}</code>" for name in content)
        outlines = [
            _json(_outline(self._document, form["schema"]))
            for name, form in content.items()
            if name == "application/json"
        ]
        return f"<p>{names}</p>{''.join(outlines)}"


def _outline(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> object:
    """What a value of a schema looks like: names of types in the places of values."""
    schema = _resolved(document, schema)
    if depth > _DEEPEST:
        return "…"
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "properties" in schema:
        return {name: _outline(document, each, depth + 1) for name, each in schema["properties"].items()}
    if "anyOf" in schema:
        return _outline(document, schema["anyOf"][0], depth + 1)
    if isinstance(schema.get("additionalProperties"), Mapping):
        return {"<name>": _outline(document, schema["additionalProperties"], depth + 1)}
    if "items" in schema:
        return [_outline(document, schema["items"], depth + 1)]
    kind = schema.get("type", "any")
    return kind if isinstance(kind, str) else " or ".join(kind)


def _resolved(document: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in found:
        reference, found = found["$ref"], document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    return found


def _errors(document: Mapping[str, Any]) -> str:
    """The forms of errors, which are the same everywhere."""
    forms = {"application/json": "Error", "application/problem+json": "ProblemDetails"}
    shown = "".join(
        f"<p><code>{media_type}</code></p>{_json(_outline(document, document['components']['schemas'][name]))}"
        for media_type, name in forms.items()
    )
    return f'<section><h2 id="errors">Errors</h2>{_prose(_ABOUT_ERRORS)}{shown}</section>'


def _credentials(document: Mapping[str, Any]) -> str:
    rows = []
    for scheme in document["components"]["securitySchemes"].values():
        header = scheme.get("name") or f"Authorization: {scheme['scheme'].capitalize()}"
        rows.append(f"<tr><td><code>{_text(header)}</code></td><td>{_prose(scheme['description'])}</td></tr>")
    return f'<section><h2 id="credentials">Credentials</h2><table>{"".join(rows)}</table></section>'


def _json(value: object) -> str:
    return f"<pre><code>{_text(json.dumps(value, indent=2, ensure_ascii=False))}</code></pre>"


def _prose(text: str) -> str:
    """Paragraphs with code between backquotes."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
    return "".join(f"<p>{_CODE.sub(_AS_CODE, _text(paragraph))}</p>" for paragraph in paragraphs if paragraph)


def _text(text: str) -> str:
    return html.escape(text)
