"""TOSCA that is wrong, hostile or mutilated, sent to a real service: a clear refusal, and nothing else has changed."""

from __future__ import annotations

import http.server
import json
import os
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("tosca-garbage")

VECTORS = Path(__file__).parents[1] / "vectors" / "tosca"
CASES = json.loads((VECTORS / "validation-cases.json").read_text())
SEED = int(os.environ.get("HYPOTHESIS_SEED", random.SystemRandom().randrange(2**32)))
MUTANTS = 250

#: Where the examples have their recipes; here they are in the folder of the service.
ELSEWHERE = "https://recipes.example.org/"

YAML = {"Content-Type": "text/yaml"}
JSON_TOO = {**YAML, "Accept": "application/json"}
INNER = ("Traceback", "site-packages", ".py", "Incident")

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_0\n"
CYCLE = HEAD + "topology_template:\n  node_templates:\n" + "".join(
    f"    n{number}:\n      type: tosca.nodes.SoftwareComponent\n      requirements:\n"
    f"        - host: {{ node: m, relationship: tosca.relationships.HostedOn }}\n"
    f"        - dependency: n{(number + 1) % 3}\n"
    for number in range(3)
) + "    m: { type: tosca.nodes.Compute }\n"  # fmt: skip
EACH_OTHER = HEAD + (
    "topology_template:\n  node_templates:\n    a:\n      type: tosca.nodes.Compute\n      capabilities:\n"
    "        host: { properties: { num_cpus: { get_property: [ b, host, num_cpus ] } } }\n"
    "    b:\n      type: tosca.nodes.Compute\n      capabilities:\n"
    "        host: { properties: { num_cpus: { get_property: [ a, host, num_cpus ] } } }\n"
)
HOSTILE = {
    "a bomb of aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    "an alias to itself": HEAD + "topology_template: &t { node_templates: { a: *t } }\n",
    "lists in lists": "a: " + "[" * 50_000,
    "maps in maps": "".join(f"{'  ' * depth}a:\n" for depth in range(600)),
    "five megabytes of nodes": HEAD + "topology_template:\n  node_templates:\n"
    + "".join(f"    n{number}:\n      type: tosca.nodes.Compute\n" for number in range(110_000)),
    "five megabytes of text": HEAD + "description: " + "x" * 5_000_000,
    "very many unknown types": HEAD + "topology_template:\n  node_templates:\n"
    + "".join(f"    n{number}: {{ type: no.such.Type{number} }}\n" for number in range(5_000)),
    "nodes that depend on each other": CYCLE,
    "functions that refer to each other": EACH_OTHER,
    "tags of Python": HEAD + "description: !!python/object/apply:os.system [ 'true' ]\n",
    "merge keys without end": "m0: &m0 { a: 1 }\n"
    + "".join(f"m{n}: &m{n}\n  <<: *m{n - 1}\n" for n in range(1, 3000)),
    "a number that is too long": HEAD
    + f"topology_template: {{ inputs: {{ a: {{ type: integer, default: {'9' * 5000} }} }} }}\n",
    "files of the server": HEAD + "imports:\n  - file:///etc/passwd\n",
    "a service of the host": HEAD + "imports:\n  - http://127.0.0.1:22/types.yaml\n",
    "the address of metadata": HEAD + "imports:\n  - http://169.254.169.254/latest/meta-data/\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def library() -> Iterator[str]:
    """A web server whose every file imports another one, without end; the URL of the first."""

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(re.sub(r"\D", "", self.path) or 0)
            body = f"imports:\n  - http://{self.headers['Host']}/{number + 1}.yaml\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://localhost:{httpd.server_port}/1.yaml"
        httpd.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines that may fetch from `localhost` only, and has the files of the examples."""
    return new_module_server(
        CONNECTORS="dummy",
        TOSCA_ALLOWED_SCHEMES="http",  # nothing that the documents name is asked for outside
        TOSCA_ALLOWED_HOSTS="localhost",
        TOSCA_ARTIFACTS_DIR=VECTORS / "artifacts",
    ).start()


def refused(answer: Any) -> list[dict[str, Any]]:
    """The problems of an answer that must be a refusal."""
    assert answer.status == 400, answer.text[:2000]
    for word in INNER:
        assert word not in answer.text
    return list(answer.json["problems"])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_saying_where(api, name: str) -> None:
    problems = refused(api.request("POST", "/infrastructures", HOSTILE[name], JSON_TOO))
    assert all(problem["line"] for problem in problems)
    assert len(problems) <= 50
    assert api.ids() == []


def test_imports_without_end_are_refused(api, library: str) -> None:
    (problem, *_) = refused(api.request("POST", "/infrastructures", f"{HEAD}imports:\n  - {library}\n", JSON_TOO))
    assert problem["line"] == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_every_case_of_the_specification_is_refused_or_not_by_all_ways_in(api, case: dict[str, Any]) -> None:
    """A case that is all right may still ask for files that are not here."""
    answer = api.request("POST", "/infrastructures?dry_run=1", case["input"], JSON_TOO)
    told = problems_of(api, case["input"])
    if case["result"] == "rejected" and case["kind"] != "internal":
        assert [problem["message"] for problem in refused(answer)] == [problem["message"] for problem in told]
    else:
        assert answer.status < 500
    assert api.ids() == []


def test_mutilated_documents_are_accepted_or_refused_and_never_break_anything(api) -> None:
    print(f"seed {SEED}")
    random_ = random.Random(SEED)
    texts = [path.read_text().replace(ELSEWHERE, "") for path in sorted(VECTORS.glob("*.yaml"))]
    text = texts[0].replace("mock://images.example.org/base", "mock0://x/y")
    infrastructure = api.request("POST", "/infrastructures?async=1", text, YAML).headers["InfID"]
    for number in range(MUTANTS):
        text = mutilated(random_, random_.choice(texts))
        path = f"/infrastructures/{infrastructure}/plan" if number % 5 == 0 else "/infrastructures?dry_run=1"
        answer = api.request("POST", path, text, JSON_TOO)
        assert answer.status < 500, text
        for word in INNER:
            assert word not in answer.text, text
    answer = api.ok("GET", f"/infrastructures/{infrastructure}/state")
    assert answer.status == 200


def test_bad_documents_do_not_change_how_the_next_one_is_judged(api) -> None:
    good = (VECTORS / "08-custom-types.yaml").read_text()
    bad = next(case["input"] for case in CASES if case["kind"] == "unknown-type")
    before = [problems_of(api, text) for text in (good, bad)]
    for text in HOSTILE.values():
        api.request("POST", "/infrastructures?dry_run=1", text, YAML)
    for case in CASES:
        api.request("POST", "/infrastructures?dry_run=1", case["input"], YAML)
    assert [problems_of(api, text) for text in (good, bad)] == before


def problems_of(api: Any, text: str) -> list[dict[str, Any]]:
    """What the service finds wrong with a document when it is only asked about that."""
    answer = api.request("POST", "/infrastructures/validate", text, YAML)
    assert answer.status == 200, answer.text
    return list(answer.json["problems"])


def mutilated(random_: random.Random, text: str) -> str:
    """A document after one to four accidents."""
    lines = text.splitlines()
    for _ in range(random_.randint(1, 4)):
        place, other = random_.randrange(len(lines)), random_.randrange(len(lines))
        match random_.randrange(8):
            case 0:
                lines.insert(place, lines[other])
            case 1:
                lines[place], lines[other] = lines[other], lines[place]
            case 2:
                lines[place] = "  " + lines[place]
            case 3:
                lines[place] = lines[place].removeprefix("  ")
            case 4:
                lines[place] = re.sub(r":.*", random_.choice([": null", ": []", ": {}", ": -1", ":"]), lines[place])
            case 5:
                words = re.findall(r"[\w.]+", lines[other]) or ["x"]
                lines[place] = re.sub(r"[\w.]+$", random_.choice(words), lines[place])
            case 6:
                lines[place] = lines[place].replace("get_property", "get_attribute").replace("- ", "", 1)
            case _:
                del lines[place]
                lines = lines or [""]
    return "\n".join(lines)
