"""What clients are shown of errors."""

import pytest

from imframework.api.error_table import presentable, status_of
from imframework.api.errors import (
    CloudRefused,
    ConfigurationError,
    IdempotencyMismatch,
    InternalError,
    InvalidDocument,
    NotFound,
    PreconditionFailed,
    Problem,
    StorageConflict,
    StorageError,
    StorageUnavailable,
    TooManyRequests,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidDocument(Problem("no")), 400),
        (CloudRefused("no"), 400),
        (PreconditionFailed("no"), 412),
        (IdempotencyMismatch("no"), 422),
        (TooManyRequests("no", 1.5), 429),
        (StorageConflict("no"), 409),
        (StorageUnavailable("no"), 503),
        (StorageError("no"), 500),
        (KeyError("no"), 500),
    ],
)
def test_an_error_has_the_status_of_its_nearest_ancestor_in_the_table(error, status):
    assert status_of(error) == status


def test_a_class_of_a_plugin_has_the_status_of_its_base():
    class Gone(NotFound):
        pass

    assert status_of(Gone("no")) == 404


@pytest.mark.parametrize("error", [NotFound("no"), StorageUnavailable("no"), InternalError("Incident: 1")])
def test_an_error_for_the_client_is_shown_as_it_is(error, caplog):
    assert presentable(error, "a request") is error
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("geheimnis"), StorageError("geheimnis"), ConfigurationError("geheimnis")])
def test_any_other_is_shown_as_a_number_under_which_the_log_has_it(error, caplog):
    shown = presentable(error, "a request")

    assert isinstance(shown, InternalError)
    assert "geheimnis" not in str(shown)
    incident = str(shown).removeprefix("Internal error. Incident: ")
    assert f"Incident {incident} in a request" in caplog.text
    assert "geheimnis" in caplog.text
