"""What Schemathesis makes of the service: requests by its OpenAPI document, and sequences of them along its links.

Some bodies are documents that make sense and some ids those of infrastructures that there are, or everything would end
at the door. Set SCHEMATHESIS_SEED to see a failure again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

pytestmark = [pytest.mark.xdist_group("openapi"), pytest.mark.slow]

#: Of each operation, of sequences, and requests in a sequence.
EXAMPLES, SEQUENCES, STEPS = 15, 25, 20

#: That it accepts what the document allows cannot be expected (not every text is RADL), nor that it refuses everything
#: else (unknown parameters are passed over).
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
    use_after_free,
]


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines."""
    return new_module_server(CONNECTORS="dummy").start()


@pytest.fixture(scope="module")
def schema(server: Any) -> Any:
    """What the service says of itself."""
    loaded: Any = schemathesis.openapi.from_url(f"http://{server.host}:{server.port}/openapi.json")
    return loaded


@pytest.fixture
def chosen_seed(tell: Callable[[str], None]) -> int:
    """The seed of this run."""
    chosen = int(os.environ.get("SCHEMATHESIS_SEED") or random.randrange(2**32))
    tell(f"SCHEMATHESIS_SEED={chosen}")
    return chosen


class Requests:
    """Sends cases of Schemathesis as a user, and counts the answers."""

    def __init__(self, api: Any, documents: list[str], chances: random.Random) -> None:
        self.api = api
        self.documents = documents
        self.chances = chances
        self.statuses: Counter[int] = Counter()

    def send(self, case: Any) -> Any:
        """The answer to a case."""
        answer = case.call(headers={"Authorization": self.api.authorization})
        self.statuses[answer.status_code] += 1
        return answer

    def give_body(self, case: Any) -> None:
        """A body that makes sense, where a document may stand."""
        if case.operation.definition.raw.get("requestBody", {}).get("$ref", "").endswith("/Document"):
            case.body, case.media_type = self.chances.choice(self.documents), "text/plain"

    def give_id(self, case: Any) -> None:
        """The id of an infrastructure with a machine, where there is one in the path."""
        if "id" in (case.path_parameters or {}):
            known = self.api.ids() or [self.api.create(self.documents[0], asynchronous=False)]
            case.path_parameters["id"] = known[0]


@pytest.fixture
def requests(server: Any, document: Any, chosen_seed: int) -> Requests:
    """Whoever sends the requests."""
    documents = [document(cloud="dummy"), document(cloud="dummy", count=2)]
    return Requests(server.api(), documents, random.Random(chosen_seed))


def test_every_operation_answers_as_described(schema, requests, chosen_seed, tell) -> None:
    names = []
    for result in schema.get_all_operations():
        operation = result.ok()
        names.append(operation.label)

        @seed(chosen_seed)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode)),
            sensible=st.booleans(),
            known=st.booleans(),
        )
        def answers_as_described(case: Any, sensible: bool, known: bool) -> None:
            if sensible:
                requests.give_body(case)
            if known:
                requests.give_id(case)
            case.validate_response(requests.send(case), checks=CHECKS)

        answers_as_described()
    assert len(names) > 35
    assert 200 in requests.statuses
    tell(f"{requests.statuses.total()} requests to {len(names)} operations: {dict(sorted(requests.statuses.items()))}")


def test_sequences_of_operations_answer_as_described(schema, requests, chosen_seed, tell) -> None:
    begun, failures = 0, []

    class Sequence(schema.as_state_machine()):  # type: ignore[misc]
        """Requests that follow the links of the document."""

        def setup(self) -> None:
            nonlocal begun
            begun += 1

        def before_call(self, case: Any) -> None:
            making = case.operation.definition.raw["operationId"] == "createInfrastructure"
            if making or requests.chances.random() < 0.5:
                requests.give_body(case)
            # What is done later, or not at all, is not there for the next request.
            for name in ("async", "dry_run"):
                (case.query or {}).pop(name, None)

        def call(self, case: Any, **_: Any) -> Any:
            return requests.send(case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            try:
                case.validate_response(response, checks=CHECKS)
            except BaseException as failure:
                failures.append(failure)
                raise

    usual = settings(
        max_examples=SEQUENCES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for further in range(SEQUENCES):
        try:
            run_state_machine_as_test(seed(chosen_seed + further)(Sequence), settings=usual)
        except Flaky:
            # Hypothesis began a sequence like another one, and the service, which remembers, answered differently.
            if failures:
                raise failures[0] from None
        if begun >= SEQUENCES:
            break
    assert requests.statuses[200] > SEQUENCES
    tell(f"{requests.statuses.total()} requests in {begun} sequences: {dict(sorted(requests.statuses.items()))}")
