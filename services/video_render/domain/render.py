"""A render: the durable graph plan → scenes → assemble, and the only place that says what may happen next.

Every method is one transition. It is called with the render locked, and leaves in `events` what watchers must be told
and in `dispatches` the steps that must be offered to workers; the store saves all of it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.video_render.domain import progress
from services.video_render.domain.events import (
    Event,
    Logged,
    Planned,
    Progressed,
    RenderState,
    SceneChanged,
    SceneView,
    Severity,
    StateChanged,
)
from services.video_render.domain.outcomes import (
    RenderedScene,
    RenderedVideo,
    RenderFailure,
    Stage,
    StepFailure,
)
from services.video_render.domain.request import RenderRequest
from services.video_render.domain.steps import LeasePolicy, Step, StepKind, StepState, step_id_of

WORKER_LOST = StepFailure(
    "WORKER_LOST", "every worker that began this step was lost", retryable=True, blames_scene=True
)
_EXCERPT = 20
"""Lines of a log that a failure shows."""
_LONGEST_LINE = 2000
_STAGE_OF = {
    StepKind.PLAN: Stage.PLANNING,
    StepKind.SCENE: Stage.RENDERING,
    StepKind.ASSEMBLE: Stage.ASSEMBLING,
}


@dataclass(frozen=True, slots=True)
class PlannedScene:
    """A scene of a plan; `cached` is its result where the same scene was rendered before."""

    title: str
    kind: str
    content_hash: str
    frames: int
    cached: RenderedScene | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What planning produced; `storyboard` is plain JSON."""

    title: str
    storyboard: Mapping[str, Any]
    scenes: tuple[PlannedScene, ...]


@dataclass(slots=True)
class Render:
    """One execution of a request."""

    request: RenderRequest
    fingerprint: str
    created_at: datetime
    state: RenderState = RenderState.PENDING
    stage: Stage = Stage.NONE
    progress: float = 0.0
    scenes_left: int = 0
    """The fan-in: scenes without a result. Whoever brings it to 0 queues the assembly."""
    title: str = ""
    storyboard: Mapping[str, Any] | None = None
    video: RenderedVideo | None = None
    error: RenderFailure | None = None
    seq: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    dispatches: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, request: RenderRequest, now: datetime) -> Render:
        """A new render whose planning is queued."""
        render = cls(request=request, fingerprint=request.fingerprint(), created_at=now, storyboard=request.storyboard)
        render._add(StepKind.PLAN, 0, StepState.QUEUED, now)
        render._add(StepKind.ASSEMBLE, 0, StepState.WAITING, now)
        render._announce()
        render._dispatch(render.step(StepKind.PLAN))
        return render

    @property
    def render_id(self) -> str:
        """Chosen by the caller."""
        return self.request.render_id

    @property
    def scenes(self) -> list[Step]:
        """The scene steps in the order of the video; empty until planned."""
        found = (step for step in self.steps.values() if step.kind is StepKind.SCENE)
        return sorted(found, key=lambda step: step.index)

    def step(self, kind: StepKind, index: int = 0) -> Step:
        """The step of this kind; KeyError when there is none (yet)."""
        return self.steps[step_id_of(self.render_id, kind, index)]

    # Leases

    def claim(self, step_id: str, task_id: str, now: datetime, policy: LeasePolicy, holder: str = "") -> Step | None:
        """Give a step to a worker; None when there is nothing to do under this id, as for a repeated delivery."""
        step = self.steps.get(step_id)
        if step is None or not step.claimable(now):
            return None
        if step.exhausted(policy):
            self._give_up(step, WORKER_LOST, now)
            return None
        step.claim(now, policy.lease, task_id, holder)
        if not step.parked:
            self._log(step, f"attempt {step.attempts} at {_name(step)} began")
            self._entered(_STAGE_OF[step.kind], now)
        self._scene_changed(step)
        return step

    def expire(self, step_id: str, now: datetime, policy: LeasePolicy) -> bool:
        """Take a step from a holder that has not renewed; False when it has, or has finished."""
        step = self.steps[step_id]
        if not step.expired(now):
            return False
        self._retry(step, WORKER_LOST, now, policy)
        return True

    def orphaned(self, step_id: str, holder: str, now: datetime, policy: LeasePolicy) -> bool:
        """Take a step from a holder that has died, without waiting for its lease; False when it holds it no more."""
        step = self.steps[step_id]
        if step.state is not StepState.RUNNING or not holder or step.holder != holder:
            return False
        self._retry(step, WORKER_LOST, now, policy)
        return True

    def republish(self, step_id: str, now: datetime) -> bool:
        """Offer a step to workers again because the queue may have lost it; False when it was claimed after all."""
        step = self.steps[step_id]
        if step.state is not StepState.QUEUED:
            return False
        step.queued_at = now
        self._dispatch(step)
        return True

    def hand_back(self, step_id: str, fence: int, now: datetime) -> None:
        """A stopping worker gives its step up in good order; raises `LeaseLost`."""
        step = self._held(step_id, fence)
        step.handed_back += 1
        self._log(step, f"a stopping worker handed {_name(step)} back")
        self._requeue(step, now)

    def park(self, step_id: str, fence: int, reason: str, now: datetime, policy: LeasePolicy) -> None:
        """The storage is away: the step is put off, and it costs no attempt; raises `LeaseLost`."""
        step = self._held(step_id, fence)
        waited_before = self.waits_for
        step.handed_back += 1
        step.parked += 1
        if step.parked == 1:
            self._log(step, f"{_name(step)} waits for the storage: {reason}", Severity.WARNING)
        self._requeue(step, now + policy.park(step.parked))
        if self.stage is not Stage.PUBLISHING and all(other.parked or other.idle for other in self.steps.values()):
            self._entered(Stage.PUBLISHING, now)
        elif not waited_before:
            self._announce()

    @property
    def waits_for(self) -> str:
        """`storage` while a step is put off because of it, empty otherwise."""
        return "storage" if any(step.parked for step in self.steps.values()) else ""

    # Results

    def planned(self, step_id: str, fence: int, plan: Plan, now: datetime) -> None:
        """Planning is done: scenes that are not known already are queued; raises `LeaseLost`."""
        planning = self._held(step_id, fence)
        known = sum(scene.cached is not None for scene in plan.scenes)
        self._log(planning, f"planned {len(plan.scenes)} scenes, {known} of them rendered before: {plan.title}")
        planning.end(StepState.SUCCEEDED)
        self.title, self.storyboard = plan.title, plan.storyboard
        for index, planned in enumerate(plan.scenes):
            step = self._add(StepKind.SCENE, index, StepState.QUEUED, now)
            step.title, step.scene_kind, step.content_hash = planned.title, planned.kind, planned.content_hash
            step.frames_total = planned.frames
            if planned.cached is not None:
                step.cached = True
                _finish(step, planned.cached)
            else:
                self.scenes_left += 1
                self._dispatch(step)
        self.stage = Stage.RENDERING
        self._measure()
        self.events.append(Planned(plan.title, tuple(SceneView.of(step) for step in self.scenes)))
        self._announce()
        self._fan_in(now)

    def progressed(self, step_id: str, fence: int, frames_done: int, frames_total: int) -> None:
        """Frames of a scene were drawn. Neither they nor the whole ever fall; raises `LeaseLost`."""
        step = self._held(step_id, fence)
        total = max(frames_total, 1)
        done = max(step.frames_done, min(frames_done, total))
        if (done, total) == (step.frames_done, step.frames_total):
            return
        step.frames_done, step.frames_total = done, max(done, total)
        self._measure()
        self.events.append(Progressed(self.progress, step.index, step.frames_done, step.frames_total))

    def scene_rendered(
        self, step_id: str, fence: int, scene: RenderedScene, now: datetime, *, cached: bool = False
    ) -> None:
        """A scene has its segment, perhaps one from before; the last one queues the assembly; raises `LeaseLost`."""
        step = self._held(step_id, fence)
        step.cached = cached
        self._log(step, f"{_name(step)} is done: {scene.frames} frames, {scene.duration_s:.2f} s")
        for warning in scene.warnings:
            self._log(step, f"{_name(step)}: {warning}", Severity.WARNING)
        waited = self.waits_for
        _finish(step, scene)
        self.scenes_left -= 1
        self._measure()
        self._scene_changed(self.steps[step_id])
        if waited and not self.waits_for:
            self._announce()
        self._fan_in(now)

    def scenes_lost(self, step_id: str, fence: int, indexes: Iterable[int], now: datetime) -> None:
        """The assembly found segments missing or damaged: their scenes are rendered again; raises `LeaseLost`."""
        assembly = self._held(step_id, fence)
        lost = sorted(indexes)
        self._log(assembly, f"segments are missing or damaged, scenes {lost} are rendered again", Severity.WARNING)
        assembly.end(StepState.WAITING)
        self.stage = Stage.RENDERING
        for index in lost:
            scene = self.step(StepKind.SCENE, index)
            scene.result, scene.cached = None, False
            self.scenes_left += 1
            self._requeue(scene, now)
        self._announce()

    def publishing(self, step_id: str, fence: int, now: datetime) -> None:
        """The video is assembled and is being stored; raises `LeaseLost`."""
        self._held(step_id, fence)
        self._entered(Stage.PUBLISHING, now)

    def stored_bytes(self, step_id: str, fence: int, share: float) -> None:
        """So much of the video, from 0 to 1, is stored; raises `LeaseLost`."""
        self._held(step_id, fence).parked = 0
        reached = progress.published(share)
        if self.stage is Stage.PUBLISHING and reached > self.progress:
            self.progress = reached
            self._announce()

    def published(self, step_id: str, fence: int, video: RenderedVideo, now: datetime) -> None:
        """The files are stored; from now on the render points to them; raises `LeaseLost`."""
        assembly = self._held(step_id, fence)
        self._log(assembly, f"the video is stored: {video.frame_count} frames, {video.duration_s:.2f} s")
        assembly.end(StepState.SUCCEEDED)
        self.video, self.progress = video, progress.DONE
        self._end(RenderState.SUCCEEDED, now)

    def step_failed(
        self, step_id: str, fence: int, failure: StepFailure, now: datetime, policy: LeasePolicy
    ) -> list[str]:
        """An attempt failed: the step is tried again, or the render fails; raises `LeaseLost`.

        Returns the deliveries of the other steps that this has stopped, to be revoked.
        """
        return self._retry(self._held(step_id, fence), failure, now, policy)

    def cancel(self, now: datetime) -> list[str]:
        """Stop everything; nothing when the render has ended. Returns the deliveries to be revoked."""
        if self.state.terminal:
            return []
        stopped = self._stop_steps()
        self._end(RenderState.CANCELLED, now)
        return stopped

    # How it is done

    def _add(self, kind: StepKind, index: int, state: StepState, now: datetime) -> Step:
        step_id = step_id_of(self.render_id, kind, index)
        step = Step(step_id=step_id, kind=kind, index=index, state=state, queued_at=now)
        self.steps[step_id] = step
        return step

    def _held(self, step_id: str, fence: int) -> Step:
        return self.steps[step_id].held(fence)

    def _dispatch(self, step: Step) -> None:
        self.dispatches.append(step.step_id)

    def _entered(self, stage: Stage, now: datetime) -> None:
        """A step of this stage runs; watchers are told when that is news."""
        if self.state is RenderState.RUNNING and self.stage is stage:
            return
        self.state, self.stage = RenderState.RUNNING, stage
        self.started_at = self.started_at or now
        self._measure()
        self._announce()

    def _measure(self) -> None:
        # Scenes that are drawn and not stored put a render into its last stage before they are joined.
        stage = Stage.RENDERING if self.scenes_left and self.stage is Stage.PUBLISHING else self.stage
        self.progress = max(self.progress, progress.measured(stage, self.scenes))

    def _announce(self) -> None:
        self.events.append(StateChanged(self.state, self.stage, self.progress, self.video, self.error, self.waits_for))

    def _scene_changed(self, step: Step) -> None:
        if step.kind is StepKind.SCENE:
            self.events.append(SceneChanged(SceneView.of(step), self.progress))

    def _log(self, step: Step, message: str, severity: Severity = Severity.INFO) -> None:
        scene = step.index if step.kind is StepKind.SCENE else None
        self.events.append(Logged(severity, _STAGE_OF[step.kind], scene, step.attempts, message[:_LONGEST_LINE]))

    def _fan_in(self, now: datetime) -> None:
        if self.scenes_left == 0:
            assembly = self.step(StepKind.ASSEMBLE)
            assembly.queue(now)
            self._dispatch(assembly)

    def _requeue(self, step: Step, now: datetime) -> None:
        step.queue(now)
        self._scene_changed(step)
        self._dispatch(step)

    def _retry(self, step: Step, failure: StepFailure, now: datetime, policy: LeasePolicy) -> list[str]:
        step.parked = 0
        for line in failure.log:
            self._log(step, line, Severity.ERROR)
        if failure.retryable and not step.exhausted(policy):
            text = f"attempt {step.attempts} at {_name(step)} failed, trying again: {failure.code}: {failure.message}"
            self._log(step, text, Severity.WARNING)
            self._requeue(step, now if failure is WORKER_LOST else now + step.pause(policy))
            return []
        return self._give_up(step, failure, now)

    def _give_up(self, step: Step, failure: StepFailure, now: datetime) -> list[str]:
        """A plain scene instead, where that is wanted and may help; else the render fails."""
        replaceable = step.kind is StepKind.SCENE and not step.fallback and failure.blames_scene
        if not (self.request.scene_fallback and replaceable):
            return self._fail(step, failure, now)
        text = f"{_name(step)} cannot be drawn, a plain scene takes its place: {failure.code}: {failure.message}"
        self._log(step, text, Severity.ERROR)
        step.fall_back()
        self._requeue(step, now)
        return []

    def _fail(self, step: Step, failure: StepFailure, now: datetime) -> list[str]:
        text = f"{_name(step)} failed after {step.attempts} attempts: {failure.code}: {failure.message}"
        self._log(step, text, Severity.ERROR)
        step.end(StepState.FAILED)
        self._scene_changed(step)
        stopped = self._stop_steps()
        scene_index = step.index if step.kind is StepKind.SCENE else None
        log = (*failure.log, text)[-_EXCERPT:]
        again = failure.retryable and not failure.poison
        self.error = RenderFailure(failure.code, failure.message, self.stage, scene_index, again, log)
        self._end(RenderState.FAILED, now)
        return stopped

    def _stop_steps(self) -> list[str]:
        open_steps = [step for step in self.steps.values() if not step.ended]
        deliveries = [step.task_id for step in open_steps if step.task_id]
        for step in open_steps:
            step.end(StepState.CANCELLED)
        return deliveries

    def _end(self, state: RenderState, now: datetime) -> None:
        self.state, self.completed_at = state, now
        self._announce()


def _name(step: Step) -> str:
    """A step, for people."""
    return f"scene {step.index}" if step.kind is StepKind.SCENE else f"the {step.kind} step"


def _finish(step: Step, scene: RenderedScene) -> None:
    step.end(StepState.SUCCEEDED)
    step.result = scene
    step.frames_done = step.frames_total = scene.frames
