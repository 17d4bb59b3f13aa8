"""What can go wrong, by what a caller would do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that the server refuses: its path, such as `storyboard.scenes[2].equation.math`, and why."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class T2MError(Exception):
    """An answer that is not a success, or none at all.

    `status` is HTTP's, 0 without an answer; `error_code` and `details` are the error body's; `reason` is the stable
    name to branch on, such as `STATE_CONFLICT`; `request_id` finds the server's log lines; `retry_after_s` is what the
    server asks a caller to wait, None when it says nothing.
    """

    def __init__(
        self,
        status: int,
        error_code: str,
        message: str,
        details: dict[str, Any],
        *,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{error_code}: {message}")
        self.status = status
        self.error_code = error_code
        self.message = message
        self.details = details
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    @property
    def reason(self) -> str:
        """Why, in a word that stays the same across releases."""
        return str(self.details.get("reason", self.error_code))

    @property
    def violations(self) -> list[Violation]:
        """The fields at fault, if the fault is in fields."""
        listed = self.details.get("violations") or ()
        return [Violation(str(item.get("field", "")), str(item.get("message", ""))) for item in listed]


class InvalidRequestError(T2MError):
    """400, 413, 415, 422: the request itself is wrong; see `violations`."""


class NotLoggedInError(T2MError):
    """401: no credential, or one that does not work (any more)."""


class PermissionDeniedError(T2MError):
    """403: role or scope do not allow it."""


class NotFoundError(T2MError):
    """404: there is no such thing, or it is somebody else's."""


class ConflictError(T2MError):
    """409: it is in a state, or exists, such that the call makes no sense."""


class PositionExpiredError(T2MError):
    """410: a position of a stream that is no longer kept; watch again without one, or from `details`."""


class RateLimitedError(T2MError):
    """429: too many calls; `retry_after_s` says when to come back."""


class QuotaExhaustedError(T2MError):
    """429: credits, or another quota of the plan, are used up. Waiting does not help."""


class UnavailableError(T2MError):
    """408, 502, 503, 504: away or too slow for the moment."""


class ConnectionFailedError(UnavailableError):
    """No answer. `unsent` when it is certain that the server has not seen the request."""

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(0, "CONNECTION_FAILED", message, {"reason": "CONNECTION_FAILED"})
        self.unsent = unsent


class ChecksumError(T2MError):
    """What arrived is not what the server says it is; nothing was kept."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "CHECKSUM_MISMATCH", message, {"reason": "CHECKSUM_MISMATCH"})


BY_STATUS: dict[int, type[T2MError]] = {
    400: InvalidRequestError,
    401: NotLoggedInError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: PositionExpiredError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""HTTP status → error; other statuses are a plain T2MError. 429 with the reason QUOTA_EXHAUSTED is the other class."""
