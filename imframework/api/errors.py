"""Every error that crosses a boundary of the framework, in one hierarchy.

Each class has a `code` (stable, low-cardinality: fit for metrics and for clients), says whether trying again
can help (`retryable`), and carries a message that may be shown to a user: it never holds a secret, a server
path or a backtrace. What it becomes in an answer is for `imframework.api.error_table` to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class IMError(Exception):
    """Base of all errors raised on purpose. `str()` of it is the text for the user."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


# --- what the caller sent ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document or a configuration file.

    `line` and `column` start at 1 and are None when the position is unknown (JSON input, for example).
    `kind` is a short stable word (``syntax``, ``duplicate``, ``conflict`` …) for programs; `hint` says what
    would be right, for people.
    """

    message: str
    line: int | None = None
    column: int | None = None
    kind: str = "invalid"
    hint: str = ""

    def __str__(self) -> str:
        where = f"Line {self.line}: " if self.line is not None else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{hint}"


class InvalidRequest(IMError):
    """A parameter, header or body that cannot be understood."""

    code = "invalid_request"


class InvalidDocument(InvalidRequest):
    """A document that cannot be parsed or does not validate; `problems` is never empty."""

    code = "invalid_document"

    def __init__(self, problems: Iterable[Problem] | Problem, *, prefix: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(prefix + "\n".join(str(problem) for problem in self.problems))


class UnsupportedMediaType(InvalidRequest):
    """The body, or the answer asked for, has a media type the operation does not know."""

    code = "unsupported_media_type"


class TooLarge(InvalidRequest):
    """The body is larger than the operator allows."""

    code = "too_large"


class IdempotencyMismatch(InvalidRequest):
    """An idempotency key that was used for another request."""

    code = "idempotency_mismatch"


class TooManyRequests(IMError):
    """The caller, or their address, has asked too often; `retry_after` is when to come again, in seconds."""

    code = "too_many_requests"
    retryable = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthenticated(IMError):
    """No credentials, or credentials that the auth providers refuse."""

    code = "unauthenticated"


class Forbidden(IMError):
    """Known caller, but not allowed: not an owner, or the operation is switched off."""

    code = "forbidden"


class NotFound(IMError):
    """Unknown infrastructure, machine, property or cloud."""

    code = "not_found"


class Conflict(IMError):
    """The state of the infrastructure does not allow the operation now."""

    code = "conflict"


class PreconditionFailed(Conflict):
    """The infrastructure is not in the state that the request was made for (If-Match)."""

    code = "precondition_failed"


class Vetoed(IMError):
    """A veto hook, or a policy, refuses the operation."""

    code = "vetoed"


# --- the clouds --------------------------------------------------------------------------------------------


class CloudError(IMError):
    """A cloud answered with an error. Connectors raise a subclass whenever they can tell which."""

    code = "cloud_error"
    retryable = True


class CloudUnavailable(CloudError):
    """The cloud cannot be reached, or answered that it is overloaded. Nothing was made."""

    code = "cloud_unavailable"


class OutcomeUnknown(CloudError):
    """The call was sent and its answer is lost (time-out, broken connection): it may have had its effect."""

    code = "outcome_unknown"


class CloudRefused(CloudError):
    """The cloud will never do this, however often it is asked: wrong image, wrong value, not permitted."""

    code = "cloud_refused"
    retryable = False


class CloudBusy(CloudError):
    """Not now: another operation is in progress on the thing. Nothing changed; asking again is no failed attempt."""

    code = "cloud_busy"


class UsedByOthers(CloudRefused):
    """From `delete` only: somebody else uses the thing, so it stays, and is theirs from now on."""

    code = "used_by_others"


class QuotaExceeded(CloudRefused):
    """The account has not enough left."""

    code = "quota_exceeded"


class CredentialsRejected(CloudRefused):
    """The cloud does not accept the credentials, or none were given for it."""

    code = "credentials_rejected"


class NotSupported(CloudRefused):
    """This cloud cannot do what was asked."""

    code = "not_supported"


class NoCandidate(CloudRefused):
    """No cloud of the request can realise a machine; the message lists what was tried and why not."""

    code = "no_candidate"


# --- the service itself ------------------------------------------------------------------------------------


class ConfigurationError(IMError):
    """im.cfg, or another file the operator gives, is wrong; `problems` names file, line and option."""

    code = "configuration"

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = (Problem(problems),)
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginUnavailable(IMError):
    """A plugin that the operation needs is missing, broken or disabled; the message says why."""

    code = "plugin_unavailable"


class StorageError(IMError):
    """The database failed."""

    code = "storage"


class StorageUnavailable(StorageError):
    """The database cannot be reached; nothing was written."""

    code = "storage_unavailable"
    retryable = True


class StorageConflict(StorageError):
    """Somebody else holds the lease or wrote the row first; nothing was written."""

    code = "storage_conflict"


class DeadlineExceeded(IMError):
    """An operation was still running when the caller's patience ended. It goes on."""

    code = "deadline_exceeded"
    retryable = True


class InternalError(IMError):
    """A fault of ours. The message gives an id to look for in the log, and nothing else."""

    code = "internal"
