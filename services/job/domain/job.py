"""The job: an order's life, from its acceptance to its end.

Every change goes through a method here, which appends to `events` (the history, numbered without gaps) and to
`commands` (what video_render must be told). A store writes both in the transaction that writes the job, under its
row's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.job.domain import events as ev
from services.job.domain.audit import AuditNote
from services.job.domain.errors import StateConflict
from services.job.domain.log import MOST_LINES, LogLine, Severity
from services.job.domain.order import Order
from services.job.domain.render import (
    Failure,
    LogFact,
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
from services.job.domain.values import JobStage, JobStatus, SceneStatus


@dataclass(slots=True)
class Job:
    """An order and what became of it."""

    job_id: str
    order: Order
    created_at: datetime
    updated_at: datetime
    status: JobStatus = JobStatus.QUEUED
    stage: JobStage = JobStage.QUEUED
    progress: float = 0.0
    attempt: int = 0
    requeues: int = 0
    """Attempts that an operator interrupted; they do not count against the retries."""
    title: str = ""
    scenes: tuple[Scene, ...] = ()
    video: Video | None = None
    failure: Failure | None = None
    revision: int = 0
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    attempt_started_at: datetime | None = None
    stage_started_at: datetime | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage of the attempt took, by its name."""
    half_way_at: datetime | None = None
    half_way_estimate: datetime | None = None
    """What was promised when half of the attempt was done; to tell later how good the promise was."""
    changed_at: datetime | None = None
    """When the status, stage or attempt last changed. Drawn frames and scenes only move `updated_at`."""
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    first_estimate: datetime | None = None
    """The expected completion that the acceptance promised; a repeated request shows it again."""
    pinned_at: datetime | None = None
    expires_at: datetime | None = None
    """When retention takes the video."""
    expired_at: datetime | None = None
    """When retention took the video."""
    segments_expire_at: datetime | None = None
    purge_at: datetime | None = None
    """When nothing of the job is kept any more."""
    waits_for: str = ""
    """What the attempt waits for that is no turn of its own: `storage`, or nothing."""
    log_seq: int = 0
    """Number of the newest line of its log."""
    render_cursor: int = 0
    """Position of the newest event of the attempt's render that this state includes."""
    render_accepted: bool = False
    """Whether video_render has confirmed the attempt's render."""
    events: list[ev.JobEvent] = field(default_factory=list)
    """Happened since the job was loaded; not stored yet."""
    stored_status: JobStatus | None = field(default=None, compare=False)
    """The status that the row has; None for a job that is not stored yet."""
    commands: list[ev.Command] = field(default_factory=list)
    """To be sent once the change is stored."""
    lines: list[LogLine] = field(default_factory=list)
    """Logged since the job was loaded; not stored yet."""
    notes: list[AuditNote] = field(default_factory=list)
    """To be audited with the change."""

    @classmethod
    def accept(cls, job_id: str, order: Order, now: datetime, first_estimate: datetime | None = None) -> Job:
        """A new job, queued, at revision 1."""
        job = cls(job_id, order, created_at=now, updated_at=now, first_estimate=first_estimate)
        if order.credit_cost:
            job.commands.append(ev.ConfirmCredits(job_id))
        job._changed(now)
        return job

    @property
    def render_id(self) -> str:
        """The id of the render of the current attempt."""
        return f"{self.job_id}-{self.attempt}"

    @property
    def ready_at(self) -> datetime:
        """From when on the job may be started."""
        return self.next_attempt_at or self.created_at

    @property
    def due_at(self) -> datetime:
        """Its place in the queue: earlier goes first."""
        return self.ready_at + self.order.priority.handicap

    @property
    def retention_at(self) -> datetime | None:
        """When retention has something to do with it."""
        return min((time for time in (self.expires_at, self.segments_expire_at, self.purge_at) if time), default=None)

    def start_attempt(self, now: datetime) -> None:
        """Leave the queue for the next attempt. Raises StateConflict unless queued."""
        if self.status is not JobStatus.QUEUED:
            raise StateConflict(f"the job is {self.status}, not queued")
        self.status, self.stage_seconds = JobStatus.PROCESSING, {}
        self._enter(JobStage.PLANNING, now)
        self.half_way_at = self.half_way_estimate = None
        self.attempt += 1
        self.progress, self.scenes, self.failure, self.next_attempt_at = 0.0, (), None, None
        self.render_cursor, self.render_accepted = 0, False
        self.started_at = self.started_at or now
        self.attempt_started_at = now
        self._log(now, Severity.INFO, f"attempt {self.attempt} began, {self.order.quality} quality", JobStage.PLANNING)
        self._changed(now)
        self.commands.append(ev.StartRender(self.job_id, self.render_id))

    def confirm_render(self, render_id: str) -> None:
        """Note that video_render has accepted the render; no event, and nothing for a render of the past."""
        if self._runs(render_id):
            self.render_accepted = True

    def lose_render(self, render_id: str) -> None:
        """video_render does not know the render (any more): start it again under the same id."""
        if self._runs(render_id):
            self.render_cursor, self.render_accepted = 0, False
            self.commands.append(ev.StartRender(self.job_id, self.render_id))

    def rewind_render(self, render_id: str) -> None:
        """The render is younger than the cursor: video_render lost its end. Read it from its first event again."""
        if self._runs(render_id):
            self.render_cursor = 0

    def apply(
        self, render_id: str, facts: Sequence[RenderFact], now: datetime, policy: RetryPolicy, draw: float
    ) -> bool:
        """Take over what happened to a render; False when the job does not wait for that render (any more).

        Facts at or before the cursor are left out, so that facts which arrive twice count once. `draw` (0 to 1) picks
        the wait before the next attempt, should this one fail.
        """
        for fact in facts:
            if not self._runs(render_id):
                return False
            if fact.seq <= self.render_cursor:
                continue
            self.render_cursor = fact.seq
            match fact:
                case ProgressFact():
                    self._frames_drawn(fact, now)
                case SceneFact():
                    self._scene_changed(fact, now)
                case PlannedFact():
                    self._planned(fact, now)
                case StateFact():
                    self._render_changed(fact, now, policy, draw)
                case LogFact():
                    self._log(now, fact.severity, fact.message, fact.stage, fact.scene_index, fact.step_attempt)
                case UnknownFact():
                    pass
        return self._runs(render_id)

    def refuse_render(self, render_id: str, failure: Failure, now: datetime) -> None:
        """video_render will not take the render, now or later: the job has failed."""
        if self._runs(render_id):
            self._fail(failure, now)

    def break_off(self, render_id: str, failure: Failure, now: datetime, policy: RetryPolicy, draw: float) -> None:
        """Give an attempt up from this side: its render is stopped, should there be one."""
        if self._runs(render_id):
            self.commands.append(ev.CancelRender(self.job_id, render_id))
            self._attempt_failed(failure, now, policy, draw)

    def promised_half_way(self, estimate: datetime | None, now: datetime) -> None:
        """Note what half way through the attempt is promised."""
        self.half_way_at, self.half_way_estimate = now, estimate

    def cancel(self, now: datetime) -> None:
        """Stop for good. Nothing happens to a cancelled job; raises StateConflict when completed or failed."""
        if self.status is JobStatus.CANCELLED:
            return
        if self.status.terminal:
            raise StateConflict(f"the job has already {self.status}")
        if self.status is JobStatus.PROCESSING:
            self.commands.append(ev.CancelRender(self.job_id, self.render_id))
        if self.attempt:
            self.commands.append(ev.RemoveFiles(self.job_id))
        self._end(JobStatus.CANCELLED, now)

    def requeue(self, now: datetime) -> None:
        """Start anew when its turn comes: a running attempt is interrupted, a wait for the next one is over.

        Raises StateConflict when the job has ended.
        """
        if self.status.terminal:
            raise StateConflict(f"the job has already {self.status}")
        if self.status is JobStatus.PROCESSING:
            self.commands.append(ev.CancelRender(self.job_id, self.render_id))
            self.requeues += 1
            self.status, self.progress = JobStatus.QUEUED, 0.0
            self._enter(JobStage.QUEUED, now)
        elif self.next_attempt_at is None:
            return  # It waits for nothing but its turn.
        self.next_attempt_at = None
        self._changed(now)

    def delete(self, now: datetime) -> None:
        """Take the job out of every list, cancelled first if it has not ended."""
        if not self.status.terminal:
            self.cancel(now)
        self.deleted_at = now

    def _runs(self, render_id: str) -> bool:
        return self.status is JobStatus.PROCESSING and render_id == self.render_id

    def _frames_drawn(self, fact: ProgressFact, now: datetime) -> None:
        self._advance(fact.progress)
        if 0 <= fact.scene_index < len(self.scenes):
            scene = self.scenes[fact.scene_index].with_frames(fact.frames_done, fact.frames_total)
            self._put(scene)
        self._record(ev.Progressed(self.progress, fact.scene_index, fact.frames_done, fact.frames_total), now)

    def _scene_changed(self, fact: SceneFact, now: datetime) -> None:
        self._advance(fact.progress)
        if 0 <= fact.scene.index < len(self.scenes):
            self._put(fact.scene)
        self._record(ev.SceneChanged(fact.scene, self.progress), now)

    def _planned(self, fact: PlannedFact, now: datetime) -> None:
        self.title, self.scenes = fact.title, fact.scenes
        self._record(ev.Planned(self.title, self.scenes), now)

    def _render_changed(self, fact: StateFact, now: datetime, policy: RetryPolicy, draw: float) -> None:
        before = self.progress
        self._advance(fact.progress)
        match fact.state:
            case RenderState.SUCCEEDED if fact.video is not None:
                self.video = replace(fact.video, published_at=now)
                self.progress = 100.0
                self._end(JobStatus.COMPLETED, now)
            case RenderState.SUCCEEDED | RenderState.FAILED | RenderState.CANCELLED:
                self._attempt_failed(fact.failure or _unexplained(fact), now, policy, draw)
            case RenderState.PENDING | RenderState.RUNNING:
                if fact.stage not in (JobStage.NONE, self.stage):
                    self._enter(fact.stage, now)
                elif fact.waits_for == self.waits_for and self.progress == before:
                    return
                self.waits_for = fact.waits_for
                self._changed(now)

    def _attempt_failed(self, failure: Failure, now: datetime, policy: RetryPolicy, draw: float) -> None:
        if failure.retryable and self.attempt - self.requeues <= self.order.max_retries:
            self._retry(failure, now, policy, draw)
        else:
            self._fail(failure, now)

    def _enter(self, stage: JobStage, now: datetime) -> None:
        self.waits_for = ""
        if self.stage_started_at is not None and self.stage not in (JobStage.NONE, JobStage.QUEUED):
            spent = max((now - self.stage_started_at).total_seconds(), 0.0)
            self.stage_seconds[self.stage.value] = self.stage_seconds.get(self.stage.value, 0.0) + spent
        self.stage, self.stage_started_at = stage, now

    def _retry(self, failure: Failure, now: datetime, policy: RetryPolicy, draw: float) -> None:
        self.status, self.progress, self.failure = JobStatus.QUEUED, 0.0, failure
        self._enter(JobStage.QUEUED, now)
        self.next_attempt_at = now + policy.delay(self.attempt, draw)
        text = f"attempt {self.attempt} failed: {failure.code}: {failure.message}; the next may begin at"
        moment = f"{self.next_attempt_at:%Y-%m-%dT%H:%M:%SZ}"
        self._log(now, Severity.WARNING, f"{text} {moment}", failure.stage, failure.scene_index)
        self._changed(now)

    def _fail(self, failure: Failure, now: datetime) -> None:
        self.failure = failure
        self._end(JobStatus.FAILED, now)

    def _end(self, status: JobStatus, now: datetime) -> None:
        self._enter(JobStage.NONE, now)
        self.status, self.next_attempt_at, self.completed_at = status, None, now
        if status is not JobStatus.COMPLETED:
            self.scenes = tuple(
                scene if scene.status.ended else replace(scene, status=SceneStatus.CANCELLED) for scene in self.scenes
            )
        text, severity = f"the job is {status}", Severity.INFO
        if self.failure is not None and status is JobStatus.FAILED:
            text, severity = f"{text}: {self.failure.code}: {self.failure.message}", Severity.ERROR
        self._log(now, severity, text, last=True)
        if self.order.credit_cost:
            spent = status is JobStatus.COMPLETED
            self.commands.append((ev.SettleCredits if spent else ev.ReleaseCredits)(self.job_id))
        self._changed(now)

    def _log(
        self,
        now: datetime,
        severity: Severity,
        message: str,
        stage: JobStage = JobStage.NONE,
        scene_index: int | None = None,
        step_attempt: int = 0,
        *,
        last: bool = False,
    ) -> None:
        if self.log_seq >= MOST_LINES and not last:
            return
        if self.log_seq == MOST_LINES - 1 and not last:
            severity, message = Severity.WARNING, f"the log has {MOST_LINES} lines, nothing more is kept"
        self.log_seq += 1
        moment = max(now, self.updated_at)
        line = LogLine(self.log_seq, moment, severity, message, stage, scene_index, self.attempt, step_attempt, last)
        self.lines.append(line)

    def _advance(self, progress: float) -> None:
        self.progress = max(self.progress, min(max(progress, 0.0), 100.0))

    def _put(self, scene: Scene) -> None:
        self.scenes = (*self.scenes[: scene.index], scene, *self.scenes[scene.index + 1 :])

    def _changed(self, now: datetime) -> None:
        self._record(
            ev.StatusChanged(
                self.status,
                self.stage,
                self.progress,
                self.attempt,
                self.failure,
                self.next_attempt_at,
                self.waits_for,
            ),
            now,
        )
        self.changed_at = self.updated_at

    def _record(self, happening: ev.Happening, now: datetime) -> None:
        self.revision += 1
        self.updated_at = max(now, self.updated_at)
        self.events.append(ev.JobEvent(self.job_id, self.revision, self.updated_at, happening))


def _unexplained(fact: StateFact) -> Failure:
    """A render that somebody else stopped may be tried again; one that failed without a reason may not."""
    if fact.state is RenderState.CANCELLED:
        return Failure("RENDER_CANCELLED", "the render was stopped from outside", fact.stage, retryable=True)
    missing = "video" if fact.state is RenderState.SUCCEEDED else "reason"
    return Failure("RENDER_FAILED", f"the render ended without a {missing}", fact.stage)
