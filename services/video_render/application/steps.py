"""Runs one step: claim it, do it under the lease, record the outcome. The body of every queue task."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from services.video_render.application.engine import MediaFailed, SceneFailed, StoryboardInvalid
from services.video_render.application.lease import HandedBack, LeaseKeeper, TimeLimitExceeded
from services.video_render.application.ports import (
    Change,
    FileUnavailable,
    Liveness,
    RenderStore,
    SceneCrashed,
    TaskQueue,
)
from services.video_render.application.transition import transition
from services.video_render.domain.errors import LeaseLost, RenderNotFound
from services.video_render.domain.outcomes import StepFailure
from services.video_render.domain.render import Render
from services.video_render.domain.steps import LeasePolicy, Step, StepKind, render_id_of

_log = structlog.get_logger(__name__)
_SHOWN_FRAMES = 8
_CLAIM_PATIENCE_S = 60.0
"""How long a step outside of a lease waits for a store that is away; after that the sweeper offers it again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A step held by this worker, and its render as it was when claimed."""

    render: Render
    step: Step
    fence: int

    @property
    def step_id(self) -> str:
        """The step's id."""
        return self.step.step_id

    def request_id(self, kind: str) -> str:
        """Names a write of this attempt, so that repeating it stores nothing twice."""
        return f"{self.render.render_id}:{self.step_id.removeprefix(self.render.render_id + '.')}:{self.fence}:{kind}"


class StepWork(Protocol):
    """Does one kind of step and records its result under the claim's fence."""

    async def __call__(self, claim: Claim) -> None:
        """Raises `LeaseLost`, and what `failure_of` understands."""
        ...


@dataclass(frozen=True, slots=True)
class StepRunner:
    """The worker's one use case."""

    store: RenderStore
    queue: TaskQueue
    policy: LeasePolicy
    keeper: LeaseKeeper
    liveness: Liveness
    works: Mapping[StepKind, StepWork]

    async def run(self, step_id: str, task_id: str) -> bool:
        """Run a step; False when there was nothing to claim, as for a repeated delivery.

        Never raises for a failed step: the failure is a row. Raises when the store is away; the lease then expires
        and the step is tried again.
        """
        claimed_at = time.monotonic()
        claim = await self._claim(step_id, task_id)
        if claim is None:
            _log.info("nothing to do for this delivery", step_id=step_id, task_id=task_id)
            return False
        request = claim.render.request
        with structlog.contextvars.bound_contextvars(job_id=request.job_id, user_id=request.owner_id, step_id=step_id):
            await self._hold(claim, claimed_at)
        return True

    async def _hold(self, claim: Claim, claimed_at: float) -> None:
        """Do the step, and record how it ended."""
        _log.info("step begun", fence=claim.fence, attempt=claim.step.attempts)
        try:
            await self.keeper.hold(claim.step_id, claim.fence, claimed_at, self.works[claim.step.kind](claim))
        except (LeaseLost, RenderNotFound) as exc:
            _log.warning("result thrown away", reason=str(exc))
        except HandedBack:
            await self._hand_back(claim)
            _log.info("step handed back")
        except FileUnavailable as exc:
            await self._park(claim, exc)
        except Exception as exc:
            await self._fail(claim, exc)
        else:
            _log.info("step done", seconds=round(time.monotonic() - claimed_at, 2))

    async def _claim(self, step_id: str, task_id: str) -> Claim | None:
        try:
            async with asyncio.timeout(_CLAIM_PATIENCE_S):
                return await transition(
                    self.store, render_id_of(step_id), lambda change: self._claimed(change, step_id, task_id)
                )
        except RenderNotFound:
            return None

    def _claimed(self, change: Change, step_id: str, task_id: str) -> Claim | None:
        held = change.render.steps.get(step_id)
        if held is not None and self.liveness.provably_dead(held.holder):
            # The queue delivers again what its worker did not finish: no need to wait for the lease.
            change.render.orphaned(step_id, held.holder, change.now, self.policy)
        step = change.render.claim(step_id, task_id, change.now, self.policy, self.liveness.me())
        return Claim(change.render, step, step.fence) if step is not None else None

    async def _hand_back(self, claim: Claim) -> None:
        await self._give_up(claim, lambda change: change.render.hand_back(claim.step_id, claim.fence, change.now))

    async def _park(self, claim: Claim, exc: FileUnavailable) -> None:
        """Leave the step for later: this worker has other things to do while the storage is away."""
        _log.warning("step waits for the storage", reason=str(exc))
        await self._give_up(
            claim,
            lambda change: change.render.park(
                claim.step_id, claim.fence, "it does not answer, or has no room", change.now, self.policy
            ),
        )

    async def _give_up(self, claim: Claim, change: Callable[[Change], None]) -> None:
        try:
            async with asyncio.timeout(_CLAIM_PATIENCE_S):
                await transition(self.store, claim.render.render_id, change)
        except (LeaseLost, RenderNotFound):
            pass  # it was finished, taken over or forgotten in the last moment

    async def _fail(self, claim: Claim, exc: Exception) -> None:
        failure = failure_of(exc)
        _log.warning("step failed", code=failure.code, retryable=failure.retryable, exc_info=exc)
        try:
            async with asyncio.timeout(_CLAIM_PATIENCE_S):
                stopped = await transition(
                    self.store,
                    claim.render.render_id,
                    lambda change: change.render.step_failed(
                        claim.step_id, claim.fence, failure, change.now, self.policy
                    ),
                )
        except (LeaseLost, RenderNotFound) as lost:
            _log.warning("failure thrown away", reason=str(lost))
            return
        if stopped:
            await self.queue.revoke(stopped)


def failure_of(exc: Exception) -> StepFailure:
    """What an exception of a step means to the render."""
    match exc:
        case StoryboardInvalid():
            return StepFailure("STORYBOARD_INVALID", str(exc), retryable=False)
        case SceneFailed():
            return StepFailure(exc.code, exc.message, exc.retryable, exc.log, blames_scene=True)
        case SceneCrashed():
            return StepFailure(exc.code, str(exc), retryable=True, log=exc.log, blames_scene=True, poison=exc.violent)
        case MediaFailed():
            return StepFailure("ASSEMBLY_FAILED", str(exc), retryable=True)
        case TimeLimitExceeded():
            return StepFailure("TIME_LIMIT_EXCEEDED", str(exc), retryable=False, blames_scene=True)
        case _:
            return StepFailure("INTERNAL", "internal error", retryable=True, log=_frames(exc))


def _frames(exc: Exception) -> tuple[str, ...]:
    """Where an unexpected error came from, without its text: that may hold what is nobody's business."""
    frames = traceback.extract_tb(exc.__traceback__)[-_SHOWN_FRAMES:]
    return (*(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames), type(exc).__name__)
