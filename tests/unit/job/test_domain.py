"""The job's state machine, alone (J1, J3, J6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.job.domain import events as ev
from services.job.domain.errors import StateConflict
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import (
    Failure,
    PlannedFact,
    ProgressFact,
    RenderFact,
    RenderState,
    Scene,
    SceneFact,
    StateFact,
    UnknownFact,
    Video,
)
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import JobStage, JobStatus, Priority, Quality, SceneStatus
from tests.fakes.job import START

POLICY = RetryPolicy()
VIDEO = Video("v", "t", "s", "Title", 1, "a" * 64, 1.0, 2, 3, 30.0, "h264", 30)


def new_job(**order: Any) -> Job:
    fields: dict[str, Any] = {"topic": "T", "context": "C", **order}
    return Job.accept("job", Order("ada", **fields), START)


def started(**order: Any) -> Job:
    job = new_job(**order)
    job.start_attempt(START)
    return job


def apply(job: Job, *facts: RenderFact, draw: float = 0.5, render_id: str = "") -> bool:
    return job.apply(render_id or job.render_id, facts, START, POLICY, draw)


def failed(seq: int, *, retryable: bool = True) -> StateFact:
    failure = Failure("CODE", "message", JobStage.RENDERING, 1, retryable)
    return StateFact(seq, RenderState.FAILED, JobStage.RENDERING, 50.0, failure=failure)


def succeeded(seq: int) -> StateFact:
    return StateFact(seq, RenderState.SUCCEEDED, JobStage.PUBLISHING, 100.0, video=VIDEO)


def running(seq: int, stage: JobStage, progress: float = 0.0) -> StateFact:
    return StateFact(seq, RenderState.RUNNING, stage, progress)


def test_j1_accepted_job_is_queued_at_revision_1() -> None:
    job = new_job()
    assert (job.status, job.stage, job.revision, job.attempt) == (JobStatus.QUEUED, JobStage.QUEUED, 1, 0)
    [event] = job.events
    assert event == ev.JobEvent("job", 1, START, ev.StatusChanged(JobStatus.QUEUED, JobStage.QUEUED, 0.0, attempt=0))


def test_attempt_begins_with_a_clean_slate_and_a_command() -> None:
    job = started()
    assert (job.status, job.stage, job.attempt) == (JobStatus.PROCESSING, JobStage.PLANNING, 1)
    assert job.commands == [ev.StartRender("job", "job-1")]
    with pytest.raises(StateConflict):
        job.start_attempt(START)


def test_render_is_taken_over_to_completion() -> None:
    job = started()
    still = apply(
        job,
        running(1, JobStage.PLANNING),
        PlannedFact(2, "Title", (Scene(0, "One"), Scene(1, "Two"))),
        running(3, JobStage.RENDERING, 5.0),
        ProgressFact(4, 30.0, 0, 50, 100),
        SceneFact(5, Scene(0, "One", SceneStatus.COMPLETED, 99, 99, 1), 50.0),
    )
    assert still
    assert [scene.frames_done for scene in job.scenes] == [99, 0]
    assert not apply(job, succeeded(6))
    assert (job.status, job.stage, job.progress) == (JobStatus.COMPLETED, JobStage.NONE, 100.0)
    assert job.video is not None
    assert job.video.published_at == START
    # Planning was the stage already: no event for the first fact.
    assert [type(event.happening).__name__ for event in job.events] == [
        "StatusChanged",
        "StatusChanged",
        "Planned",
        "StatusChanged",
        "Progressed",
        "SceneChanged",
        "StatusChanged",
    ]


def test_facts_that_arrive_twice_count_once() -> None:
    job = started()
    facts: list[RenderFact] = [PlannedFact(1, "Title", (Scene(0),)), ProgressFact(2, 10.0, 0, 1, 9)]
    apply(job, *facts)
    revision = job.revision
    assert apply(job, *facts)
    assert (job.revision, job.render_cursor) == (revision, 2)


def test_unknown_fact_only_moves_the_cursor() -> None:
    job = started()
    revision = job.revision
    apply(job, UnknownFact(7))
    assert (job.render_cursor, job.revision) == (7, revision)


def test_progress_never_falls_within_an_attempt_and_stays_in_bounds() -> None:
    job = started()
    apply(job, ProgressFact(1, 40.0, 0, 1, 9), ProgressFact(2, 30.0, 5, 1, 9), ProgressFact(3, 140.0, 0, 1, 9))
    assert [e.happening.progress for e in job.events if isinstance(e.happening, ev.Progressed)] == [40.0, 40.0, 100.0]


def test_j6_retryable_failure_goes_back_to_the_queue() -> None:
    """J1, J6: with the next attempt's time shown, at most `max_retries` times."""
    job = started(max_retries=1)
    assert not apply(job, failed(1))
    assert (job.status, job.stage, job.progress) == (JobStatus.QUEUED, JobStage.QUEUED, 0.0)
    assert job.next_attempt_at == START + timedelta(seconds=30)
    assert job.failure is not None
    job.start_attempt(START + timedelta(seconds=30))
    assert (job.render_id, job.render_cursor) == ("job-2", 0)
    assert [job.next_attempt_at, job.failure] == [None, None]
    assert not apply(job, failed(1))
    assert job.status is JobStatus.FAILED
    assert job.failure is not None


@pytest.mark.parametrize("max_retries", [0, 3])
def test_j6_other_failures_fail_at_once(max_retries: int) -> None:
    job = started(max_retries=max_retries)
    apply(job, PlannedFact(1, "Title", (Scene(0),)), failed(2, retryable=max_retries == 0))
    assert (job.status, job.completed_at) == (JobStatus.FAILED, START)
    assert job.scenes[0].status is SceneStatus.CANCELLED


def test_render_that_was_stopped_from_outside_is_tried_again() -> None:
    job = started()
    apply(job, StateFact(1, RenderState.CANCELLED, JobStage.NONE, 0.0))
    assert (job.status, job.failure and job.failure.code) == (JobStatus.QUEUED, "RENDER_CANCELLED")


def test_success_without_a_video_is_a_failure() -> None:
    job = started()
    apply(job, StateFact(1, RenderState.SUCCEEDED, JobStage.NONE, 100.0))
    assert job.status is JobStatus.FAILED


def test_j3_cancel_queued_needs_no_command() -> None:
    job = new_job()
    job.cancel(START)
    assert (job.status, job.commands, job.completed_at) == (JobStatus.CANCELLED, [], START)


def test_j3_cancel_processing_stops_the_render() -> None:
    job = started()
    job.commands.clear()
    job.cancel(START)
    assert job.commands == [ev.CancelRender("job", "job-1"), ev.RemoveFiles("job")]
    revision = job.revision
    job.cancel(START)
    assert job.revision == revision
    assert not apply(job, succeeded(1))
    assert job.status is JobStatus.CANCELLED


def test_j3_cancel_of_an_ended_job_conflicts() -> None:
    job = started()
    apply(job, succeeded(1))
    with pytest.raises(StateConflict):
        job.cancel(START)


def test_j3_delete_cancels_first() -> None:
    job = started()
    job.delete(START)
    assert (job.status, job.deleted_at) == (JobStatus.CANCELLED, START)
    ended = started()
    apply(ended, succeeded(1))
    ended.delete(START)
    assert ended.status is JobStatus.COMPLETED


def test_facts_of_a_former_attempt_are_ignored() -> None:
    job = started()
    apply(job, failed(1))
    job.start_attempt(START)
    assert not apply(job, succeeded(2), render_id="job-1")
    assert job.status is JobStatus.PROCESSING


def test_lost_render_is_asked_for_again_under_its_id() -> None:
    job = started()
    job.confirm_render("job-1")
    apply(job, ProgressFact(9, 40.0, 0, 1, 2))
    job.commands.clear()
    job.lose_render("job-0")
    assert (job.render_cursor, job.render_accepted, job.commands) == (9, True, [])
    job.lose_render("job-1")
    assert (job.render_cursor, job.render_accepted) == (0, False)
    assert job.commands == [ev.StartRender("job", "job-1")]
    job.rewind_render("job-1")
    apply(job, ProgressFact(1, 10.0, 0, 1, 2))
    assert job.progress == 40.0


def test_refused_render_fails_the_job() -> None:
    job = started()
    statuses = []
    for render_id in ("job-9", "job-1"):
        job.refuse_render(render_id, Failure("X", "x"), START)
        statuses.append(job.status)
    assert statuses == [JobStatus.PROCESSING, JobStatus.FAILED]


@given(attempt=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_j6_backoff_is_full_jitter_below_a_doubling_ceiling(attempt: int, draw: float) -> None:
    """J6: base 60 s, cap 3600 s."""
    expected = min(3600.0, 60.0 * 2.0 ** min(attempt - 1, 60))
    assert POLICY.ceiling(attempt).total_seconds() == expected
    assert timedelta(0) <= POLICY.delay(attempt, draw) <= POLICY.ceiling(attempt)
    assert RetryPolicy(base=timedelta(0)).delay(attempt, draw) == timedelta(0)


def test_j5_place_in_the_queue() -> None:
    """J5: priority is a head start, so age wins in the end."""
    due = {priority: new_job(priority=priority).due_at - START for priority in Priority}
    assert due[Priority.HIGH] < due[Priority.DEFAULT] < due[Priority.LOW] <= timedelta(minutes=30)


def test_quality_levels() -> None:
    assert [Quality.of_level(quality.level) for quality in Quality] == list(Quality)
    assert Quality.of_level("360p") is None


class JobMachine(RuleBasedStateMachine):
    """Anything may happen to a job in any order; what the chaos tests check over histories holds here always."""

    def __init__(self) -> None:
        super().__init__()
        self.job = new_job()
        self.now = START
        self.seq = 0
        self.history: list[ev.JobEvent] = []
        self.ended_as: tuple[JobStatus, int] | None = None

    @initialize(max_retries=st.integers(0, 2), priority=st.sampled_from(Priority))
    def accept(self, max_retries: int, priority: Priority) -> None:
        self.job = new_job(max_retries=max_retries, priority=priority)

    @rule(seconds=st.integers(-5, 5000))
    def time_passes(self, seconds: int) -> None:
        """Clocks may also be set back."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def start(self) -> None:
        if self.job.status is JobStatus.QUEUED:
            self.job.start_attempt(self.now)
            self.seq = 0
        else:
            with pytest.raises(StateConflict):
                self.job.start_attempt(self.now)

    @rule()
    def confirm(self) -> None:
        self.job.confirm_render(self.job.render_id)

    @rule(kind=st.integers(0, 6), progress=st.floats(-10, 200), retryable=st.booleans(), skip=st.integers(0, 2))
    def render_event(self, kind: int, progress: float, retryable: bool, skip: int) -> None:
        self.seq += 1 + skip
        facts: list[RenderFact] = [
            PlannedFact(self.seq, "T", (Scene(0), Scene(1))),
            ProgressFact(self.seq, progress, kind, 1, 2),
            SceneFact(self.seq, Scene(1, status=SceneStatus.COMPLETED), progress),
            running(self.seq, JobStage.ASSEMBLING, progress),
            failed(self.seq, retryable=retryable),
            succeeded(self.seq),
            UnknownFact(self.seq),
        ]
        self.job.apply(self.job.render_id, [facts[kind]], self.now, POLICY, 0.99)

    @rule()
    def old_render_event(self) -> None:
        revision = self.job.revision
        self.job.apply(f"job-{self.job.attempt - 1}", [succeeded(10**6)], self.now, POLICY, 0.0)
        assert self.job.revision == revision

    @rule()
    def lose(self) -> None:
        self.job.lose_render(self.job.render_id)
        self.seq = 0 if self.job.status is JobStatus.PROCESSING else self.seq

    @rule()
    def cancel(self) -> None:
        if self.job.status in (JobStatus.COMPLETED, JobStatus.FAILED):
            with pytest.raises(StateConflict):
                self.job.cancel(self.now)
        else:
            self.job.cancel(self.now)
            assert self.job.status is JobStatus.CANCELLED

    @precondition(lambda self: self.job.deleted_at is None)
    @rule()
    def delete(self) -> None:
        self.job.delete(self.now)
        assert self.job.status.terminal

    def _told(self) -> list[ev.JobEvent]:
        """The whole history so far."""
        self.history += self.job.events
        self.job.events.clear()
        return self.history

    @invariant()
    def revisions_are_gap_free(self) -> None:
        assert [event.seq for event in self._told()] == list(range(1, self.job.revision + 1))
        times = [event.occurred_at for event in self.history]
        assert times == sorted(times)

    @invariant()
    def terminal_state_never_changes(self) -> None:
        if self.ended_as is not None:
            assert (self.job.status, self.job.revision) == self.ended_as
        elif self.job.status.terminal:
            self.ended_as = (self.job.status, self.job.revision)
            last = self._told()[-1].happening
            assert isinstance(last, ev.StatusChanged)
            assert last.status is self.job.status

    @invariant()
    def history_tells_the_state(self) -> None:
        statuses = [event.happening for event in self._told() if isinstance(event.happening, ev.StatusChanged)]
        if statuses:
            assert (statuses[-1].status, statuses[-1].attempt) == (self.job.status, self.job.attempt)

    @invariant()
    def figures_are_in_bounds(self) -> None:
        job = self.job
        assert 0.0 <= job.progress <= 100.0
        assert job.attempt <= job.order.max_retries + 1
        assert (job.next_attempt_at is not None) == (job.status is JobStatus.QUEUED and job.attempt > 0)
        assert (job.completed_at is not None) == job.status.terminal
        assert (job.video is not None) == (job.status is JobStatus.COMPLETED)


TestJobMachine = JobMachine.TestCase


def test_J3_cancel_while_a_retry_waits() -> None:
    """J3: nothing runs, so nothing is stopped; what the failed attempt left is removed, and nothing begins again."""
    job = started()
    failure = Failure("C", "M", retryable=True)
    apply(job, StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=failure))
    assert job.next_attempt_at
    job.commands.clear()
    job.cancel(START)
    assert job.commands == [ev.RemoveFiles("job")]
    assert job.status is JobStatus.CANCELLED
    assert job.next_attempt_at is None
    with pytest.raises(StateConflict):
        job.start_attempt(START)


def test_J3_cancel_of_a_queued_job_is_at_once() -> None:
    """J3: nothing of it has been made."""
    job = Job.accept("job", Order("ada", "T", "C"), START)
    job.cancel(START)
    assert (job.commands, job.status, job.completed_at) == ([], JobStatus.CANCELLED, START)


def test_J9_a_requeued_attempt_is_interrupted_and_not_counted() -> None:
    """J9: the attempt's render is stopped; the next has a new name, and a failure of it is still retried."""
    job = started()
    job.commands.clear()
    job.requeue(START)
    assert job.commands == [ev.CancelRender("job", "job-1")]
    assert (job.status, job.requeues) == (JobStatus.QUEUED, 1)
    revision = job.revision
    job.requeue(START)
    assert job.revision == revision, "it waits for nothing but its turn"
    for _ in range(job.order.max_retries + 1):
        assert job.status is JobStatus.QUEUED
        job.start_attempt(START)
        failure = Failure("C", "M", retryable=True)
        apply(job, StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=failure))
    assert job.status is JobStatus.FAILED
