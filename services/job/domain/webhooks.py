"""Webhook endpoints and what is delivered to them (J8): states, the retry schedule, when an endpoint is given up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.job.domain.errors import StateConflict

MAX_ENDPOINTS = 20
"""Of one owner."""
KEPT_FOR = timedelta(days=30)
"""How long deliveries are kept."""
MAX_OVERLAP = timedelta(days=7)
USUAL_OVERLAP = timedelta(hours=24)
_HTTP_GONE = 410
_GIVE_UP_AFTER = 5
_GIVE_UP_TIME = timedelta(hours=24)


class WebhookEvent(StrEnum):
    """What can be sent; the value is the payload's `type`."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_ENDED = "batch.ended"
    ENDPOINT_TEST = "endpoint.test"


SUBSCRIBABLE = tuple(event for event in WebhookEvent if event is not WebhookEvent.ENDPOINT_TEST)
"""What an endpoint can ask for."""


class DeliveryStatus(StrEnum):
    """States of a delivery; a redelivery makes it pending again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(slots=True)
class Endpoint:
    """A receiver. Secrets are sealed here, and open only where a message is signed."""

    endpoint_id: str
    owner_id: str
    url: str
    events: tuple[WebhookEvent, ...]
    """Empty: only what orders with its URL ask for."""
    secret: bytes = field(repr=False)
    created_at: datetime
    updated_at: datetime
    description: str = ""
    previous_secret: bytes | None = field(default=None, repr=False)
    previous_secret_expires_at: datetime | None = None
    disabled: bool = False
    disabled_reason: str = ""
    consecutive_failures: int = 0
    """Deliveries that failed for good since the last success."""
    failing_since: datetime | None = None
    """When the first of them was first tried."""
    last_success_at: datetime | None = None
    struggling: bool = False
    """Whether the last attempt failed: such endpoints share a part of the sender, so that they cannot fill it."""

    def enable(self, now: datetime) -> None:
        """Send again; what failed before does not count any more."""
        if self.disabled:
            self.disabled, self.disabled_reason, self.updated_at = False, "", now
            self.consecutive_failures, self.failing_since, self.struggling = 0, None, False

    def disable(self, now: datetime, reason: str = "") -> None:
        """Send nothing; `reason` is given when the service itself decides so."""
        if not self.disabled:
            self.disabled, self.disabled_reason, self.updated_at = True, reason, now

    def rotate(self, secret: bytes, overlap: timedelta, now: datetime) -> None:
        """Take a new secret; the one before signs too until the overlap ends."""
        if overlap > timedelta(0):
            self.previous_secret, self.previous_secret_expires_at = self.secret, now + overlap
        else:
            self.previous_secret = self.previous_secret_expires_at = None
        self.secret, self.updated_at = secret, now

    def require_enabled(self) -> None:
        """Raises StateConflict while nothing is sent to it."""
        if self.disabled:
            raise StateConflict("the endpoint is disabled; enable it first")

    def succeeded(self, now: datetime) -> None:
        """A delivery arrived: what failed before does not count any more."""
        self.last_success_at = now
        self.consecutive_failures, self.failing_since = 0, None

    def gave_up(self, first_tried: datetime, now: datetime) -> None:
        """A delivery failed for good; disables the endpoint when too many did, for too long."""
        self.consecutive_failures += 1
        self.failing_since = min(self.failing_since or first_tried, first_tried)
        if self.consecutive_failures >= _GIVE_UP_AFTER and now - self.failing_since >= _GIVE_UP_TIME:
            count = self.consecutive_failures
            self.disable(now, f"{count} deliveries in a row failed for good, over more than a day")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver."""

    attempted_at: datetime
    http_status: int
    """Of the answer; 0 when there was none."""
    error: str
    """Why it failed; empty for a success."""
    duration_ms: int

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has it."""
        return not self.error


@dataclass(slots=True)
class Delivery:
    """One message to one endpoint. Its id is the `webhook-id` of every attempt, redeliveries included."""

    delivery_id: str
    endpoint_id: str
    event: WebhookEvent
    subject_id: str
    payload: str
    created_at: datetime
    """When what it tells of happened."""
    next_attempt_at: datetime | None
    """None once it has ended, and while the endpoint is disabled."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempt_count: int = 0
    tries: int = 0
    """Attempts of the current run of the schedule: a redelivery begins a new one."""
    first_tried_at: datetime | None = None
    """When the current run began."""
    completed_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """Oldest first, where they were asked for."""

    def redeliver(self, now: datetime) -> None:
        """Send it (again), now, by a new run of the schedule."""
        self.status, self.completed_at = DeliveryStatus.PENDING, None
        self.tries, self.first_tried_at, self.next_attempt_at = 0, None, now

    def tried(self, attempt: Attempt) -> datetime:
        """Note the attempt; when the current run began."""
        self.attempts.append(attempt)
        self.attempt_count += 1
        self.tries += 1
        self.first_tried_at = self.first_tried_at or attempt.attempted_at
        return self.first_tried_at

    def end(self, status: DeliveryStatus, now: datetime) -> None:
        """It has arrived, or is given up."""
        self.status, self.completed_at, self.next_attempt_at = status, now, None


_USUAL_DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600, 28800)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """When a failed delivery is tried again: after each of `delays`, longer or shorter by up to a tenth."""

    delays: tuple[timedelta, ...] = tuple(timedelta(seconds=seconds) for seconds in _USUAL_DELAYS_S)
    lifetime: timedelta = timedelta(hours=24)
    """No attempt is later than this after the first."""
    longest_wish: timedelta = timedelta(hours=6)
    """At most so much of a receiver's `Retry-After` is heeded."""

    def next(
        self, tries: int, first: datetime, now: datetime, draw: float, wish: timedelta | None = None
    ) -> datetime | None:
        """The next attempt after `tries` failed ones; None to give up. `draw` (0 to 1) is the jitter."""
        last = first + self.lifetime
        if tries > len(self.delays) or now >= last:
            return None
        wait = self.delays[tries - 1] * (0.9 + 0.2 * draw)
        return min(now + max(wait, min(wish or wait, self.longest_wish)), last)


def settle(
    endpoint: Endpoint,
    delivery: Delivery,
    attempt: Attempt,
    now: datetime,
    schedule: RetrySchedule,
    draw: float,
    wish: timedelta | None = None,
) -> None:
    """What an attempt means for its delivery and its endpoint; `wish` is the receiver's `Retry-After`."""
    first = delivery.tried(attempt)
    endpoint.struggling = not attempt.succeeded
    if attempt.succeeded:
        delivery.end(DeliveryStatus.DELIVERED, now)
        endpoint.succeeded(now)
        return
    if attempt.http_status == _HTTP_GONE:
        delivery.end(DeliveryStatus.FAILED, now)
        endpoint.consecutive_failures += 1
        endpoint.disable(now, "the endpoint answered 410 Gone")
        return
    again = schedule.next(delivery.tries, first, now, draw, wish)
    if again is None:
        delivery.end(DeliveryStatus.FAILED, now)
        endpoint.gave_up(first, now)
    else:
        delivery.next_attempt_at = None if endpoint.disabled else again
