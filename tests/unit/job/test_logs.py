"""The log of a job: what it says, how much it keeps, how lines are stored together (J4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

from services.job.adapters import render_codec
from services.job.api import codec
from services.job.application.coalesce import Coalescing, batches
from services.job.domain.job import Job
from services.job.domain.log import MOST_LINES, Severity
from services.job.domain.order import Order
from services.job.domain.render import (
    Failure,
    LogFact,
    ProgressFact,
    RenderFact,
    RenderState,
    Scene,
    SceneFact,
    StateFact,
)
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import JobStage
from t2m.video_render.v1 import render_pb2
from tests.fakes.job import START


def started() -> Job:
    job = Job.accept("id", Order("ada", "T", "C"), START)
    job.start_attempt(START)
    return job


def test_J4_V3_a_retry_and_the_end_are_told_with_their_reason() -> None:
    """J4, V3: code, message, when it goes on; nothing after the last line."""
    job = started()
    failure = Failure("SCENE_CRASHED", "it broke", JobStage.RENDERING, 2, retryable=True, log=("a", "b"))
    failed = StateFact(1, RenderState.FAILED, JobStage.RENDERING, 5.0, failure=failure)
    job.apply(job.render_id, [failed], START, RetryPolicy(timedelta(seconds=60)), 0.5)
    retry = job.lines[-1]
    assert (retry.severity, retry.stage, retry.scene_index, retry.attempt) == (Severity.WARNING, "rendering", 2, 1)
    assert retry.message == ("attempt 1 failed: SCENE_CRASHED: it broke; the next may begin at 2026-01-02T03:04:35Z")
    job.start_attempt(START)
    final = Failure("STORYBOARD_INVALID", "no")
    late = LogFact(3, Severity.INFO, "late")
    facts: list[RenderFact] = [StateFact(2, RenderState.FAILED, JobStage.PLANNING, 5.0, failure=final), late]
    job.apply(job.render_id, facts, START, RetryPolicy(), 0.5)
    assert (job.lines[-1].message, job.lines[-1].last) == ("the job is failed: STORYBOARD_INVALID: no", True)
    assert [line.seq for line in job.lines] == list(range(1, job.log_seq + 1))
    assert list(codec.failure(failure).log_excerpt) == ["a", "b"]  # type: ignore[union-attr]


def test_J4_a_log_has_an_end() -> None:
    """J4: so many lines, a line that says so, and the last one."""
    job = started()
    facts = [LogFact(number, Severity.INFO, "again") for number in range(1, MOST_LINES + 50)]
    job.apply(job.render_id, facts, START, RetryPolicy(), 0.5)
    assert job.log_seq == MOST_LINES
    assert job.lines[-1].message == "the log has 10000 lines, nothing more is kept"
    job.cancel(START)
    assert (job.log_seq, job.lines[-1].last) == (MOST_LINES + 1, True)


async def test_J4_lines_wait_for_what_comes_next() -> None:
    """J4: they are stored with it, in the order of their positions, and after the window at the latest."""
    scene = SceneFact(4, Scene(0), 3.0)

    async def facts() -> AsyncIterator[RenderFact]:
        yield LogFact(1, Severity.INFO, "one")
        yield ProgressFact(2, 0.0, 0, 1, 9)
        yield LogFact(3, Severity.INFO, "two")
        yield scene
        yield LogFact(5, Severity.INFO, "three")
        await asyncio.Event().wait()

    async with asyncio.timeout(10), aclosing(batches(facts(), Coalescing(step=0.0, window_s=0.01))) as stream:
        seen = [[fact.seq for fact in await anext(stream)] for _ in range(3)]
    assert seen == [[1, 2], [3, 4], [5]]


def test_J4_a_line_on_the_wire() -> None:
    """J4: as video_render sends it; a severity of a later release is taken for information."""
    line = render_pb2.RenderLogged(
        severity=render_pb2.LOG_SEVERITY_ERROR,
        stage=render_pb2.RENDER_STAGE_RENDERING,
        scene_index=0,
        step_attempt=2,
        message="m",
    )
    fact = render_codec.fact_of(render_pb2.RenderEvent(seq=7, log=line))
    assert fact == LogFact(7, Severity.ERROR, "m", JobStage.RENDERING, 0, 2)
    unknown = render_pb2.RenderEvent(seq=8, log=render_pb2.RenderLogged(severity=99, message="m"))  # type: ignore[arg-type]
    assert render_codec.fact_of(unknown) == LogFact(8, Severity.INFO, "m")
