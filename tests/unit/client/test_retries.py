"""Whether and when a failed call is tried again (O8): decisions, without a network."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest

from gateway.client.core.answers import error_of, retry_after_s
from gateway.client.core.effects import Answer
from gateway.client.core.retries import Patience, Policy, Repeat, may_repeat
from gateway.client.errors import (
    ConnectionFailedError,
    NotFoundError,
    QuotaExhaustedError,
    RateLimitedError,
    T2MError,
    UnavailableError,
)

NOW = datetime(2026, 11, 21, 20, 40, tzinfo=UTC)


def refused(status: int, reason: str = "", **headers: str) -> T2MError:
    """The error of an answer."""
    body = b'{"error": {"error_code": "X", "message": "no", "details": {"reason": "%s"}}}' % reason.encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = error_of(Answer(status, names, body))
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("error", "safe", "once"),
    [
        (ConnectionFailedError("cut"), True, False),
        (ConnectionFailedError("refused", unsent=True), True, True),
        (refused(429, "RATE_LIMITED"), True, True),
        (refused(429, "QUOTA_EXHAUSTED"), False, False),
        (refused(502), True, False),
        (refused(503, "UNAVAILABLE"), True, False),
        (refused(504, "DEADLINE_EXCEEDED"), True, False),
        (refused(408, "REQUEST_TOO_SLOW"), True, False),
        (refused(409, "CONCURRENT_UPDATE"), True, False),
        (refused(409, "READER_TOO_SLOW"), True, False),
        (refused(409, "STATE_CONFLICT"), False, False),
        (refused(400), False, False),
        (refused(401, "CREDENTIAL_INVALID"), False, False),
        (refused(404, "NOT_FOUND"), False, False),
        (refused(422, "VALIDATION_FAILED"), False, False),
        (refused(500, "INTERNAL"), False, False),
        (refused(501), False, False),
    ],
    ids=lambda value: f"{value.status}-{value.reason}" if isinstance(value, T2MError) else None,
)
def test_O8_only_what_is_harmless_is_repeated(error: T2MError, safe: bool, once: bool) -> None:
    """O8: a table of errors against what a second attempt could do."""
    assert (may_repeat(error, Repeat.SAFE), may_repeat(error, Repeat.ONCE)) == (safe, once)


class Clock:
    """Time as the test has it; sleeping moves it."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.now = 0.0
        self.policy = Policy(patience_s=60, base_s=0.5, cap_s=10, clock=lambda: self.now, jitter=lambda: jitter)

    def pauses(self, error: T2MError) -> list[float]:
        """All pauses until the error is raised."""
        found: list[float] = []
        patience = Patience(self.policy)
        with contextlib.suppress(type(error)):
            while len(found) < 1000:
                found.append(patience.pause_s(error, Repeat.SAFE))
                self.now += found[-1]
        return found


def test_O8_pauses_double_up_to_a_cap_and_end_with_the_patience() -> None:
    """O8: 0.5, 1, 2 … 10 s at the longest; the last one is what is left of the minute."""
    pauses = Clock().pauses(UnavailableError(503, "X", "away", {}))
    assert pauses[:6] == [0.5, 1, 2, 4, 8, 10]
    assert max(pauses) == 10
    assert sum(pauses) == 60


def test_O8_jitter_is_full() -> None:
    """O8: a pause is anything between nothing and the ceiling, so that clients do not come back at once."""
    patience = Patience(Clock(jitter=0.0).policy)
    assert patience.pause_s(UnavailableError(503, "X", "away", {}), Repeat.SAFE) == 0


def test_O8_what_the_server_asks_for_is_the_least() -> None:
    """O8: Retry-After, with the jitter on top; and no waiting at all for what is beyond the patience."""
    error = RateLimitedError(429, "X", "slow down", {}, retry_after_s=30)
    assert Clock().pauses(error)[0] == 30.5
    too_long = RateLimitedError(429, "X", "slow down", {}, retry_after_s=61)
    assert Clock().pauses(too_long) == []


def test_O8_success_renews_the_patience() -> None:
    """O8: a stream that brings something now and then is not given up."""
    clock = Clock()
    patience = Patience(clock.policy)
    error = UnavailableError(503, "X", "away", {})
    for _ in range(10):
        assert patience.pause_s(error, Repeat.SAFE) == 0.5
        clock.now += 59
        patience.renew()


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"retry-after": "7"}, {"retry_after_seconds": 3}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 20:40:30 GMT"}, {}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 20:39:30 GMT"}, {}, 0),
        ({"retry-after": "soon"}, {"retry_after_seconds": 3}, 3),
        ({"ratelimit": '"user";r=0;t=12, "all";r=5;t=60'}, {}, 60),
        ({"ratelimit-reset": "9"}, {}, 9),
        ({}, {"retry_after_seconds": "3"}, None),
        ({}, {}, None),
    ],
)
def test_O8_A7_when_to_come_back(headers: dict[str, str], details: dict[str, object], seconds: float | None) -> None:
    """O8, A7: Retry-After as seconds or date, the error body, RateLimit, RateLimit-Reset: in this order."""
    assert retry_after_s(headers, details, NOW) == seconds


def test_O8_O6_errors_by_their_kind() -> None:
    """O8, O6: status and reason decide the class; what is no error body of ours is quoted, shortened."""
    assert isinstance(refused(404), NotFoundError)
    assert isinstance(refused(429, "QUOTA_EXHAUSTED"), QuotaExhaustedError)
    assert error_of(Answer(200)) is None
    assert error_of(Answer(307)) is None
    proxy = error_of(Answer(502, {}, b"<html>" + b"x" * 1000))
    assert isinstance(proxy, UnavailableError)
    assert len(proxy.message) == 200
    assert refused(503, "UNAVAILABLE", retry_after="2").retry_after_s == 2
