"""From an error to an exit code, and to what a person can do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.client.errors import (
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    NotLoggedInError,
    PermissionDeniedError,
    PositionExpiredError,
    QuotaExhaustedError,
    RateLimitedError,
    T2MError,
)

LOGIN_REFUSED = "LOGIN_REFUSED"
"""Our own reason, where "log in" would be no help."""


class Exit(enum.IntEnum):
    """What the command's end says to scripts."""

    OK = 0
    JOB_FAILED = 1
    """The job failed or was cancelled, or not every job of a batch completed."""
    USAGE = 2
    NOT_LOGGED_IN = 3
    REFUSED = 4
    """The server does not do that: fields, state, permission, quota, limits."""
    NOT_FOUND = 5
    AWAY = 6
    """No answer, or none that helps: the server or one of its services is away or at fault."""
    INTERRUPTED = 130


_EXITS: tuple[tuple[type[T2MError], Exit], ...] = (
    (NotLoggedInError, Exit.NOT_LOGGED_IN),
    (NotFoundError, Exit.NOT_FOUND),
    (InvalidRequestError, Exit.REFUSED),
    (PermissionDeniedError, Exit.REFUSED),
    (ConflictError, Exit.REFUSED),
    (QuotaExhaustedError, Exit.REFUSED),
    (RateLimitedError, Exit.REFUSED),
    (PositionExpiredError, Exit.REFUSED),
)


def exit_of(error: T2MError) -> Exit:
    """The exit code; whatever is nobody's mistake here is the server's."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.AWAY)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error for people: what is wrong, where exactly, and what to do."""

    headline: str
    points: tuple[str, ...] = ()
    hint: str = ""


def explained(error: T2MError, url: str) -> Explanation:
    """In words; never with a secret."""
    if error.violations:
        return Explanation("the server does not accept this:", tuple(str(item) for item in error.violations))
    if isinstance(error, ConnectionFailedError):
        hint = "Is it running (`make up`)? For another server: t2m login --url URL, or set T2M_URL."
        return Explanation(f"cannot reach {url}: {error.message}", hint=hint)
    return Explanation(error.message, hint=_hint(error))


def _hint(error: T2MError) -> str:
    if error.reason == LOGIN_REFUSED:
        return ""
    if isinstance(error, NotLoggedInError):
        return "Log in with `t2m login`, or set T2M_API_KEY."
    if isinstance(error, QuotaExhaustedError):
        return "See what is left with `t2m credits`."
    if isinstance(error, RateLimitedError) and error.retry_after_s:
        return f"Try again in {error.retry_after_s:.0f} s."
    if isinstance(error, PermissionDeniedError):
        return "`t2m whoami` shows who you are here."
    if exit_of(error) is Exit.AWAY and error.request_id:
        return f"Request {error.request_id} finds this in the server's log. `t2m health` shows what is away."
    return ""
