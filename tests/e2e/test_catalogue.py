"""A service with a catalogue, static files and limits, as its operator configures them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from defusedxml import ElementTree as ET

pytestmark = pytest.mark.xdist_group("catalogue")

EXAMPLES = Path(__file__).parents[2] / "examples" / "tosca"
NS = {"o": "http://www.openarchives.org/OAI/2.0/"}
BASE = "https://templates.example.org/tosca/"
YAML = {"Content_Type": "text/yaml"}


@pytest.fixture(scope="module")
def server(new_module_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service of simulated machines that deploys nothing but our examples."""
    files = tmp_path_factory.mktemp("site")
    (files / "logo.svg").write_text("<svg/>")
    users = {"users": [{"username": name, "password": f"password-of-{name}"} for name in ("ana", "eve")]}
    (files / "users.json").write_text(json.dumps(users))
    return new_module_server(
        CONNECTORS="dummy",
        USER_DB=files / "users.json",
        STATIC_FILES_DIR=files,
        TOSCA_ARTIFACTS_DIR=EXAMPLES / "artifacts",
        OAIPMH_REPO_NAME="Examples",
        OAIPMH_REPO_DESCRIPTION="What imframework comes with",
        OAIPMH_REPO_BASE_IDENTIFIER_URL=BASE,
        OAIPMH_REPO_ADMIN_EMAIL="admin@example.org",
        OAIPMH_REPO_DIR=EXAMPLES,
        OAIPMH_PAGE_SIZE=4,
        OAIPMH_RESTRICT_TEMPLATES=True,
        RATE_LIMIT_FAILED_LOGINS="3/hour",
        RATE_LIMIT_USER="1000/minute",
    ).start()


@pytest.fixture
def ana(server: Any) -> Any:
    return server.api("ana", "password-of-ana")


def test_the_examples_can_be_harvested(server: Any) -> None:
    anybody = type(server.api())(server, None)
    query, found = {"verb": "ListRecords", "metadataPrefix": "oai_dc"}, []
    while query:
        document = ET.fromstring(anybody.ok("GET", f"/oai?{urlencode(query)}").body)
        assert not document.findall("o:error", NS)
        found += [header.text for header in document.iterfind(".//o:identifier", NS)]
        token = document.find(".//o:resumptionToken", NS)
        query = {"verb": "ListRecords", "resumptionToken": token.text} if token is not None and token.text else {}
    assert sorted(found) == sorted(f"{BASE}{path.name}" for path in EXAMPLES.glob("*.yaml"))


def test_the_examples_can_be_deployed_and_nothing_else(ana: Any) -> None:
    text = (EXAMPLES / "web-cluster.yaml").read_text()
    planned = ana.ok("POST", "/infrastructures/plan", text.replace("default: Hello", "default: Hi"), **YAML)
    assert planned.json["create"]
    for body, headers in (
        (text.replace("web/", "mine/"), {"Content-Type": "text/yaml"}),
        ("system a (disk.0.image.url = 'mock0://linux.for.ev.er/image1')\ndeploy a 1", {}),
    ):
        answer = ana.request("POST", "/infrastructures", body, headers)
        assert (answer.status, "Only templates of the catalogue" in answer.text) == (403, True), answer.text
    assert ana.ids() == []


def test_static_files_are_served_to_everybody(server: Any) -> None:
    anybody = type(server.api())(server, None)
    answer = anybody.ok("GET", "/static/logo.svg")
    assert (answer.text, answer.headers.get_content_type()) == ("<svg/>", "image/svg+xml")
    assert anybody.request("GET", "/static/..%2Fim.cfg").status == 404


def test_guessing_a_password_is_stopped_and_concerns_nobody_else(server: Any, ana: Any) -> None:
    guesses = [server.api("eve", f"guess-{number}") for number in range(4)]
    away = {"X-Forwarded-For": "192.0.2.66"}
    answers = [guess.request("GET", "/infrastructures", headers=away) for guess in guesses]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert 3500 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert server.api("eve", "password-of-eve").request("GET", "/infrastructures", headers=away).status == 429
    assert ana.request("GET", "/infrastructures").status == 200
