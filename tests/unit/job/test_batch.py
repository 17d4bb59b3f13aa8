"""A batch's life, whatever its jobs do (V2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.job.domain.batch import Batch, BatchStatus, Refusal
from services.job.domain.errors import StateConflict
from services.job.domain.values import JobStatus
from tests.fakes.job import START

ENDS = [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]
SECOND = timedelta(seconds=1)


@given(
    ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=50),
    refused=st.integers(0, 3),
    cancel_at=st.none() | st.integers(0, 50),
    shares=st.lists(st.floats(0, 100), max_size=20),
)
def test_V2_counts_add_up_and_the_end_is_one(
    ends: list[JobStatus], refused: int, cancel_at: int | None, shares: list[float]
) -> None:
    """V2: seq without gaps, progress that never falls, one terminal event, the last."""
    refusals = tuple(Refusal(index, "C", "M") for index in range(refused))
    batch = Batch.accept("b", "ada", len(ends) + refused, refusals, START)
    for number, end in enumerate(ends):
        if number == cancel_at:
            assert batch.cancel()
            assert not batch.cancel()
        batch.moved(JobStatus.QUEUED, JobStatus.PROCESSING, START)
        for share in shares:
            batch.progressed(share, START, 1.0)
        batch.moved(JobStatus.PROCESSING, end, START + SECOND)
    assert [event.seq for event in batch.events] == list(range(1, batch.revision + 1))
    progress = [event.progress for event in batch.events]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    terminal = [event.status is not BatchStatus.PROCESSING for event in batch.events]
    assert terminal == [False] * (len(terminal) - 1) + [True]
    assert all(sum(event.counts.values()) == len(ends) for event in batch.events)
    cancelled = cancel_at is not None and cancel_at < len(ends) and JobStatus.CANCELLED in ends
    if cancelled:
        assert batch.status is BatchStatus.CANCELLED
    elif set(ends) == {JobStatus.COMPLETED}:
        assert batch.status is BatchStatus.COMPLETED
    else:
        expected = BatchStatus.PARTIALLY_COMPLETED if JobStatus.COMPLETED in ends else BatchStatus.FAILED
        assert batch.status is expected
    revision = batch.revision
    assert not batch.progressed(50.0, START)
    assert batch.revision == revision
    if batch.status is BatchStatus.CANCELLED:
        assert not batch.cancel()
    else:
        with pytest.raises(StateConflict):
            batch.cancel()


def test_V2_small_steps_are_not_worth_an_event() -> None:
    """V2: the mean of the jobs' progress, told when it is a percent further."""
    batch = Batch.accept("b", "ada", 2, (), START)
    for _ in range(2):
        batch.moved(JobStatus.QUEUED, JobStatus.PROCESSING, START)
    assert not batch.progressed(1.9, START, 1.0)
    assert batch.progressed(2.0, START, 1.0)
    assert batch.progress == 1.0
    assert not batch.progressed(1.0, START, 1.0)
    batch.moved(JobStatus.PROCESSING, JobStatus.QUEUED, START)
    assert batch.progress == 1.0, "a retry does not take progress back"
