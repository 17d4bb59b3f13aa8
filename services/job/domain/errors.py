"""What can be wrong with a call. `api/errors.py` gives each type its code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


class JobError(Exception):
    """Base of the domain's errors."""


class JobNotFound(JobError):
    """No such job, or it is deleted, or somebody else's: the caller cannot tell which."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")


class StateConflict(JobError):
    """The job is in a state in which the call makes no sense."""


class FieldsRefused(JobError):
    """Some fields of the request are not acceptable; `field_violations` are (path, text) pairs."""

    def __init__(self, violations: Sequence[tuple[str, str]], message: str = "the request is not valid") -> None:
        super().__init__(message)
        self.field_violations = tuple(violations)


class Unsupported(FieldsRefused):
    """The fields are part of the contract, but this deployment does not serve what they ask for."""

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__(violations, "this deployment does not serve a part of the request")


class IdempotencyConflict(JobError):
    """The request id was used within its lifetime for a different body."""

    def __init__(self) -> None:
        super().__init__("this request id was used for a different request")


class ArtifactNotFound(JobError):
    """The job exists but has no such file."""


class RendersUnavailable(JobError):
    """video_render cannot be asked now; `retry_after` says when to try again."""

    retry_after = timedelta(seconds=2)

    def __init__(self) -> None:
        super().__init__("storyboards cannot be read right now")


class PositionBeyondEnd(JobError):
    """A watcher asked for events after one that does not exist."""


class PositionExpired(JobError):
    """A watcher asked for events that are not retained any more."""


class WebhookNotFound(JobError):
    """No such endpoint or delivery, or somebody else's."""

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"there is no webhook endpoint or delivery {resource_id}")


class WebhookExists(JobError):
    """The owner has an endpoint with this URL."""

    def __init__(self) -> None:
        super().__init__("there is an endpoint with this URL")


class WebhookLimitReached(JobError):
    """The owner has as many endpoints as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} webhook endpoints, which is as many as can be; remove one")


class QuotaExhausted(JobError):
    """The owner has as many as the plan allows."""


class BatchNotFound(JobError):
    """No such batch, or somebody else's."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"there is no batch {batch_id}")


class CreditsExhausted(QuotaExhausted):
    """The owner's credits do not cover the job."""


class CreditsUnavailable(JobError):
    """Nobody can say now whether the owner's credits cover the job; nothing was accepted."""

    retry_after = timedelta(seconds=2)

    def __init__(self) -> None:
        super().__init__("credits cannot be looked after right now")


class ExportRunning(JobError):
    """Another export of the user is under way."""

    retry_after = timedelta(seconds=60)

    def __init__(self) -> None:
        super().__init__("another export of yours is under way")
