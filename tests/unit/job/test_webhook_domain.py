"""J8: the retry schedule, when an endpoint is given up, what a message says, signatures."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from standardwebhooks import Webhook, WebhookVerificationError

from services.job.adapters.sealed_secrets import SealedSecrets
from services.job.adapters.webhook_metrics import WebhookMetrics
from services.job.application.webhooks.payloads import batch_data, job_data, payload
from services.job.application.webhooks.ports import SecretUnreadable
from services.job.application.webhooks.signing import new_secret, shown, signed_headers
from services.job.domain.errors import StateConflict
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Failure, Video
from services.job.domain.values import JobStage, JobStatus
from services.job.domain.webhooks import (
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    RetrySchedule,
    WebhookEvent,
    settle,
)
from tests.fakes.job import START

DAY = timedelta(hours=24)
SCHEDULE = RetrySchedule()


def endpoint() -> Endpoint:
    return Endpoint("e", "ada", "https://example.com/", (), b"secret", START, START)


def delivery(at: datetime = START) -> Delivery:
    return Delivery("d", "e", WebhookEvent.JOB_COMPLETED, "j", "{}", at, at)


def attempt(at: datetime, status: int = 503) -> Attempt:
    return Attempt(at, status, "" if status < 300 else f"answered {status}", 5)


def run_down(target: Endpoint, at: datetime = START, draw: float = 0.5) -> tuple[Delivery, list[datetime]]:
    """A delivery that never arrives, and when it was tried."""
    message, times = delivery(at), []
    while message.next_attempt_at is not None:
        times.append(message.next_attempt_at)
        settle(target, message, attempt(times[-1]), times[-1] + timedelta(seconds=15), SCHEDULE, draw)
    return message, times


def test_j8_schedule_is_as_documented() -> None:
    """J8: at once, then ever later, eleven times."""
    message, times = run_down(endpoint())
    waits = [round((after - before).total_seconds()) - 15 for before, after in itertools.pairwise(times)]
    assert waits == [5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600, 28800]
    assert (message.status, message.attempt_count) == (DeliveryStatus.FAILED, 11)


@given(draw=st.floats(0, 1))
def test_j8_last_attempt_is_within_a_day_of_the_first(draw: float) -> None:
    _, times = run_down(endpoint(), draw=draw)
    assert timedelta(hours=19) < times[-1] - times[0] <= DAY


@given(wishes=st.lists(st.integers(0, 10**8), max_size=40))
def test_j8_retry_after_is_heeded_but_bounded(wishes: list[int]) -> None:
    """J8: a receiver can put the next attempt off, but not beyond six hours, nor the last one beyond a day."""
    message, now = delivery(), START
    for seconds in wishes:
        if message.next_attempt_at is None:
            break
        now = message.next_attempt_at
        settle(endpoint(), message, attempt(now, 429), now, SCHEDULE, 0.5, timedelta(seconds=seconds))
        if message.next_attempt_at is not None:
            wait = message.next_attempt_at - now
            assert wait >= min(timedelta(seconds=seconds), timedelta(hours=6), START + DAY - now)
            assert message.next_attempt_at <= START + DAY


def test_j8_late_attempt_is_the_last() -> None:
    """J8: the service was away for a day: what is due is tried once more."""
    message = delivery()
    settle(endpoint(), message, attempt(START), START, SCHEDULE, 0.5)
    late = START + timedelta(days=2)
    settle(endpoint(), message, attempt(late), late, SCHEDULE, 0.5)
    assert message.status is DeliveryStatus.FAILED


def test_j8_success_resets() -> None:
    target = endpoint()
    run_down(target)
    assert (target.consecutive_failures, target.failing_since, target.struggling) == (1, START, True)
    now = START + DAY
    settle(target, delivery(now), attempt(now, 204), now, SCHEDULE, 0.5)
    assert (target.consecutive_failures, target.failing_since, target.struggling) == (0, None, False)
    assert target.last_success_at == now


def test_j8_endpoint_is_given_up_after_five_failures_over_a_day() -> None:
    target = endpoint()
    for number in range(5):
        assert not target.disabled
        run_down(target, START + timedelta(hours=number))
    assert target.disabled
    assert "5 deliveries in a row" in target.disabled_reason
    with pytest.raises(StateConflict):
        target.require_enabled()
    target.enable(START + DAY * 3)
    assert (target.disabled, target.disabled_reason, target.consecutive_failures) == (False, "", 0)


def test_j8_five_failures_within_a_day_are_not_enough() -> None:
    """J8: many messages can fail at the same moment."""
    target = endpoint()
    for _ in range(9):
        run_down(target)
    assert (target.disabled, target.consecutive_failures) == (False, 9)


def test_j8_gone_disables_at_once() -> None:
    target, message = endpoint(), delivery()
    settle(target, message, attempt(START, 410), START, SCHEDULE, 0.5)
    assert (message.status, message.next_attempt_at) == (DeliveryStatus.FAILED, None)
    assert (target.disabled, target.disabled_reason) == (True, "the endpoint answered 410 Gone")


@pytest.mark.parametrize("status", [0, 301, 400, 401, 404, 408, 429, 500, 503])
def test_j8_everything_else_is_tried_again(status: int) -> None:
    target, message = endpoint(), delivery()
    settle(target, message, Attempt(START, status, "why", 1), START, SCHEDULE, 0.5)
    assert (message.status, message.next_attempt_at) == (DeliveryStatus.PENDING, START + timedelta(seconds=5))
    assert not target.disabled


def test_j8_redelivery_begins_the_schedule_anew() -> None:
    message, times = run_down(endpoint())
    now = times[-1] + timedelta(days=3)
    message.redeliver(now)
    assert (message.status, message.next_attempt_at, message.completed_at) == (DeliveryStatus.PENDING, now, None)
    settle(endpoint(), message, attempt(now), now, SCHEDULE, 0.5)
    assert (message.next_attempt_at, message.attempt_count) == (now + timedelta(seconds=5), 12)


def test_j8_user_disables_without_a_reason() -> None:
    target = endpoint()
    target.disable(START)
    target.disable(START, "later")  # Already so.
    assert (target.disabled, target.disabled_reason) == (True, "")
    message = delivery()
    settle(target, message, attempt(START), START, SCHEDULE, 0.5)
    assert (message.status, message.next_attempt_at) == (DeliveryStatus.PENDING, None)


def test_j8_rotation_without_overlap_forgets_the_old_secret() -> None:
    target = endpoint()
    target.rotate(b"new", timedelta(hours=1), START)
    assert (target.secret, target.previous_secret) == (b"new", b"secret")
    assert target.previous_secret_expires_at == START + timedelta(hours=1)
    bare = endpoint()
    bare.rotate(b"newer", timedelta(0), START)
    assert (bare.secret, bare.previous_secret, bare.previous_secret_expires_at) == (b"newer", None, None)


def test_j8_secret_is_not_shown_by_accident() -> None:
    assert "secret=" not in repr(endpoint()).replace("previous_secret_expires_at=", "")


def test_j8_signature_verifies_with_any_key_of_a_rotation() -> None:
    """J8: the package of the specification accepts it with either secret, and with no other; nothing may be altered."""
    keys, body = [new_secret(), new_secret()], '{"type":"job.completed","x":"½"}'.encode()
    headers = signed_headers("msg-1", datetime.now(UTC), body, keys)
    for key in keys:
        assert Webhook(shown(key)).verify(body, headers)["type"] == "job.completed"
    for wrong in ({**headers, "webhook-id": "msg-2"}, {**headers, "webhook-timestamp": "1"}):
        with pytest.raises(WebhookVerificationError):
            Webhook(shown(keys[0])).verify(body, wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(new_secret())).verify(body, headers)
    assert shown(keys[0]).startswith("whsec_")
    assert len(keys[0]) == 32


def test_j8_attempts_are_counted_by_result() -> None:
    """J8: for Prometheus."""
    before = REGISTRY.get_sample_value("t2m_webhook_deliveries_total", {"result": "gone"}) or 0
    spent = REGISTRY.get_sample_value("t2m_webhook_delivery_seconds_sum") or 0
    WebhookMetrics().attempted("gone", 0.25)
    assert REGISTRY.get_sample_value("t2m_webhook_deliveries_total", {"result": "gone"}) == before + 1
    assert REGISTRY.get_sample_value("t2m_webhook_delivery_seconds_sum") == spent + 0.25


def test_j8_sealed_secret_opens_only_for_its_endpoint_and_key() -> None:
    seal, secret = SealedSecrets(b"k" * 32), new_secret()
    sealed = seal.close(secret, "e1")
    assert seal.open(sealed, "e1") == secret
    assert secret not in sealed
    assert seal.close(secret, "e1") != sealed
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for box, data, name in (
        (seal, sealed, "e2"),
        (SealedSecrets(b"x" * 32), sealed, "e1"),
        (seal, altered, "e1"),
        (seal, b"\x02" + sealed[1:], "e1"),
        (seal, b"", "e1"),
    ):
        with pytest.raises(SecretUnreadable):
            box.open(data, name)


def ended_job(status: JobStatus) -> Job:
    job = Job.accept("job-1", Order("ada", "T ½", "secret context", batch_id="b"), START)
    job.start_attempt(START)
    job.status, job.completed_at, job.stage = status, START, JobStage.NONE
    return job


def test_j8_message_of_a_completed_job() -> None:
    """J8: the names and spellings of the REST interface, paths of the files, and not the context."""
    job = ended_job(JobStatus.COMPLETED)
    job.video = Video("v", "t", "s", "Title", 9, "a" * 64, 1.5, 2, 3, 30.0, "h264", 45)
    job.progress, job.title = 100.0, "Title"
    text = payload(WebhookEvent.JOB_COMPLETED, START, job_data(job))
    assert json.loads(text) == {
        "type": "job.completed",
        "timestamp": "2026-01-02T03:04:05Z",
        "data": {
            "job_id": "job-1",
            "status": "completed",
            "topic": "T ½",
            "title": "Title",
            "progress": 100.0,
            "attempt": 1,
            "batch_id": "b",
            "created_at": "2026-01-02T03:04:05Z",
            "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "2026-01-02T03:04:05Z",
            "video": {
                "download": "/api/v1/videos/jobs/job-1/download",
                "metadata": "/api/v1/videos/jobs/job-1/metadata",
                "thumbnail": "/api/v1/videos/jobs/job-1/thumbnail",
                "duration_seconds": 1.5,
                "size_bytes": 9,
            },
        },
    }
    assert "secret context" not in text


def test_j8_message_of_an_ended_batch() -> None:
    """J8, V2: one message at its end, with its counts."""
    counts = {"total_count": 50, "completed_count": 47, "refused_count": 3}
    message = json.loads(
        payload(WebhookEvent.BATCH_ENDED, START, batch_data("b", "completed", counts, START, START + DAY))
    )
    assert message["type"] == "batch.ended"
    assert message["data"] == {
        "batch_id": "b",
        "status": "completed",
        **counts,
        "created_at": "2026-01-02T03:04:05Z",
        "completed_at": "2026-01-03T03:04:05Z",
    }


def test_j8_message_of_a_failed_and_a_cancelled_job() -> None:
    job = ended_job(JobStatus.FAILED)
    job.failure = Failure("SCENE_RENDER_FAILED", "it broke", JobStage.RENDERING, 1, retryable=True)
    assert job_data(job)["error"] == {
        "code": "SCENE_RENDER_FAILED",
        "message": "it broke",
        "stage": "rendering",
        "retryable": True,
        "scene_index": 1,
    }
    assert not {"error", "video"} & job_data(ended_job(JobStatus.CANCELLED)).keys()
