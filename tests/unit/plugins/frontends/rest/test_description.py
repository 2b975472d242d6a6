"""The OpenAPI document: that it is one, that it has every resource, and how it is served."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
import yaml
from openapi_spec_validator import validate

from imframework.api.errors import IMError
from imframework_plugins.frontends.rest import description
from imframework_plugins.frontends.rest.resources import ROUTER

METHODS = {"get", "post", "put", "delete", "patch", "head", "options"}


@pytest.fixture(scope="module")
def document():
    return description.document()


def operations(document):
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_it_is_what_openapi_says_it_has_to_be(document):
    validate(document)


def test_every_route_is_described_and_nothing_else(document):
    routes = {
        (path, method.lower())
        for path, operations in ROUTER.resources.items()
        for method, operation in operations.items()
        if operation.documented
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes


def test_what_needs_no_credentials_is_marked_so(document):
    public = {path for path, _, operation in operations(document) if operation.get("security") == []}
    assert public == {
        path
        for path, methods in ROUTER.resources.items()
        for each in methods.values()
        if each.public and each.documented
    }


def test_every_parameter_of_a_path_is_described(document):
    def resolved(parameter):
        if "$ref" not in parameter:
            return parameter
        return document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]

    for path, method, operation in operations(document):
        parameters = [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
        found = [resolved(each)["name"] for each in parameters if resolved(each)["in"] == "path"]
        assert sorted(found) == sorted(re.findall(r"{(\w+)}", path)), (path, method)


def test_operations_have_names_of_their_own_and_links_lead_to_them(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for _, _, operation in operations(document):
        for link in operation["responses"]["200"].get("links", {}).values():
            assert link["operationId"] in names


def test_every_reference_leads_somewhere_and_every_component_is_used(document):
    references = set(re.findall(r"'\$ref': '#/components/(\w+/\w+)'", str(document)))
    components = {f"{kind}/{name}" for kind, members in document["components"].items() for name in members}
    assert references == {name for name in components if not name.startswith("securitySchemes/")} - {"headers/Allow"}


def test_no_key_is_written_twice():
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            assert len(set(keys)) == len(keys), (node.start_mark, keys)
            return super().construct_mapping(node, deep)

    text = files("imframework_plugins.frontends.rest").joinpath("openapi.yaml").read_text("utf-8")
    yaml.load(text, Strict)  # noqa: S506 - it is a safe one


def test_it_is_served_with_the_address_that_the_client_used(server):
    answer = server.get("/openapi.json", auth=None, Host="im.example.org", X_Forwarded_Prefix="/im")
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["info"]["version"] == "1.2.3"
    assert answer.json["servers"] == [{"url": "http://im.example.org/im"}]
    assert answer.json["paths"] == description.document()["paths"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/html", "application/json"),
        ("*/*, text/html", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/html, application/json", "text/html"),
    ],
)
def test_the_root_is_a_page_for_those_who_prefer_one(server, accept, media_type):
    assert server.get("/", auth=None, Accept=accept).media_type == media_type
    assert server.get("/openapi.json", auth=None, Accept="text/html").status == 415


class Page(HTMLParser):
    """Checks that tags are closed in order; collects links, identifiers and what would be loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.loaded = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.links += [named["href"]] if "href" in named else []
        self.ids += [named["id"]] if "id" in named else []
        if tag in ("script", "link", "img", "iframe") or "src" in named:
            self.loaded.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_has_everything_and_needs_nothing_else(server, document):
    answer = server.get("/", auth=None, Accept="text/html", Host="im.example.org")
    page = Page(answer.text)
    assert page.loaded == []
    assert {operation["operationId"] for _, _, operation in operations(document)} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert [link for link in page.links if not link.startswith("#")] == ["http://im.example.org/openapi.json"]
    assert "url(" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "{'" not in answer.text


def test_answers_that_are_not_described_fail_a_test(server, infrastructure):
    server.service.properties["state"] = {"not": "a text"}
    assert server.get("/infrastructures/inf/vms/0/state").status == 200
    server.service.infos = dict.fromkeys(server.service.infos, '"no list"')
    with pytest.raises(AssertionError, match="radl"):
        server.get("/infrastructures/inf/vms/0", Accept="application/json")
    server.service.failures["list"] = IMError("why")
    assert server.get("/infrastructures").status == 400
